//! A7: a tunnel device, by which the client stands in the jump host's networks.

use anyhow::{Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::lab::Lab;
use jump_lab::machine::Machine;
use jump_lab::process::Running;
use jump_lab::story::{PATIENCE, wait_for};

/// Devices of the client and of a jump host, made for the user, as somebody does who wants tunnels.
const HERE: u8 = 7;
const THERE: u8 = 8;

fn offer_device(machine: &Machine, number: u8, uid: u32) -> Result<()> {
    let line = format!(
        "chmod 666 /dev/net/tun; ip tuntap del dev tun{number} mode tun; \
         ip tuntap add dev tun{number} mode tun user {uid} && ip link set tun{number} up"
    );
    machine.shell(&line).run()?.success()?;
    Ok(())
}

/// Whether a program is at the device.
fn in_use(machine: &Machine, number: u8) -> Result<bool> {
    let line = format!("ip -o link show tun{number}");
    Ok(machine
        .shell(&line)
        .run()?
        .success()?
        .text()
        .contains("LOWER_UP"))
}

/// `ssh -w`, over a connection of its own; it says what came of it.
fn ask(admin: &Admin<'_>, host: &str) -> Result<Running> {
    let answers = match host {
        "stock" => Vec::new(),
        _ => vec![admin.authenticator()?.any_code()?],
    };
    let devices = format!("{HERE}:{THERE}");
    let answering = admin.seat.answering(&answers)?;
    answering.ssh(["-N", "-v", "-w", &devices, host]).start()
}

/// Given `DisableForwarding` and a key with `restrict`, then sshd before 10.4 opens a tunnel all the same, and the bastion none.
pub(crate) fn a07_no_tunnel_is_opened(lab: &Lab) -> Result<()> {
    let ivan = lab.admin("ivan").may_reach_databases().arrive()?;
    let stock = lab.stock()?;
    stock.account_with(&ivan.seat, "restrict")?;
    offer_device(&lab.client, HERE, ivan.seat.uid())?;
    offer_device(stock, THERE, ivan.seat.uid())?;
    offer_device(&lab.bastion, THERE, ivan.uid)?;
    let careful = "Match User ivan\n    DisableForwarding yes\n    PermitTunnel yes\n";
    stock.with_sshd_config("00-by-hand.conf", careful, || {
        let _there = ask(&ivan, "stock")?;
        wait_for("the tunnel", || in_use(stock, THERE))
    })?;
    let mut here = ask(&ivan, "bastion")?;
    here.wait_for("Server has rejected tunnel device forwarding", PATIENCE)?;
    ensure!(!in_use(&lab.bastion, THERE)?, "the device is in use");
    ivan.event("session.opened")?;
    Ok(())
}

/// Given `PermitTunnel yes` by hand and a device that root made for the user, then the session still opens no tunnel.
pub(crate) fn a07_no_tunnel_is_opened_even_with_a_changed_setting(lab: &Lab) -> Result<()> {
    let igor = lab.admin("igor").may_reach_databases().arrive()?;
    offer_device(&lab.client, HERE, igor.seat.uid())?;
    offer_device(&lab.bastion, THERE, igor.uid)?;
    let by_hand = "Match User igor\n    PermitTunnel yes\n";
    lab.with_sshd_config("00-by-hand.conf", by_hand, || {
        let mut here = ask(&igor, "bastion")?;
        here.wait_for("open failed", PATIENCE)?;
        ensure!(!in_use(&lab.bastion, THERE)?, "the device is in use");
        igor.event_where("forward.denied", |e| {
            e.get("JUMP_REASON") == "forbidden_call"
        })?;
        Ok(())
    })
}
