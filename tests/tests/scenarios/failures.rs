//! What dies or breaks, opens nothing and locks nobody out.

use super::root_logs_in;
use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::network::ECHO;
use jump_lab::story::PATIENCE;
use std::time::{Duration, Instant};

const UNITS: &str = "jumpd.service jumpd.socket jumpd-shell.socket jumpd-agent.socket";

/// Given a jumpd that is stopped and cannot start, then users are refused at once with an entry that says why, and root logs in.
pub(crate) fn with_jumpd_unable_to_start_users_are_refused_and_root_logs_in(
    lab: &Lab,
) -> Result<()> {
    let adam = lab.admin("adam").may_reach_databases().arrive()?;
    let mark = lab.journal.mark();
    lab.bastion
        .shell(&format!("systemctl mask --runtime --now {UNITS}"))
        .run()?
        .success()?;
    let attempt = || -> Result<()> {
        let begun = Instant::now();
        let output = adam.ssh(&["-J", "bastion", "db1", "hostname"])?.failure()?;
        ensure!(output.text().is_empty(), "{output}");
        ensure!(
            begun.elapsed() < Duration::from_secs(15),
            "hung for {:?}",
            begun.elapsed()
        );
        root_logs_in(lab, &adam.seat)
    };
    let outcome = attempt();
    lab.bastion
        .shell(&format!(
            "systemctl unmask --runtime {UNITS}; systemctl start jumpd.socket jumpd-shell.socket jumpd-agent.socket"
        ))
        .run()?
        .success()?;
    outcome?;
    let said = lab.journal.wait(mark, 1, PATIENCE, |e| {
        e.message().contains("reason=unavailable") && e.message().contains("user=adam")
    });
    ensure!(
        !said.is_empty(),
        "sshd's log does not say why adam was refused"
    );
    adam.ssh(&["-J", "bastion", "db1", "hostname"])?.success()?;
    Ok(())
}

/// Given a session with an open connection, when jumpd and the guard's listener are restarted, then it goes on under its rules.
pub(crate) fn a_restart_of_everything_keeps_sessions_and_their_rules(lab: &Lab) -> Result<()> {
    let beth = lab.admin("beth").may_reach_databases().arrive()?;
    let mut master = beth.open_master(&[])?;
    let mut open = beth
        .seat
        .command("ssh")
        .args(["-S", "master", "-W", &format!("db1:{ECHO}"), "bastion"])
        .open_input()
        .start()?;
    open.say("before\n")?;
    open.wait_for("before", PATIENCE)?;
    lab.bastion
        .shell("systemctl restart jumpd.service jump-guard.service")
        .run()?
        .success()?;
    open.say("after\n")?;
    open.wait_for("after", PATIENCE)?;
    let through = |destination: &str| {
        beth.seat
            .command("ssh")
            .args(["-S", "master", "-W", destination, "bastion"])
            .input("hello\n")
            .run()
    };
    // The guard takes its post again within a second or two; until then everything is refused.
    let deadline = Instant::now() + PATIENCE;
    while through(&format!("db1:{ECHO}"))?.text() != "hello" {
        ensure!(Instant::now() < deadline, "no forward after the restart");
    }
    let refused = through(&format!("db2:{ECHO}"))?;
    ensure!(
        refused.code() != 0 && refused.stdout.is_empty(),
        "{refused}"
    );
    ensure!(!master.ended()?, "the session did not live on");
    open.hang_up_input();
    let closed = beth.event_where("forward.closed", |e| {
        e.number("JUMP_BYTES_SENT") == Some(13)
    })?;
    ensure!(closed.number("JUMP_BYTES_RECEIVED") == Some(13), "{closed}");
    drop(open);
    drop(master);
    beth.event("session.closed")?;
    Ok(())
}

/// Given a journal and a syslog that nobody reads, then nothing is allowed that could not be written down, and root logs in.
pub(crate) fn a_journal_that_cannot_be_written_refuses_logins(lab: &Lab) -> Result<()> {
    let adamar = lab.admin("adamar").may_reach_databases().arrive()?;
    let sockets = "/run/systemd/journal/socket /run/systemd/journal/dev-log";
    // The sockets are moved away: sending fails at once, as it does when journald is gone for good.
    lab.bastion
        .shell(&format!("for s in {sockets}; do mv $s $s.away; done"))
        .run()?
        .success()?;
    let attempt = || -> Result<()> {
        let output = adamar
            .ssh(&["-J", "bastion", "db1", "hostname"])?
            .failure()?;
        ensure!(output.text().is_empty(), "{output}");
        root_logs_in(lab, &adamar.seat)
    };
    let outcome = attempt();
    lab.bastion
        .shell(&format!("for s in {sockets}; do mv $s.away $s; done"))
        .run()?
        .success()?;
    outcome?;
    ensure!(
        adamar.events("mfa.ok").is_empty() && adamar.events("session.opened").is_empty(),
        "something was allowed"
    );
    adamar.ssh(&["bastion", "whoami"])?.success()?;
    Ok(())
}
