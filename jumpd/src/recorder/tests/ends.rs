//! Ends that nobody meant: the shell is gone, the disk is full, the file is touched.

use super::*;
use crate::stop::expect_signals;
use jump_recording::Kind;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

fn markers(path: &Path) -> Vec<String> {
    let frames = frames(path).into_iter();
    frames
        .filter(|frame| matches!(frame.kind, Kind::Marker | Kind::Gap))
        .map(|frame| String::from_utf8(frame.data).unwrap())
        .collect()
}

/// From now on no file of this process may be larger than so many bytes. Threads that are to be told by an
/// error, and not killed, are started after [`expect_signals`].
fn files_up_to(bytes: u64) {
    let (_, most) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, bytes.min(most), most).unwrap();
}

#[test]
fn a_shell_that_is_gone_leaves_a_recording_that_says_so() {
    let host = Host::new("");
    let shell = host.record();
    shell.output(b"half a li");
    shell.until_kept(1);
    shell.close();
    let report = report(&host.file(), &host.heads());
    assert!(report.good(), "{:?}", report.fault);
    assert_eq!(report.trailer.unwrap().exit, None, "no end was seen");
    assert_eq!(
        markers(&host.file()),
        ["the end was not seen: jump-shell is gone"]
    );
    assert!(host.told("recording.sealed")[0].contains("reason=shell_lost"));
    assert!(!host.is_recorded());
}

#[test]
fn a_shell_that_is_gone_with_its_session_leaves_the_sessions_reason() {
    let host = Host::new("");
    let shell = host.record();
    let why = jump_proto::Reason::WindowClosed;
    host.jumpd.sessions().get_mut(&alice()).unwrap().ending = Some(why);
    shell.close();
    assert!(host.told("recording.sealed")[0].contains("reason=window_closed"));
}

#[test]
fn a_hop_that_jumpd_ended_leaves_jumpds_reason_whatever_the_shell_says_of_it() {
    let host = Host::new("");
    let shell = host.record();
    {
        let mut sessions = host.jumpd.sessions();
        let hops = &mut sessions.get_mut(&alice()).unwrap().hops;
        hops.get_mut(&hop())
            .unwrap()
            .must_end(jump_proto::Reason::WindowClosed);
    }
    // ssh lost its connection, and this is all the shell knows.
    shell.over(255);
    assert!(host.told("recording.sealed")[0].contains("reason=window_closed"));
    assert_eq!(report(&host.file(), &[]).trailer.unwrap().exit, Some(255));
}

#[test]
fn what_is_no_packet_ends_the_hop_and_the_recording_in_good_order() {
    for packet in [
        &b"?"[..],
        b"x",
        &noise(jump_proto::hop::RECORD_DATA + 2),
        &noise(jump_proto::hop::RECORD_DATA * 2 - 1),
    ] {
        let host = Host::new("");
        let shell = host.record();
        shell.output(b"one");
        shell.channel.send_bytes(packet, true).unwrap();
        let said = shell.hear_out();
        assert!(
            matches!(said.as_slice(), [FromRecorder::End(_)]),
            "{said:?}"
        );
        assert!(report(&host.file(), &host.heads()).good());
        assert!(!host.is_recorded());
    }
}

#[test]
fn a_disk_that_is_full_ends_the_hop_and_what_was_kept_gets_its_end_when_it_can() {
    in_a_process(
        "recorder::tests::ends::a_disk_that_is_full_ends_the_hop_and_what_was_kept_gets_its_end_when_it_can",
        || {
            expect_signals().unwrap();
            let host = Host::new("");
            let shell = host.record();
            files_up_to(100_000);
            let blocks: Vec<_> = (0..10).map(|_| noise(30_000)).collect();
            for block in &blocks {
                shell.output(block);
            }
            let said = shell.hear_out();
            let [FromRecorder::End(sentence)] = said.as_slice() else {
                panic!("{said:?}");
            };
            assert!(sentence.contains("cannot write recordings"), "{sentence}");
            assert!(!host.is_recorded(), "its connection is cut");
            let failed = host.told("recording.failed");
            assert_eq!(failed.len(), 1);
            assert!(failed[0].contains("reason=disk_full"), "{failed:?}");

            // Not even room for an end, and then there is.
            files_up_to(100);
            host.jumpd.finish_unfinished();
            assert!(host.told("recording.sealed").is_empty());
            files_up_to(u64::MAX);
            host.jumpd.finish_unfinished();
            let sealed = host.told("recording.sealed");
            assert!(sealed[0].contains("reason=disk_full"), "{sealed:?}");
            let report = report(&host.file(), &host.heads());
            assert!(report.good(), "{:?}", report.fault);
            assert_eq!(report.trailer.unwrap().gaps, 1);
            let kept = frames(&host.file()).into_iter();
            let kept: Vec<_> = kept
                .filter(|frame| frame.kind == Kind::Output)
                .map(|frame| frame.data)
                .collect();
            assert_eq!(kept, blocks[..3]);
        },
    );
}

#[test]
fn who_may_break_the_glass_goes_on_with_an_alert_and_a_gap() {
    in_a_process(
        "recorder::tests::ends::who_may_break_the_glass_goes_on_with_an_alert_and_a_gap",
        || {
            expect_signals().unwrap();
            let host = Host::new("break_glass = [\"oncall\"]\n");
            let shell = host.record();
            files_up_to(50_000);
            let block = noise(30_000);
            let mut sent = 0;
            let mut send = |data: &[u8]| {
                shell.output(data);
                sent += 1;
                shell.until_kept(sent)
            };
            assert!(send(&block).is_empty());
            let said = send(&noise(30_000));
            assert!(
                matches!(said.as_slice(), [FromRecorder::Notice(text)] if text.contains("not recorded")),
                "{said:?}"
            );
            assert!(send(b"unseen").is_empty());
            assert!(host.is_recorded(), "its connection goes on");
            let alerts = host.events("alert.raised");
            assert_eq!(alerts.len(), 1);
            assert_eq!(alerts[0].priority, 1);
            for word in [
                "reason=break_glass",
                "user=alice",
                &format!("recording={}", hop()),
            ] {
                assert!(alerts[0].message.contains(word), "{}", alerts[0].message);
            }

            files_up_to(u64::MAX);
            std::thread::sleep(Duration::from_millis(1100));
            let said = send(b"seen again");
            assert!(
                matches!(said.as_slice(), [FromRecorder::Notice(text)] if text.contains("recorded again")),
                "{said:?}"
            );
            shell.over(0);
            let report = report(&host.file(), &host.heads());
            assert!(report.good(), "{:?}", report.fault);
            let missing = markers(&host.file());
            assert_eq!(missing.len(), 1);
            assert!(
                missing[0].starts_with("30006 bytes were not recorded: "),
                "{missing:?}"
            );
            let shown: Vec<_> = frames(&host.file())
                .into_iter()
                .filter(|frame| frame.kind == Kind::Output)
                .map(|frame| frame.data)
                .collect();
            assert_eq!(shown, [block, b"seen again".to_vec()]);
            assert!(host.told("recording.failed").is_empty());
        },
    );
}

#[test]
fn an_alert_that_cannot_be_written_lets_nobody_go_on() {
    in_a_process(
        "recorder::tests::ends::an_alert_that_cannot_be_written_lets_nobody_go_on",
        || {
            expect_signals().unwrap();
            let host = Host::new("break_glass = [\"oncall\"]\n");
            let shell = host.record();
            files_up_to(20_000);
            host.journal.fail(true);
            shell.output(&noise(30_000));
            let said = shell.hear_out();
            assert!(
                matches!(said.as_slice(), [FromRecorder::End(_)]),
                "{said:?}"
            );
            assert!(!host.is_recorded());
        },
    );
}

#[test]
fn a_file_that_somebody_cuts_moves_or_removes_ends_the_hop() {
    type Meddle = fn(&Path);
    let meddlers: [Meddle; 3] = [
        |path| std::fs::remove_file(path).unwrap(),
        |path| std::fs::rename(path, path.with_extension("moved")).unwrap(),
        |path| {
            let file = File::options().write(true).open(path).unwrap();
            file.set_len(100).unwrap();
        },
    ];
    for meddle in meddlers {
        let host = Host::new("");
        let shell = host.record();
        shell.output(b"one");
        shell.until_kept(1);
        host.jumpd.write_checkpoints(Duration::ZERO);
        meddle(&host.file());
        shell.output(b"two");
        shell.until_kept(2);
        host.jumpd.write_checkpoints(Duration::ZERO);
        let said = shell.hear_out();
        assert!(
            matches!(said.as_slice(), [FromRecorder::End(text)] if text.contains("changed")),
            "{said:?}"
        );
        assert!(host.told("recording.failed")[0].contains("reason=recorder_lost"));
        assert!(!host.is_recorded());
    }
}
