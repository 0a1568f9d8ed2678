//! Policies, people, places and instants, put together at random from parts
//! that touch each other: overlapping targets, nested sources, windows that
//! span midnight and the changes of summer time.

use super::host::{Person, Place};
use jiff::{Timestamp, ToSpan};
use jump_proto::Via;
use proptest::prelude::*;
use proptest::sample::select;
use std::net::IpAddr;

/// A policy in force, who asks, from where, where to, and when.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) policy: String,
    /// What the resolver says of each name.
    pub(super) names: Vec<(&'static str, Vec<IpAddr>)>,
    pub(super) who: Person,
    pub(super) source: IpAddr,
    pub(super) places: Vec<Place>,
    pub(super) now: Timestamp,
}

const KEYS: [&str; 3] = [
    "AAAAC3NzaC1lZDI1NTE5AAAAIMO4du/BYXHpkbWwykRTk7oAPt7qBSbuwJ/k/BXY2jbX",
    "AAAAC3NzaC1lZDI1NTE5AAAAIJ6gB2N1PoAzUSXCSjpdBkojqIhXPMlFIR2ZreJzzFxN",
    "AAAAC3NzaC1lZDI1NTE5AAAAILmnjoOliYmva/enYpKl5dSJ9pA0Vm7uB2rqMeMPnt8B",
];

const TARGETS: &str = r#"
[targets.one]
hosts = ["10.20.0.0/24"]
ports = [22]
[targets.two]
hosts = ["10.20.0.5", "10.21.0.0/16"]
ports = [22, "5432-5440"]
[targets.named]
hosts = ["db1.example.internal", "db2.example.internal"]
ports = [22, 443]
[targets.six]
hosts = ["2001:db8:20::/64"]
ports = ["1-65535"]
[targets.own]
hosts = ["127.0.0.1", "10.21.0.9"]
ports = [22]
"#;

/// Of the bastion itself.
pub(super) const OWN: [&str; 2] = ["127.0.0.1", "10.21.0.9"];

/// Sources that the rules tell apart, one or two for each network they name.
pub(super) const SOURCES: [&str; 8] = [
    "10.0.0.0",
    "10.1.0.0",
    "10.1.2.3",
    "10.255.255.255",
    "192.0.2.1",
    "198.51.100.1",
    "2001:db8:1::7",
    "2001:db8::1",
];

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn days() -> impl Strategy<Value = &'static str> {
    select(vec![
        "mon-fri", "sat", "fri-mon", "mon-sun", "mon-sun", "sun", "wed-thu",
    ])
}

fn hours() -> impl Strategy<Value = String> {
    let minute = (0..96_u16).prop_map(|q| q * 15);
    (minute.clone(), minute)
        .prop_filter("an interval has a length", |(a, b)| a != b)
        .prop_map(|(a, b)| format!("{:02}:{:02}-{:02}:{:02}", a / 60, a % 60, b / 60, b % 60))
}

fn zone() -> impl Strategy<Value = &'static str> {
    select(vec![
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
    let except = prop::option::of(1..28_u8);
    (days(), prop::collection::vec(hours(), 1..3), zone(), except).prop_map(
        move |(days, mut hours, zone, except)| {
            hours.dedup();
            let except = except.map_or(String::new(), |day| {
                format!("except = [2026-03-{day:02}, 2026-10-{day:02}]\n")
            });
            format!("[windows.{name}]\ndays = [\"{days}\"]\nhours = {hours:?}\ntimezone = \"{zone}\"\n{except}")
        },
    )
}

/// Changes of summer time of 2026 in many zones, and anywhere in that year.
fn instants() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        1_767_225_600..1_798_761_600_i64,
        1_774_569_600..1_774_915_200_i64, // 27 to 31 March
        1_792_713_600..1_793_145_600_i64, // 23 to 28 October
        1_775_260_800..1_775_433_600_i64, // 4 to 6 April
    ]
    .prop_map(|seconds| Timestamp::from_second(seconds).unwrap())
}

/// `valid_from` and `valid_until`, at most days away from now, and not on whole milliseconds only.
fn validity(now: Timestamp) -> impl Strategy<Value = String> {
    let nanos = || select(vec![0_i64, 1, 499_999_999, 500_000_000]);
    let from = prop::option::weighted(0.3, (-100..30_i64, nanos()));
    let length = prop::option::weighted(0.3, (1..200_i64, nanos()));
    (from, length).prop_map(move |(from, length)| {
        let mut text = String::new();
        let mut begin = now - 100.hours();
        if let Some((hours, nanos)) = from {
            begin = now + hours.hours() + nanos.nanoseconds();
            text.push_str(&format!("valid_from = {begin}\n"));
        }
        if let Some((hours, nanos)) = length {
            let end = begin + hours.hours() + nanos.nanoseconds();
            text.push_str(&format!("valid_until = {end}\n"));
        }
        text
    })
}

fn rule(number: usize) -> impl Strategy<Value = String> {
    let subject = select(vec![
        "users = [\"alice\"]",
        "users = [\"bob\"]",
        "groups = [\"dba\"]",
        "system_groups = [\"ad-admins\"]",
        "users = [\"alice\"]\nsystem_groups = [\"ad-admins\"]",
        "users = [\"robot\", \"bob\"]",
    ]);
    let from = select(vec![
        "",
        "",
        "from = [\"10.0.0.0/8\"]",
        "from = [\"10.1.0.0/16\"]",
        "from = [\"10.0.0.0/16\", \"10.255.0.0/16\"]",
        "from = [\"192.0.2.0/24\", \"2001:db8:1::/48\"]",
    ]);
    let targets = select(vec![
        "targets = [\"one\"]",
        "targets = [\"two\"]",
        "targets = [\"one\", \"two\"]",
        "targets = [\"named\"]",
        "targets = [\"six\", \"named\"]",
        "targets = [\"own\", \"two\"]",
        "",
    ]);
    let windows = select(vec![
        "",
        "windows = [\"a\"]",
        "windows = [\"b\"]",
        "windows = [\"a\", \"b\"]",
    ]);
    let via = select(vec!["", "", "via = [\"forward\"]", "via = [\"shell\"]"]);
    let deny = prop::bool::weighted(0.35);
    let record = prop::bool::weighted(0.2);
    let max = prop::bool::weighted(0.2);
    let mfa = select(vec![
        "",
        "",
        "mfa = [\"security-key\"]",
        "mfa = [\"recovery\", \"totp\"]",
    ]);
    let flags = (deny, record, max);
    (subject, from, targets, windows, via, flags, mfa).prop_map(
        move |(subject, from, targets, windows, via, (deny, record, max), mfa)| {
            let mfa = if deny { "" } else { mfa };
            let effect = if deny { "deny" } else { "allow" };
            // Only a denial is about everything, and automation is bound to its sources.
            let targets = if targets.is_empty() && !deny { "targets = [\"one\"]" } else { targets };
            let from = if from.is_empty() && subject.contains("robot") && !deny {
                "from = [\"10.1.0.0/16\"]"
            } else {
                from
            };
            let record = if record && !deny && !via.contains("forward") { "record = true" } else { "" };
            let max = if max && !deny { "max_session = \"4h\"" } else { "" };
            format!("[[rules]]\nname = \"r{number}\"\neffect = \"{effect}\"\n{subject}\n{from}\n{targets}\n{windows}\n{via}\n{record}\n{max}\n{mfa}\n")
        },
    )
}

fn policies(now: Timestamp) -> impl Strategy<Value = String> {
    let rules = (rule(0), rule(1), rule(2), rule(3), rule(4), 0..=5_usize);
    let people = (validity(now), validity(now), validity(now), zone());
    // Whatever is chosen, one is left.
    let narrowed = (
        select(vec![
            "",
            "mfa = [\"totp\", \"recovery\"]",
            "mfa = [\"security-key\"]",
        ]),
        select(vec!["", "", "mfa = [\"totp\", \"security-key\"]"]),
    );
    (window("a"), window("b"), rules, people, narrowed).prop_map(
        |(a, b, (r0, r1, r2, r3, r4, count), (alice, bob, robot, zone), (own, group))| {
            let [key1, key2, key3] = KEYS;
            let rules: String = [r0, r1, r2, r3, r4].into_iter().take(count).collect();
            format!(
                "version = 1\n[host]\ntimezone = \"{zone}\"\n[groups.dba]\ngid = 70100\n{group}\n\
                 [users.alice]\nuid = 70001\n{own}\ngroups = [\"dba\"]\nkeys = [\"ssh-ed25519 {key1}\"]\n{alice}\
                 [users.bob]\nuid = 70002\nkeys = [\"ssh-ed25519 {key2}\"]\n{bob}\
                 [users.robot]\nuid = 70003\nmfa = \"none\"\nkeys = [\"ssh-ed25519 {key3}\"]\n{robot}\
                 {a}{b}{TARGETS}{rules}"
            )
        },
    )
}

fn people() -> impl Strategy<Value = Person> {
    select(vec![
        Person::new("alice", 70001, &[]),
        Person::new("alice", 70001, &[]),
        Person::new("alice", 70001, &["ad-admins"]),
        Person::new("alice", 70001, &[]).with("security-key"),
        Person::new("alice", 70001, &[]).with("recovery"),
        Person::new("bob", 70002, &[]),
        Person::new("bob", 70002, &[]).with("security-key"),
        Person::new("robot", 70003, &[]).with("none"),
        // Known to the policy by a group only, or not at all.
        Person::new("dora", 1234, &["ad-admins"]),
        Person::new("mallory", 1235, &[]),
    ])
}

fn places() -> impl Strategy<Value = Vec<Place>> {
    let host = select(vec![
        "10.20.0.5",
        "10.20.0.9",
        "10.21.3.3",
        "10.21.0.9",
        "10.99.0.1",
        "2001:db8:20::5",
        "127.0.0.1",
        "169.254.1.1",
        "::ffff:10.20.0.5",
        "db1.example.internal",
        "DB1.example.internal.",
        "db2.example.internal",
        "unlisted.example.internal",
        "nowhere.example.internal",
    ]);
    let port = select(vec![22_u16, 22, 443, 5432, 5440, 5441]);
    let via = select(vec![Via::Forward, Via::Shell]);
    prop::collection::vec(
        (host, port, via).prop_map(|(host, port, via)| Place { host, port, via }),
        1..6,
    )
}

fn names() -> impl Strategy<Value = Vec<(&'static str, Vec<IpAddr>)>> {
    let addresses = || {
        prop::collection::vec(
            select(vec![
                "10.20.0.5",
                "10.21.3.3",
                "10.99.0.1",
                "2001:db8:20::5",
            ])
            .prop_map(ip),
            0..3,
        )
    };
    (addresses(), addresses(), addresses()).prop_map(|(one, two, unlisted)| {
        vec![
            ("db1.example.internal", one),
            ("db2.example.internal", two),
            ("unlisted.example.internal", unlisted),
        ]
    })
}

pub(super) fn cases() -> impl Strategy<Value = Case> {
    instants().prop_flat_map(|now| {
        (policies(now), names(), people(), select(&SOURCES), places()).prop_map(
            move |(policy, names, who, source, places)| Case {
                policy,
                names,
                who,
                source: ip(source),
                places,
                now,
            },
        )
    })
}
