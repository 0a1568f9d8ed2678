//! Hops that exist only while they are recorded.

use crate::Tests;
use crate::fake::{Fake, friendly};
use crate::hop::{is_gone, person, random};
use crate::recorder::{Act, Kept, Recorder};
use crate::shell::{Said, asked, run, wait_until};
use crate::target::{Target, answered, reached};
use jump_proto::hop::FromRecorder;
use jump_proto::{Reason, Reply, Request};
use jump_sys::process::descendants;
use rustix::termios::{Winsize, tcsetwinsize};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(crate) fn tests() -> Tests {
    crate::tests![
        what_is_shown_was_kept,
        every_byte_is_kept_and_shown_once,
        a_person_is_recorded_with_every_size,
        nothing_is_shown_that_is_not_kept,
        a_recorder_that_dies_ends_the_hop,
        a_recorder_that_stands_still_is_noticed_though_nothing_happens,
        the_recorder_may_end_the_hop,
        a_notice_is_shown_and_the_hop_goes_on,
        a_successor_gets_what_was_not_kept,
        a_successor_that_refuses_ends_the_hop,
        a_quarter_of_a_megabyte_may_wait,
        a_reader_that_waits_costs_no_recording,
        without_a_recording_nothing_is_started,
        a_recorder_that_lies_is_not_believed,
        what_a_target_says_in_sshs_words_is_kept_before_it_is_shown,
        what_is_typed_waits_while_nobody_records,
        a_person_is_warned_in_a_hop_and_the_warning_is_not_recorded,
    ]
}

fn recorded(habit: impl Fn(usize, usize, &Kept) -> Act + Send + Sync + 'static) -> (Target, Fake) {
    reached(true, Recorder::new(habit), |_, _| {})
}

fn keeping() -> (Target, Fake) {
    recorded(|_, _, _| Act::Keep)
}

fn what_is_shown_was_kept() {
    let (_target, jumpd) = keeping();
    let said = run(
        &jumpd.socket(),
        "ssh db1 echo out; sleep 0.3; echo err >&2; exit 3",
    );
    assert_eq!(
        (said.status, said.out.as_str(), said.err.as_str()),
        (Some(3), "out\n", "err\n")
    );
    assert_eq!(jumpd.recorder.output(), b"out\nerr\n");
    assert_eq!(jumpd.recorder.kept().last(), Some(&Kept::Over(3)));
    // A command that prints nothing leaves a trace as well.
    let first = jumpd.recorder.kept().into_iter().next();
    let Some(Kept::Marker(label)) = first else {
        panic!("{first:?}");
    };
    assert!(
        label.starts_with("ssh ")
            && label.ends_with("@db1 echo out; sleep 0.3; echo err >&2; exit 3"),
        "{label}"
    );
    let asked = jumpd.asked();
    assert!(
        asked[2].starts_with("Record { hop: HopId(\"0909")
            && asked[2].ends_with("cols: 80, rows: 24, term: None }"),
        "{asked:?}"
    );
    assert!(asked[3].starts_with("HopEnded"), "{asked:?}");
}

fn every_byte_is_kept_and_shown_once() {
    let (_target, jumpd) = keeping();
    let bytes = random(3 << 20);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let wish = format!("ssh db1 cat {}", file.path().display());
    let output = asked(&jumpd.socket(), &wish).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout == bytes, "{} bytes", output.stdout.len());
    assert!(jumpd.recorder.output() == bytes);
}

fn a_person_is_recorded_with_every_size() {
    let (_target, jumpd) = keeping();
    let mut terminal = person(jumpd);
    terminal.press("ssh db1\n");
    terminal.press("PS1='there'\"> \"\n");
    terminal.wait_for("there> ", 1);
    let size = Winsize {
        ws_row: 33,
        ws_col: 101,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal.keyboard.as_ref().unwrap(), size).unwrap();
    let recorder = terminal.jumpd.recorder.clone();
    wait_until("the size", || {
        recorder.kept().contains(&Kept::Size(101, 33))
    });
    terminal.press("echo kept\n");
    terminal.wait_for("kept\r\n", 1);
    terminal.press("exit\n");
    terminal.wait_for("jump> ", 3);
    let output = String::from_utf8_lossy(&recorder.output()).into_owned();
    assert!(terminal.screen().contains(&output), "{output:?}");
    assert!(
        output.contains("there> ") && output.contains("kept\r\n"),
        "{output:?}"
    );
    assert_eq!(recorder.kept().last(), Some(&Kept::Over(0)));
    let asked = terminal.jumpd.asked();
    assert!(
        asked
            .iter()
            .any(|a| a.ends_with("cols: 80, rows: 24, term: Some(\"vt100\") }")),
        "{asked:?}"
    );
    terminal.press("exit\n");
    terminal.status();
}

/// A hop that its recorder ends: what was said, and that it took no longer than this.
fn ended(jumpd: &Fake, command: &str) -> Said {
    let begun = Instant::now();
    let said = run(&jumpd.socket(), &format!("ssh db1 {command}"));
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(said.status, Some(255), "{}", said.err);
    let asked = jumpd.asked();
    let last = asked.last().unwrap();
    assert!(
        last.ends_with("status: None, reason: Some(RecorderLost) }"),
        "{last}"
    );
    said
}

fn nothing_is_shown_that_is_not_kept() {
    let (_target, jumpd) = recorded(|_, _, packet| match packet {
        Kept::Output(_) => Act::Ignore,
        _ => Act::Keep,
    });
    let said = ended(&jumpd, "echo secret; sleep 60");
    assert_eq!(said.out, "");
    assert!(
        said.err.contains("recorder does not answer any more"),
        "{}",
        said.err
    );
}

fn a_recorder_that_dies_ends_the_hop() {
    let (_target, jumpd) = recorded(|_, _, packet| match packet {
        Kept::Output(bytes) if bytes == b"two\n" => Act::Die,
        _ => Act::Keep,
    });
    let said = ended(&jumpd, "echo one; sleep 0.5; echo two; sleep 60");
    assert_eq!(said.out, "one\n");
    assert!(
        said.err.contains("recorder does not answer any more"),
        "{}",
        said.err
    );
}

fn a_recorder_that_stands_still_is_noticed_though_nothing_happens() {
    let (_target, jumpd) = recorded(|_, _, packet| match packet {
        Kept::Alive => Act::Stop,
        _ => Act::Keep,
    });
    let mut child = asked(&jumpd.socket(), "ssh db1 sleep 60").spawn().unwrap();
    let own = child.id().try_into().unwrap();
    wait_until("ssh", || descendants(&[own]).len() == 2);
    let both = descendants(&[own]);
    assert_eq!(child.wait().unwrap().code(), Some(255));
    wait_until("the end of both", || both.iter().all(|pid| is_gone(*pid)));
}

fn the_recorder_may_end_the_hop() {
    let (_target, jumpd) = recorded(|_, _, packet| match packet {
        Kept::Output(_) => Act::Say(FromRecorder::End("The disk is full\u{1b}.".into())),
        _ => Act::Keep,
    });
    let said = ended(&jumpd, "echo one; sleep 60");
    assert_eq!(said.err, "jump-shell: The disk is full\\u{1b}.\n");
}

fn a_notice_is_shown_and_the_hop_goes_on() {
    let (_target, jumpd) = recorded(|_, _, packet| match packet {
        Kept::Output(bytes) if bytes == b"one\n" => Act::Say(FromRecorder::Notice(
            "The disk is nearly full\u{1b}.".into(),
        )),
        _ => Act::Keep,
    });
    let said = run(&jumpd.socket(), "ssh db1 echo one; sleep 0.5; echo two");
    assert_eq!((said.status, said.out.as_str()), (Some(0), "one\ntwo\n"));
    assert_eq!(said.err, "jump-shell: The disk is nearly full\\u{1b}.\n");
    assert_eq!(jumpd.recorder.output(), b"one\ntwo\n");
}

fn a_successor_gets_what_was_not_kept() {
    // It goes in the middle of it, and its successor soon after.
    let (_target, jumpd) = recorded(|connection, count, packet| match (connection, packet) {
        (0 | 1, Kept::Output(_)) if count >= 20 => Act::Leave,
        _ => Act::Keep,
    });
    let bytes = random(3 << 20);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let wish = format!("ssh db1 cat {}; exit 5", file.path().display());
    let output = asked(&jumpd.socket(), &wish).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{err}");
    assert!(output.stdout == bytes, "{} bytes", output.stdout.len());
    assert!(jumpd.recorder.output() == bytes);
    let again = |a: &&String| a.starts_with("RecordAgain { hop: HopId(\"0909");
    assert_eq!(jumpd.asked().iter().filter(again).count(), 2);
}

fn a_successor_that_refuses_ends_the_hop() {
    let recorder = Recorder::new(|_, _, packet| match packet {
        Kept::Output(_) => Act::Leave,
        _ => Act::Keep,
    });
    let (_target, jumpd) = answered(true, recorder, |question| match question {
        Request::RecordAgain { .. } => Reply::Refused {
            reason: Reason::RecorderLost,
            message: "This recording cannot go on.".into(),
        },
        other => friendly(other),
    });
    let said = ended(&jumpd, "echo one; sleep 60");
    assert_eq!(
        (said.out.as_str(), said.err.as_str()),
        ("", "jump-shell: This recording cannot go on.\n")
    );
}

fn a_quarter_of_a_megabyte_may_wait() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let (_target, jumpd) = recorded(move |_, _, packet| match packet {
        Kept::Output(bytes) => {
            count.fetch_add(bytes.len(), Ordering::SeqCst);
            Act::Ignore
        }
        _ => Act::Keep,
    });
    let said = ended(&jumpd, "head -c 50000000 /dev/zero; sleep 60");
    assert_eq!(said.out, "");
    let seen = seen.load(Ordering::SeqCst);
    assert!((128 * 1024..=256 * 1024).contains(&seen), "{seen}");
}

fn a_reader_that_waits_costs_no_recording() {
    let (_target, jumpd) = keeping();
    let mut child = asked(&jumpd.socket(), "ssh db1 head -c 9000000 /dev/zero")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let alive = || {
        jumpd
            .recorder
            .kept()
            .iter()
            .filter(|kept| **kept == Kept::Alive)
            .count()
    };
    wait_until("signs of life", || alive() > 5);
    assert!(child.try_wait().unwrap().is_none());
    // What waits is bounded: the window, and what the pipes hold.
    assert!(jumpd.recorder.output().len() < 600_000);
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.len()),
        (Some(0), 9_000_000)
    );
}

fn without_a_recording_nothing_is_started() {
    let (_target, jumpd) = answered(true, Recorder::default(), |question| match question {
        Request::Record { .. } => Reply::Refused {
            reason: Reason::DiskFull,
            message: "There is no room for a recording.".into(),
        },
        other => friendly(other),
    });
    let said = ended(&jumpd, "echo one");
    assert_eq!(
        (said.out.as_str(), said.err.as_str()),
        ("", "jump-shell: There is no room for a recording.\n")
    );
}

fn a_recorder_that_lies_is_not_believed() {
    // It says that it kept more than it was sent.
    let (_target, jumpd) = recorded(|_, _, packet| match packet {
        Kept::Output(_) => Act::Say(FromRecorder::Kept(1000)),
        _ => Act::Keep,
    });
    let said = ended(&jumpd, "echo one; sleep 60");
    assert!(
        said.err.contains("recorder does not answer any more"),
        "{}",
        said.err
    );
}

fn what_a_target_says_in_sshs_words_is_kept_before_it_is_shown() {
    for words in [
        "ssh: unrecorded",
        "ops@db1: Permission denied (unrecorded",
        "Host key verification failed. unrecorded",
    ] {
        let (_target, jumpd) = keeping();
        let wish = format!("ssh db1 echo '{words}' >&2; exit 255");
        let said = run(&jumpd.socket(), &wish);
        assert_eq!(said.status, Some(255), "{}", said.err);
        let kept = String::from_utf8_lossy(&jumpd.recorder.output()).into_owned();
        assert!(
            kept.contains(words),
            "{words}: kept {kept:?}, shown {}",
            said.err
        );
    }
}

fn what_is_typed_waits_while_nobody_records() {
    let asked_again = Arc::new(AtomicUsize::new(0));
    let again = Arc::clone(&asked_again);
    let recorder = Recorder::new(|_, _, packet| match packet {
        Kept::Output(bytes) if bytes == b"one\n" => Act::Leave,
        _ => Act::Keep,
    });
    // Its successor refuses, late: until then nothing reaches the target.
    let (_target, jumpd) = answered(true, recorder, move |question| match question {
        Request::RecordAgain { .. } => {
            again.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_secs(2));
            Reply::Refused {
                reason: Reason::RecorderLost,
                message: "This recording cannot go on.".into(),
            }
        }
        other => friendly(other),
    });
    let mark = tempfile::NamedTempFile::new().unwrap();
    let wish = format!("ssh db1 echo one; cat >>{}", mark.path().display());
    let mut child = asked(&jumpd.socket(), &wish)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("a look for the successor", || {
        asked_again.load(Ordering::SeqCst) > 0
    });
    let mut keys = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut keys, b"unseen\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(255));
    assert_eq!(std::fs::read(mark.path()).unwrap(), b"");
}

fn a_person_is_warned_in_a_hop_and_the_warning_is_not_recorded() {
    let in_hop = Arc::new(AtomicBool::new(false));
    let due = Arc::clone(&in_hop);
    let (_target, jumpd) = answered(true, Recorder::default(), move |question| match question {
        Request::Ends | Request::Active => {
            let left = if due.load(Ordering::SeqCst) {
                59_500
            } else {
                60_500
            };
            Reply::Ends {
                ends_ms: Some(jiff::Timestamp::now().as_millisecond() + left),
                reason: Some(Reason::WindowClosed),
                warn_ms: Some(60_000),
            }
        }
        other => friendly(other),
    });
    let mut terminal = person(jumpd);
    terminal.press("ssh db1\n");
    terminal.press("PS1='there'\"> \"\n");
    terminal.wait_for("there> ", 1);
    in_hop.store(true, Ordering::SeqCst);
    terminal.press("echo $((6*7)");
    terminal.wait_for("the time window of your access closes.\r\n", 1);
    assert!(
        terminal.screen().contains("\r\nThis session ends in "),
        "{}",
        terminal.screen()
    );
    // What was typed before is still there.
    terminal.press(")\n");
    terminal.wait_for("42\r\n", 1);
    let recorder = terminal.jumpd.recorder.clone();
    terminal.press("exit\n");
    terminal.wait_for("jump> ", 3);
    let output = String::from_utf8_lossy(&recorder.output()).into_owned();
    assert!(
        output.contains("42\r\n") && !output.contains("This session ends"),
        "{output:?}"
    );
    terminal.press("exit\n");
    terminal.status();
}
