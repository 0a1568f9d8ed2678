//! A17: sshd keeps a connection whose PAM session has failed.

use crate::scenarios::root_logs_in;
use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::process::Running;
use jump_lab::story::{PATIENCE, until, wait_for};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than a login takes to be ended.
const WHILE: Duration = Duration::from_secs(3);

fn ended_within(running: &mut Running, limit: Duration) -> Result<bool> {
    Ok(until(limit, || Ok(running.ended()?.then_some(())))?.is_some())
}

/// Given a session module that fails, then `ssh -N` stays on a stock host; given a guard that cannot be had, it goes at once.
pub(crate) fn a17_a_connection_does_not_outlive_its_failed_session(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let iva = lab.admin("iva").may_reach_databases().arrive()?;
    stock.account(&iva.seat)?;
    stock.pam("iva", "session", &["required pam_deny.so"])?;
    let mut stays = iva.seat.command("ssh").args(["-N", "stock"]).start()?;
    wait_for("the stock host's sshd", || {
        let processes = stock.shell("pgrep -u iva || true").run()?;
        Ok(!processes.text().is_empty())
    })?;
    thread::sleep(WHILE);
    ensure!(
        !stays.ended()?,
        "the stock host closed it: {}",
        stays.complained()
    );
    stays.kill();

    lab.bastion
        .shell("systemctl stop jump-guard.socket")
        .run()?
        .success()?;
    let attempt = || -> Result<()> {
        let code = iva.authenticator()?.any_code()?;
        let answering = iva.seat.answering(&[code])?;
        let mut cut = answering
            .ssh(["-v", "-N", "-L", "17017:db1:5432", "bastion"])
            .start()?;
        let authenticated = |cut: &Running| cut.complained().contains("Authenticated to bastion");
        wait_for("the login", || Ok(authenticated(&cut) || cut.ended()?))?;
        let begun = Instant::now();
        ensure!(
            ended_within(&mut cut, WHILE)?,
            "the bastion kept it for {:?}: {}",
            begun.elapsed(),
            cut.complained()
        );
        root_logs_in(lab, &iva.seat)
    };
    let outcome = attempt();
    lab.bastion
        .shell("systemctl start jump-guard.socket")
        .run()?
        .success()?;
    outcome?;
    let refused = iva.event("session.refused")?;
    ensure!(refused.get("JUMP_REASON") == "guard_failed", "{refused}");
    ensure!(
        iva.events("session.opened").is_empty() && iva.events("forward.allowed").is_empty(),
        "a session was opened"
    );
    let left = lab.bastion.shell("pgrep -u iva || true").run()?;
    ensure!(left.text().is_empty(), "left on the bastion: {left}");
    Ok(())
}

/// Given somebody else's session module that fails, then the connection is of no use: no channel, no forward, and it is under guard.
pub(crate) fn a17_where_another_module_fails_nothing_is_forwarded(lab: &Lab) -> Result<()> {
    const STACK: &str = "/etc/pam.d/sshd";
    let adadine = lab.admin("adadine").may_reach_databases().arrive()?;
    let stack = lab.bastion.read(STACK)?;
    let broken = format!(
        "session [success=ignore default=1] pam_succeed_if.so quiet user = adadine\nsession required pam_deny.so\n{stack}"
    );
    lab.bastion.write(STACK, broken)?;
    let attempt = || -> Result<()> {
        let code = adadine.authenticator()?.any_code()?;
        let answering = adadine.seat.answering(&[code])?;
        let mut master = answering
            .ssh(["-v", "-M", "-S", "master", "-N", "bastion"])
            .start()?;
        master.wait_for("Entering interactive session", PATIENCE)?;
        for args in [
            ["-W", "db1:5432", "bastion"],
            ["-W", "127.0.0.1:22", "bastion"],
        ] {
            let refused = adadine
                .seat
                .command("ssh")
                .args(["-S", "master"])
                .args(args)
                .input("hello\n")
                .run()?;
            ensure!(
                refused.code() != 0 && refused.stdout.is_empty(),
                "{args:?}: {refused}"
            );
        }
        Ok(())
    };
    let outcome = attempt();
    lab.bastion.write(STACK, stack)?;
    outcome?;
    ensure!(
        adadine.events("forward.allowed").is_empty(),
        "something was forwarded"
    );
    adadine.event("session.closed")?;
    Ok(())
}
