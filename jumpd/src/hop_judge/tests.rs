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
    connect_below(host, live, cookie, pid, &[me()])
}

/// The same, of an ssh that descends from these.
fn connect_below(
    host: &Host,
    live: &Live,
    cookie: u64,
    pid: i32,
    ancestors: &[i32],
) -> (bool, Reason) {
    let ask = JudgeRequest {
        session: live.id.clone(),
        destination: db(),
        tcp: true,
        via: Via::Shell,
        cookie,
        pid,
        hop: true,
        ancestors: ancestors.to_vec(),
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
fn of_the_hops_of_one_shell_the_last_is_meant() {
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
    for (cookie, hop) in (1..).zip(hops.iter().rev()) {
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
        ancestors: Vec::new(),
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

/// A process that lives as long as this.
struct Shell(std::process::Child);

impl Shell {
    fn new() -> Self {
        let child = std::process::Command::new("sleep").arg("60").spawn();
        Self(child.unwrap())
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _gone = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// A hop that this shell asks for, so many milliseconds later than the others.
fn opened_by(host: &Host, live: &Live, target: &str, shell: &Shell, later: i64) -> HopId {
    let hop = opened(host, live, target).hop;
    let mut sessions = host.jumpd.sessions();
    let session = sessions.get_mut(&live.id).unwrap();
    let entry = session.hops.get_mut(&hop).unwrap();
    entry.shell = Some(Process::of(shell.pid()));
    entry.started_boot_ms += later;
    hop
}

#[test]
fn a_connection_is_of_the_hop_of_the_shell_that_started_its_ssh() {
    let host = host();
    let live = alice(&host);
    let shells: Vec<Shell> = (0..4).map(|_| Shell::new()).collect();
    let hops: Vec<HopId> = (0..)
        .zip(&shells)
        .map(|(age, shell)| opened_by(&host, &live, "reader@db", shell, age))
        .collect();
    // Not in the order in which they were opened.
    for (cookie, at) in [(1, 2), (2, 0), (3, 3), (4, 1)] {
        let pid = NOBODY - i32::try_from(cookie).unwrap();
        let family = [NOBODY, shells[at].pid()];
        assert_eq!(connect_below(&host, &live, cookie, pid, &family), YES);
        assert_eq!(hop_of(&host, &live, cookie), hops[at]);
    }
}

#[test]
fn an_ssh_of_no_shell_or_of_another_has_no_hop() {
    let host = host();
    let live = alice(&host);
    let (shell, other) = (Shell::new(), Shell::new());
    let hop = opened_by(&host, &live, "reader@db", &shell, 0);
    for family in [
        vec![],
        vec![NOBODY],
        vec![NOBODY, other.pid()],
        vec![1, 1, 1, 1, shell.pid()],
    ] {
        assert_eq!(connect_below(&host, &live, 1, NOBODY, &family), NO);
    }
    // Its number alone does not make a process the one that asked.
    let mut sessions = host.jumpd.sessions();
    let entry = sessions.get_mut(&live.id).unwrap().hops.get_mut(&hop);
    entry.unwrap().shell = Some(Process::of(shell.pid()).started_later());
    drop(sessions);
    assert_eq!(connect_below(&host, &live, 1, NOBODY, &[shell.pid()]), NO);
}

#[test]
fn a_hop_that_its_shell_left_behind_gets_no_connection_of_the_next() {
    let host = host();
    let live = alice(&host);
    let shell = Shell::new();
    opened_by(&host, &live, "reader@db", &shell, 0);
    let next = opened_by(&host, &live, "reader@db", &shell, 5);
    assert_eq!(connect_below(&host, &live, 1, NOBODY, &[shell.pid()]), YES);
    assert_eq!(hop_of(&host, &live, 1), next);
}
