//! Hops from their opening to their end, without sockets but the guard's.

use crate::agreement::host::{GUARD, Host, Live, Person};
use crate::carriers::Process;
use jiff::Timestamp;
use jump_audit::Kind;
use jump_proto::{
    ExplainRequest, HopOpened, HopRequest, JudgeRequest, Push, Reason, Reply, Request, Via,
};
use std::net::{IpAddr, SocketAddr};

const POLICY: &str = r#"
version = 1
[users.alice]
uid = 70001
keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMO4du/BYXHpkbWwykRTk7oAPt7qBSbuwJ/k/BXY2jbX"]
[users.bob]
uid = 70002
keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6gB2N1PoAzUSXCSjpdBkojqIhXPMlFIR2ZreJzzFxN"]
[targets.db]
hosts = ["db1.example.internal"]
ports = [22]
host_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILmnjoOliYmva/enYpKl5dSJ9pA0Vm7uB2rqMeMPnt8B"]
[targets.web]
hosts = ["web1.example.internal", "web2.example.internal"]
ports = [22]
[targets.odd]
hosts = ["10.20.0.9"]
ports = [2222]
[[rules]]
name = "own"
effect = "allow"
users = ["alice"]
targets = ["web", "odd"]
[[rules]]
name = "as-root"
effect = "allow"
users = ["alice"]
targets = ["db"]
principals = ["root", "postgres"]
record = true
[[rules]]
name = "plain"
effect = "allow"
users = ["alice"]
targets = ["db"]
principals = ["reader"]
"#;

const DB: &str = "10.20.0.5";

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn host() -> Host {
    let names = [
        ("db1.example.internal", vec![ip(DB)]),
        ("web1.example.internal", vec![ip("10.20.0.6")]),
        ("web2.example.internal", vec![]),
    ];
    let host = Host::new(POLICY, &names, &[ip("192.0.2.10"), ip("127.0.0.1")]);
    assert!(matches!(host.jumpd.ca_init(), Reply::Ca(_)));
    host
}

pub(crate) fn alice(host: &Host) -> Live {
    host.open(&Person::new("alice", 70001, &[]), ip("10.1.2.3"))
}

/// The jump-shell of these tests.
pub(crate) fn shell() -> Process {
    Process::of(i32::try_from(std::process::id()).unwrap())
}

fn ask(host: &Host, live: &Live, target: &str) -> Reply {
    let (login, rest) = match target.split_once('@') {
        Some((login, rest)) => (Some(login.to_owned()), rest),
        None => (None, target),
    };
    let (name, port) = match rest.split_once(' ') {
        Some((name, port)) => (name, port.parse().ok()),
        None => (rest, None),
    };
    let request = HopRequest {
        host: name.to_owned(),
        port,
        login,
    };
    host.jumpd
        .answer_shell(&live.id, Some(shell()), Request::HopOpen(request))
}

pub(crate) fn opened(host: &Host, live: &Live, target: &str) -> HopOpened {
    match ask(host, live, target) {
        Reply::Hop(opened) => opened,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn no(host: &Host, live: &Live, target: &str) -> (Reason, String) {
    match ask(host, live, target) {
        Reply::Refused { reason, message } => {
            let event = host.journal.events().pop().unwrap();
            assert_eq!(event.kind, Kind::ForwardDenied, "the journal says so too");
            let field = event.fields.iter().find(|(name, _)| name == "JUMP_REASON");
            assert_eq!(field.unwrap().1, reason.as_str());
            (reason, message)
        }
        other => panic!("{other:?}"),
    }
}

/// What a guard is told whose ssh, or whose jump-shell, connects there.
pub(crate) fn judge(
    host: &Host,
    live: &Live,
    to: SocketAddr,
    cookie: u64,
    hop: bool,
) -> (bool, Reason) {
    let ask = JudgeRequest {
        session: live.id.clone(),
        destination: to,
        tcp: true,
        via: Via::Shell,
        cookie,
        pid: 5000 + i32::try_from(cookie).unwrap(),
        hop,
        ancestors: vec![shell().pid()],
    };
    match host.jumpd.judge(&ask, GUARD) {
        Reply::Judged { allowed, reason } => (allowed, reason),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn db() -> SocketAddr {
    SocketAddr::new(ip(DB), 22)
}

#[test]
fn a_hop_is_told_what_ssh_is_started_with() {
    let host = host();
    let live = alice(&host);
    let hop = opened(&host, &live, "reader@DB1.example.internal.");
    assert_eq!(hop.address, db());
    assert_eq!((hop.login.as_str(), hop.rule.as_str()), ("reader", "plain"));
    assert!(!hop.record && !hop.forwarded_agent);
    assert_eq!(hop.host_key_alias, "db1.example.internal");
    assert_eq!(hop.known_hosts, "/var/lib/jump/known_hosts/db");

    let event = host.journal.events().pop().unwrap();
    assert_eq!(event.kind, Kind::HopStarted);
    let has = |name: &str, value: &str| {
        let found = event.fields.iter().find(|(field, _)| field == name);
        assert_eq!(found.map(|(_, v)| v.as_str()), Some(value), "{name}");
    };
    has("JUMP_HOP", hop.hop.as_str());
    has("JUMP_LOGIN", "reader");
    has("JUMP_RECORDED", "false");
    has("JUMP_AGENT", "ca");
    has("JUMP_DST_NAME", "db1.example.internal");

    let odd = opened(&host, &live, "10.20.0.9");
    assert_eq!(
        odd.address,
        SocketAddr::new(ip("10.20.0.9"), 2222),
        "the target's only port"
    );
    assert_eq!(odd.host_key_alias, "[10.20.0.9]:2222");
    assert_eq!(odd.known_hosts, "/etc/jump/known_hosts");
    assert_eq!(odd.login, "alice");
}

#[test]
fn the_name_of_a_target_that_is_one_host_is_enough() {
    let host = host();
    let live = alice(&host);
    assert_eq!(opened(&host, &live, "reader@db").address, db());
    assert_eq!(opened(&host, &live, "odd").address.port(), 2222);
    let (reason, sentence) = no(&host, &live, "web");
    assert_eq!(reason, Reason::NoTarget);
    assert!(
        sentence.contains("web1.example.internal, web2.example.internal"),
        "{sentence}"
    );
    // Bob may go nowhere, and is told of no target.
    let text = POLICY.replacen(
        "users = [\"alice\"]\ntargets = [\"web\", \"odd\"]",
        "users = [\"alice\", \"bob\"]\ntargets = [\"odd\"]",
        1,
    );
    host.take(&text);
    let bob = host.open(&Person::new("bob", 70002, &[]), ip("10.1.2.3"));
    let (_, sentence) = no(&host, &bob, "web");
    assert!(!sentence.contains("web1"), "{sentence}");
}

#[test]
fn whom_one_may_be_there_is_said() {
    let host = host();
    let live = alice(&host);
    let (reason, sentence) = no(&host, &live, "alice@db");
    assert_eq!(reason, Reason::LoginName);
    assert_eq!(
        sentence,
        "You may log in there as root, postgres or reader only."
    );
    assert_eq!(no(&host, &live, "-oProxyCommand=x@db").0, Reason::LoginName);
    let hop = opened(&host, &live, "db");
    assert_eq!((hop.login.as_str(), hop.record), ("root", true));
}

#[test]
fn what_is_not_granted_is_refused_with_its_reason() {
    let host = host();
    let live = alice(&host);
    assert_eq!(no(&host, &live, "10.99.0.1").0, Reason::NoTarget);
    assert_eq!(
        no(&host, &live, "db1.example.internal 23").0,
        Reason::NoTarget
    );
    assert_eq!(
        no(&host, &live, "web2.example.internal").0,
        Reason::ConnectFailed
    );
    assert_eq!(no(&host, &live, "127.0.0.1").0, Reason::OwnAddress);
    assert_eq!(no(&host, &live, "").0, Reason::NoTarget);
    assert_eq!(no(&host, &live, &"x".repeat(300)).0, Reason::NoTarget);
}

#[test]
fn without_a_ca_no_hop_begins() {
    let host = Host::new(POLICY, &[("db1.example.internal", vec![ip(DB)])], &[]);
    let live = alice(&host);
    let (reason, sentence) = no(&host, &live, "reader@db");
    assert_eq!(reason, Reason::NoCa);
    assert!(sentence.contains("administrators"), "{sentence}");
}

#[test]
fn ssh_connects_to_where_its_hop_leads_once_and_nowhere_else() {
    let host = host();
    let live = alice(&host);
    assert_eq!(
        judge(&host, &live, db(), 1, true),
        (false, Reason::WrongVia)
    );
    opened(&host, &live, "reader@db");
    let other = SocketAddr::new(ip("10.20.0.6"), 22);
    assert_eq!(
        judge(&host, &live, other, 2, true),
        (false, Reason::WrongVia)
    );
    assert_eq!(
        judge(&host, &live, db(), 3, true),
        (true, Reason::RuleAllow)
    );
    assert!(
        judge(&host, &live, db(), 3, true).0,
        "the same call once more"
    );
    assert_eq!(
        judge(&host, &live, db(), 4, true),
        (false, Reason::WrongVia)
    );
    let neighbour = alice(&host);
    assert_eq!(
        judge(&host, &neighbour, db(), 5, true),
        (false, Reason::WrongVia)
    );
}

#[test]
fn a_hop_that_is_to_be_recorded_connects_only_while_it_is() {
    let host = host();
    let live = alice(&host);
    let hop = opened(&host, &live, "root@db");
    assert!(hop.record);
    assert_eq!(
        judge(&host, &live, db(), 1, true),
        (false, Reason::RecordRequired)
    );
    assert_eq!(
        judge(&host, &live, db(), 2, false),
        (false, Reason::RecordRequired)
    );
    let facts = host.jumpd.recording_begins(&live.id, &hop.hop).unwrap();
    assert_eq!(facts.hop.login, "root");
    assert!(
        host.jumpd.recording_begins(&live.id, &hop.hop).is_none(),
        "one recorder"
    );
    assert_eq!(
        judge(&host, &live, db(), 3, true),
        (true, Reason::RuleAllow)
    );

    host.jumpd
        .recording_over(&live.id, &hop.hop, Reason::RecorderLost);
    let push = live.guard.recv::<Push>().unwrap().unwrap();
    let cut = Push::Cut {
        cookies: vec![3],
        reason: Reason::RecorderLost,
    };
    assert_eq!(push, cut);
    assert!(!judge(&host, &live, db(), 3, true).0);
}

#[test]
fn a_recorded_and_an_unrecorded_hop_to_one_host_are_not_mixed() {
    let host = host();
    let live = alice(&host);
    let plain = opened(&host, &live, "reader@db");
    assert_eq!(no(&host, &live, "root@db").0, Reason::RecordRequired);
    assert!(host.jumpd.end_hop(&live.id, &plain.hop, Some(0), None));
    assert!(opened(&host, &live, "root@db").record);
}

#[test]
fn an_edit_cuts_the_hop_that_is_not_allowed_any_more() {
    for (edit, to) in [
        ("principals = [\"reader\"]", "principals = [\"writer\"]"),
        (
            "principals = [\"reader\"]",
            "principals = [\"reader\"]\nrecord = true",
        ),
        (
            "name = \"plain\"\neffect = \"allow\"",
            "name = \"plain\"\neffect = \"allow\"\nvia = [\"forward\"]\nfrom = [\"10.0.0.0/8\"]",
        ),
    ] {
        let host = host();
        let live = alice(&host);
        opened(&host, &live, "reader@db");
        assert!(judge(&host, &live, db(), 1, true).0);
        host.jumpd.rejudge();
        let text = POLICY.replace(edit, to);
        let text = if to.contains("forward") {
            text.replace("principals = [\"reader\"]\n", "")
        } else {
            text
        };
        host.take(&text);
        host.jumpd.rejudge();
        let push = live.guard.recv::<Push>().unwrap().unwrap();
        assert!(
            matches!(push, Push::Cut { ref cookies, .. } if *cookies == [1]),
            "{push:?}"
        );
    }
}

#[test]
fn a_live_recorded_hop_outlives_an_edit_that_leaves_it_allowed() {
    let host = host();
    let live = alice(&host);
    let hop = opened(&host, &live, "root@db");
    host.jumpd.recording_begins(&live.id, &hop.hop).unwrap();
    assert!(judge(&host, &live, db(), 1, true).0);
    host.take(&format!("{POLICY}# another\n"));
    host.jumpd.rejudge();
    let sessions = host.jumpd.sessions();
    assert!(sessions.get(&live.id).unwrap().flows[&1].revoked.is_none());
}

#[test]
fn the_end_of_a_hop_is_told_with_its_status_and_cuts_what_is_left() {
    let host = host();
    let live = alice(&host);
    let hop = opened(&host, &live, "reader@db");
    assert!(judge(&host, &live, db(), 1, true).0);
    let ended = |reason| Request::HopEnded {
        hop: hop.hop.clone(),
        status: Some(255),
        reason,
    };
    let reply = host
        .jumpd
        .answer_shell(&live.id, None, ended(Some(Reason::LoginRefused)));
    assert!(matches!(reply, Reply::Done));
    let event = host.journal.events().pop().unwrap();
    assert_eq!(event.kind, Kind::HopEnded);
    for (name, value) in [
        ("JUMP_STATUS", "255"),
        ("JUMP_REASON", "login_refused"),
        ("JUMP_OUTCOME", "failure"),
        ("JUMP_LOGIN", "reader"),
    ] {
        let found = event.fields.iter().find(|(field, _)| field == name);
        assert_eq!(found.map(|(_, v)| v.as_str()), Some(value), "{name}");
    }
    let push = live.guard.recv::<Push>().unwrap().unwrap();
    assert!(matches!(push, Push::Cut { .. }), "{push:?}");
    let again = host.jumpd.answer_shell(&live.id, None, ended(None));
    assert!(matches!(again, Reply::Refused { .. }), "it was over");
    // Another session's shell ends nothing here.
    let hop = opened(&host, &live, "odd");
    let neighbour = alice(&host);
    assert!(!host.jumpd.end_hop(&neighbour.id, &hop.hop, None, None));
}

#[test]
fn explain_says_of_a_hop_what_the_shell_is_told() {
    let host = host();
    for login in ["root", "postgres", "reader", "alice"] {
        let live = alice(&host);
        let question = ExplainRequest {
            user: "alice".to_owned(),
            groups: vec![],
            host: "db1.example.internal".to_owned(),
            port: 22,
            from: Some(ip("10.1.2.3")),
            at_ms: None,
            via: Via::Shell,
            mfa: None,
            login: Some(login.to_owned()),
        };
        let Reply::Explained(said) = host.jumpd.explain(&question) else {
            panic!("no explanation");
        };
        match ask(&host, &live, &format!("{login}@db")) {
            Reply::Hop(opened) => {
                assert!(said.allowed, "{login}");
                assert_eq!(said.rule.as_deref(), Some(opened.rule.as_str()), "{login}");
                assert_eq!(said.record, opened.record, "{login}");
                if opened.record {
                    host.jumpd.recording_begins(&live.id, &opened.hop).unwrap();
                }
                assert!(judge(&host, &live, db(), 1, true).0, "{login}");
            }
            Reply::Refused { reason, .. } => {
                assert!(!said.allowed, "{login}");
                assert_eq!(said.reason, reason, "{login}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_list_of_targets_has_those_of_recorded_hops() {
    let host = host();
    let live = alice(&host);
    let Reply::Targets { targets } = host.jumpd.answer_shell(&live.id, None, Request::Targets)
    else {
        panic!("no targets");
    };
    let db = targets
        .iter()
        .find(|reach| reach.rule == "as-root")
        .unwrap();
    assert!(db.record && db.via == [Via::Shell]);
}

#[test]
fn a_window_that_closes_is_told_of_a_hop_as_of_a_forward() {
    let host = host();
    // The only rule for it.
    let text = POLICY
        .replace(
            "targets = [\"db\"]\nprincipals = [\"root\"",
            "targets = [\"web\"]\nprincipals = [\"root\"",
        )
        .replace(
            "principals = [\"reader\"]",
            "principals = [\"reader\"]\nwindows = [\"day\"]",
        )
        + "[windows.day]\ndays = [\"mon-sun\"]\nhours = [\"08:00-18:00\"]\n";
    host.take(&text);
    let at = |text: &str| host.at(text.parse::<Timestamp>().unwrap());
    at("2026-11-23T12:00:00Z");
    let live = alice(&host);
    opened(&host, &live, "reader@db");
    assert!(judge(&host, &live, db(), 1, true).0);
    at("2026-11-23T18:00:01Z");
    host.jumpd.rejudge_flows(|_| true);
    let push = live.guard.recv::<Push>().unwrap().unwrap();
    let cut = Push::Cut {
        cookies: vec![1],
        reason: Reason::WindowClosed,
    };
    assert_eq!(push, cut);
    assert_eq!(
        no(&host, &live, "reader@db1.example.internal").0,
        Reason::OutsideWindow
    );
}
