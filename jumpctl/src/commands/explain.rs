//! `jumpctl explain`: the answer that PAM and the guard would get, and why.
//!
//! jumpd answers it with the code that decides logins, so the three can never
//! differ.

use super::destination;
use crate::client::Jumpd;
use crate::error::{Answer, Error, Outcome};
use crate::nss;
use crate::output::{Output, printable};
use crate::time;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use jump_proto::{ExplainRequest, Explanation, Method, Reply, Request, Via};
use std::net::IpAddr;

/// What is asked.
pub(super) struct Question {
    pub(super) user: String,
    pub(super) destination: String,
    pub(super) from: Option<IpAddr>,
    pub(super) at: Option<Timestamp>,
    pub(super) via: Via,
    pub(super) login: Option<String>,
    pub(super) mfa: Option<Method>,
}

pub(super) fn run(jumpd: &Jumpd, question: &Question, out: &mut Output) -> Answer {
    let (host, port) = destination::parse(&question.destination)?;
    let scope = jumpd.status()?.scope;
    let request = ExplainRequest {
        user: question.user.clone(),
        groups: nss::foreign_groups(&question.user, scope.first().map(String::as_str)),
        host: host.clone(),
        port,
        from: question.from,
        at_ms: question.at.map(Timestamp::as_millisecond),
        via: question.via,
        mfa: question.mfa,
        login: question.login.clone(),
    };
    let answer = ask(jumpd, request)?;
    for line in sentences(
        question,
        &destination::show(&host, port),
        &answer,
        &TimeZone::system(),
    ) {
        out.line(printable(&line))?;
    }
    out.json(&serde_json::json!({
        "user": question.user,
        "host": host,
        "port": port,
        "from": question.from,
        "via": question.via,
        "login": question.login,
        "record": answer.record,
        "allowed": answer.allowed,
        "reason": answer.reason,
        "rule": answer.rule,
        "changes": answer.changes_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()).map(|at| at.to_string()),
        "changes_ms": answer.changes_ms,
        "addresses": answer.addresses,
        "policy": answer.policy,
        "sentence": answer.sentence,
        "mfa": question.mfa.map_or(answer.mfa.clone(), |method| vec![method]),
    }))?;
    Ok(Outcome::from_bool(answer.allowed))
}

pub(super) fn ask(jumpd: &Jumpd, request: ExplainRequest) -> Result<Explanation, Error> {
    match jumpd.ask(&Request::Explain(request))? {
        Reply::Explained(answer) => Ok(answer),
        _ => Err(Error::WrongAnswer),
    }
}

fn sentences(
    question: &Question,
    destination: &str,
    answer: &Explanation,
    zone: &TimeZone,
) -> Vec<String> {
    let verb = if answer.allowed { "may" } else { "may not" };
    let from = question
        .from
        .map(|ip| format!(" from {ip}"))
        .unwrap_or_default();
    let at = question
        .at
        .map(|at| format!(" at {}", time::show(at.as_millisecond(), zone)))
        .unwrap_or_default();
    let with = question
        .mfa
        .map(|method| format!(" with {method}"))
        .unwrap_or_default();
    let login = question
        .login
        .as_ref()
        .map(|login| format!(" as {login}"))
        .unwrap_or_default();
    let mut lines = vec![format!(
        "{} {verb} reach {destination}{login} by {}{from}{at}{with}.",
        question.user,
        question.via.as_str()
    )];
    let rule = match (&answer.rule, answer.allowed) {
        (Some(rule), true) if answer.record => {
            format!("rule \"{rule}\" allows it while it is recorded")
        }
        (Some(rule), true) => format!("rule \"{rule}\" allows it"),
        (Some(rule), false) => format!("{} (nearest rule: \"{rule}\")", why(answer)),
        (None, _) => why(answer),
    };
    lines.push(format!("  Why:       {rule}"));
    if !answer.allowed && !answer.sentence.is_empty() {
        lines.push(format!("  User sees: {}", answer.sentence));
    }
    if !answer.mfa.is_empty() {
        lines.push(format!("  With:      {} only", listed(&answer.mfa)));
    }
    lines.push(match answer.changes_ms {
        Some(ms) => format!("  Changes:   {}", time::show(ms, zone)),
        None => "  Changes:   not by itself".to_owned(),
    });
    if !answer.addresses.is_empty() {
        let all: Vec<String> = answer.addresses.iter().map(ToString::to_string).collect();
        lines.push(format!("  Addresses: {}", all.join(", ")));
    }
    lines.push(format!("  Policy:    {}", answer.policy));
    lines
}

/// `totp, recovery`.
pub(super) fn listed(methods: &[Method]) -> String {
    let words: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    words.join(", ")
}

/// The reason as a clause; its word stays, because that is what stands in the journal.
fn why(answer: &Explanation) -> String {
    use jump_proto::Reason;
    let clause = match answer.reason {
        Reason::RuleDeny => "a deny rule matches",
        Reason::NoRule => "no rule speaks of this user",
        Reason::NoTarget => "no rule for this user names this destination",
        Reason::SourceAddress => "a rule would allow it, but not from this source address",
        Reason::OutsideWindow => "a rule would allow it, but its window is closed then",
        Reason::WrongVia => "a rule would allow it, but not this way",
        Reason::RecordRequired => {
            "the rule demands a recorded hop; whether one may be, --login NAME tells"
        }
        Reason::LoginName => "a rule would allow it, but not as that login name",
        Reason::MfaMethod if answer.rule.is_some() => {
            "a rule would allow it, but not with this second factor"
        }
        Reason::MfaMethod => "the policy does not take this second factor from this user",
        Reason::NotYetValid => "the user's valid_from is still to come",
        Reason::Expired => "the user's valid_until is past",
        Reason::UnknownUser => "neither the policy nor a system group of it knows this user",
        Reason::OwnAddress => "it is an address of the bastion itself, loopback or link-local",
        Reason::BadAddress => "the address embeds another one, or has no meaning here",
        _ => return answer.reason.as_str().to_owned(),
    };
    format!("{clause} ({})", answer.reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jump_proto::Reason;

    fn question() -> Question {
        Question {
            user: "alice".into(),
            destination: "db1:5432".into(),
            from: Some("10.1.2.3".parse().unwrap()),
            at: None,
            via: Via::Forward,
            login: None,
            mfa: None,
        }
    }

    #[test]
    fn a_closed_window_is_explained_with_its_rule_and_its_opening() {
        let answer = Explanation {
            allowed: false,
            reason: Reason::OutsideWindow,
            rule: Some("dba-office".into()),
            changes_ms: Some(1_795_417_200_000),
            addresses: vec!["10.20.0.1".parse().unwrap()],
            policy: "0123456789abcdef".into(),
            sentence: "Outside your access window; it opens Mon 2026-11-23 08:00 Europe/Paris."
                .into(),
            record: false,
            mfa: vec![],
        };
        let lines = sentences(
            &question(),
            "db1:5432",
            &answer,
            &TimeZone::get("Europe/Paris").unwrap(),
        );
        assert_eq!(
            lines,
            [
                "alice may not reach db1:5432 by forward from 10.1.2.3.",
                "  Why:       a rule would allow it, but its window is closed then (outside_window) (nearest rule: \"dba-office\")",
                "  User sees: Outside your access window; it opens Mon 2026-11-23 08:00 Europe/Paris.",
                "  Changes:   Mon 2026-11-23 08:00:00 CET",
                "  Addresses: 10.20.0.1",
                "  Policy:    0123456789abcdef",
            ]
        );
    }

    #[test]
    fn an_allowed_answer_names_its_rule() {
        let answer = Explanation {
            allowed: true,
            reason: Reason::RuleAllow,
            rule: Some("dba".into()),
            changes_ms: None,
            addresses: vec![],
            policy: "0".into(),
            sentence: String::new(),
            record: false,
            mfa: vec![Method::SecurityKey],
        };
        let lines = sentences(&question(), "db1:5432", &answer, &TimeZone::UTC);
        assert_eq!(
            lines[0],
            "alice may reach db1:5432 by forward from 10.1.2.3."
        );
        assert_eq!(lines[1], "  Why:       rule \"dba\" allows it");
        assert_eq!(lines[2], "  With:      security-key only");
        assert_eq!(lines[3], "  Changes:   not by itself");
    }

    #[test]
    fn a_hop_is_explained_with_its_login_name_and_its_recording() {
        let answer = Explanation {
            allowed: true,
            reason: Reason::RuleAllow,
            rule: Some("as-root".into()),
            changes_ms: None,
            addresses: vec![],
            policy: "0".into(),
            sentence: String::new(),
            record: true,
            mfa: vec![],
        };
        let asked = Question {
            via: Via::Shell,
            login: Some("root".into()),
            ..question()
        };
        let lines = sentences(&asked, "db1:22", &answer, &TimeZone::UTC);
        assert_eq!(
            lines[..2],
            [
                "alice may reach db1:22 as root by shell from 10.1.2.3.",
                "  Why:       rule \"as-root\" allows it while it is recorded",
            ]
        );
    }

    #[test]
    fn another_second_factor_is_explained_with_the_rule_that_asks_for_it() {
        let mut answer = Explanation {
            allowed: false,
            reason: Reason::MfaMethod,
            rule: Some("vault".into()),
            changes_ms: None,
            addresses: vec![],
            policy: "0".into(),
            sentence: String::new(),
            record: false,
            mfa: vec![],
        };
        let asked = Question {
            mfa: Some(Method::Totp),
            ..question()
        };
        let lines = sentences(&asked, "db1:5432", &answer, &TimeZone::UTC);
        assert_eq!(
            lines[..2],
            [
                "alice may not reach db1:5432 by forward from 10.1.2.3 with totp.",
                "  Why:       a rule would allow it, but not with this second factor (mfa_method) (nearest rule: \"vault\")",
            ]
        );
        answer.rule = None;
        assert_eq!(
            why(&answer),
            "the policy does not take this second factor from this user (mfa_method)"
        );
    }
}
