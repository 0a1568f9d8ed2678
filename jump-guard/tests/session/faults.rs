//! What dies or hangs opens nothing (A19).

use crate::jumpd::Manners;
use crate::lab::{Lab, Target};
use jump_proto::Request;
use std::time::{Duration, Instant};

pub const TRIALS: &[(&str, fn())] = &[
    (
        "a19_without_jumpd_connects_are_refused_and_with_it_they_work_again",
        jumpd_away,
    ),
    (
        "a19_a_guard_that_dies_takes_the_users_child_along",
        guard_dies,
    ),
    ("a19_after_the_guard_nothing_connects", after_the_guard),
    ("a_guard_that_is_forgotten_ends_its_session", forgotten),
    ("a_jumpd_that_hangs_means_no", hangs),
];

fn jumpd_away() {
    let target = Target::new();
    let mut lab = Lab::new(|_| true);
    let mut session = lab.session("patient", &[&target.address().to_string()]);
    lab.jumpd
        .hears(|r| matches!(r, Request::Attach { .. }).then_some(()));
    assert!(["ok", "EACCES"].contains(&session.waits_for("try").as_str()));
    let mut session = {
        // Once more, with jumpd gone before the first try.
        drop(session.says());
        lab = Lab::with(Manners::default(), |_| true);
        let session = lab.session("patient", &[&target.address().to_string()]);
        lab.jumpd
            .hears(|r| matches!(r, Request::Attach { .. }).then_some(()));
        lab.door = None;
        lab.jumpd.hang_up();
        session
    };
    let mut refused = 0;
    loop {
        match session.waits_for("try").as_str() {
            "EACCES" => refused += 1,
            other => {
                // The door may have closed just after the first try.
                assert_eq!(other, "ok");
                break;
            }
        }
        if refused == 3 {
            lab.door = Some(lab.jumpd.serve(&lab.dir.path().join("jumpd.sock")));
        }
        assert!(refused < 20);
    }
    drop(session.says());
}

fn guard_dies() {
    let mut lab = Lab::new(|_| true);
    let mut session = lab.session("sleep", &[]);
    session.waits_for("sleeping");
    lab.guard.kill().unwrap();
    let begun = Instant::now();
    let child = session.waits_for("child");
    assert!(child.contains("SIGKILL"), "{child}");
    assert!(begun.elapsed() < Duration::from_millis(500));
}

fn after_the_guard() {
    let target = Target::new();
    let mut lab = Lab::new(|_| true);
    let mut session = lab.session("orphan", &[&target.address().to_string()]);
    session.waits_for("waiting");
    lab.guard.kill().unwrap();
    assert_eq!(session.waits_for("connect"), "ENOSYS");
    assert!(target.is_untouched());
}

fn forgotten() {
    let mut lab = Lab::with(
        Manners {
            attaches: Some(1),
            ..Manners::default()
        },
        |_| true,
    );
    let mut session = lab.session("sleep", &[]);
    session.waits_for("sleeping");
    lab.jumpd.hang_up();
    assert!(session.all_gone(Duration::from_secs(5)).is_some());
    assert!(lab.guard_exit().success());
}

fn hangs() {
    let target = Target::new();
    let lab = Lab::with(
        Manners {
            slow_judge: Duration::from_secs(6),
            ..Manners::default()
        },
        |_| true,
    );
    let begun = Instant::now();
    let said = lab
        .session("connect", &[&target.address().to_string()])
        .says();
    assert_eq!(said[&target.address().to_string()], "EACCES");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(target.is_untouched());
}
