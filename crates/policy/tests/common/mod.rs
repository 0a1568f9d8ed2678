//! What the tests share: a small policy, a resolver made of a table, and short ways to ask.

#![allow(
    dead_code,
    clippy::panic,
    clippy::expect_used,
    reason = "each test file uses its part; a test stops at the first surprise"
)]

use jiff::Timestamp;
use jump_policy::{Decision, Destination, Names, NoNames, Policy, Subject};
use jump_proto::Via;
use std::net::IpAddr;

/// Accounts that every test policy begins with.
pub(crate) const ACCOUNTS: &str = r#"
version = 1
[host]
timezone = "Europe/Paris"
[groups.dba]
gid = 70100
[users.alice]
uid = 70001
groups = ["dba"]
keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMO4du/BYXHpkbWwykRTk7oAPt7qBSbuwJ/k/BXY2jbX alice@laptop"]
[users.bob]
uid = 70002
keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6gB2N1PoAzUSXCSjpdBkojqIhXPMlFIR2ZreJzzFxN bob@laptop"]
"#;

/// A key that no account above has.
pub(crate) const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILmnjoOliYmva/enYpKl5dSJ9pA0Vm7uB2rqMeMPnt8B backup@laptop";

/// The accounts and `rest`.
pub(crate) fn policy(rest: &str) -> Policy {
    parse(&format!("{ACCOUNTS}{rest}"))
}

/// A text that must be valid.
pub(crate) fn parse(text: &str) -> Policy {
    Policy::parse(text, "policy.toml", "UTC").unwrap_or_else(|errors| panic!("{errors}"))
}

/// The messages of a text that must be refused, each as `line:column message`.
pub(crate) fn refused(text: &str) -> Vec<String> {
    match Policy::parse(text, "policy.toml", "UTC") {
        Ok(_) => panic!("this was taken:\n{text}"),
        Err(errors) => errors
            .iter()
            .map(|e| format!("{}:{} {}", e.line, e.column, e.message))
            .collect(),
    }
}

/// An instant.
pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

/// An address.
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A destination.
pub(crate) fn to(text: &str) -> Destination {
    Destination::parse(text, None).expect("a destination")
}

/// A resolver made of a table, on a host with the given addresses.
#[derive(Default)]
pub(crate) struct Table {
    /// Names and their addresses.
    pub(crate) names: Vec<(&'static str, Vec<&'static str>)>,
    /// The host's own addresses.
    pub(crate) own: Vec<&'static str>,
}

impl Names for Table {
    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        self.names
            .iter()
            .filter(|(name, _)| *name == host)
            .flat_map(|(_, addresses)| addresses.iter().map(|a| ip(a)))
            .collect()
    }
    fn is_own(&self, address: IpAddr) -> bool {
        self.own.iter().any(|own| ip(own) == address)
    }
}

/// A Monday morning in office hours of Paris.
pub(crate) const MONDAY: &str = "2026-11-23T10:00:00+01:00";

/// Asks as `user` from 10.1.2.3 on [`MONDAY`], by forward, without a resolver.
pub(crate) fn ask(policy: &Policy, user: &str, target: &str) -> Decision {
    ask_as(
        policy,
        user,
        "10.1.2.3",
        target,
        Via::Forward,
        MONDAY,
        &NoNames,
    )
}

/// Asks anything.
pub(crate) fn ask_as(
    policy: &Policy,
    user: &str,
    from: &str,
    target: &str,
    via: Via,
    when: &str,
    names: &dyn Names,
) -> Decision {
    policy.judge(
        &Subject::user(user),
        ip(from),
        &to(target),
        via,
        at(when),
        names,
    )
}

/// The answer in short: `allow RULE` or `deny REASON RULE`.
pub(crate) fn short(decision: &Decision) -> String {
    match decision {
        Decision::Allow { rule, .. } => format!("allow {rule}"),
        Decision::Deny { reason, rule, .. } => match rule {
            Some(rule) => format!("deny {reason} {rule}"),
            None => format!("deny {reason}"),
        },
    }
}
