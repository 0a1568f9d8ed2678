//! The user's own agent: who may bring one, and whose ssh gets to it.

use super::*;
use crate::agreement::host::{GUARD, Host, Live, Person};
use crate::hop_open::tests::{ip, judge, no, opened};
use std::net::SocketAddr;

const POLICY: &str = r#"
version = 1
[users.alice]
uid = 70001
keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMO4du/BYXHpkbWwykRTk7oAPt7qBSbuwJ/k/BXY2jbX"]
[users.bob]
uid = 70002
keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6gB2N1PoAzUSXCSjpdBkojqIhXPMlFIR2ZreJzzFxN"]
[targets.old]
hosts = ["10.20.0.5"]
ports = [22]
[targets.new]
hosts = ["10.20.0.6"]
ports = [22]
[[rules]]
name = "with-her-own"
effect = "allow"
users = ["alice"]
from = ["10.1.0.0/16"]
targets = ["old"]
agent = "forwarded"
[[rules]]
name = "by-the-ca"
effect = "allow"
users = ["alice", "bob"]
targets = ["new"]
[[rules]]
name = "as-root"
effect = "allow"
users = ["alice"]
targets = ["old"]
principals = ["root"]
"#;

fn old() -> SocketAddr {
    SocketAddr::new(ip("10.20.0.5"), 22)
}

fn new() -> SocketAddr {
    SocketAddr::new(ip("10.20.0.6"), 22)
}

fn host() -> Host {
    Host::new(POLICY, &[], &[ip("192.0.2.10")])
}

fn alice(host: &Host) -> Live {
    host.open(&Person::new("alice", 70001, &[]), ip("10.1.2.3"))
}

fn says(reply: &Reply) -> (bool, Reason) {
    match reply {
        Reply::Judged { allowed, reason } => (*allowed, *reason),
        other => panic!("{other:?}"),
    }
}

/// The process that [`judge`] names for a socket.
fn process(cookie: i32) -> i32 {
    5000 + cookie
}

#[test]
fn an_agent_comes_along_by_a_rule_only_and_the_journal_says_so_first() {
    let host = host();
    let live = alice(&host);
    let bring = |live: &Live, guard| says(&host.jumpd.bring_agent(&live.id, guard));
    assert_eq!(bring(&live, GUARD), (true, Reason::RuleAllow));
    let event = host.journal.events().pop().unwrap();
    assert_eq!(event.kind, Kind::AgentForwarded);
    let rule = event.fields.iter().find(|(name, _)| name == "JUMP_RULE");
    assert_eq!(rule.unwrap().1, "with-her-own");

    let brought = || {
        let events = host.journal.events();
        let kinds = events.iter().filter(|e| e.kind == Kind::AgentForwarded);
        kinds.count()
    };
    assert_eq!(brought(), 1);
    assert_eq!(
        bring(&live, GUARD + 1),
        (false, Reason::NoSession),
        "another's guard"
    );
    let elsewhere = host.open(&Person::new("alice", 70001, &[]), ip("10.2.2.3"));
    assert_eq!(
        bring(&elsewhere, GUARD),
        (false, Reason::NoRule),
        "another source"
    );
    let bob = host.open(&Person::new("bob", 70002, &[]), ip("10.1.2.3"));
    assert_eq!(bring(&bob, GUARD), (false, Reason::NoRule));
    assert_eq!(brought(), 1);
}

#[test]
fn without_an_agent_the_hop_is_refused_with_what_to_do() {
    let host = host();
    let live = alice(&host);
    let (reason, sentence) = no(&host, &live, "10.20.0.5");
    assert_eq!(reason, Reason::NoAgent);
    assert!(sentence.contains("ssh -A"), "{sentence}");
    // With one it needs no CA; the other rule does.
    host.jumpd.bring_agent(&live.id, GUARD);
    assert!(opened(&host, &live, "10.20.0.5").forwarded_agent);
    let event = host.journal.events().pop().unwrap();
    let agent = event.fields.iter().find(|(name, _)| name == "JUMP_AGENT");
    assert_eq!(agent.unwrap().1, "forwarded");
    assert_eq!(no(&host, &live, "10.20.0.6").0, Reason::NoCa);
}

#[test]
fn only_ssh_of_a_hop_that_logs_in_so_gets_to_the_agent() {
    let host = host();
    assert!(matches!(host.jumpd.ca_init(), Reply::Ca(_)));
    let live = alice(&host);
    host.jumpd.bring_agent(&live.id, GUARD);
    let uses = |cookie| says(&host.jumpd.use_agent(&live.id, process(cookie), GUARD)).0;
    opened(&host, &live, "10.20.0.5");
    assert!(!uses(1), "it is not connected");
    assert!(judge(&host, &live, old(), 1, true).0);
    assert!(uses(1));
    assert!(!uses(2), "another process");
    let other = says(&host.jumpd.use_agent(&live.id, process(1), GUARD + 1));
    assert_eq!(other, (false, Reason::WrongVia), "another's guard");

    assert!(!opened(&host, &live, "10.20.0.6").forwarded_agent);
    assert!(judge(&host, &live, new(), 2, true).0);
    assert!(!uses(2), "its hop logs in by the CA");
}

#[test]
fn one_address_is_logged_in_to_one_way_at_a_time() {
    let host = host();
    assert!(matches!(host.jumpd.ca_init(), Reply::Ca(_)));
    let live = alice(&host);
    host.jumpd.bring_agent(&live.id, GUARD);
    opened(&host, &live, "10.20.0.5");
    let (reason, sentence) = no(&host, &live, "root@10.20.0.5");
    assert_eq!(reason, Reason::Busy);
    assert!(sentence.contains("at once"), "{sentence}");
}
