//! From a stock Debian to a jump server.

use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::network::{BASTION, Place};
use jump_lab::seat::{Seat, append};

/// A host that has just been installed: stock sshd, nothing of ours.
const FRESH: Place = Place {
    name: "fresh",
    addresses: &["10.77.1.2/24", "fd77:1::2/64"],
    second: &["10.77.2.2/24"],
    routes: &[],
    ..BASTION
};

/// Given stock hosts, when an admin jumps through one with stock ssh, then they arrive: the ground works without us.
pub(crate) fn the_lab_itself_is_sound(lab: &Lab) -> Result<()> {
    let fresh = lab.another(&FRESH)?;
    let seat = Seat::take(&lab.client, &[&fresh, &lab.db1], "stock")?;
    append(&fresh, "/root/.ssh/authorized_keys", seat.key())?;
    append(&fresh, "/etc/hosts", "10.77.2.11 db1")?;
    let state = fresh
        .command("systemctl")
        .args(["is-system-running"])
        .run()?;
    ensure!(state.text() == "running", "{state}");
    let output = seat.command("ssh").args([
        "-J",
        "root@10.77.1.2",
        "db1",
        "hostname; echo $SSH_CONNECTION",
    ]);
    let output = output.run()?.success()?;
    ensure!(output.text().starts_with("db1\n10.77.2.2 "), "{output}");
    Ok(())
}
