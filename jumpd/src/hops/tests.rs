//! The book of hops after a restart, what nobody records any more, and why a hop ended.

use super::*;
use crate::agreement::host::{Host, Live};
use crate::hop_open::tests::{alice, db, host, judge, opened};
use crate::sessions::{Sessions, tests::session};
use jump_proto::{HopRequest, Reply, Request};

fn new(id: u8, record: bool) -> Hop {
    Hop::from(NewHop {
        id: HopId::from_bytes([id; 16]),
        asked: "db1".to_owned(),
        name: Some("db1.example.internal".to_owned()),
        address: "10.20.0.5:22".parse().unwrap(),
        login: "admin".to_owned(),
        rule: "dba".to_owned(),
        record,
        forwarded_agent: false,
        shell: None,
    })
}

#[test]
fn a_restarted_jumpd_knows_the_hop_and_that_nobody_records_it() {
    let state = tempfile::tempdir().unwrap();
    let mut before = Sessions::load(state.path()).unwrap();
    let mut one = session(1);
    let mut hop = new(7, true);
    hop.recorded = true;
    hop.unrecorded_since = 0;
    one.open_hop(hop).unwrap();
    before.insert(one).unwrap();

    let after = Sessions::load(state.path()).unwrap();
    let session = after.get(&SessionId::from_bytes([1; 16])).unwrap();
    let hop = &session.hops[&HopId::from_bytes([7; 16])];
    assert_eq!((hop.login.as_str(), hop.rule.as_str()), ("admin", "dba"));
    assert!(!hop.recorded && !hop.is_abandoned(), "its time begins anew");
}

#[test]
fn a_hop_that_must_be_recorded_is_given_up_after_an_upgrade_would_be_over() {
    let mut hop = new(1, true);
    hop.unrecorded_since = boot_ms() - 14_000;
    assert!(!hop.is_abandoned());
    hop.unrecorded_since = boot_ms() - 15_100;
    assert!(hop.is_abandoned());
    hop.recorded = true;
    assert!(!hop.is_abandoned());
    let mut plain = new(2, false);
    plain.unrecorded_since = 0;
    assert!(!plain.is_abandoned());
}

#[test]
fn a_session_has_so_many_hops_and_no_more() {
    let mut one = session(1);
    for id in 0..MOST_HOPS {
        one.open_hop(new(u8::try_from(id).unwrap(), false)).unwrap();
    }
    assert_eq!(one.open_hop(new(200, false)), Err(Reason::TooManyForwards));
}

/// What the journal says of the end of this hop, once its shell has said `reason`.
fn ended(host: &Host, live: &Live, hop: &HopId, reason: Option<Reason>) -> String {
    let request = Request::HopEnded {
        hop: hop.clone(),
        status: Some(255),
        reason,
    };
    let reply = host.jumpd.answer_shell(&live.id, None, request);
    assert!(matches!(reply, Reply::Done), "{reply:?}");
    reason_told(host)
}

/// The reason of the last event, which is of a hop's end.
fn reason_told(host: &Host) -> String {
    let event = host.journal.events().pop().unwrap();
    assert_eq!(event.kind, Kind::HopEnded);
    let mut fields = event.fields.into_iter();
    fields.find(|(name, _)| name == "JUMP_REASON").unwrap().1
}

#[test]
fn why_jumpd_ended_a_hop_counts_and_not_what_its_shell_makes_of_it() {
    let host = host();
    let live = alice(&host);
    for (own, told) in [
        (Reason::DiskFull, "disk_full"),
        (Reason::NotPersisted, "not_persisted"),
        // That its shell was gone is no reason of jumpd's.
        (Reason::ShellLost, "recorder_lost"),
        (Reason::ClosedByPeer, "recorder_lost"),
    ] {
        let hop = opened(&host, &live, "root@db").hop;
        host.jumpd.recording_begins(&live.id, &hop).unwrap();
        host.jumpd.recording_over(&live.id, &hop, own);
        // A later one does not take its place.
        let later = Reason::RecorderLost;
        let said = ended(&host, &live, &hop, Some(later));
        assert_eq!(said, told);
    }
    let hop = opened(&host, &live, "root@db").hop;
    host.jumpd.recording_begins(&live.id, &hop).unwrap();
    for own in [Reason::DiskFull, Reason::RecorderLost] {
        host.jumpd.recording_over(&live.id, &hop, own);
    }
    assert_eq!(ended(&host, &live, &hop, None), "disk_full", "the first");
}

#[test]
fn a_connection_that_is_cut_gives_its_hop_the_reason() {
    let host = host();
    let live = alice(&host);
    let hop = opened(&host, &live, "reader@db").hop;
    assert!(judge(&host, &live, db(), 1, true).0);
    let none = "version = 1\n[users.alice]\nuid = 70001\nkeys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMO4du/BYXHpkbWwykRTk7oAPt7qBSbuwJ/k/BXY2jbX\"]\n";
    host.take(none);
    host.jumpd.rejudge_flows(|_| true);
    let said = ended(&host, &live, &hop, Some(Reason::ConnectFailed));
    assert_eq!(said, "policy_changed");
}

#[test]
fn a_shell_says_only_what_a_shell_can_know() {
    let host = host();
    let live = alice(&host);
    for (said, told) in [
        (Reason::LoginRefused, "login_refused"),
        (Reason::HostKeyUnknown, "host_key_unknown"),
        (Reason::RecorderLost, "recorder_lost"),
        (Reason::DiskFull, "closed_by_peer"),
        (Reason::Operator, "closed_by_peer"),
        (Reason::WindowClosed, "closed_by_peer"),
        (Reason::GuardLost, "closed_by_peer"),
        (Reason::BreakGlass, "closed_by_peer"),
    ] {
        let hop = opened(&host, &live, "reader@db").hop;
        assert_eq!(ended(&host, &live, &hop, Some(said)), told);
    }
}

#[test]
fn a_hop_of_which_nobody_says_that_it_is_over_has_jumpds_reason_too() {
    let host = host();
    let live = alice(&host);
    let hop = opened(&host, &live, "root@db").hop;
    host.jumpd.recording_begins(&live.id, &hop).unwrap();
    host.jumpd.recording_over(&live.id, &hop, Reason::DiskFull);
    {
        let mut sessions = host.jumpd.sessions();
        let session = sessions.get_mut(&live.id).unwrap();
        let entry = session.hops.get_mut(&hop).unwrap();
        let long_ago = boot_ms() - i64::try_from(CONNECTS_MS).unwrap() - 1000;
        entry.unconnected_since = Some(long_ago);
    }
    host.jumpd.tick_hops();
    assert_eq!(reason_told(&host), "disk_full");
}

#[test]
fn in_a_session_from_before_there_were_hops_one_is_told_to_log_in_again() {
    let host = host();
    let live = alice(&host);
    let request = HopRequest {
        host: "db".to_owned(),
        port: None,
        login: Some("reader".to_owned()),
    };
    let reply = host
        .jumpd
        .answer_shell(&live.id, None, Request::HopOpen(request));
    let Reply::Refused { message, .. } = reply else {
        panic!("{reply:?}");
    };
    assert!(message.contains("log in again"), "{message}");
    let event = host.journal.events().pop().unwrap();
    assert_eq!(event.kind, Kind::ForwardDenied);
    assert!(event.message.contains("earlier release"), "{event:?}");
}
