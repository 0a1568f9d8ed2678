//! A journal that is gone, and one that is full. What cannot be written down
//! is not allowed (design: journald, else syslog, else no).

use super::{LIMIT, Visit, gets_through, is_refused};
use anyhow::{Context, Result, ensure};
use jump_lab::bastion::Bastion;
use jump_lab::lab::Lab;
use jump_lab::story::{PATIENCE, wait_for};

const UNITS: &str = "systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket systemd-journald.service";
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

/// Given a session, when journald is stopped, then logins and new connections are refused and the open one goes on; a syslog daemon in its place is good enough; when journald is back, it hears of the gap.
pub(crate) fn fault_without_journald_syslog_must_take_the_event(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        let mut visit = Visit::begin(lab, bastion, "thea")?;
        let mark = bastion.journal.mark();
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
        let heard = syslogd.wait_for("session.opened outcome=success user=thea", PATIENCE);
        syslogd.kill();
        run(
            bastion,
            &format!("rm -f {DEV_LOG}; systemctl start {UNITS}"),
        )?;
        by_syslog?;
        heard?;
        visit.forwards_as_before()?;
        the_gap_is_owned_up(bastion, mark)?;
        gets_through(bastion, &visit.admin)?;
        visit.flow_goes_on()?;
        visit.leave()
    })
}
