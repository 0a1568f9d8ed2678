//! The session's guard.

use anyhow::{Context, Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::lab::Lab;
use jump_lab::network::ECHO;
use jump_lab::story::{PATIENCE, wait_for};

/// Given `ssh -N`, when its guard is killed, then the kernel kills the session with it.
pub(crate) fn a_session_dies_with_its_guard(lab: &Lab) -> Result<()> {
    let xena = lab.admin("xena").may_reach_databases().arrive()?;
    let master = xena.open_master(&[])?;
    let uid = xena.uid;
    let session = xena.event("session.opened")?.get("JUMP_SESSION").to_owned();
    let shown = lab
        .jumpctl(&format!("sessions show {session} --json"))?
        .success()?;
    let shown: serde_json::Value = serde_json::from_str(&shown.text())?;
    let pid = shown
        .get("guard")
        .and_then(serde_json::Value::as_i64)
        .context("no guard in sessions show")?;
    lab.bastion
        .shell(&format!("kill -9 {pid}"))
        .run()?
        .success()?;
    let output = master.wait(PATIENCE)?;
    ensure!(output.code() != 0, "{output}");
    wait_for("the session's processes to be gone", || {
        Ok(lab
            .bastion
            .shell(&format!("pgrep -u {uid} || true"))
            .run()?
            .text()
            .is_empty())
    })?;
    let failed = xena.event("guard.failed")?;
    ensure!(failed.get("JUMP_REASON") == "guard_lost", "{failed}");
    xena.event("session.closed")?;
    super::root_logs_in(lab, &xena.seat)
}

/// Given `ssh -N` with an open connection, when an operator kills the session, then nothing of it is left.
pub(crate) fn an_operator_ends_a_session_without_a_channel(lab: &Lab) -> Result<()> {
    let yves = lab.admin("yves").may_reach_databases().arrive()?;
    let master = yves.open_master(&[])?;
    let mut open = yves
        .seat
        .command("ssh")
        .args(["-S", "master", "-W", &format!("db1:{ECHO}"), "bastion"])
        .open_input()
        .start()?;
    open.say("hello\n")?;
    open.wait_for("hello", PATIENCE)?;
    let session = yves.event("session.opened")?.get("JUMP_SESSION").to_owned();
    let listed = lab.jumpctl("sessions list --json")?.success()?;
    ensure!(
        listed.text().contains(&session) && listed.text().contains("10.77.2.11"),
        "{listed}"
    );
    lab.jumpctl(&format!("sessions kill {session}"))?
        .success()?;
    let output = master.wait(PATIENCE)?;
    ensure!(output.code() != 0, "{output}");
    let left = lab
        .bastion
        .shell(&format!("pgrep -u {} || true", yves.uid))
        .run()?
        .text();
    ensure!(left.is_empty(), "left: {left}");
    let flows = lab
        .bastion
        .shell(&format!("ss -Htn state established dst 10.77.2.11:{ECHO}"))
        .run()?
        .text();
    ensure!(
        flows.is_empty()
            || !flows.contains(&format!(":{ECHO}"))
            || !yves.events("forward.closed").is_empty(),
        "{flows}"
    );
    yves.event("session.killed")?;
    let closed = yves.event("forward.closed")?;
    ensure!(
        closed.number("JUMP_BYTES_SENT") == Some(6)
            && closed.number("JUMP_BYTES_RECEIVED") == Some(6),
        "{closed}"
    );
    let ended = yves.event("session.closed")?;
    ensure!(ended.get("JUMP_REASON") == "operator", "{ended}");
    Ok(())
}

/// Logs in this way and that, with a right code: nothing is served, and nothing hangs.
fn each_ends_at_once(admin: &Admin<'_>, ways: &[&[&str]]) -> Result<()> {
    for args in ways {
        let code = admin.authenticator()?.any_code()?;
        let output = admin
            .seat
            .answering(&[code])?
            .ssh(args.iter().copied())
            .patience(PATIENCE)
            .run()?;
        ensure!(
            output.code() != 0 && output.text().is_empty(),
            "{args:?}: {output}"
        );
    }
    Ok(())
}

/// Given no guard to be had, then a login ends before it can forward anything, `-N` included.
pub(crate) fn without_a_guard_no_session_stays(lab: &Lab) -> Result<()> {
    let zoe = lab.admin("zoe").may_reach_databases().arrive()?;
    lab.bastion
        .shell("systemctl stop jump-guard.socket")
        .run()?
        .success()?;
    let attempt = || -> Result<()> {
        each_ends_at_once(
            &zoe,
            &[
                &["-N", "bastion"],
                &["bastion", "whoami"],
                &["-J", "bastion", "db1", "hostname"],
            ],
        )?;
        super::root_logs_in(lab, &zoe.seat)
    };
    let outcome = attempt();
    lab.bastion
        .shell("systemctl start jump-guard.socket")
        .run()?
        .success()?;
    outcome?;
    let refused = zoe.event("session.refused")?;
    ensure!(refused.get("JUMP_REASON") == "guard_failed", "{refused}");
    ensure!(
        zoe.events("session.opened").is_empty(),
        "a session was opened"
    );
    zoe.ssh(&["bastion", "whoami"])?.success()?;
    Ok(())
}

/// Given a PAM stack that leads past our session line, then a login ends before it has a channel.
pub(crate) fn a_missing_session_line_ends_the_login(lab: &Lab) -> Result<()> {
    const STACK: &str = "/etc/pam.d/sshd";
    let abel = lab.admin("abel").may_reach_databases().arrive()?;
    let stack = lab.bastion.read(STACK)?;
    // Without any line of ours jump-keys would give sshd no key in the first place.
    let ours = |line: &str| line.starts_with("session") && line.contains("pam_jump.so");
    let without: String = stack
        .split_inclusive('\n')
        .map(|line| {
            let over = if ours(line) {
                "session [success=1 default=1] pam_permit.so\n"
            } else {
                ""
            };
            format!("{over}{line}")
        })
        .collect();
    ensure!(without != stack, "there was no session line");
    lab.bastion.write(STACK, &without)?;
    let attempt = || -> Result<()> {
        each_ends_at_once(
            &abel,
            &[
                &["-N", "bastion"],
                &["-W", "127.0.0.1:22", "bastion"],
                &["bastion", "whoami"],
            ],
        )?;
        super::root_logs_in(lab, &abel.seat)
    };
    let outcome = attempt();
    lab.bastion.write(STACK, &stack)?;
    outcome?;
    ensure!(
        abel.events("session.opened").is_empty(),
        "a session was opened"
    );
    abel.ssh(&["bastion", "whoami"])?.success()?;
    Ok(())
}
