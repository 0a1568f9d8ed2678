//! A33: more of everything than one admin needs.

use anyhow::{Context, Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::lab::Lab;
use jump_lab::machine::Machine;
use jump_lab::peculiar::OwnSshd;
use jump_lab::process::Running;
use jump_lab::story::{PATIENCE, until, wait_for};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Connections asked for at once through one session: more than the policy's `forwards`.
const FLOOD: usize = 400;
/// What a session may have open, as the policy says by default.
const FORWARDS: usize = 256;
/// A port of a target that takes connections and does nothing with them.
const SILENT: u16 = 9009;

/// Opens many connections to a port of the client itself and holds them.
fn flood(admin: &Admin<'_>, port: u16, count: usize) -> Result<Running> {
    let line = format!(
        "ulimit -n 4096; for i in $(seq {count}); do exec {{fd}}<>/dev/tcp/127.0.0.1/{port}; done; echo all; sleep 600"
    );
    let mut held = admin.seat.command("bash").args(["-c", &line]).start()?;
    held.wait_for("all", PATIENCE)?;
    Ok(held)
}

/// Connections to the silent port that come from an address.
fn arrived(lab: &Lab, from: &str) -> Result<usize> {
    let line = format!("ss -Htn state established sport = :{SILENT} dst {from} | wc -l");
    Ok(lab.db1.shell(&line).run()?.text().parse()?)
}

fn descriptors(machine: &Machine, pid: i64) -> Result<usize> {
    Ok(machine
        .shell(&format!("ls /proc/{pid}/fd | wc -l"))
        .run()?
        .text()
        .parse()?)
}

/// Given a stock host, then one session opens as many connections as it likes; given ours, then as many as the policy says, each refusal is told, and nothing of it is left behind.
pub(crate) fn a33_a_session_opens_no_more_than_the_policy_says(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let bert = lab.admin("bert").may_reach_databases().arrive()?;
    stock.account(&bert.seat)?;
    // The kernel completes handshakes for a listener that never accepts.
    lab.db1
        .shell(&format!(
            "systemd-run --quiet --unit=lab-silent --socket-property=ListenStream={SILENT} \
             --socket-property=Backlog=4096 sleep infinity"
        ))
        .run()?
        .success()?;
    let forward = format!("13300:db1:{SILENT}");
    let mut through_stock = bert
        .seat
        .command("ssh")
        .args(["-N", "-L", &forward, "stock"])
        .start()?;
    wait_for("the stock host's forward", || {
        Ok(bert
            .seat
            .command("nc")
            .args(["-z", "127.0.0.1", "13300"])
            .run()?
            .code()
            == 0)
    })?;
    let held = flood(&bert, 13300, FLOOD)?;
    wait_for("every connection through the stock host", || {
        Ok(arrived(lab, "10.77.2.4")? >= FLOOD)
    })?;
    drop(held);
    through_stock.kill();

    let master = bert.open_master(&["-L", &format!("13301:db1:{SILENT}")])?;
    let session = bert.event("session.opened")?.get("JUMP_SESSION").to_owned();
    let shown = lab
        .jumpctl(&format!("sessions show {session} --json"))?
        .success()?;
    let shown: Value = serde_json::from_str(&shown.text())?;
    let guard = shown
        .get("guard")
        .and_then(Value::as_i64)
        .context("no guard")?;
    let before = descriptors(&lab.bastion, guard)?;
    let held = flood(&bert, 13301, FLOOD)?;
    wait_for("an answer to each", || {
        let answered = bert.events("forward.allowed").len() + bert.events("forward.denied").len();
        Ok(answered >= FLOOD)
    })?;
    let open = arrived(lab, "10.77.2.1")?;
    ensure!(open > 0 && open <= FORWARDS, "{open} connections are open");
    let denied = bert.events("forward.denied");
    ensure!(
        !denied.is_empty()
            && denied.iter().all(|e| {
                ["too_many_forwards", "forward_rate", "too_many_connecting"]
                    .contains(&e.get("JUMP_REASON"))
            }),
        "{denied:?}"
    );
    // Another session is served meanwhile.
    let begun = Instant::now();
    bert.ssh(&["bastion", "whoami"])?.success()?;
    ensure!(
        begun.elapsed() < Duration::from_secs(10),
        "a login took {:?}",
        begun.elapsed()
    );
    drop(held);
    // The client hung up; now the target does, on those that it never took too.
    lab.db1
        .shell("systemctl stop lab-silent.socket lab-silent.service")
        .run()?
        .success()?;
    let settled = until(PATIENCE, || {
        let closed = bert.events("forward.closed").len();
        let same = descriptors(&lab.bastion, guard)? <= before;
        Ok((same && closed == bert.events("forward.allowed").len()).then_some(()))
    })?;
    ensure!(
        settled.is_some(),
        "the guard has {} descriptors, at first {before}; {} forwards allowed, {} closed",
        descriptors(&lab.bastion, guard)?,
        bert.events("forward.allowed").len(),
        bert.events("forward.closed").len()
    );
    drop(master);
    bert.event("session.closed")?;
    Ok(())
}

/// Connections of the second sort of flood: far more than an sshd serves that are not logged in.
const HALF_OPEN: usize = 500;
/// What Debian's sshd does by itself (sshd_config(5)).
const BY_ITSELF: &str = "MaxStartups 10:30:100\n";
/// What docs/operations.md adds.
const DOCUMENTED: &str = "PerSourceMaxStartups 5\n";
/// Logins that stand at the prompt for a code.
const AT_PROMPT: usize = 40;

/// Opens connections to an sshd from a target, says nothing, and holds those that sshd keeps.
fn half_open(lab: &Lab, address: &str, port: u16) -> Result<Running> {
    let line = format!(
        "ulimit -n 4096; for i in $(seq {HALF_OPEN}); do exec {{fd}}<>/dev/tcp/{address}/{port}; done; echo all; sleep 600"
    );
    let mut held = lab.db1.command("bash").args(["-c", &line]).start()?;
    held.wait_for("all", PATIENCE)?;
    Ok(held)
}

/// Given logins that never end, from one address, then a stock sshd turns everybody away; with the documented setting ours turns away that address alone. Those with a key, which stand at their prompt, keep nobody out either, and jumpd forgets them.
pub(crate) fn a33_logins_that_never_end_keep_nobody_out(lab: &Lab) -> Result<()> {
    const PORT: u16 = 3301;
    const TRIES: usize = 12;
    let stock = lab.stock()?;
    let bine = lab.admin("bine").may_reach_databases().arrive()?;
    stock.account(&bine.seat)?;
    let sshd = OwnSshd::start(stock, PORT, BY_ITSELF)?;
    let held = half_open(lab, "10.77.2.4", PORT)?;
    let mut turned_away = 0;
    for _ in 0..TRIES {
        let there = bine.seat.command("ssh").args(sshd.options());
        turned_away += usize::from(there.args(["stock", "true"]).run()?.code() != 0);
    }
    drop((held, sshd));
    ensure!(turned_away > 0, "the stock host served everybody");

    let settings = format!("{BY_ITSELF}{DOCUMENTED}");
    lab.with_sshd_config("00-startups.conf", &settings, || {
        let _held = half_open(lab, "10.77.2.1", 22)?;
        for _ in 0..3 {
            bine.ssh(&["bastion", "whoami"])?.success()?;
        }
        Ok(())
    })?;

    let bork = lab.admin("bork").may_reach_databases().arrive()?;
    let jumpd = lab
        .bastion
        .shell("systemctl show --property=MainPID --value jumpd.service")
        .run()?
        .text()
        .parse()?;
    let before = descriptors(&lab.bastion, jumpd)?;
    let answering = bork.seat.answering::<String>(&[])?;
    let gate = answering.gate()?;
    let waiting = (0..AT_PROMPT)
        .map(|_| answering.ssh(["bastion", "whoami"]).start())
        .collect::<Result<Vec<_>>>()?;
    gate.wait_for_prompts(AT_PROMPT)?;
    let begun = Instant::now();
    bine.ssh(&["bastion", "whoami"])?.success()?;
    ensure!(
        begun.elapsed() < Duration::from_secs(10),
        "a login took {:?}",
        begun.elapsed()
    );
    drop((waiting, gate));
    wait_for("jumpd to have forgotten them", || {
        Ok(descriptors(&lab.bastion, jumpd)? <= before)
    })?;
    // A client that is killed at its prompt may answer nothing, which counts as a wrong code.
    lab.jumpctl("mfa unlock bork")?.success()?;
    bork.ssh(&["bastion", "whoami"])?.success()?;
    ensure!(
        bork.wait_events("session.opened", 1).len() == 1,
        "somebody got in without a code"
    );
    Ok(())
}
