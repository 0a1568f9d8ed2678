//! Which hop a connection is of, and that a process has one hop in its life.

use super::*;
use crate::agreement::host::{GUARD, Host, Live};
use crate::hop_open::tests::{alice, db, host, opened};
use jump_proto::Reply;

/// No process has this number.
const NOBODY: i32 = i32::MAX;

fn me() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}

/// What a guard is told whose ssh, this process, connects to the database.
fn connect(host: &Host, live: &Live, cookie: u64, pid: i32) -> (bool, Reason) {
    let ask = JudgeRequest {
        session: live.id.clone(),
        destination: db(),
        tcp: true,
        via: Via::Shell,
        cookie,
        pid,
        hop: true,
    };
    match host.jumpd.judge(&ask, GUARD) {
        Reply::Judged { allowed, reason } => (allowed, reason),
        other => panic!("{other:?}"),
    }
}

/// The hop that a connection was said to be of.
fn hop_of(host: &Host, live: &Live, cookie: u64) -> HopId {
    let sessions = host.jumpd.sessions();
    let flow = &sessions.get(&live.id).unwrap().flows[&cookie];
    flow.hop.clone().unwrap()
}

const YES: (bool, Reason) = (true, Reason::RuleAllow);
const NO: (bool, Reason) = (false, Reason::WrongVia);

#[test]
fn the_hop_that_was_opened_first_connects_first() {
    let host = host();
    let live = alice(&host);
    let hops: Vec<HopId> = (0..8)
        .map(|age| {
            let hop = opened(&host, &live, "reader@db").hop;
            let mut sessions = host.jumpd.sessions();
            let session = sessions.get_mut(&live.id).unwrap();
            session.hops.get_mut(&hop).unwrap().started_boot_ms += age;
            hop
        })
        .collect();
    for (cookie, hop) in (1..).zip(&hops) {
        let pid = NOBODY - i32::try_from(cookie).unwrap();
        assert_eq!(connect(&host, &live, cookie, pid), YES);
        assert_eq!(hop_of(&host, &live, cookie), *hop);
        assert_eq!(connect(&host, &live, cookie, pid), YES, "once more");
    }
}

#[test]
fn a_hop_that_is_not_recorded_yet_lends_its_name_to_nobody() {
    let host = host();
    let live = alice(&host);
    let first = opened(&host, &live, "root@db").hop;
    let second = opened(&host, &live, "root@db").hop;
    assert_eq!(
        connect(&host, &live, 1, NOBODY),
        (false, Reason::RecordRequired)
    );
    let event = host.journal.events().pop().unwrap();
    let rule = event.fields.iter().find(|(name, _)| name == "JUMP_RULE");
    assert_eq!(rule.unwrap().1, "as-root");
    host.jumpd.recording_begins(&live.id, &second).unwrap();
    assert_eq!(connect(&host, &live, 2, NOBODY), YES);
    assert_eq!(hop_of(&host, &live, 2), second);
    host.jumpd.recording_begins(&live.id, &first).unwrap();
    assert_eq!(connect(&host, &live, 3, NOBODY - 1), YES);
    assert_eq!(hop_of(&host, &live, 3), first);
}

#[test]
fn a_process_that_carried_a_hop_never_carries_another() {
    let host = host();
    let live = alice(&host);
    let first = opened(&host, &live, "reader@db").hop;
    assert_eq!(connect(&host, &live, 1, me()), YES);
    let second = opened(&host, &live, "reader@db").hop;
    assert_eq!(connect(&host, &live, 2, me()), NO, "it has its own");

    // A connection that fails is tried again, for the same hop.
    host.jumpd
        .connected(&live.id, 1, nix::libc::ECONNREFUSED, GUARD);
    assert_eq!(connect(&host, &live, 3, me()), YES);
    assert_eq!(hop_of(&host, &live, 3), first);
    host.jumpd
        .connected(&live.id, 3, nix::libc::ECONNREFUSED, GUARD);
    assert!(host.jumpd.end_hop(&live.id, &first, None, None));
    assert_eq!(connect(&host, &live, 4, me()), NO, "not when it is over");

    assert_eq!(connect(&host, &live, 5, NOBODY), YES);
    assert_eq!(hop_of(&host, &live, 5), second);
    // The socket of another's hop is of no use to it.
    assert_eq!(connect(&host, &live, 5, me()), NO);
}

#[test]
fn a_process_that_cannot_be_told_from_others_is_the_same_while_its_connection_lasts() {
    let host = host();
    let live = alice(&host);
    opened(&host, &live, "reader@db");
    opened(&host, &live, "reader@db");
    assert_eq!(connect(&host, &live, 1, NOBODY), YES);
    assert_eq!(connect(&host, &live, 2, NOBODY), NO);
    let first = hop_of(&host, &live, 1);
    host.jumpd
        .connected(&live.id, 1, nix::libc::ECONNREFUSED, GUARD);
    assert!(host.jumpd.end_hop(&live.id, &first, None, None));
    assert_eq!(connect(&host, &live, 3, NOBODY), YES);
}

#[test]
fn two_questions_at_once_do_not_give_one_process_two_hops() {
    let host = host();
    let live = alice(&host);
    opened(&host, &live, "reader@db");
    opened(&host, &live, "reader@db");
    let mut sessions = host.jumpd.sessions();
    let session = sessions.get_mut(&live.id).unwrap();
    let ask = |cookie| JudgeRequest {
        session: live.id.clone(),
        destination: db(),
        tcp: true,
        via: Via::Shell,
        cookie,
        pid: me(),
        hop: true,
    };
    // What it was told before it carried anything.
    let purposes: Vec<Purpose> = session
        .hops
        .values()
        .map(|hop| {
            Purpose::Hop(Carried {
                id: hop.id.clone(),
                login: hop.login.clone(),
                recorded: hop.recorded,
            })
        })
        .collect();
    assert_eq!(carry(session, &purposes[0], &ask(1), false), Ok(()));
    assert_eq!(
        carry(session, &purposes[1], &ask(2), false),
        Err(Reason::WrongVia)
    );
}
