//! `ssh bastion` alone.

use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::network::ECHO;
use jump_lab::story::{PATIENCE, wait_for};

/// Given a rule, then the shell shows targets, window and time left, on a terminal and without one.
pub(crate) fn the_bastion_alone_gives_the_restricted_shell(lab: &Lab) -> Result<()> {
    let paul = lab.admin("paul").may_reach_databases().arrive()?;
    let targets = paul.ssh(&["bastion", "targets"])?.success()?;
    ensure!(
        targets.text().contains("databases") && targets.text().contains("db1"),
        "{targets}"
    );
    let code = paul.authenticator()?.any_code()?;
    let answering = paul.seat.answering(&[code])?;
    let mut shell = answering.ssh(["-tt", "bastion"]).open_input().start()?;
    shell.wait_for("databases", PATIENCE)?;
    shell.wait_for("left", PATIENCE)?;
    shell.say("whoami\r")?;
    shell.wait_for(&format!("paul (uid {})", paul.uid), PATIENCE)?;
    shell.say("sh\r")?;
    shell.wait_for("not a command here", PATIENCE)?;
    shell.say("exit\r")?;
    shell.wait(PATIENCE)?.success()?;
    let whoami = paul.ssh(&["bastion", "whoami"])?.success()?;
    ensure!(
        whoami.text().contains("until") && whoami.text().contains("left"),
        "{whoami}"
    );
    let started = paul.event("shell.started")?;
    ensure!(!started.get("JUMP_SESSION").is_empty(), "{started}");
    Ok(())
}

/// Given a terminal with escape sequences, then lines are edited and completed there, and what is a user's own is theirs to end and to renew.
pub(crate) fn at_a_terminal_a_line_is_edited_and_ones_own_is_at_hand(lab: &Lab) -> Result<()> {
    let tuva = lab.admin("tuva").may_reach_databases().arrive()?;
    let master = tuva.open_master(&[])?;
    let other = tuva.event("session.opened")?.get("JUMP_SESSION").to_owned();
    let hidden = ["-S", "master", "bastion", "mfa", "recovery-codes"];
    let without = tuva.seat.command("ssh").args(hidden).run()?;
    without.expect_code(2)?.complains("at a terminal only")?;

    let code = tuva.authenticator()?.code()?;
    let answering = tuva.seat.answering(&[code])?;
    let mut shell = answering
        .ssh(["-tt", "bastion"])
        .env("TERM", "xterm-256color")
        .open_input()
        .start()?;
    shell.wait_for("databases", PATIENCE)?;
    // Typed from its second letter on; the first comes last.
    shell.say("hoamx\x7fi\x01w\r")?;
    shell.wait_for(&format!("tuva (uid {})", tuva.uid), PATIENCE)?;
    shell.say("con\td\t")?;
    shell.wait_for("connect db1 ", PATIENCE)?;
    shell.say("\x15mfa\r")?;
    shell.wait_for("10 left", PATIENCE)?;

    shell.say(&format!("sessions end {}\t", &other[..12]))?;
    shell.wait_for(&format!("sessions end {other} "), PATIENCE)?;
    shell.say("\r")?;
    shell.wait_for("is being ended", PATIENCE)?;
    tuva.event_where("session.killed", |e| {
        e.get("JUMP_SESSION") == other && e.get("JUMP_REASON") == "user"
    })?;
    master.wait(PATIENCE)?.failure()?;

    let wrong = tuva.authenticator()?.wrong_code();
    shell.say("mfa recovery-codes\r")?;
    shell.wait_for("Code of your authenticator now: ", PATIENCE)?;
    shell.say(&format!("{wrong}\r"))?;
    shell.wait_for("Code not accepted.", PATIENCE)?;
    tuva.event_where("mfa.failed", |e| e.get("JUMP_REASON") == "wrong_code")?;
    let code = tuva.authenticator()?.code()?;
    // The command before comes back.
    shell.say("\x1b[A\r")?;
    wait_for("the second prompt", || {
        let prompts = shell
            .said()
            .matches("Code of your authenticator now: ")
            .count();
        Ok(prompts == 2)
    })?;
    shell.say(&format!("{code}\r"))?;
    shell.wait_for("They are not shown again.", PATIENCE)?;
    tuva.event_where("mfa.enrolled", |e| e.get("JUMP_REASON") == "user")?;
    let said = shell.said();
    ensure!(
        !said.contains(&code) && !said.contains(&wrong),
        "a code was shown: {said}"
    );
    shell.say("exit\r")?;
    shell.wait(PATIENCE)?.success()?;
    Ok(())
}

/// Given `ProxyCommand ssh bastion connect db1 22`, then it relays to the target, and to nothing else.
pub(crate) fn connect_serves_as_proxy_command(lab: &Lab) -> Result<()> {
    let rosa = lab.admin("rosa").may_reach_databases().arrive()?;
    let output = rosa
        .ssh(&[
            "-o",
            "ProxyCommand=ssh bastion connect db1 22",
            "db1",
            "hostname",
        ])?
        .success()?;
    ensure!(output.text() == "db1", "{output}");
    let allowed = rosa.event("forward.allowed")?;
    ensure!(allowed.message().contains("via=shell"), "{allowed}");
    let echo = ECHO.to_string();
    let refused = rosa.ssh(&["bastion", "connect", "db2", &echo])?.failure()?;
    ensure!(refused.stdout.is_empty(), "{refused}");
    rosa.event("forward.denied")?;
    Ok(())
}

/// Given `record = true`, then neither a forward nor `connect` goes by that rule.
pub(crate) fn a_rule_that_records_grants_no_plain_connection(lab: &Lab) -> Result<()> {
    let sara = lab
        .admin("sara")
        .policy(
            "[[rules]]\nname = \"sara-recorded\"\neffect = \"allow\"\nusers = [\"sara\"]\n\
             targets = [\"databases\"]\nvia = [\"shell\"]\nrecord = true\n",
        )
        .arrive()?;
    let echo = ECHO.to_string();
    let shell = sara.ssh(&["bastion", "connect", "db1", &echo])?.failure()?;
    ensure!(shell.stdout.is_empty(), "{shell}");
    sara.ssh(&["-W", &format!("db1:{ECHO}"), "bastion"])?
        .failure()?;
    sara.event_where("forward.denied", |e| {
        e.get("JUMP_REASON") == "record_required"
    })?;
    let explained = lab.jumpctl(&format!("explain sara db1:{ECHO} --via shell"))?;
    ensure!(explained.code() == 1, "{explained}");
    Ok(())
}
