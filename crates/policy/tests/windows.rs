//! Windows over midnight, at their edges, on days without, and where the clock is moved.
//!
//! Paris 2026: on 29 March the clock skips 02:00–03:00, on 25 October it passes 02:00–03:00 twice.

mod common;

use common::{ask_as, at, policy};
use jiff::{SignedDuration, Timestamp};
use jump_policy::{NoNames, Policy};
use jump_proto::Via;

fn with_window(window: &str) -> Policy {
    policy(&format!(
        r#"
[targets.any]
hosts = ["10.20.0.0/24"]
ports = [22]
[windows.w]
{window}
[[rules]]
name = "r"
effect = "allow"
users = ["alice"]
targets = ["any"]
windows = ["w"]
"#
    ))
}

fn open(policy: &Policy, when: &str) -> bool {
    ask_as(
        policy,
        "alice",
        "10.1.2.3",
        "10.20.0.5:22",
        Via::Forward,
        when,
        &NoNames,
    )
    .is_allow()
}

fn until(policy: &Policy, when: &str) -> Option<Timestamp> {
    ask_as(
        policy,
        "alice",
        "10.1.2.3",
        "10.20.0.5:22",
        Via::Forward,
        when,
        &NoNames,
    )
    .until()
}

/// Every change from `from` on, as found by asking for the next one again and again.
fn changes(policy: &Policy, from: &str, count: usize) -> Vec<String> {
    let mut now = from.to_owned();
    let mut out = Vec::new();
    for _ in 0..count {
        let Some(next) = until(policy, &now) else {
            break;
        };
        now = next.to_string();
        out.push(now.clone());
    }
    out
}

#[test]
fn an_interval_holds_its_start_and_not_its_end() {
    let p = with_window("days = [\"mon-fri\"]\nhours = [\"08:00-12:30\", \"13:30-18:00\"]");
    for (when, expected) in [
        ("2026-11-23T07:59:59.999999999+01:00", false),
        ("2026-11-23T08:00:00+01:00", true),
        ("2026-11-23T12:29:59.999999999+01:00", true),
        ("2026-11-23T12:30:00+01:00", false),
        ("2026-11-23T13:30:00+01:00", true),
        ("2026-11-23T18:00:00+01:00", false),
        ("2026-11-22T10:00:00+01:00", false),
    ] {
        assert_eq!(open(&p, when), expected, "{when}");
    }
    assert_eq!(
        changes(&p, "2026-11-20T17:00:00+01:00", 3),
        [
            "2026-11-20T17:00:00Z",
            "2026-11-23T07:00:00Z",
            "2026-11-23T11:30:00Z"
        ]
    );
}

#[test]
fn an_interval_over_midnight_belongs_to_the_day_it_starts_on() {
    let p = with_window("days = [\"fri\"]\nhours = [\"22:00-06:00\"]");
    for (when, expected) in [
        ("2026-11-20T05:00:00+01:00", false), // Friday morning: Thursday's night
        ("2026-11-20T22:00:00+01:00", true),
        ("2026-11-21T05:59:59+01:00", true),
        ("2026-11-21T06:00:00+01:00", false),
        ("2026-11-21T22:00:00+01:00", false),
    ] {
        assert_eq!(open(&p, when), expected, "{when}");
    }
    assert_eq!(
        until(&p, "2026-11-20T23:00:00+01:00"),
        Some(at("2026-11-21T06:00:00+01:00"))
    );
}

#[test]
fn an_end_of_midnight_is_midnight_either_way() {
    for hours in ["22:00-24:00", "22:00-00:00"] {
        let p = with_window(&format!("days = [\"fri\"]\nhours = [\"{hours}\"]"));
        assert!(open(&p, "2026-11-20T23:59:59+01:00"));
        assert!(!open(&p, "2026-11-21T00:00:00+01:00"));
    }
}

#[test]
fn touching_intervals_are_one_and_a_whole_week_never_changes() {
    let p = with_window("days = [\"mon-sun\"]\nhours = [\"00:00-24:00\"]");
    assert!(open(&p, "2026-11-20T23:59:59+01:00"));
    assert_eq!(until(&p, "2026-11-20T12:00:00+01:00"), None);
    let p = with_window("days = [\"mon-sun\"]\nhours = [\"00:00-12:00\", \"12:00-24:00\"]");
    assert_eq!(until(&p, "2026-11-20T12:00:00+01:00"), None);
    let p = with_window("days = [\"fri-sat\"]\nhours = [\"12:00-24:00\", \"00:00-12:00\"]");
    assert_eq!(
        until(&p, "2026-11-20T13:00:00+01:00"),
        Some(at("2026-11-22T00:00:00+01:00"))
    );
}

#[test]
fn an_exception_removes_the_intervals_that_start_on_it() {
    let p = with_window("days = [\"mon-sun\"]\nhours = [\"22:00-06:00\"]\nexcept = [2026-12-25]");
    // The night of the 24th still ends on the morning of the 25th.
    assert!(open(&p, "2026-12-25T05:00:00+01:00"));
    assert!(!open(&p, "2026-12-25T23:00:00+01:00"));
    assert!(!open(&p, "2026-12-26T05:00:00+01:00"));
    assert!(open(&p, "2026-12-26T22:00:00+01:00"));
    // A window that is always open but for one day years ahead.
    let p = with_window("days = [\"mon-sun\"]\nhours = [\"00:00-24:00\"]\nexcept = [2031-05-01]");
    assert_eq!(
        until(&p, "2026-11-20T12:00:00+01:00"),
        Some(at("2031-05-01T00:00:00+02:00"))
    );
    assert_eq!(
        until(&p, "2031-05-01T12:00:00+02:00"),
        Some(at("2031-05-02T00:00:00+02:00"))
    );
    assert_eq!(until(&p, "2031-05-02T00:00:00+02:00"), None);
}

#[test]
fn the_skipped_hour_of_spring_contains_nothing() {
    let p = with_window("days = [\"sun\"]\nhours = [\"02:00-03:00\"]");
    // 29 March: 01:59:59 is followed by 03:00:00.
    assert!(!open(&p, "2026-03-29T01:59:59+01:00"));
    assert!(!open(&p, "2026-03-29T03:00:00+02:00"));
    assert_eq!(
        until(&p, "2026-03-28T12:00:00+01:00"),
        Some(at("2026-04-05T02:00:00+02:00"))
    );
    // An interval that begins or ends in the skipped hour begins or ends at the skip.
    let p = with_window("days = [\"sun\"]\nhours = [\"02:30-05:00\"]");
    assert_eq!(
        until(&p, "2026-03-28T12:00:00+01:00"),
        Some(at("2026-03-29T03:00:00+02:00"))
    );
    let p = with_window("days = [\"sun\"]\nhours = [\"00:00-02:30\"]");
    assert_eq!(
        until(&p, "2026-03-29T01:00:00+01:00"),
        Some(at("2026-03-29T03:00:00+02:00"))
    );
}

#[test]
fn the_doubled_hour_of_autumn_is_inside_both_times() {
    let p = with_window("days = [\"sun\"]\nhours = [\"02:15-02:45\"]");
    assert_eq!(
        changes(&p, "2026-10-25T00:00:00+02:00", 4),
        [
            "2026-10-25T00:15:00Z", // 02:15, first pass
            "2026-10-25T00:45:00Z",
            "2026-10-25T01:15:00Z", // 02:15, second pass
            "2026-10-25T01:45:00Z",
        ]
    );
    // Open at the end of the first pass, so open when the clock goes back: one stretch of two hours.
    let p = with_window("days = [\"sun\"]\nhours = [\"02:00-03:00\"]");
    assert_eq!(
        changes(&p, "2026-10-25T00:00:00+02:00", 2),
        ["2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"]
    );
    // The clock going back re-opens what the first pass had closed.
    let p = with_window("days = [\"sun\"]\nhours = [\"01:00-02:30\"]");
    assert_eq!(
        changes(&p, "2026-10-24T23:30:00Z", 3),
        [
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:00:00Z",
            "2026-10-25T01:30:00Z"
        ]
    );
}

#[test]
fn a_window_has_the_clock_of_its_own_zone() {
    let p = with_window("days = [\"mon\"]\nhours = [\"09:00-17:00\"]\ntimezone = \"Asia/Kolkata\"");
    assert!(open(&p, "2026-11-23T09:00:00+05:30"));
    assert!(!open(&p, "2026-11-23T17:00:00+05:30"));
    assert!(!open(&p, "2026-11-23T13:00:00+01:00"));
    // Lord Howe moves its clock by half an hour: 02:00 back to 01:30 on 5 April 2026.
    let p = with_window(
        "days = [\"sun\"]\nhours = [\"01:30-01:45\"]\ntimezone = \"Australia/Lord_Howe\"",
    );
    assert_eq!(
        changes(&p, "2026-04-05T00:00:00+11:00", 4),
        [
            "2026-04-04T14:30:00Z",
            "2026-04-04T14:45:00Z",
            "2026-04-04T15:00:00Z",
            "2026-04-04T15:15:00Z"
        ]
    );
    // Samoa skipped Friday, 30 December 2011 altogether.
    let p = with_window("days = [\"fri\"]\nhours = [\"00:00-24:00\"]\ntimezone = \"Pacific/Apia\"");
    assert_eq!(
        until(&p, "2011-12-29T12:00:00Z"),
        Some(at("2012-01-05T10:00:00Z"))
    );
    // A zone whose midnight is skipped (Santiago, 6 September 2026).
    let p =
        with_window("days = [\"sun\"]\nhours = [\"00:00-24:00\"]\ntimezone = \"America/Santiago\"");
    assert_eq!(
        until(&p, "2026-09-06T03:00:00Z"),
        Some(at("2026-09-06T04:00:00Z"))
    );
}

#[test]
fn a_window_shows_itself_as_one_line() {
    let p = with_window("days = [\"fri-sun\"]\nhours = [\"22:00-06:00\", \"08:00-24:00\"]");
    assert_eq!(
        p.window("w").map(ToString::to_string).as_deref(),
        Some("fri sat sun 22:00-06:00 08:00-24:00 Europe/Paris")
    );
}

#[test]
fn several_windows_are_open_when_any_is() {
    let p = policy(
        r#"
[targets.any]
hosts = ["10.20.0.0/24"]
ports = [22]
[windows.morning]
days = ["mon"]
hours = ["08:00-12:00"]
[windows.noon]
days = ["mon"]
hours = ["11:00-14:00"]
[[rules]]
name = "r"
effect = "allow"
users = ["alice"]
targets = ["any"]
windows = ["morning", "noon"]
"#,
    );
    assert_eq!(
        until(&p, "2026-11-23T09:00:00+01:00"),
        Some(at("2026-11-23T14:00:00+01:00"))
    );
}

#[test]
fn the_edges_of_representable_time_are_no_danger() {
    let p = with_window(
        "days = [\"mon-fri\"]\nhours = [\"22:00-06:00\"]\nexcept = [9999-12-31, 0001-01-01]",
    );
    for now in [Timestamp::MIN, Timestamp::MAX] {
        for step in [0, 1, 3600, 86_400, 90_000] {
            let near = now
                .checked_sub(SignedDuration::from_secs(step))
                .or_else(|_| now.checked_add(SignedDuration::from_secs(step)))
                .unwrap();
            let _ = until(&p, &near.to_string());
        }
    }
}
