//! Answers about the session, laid out for a person or for a program.

use crate::clock::Clock;
use crate::sandbox::Prepared;
use crate::style::Style;
use crate::table::{fact, table};
use crate::text::{ascii_json, shown};
use jiff::Timestamp;
use jump_proto::{FlowInfo, Reach, Reason, SessionInfo, Via};
use serde::Serialize;
use std::fmt::Write;

/// Writing to a `String` cannot fail, so its result says nothing.
macro_rules! line {
    ($out:expr, $($argument:tt)*) => {{ let _ = writeln!($out, $($argument)*); }};
}

/// What a new session on a terminal is greeted with: its end, and its targets.
pub(crate) fn greeting(
    info: &SessionInfo,
    reach: &[Reach],
    clock: &Clock,
    now: Timestamp,
    style: Style,
) -> String {
    let mut out = String::new();
    match info.ends_ms {
        Some(end) => line!(
            out,
            "{}, your session on this jump server is open until {} ({} left){}.",
            shown(&info.user),
            clock.say(end),
            Clock::left(end, now),
            info.ends_reason
                .map_or_else(String::new, |reason| format!(": {}", why(reason))),
        ),
        None => line!(
            out,
            "{}, your session on this jump server has no set end.",
            shown(&info.user)
        ),
    }
    line!(out, "");
    out.push_str(&targets(reach, clock, style));
    line!(out, "");
    line!(out, "\"help\" lists the commands, \"exit\" leaves.");
    out
}

/// Everything that is known of the session.
pub(crate) fn card(
    info: &SessionInfo,
    prepared: &Prepared,
    now: Timestamp,
    style: Style,
) -> String {
    let clock = &prepared.clock;
    let until = info.ends_ms.map_or_else(
        || "no set end".to_owned(),
        |end| {
            let why = info
                .ends_reason
                .map_or_else(String::new, |r| format!(": {}", why(r)));
            format!("{}, {} left{why}", clock.say(end), Clock::left(end, now))
        },
    );
    let mut out = String::new();
    let mut say = |label: &str, value: &str| fact(&mut out, style, label, value);
    say("user", &format!("{} (uid {})", shown(&info.user), info.uid));
    say("session", info.session.as_str());
    let source = info.source;
    say("from", &format!("{} port {}", source.ip(), source.port()));
    say("since", &clock.say(info.opened_ms));
    say("until", &until);
    say("second factor", &shown(&info.mfa));
    if let Some(key) = &info.key_fingerprint {
        say("key", &shown(key));
    }
    let (session, shell) = (shown(&info.sandbox), &prepared.layers);
    say(
        "confinement",
        &format!("session: {session}; shell: {shell}"),
    );
    for (at, flow) in info.flows.iter().enumerate() {
        let label = if at == 0 { "connections" } else { "" };
        say(label, &connection(flow, clock));
    }
    out
}

fn connection(flow: &FlowInfo, clock: &Clock) -> String {
    let name = flow
        .name
        .as_deref()
        .map_or_else(String::new, |name| format!("{} ", shown(name)));
    format!(
        "{name}{} since {}, rule {}, by {}",
        flow.destination,
        clock.say(flow.since_ms),
        shown(&flow.rule),
        flow.via.as_str()
    )
}

/// The table of `targets`.
pub(crate) fn targets(reach: &[Reach], clock: &Clock, style: Style) -> String {
    if reach.is_empty() {
        return "There is no target that you may reach now.\n".to_owned();
    }
    let mut rows = vec![["TARGET", "HOSTS", "PORTS", "VIA", "RULE", "UNTIL"].map(str::to_owned)];
    rows.extend(reach.iter().map(|r| {
        [
            shown(&r.target),
            shown(&r.hosts.join(", ")),
            shown(&r.ports.join(", ")),
            ways(r),
            shown(&r.rule),
            r.until_ms
                .map_or_else(|| "no set end".to_owned(), |until| clock.say(until)),
        ]
    }));
    table(&rows, style)
}

fn ways(reach: &Reach) -> String {
    if reach.record {
        return "ssh here, recorded".to_owned();
    }
    reach
        .via
        .iter()
        .copied()
        .map(Via::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The answer as one line of JSON, in printable ASCII.
pub(crate) fn as_json<T: Serialize>(value: &T) -> String {
    // These types have string keys only, so they always have a JSON form.
    let json = serde_json::to_string(value).unwrap_or_default();
    format!("{}\n", ascii_json(&json))
}

/// Why a session ends when it ends, as the end of a sentence.
fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::WindowClosed | Reason::OutsideWindow => "your access window closes then",
        Reason::MaxSession => "no session may last longer",
        Reason::Expired => "your account ends then",
        other => other.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(target: &str, until_ms: Option<i64>) -> Reach {
        Reach {
            target: target.to_owned(),
            hosts: vec!["db1.example.internal".to_owned(), "10.20.0.0/24".to_owned()],
            ports: vec!["22".to_owned()],
            rule: "dba-office".to_owned(),
            via: vec![Via::Forward, Via::Shell],
            record: false,
            until_ms,
        }
    }

    #[test]
    fn the_table_has_one_line_per_target() {
        let table = targets(
            &[reach("databases", None), reach("x", Some(0))],
            &Clock::of_host(),
            Style::default(),
        );
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("TARGET     HOSTS"), "{table}");
        assert!(
            lines[1].starts_with(
                "databases  db1.example.internal, 10.20.0.0/24  22     forward, shell"
            ),
            "{table}"
        );
        assert!(lines[1].ends_with("no set end"), "{table}");
    }

    #[test]
    fn names_of_the_policy_cannot_steer_the_terminal() {
        let table = targets(
            &[reach("a\u{1b}[2Jb", None)],
            &Clock::of_host(),
            Style::default(),
        );
        assert!(!table.contains('\u{1b}'), "{table:?}");
    }

    #[test]
    fn a_rule_that_records_offers_only_the_hop() {
        let recorded = Reach {
            record: true,
            ..reach("x", None)
        };
        assert_eq!(ways(&recorded), "ssh here, recorded");
    }
}
