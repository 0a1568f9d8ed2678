//! DNS that swallows every question.

use super::{LIMIT, LOGIN, Visit, gets_through, within};
use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::network::ECHO;
use jump_lab::process::Output;

/// The client's second address: a resolver there would be asked, and nothing of what is sent to it arrives.
const BLACK_HOLE: &str = "10.77.1.99";

/// Given a resolver that never answers, and a policy with names that need it, then logins, decisions by address and an apply take no longer than three seconds, and a name nobody can resolve leads nowhere.
pub(crate) fn fault_a_resolver_that_never_answers_holds_nobody_up(lab: &Lab) -> Result<()> {
    for words in [
        "add table inet hole",
        "add chain inet hole input { type filter hook input priority 0; }",
        "add rule inet hole input meta l4proto { tcp, udp } th dport 53 drop",
    ] {
        lab.client.command("nft").args([words]).run()?.success()?;
    }
    lab.on_fragile_bastion(|bastion| {
        let silent = format!("nameserver {BLACK_HOLE}\n");
        let several = format!("nameserver {BLACK_HOLE}\nnameserver 10.77.1.98\nnameserver {BLACK_HOLE}\n");
        for (name, resolv_conf) in [("dagdine", silent), ("sina", several)] {
            bastion.shell(&format!("printf '{resolv_conf}' >/etc/resolv.conf")).run()?.success()?;
            let tables = format!(
                "[[rules]]\nname = \"{name}-vault\"\neffect = \"allow\"\nusers = [\"{name}\"]\ntargets = [\"{name}-vault\", \"databases\"]\n\
                 [targets.{name}-vault]\nhosts = [\"{name}-vault.example\"]\nports = [{ECHO}]\n"
            );
            let admin = lab.admin(name).at(bastion).policy(tables).arrive()?;
            let mut visit = Visit::of(bastion, admin)?;
            within(LIMIT, "jumpctl apply", || bastion.jumpctl("apply")?.success())?;
            // Twice: a second miss must not wait where the first one has.
            for _ in 0..2 {
                within(LIMIT, "a refusal by address", || visit.other_hosts_stay_closed())?;
                within(LIMIT, "an answer by address", || visit.forwards_as_before())?;
            }
            // sshd waits for three seconds at most here, with every connection of the session.
            let unknown = within(LIMIT + LOGIN, "a forward to a name", || visit.forward(&format!("{name}-vault.example:{ECHO}")))?;
            refused(&unknown)?;
            gets_through(bastion, &visit.admin)?;
            visit.flow_goes_on()?;
            visit.leave()?;
        }
        bastion.shell("rm /etc/resolv.conf").run()?.success()?;
        Ok(())
    })
}

fn refused(output: &Output) -> Result<()> {
    ensure!(output.code() != 0 && output.stdout.is_empty(), "{output}");
    Ok(())
}
