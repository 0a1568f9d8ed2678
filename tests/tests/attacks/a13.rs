//! A13: the host's files through sftp.

use super::way;
use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::process::Output;
use jump_lab::seat::Seat;
use jump_lab::story::{PATIENCE, wait_for};

/// An sftp client's first packet (SSH_FXP_INIT, version 3), which every sftp server answers.
const INIT: &str = "\0\0\0\x05\x01\0\0\0\x03";

/// Asks for a subsystem and begins to talk sftp to it, as long as it listens.
fn subsystem(seat: &Seat, host: &str, name: &str) -> Result<Output> {
    let mut asked = way::ssh(seat, host, &["-s"], &[name])
        .open_input()
        .start()?;
    // It may have ended before.
    let _unheard = asked.say(INIT);
    wait_for("an answer or an end", || {
        Ok(!asked.said().is_empty() || asked.ended()?)
    })?;
    asked.wait(PATIENCE)
}

/// Whether an sftp server answered: SSH_FXP_VERSION.
fn speaks_sftp(output: &Output) -> bool {
    output.stdout.get(4) == Some(&2)
}

/// Given the subsystem that Debian configures, then a stock host serves its files by it, and the bastion does not, nor by any other name,
/// nor one of a target's by the shell's `ssh`.
pub(crate) fn a13_no_subsystem_is_served(lab: &Lab) -> Result<()> {
    let pia = lab.admin("pia").may_reach_databases().arrive()?;
    lab.stock()?.account(&pia.seat)?;
    let _masters = (way::stock_master(&pia.seat)?, pia.open_master(&[])?);
    let there = subsystem(&pia.seat, "stock", "sftp")?;
    ensure!(speaks_sftp(&there), "{there}");
    for (host, whole) in [("stock", true), ("bastion", false)] {
        for path in [
            "/etc/passwd",
            "/tmp/../etc/passwd",
            "/usr/lib/jump/../../../etc/passwd",
        ] {
            pia.seat.write("batch", format!("get {path} taken\n"))?;
            let shared = format!("-oControlPath={}", way::shared(host));
            let got = pia
                .seat
                .command("sftp")
                .args([&shared, "-b", "batch", host])
                .run()?;
            ensure!(
                (got.code() == 0) == whole || host == "stock",
                "{host}: {got}"
            );
            let taken = std::fs::remove_file(pia.seat.path("taken")).is_ok();
            ensure!(taken == (got.code() == 0), "{host}: {path}: {got}");
            ensure!(whole || !taken, "{path} was taken from the bastion");
        }
    }
    for name in ["sftp", "internal-sftp", "nonsense", "/bin/sh", "sftp; sh"] {
        let here = subsystem(&pia.seat, "bastion", name)?;
        ensure!(
            here.code() != 0 && here.stdout.is_empty(),
            "{name:?}: {here}"
        );
    }
    for command in [
        "ssh -s db1 sftp",
        "ssh db1 -s sftp",
        "sftp db1",
        "scp x db1:",
    ] {
        let here = way::ssh(&pia.seat, "bastion", &[], &[command]).run()?;
        let here = here.expect_code(126)?;
        ensure!(here.stdout.is_empty(), "{command:?}: {here}");
    }
    ensure!(
        !pia.wait_events("shell.refused", 4).is_empty(),
        "no refusal"
    );
    Ok(())
}

/// Given `internal-sftp`, which sshd runs without any shell, then `ForceCommand` goes before it.
pub(crate) fn a13_not_even_the_one_inside_sshd(lab: &Lab) -> Result<()> {
    const SETTING: &str = "Subsystem files internal-sftp\n";
    let pola = lab.admin("pola").may_reach_databases().arrive()?;
    let stock = lab.stock()?;
    stock.account(&pola.seat)?;
    stock.with_sshd_config("00-by-hand.conf", SETTING, || {
        let there = subsystem(&pola.seat, "stock", "files")?;
        ensure!(speaks_sftp(&there), "{there}");
        Ok(())
    })?;
    lab.with_sshd_config("00-by-hand.conf", SETTING, || {
        let _master = pola.open_master(&[])?;
        let here = subsystem(&pola.seat, "bastion", "files")?;
        ensure!(here.code() == 126 && here.stdout.is_empty(), "{here}");
        pola.event("shell.refused")?;
        Ok(())
    })
}
