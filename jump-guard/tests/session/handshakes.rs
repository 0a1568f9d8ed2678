//! The hand-over: what makes the guard refuse, and that sshd is told.

use crate::jumpd::Manners;
use crate::lab::Lab;
use std::time::{Duration, Instant};

pub const TRIALS: &[(&str, fn())] = &[
    (
        "a_descriptor_that_is_no_listener_is_refused",
        not_a_listener,
    ),
    ("only_root_hands_over_a_session", not_root),
    (
        "a_session_that_jumpd_refuses_is_not_guarded",
        refused_by_jumpd,
    ),
    ("a_session_is_not_guarded_without_jumpd", no_jumpd),
    ("a_monitor_that_says_nothing_is_not_waited_for", silent),
];

fn not_a_listener() {
    for role in ["not-a-listener", "no-such-descriptor"] {
        let mut lab = Lab::new(|_| true);
        let said = lab.session_as(role, "", &[]).says();
        assert!(
            said["refused"].contains("cannot take the session's listener"),
            "{said:?}"
        );
        lab.guard_exit();
    }
}

fn not_root() {
    let mut lab = Lab::new(|_| true);
    let said = lab.session_as("not-root", "", &[]).says();
    assert!(said["refused"].contains("may not hand over"), "{said:?}");
    lab.guard_exit();
}

fn refused_by_jumpd() {
    let mut lab = Lab::with(
        Manners {
            attaches: Some(0),
            ..Manners::default()
        },
        |_| true,
    );
    let said = lab.session("nothing", &[]).says();
    assert!(said["refused"].contains("no_session"), "{said:?}");
    lab.guard_exit();
}

fn no_jumpd() {
    let mut lab = Lab::new(|_| true);
    lab.door = None;
    let said = lab.session("nothing", &[]).says();
    assert!(said["refused"].contains("jumpd"), "{said:?}");
    lab.guard_exit();
}

fn silent() {
    let mut lab = Lab::new(|_| true);
    let mut session = lab.session_as("silent", "", &[]);
    let begun = Instant::now();
    assert!(crate::lab::exit_of(&mut lab.guard, Duration::from_secs(8)).is_some());
    assert!(begun.elapsed() > Duration::from_secs(4));
    session.monitor.kill().unwrap();
    drop(session.says());
}
