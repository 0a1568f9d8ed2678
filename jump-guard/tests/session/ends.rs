//! Ends of sessions: no process and no flow is left a second later.

use crate::jumpd::Manners;
use crate::lab::{BlackHole, Lab, Target};
use jump_proto::{CutFlow, Push, Reason, Request};
use std::io::Read;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub const TRIALS: &[(&str, fn())] = &[
    ("jumpd_ends_a_session_and_its_flows_within_a_second", told),
    ("one_connection_is_cut_and_the_session_goes_on", one_of_two),
    ("a_cut_during_the_handshake_reaches_it", half_open),
    ("a_stopped_and_a_detached_process_end_too", scattered),
    (
        "a22_a_process_that_hides_is_found_by_its_audit_session",
        hidden,
    ),
    ("the_deadline_holds_without_jumpd", deadline),
    ("a_deadline_that_jumpd_moves_is_kept", moved),
    ("a_waiting_handshake_does_not_hold_up_the_end", waiting),
    ("a_user_who_goes_away_mid_handshake_leaves_nothing", gone),
];

const SECOND: Duration = Duration::from_secs(1);

fn now_ms() -> i64 {
    i64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis(),
    )
    .unwrap()
}

fn told() {
    let target = Target::new();
    let mut lab = Lab::new(|_| true);
    let mut session = lab.session("hold", &[&target.address().to_string()]);
    session.waits_for("holding");
    let mut peer = target.accepts();
    peer.read_exact(&mut [0; 4]).unwrap();
    let begun = Instant::now();
    lab.jumpd.push(&Push::End {
        reason: Reason::Operator,
    });
    // A reset, not a close: nothing that was queued passes any more.
    let end = peer.read(&mut [0; 1]).unwrap_err();
    assert_eq!(end.raw_os_error(), Some(nix::libc::ECONNRESET));
    assert!(begun.elapsed() < SECOND);
    assert!(session.all_gone(SECOND).is_some());
    let cut = lab.jumpd.hears(|r| match r {
        Request::FlowsCut { flows, .. } => Some(flows.clone()),
        _ => None,
    });
    let carried = CutFlow {
        cookie: lab.jumpd.judged()[0].cookie,
        bytes_sent: 4,
        bytes_received: 0,
    };
    assert_eq!(cut, [carried]);
    lab.jumpd
        .hears(|r| matches!(r, Request::Ended { .. }).then_some(()));
    assert!(lab.guard_exit().success());
}

/// Two processes hold one connection each, one of them stopped: each is cut alone.
fn one_of_two() {
    let target = Target::new();
    let lab = Lab::new(|_| true);
    let mut session = lab.session("hold-scattered", &[&target.address().to_string()]);
    session.waits_for("stopping");
    session.waits_for("detached");
    let mut peers = vec![target.accepts(), target.accepts()];
    for peer in &mut peers {
        peer.set_read_timeout(Some(SECOND / 10)).unwrap();
    }
    for judged in lab.jumpd.judged() {
        let begun = Instant::now();
        lab.jumpd.push(&Push::Cut {
            cookies: vec![judged.cookie],
            reason: Reason::PolicyChanged,
        });
        let before = peers.len();
        while peers.len() == before {
            assert!(begun.elapsed() < SECOND);
            peers.retain_mut(|peer| {
                let end = peer.read(&mut [0; 1]).unwrap_err().raw_os_error();
                end != Some(nix::libc::ECONNRESET)
            });
        }
        assert_eq!(peers.len(), before - 1);
    }
    // The session lived on, until it is ended as a whole.
    lab.jumpd.push(&Push::End {
        reason: Reason::Operator,
    });
    assert!(session.all_gone(SECOND).is_some());
}

/// The task is still in connect(2) when its connection is taken back.
fn half_open() {
    let hole = BlackHole::new();
    let lab = Lab::new(|_| true);
    let mut session = lab.session("blocking", &[&hole.address().to_string()]);
    session.waits_for("before");
    let begun = Instant::now();
    while lab.jumpd.judged().is_empty() {
        assert!(begun.elapsed() < SECOND);
    }
    let cookie = lab.jumpd.judged()[0].cookie;
    // Sent into the handshake, not before it.
    std::thread::sleep(SECOND / 5);
    lab.jumpd.push(&Push::Cut {
        cookies: vec![cookie],
        reason: Reason::PolicyChanged,
    });
    session.waits_for("after");
}

fn scattered() {
    let target = Target::new();
    let lab = Lab::new(|_| true);
    let mut session = lab.session("hold-scattered", &[&target.address().to_string()]);
    session.waits_for("stopping");
    session.waits_for("detached");
    let mut peers = [target.accepts(), target.accepts()];
    lab.jumpd.push(&Push::End {
        reason: Reason::WindowClosed,
    });
    assert!(session.all_gone(SECOND).is_some());
    for peer in &mut peers {
        assert!(peer.read(&mut [0; 1]).is_err());
    }
}

fn hidden() {
    if !std::path::Path::new("/proc/self/loginuid").exists() {
        eprintln!("skipped: this kernel has no audit sessions");
        return;
    }
    let lab = Lab::new(|_| true);
    let mut session = lab.session("hide", &[]);
    session.waits_for("hidden");
    // The guard must have seen the user's child once.
    std::thread::sleep(Duration::from_millis(1200));
    lab.jumpd.push(&Push::End {
        reason: Reason::MaxSession,
    });
    assert!(session.all_gone(SECOND).is_some());
}

fn deadline() {
    let target = Target::new();
    let ends_ms = Some(now_ms() + 1500);
    let mut lab = Lab::with(
        Manners {
            ends_ms,
            ..Manners::default()
        },
        |_| true,
    );
    let mut session = lab.session("hold", &[&target.address().to_string()]);
    session.waits_for("holding");
    lab.door = None;
    lab.jumpd.hang_up();
    assert!(session.all_gone(Duration::from_millis(3500)).is_some());
    assert!(lab.guard_exit().success());
}

fn moved() {
    let target = Target::new();
    let lab = Lab::new(|_| true);
    let mut session = lab.session("hold", &[&target.address().to_string()]);
    session.waits_for("holding");
    lab.jumpd.push(&Push::EndsAt {
        ends_ms: Some(now_ms() - 1),
    });
    assert!(session.all_gone(2 * SECOND).is_some());
}

fn waiting() {
    let hole = BlackHole::new();
    let mut lab = Lab::new(|_| true);
    let mut session = lab.session("blocking", &[&hole.address().to_string()]);
    session.waits_for("before");
    std::thread::sleep(Duration::from_millis(300));
    lab.jumpd.push(&Push::End {
        reason: Reason::Idle,
    });
    assert!(session.all_gone(SECOND).is_some());
    assert!(lab.guard_exit().success());
}

fn gone() {
    let hole = BlackHole::new();
    let mut lab = Lab::new(|_| true);
    let mut session = lab.session("blocking", &[&hole.address().to_string()]);
    session.waits_for("before");
    std::thread::sleep(Duration::from_millis(300));
    let children = jump_sys::process::children(session.monitor.id() as i32).unwrap();
    for child in children {
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(child),
            nix::sys::signal::Signal::SIGKILL,
        )
        .unwrap();
    }
    assert!(session.all_gone(SECOND).is_some());
    assert!(lab.guard_exit().success());
}
