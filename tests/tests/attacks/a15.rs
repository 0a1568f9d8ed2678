//! A15: round in circles.

use super::way;
use anyhow::{Result, ensure};
use jump_lab::journal::Entry;
use jump_lab::lab::Lab;
use jump_lab::network::ECHO;
use jump_lab::story::wait_for;

/// Given a rule that covers whole networks, the bastion's own addresses among them, then those are refused, also one that it gets later.
pub(crate) fn a15_a_network_never_covers_the_bastion_itself(lab: &Lab) -> Result<()> {
    let sven = lab
        .admin("sven")
        .policy(format!(
            "[targets.everywhere]\nhosts = [\"10.77.0.0/16\", \"fd77::/16\", \"127.0.0.0/8\"]\nports = [22, {ECHO}]\n\
             [[rules]]\nname = \"sven-rule\"\neffect = \"allow\"\nusers = [\"sven\"]\ntargets = [\"everywhere\"]\n"
        ))
        .arrive()?;
    let stock = lab.stock()?;
    stock.account(&sven.seat)?;
    let _masters = (way::stock_master(&sven.seat)?, sven.open_master(&[])?);
    let circle = |host: &str| {
        let last = if host == "stock" { 4 } else { 1 };
        let mut own = vec![
            format!("{host}:22"),
            "localhost:22".to_owned(),
            "127.9.9.9:22".to_owned(),
        ];
        for network in [1, 2] {
            own.push(format!("10.77.{network}.{last}:22"));
            own.push(format!("[fd77:{network}::{last}]:22"));
        }
        own.push(format!("10.77.2.{}:22", 100 + last));
        own
    };
    for (machine, address) in [
        (&**stock, "10.77.2.104/24"),
        (&*lab.bastion, "10.77.2.101/24"),
    ] {
        machine
            .shell(&format!("ip address add {address} dev servers0"))
            .run()?
            .success()?;
    }
    // The list of own addresses is made anew every two seconds.
    let other = way::to(&sven.seat, "bastion", &format!("10.77.2.12:{ECHO}"))?;
    ensure!(way::answered(&other), "the network is listed: {other}");
    std::thread::sleep(std::time::Duration::from_secs(3));
    for destination in circle("stock") {
        let there = way::to(&sven.seat, "stock", &destination)?;
        ensure!(way::answered(&there), "stock: {destination}: {there}");
    }
    for destination in circle("bastion") {
        way::refused(&destination, &way::to(&sven.seat, "bastion", &destination)?)?;
    }
    let all = circle("bastion").len();
    // How the resolver library looks which of two addresses to prefer is refused as such.
    let judged = |e: &&Entry| e.get("JUMP_REASON") != "bad_protocol";
    wait_for("the refusals", || {
        Ok(sven.events("forward.denied").iter().filter(judged).count() >= all)
    })?;
    for event in sven.events("forward.denied").iter().filter(judged) {
        ensure!(event.get("JUMP_REASON") == "own_address", "{event}");
    }
    Ok(())
}

/// Given a listed host by which one comes back (a to b to a), then who comes back is judged by where they come from.
pub(crate) fn a15_who_comes_back_by_a_target_is_judged_anew(lab: &Lab) -> Result<()> {
    let stig = lab
        .admin("stig")
        .policy(format!(
            "[targets.other]\nhosts = [\"10.77.2.4\"]\nports = [22]\n\
             [targets.stig-db]\nhosts = [\"db1\"]\nports = [22, {ECHO}]\n\
             [[rules]]\nname = \"stig-rule\"\neffect = \"allow\"\nusers = [\"stig\"]\nfrom = [\"10.77.1.20\"]\n\
             targets = [\"other\", \"stig-db\"]\n"
        ))
        .arrive()?;
    let stock = lab.stock()?;
    stock.account(&stig.seat)?;
    // From a stock host to itself and back again: as often as one likes.
    let around = stig
        .seat
        .command("ssh")
        .args(["-J", "stock,stig@10.77.2.4", "stig@10.77.1.4", "hostname"])
        .run()?;
    ensure!(around.text() == "stock", "{around}");

    let out = stig.ssh(&["-J", "bastion", "stig@10.77.2.4", "hostname"])?;
    ensure!(out.text() == "stock", "the way out: {out}");
    let mut authenticator = stig.authenticator()?;
    let codes = [authenticator.any_code()?, authenticator.any_code()?];
    drop(authenticator);
    let mark = lab.journal.mark();
    let back = stig
        .seat
        .answering(&codes)?
        .ssh(["-J", "bastion,stig@10.77.2.4", "stig@10.77.2.1", "whoami"])
        .run()?;
    ensure!(back.code() != 0 && back.text().is_empty(), "{back}");
    // Sooner than the second factor: the key is good from the rule's addresses alone.
    let words = ["stig", "not from a permitted host", "10.77.2.4"];
    way::sshd_says(&lab.journal, mark, &words)
}
