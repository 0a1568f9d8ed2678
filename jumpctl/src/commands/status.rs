//! `jumpctl status`: what jumpd has in force.

use crate::client::Jumpd;
use crate::error::{Answer, Outcome};
use crate::output::{Output, printable};

pub(super) fn run(jumpd: &Jumpd, out: &mut Output) -> Answer {
    let status = jumpd.status()?;
    out.line(format_args!("jumpd {}", printable(&status.version)))?;
    match (&status.policy, status.generation) {
        (Some(policy), Some(generation)) => {
            out.line(format_args!(
                "Policy:     {policy}, generation {generation}"
            ))?;
        }
        _ => out.line("Policy:     none in force; nobody can log in (see `jumpctl check`)")?,
    }
    out.line(format_args!(
        "Groups:     {}",
        printable(&status.scope.join(", "))
    ))?;
    if !status.automation.is_empty() {
        out.line(format_args!(
            "Without second factor: {}",
            printable(&status.automation.join(", "))
        ))?;
    }
    out.line(format_args!("Sessions:   {}", status.sessions))?;
    out.json(&status)?;
    Ok(Outcome::from_bool(status.policy.is_some()))
}
