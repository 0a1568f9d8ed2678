//! Who gets in, and who does not.

use super::root_logs_in;
use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::policy::window_closed_now;

/// What every wrong code is answered with.
const NOT_ACCEPTED: &str = "Code not accepted.";

/// Given a rule for her, when alice types `ssh -J bastion db1` and her code, then she is on db1.
pub(crate) fn alice_is_on_db1_with_her_key_and_her_code(lab: &Lab) -> Result<()> {
    let alice = lab.admin("alice").may_reach_databases().arrive()?;
    let output = alice
        .ssh(&["-J", "bastion", "db1", "hostname"])?
        .success()?;
    ensure!(output.text() == "db1", "{output}");
    let factor = alice.event("mfa.ok")?;
    ensure!(factor.get("JUMP_MFA") == "totp", "{factor}");
    let allowed = alice.event("forward.allowed")?;
    ensure!(
        allowed.get("JUMP_DST_NAME") == "db1"
            && allowed.get("JUMP_DST_IP") == "10.77.2.11"
            && allowed.get("JUMP_RULE") == "alice-databases"
            && allowed.get("JUMP_SESSION") == factor.get("JUMP_SESSION"),
        "{allowed}"
    );
    Ok(())
}

/// Given a user of the policy, then the host knows the name, and no local file has it.
pub(crate) fn a_user_has_no_line_in_etc_passwd(lab: &Lab) -> Result<()> {
    let nora = lab
        .admin("nora")
        .user("name = \"Nora N.\"\ngroups = [\"nora-team\"]")
        .policy("[groups.nora-team]\ngid = 70990")
        .arrive()?;
    let line = lab
        .bastion
        .command("getent")
        .args(["passwd", "nora"])
        .run()?
        .success()?;
    ensure!(
        line.text()
            == format!(
                "nora:*:{}:66000:Nora N.:/usr/lib/jump/home:/usr/bin/jump-shell",
                nora.uid
            ),
        "{line}"
    );
    let id = lab.bastion.command("id").args(["nora"]).run()?.success()?;
    ensure!(
        id.text().contains("gid=66000(jump-users)") && id.text().contains("70990(nora-team)"),
        "{id}"
    );
    for file in ["/etc/passwd", "/etc/group", "/etc/shadow"] {
        ensure!(!lab.bastion.read(file)?.contains("nora"), "{file} has nora");
    }
    Ok(())
}

/// Given a wrong code, then access is denied, told in one sentence, and an event.
pub(crate) fn a_wrong_code_is_refused(lab: &Lab) -> Result<()> {
    let bob = lab.admin("bob").may_reach_databases().arrive()?;
    let wrong = bob.authenticator()?.wrong_code();
    let output = bob
        .seat
        .answering(std::slice::from_ref(&wrong))?
        .ssh(["-J", "bastion", "db1", "hostname"])
        .run()?;
    let output = output.failure()?.complains(NOT_ACCEPTED)?;
    ensure!(output.text().is_empty(), "{output}");
    let failed = bob.event("mfa.failed")?;
    ensure!(
        failed.get("JUMP_REASON") == "wrong_code"
            && failed.get("JUMP_OUTCOME") == "failure"
            && failed.get("PRIORITY") == "4"
            && failed.get("JUMP_SRC_IP") == "10.77.1.20",
        "{failed}"
    );
    ensure!(
        !failed.message().contains(&wrong),
        "the typed code is in the journal"
    );
    ensure!(
        bob.events("access.allowed").is_empty(),
        "a wrong code reached account"
    );
    root_logs_in(lab, &bob.seat)
}

/// Given a code that was accepted, when it is typed again, then it is refused as a replay.
pub(crate) fn a_code_is_good_once(lab: &Lab) -> Result<()> {
    let carol = lab.admin("carol").may_reach_databases().arrive()?;
    let code = carol.authenticator()?.code()?;
    let login = |answer: &str| {
        carol
            .seat
            .answering(&[answer])?
            .ssh(["bastion", "whoami"])
            .run()
    };
    login(&code)?.success()?;
    login(&code)?.failure()?.complains(NOT_ACCEPTED)?;
    let replayed = carol.event("mfa.replayed")?;
    ensure!(replayed.get("JUMP_REASON") == "replayed_code", "{replayed}");
    ensure!(carol.events("mfa.ok").len() == 1, "accepted twice");
    root_logs_in(lab, &carol.seat)
}

/// Given a recovery code, then it lets in once and never again.
pub(crate) fn a_recovery_code_is_good_once(lab: &Lab) -> Result<()> {
    let erin = lab.admin("erin").may_reach_databases().arrive()?;
    let code = erin.authenticator()?.recovery_code()?;
    let login = |answer: &str| {
        erin.seat
            .answering(&[answer])?
            .ssh(["bastion", "whoami"])
            .run()
    };
    login(&code)?.success()?;
    let used = erin.event("mfa.ok")?;
    ensure!(used.get("JUMP_MFA") == "recovery", "{used}");
    login(&code)?.failure()?.complains(NOT_ACCEPTED)?;
    ensure!(erin.events("mfa.ok").len() == 1, "accepted twice");
    Ok(())
}

/// Given five wrong codes, then even a right one is refused, until an operator unlocks the user.
pub(crate) fn five_wrong_codes_lock_the_user_until_an_operator_unlocks(lab: &Lab) -> Result<()> {
    let frank = lab.admin("frank").may_reach_databases().arrive()?;
    let wrong = frank.authenticator()?.wrong_code();
    for _ in 0..5 {
        frank
            .seat
            .answering(&[wrong.as_str()])?
            .ssh(["bastion", "whoami"])
            .run()?
            .failure()?;
    }
    frank.event("mfa.locked")?;
    frank
        .ssh(&["bastion", "whoami"])?
        .failure()?
        .complains(NOT_ACCEPTED)?;
    frank.event_where("mfa.failed", |e| e.get("JUMP_REASON") == "locked_out")?;
    lab.jumpctl("mfa unlock frank")?.success()?;
    frank.ssh(&["bastion", "whoami"])?.success()?;
    Ok(())
}

/// Given a user without a second factor, then the prompt is the same and the answer is no.
pub(crate) fn without_an_enrolment_nobody_gets_in(lab: &Lab) -> Result<()> {
    let gina = lab
        .admin("gina")
        .may_reach_databases()
        .unenrolled()
        .arrive()?;
    let answering = gina.seat.answering(&["123456"])?;
    answering
        .ssh(["-J", "bastion", "db1", "hostname"])
        .run()?
        .failure()?
        .complains(NOT_ACCEPTED)?;
    let prompts = answering.prompts();
    ensure!(
        prompts == ["(gina@bastion) Verification code: "]
            || prompts == ["(gina@bastion) Verification code:"],
        "{prompts:?}"
    );
    let failed = gina.event("mfa.failed")?;
    ensure!(failed.get("JUMP_REASON") == "not_enrolled", "{failed}");
    root_logs_in(lab, &gina.seat)
}

/// Given a closed window, then the login is refused with the minute at which it opens.
pub(crate) fn outside_the_window_one_sentence_says_when_it_opens(lab: &Lab) -> Result<()> {
    let (window, opens) = window_closed_now("henry-hours");
    let rule = "[[rules]]\nname = \"henry-rule\"\neffect = \"allow\"\nusers = [\"henry\"]\n\
                targets = [\"databases\"]\nwindows = [\"henry-hours\"]\n";
    let henry = lab
        .admin("henry")
        .policy(format!("{window}{rule}"))
        .arrive()?;
    let output = henry
        .ssh(&["-J", "bastion", "db1", "hostname"])?
        .failure()?;
    let told = output.stderr.clone();
    let sentences: Vec<_> = told
        .lines()
        .filter(|line| line.contains("window"))
        .collect();
    ensure!(
        matches!(sentences.as_slice(), [one] if one.contains("Outside your access window; it opens ") && one.contains(&opens)),
        "expected {opens} in one sentence: {output}"
    );
    let denied = henry.event("access.denied")?;
    ensure!(denied.get("JUMP_REASON") == "outside_window", "{denied}");
    ensure!(
        henry.events("session.opened").is_empty(),
        "a session was opened"
    );
    Ok(())
}

/// Given `mfa = "none"` and `from`, then the key alone lets in from there, and from nowhere else.
pub(crate) fn an_automation_user_needs_key_and_source_and_no_code(lab: &Lab) -> Result<()> {
    let robot = lab
        .admin("robot")
        .user("mfa = \"none\"")
        .policy(
            "[[rules]]\nname = \"robot-rule\"\neffect = \"allow\"\nusers = [\"robot\"]\n\
             targets = [\"databases\"]\nfrom = [\"10.77.1.20/32\"]\n",
        )
        .unenrolled()
        .arrive()?;
    let login = |from: &str| {
        robot
            .seat
            .command("ssh")
            .args([
                "-o",
                "BatchMode=yes",
                "-o",
                &format!("BindAddress={from}"),
                "bastion",
                "whoami",
            ])
            .run()
    };
    login("10.77.1.20")?.success()?;
    let opened = robot.event("session.opened")?;
    ensure!(opened.get("JUMP_MFA") == "none", "{opened}");
    login("10.77.1.99")?.failure()?;
    // Whoever looks after the bastion is told who needs no second factor.
    for (words, named) in [
        ("mfa status robot", "none (automation)"),
        ("check", "`robot` logs in without a second factor"),
        ("doctor", "all that these need: "),
    ] {
        let output = lab.jumpctl(words)?;
        ensure!(
            output
                .text()
                .lines()
                .any(|line| line.contains(named) && line.contains("robot")),
            "{words}: {output}"
        );
    }
    Ok(())
}

/// Given an sshd_config edited by hand so that the key alone is enough, then `account` refuses what has no second factor.
pub(crate) fn a_login_without_keyboard_interactive_is_refused(lab: &Lab) -> Result<()> {
    const BY_HAND: &str = "Match User bealin\n    AuthenticationMethods publickey\n";
    let bealin = lab.admin("bealin").may_reach_databases().arrive()?;
    lab.with_sshd_config("00-by-hand.conf", BY_HAND, || {
        let plain = |args: &[&str]| bealin.seat.command("ssh").args(args.iter().copied()).run();
        plain(&["-J", "bastion", "db1", "hostname"])?.failure()?;
        plain(&["-N", "bastion"])?.failure()?;
        let denied = bealin.event("access.denied")?;
        ensure!(denied.get("JUMP_REASON") == "mfa_missing", "{denied}");
        ensure!(
            bealin.events("session.opened").is_empty(),
            "a session was opened"
        );
        root_logs_in(lab, &bealin.seat)
    })?;
    bealin.ssh(&["bastion", "whoami"])?.success()?;
    Ok(())
}
