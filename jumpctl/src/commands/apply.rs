//! `jumpctl apply`: the policy on disk into force.
//!
//! jumpd reads, checks and swaps; this end shows what came of it, and renews
//! sshd's drop-in when what it says of groups, automation users or agents changed. The unit
//! behind `jump-policy.path` runs exactly this.

use crate::client::Jumpd;
use crate::egress;
use crate::error::{Answer, Error, Outcome};
use crate::output::{Output, printable_lines, remark};
use crate::setup::{self, host::Host};
use jump_proto::{Reply, Request};

/// Which texts are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// The one that is there.
    This,
    /// The one that is there, and what is saved while it is applied, until there is nothing of that kind left.
    UntilSettled,
    /// Only what jumpd has not looked at yet, until there is nothing of that kind left.
    New,
}

impl Which {
    pub(super) fn of(if_new: bool, until_settled: bool) -> Self {
        match (if_new, until_settled) {
            (true, _) => Self::New,
            (false, true) => Self::UntilSettled,
            (false, false) => Self::This,
        }
    }
}

/// The answer is that of the text applied last.
pub(super) fn run(host: &dyn Host, jumpd: &Jumpd, which: Which, out: &mut Output) -> Answer {
    let mut outcome = None;
    if which != Which::New {
        let reply = jumpd.ask(&Request::Apply)?;
        outcome = Some(show(host, reply, out)?);
    }
    if which != Which::This {
        loop {
            match jumpd.ask(&Request::ApplyIfNew)? {
                Reply::Done => break,
                reply => outcome = Some(show(host, reply, out)?),
            }
        }
    }
    if outcome.is_none() {
        out.json(&serde_json::json!({ "applied": false, "reason": null, "report": null }))?;
    }
    Ok(outcome.unwrap_or(Outcome::Yes))
}

fn show(host: &dyn Host, reply: Reply, out: &mut Output) -> Answer {
    let applied = match reply {
        Reply::Applied(applied) => applied,
        Reply::Rejected { reason, report } => {
            out.line(printable_lines(&report))?;
            out.line("The policy is refused; the one in force stays.")?;
            out.json(&serde_json::json!({ "applied": false, "reason": reason, "report": report }))?;
            return Ok(Outcome::No);
        }
        _ => return Err(Error::WrongAnswer),
    };
    for warning in &applied.warnings {
        if !out.is_json() {
            remark(printable_lines(warning));
        }
    }
    let state = if applied.changed {
        "is in force"
    } else {
        "was in force already"
    };
    out.line(format_args!(
        "The policy {} {state} as generation {}.",
        applied.policy, applied.generation
    ))?;
    // Both are tried, whatever becomes of the other.
    let egress = egress::follow(host);
    let sshd = setup::renew_drop_in(host, &applied).map_err(|e| {
        Error::failed(format!(
            "the policy is in force, but sshd is not told of it: {e}"
        ))
    })?;
    if sshd {
        out.line("sshd's drop-in was renewed: the groups, automation users or agents that it is for have changed.")?;
    }
    if egress? {
        out.line("The egress ruleset follows.")?;
    }
    out.json(&serde_json::json!({
        "applied": true,
        "changed": applied.changed,
        "generation": applied.generation,
        "policy": applied.policy,
        "scope": applied.scope,
        "automation": applied.automation,
        "warnings": applied.warnings,
        "sshd_renewed": sshd,
    }))?;
    Ok(Outcome::Yes)
}
