//! Stories of a journal whose sinks come and go.

use super::*;
use crate::chain::{FIRST_PREV, Gap, verify_chain};
use crate::sink::Memory;
use std::os::unix::net::UnixDatagram;
use tempfile::TempDir;

fn journal(dir: &TempDir, sinks: &[&Memory]) -> Journal {
    let sinks = sinks
        .iter()
        .map(|m| Box::new((*m).clone()) as Box<dyn Sink>)
        .collect();
    Journal::with_sinks(&dir.path().join("audit.chain"), sinks)
}

fn messages(sink: &Memory) -> Vec<String> {
    sink.events().into_iter().map(|e| e.message).collect()
}

fn verify(messages: &[String]) -> Result<(), Gap> {
    verify_chain(messages.iter().map(String::as_str))
}

fn an_event() -> Event {
    Event::new(Kind::AccessAllowed).user("alice")
}

#[test]
fn events_form_a_chain_that_a_restart_goes_on_with() {
    let (dir, sink) = (tempfile::tempdir().unwrap(), Memory::default());
    for _ in 0..3 {
        let journal = journal(&dir, &[&sink]);
        for _ in 0..3 {
            journal.write(&an_event()).unwrap();
        }
    }
    let messages = messages(&sink);
    assert!(
        messages[0].ends_with(&format!(" seq=1 prev={FIRST_PREV}")),
        "{}",
        messages[0]
    );
    assert!(messages[8].contains(" seq=9 "));
    assert_eq!(verify(&messages), Ok(()));
}

#[test]
fn the_second_sink_takes_what_the_first_does_not() {
    let (dir, first, second) = (
        tempfile::tempdir().unwrap(),
        Memory::default(),
        Memory::default(),
    );
    let journal = journal(&dir, &[&first, &second]);
    journal.write(&an_event()).unwrap();
    first.fail(true);
    journal.write(&an_event()).unwrap();
    first.fail(false);
    journal.write(&an_event()).unwrap();
    assert_eq!((first.events().len(), second.events().len()), (2, 1));
    let mut all = messages(&first);
    all.insert(1, messages(&second).remove(0));
    assert_eq!(verify(&all), Ok(()));
}

#[test]
fn an_event_that_no_sink_takes_is_an_error_and_its_gap_shows() {
    let (dir, sink) = (tempfile::tempdir().unwrap(), Memory::default());
    let journal = journal(&dir, &[&sink]);
    journal.write(&an_event()).unwrap();
    sink.fail(true);
    let error = journal.write(&an_event()).unwrap_err().to_string();
    assert!(
        error.contains("access.allowed") && error.contains("memory: told to fail"),
        "{error}"
    );
    journal.write(&an_event()).unwrap_err();
    sink.fail(false);
    journal.write(&an_event()).unwrap();
    let messages = messages(&sink);
    assert!(
        messages[1].starts_with("audit.failed outcome=failure lost=2 "),
        "{}",
        messages[1]
    );
    assert!(messages[2].starts_with("access.allowed "));
    let gap = Gap::Missing {
        after: 1,
        found: 4,
        missing: 2,
    };
    assert_eq!(verify(&messages), Err(gap));
    assert_eq!(verify(&messages[1..]), Ok(()));
}

#[test]
fn losses_before_a_restart_show_after_it() {
    let (dir, sink) = (tempfile::tempdir().unwrap(), Memory::default());
    let first = journal(&dir, &[&sink]);
    first.write(&an_event()).unwrap();
    sink.fail(true);
    first.write(&an_event()).unwrap_err();
    drop(first);
    sink.fail(false);
    journal(&dir, &[&sink]).write(&an_event()).unwrap();
    let gap = Gap::Missing {
        after: 1,
        found: 3,
        missing: 1,
    };
    assert_eq!(verify(&messages(&sink)), Err(gap));
}

#[test]
fn a_chain_that_cannot_be_kept_is_told_once_and_stops_no_event() {
    let (dir, sink) = (tempfile::tempdir().unwrap(), Memory::default());
    let journal = Journal::with_sinks(
        &dir.path().join("none/audit.chain"),
        vec![Box::new(sink.clone())],
    );
    for _ in 0..3 {
        journal.write(&an_event()).unwrap();
    }
    let messages = messages(&sink);
    assert_eq!(messages.len(), 4);
    assert!(messages[1].starts_with("audit.failed "), "{}", messages[1]);
    assert_eq!(verify(&messages), Ok(()));
}

#[test]
fn a_damaged_memory_is_told_before_the_first_event() {
    let (dir, sink) = (tempfile::tempdir().unwrap(), Memory::default());
    std::fs::write(dir.path().join("audit.chain"), "garbage").unwrap();
    journal(&dir, &[&sink]).write(&an_event()).unwrap();
    let messages = messages(&sink);
    assert!(
        messages[0]
            .starts_with("audit.failed outcome=failure detail=\"the chain of events begins anew")
    );
    assert_eq!(verify(&messages), Ok(()));
}

#[test]
fn threads_write_one_chain() {
    let (dir, sink) = (tempfile::tempdir().unwrap(), Memory::default());
    let journal = journal(&dir, &[&sink]);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..50).for_each(|_| journal.write(&an_event()).unwrap()));
        }
    });
    assert_eq!(sink.events().len(), 800);
    assert_eq!(verify(&messages(&sink)), Ok(()));
}

#[test]
fn two_stuck_sinks_cost_half_a_second_once_and_then_next_to_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let _stuck = UnixDatagram::bind(&path).unwrap();
    let full = Event::new(Kind::AuditFailed).render(1, FIRST_PREV);
    let mut filler = Journald::at(&path);
    while filler.send(&full, Duration::ZERO).is_ok() {}
    let journal = Journal::with_sinks(
        &dir.path().join("audit.chain"),
        vec![Box::new(Journald::at(&path)), Box::new(Syslog::at(&path))],
    );
    let began = Instant::now();
    journal.write(&an_event()).unwrap_err();
    let first = began.elapsed();
    assert!(first < PATIENCE + Duration::from_millis(200), "{first:?}");
    let began = Instant::now();
    for _ in 0..20 {
        journal.write(&an_event()).unwrap_err();
    }
    assert!(
        began.elapsed() < Duration::from_millis(300),
        "{:?}",
        began.elapsed()
    );
}
