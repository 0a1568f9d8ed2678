//! `jumpctl who-can`: every user of the policy who would be let through to a destination.

use super::{destination, explain};
use crate::client::Jumpd;
use crate::error::{Answer, Error, Outcome};
use crate::output::{Output, printable};
use crate::time;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use jump_proto::{ExplainRequest, Explanation, Reply, Request, Via};
use std::net::IpAddr;

pub(super) fn run(
    jumpd: &Jumpd,
    text: &str,
    from: Option<IpAddr>,
    at: Option<Timestamp>,
    out: &mut Output,
) -> Answer {
    let (host, port) = destination::parse(text)?;
    let users = match jumpd.ask(&Request::MfaStatus { user: None })? {
        Reply::MfaStatus { users } => users,
        _ => return Err(Error::WrongAnswer),
    };
    let mut found: Vec<(String, Via, Explanation)> = Vec::new();
    for user in users {
        for via in [Via::Forward, Via::Shell] {
            let request = ExplainRequest {
                user: user.user.clone(),
                groups: Vec::new(),
                host: host.clone(),
                port,
                from,
                at_ms: at.map(Timestamp::as_millisecond),
                via,
                mfa: None,
                login: None,
            };
            let answer = explain::ask(jumpd, request)?;
            if answer.allowed {
                found.push((user.user.clone(), via, answer));
            }
        }
    }
    let zone = TimeZone::system();
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|(user, via, answer)| {
            vec![
                printable(user),
                via.as_str().to_owned(),
                printable(answer.rule.as_deref().unwrap_or_default()),
                explain::listed(&answer.mfa),
                answer
                    .changes_ms
                    .map_or_else(String::new, |ms| time::show(ms, &zone)),
            ]
        })
        .collect();
    if rows.is_empty() {
        out.line(format_args!(
            "No user of the policy may reach {}.",
            destination::show(&host, port)
        ))?;
    } else {
        out.table(&["USER", "VIA", "RULE", "WITH ONLY", "UNTIL"], &rows)?;
    }
    let json: Vec<_> = found
        .iter()
        .map(|(user, via, answer)| {
            serde_json::json!({
                "user": user, "via": via, "rule": answer.rule, "until_ms": answer.changes_ms,
                "mfa": answer.mfa,
            })
        })
        .collect();
    out.json(&json)?;
    Ok(Outcome::from_bool(!found.is_empty()))
}
