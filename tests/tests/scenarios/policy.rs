//! The sysadmin's file.

use anyhow::{Context, Result, ensure};
use jump_lab::bastion::POLICY;
use jump_lab::lab::Lab;
use jump_lab::network::ECHO;
use jump_lab::story::PATIENCE;
use std::time::{Duration, Instant};

/// Given a broken edit, then `check` says where, nothing changes, and the next good edit is applied.
pub(crate) fn a_broken_edit_changes_nothing(lab: &Lab) -> Result<()> {
    let tina = lab.admin("tina").may_reach_databases().arrive()?;
    // Nobody else edits meanwhile: the lab's own policy is held.
    lab.with_policy_held(|good| {
        // Sessions come and go beside this story; the policy must not.
        let in_force = || -> Result<(serde_json::Value, serde_json::Value)> {
            let status: serde_json::Value =
                serde_json::from_str(&lab.jumpctl("status --json")?.success()?.text())?;
            let field = |name: &str| status.get(name).cloned().context("a field of status is missing");
            Ok((field("policy")?, field("generation")?))
        };
        let before = in_force()?;
        for (edit, said) in [
            ("\n[[rules]]\nnmae = \"x\"\n", "did you mean"),
            ("\n[users.tina2]\nuid = 0\nkeys = []\n", "uid"),
            ("\nthis is not TOML", "policy.toml"),
            (
                "\n[[tests]]\nuser = \"tina\"\nfrom = \"10.0.0.1\"\ntarget = \"db1:22\"\nat = 2026-11-23T10:00:00Z\nexpect = \"deny\"\n",
                "tina",
            ),
        ] {
            let mark = lab.journal.mark();
            lab.bastion.write(POLICY, format!("{good}{edit}"))?;
            let rejected = lab.journal.wait(mark, 1, PATIENCE, |e| e.is("policy.rejected"));
            ensure!(!rejected.is_empty(), "no policy.rejected for {edit:?}");
            let check = lab.jumpctl("check")?.expect_code(1)?;
            let told = format!("{}{}", check.text(), check.stderr);
            ensure!(told.contains(said), "{edit:?}: {check}");
            ensure!(in_force()? == before, "something changed");
        }
        tina.ssh(&["-J", "bastion", "db1", "hostname"])?.success()?;
        lab.bastion.write(POLICY, good)?;
        lab.jumpctl("check")?.success()?;
        Ok(())
    })?;
    super::root_logs_in(lab, &tina.seat)
}

/// Given a session with an open connection, when an edit takes its rule away, then within a second nothing of it is left.
pub(crate) fn what_a_saved_edit_forbids_is_cut(lab: &Lab) -> Result<()> {
    let elibert = lab.admin("elibert").may_reach_databases().arrive()?;
    let mut master = elibert.open_master(&[])?;
    let mut open = elibert
        .seat
        .command("ssh")
        .args(["-S", "master", "-W", &format!("db1:{ECHO}"), "bastion"])
        .open_input()
        .start()?;
    open.say("hello\n")?;
    open.wait_for("hello", PATIENCE)?;
    lab.edit_policy(|policy| policy.replace("elibert", "effect = \"allow\"", "effect = \"deny\""))?;
    let applied = Instant::now();
    master
        .wait_for("closed by remote host", PATIENCE)
        .or_else(|e| if master.ended()? { Ok(()) } else { Err(e) })?;
    let left = lab
        .bastion
        .shell(&format!("pgrep -u {} || true", elibert.uid))
        .run()?
        .text();
    ensure!(left.is_empty(), "processes of the session are left: {left}");
    ensure!(
        applied.elapsed() < Duration::from_secs(5),
        "cut after {:?}",
        applied.elapsed()
    );
    let expired = elibert.event("session.expired")?;
    ensure!(expired.get("JUMP_REASON") == "policy_changed", "{expired}");
    elibert.event("session.closed")?;
    elibert.event("forward.closed")?;
    Ok(())
}

/// Given questions that the guard has answered, then `explain` gives the same answers.
pub(crate) fn explain_says_what_the_guard_does(lab: &Lab) -> Result<()> {
    let elidine = lab.admin("elidine").may_reach_databases().arrive()?;
    let _master = elidine.open_master(&[])?;
    for destination in [
        format!("db1:{ECHO}"),
        format!("db2:{ECHO}"),
        "db1:8080".to_owned(),
        "127.0.0.1:22".to_owned(),
        format!("10.77.2.11:{ECHO}"),
    ] {
        let connected = elidine
            .seat
            .command("ssh")
            .args(["-S", "master", "-W", &destination, "bastion"])
            .input("")
            .run()?;
        let explained = lab.jumpctl(&format!(
            "explain elidine {destination} --from 10.77.1.20 --json"
        ))?;
        ensure!(
            (connected.code() == 0) == (explained.code() == 0),
            "{destination}: the guard and explain differ\n{connected}\n{explained}"
        );
        let answer: serde_json::Value = serde_json::from_str(&explained.text())?;
        ensure!(answer.get("reason").is_some(), "{explained}");
    }
    Ok(())
}
