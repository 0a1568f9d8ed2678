//! A26: a public key that was only offered, taken as verified.

use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::machine::Machine;
use jump_lab::network::BASTION;
use jump_lab::process::Output;
use jump_lab::seat::Seat;
use jump_lab::story::{PATIENCE, wait_for};
use std::fs;

/// A client that lies about keys.
const LIAR: &str = include_str!("a26/liar.py");
/// A server that makes the mistake of CVE-2023-42818: a key it was asked about counts as shown.
const CREDULOUS: &str = include_str!("a26/credulous.py");
const PLACE: &str = "/root/a26";

/// Runs the lying client on a machine: whose name, which public key is offered, which private key signs (if any), which code.
fn lie(
    machine: &Machine,
    server: &str,
    user: &str,
    offered: &str,
    signing: &str,
    code: &str,
) -> Result<Output> {
    machine
        .command("python3")
        .args([
            &format!("{PLACE}/liar.py"),
            server,
            user,
            offered,
            signing,
            code,
        ])
        .run()
}

/// Puts a seat's key pair where the client of the machine finds it.
fn lend(machine: &Machine, seat: &Seat, name: &str) -> Result<()> {
    for kind in ["", ".pub"] {
        let bytes = fs::read(seat.path(&format!(".ssh/id_ed25519{kind}")))?;
        machine.write(&format!("{PLACE}/{name}{kind}"), bytes)?;
    }
    Ok(())
}

/// Given a server that believes a question, then a public key and a code are enough; given the bastion, then only a signature of the very key counts.
pub(crate) fn a26_only_the_key_that_signed_counts(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let mona = lab.admin("mona").may_reach_databases().arrive()?;
    let thief = Seat::take(&lab.client, &[], "mona-thief")?;
    fs::create_dir_all(stock.path(PLACE))?;
    stock.write(&format!("{PLACE}/liar.py"), LIAR)?;
    stock.write(&format!("{PLACE}/credulous.py"), CREDULOUS)?;
    lend(stock, &mona.seat, "mona")?;
    lend(stock, &thief, "thief")?;
    let bastion = format!("{}:22", BASTION.address());

    // The thief knows mona's public key, which is public, and a code that was watched.
    let code = mona.authenticator()?.recovery_code()?;
    let mut credulous = stock
        .command("python3")
        .args([
            &format!("{PLACE}/credulous.py"),
            "2601",
            &format!("{PLACE}/mona.pub"),
            &code,
        ])
        .start()?;
    wait_for("the credulous server", || {
        Ok(credulous.said().contains("listening") || credulous.ended()?)
    })?;
    let believed = lie(stock, "127.0.0.1:2601", "mona", "mona", "-", &code)?;
    ensure!(
        believed.text().ends_with("ran: as mona"),
        "the credulous server: {believed}\n{}",
        credulous.complained()
    );
    credulous.kill();

    let mark = lab.journal.mark();
    // A question alone, then the code: sshd does not go on to the code.
    let asked = lie(stock, &bastion, "mona", "mona", "-", &code)?;
    ensure!(
        asked.text().contains("offered: accepted") && asked.text().ends_with("refused"),
        "{asked}"
    );
    // mona's key offered and another's signature under it.
    let forged = lie(stock, &bastion, "mona", "mona", "thief", &code)?;
    ensure!(forged.text().ends_with("refused"), "{forged}");
    // mona's key asked about, then the thief's own key in good order.
    let own = lie(stock, &bastion, "mona", "mona,thief", "thief", &code)?;
    ensure!(own.text().ends_with("refused"), "{own}");
    ensure!(
        mona.events("mfa.ok").is_empty() && mona.events("mfa.failed").is_empty(),
        "a code was asked for or taken before a key was verified"
    );
    let told = lab.journal.wait(mark, 3, PATIENCE, |e| {
        e.get("SYSLOG_IDENTIFIER").starts_with("sshd") && e.message().contains(" user mona ")
    });
    ensure!(told.len() >= 3, "sshd tells of {} refusals", told.len());
    Ok(())
}

/// Given an admin with two keys, when one is asked about and the other signs, then the events name the one that signed.
pub(crate) fn a26_events_name_the_key_that_signed(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let second = Seat::take(&lab.client, &[], "nina-second")?;
    let nina = lab.admin("nina").may_reach_databases().arrive()?;
    lab.edit_policy(|policy| {
        let one = format!("keys = [\"{}\"]", nina.seat.key());
        let both = format!("keys = [\"{}\", \"{}\"]", nina.seat.key(), second.key());
        policy.replace("nina", &one, &both);
    })?;
    fs::create_dir_all(stock.path(PLACE))?;
    stock.write(&format!("{PLACE}/liar.py"), LIAR)?;
    lend(stock, &nina.seat, "nina")?;
    lend(stock, &second, "second")?;
    let bastion = format!("{}:22", BASTION.address());
    let code = nina.authenticator()?.recovery_code()?;
    let output = lie(stock, &bastion, "nina", "nina,second", "second", &code)?;
    ensure!(output.text().contains("ran: "), "{output}");
    let fingerprint = |name: &str| -> Result<String> {
        let shown = stock
            .sh(&format!("ssh-keygen -lf {PLACE}/{name}.pub"))?
            .text();
        Ok(shown.split(' ').nth(1).unwrap_or_default().to_owned())
    };
    let (signed, asked) = (fingerprint("second")?, fingerprint("nina")?);
    for kind in ["mfa.ok", "session.opened"] {
        let event = nina.event(kind)?;
        ensure!(event.get("JUMP_KEY_FP") == signed, "{event}");
        ensure!(!event.message().contains(&asked), "{event}");
    }
    Ok(())
}
