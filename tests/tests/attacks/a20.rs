//! A20: somebody listens to sshd's system calls already, as container managers do.

use super::a18::listed;
use anyhow::{Result, ensure};
use jump_lab::attack::{ATTACK, arm};
use jump_lab::lab::Lab;
use jump_lab::machine::Machine;
use jump_lab::process::Running;
use jump_lab::story::wait_for;

const PORT: &str = "2222";

/// A second sshd of the host's own, under a filter with a listener.
fn listened_sshd(host: &Machine) -> Result<Running> {
    arm(host)?;
    let sshd = host
        .command(ATTACK)
        .args(["listened", "/usr/sbin/sshd", "-D", "-p", PORT]);
    let sshd = sshd.args(["-o", "PidFile=none"]).start()?;
    wait_for("the second sshd", || {
        let listening = host.shell(&format!("ss -Hltn sport = :{PORT}")).run()?;
        Ok(!listening.text().is_empty())
    })?;
    Ok(sshd)
}

/// Given an outer listener, then a stock host lets an admin in and through, unguarded; ours refuses the session and says why.
pub(crate) fn a20_no_session_where_somebody_listens_already(lab: &Lab) -> Result<()> {
    let open = lab.open_bastion()?;
    let gail = lab.admin("gail").at(open).may_reach_databases().arrive()?;
    let stock = lab.stock()?;
    stock.account(&gail.seat)?;
    let (_stock, _open) = (listened_sshd(stock)?, listened_sshd(open)?);
    let listed = listed();
    let through = |host: &str| {
        let alias = format!("HostKeyAlias={host}");
        let code = gail.authenticator()?.any_code()?;
        gail.seat
            .answering(&[code])?
            .ssh(["-p", PORT, "-o", &alias, "-W", &listed, host])
            .input("hello\n")
            .run()
    };
    let free = through("stock")?;
    ensure!(free.text() == "hello", "{free}");
    let held = through("open")?;
    ensure!(held.code() != 0 && held.stdout.is_empty(), "{held}");
    let refused = gail.event("session.refused")?;
    ensure!(
        refused.get("JUMP_DETAIL").contains("LXC"),
        "it does not say why: {refused}"
    );
    ensure!(gail.events("forward.allowed").is_empty());
    Ok(())
}
