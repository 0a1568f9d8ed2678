//! A19: the one who watches is killed, stopped, starved, or changed under a question.

use crate::scenarios::root_logs_in;
use anyhow::{Context, Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::bastion::Bastion;
use jump_lab::lab::Lab;
use jump_lab::network::ECHO;
use jump_lab::peculiar::OwnSshd;
use jump_lab::process::Output;
use jump_lab::story::{PATIENCE, until};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Nobody waits longer for an answer.
const BOUND: Duration = Duration::from_secs(5);
/// Longer than between two looks of the listener at its guards.
const BETWEEN_STOPS: Duration = Duration::from_secs(2);

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

fn through(admin: &Admin<'_>, destination: &str) -> Result<Output> {
    admin
        .seat
        .command("ssh")
        .args(["-S", "master", "-W", destination, "bastion"])
        .input("hello\n")
        .run()
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

/// Given a guard that is stopped, starved of descriptors or killed, then nothing is connected that would not have been, and nobody waits long.
pub(crate) fn a19_a_lost_guard_opens_nothing(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let boris = lab.admin("boris").may_reach_databases().arrive()?;
    stock.account(&boris.seat)?;
    let free = boris
        .seat
        .command("ssh")
        .args(["-W", "127.0.0.1:22", "stock"])
        .input("")
        .run()?;
    ensure!(free.text().starts_with("SSH-"), "the stock host: {free}");
    let listed = format!("db1:{ECHO}");

    let master = boris.open_master(&[])?;
    let guard = guard_of(&lab.bastion, &boris)?;
    let signal = |signal: &str| {
        lab.bastion
            .shell(&format!("kill -{signal} {guard}"))
            .run()?
            .success()
    };
    // Stopped, and continued by the listener: what is asked meanwhile is answered within bounds, and never with what is not listed.
    for destination in ["127.0.0.1:22", "db2:22"] {
        signal("STOP")?;
        let begun = Instant::now();
        let outside = through(&boris, destination)?;
        ensure!(outside.stdout.is_empty(), "a stopped guard: {outside}");
        ensure!(
            begun.elapsed() < BOUND,
            "a stopped guard kept a connect for {:?}",
            begun.elapsed()
        );
        let inside = through(&boris, &listed)?;
        ensure!(inside.text() == "hello", "a continued guard: {inside}");
        // A guard found stopped at two looks in a row is killed; these are to be two stops.
        std::thread::sleep(BETWEEN_STOPS);
    }
    // Starved: no descriptor is left for a socket or a question.
    let limit = |soft: &str| {
        // A machine of the lab may be without CAP_SYS_RESOURCE: the guard's own user needs none.
        let prlimit = "setpriv --reuid=jump-guard --regid=jump-guard --clear-groups prlimit";
        let line = format!("{prlimit} --pid {guard} --nofile={soft}:");
        lab.bastion.shell(&line).run()?.success()
    };
    limit("4")?;
    let begun = Instant::now();
    let starved = through(&boris, &listed)?;
    ensure!(
        starved.stdout.is_empty() || starved.text() == "hello",
        "{starved}"
    );
    let outside = through(&boris, "127.0.0.1:22")?;
    ensure!(outside.stdout.is_empty(), "a starved guard: {outside}");
    ensure!(
        begun.elapsed() < 2 * BOUND,
        "a starved guard took {:?}",
        begun.elapsed()
    );
    limit("1024")?;
    // Killed in the middle of many questions.
    let asking: Vec<_> = (0..10)
        .map(|_| {
            boris
                .seat
                .command("ssh")
                .args(["-S", "master", "-W", "127.0.0.1:22", "bastion"])
                .input("")
                .start()
        })
        .collect::<Result<_>>()?;
    signal("KILL")?;
    let begun = Instant::now();
    master.wait(PATIENCE)?.failure()?;
    ensure!(
        begun.elapsed() < BOUND,
        "the session outlived its guard by {:?}",
        begun.elapsed()
    );
    for one in asking {
        let output = one.wait(PATIENCE)?;
        ensure!(output.stdout.is_empty(), "{output}");
    }
    boris.event("guard.failed")?;
    boris.event("session.closed")?;
    ensure!(
        boris
            .events("forward.allowed")
            .iter()
            .all(|e| e.get("JUMP_DST_NAME") == "db1"),
        "something was allowed that is not listed"
    );
    root_logs_in(lab, &boris.seat)
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
