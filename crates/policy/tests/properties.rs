//! What must hold for every policy and every question, not only for the ones somebody thought of.

mod common;

use common::{ACCOUNTS, ip};
use jiff::{SignedDuration, Timestamp};
use jump_policy::{Decision, Destination, Method, NoNames, Policy, Subject};
use jump_proto::Via;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};

const EXAMPLE: &str = include_str!("../examples/policy.toml");

/// The answer without the times of its changes.
fn substance(decision: &Decision) -> Decision {
    let mut decision = decision.clone();
    match &mut decision {
        Decision::Allow { until, .. } => *until = None,
        Decision::Deny { until, opens, .. } => (*until, *opens) = (None, None),
    }
    decision
}

fn days() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "mon-fri", "sat", "fri-mon", "mon-sun", "sun", "wed-thu",
    ])
    .prop_map(str::to_owned)
}

fn hours() -> impl Strategy<Value = String> {
    let minute = (0..96_u16).prop_map(|q| q * 15);
    (minute.clone(), minute)
        .prop_filter("an interval has a length", |(a, b)| a != b)
        .prop_map(|(a, b)| format!("{:02}:{:02}-{:02}:{:02}", a / 60, a % 60, b / 60, b % 60))
}

fn zone() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "Europe/Paris",
        "America/Santiago",
        "Australia/Lord_Howe",
        "Asia/Kolkata",
        "UTC",
        "Africa/Casablanca",
        "America/St_Johns",
    ])
}

fn window(name: &'static str) -> impl Strategy<Value = String> {
    (days(), prop::collection::vec(hours(), 1..3), zone(), prop::option::of(1..28_u8)).prop_map(move |(days, hours, zone, except)| {
        let mut hours = hours;
        hours.dedup();
        let except = except.map(|day| format!("except = [2026-03-{day:02}, 2026-10-{day:02}]\n")).unwrap_or_default();
        format!("[windows.{name}]\ndays = [\"{days}\"]\nhours = {hours:?}\ntimezone = \"{zone}\"\n{except}")
    })
}

fn rule(number: usize) -> impl Strategy<Value = String> {
    let subject = prop::sample::select(vec![
        "users = [\"alice\"]",
        "users = [\"bob\"]",
        "groups = [\"dba\"]",
        "users = [\"alice\", \"bob\"]",
    ]);
    let from = prop::sample::select(vec![
        "",
        "from = [\"10.0.0.0/8\"]",
        "from = [\"192.0.2.0/24\"]",
    ]);
    let targets = prop::sample::select(vec!["[\"one\"]", "[\"two\"]", "[\"one\", \"two\"]"]);
    let windows = prop::sample::select(vec![
        "",
        "windows = [\"a\"]",
        "windows = [\"b\"]",
        "windows = [\"a\", \"b\"]",
    ]);
    let via = prop::sample::select(vec!["", "via = [\"forward\"]", "via = [\"shell\"]"]);
    let mfa = prop::sample::select(vec![
        "",
        "",
        "mfa = [\"security-key\"]",
        "mfa = [\"totp\", \"security-key\"]",
    ]);
    (subject, from, targets, windows, via, any::<bool>(), any::<bool>(), mfa).prop_map(move |(subject, from, targets, windows, via, deny, record, mfa)| {
        let mfa = if deny { "" } else { mfa };
        let effect = if deny { "deny" } else { "allow" };
        let record = if record && !deny && via != "via = [\"forward\"]" { "record = true" } else { "" };
        format!("[[rules]]\nname = \"r{number}\"\neffect = \"{effect}\"\n{subject}\n{from}\ntargets = {targets}\n{windows}\n{via}\n{record}\n{mfa}\n")
    })
}

/// A text made of valid parts: the accounts, windows, targets, rules.
fn policies() -> impl Strategy<Value = String> {
    let rules = (rule(0), rule(1), rule(2), rule(3), 1..=4_usize);
    (window("a"), window("b"), rules).prop_map(|(a, b, (r0, r1, r2, r3, count))| {
        let rules: String = [r0, r1, r2, r3].into_iter().take(count).collect();
        format!(
            "{ACCOUNTS}{a}{b}[targets.one]\nhosts = [\"10.20.0.0/24\"]\nports = [22]\n[targets.two]\nhosts = [\"10.20.0.5\", \"10.21.0.0/16\"]\nports = [22, 5432]\n{rules}"
        )
    })
}

#[derive(Debug, Clone)]
struct Ask {
    who: Subject,
    from: IpAddr,
    to: Destination,
    via: Via,
    now: Timestamp,
}

impl Ask {
    fn judged(&self, policy: &Policy, now: Timestamp) -> Decision {
        policy.judge(&self.who, self.from, &self.to, self.via, now, &NoNames)
    }
}

/// Instants around the changes of summer time of 2026 in many zones, and anywhere in that year.
fn instants() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        1_767_225_600..1_798_761_600_i64,
        1_774_569_600..1_774_915_200_i64, // 27 to 31 March
        1_792_713_600..1_793_145_600_i64, // 23 to 28 October
        1_775_260_800..1_775_433_600_i64, // 4 to 6 April
    ]
    .prop_map(|seconds| Timestamp::from_second(seconds).unwrap_or_default())
}

fn asks() -> impl Strategy<Value = Ask> {
    let user = prop::sample::select(vec!["alice", "bob"]);
    let from = prop::sample::select(vec!["10.1.2.3", "192.0.2.1", "198.51.100.1"]);
    let to = prop::sample::select(vec!["10.20.0.5", "10.20.0.9", "10.21.3.3", "10.99.0.1"]);
    let port = prop::sample::select(vec![22_u16, 5432]);
    let via = prop::sample::select(vec![Via::Forward, Via::Shell]);
    let given = prop::sample::select(vec![
        Some(Method::Totp),
        Some(Method::SecurityKey),
        Some(Method::Recovery),
        None,
    ]);
    (user, from, to, port, via, given, instants()).prop_map(
        |(user, from, to, port, via, given, now)| Ask {
            who: Subject::user(user).with(given),
            from: ip(from),
            to: Destination::Address(ip(to), port),
            via,
            now,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn until_is_exactly_when_the_answer_changes(text in policies(), ask in asks()) {
        let policy = common::parse(&text);
        let decision = ask.judged(&policy, ask.now);
        let answer = substance(&decision);
        // Every boundary of these policies stands on a quarter of an hour (Lord Howe and St John's included).
        let quarter = SignedDuration::from_mins(15);
        let nano = SignedDuration::from_nanos(1);
        let end = decision.until().unwrap_or(ask.now + SignedDuration::from_hours(9 * 24));
        let mut at = ask.now + (quarter - SignedDuration::from_secs(ask.now.as_second() % 900));
        while at < end {
            prop_assert_eq!(&substance(&ask.judged(&policy, at - nano)), &answer, "before {}", at);
            prop_assert_eq!(&substance(&ask.judged(&policy, at)), &answer, "at {}", at);
            at += quarter;
        }
        if let Some(until) = decision.until() {
            prop_assert!(until > ask.now);
            prop_assert_eq!(&substance(&ask.judged(&policy, until - nano)), &answer);
            prop_assert_ne!(&substance(&ask.judged(&policy, until)), &answer);
        }
        if let Decision::Deny { opens, until, .. } = &decision {
            if let Some(opens) = opens {
                prop_assert!(until.is_some_and(|until| until <= *opens));
                prop_assert!(ask.judged(&policy, *opens).is_allow());
                prop_assert!(!ask.judged(&policy, *opens - nano).is_allow());
            }
            // Nothing opens before it says.
            let mut at = ask.now;
            let horizon = opens.unwrap_or(ask.now + SignedDuration::from_hours(9 * 24));
            while at < horizon {
                prop_assert!(!ask.judged(&policy, at).is_allow(), "at {}", at);
                at += SignedDuration::from_mins(60);
            }
        }
    }

    #[test]
    fn admit_reach_and_judge_agree(text in policies(), ask in asks()) {
        let policy = common::parse(&text);
        let admitted = policy.admit(&ask.who, ask.from, ask.now).is_allow();
        let reach = policy.reach(&ask.who, ask.from, ask.now);
        prop_assert_eq!(admitted, !reach.is_empty());
        // What is judged possible was admitted.
        if ask.judged(&policy, ask.now).is_allow() {
            prop_assert!(admitted);
        }
        // Each entry of reach stays as it is until it says, and not longer.
        for entry in &reach {
            if let Some(until) = entry.until {
                let later = policy.reach(&ask.who, ask.from, until);
                prop_assert!(!later.iter().any(|l| l.rule == entry.rule && l.target == entry.target && l.via == entry.via));
                let just_before = policy.reach(&ask.who, ask.from, until - SignedDuration::from_nanos(1));
                prop_assert!(just_before.contains(entry));
            }
        }
        // The session ends when it would no longer be admitted, and not before.
        if let Some((end, _)) = policy.session_end(&ask.who, ask.from, ask.now, ask.now) {
            prop_assert!(end >= ask.now);
            let most = ask.now + SignedDuration::try_from(policy.session().max).unwrap_or_default();
            prop_assert!(end <= most);
            if end > ask.now {
                prop_assert!(policy.admit(&ask.who, ask.from, end - SignedDuration::from_nanos(1)).is_allow());
            }
            if end < most {
                prop_assert!(!policy.admit(&ask.who, ask.from, end).is_allow());
            }
        }
    }

    #[test]
    fn a_denial_added_anywhere_never_grants(text in policies(), extra in rule(9), ask in asks()) {
        let policy = common::parse(&text);
        let denial = extra.replace("effect = \"allow\"", "effect = \"deny\"").replace("record = true", "").replace("mfa = ", "# ");
        let (head, rules) = text.split_at(text.find("[[rules]]").unwrap_or(text.len()));
        for text in [format!("{text}{denial}"), format!("{head}{denial}{rules}")] {
            let stricter = common::parse(&text);
            if ask.judged(&stricter, ask.now).is_allow() {
                prop_assert!(ask.judged(&policy, ask.now).is_allow());
            }
        }
    }

    #[test]
    fn an_allow_rule_added_never_refuses(text in policies(), extra in rule(9), ask in asks()) {
        let policy = common::parse(&text);
        let grant = extra.replace("effect = \"deny\"", "effect = \"allow\"");
        let wider = common::parse(&format!("{text}{grant}"));
        if ask.judged(&policy, ask.now).is_allow() {
            prop_assert_eq!(ask.judged(&wider, ask.now), ask.judged(&policy, ask.now));
        }
    }

    #[test]
    fn the_ipv6_spelling_of_an_ipv4_address_changes_nothing(text in policies(), ask in asks(), from in any::<u32>(), to in any::<u32>()) {
        let policy = common::parse(&text);
        for (from, to) in [(None, None), (Some(from), Some(to))] {
            let from = from.map_or(ask.from, |bits| IpAddr::V4(Ipv4Addr::from(bits)));
            let (IpAddr::V4(from4), Destination::Address(IpAddr::V4(to4), port)) = (from, &ask.to) else { continue };
            let to4 = to.map_or(*to4, Ipv4Addr::from);
            let plain = policy.judge(&ask.who, from, &Destination::Address(to4.into(), *port), ask.via, ask.now, &NoNames);
            let mapped = policy.judge(
                &ask.who,
                from4.to_ipv6_mapped().into(),
                &Destination::Address(to4.to_ipv6_mapped().into(), *port),
                ask.via,
                ask.now,
                &NoNames,
            );
            prop_assert_eq!(plain, mapped);
        }
    }

    #[test]
    fn a_mutated_text_is_taken_or_refused_and_never_a_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![Just(None), any::<char>().prop_map(Some), prop::sample::select("[]{}=\"'#\n.,-0T:+\\\u{0}\u{202e}é".chars().collect::<Vec<_>>()).prop_map(Some)]), 1..6),
        ask in asks(),
    ) {
        let mut text: Vec<char> = EXAMPLE.chars().collect();
        for (index, edit) in edits {
            let at = index.index(text.len());
            match edit {
                Some(c) => text.insert(at, c),
                None => { text.remove(at); }
            }
        }
        let text: String = text.into_iter().collect();
        match Policy::parse(&text, "policy.toml", "UTC") {
            Ok(policy) => {
                let _ = policy.run_tests();
                let _ = ask.judged(&policy, ask.now);
            }
            Err(errors) => {
                prop_assert!(errors.iter().len() > 0);
                let shown = errors.to_string();
                prop_assert!(shown.chars().all(|c| c == '\n' || !c.is_control()));
                for error in errors.iter() {
                    prop_assert!(error.line >= 1 && error.column >= 1 && error.line <= text.lines().count() + 1);
                }
            }
        }
    }

    #[test]
    fn any_text_is_refused_or_taken_without_a_panic(text in "\\PC{0,200}", lines in "([a-z\\[\\]]{0,9} ?=? ?[\\[\"a-z0-9:-]{0,9}\n){0,20}") {
        let _ = Policy::parse(&text, "policy.toml", "UTC");
        let _ = Policy::parse(&lines, "policy.toml", "UTC");
        let _ = Destination::parse(&text, Some(22));
    }
}

/// Denials first, and in each rule what narrows it before `targets`: what a text so written loses at its end only ever granted.
const NARROWING_FIRST: &str = r#"
[users.temp]
valid_until = 2026-06-30
uid = 70005
keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILmnjoOliYmva/enYpKl5dSJ9pA0Vm7uB2rqMeMPnt8B"]
[targets.one]
hosts = ["10.20.0.0/24"]
ports = [22, 5432]
[targets.secret]
hosts = ["10.20.0.5"]
ports = [22]
[windows.office]
except = [2026-12-25]
days = ["mon-fri"]
hours = ["08:00-12:00", "13:00-18:00"]
[[rules]]
name = "no"
effect = "deny"
users = ["alice", "temp"]
targets = ["secret"]
[[rules]]
name = "office"
effect = "allow"
via = ["forward"]
from = ["10.0.0.0/8"]
windows = ["office"]
users = ["alice", "temp"]
targets = ["one", "secret"]
[[rules]]
name = "recorded"
effect = "allow"
record = true
users = ["bob"]
targets = ["one"]
"#;

#[test]
fn a_truncated_text_never_grants_more() {
    let whole_text = format!("{ACCOUNTS}{NARROWING_FIRST}");
    let whole = common::parse(&whole_text);
    let instants = [
        "2026-05-04T10:00:00+02:00",
        "2026-11-23T10:00:00+01:00",
        "2026-11-22T10:00:00+01:00",
        "2026-12-25T10:00:00+01:00",
    ];
    let mut taken = 0;
    for cut in 0..whole_text.len() {
        let Some(text) = whole_text.get(..cut) else {
            continue;
        };
        let Ok(policy) = Policy::parse(text, "policy.toml", "UTC") else {
            continue;
        };
        taken += 1;
        for (user, from, to, port, via, now) in instants.iter().flat_map(|now| {
            ["alice", "bob", "temp"].into_iter().flat_map(move |user| {
                ["10.1.2.3", "192.0.2.1"].into_iter().flat_map(move |from| {
                    ["10.20.0.5", "10.20.0.6"].into_iter().flat_map(move |to| {
                        [22, 5432].into_iter().flat_map(move |port| {
                            [Via::Forward, Via::Shell]
                                .into_iter()
                                .map(move |via| (user, from, to, port, via, *now))
                        })
                    })
                })
            })
        }) {
            let ask = |policy: &Policy| {
                policy
                    .judge(
                        &Subject::user(user),
                        ip(from),
                        &Destination::Address(ip(to), port),
                        via,
                        common::at(now),
                        &NoNames,
                    )
                    .is_allow()
            };
            assert!(
                !ask(&policy) || ask(&whole),
                "cut at {cut}: {user} from {from} to {to}:{port} at {now}\n{text}"
            );
        }
    }
    assert!(taken > 5, "only {taken} cuts were valid at all");
}
