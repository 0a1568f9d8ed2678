//! A8: the agent of an admin, used by others on the jump host.

use super::way;
use anyhow::{Context, Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::seat::AGENT;
use jump_lab::story::PATIENCE;

/// Given `ssh -A`, then on the stock host root signs with the admin's key, and on the bastion there is no agent to be had.
pub(crate) fn a08_no_agent_is_forwarded(lab: &Lab) -> Result<()> {
    let jana = lab.admin("jana").may_reach_databases().arrive()?;
    let seat = &jana.seat;
    let stock = lab.stock()?;
    stock.account(seat)?;
    let _agent = seat.agent()?;
    let mut there = seat
        .command("ssh")
        .args(["-A", "stock", "echo $SSH_AUTH_SOCK; cat"])
        .env("SSH_AUTH_SOCK", &seat.home_path(AGENT))
        .open_input()
        .start()?;
    there.wait_for("agent", PATIENCE)?;
    // Somebody else on the host, as whom the key opens another door.
    let hijack = format!(
        "SSH_AUTH_SOCK={} ssh -o StrictHostKeyChecking=no ops@db1 hostname",
        there.said().trim()
    );
    let hijacked = stock.shell(&hijack).run()?.success()?;
    ensure!(hijacked.text() == "db1", "{hijacked}");

    let socket = seat.home_path(AGENT);
    let mut here = way::shell(&jana, &["-A"], &[("SSH_AUTH_SOCK", &socket)])?;
    let environment = way::of_the_shell(&lab.bastion, jana.uid, "environ")?;
    ensure!(!environment.contains("SSH_AUTH_SOCK"), "{environment:?}");
    let listening = way::listeners(&lab.bastion, jana.uid)?;
    ensure!(listening.is_empty(), "{listening}");
    here.say("exit\r")?;
    Ok(())
}

/// Given a setting by hand that allows agents, then the session's filter lets sshd open no socket for one.
pub(crate) fn a08_no_agent_is_forwarded_even_with_a_changed_setting(lab: &Lab) -> Result<()> {
    let jobst = lab.admin("jobst").may_reach_databases().arrive()?;
    let seat = &jobst.seat;
    let _agent = seat.agent()?;
    let by_hand = "Match User jobst\n    AllowAgentForwarding yes\n    DisableForwarding no\n";
    lab.with_sshd_config("00-by-hand.conf", by_hand, || {
        // What the key's own options forbid is allowed nowhere (authorized_keys `restrict`).
        let keys = lab
            .bastion
            .command("/usr/lib/jump/jump-keys")
            .args(["jobst"])
            .run()?
            .success()?;
        ensure!(
            keys.text().starts_with("restrict,port-forwarding,pty "),
            "{keys}"
        );
        let socket = seat.home_path(AGENT);
        let mut here = way::shell(&jobst, &["-A"], &[("SSH_AUTH_SOCK", &socket)])?;
        let listening = way::listeners(&lab.bastion, jobst.uid)?;
        ensure!(listening.is_empty(), "{listening}");
        here.say("exit\r")?;
        here.wait(PATIENCE).context("the shell")?;
        Ok(())
    })
}
