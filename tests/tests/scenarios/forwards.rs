//! What goes through, and to where.

use anyhow::{Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::lab::Lab;
use jump_lab::network::{ECHO, QUARTER};
use jump_lab::process::Output;
use std::time::Duration;

/// `ssh -W` over the shared connection.
fn through(admin: &Admin<'_>, destination: &str, input: &str) -> Result<Output> {
    admin
        .seat
        .command("ssh")
        .args(["-S", "master", "-W", destination, "bastion"])
        .input(input.as_bytes())
        .patience(Duration::from_secs(20))
        .run()
}

/// Given a rule for db1, then the ordinary tools copy files through the bastion.
pub(crate) fn scp_rsync_and_sftp_go_through(lab: &Lab) -> Result<()> {
    let beamar = lab.admin("beamar").may_reach_databases().arrive()?;
    let content: Vec<u8> = (0..300_000_u32).map(|i| (i % 253) as u8).collect();
    beamar.seat.write("file", &content)?;
    let arrived = |name: &str| -> Result<()> {
        let got = std::fs::read(lab.db1.path(&format!("/home/ops/{name}")))?;
        ensure!(got == content, "{name} differs");
        Ok(())
    };
    beamar
        .types("scp", &["-J", "bastion", "file", "db1:by-scp"])?
        .success()?;
    arrived("by-scp")?;
    beamar
        .types("rsync", &["-e", "ssh -J bastion", "file", "db1:by-rsync"])?
        .success()?;
    arrived("by-rsync")?;
    beamar.seat.write("batch", "put file by-sftp\n")?;
    beamar
        .types(
            "sftp",
            &["-J", "bastion", "-b", "batch", "-o", "BatchMode=no", "db1"],
        )?
        .success()?;
    arrived("by-sftp")?;
    Ok(())
}

/// Given a connection that carries a known number of bytes each way, then exactly those are in the journal.
pub(crate) fn bytes_and_duration_are_exact(lab: &Lab) -> Result<()> {
    const SENT: usize = 1_000_000;
    let leo = lab.admin("leo").may_reach_databases().arrive()?;
    let master = leo.open_master(&[])?;
    // The target reads to the end and sends a quarter back: both ways end in good order.
    let output = through(&leo, &format!("db1:{QUARTER}"), &"x".repeat(SENT))?;
    ensure!(
        output.stdout.len() == SENT / 4,
        "{} bytes came back",
        output.stdout.len()
    );
    let closed = leo.event("forward.closed")?;
    ensure!(
        closed.number("JUMP_BYTES_SENT") == Some(SENT as u64)
            && closed.number("JUMP_BYTES_RECEIVED") == Some(SENT as u64 / 4)
            && closed.get("JUMP_OUTCOME") == "success",
        "{closed}"
    );
    ensure!(
        closed
            .number("JUMP_DURATION_MS")
            .is_some_and(|ms| ms < 30_000),
        "{closed}"
    );
    drop(master);
    let end = leo.event("session.closed")?;
    ensure!(
        end.number("JUMP_BYTES_SENT") == Some(SENT as u64)
            && end.number("JUMP_DURATION_MS").is_some(),
        "{end}"
    );
    Ok(())
}

/// Given `-L` and `-D`, then they reach the targets of the policy and nothing else.
pub(crate) fn local_and_dynamic_forwards_go_to_targets_only(lab: &Lab) -> Result<()> {
    let mia = lab.admin("mia").may_reach_databases().arrive()?;
    let listed = format!("16432:db1:{ECHO}");
    let unlisted = format!("16433:db2:{ECHO}");
    let _master = mia.open_master(&["-L", &listed, "-L", &unlisted, "-D", "16434"])?;
    let echo = |args: &[&str]| {
        mia.seat
            .command("nc")
            .args(args.iter().copied())
            .input("hello\n")
            .run()
    };
    let through_l = echo(&["-N", "127.0.0.1", "16432"])?;
    ensure!(through_l.text() == "hello", "{through_l}");
    let refused = echo(&["-N", "127.0.0.1", "16433"])?;
    ensure!(refused.text().is_empty(), "{refused}");
    let socks = |host: &str| {
        echo(&[
            "-N",
            "-X",
            "5",
            "-x",
            "127.0.0.1:16434",
            host,
            &ECHO.to_string(),
        ])
    };
    let through_d = socks("10.77.2.11")?;
    ensure!(through_d.text() == "hello", "{through_d}");
    let refused = socks("10.77.2.12")?;
    ensure!(refused.text().is_empty(), "{refused}");
    let denied = mia.wait_events("forward.denied", 2);
    ensure!(
        denied.len() >= 2
            && denied.iter().all(
                |e| e.get("JUMP_DST_IP") == "10.77.2.12" && e.get("JUMP_REASON") == "no_target"
            ),
        "{denied:?}"
    );
    Ok(())
}
