//! A journal that is gone, and one that is full. What cannot be written down
//! is not allowed (design: journald, else syslog, else no).

use super::{LIMIT, Visit, gets_through, is_refused};
use anyhow::{Context, Result, ensure};
use jump_lab::bastion::Bastion;
use jump_lab::lab::Lab;
use jump_lab::network::ECHO;
use jump_lab::story::{PATIENCE, wait_for};

const UNITS: &str = "systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket systemd-journald.service";
/// Where journald takes entries of its own protocol.
const NATIVE: &str = "/run/systemd/journal/socket";
/// What /dev/log leads to.
const DEV_LOG: &str = "/run/systemd/journal/dev-log";

fn run(bastion: &Bastion, line: &str) -> Result<()> {
    bastion.shell(line).run()?.success()?;
    Ok(())
}

/// Once it can be written again, the journal says how many events it did not get.
fn the_gap_is_owned_up(bastion: &Bastion, mark: jump_lab::journal::Mark) -> Result<()> {
    let told = bastion
        .journal
        .wait(mark, 1, PATIENCE, |e| e.is("audit.failed"));
    let told = told.first().context("no audit.failed")?;
    ensure!(told.message().contains("lost="), "{told}");
    Ok(())
}

/// Given a session, when journald is stopped, then logins and new connections are refused and the open one goes on; a syslog daemon in its place is good enough and hears of the gap.
pub(crate) fn fault_without_journald_syslog_must_take_the_event(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        let mut visit = Visit::begin(lab, bastion, "elilin")?;
        run(bastion, &format!("systemctl stop {UNITS}"))?;
        let mut nobody_listens = || -> Result<()> {
            visit.forward_is_refused(LIMIT)?;
            is_refused(bastion, &visit.admin, LIMIT)?;
            visit.flow_goes_on()
        };
        let mut syslogd = nobody_listens().and_then(|()| {
            run(bastion, &format!("rm -f {DEV_LOG}"))?;
            bastion
                .command("nc")
                .args(["-k", "-l", "-u", "-U", DEV_LOG])
                .start()
        })?;
        wait_for("the syslog daemon", || {
            Ok(bastion.shell(&format!("chmod 666 {DEV_LOG}")).run()?.code() == 0)
        })?;
        let by_syslog = visit
            .forwards_as_before()
            .and_then(|()| gets_through(bastion, &visit.admin));
        let heard = [
            "audit.failed outcome=failure lost=",
            "session.opened outcome=success user=elilin",
        ]
        .into_iter()
        .try_for_each(|text| syslogd.wait_for(text, PATIENCE));
        syslogd.kill();
        run(
            bastion,
            &format!("rm -f {DEV_LOG}; systemctl start {UNITS}"),
        )?;
        by_syslog?;
        heard?;
        visit.forwards_as_before()?;
        gets_through(bastion, &visit.admin)?;
        visit.flow_goes_on()?;
        visit.leave()
    })
}

/// Fills the queue of a socket that nobody reads: by several, because what one has sent and
/// nobody read is also counted against that one.
fn fill(bastion: &Bastion, socket: &str) -> Result<()> {
    let sender = format!("seq 100000 | timeout --signal=KILL 1 logger -u {socket}");
    let filled = bastion
        .shell(&format!("for i in 1 2 3 4 5; do {sender} & done; {sender}"))
        .run()?;
    // logger waits for room until its time is over.
    ensure!(filled.code() == 137, "{socket} is not full: {filled}");
    Ok(())
}

/// Given a session, when journald is stopped by a signal and its socket is full, then events go by syslog's; when that is full too, new connections are refused in time and the open one goes on.
///
/// Logins are not tried here: sshd itself waits for syslog then, root's included, with us or without.
pub(crate) fn fault_a_full_journal_allows_what_syslog_takes_and_then_nothing(
    lab: &Lab,
) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        let mut visit = Visit::begin(lab, bastion, "eliton")?;
        let mark = bastion.journal.mark();
        run(bastion, "pkill -STOP -x systemd-journal")?;
        let mut full = || -> Result<()> {
            fill(bastion, NATIVE)?;
            visit.forwards_as_before()?;
            fill(bastion, DEV_LOG)?;
            visit.forward_is_refused(LIMIT)?;
            visit.forward_is_refused(LIMIT)?;
            visit.flow_goes_on()
        };
        let outcome = full();
        run(bastion, "pkill -CONT -x systemd-journal")?;
        outcome?;
        let by_syslog = bastion.journal.wait(mark, 1, PATIENCE, |e| {
            e.get("_TRANSPORT") == "syslog"
                && e.message().contains("forward.allowed")
                && e.message().contains(&format!(":{ECHO}"))
        });
        ensure!(!by_syslog.is_empty(), "the event did not go by syslog");
        visit.forwards_as_before()?;
        the_gap_is_owned_up(bastion, mark)?;
        gets_through(bastion, &visit.admin)?;
        visit.leave()
    })
}
