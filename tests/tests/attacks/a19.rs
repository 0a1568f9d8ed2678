//! A19: the one who watches is killed, stopped, starved, or changed under a question.

use anyhow::{Context, Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::bastion::Bastion;
use jump_lab::lab::Lab;
use jump_lab::network::ECHO;
use jump_lab::peculiar::OwnSshd;
use jump_lab::story::{PATIENCE, until};
use serde_json::Value;

fn guard_of(bastion: &Bastion, admin: &Admin<'_>) -> Result<i64> {
    let session = admin
        .event("session.opened")?
        .get("JUMP_SESSION")
        .to_owned();
    let shown = bastion
        .jumpctl(&format!("sessions show {session} --json"))?
        .success()?;
    let shown: Value = serde_json::from_str(&shown.text())?;
    shown
        .get("guard")
        .and_then(Value::as_i64)
        .context("no guard")
}

/// Given a recorder of the user's own, then the user kills it and goes on; given ours, then no signal of the user's reaches any of it.
pub(crate) fn a19_the_user_cannot_touch_who_watches(lab: &Lab) -> Result<()> {
    let (stock, open) = (lab.stock()?, lab.open_bastion()?);
    let bodo = lab.admin("bodo").at(open).may_reach_databases().arrive()?;
    stock.account(&bodo.seat)?;
    stock.sh("install -m 666 /dev/null /var/tmp/watched")?;
    let watch =
        "ForceCommand script --quiet --flush --command \"$SSH_ORIGINAL_COMMAND\" /var/tmp/watched";
    let sshd = OwnSshd::start(stock, 1901, watch)?;
    let free = "echo seen; (trap '' HUP; kill -KILL $(pgrep -x script -u bodo); sleep 1; echo $((6*7))$((6*7)) >/var/tmp/freed; cat /var/tmp/freed)";
    bodo.seat
        .command("ssh")
        .args(sshd.options())
        .args(["-tt", "stock", free])
        .run()?;
    let freed = until(PATIENCE, || Ok(stock.read("/var/tmp/freed").ok()))?;
    ensure!(freed.is_some(), "the recorder could not be killed");
    ensure!(
        !stock.read("/var/tmp/watched")?.contains("4242"),
        "it was recorded"
    );

    bodo.in_session("true")?.run()?.success()?;
    let guard = guard_of(open, &bodo)?;
    let monitor = open
        .shell("ps -o ppid= -p $(pgrep -o -u bodo sshd) | tr -d ' '")
        .run()?
        .text();
    let jumpd = open
        .shell("systemctl show --property=MainPID --value jumpd.service")
        .run()?
        .text();
    for pid in [guard.to_string(), monitor, jumpd] {
        for signal in ["KILL", "STOP", "TERM", "HUP", "SEGV"] {
            let line = format!("kill -{signal} {pid} 2>&1; echo $?");
            let said = bodo.in_session(&line)?.run()?;
            ensure!(said.text().ends_with('1'), "kill -{signal} {pid}: {said}");
        }
        for line in [
            format!("prlimit --pid {pid} --nofile=3 2>&1; echo $?"),
            format!("cat /proc/{pid}/mem 2>&1; echo $?"),
            format!("ls -l /proc/{pid}/fd 2>&1; echo $?"),
            format!("echo 1000 >/proc/{pid}/oom_score_adj; echo $?"),
        ] {
            let said = bodo.in_session(&line)?.run()?;
            ensure!(!said.text().ends_with('0'), "{line}: {said}");
        }
    }
    bodo.in_session("true")?.run()?.success()?;
    Ok(())
}

/// Given questions under way while the policy is saved and jumpd restarted, then each is answered by the old policy or the new, and the unlisted never.
pub(crate) fn a19_a_policy_that_changes_under_a_question_opens_nothing(lab: &Lab) -> Result<()> {
    let britt = lab.admin("britt").may_reach_databases().arrive()?;
    let _master = britt.open_master(&[])?;
    for round in 0..3 {
        let asking: Vec<_> = (0..12)
            .map(|number| {
                let destination = if number % 2 == 0 {
                    format!("db1:{ECHO}")
                } else {
                    "db2:22".to_owned()
                };
                let running = britt
                    .seat
                    .command("ssh")
                    .args(["-S", "master", "-W", &destination, "bastion"])
                    .input("hello\n")
                    .start()?;
                Ok((destination, running))
            })
            .collect::<Result<_>>()?;
        lab.edit_policy(|policy| {
            policy.replace(
                "britt",
                "[users.britt]",
                &format!("# round {round}\n[users.britt]"),
            );
        })?;
        for (destination, running) in asking {
            let output = running.wait(PATIENCE)?;
            ensure!(
                output.stdout.is_empty()
                    || destination.starts_with("db1") && output.text() == "hello",
                "{destination}: {output}"
            );
        }
    }
    let answered = britt.wait_events("forward.denied", 18);
    ensure!(
        answered
            .iter()
            .all(|e| e.get("JUMP_DST_PORT") == "22" || e.get("JUMP_REASON") == "unavailable"),
        "{answered:?}"
    );
    ensure!(
        britt
            .events("forward.allowed")
            .iter()
            .all(|e| e.get("JUMP_DST_NAME") == "db1"),
        "something was allowed that is not listed"
    );
    Ok(())
}
