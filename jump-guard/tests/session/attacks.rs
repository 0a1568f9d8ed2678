//! What a session must not do, tried for real. Numbers are those of the list of attacks.

use crate::lab::{Lab, Target};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub const TRIALS: &[(&str, fn())] = &[
    ("a18_fast_open_reaches_nobody", fast_open),
    (
        "a18_an_address_that_changes_after_the_question_does_not_matter",
        race,
    ),
    (
        "a20_a_second_listener_is_refused_with_a_clear_message",
        second_listener,
    ),
    (
        "a_tcp_connection_cannot_be_dissolved_to_hide_its_bytes",
        dissolve,
    ),
];

fn fast_open() {
    let target = Target::new();
    let lab = Lab::new(|_| false);
    let said = lab
        .session("fastopen", &[&target.address().to_string()])
        .says();
    assert_eq!(said["To"], "EOPNOTSUPP");
    assert_eq!(said["Msg"], "EOPNOTSUPP");
    assert_eq!(said["Mmsg"], "EOPNOTSUPP");
    assert_eq!(said["mptcp"], "none");
    assert!(target.is_untouched());
}

fn race() {
    let (open, shut) = (Target::new(), Target::new());
    let to = open.address();
    let lab = Lab::new(move |j| j.destination == to);
    let mut session = lab.session("race", &[&to.to_string(), &shut.address().to_string()]);
    // The backlog must not fill.
    let over = Arc::new(AtomicBool::new(false));
    let accepting = Arc::clone(&over);
    let reached = std::thread::spawn(move || {
        while !accepting.load(Ordering::Relaxed) {
            open.drain();
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    assert_eq!(session.waits_for("elsewhere"), "0");
    let connected: usize = session.waits_for("connected").parse().unwrap();
    let refused: usize = session.waits_for("refused").parse().unwrap();
    drop(session.says());
    assert!(
        connected > 0 && refused > 0,
        "{connected} and {refused}: no race"
    );
    assert_eq!(connected + refused, 400);
    assert!(shut.is_untouched());
    over.store(true, Ordering::Relaxed);
    reached.join().unwrap();
    let asked = lab.jumpd.judged();
    assert_eq!(
        asked.iter().filter(|j| j.destination == to).count(),
        connected
    );
}

fn second_listener() {
    let lab = Lab::new(|_| true);
    let said = lab.session("second-listener", &[]).says();
    assert!(said["second"].contains("LXC"), "{said:?}");
}

fn dissolve() {
    let target = Target::new();
    let lab = Lab::new(|_| true);
    let said = lab
        .session("dissolve", &[&target.address().to_string()])
        .says();
    assert_eq!(said["connect"], "ok");
    assert_eq!(said["dissolve"], "EACCES");
    assert_eq!(said["again"], "EISCONN");
}
