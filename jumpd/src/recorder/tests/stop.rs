//! A jumpd that is stopped leaves its recordings to the next one.

use super::*;
use jump_recording::Kind;

/// Sends packets until it is told to come again; which were acknowledged.
fn until_come_again(shell: Shell, first: u64) -> u64 {
    let mut kept = first;
    let mut sent = first;
    let mut packet = Vec::new();
    loop {
        sent += 1;
        FromShell::Output(format!("{sent:08}").as_bytes()).put(&mut packet);
        // Whoever is not heard any more sends it again.
        let _sent = shell.channel.send_bytes(&packet, false);
        let mut buffer = [0; 4096];
        while let Ok(Some(length)) = shell.channel.recv_bytes(&mut buffer, false) {
            match FromRecorder::get(&buffer[..length]).unwrap() {
                FromRecorder::Kept(count) => kept = first + count,
                FromRecorder::ComeAgain => {
                    shell.close();
                    return kept;
                }
                other => panic!("{other:?}"),
            }
        }
        std::thread::sleep(Duration::from_micros(50));
    }
}

#[test]
fn the_next_jumpd_goes_on_and_nothing_is_lost_or_kept_twice() {
    let mut host = Host::new("");
    let mut shell = host.record();
    let mut kept = 0;
    for _ in 0..5 {
        let jumpd = Arc::clone(&host.jumpd);
        let talking = std::thread::spawn(move || until_come_again(shell, kept));
        std::thread::sleep(Duration::from_millis(30));
        jumpd.recorder.hand_over();
        drop(jumpd);
        kept = talking.join().unwrap();
        assert_eq!(host.files("position").len(), 1);
        assert!(host.told("recording.sealed").is_empty());
        host = host.next();
        shell = host.record_again();
        assert_eq!(host.files("position").len(), 0, "it is taken once");
        assert!(host.is_recorded());
    }
    shell.over(0);
    let report = report(&host.file(), &host.heads());
    assert!(report.good(), "{:?}", report.fault);
    assert!(kept > 5, "{kept}");
    let frames = frames(&host.file());
    let shown: Vec<u64> = frames
        .iter()
        .filter(|frame| frame.kind == Kind::Output)
        .map(|frame| std::str::from_utf8(&frame.data).unwrap().parse().unwrap())
        .collect();
    assert_eq!(shown, (1..=kept).collect::<Vec<_>>());
    assert!(frames.is_sorted_by_key(|frame| frame.micros));
}

#[test]
fn who_asks_a_jumpd_that_is_being_stopped_gets_no_answer_and_asks_the_next() {
    let host = Host::new("");
    host.jumpd.recorder.hand_over();
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let request = Request::RecordAgain { hop: hop() };
    host.jumpd
        .record(&Channel::from(theirs), &alice(), &request)
        .unwrap();
    assert!(Channel::from(ours).recv::<Reply>().unwrap().is_none());
    assert!(host.told("recording.failed").is_empty());
}

#[test]
fn who_begins_while_it_is_being_stopped_is_handed_over_or_asks_the_next() {
    let mut taken = 0;
    for round in 0..60 {
        let host = Host::new("");
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let jumpd = Arc::clone(&host.jumpd);
        let begins = std::thread::spawn(move || {
            jumpd
                .record(&Channel::from(theirs), &alice(), &record(hop()))
                .unwrap();
        });
        std::thread::sleep(Duration::from_micros(40 * (round % 30)));
        let stopped = host.stop();
        let channel = Channel::from(ours);
        let answer = channel.recv::<Reply>().unwrap();
        match answer {
            Some(Reply::Recording) => {
                let shell = Shell {
                    channel,
                    thread: begins,
                };
                assert_eq!(shell.hear_out(), [FromRecorder::ComeAgain]);
                taken += 1;
            }
            None => begins.join().unwrap(),
            other => panic!("{other:?}"),
        }
        stopped.join().unwrap();
        // From here on the process is gone.
        assert!(!host.is_recorded());
        assert_eq!(host.files("jrec").len(), host.files("position").len());
        assert!(host.told("recording.failed").is_empty());
    }
    println!("{taken} were handed over");
}

#[test]
fn nothing_is_taken_in_hand_once_the_hands_are_closed() {
    let host = Host::new("");
    let hands = &host.jumpd.recorder.hands;
    let finishing = hands.finish(&hop()).unwrap();
    assert!(hands.finish(&hop()).is_none(), "by one at a time");
    let (_, reply) = host.ask(&alice(), Request::RecordAgain { hop: hop() });
    assert!(
        matches!(reply, Reply::Refused { reason, .. } if reason == jump_proto::Reason::RecorderLost),
        "{reply:?}"
    );
    assert!(!host.is_recorded());
    let stopped = host.stop();
    wait_for("closed", || hands.are_closed());
    std::thread::sleep(Duration::from_millis(50));
    assert!(!stopped.is_finished(), "it waits for who finishes");
    drop(finishing);
    stopped.join().unwrap();
    assert!(hands.finish(&hop()).is_none());
}

#[test]
fn a_file_that_is_not_as_it_was_left_does_not_go_on() {
    type Meddle = fn(&Path);
    let meddlers: [Meddle; 3] = [
        |path| std::fs::remove_file(path).unwrap(),
        |path| {
            let file = File::options().write(true).open(path).unwrap();
            file.set_len(file.metadata().unwrap().len() - 1).unwrap();
        },
        |path| {
            let mut bytes = std::fs::read(path).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            std::fs::write(path, bytes).unwrap();
        },
    ];
    for meddle in meddlers {
        let host = Host::new("");
        let shell = host.record();
        shell.output(b"one");
        shell.until_kept(1);
        let stopping = Arc::clone(&host.jumpd);
        let stopped = std::thread::spawn(move || stopping.recorder.hand_over());
        assert_eq!(shell.hear_out(), [FromRecorder::ComeAgain]);
        stopped.join().unwrap();
        meddle(&host.file());
        let host = host.next();
        let (_, reply) = host.ask(&alice(), Request::RecordAgain { hop: hop() });
        assert!(
            matches!(reply, Reply::Refused { reason, .. } if reason == jump_proto::Reason::RecorderLost),
            "{reply:?}"
        );
        wait_for("given up", || !host.is_recorded());
        assert_eq!(host.told("recording.failed").len(), 1);
    }
}

#[test]
fn an_interruption_is_handed_over_too() {
    let host = Host::new("break_glass = [\"oncall\"]\n");
    let shell = host.record();
    shell.output(b"seen");
    shell.until_kept(1);
    let mut shortage = crate::recorder::watch::Shortage::default();
    host.take(&format!("{NO_ROOM}break_glass = [\"oncall\"]\n"));
    host.jumpd.look_at_disk(&mut shortage);
    host.jumpd.look_at_disk(&mut shortage);
    wait_for("the alert", || !host.events("alert.raised").is_empty());
    shell.output(b"unseen");
    shell.until_kept(2);
    let stopping = Arc::clone(&host.jumpd);
    let stopped = std::thread::spawn(move || stopping.recorder.hand_over());
    assert!(shell.hear_out().contains(&FromRecorder::ComeAgain));
    stopped.join().unwrap();
    let host = host.next();
    host.record_again().over(0);
    let kinds: Vec<_> = frames(&host.file())
        .iter()
        .map(|frame| frame.kind)
        .collect();
    assert_eq!(kinds, [Kind::Output, Kind::Gap, Kind::Exit]);
}

/// Goes on unrecorded with a policy of these lines.
fn unrecorded(shell: &Shell, host: &Host, lines: &str) {
    let mut shortage = crate::recorder::watch::Shortage::default();
    host.take(lines);
    host.jumpd.look_at_disk(&mut shortage);
    host.jumpd.look_at_disk(&mut shortage);
    wait_for("the alert", || !host.events("alert.raised").is_empty());
    shell.output(b"unseen");
    shell.until_kept(2);
}

/// No room, and a member of `break_glass`.
fn broken() -> String {
    format!("{NO_ROOM}break_glass = [\"oncall\"]\n")
}

#[test]
fn who_may_break_the_glass_goes_on_unrecorded_in_the_next_jumpd_too() {
    let host = Host::new("break_glass = [\"oncall\"]\n");
    let shell = host.record();
    shell.output(b"seen");
    shell.until_kept(1);
    unrecorded(&shell, &host, &broken());
    // Beside the recording there is no room for a word of it.
    std::fs::create_dir(host.file().with_extension("position.new")).unwrap();
    let stopped = host.stop();
    assert!(shell.hear_out().contains(&FromRecorder::ComeAgain));
    stopped.join().unwrap();
    assert!(host.files("position").is_empty());

    let host = host.next_with(&broken());
    let shell = host.record_again();
    assert!(host.is_recorded(), "its connection goes on");
    assert_eq!(host.events("alert.raised").len(), 1);
    shell.output(b"unseen too");
    let said = shell.until_kept(1);
    assert!(
        matches!(said.as_slice(), [FromRecorder::Notice(text)] if text.contains("not recorded")),
        "{said:?}"
    );
    host.take("reserve = \"16MiB\"\n");
    host.jumpd
        .look_at_disk(&mut crate::recorder::watch::Shortage::default());
    std::thread::sleep(Duration::from_millis(1100));
    shell.output(b"seen again");
    shell.until_kept(2);
    shell.over(0);
    let report = report(&host.file(), &host.heads());
    assert!(report.good(), "{:?}", report.fault);
    let frames = frames(&host.file());
    let kinds: Vec<_> = frames.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [Kind::Output, Kind::Gap, Kind::Output, Kind::Exit]);
    let gap = String::from_utf8_lossy(&frames[1].data).into_owned();
    assert!(gap.starts_with("16 bytes were not recorded: "), "{gap}");
}

#[test]
fn a_recording_of_which_there_is_no_file_yet_is_handed_over_as_well() {
    let host = Host::new(&broken());
    let shell = host.record();
    shell.output(b"unseen");
    shell.until_kept(1);
    let stopped = host.stop();
    assert!(shell.hear_out().contains(&FromRecorder::ComeAgain));
    stopped.join().unwrap();
    assert!(host.files("jrec").is_empty(), "the disk is left alone");
    let host = host.next_with("break_glass = [\"oncall\"]\n");
    let shell = host.record_again();
    assert!(host.told("alert.raised").is_empty(), "there is room again");
    shell.output(b"seen");
    shell.until_kept(1);
    shell.over(3);
    let report = report(&host.file(), &host.heads());
    assert!(report.good(), "{:?}", report.fault);
    assert_eq!(report.header.unwrap().facts.recording, hop().to_string());
    let trailer = report.trailer.unwrap();
    assert_eq!((trailer.gaps, trailer.exit), (1, Some(3)));
}

#[test]
fn who_may_not_break_the_glass_any_more_does_not_go_on_unrecorded() {
    let host = Host::new("break_glass = [\"oncall\"]\n");
    let shell = host.record();
    shell.output(b"seen");
    shell.until_kept(1);
    unrecorded(&shell, &host, &broken());
    let stopped = host.stop();
    assert!(shell.hear_out().contains(&FromRecorder::ComeAgain));
    stopped.join().unwrap();
    let host = host.next_with(NO_ROOM);
    let (_, reply) = host.ask(&alice(), Request::RecordAgain { hop: hop() });
    assert!(
        matches!(reply, Reply::Refused { reason, .. } if reason == jump_proto::Reason::DiskFull),
        "{reply:?}"
    );
    assert!(!host.is_recorded());
    assert!(host.told("recording.failed")[0].contains("reason=disk_full"));
    // What there is of it gets its end.
    host.jumpd.finish_unfinished();
    assert!(host.told("recording.sealed")[0].contains("reason=disk_full"));
    let report = report(&host.file(), &host.heads());
    assert!(report.good(), "{:?}", report.fault);
}

#[test]
fn told_to_stop_the_process_takes_no_more_connections_leaves_its_recordings_and_ends_well() {
    const NAME: &str = "recorder::tests::stop::told_to_stop_the_process_takes_no_more_connections_leaves_its_recordings_and_ends_well";
    const WHERE: &str = "JUMP_TEST_STOPPED";
    if let Some(root) = std::env::var_os(WHERE) {
        return be_stopped(Path::new(&root));
    }
    let root = tempfile::tempdir().unwrap();
    // What is blocked here is blocked in all threads there: the main one is the test harness's.
    crate::stop::expect_signals().unwrap();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env(WHERE, root.path())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0), "ended by {status}");
    assert!(root.path().join("no-more-connections").exists());
    let mut found: Vec<String> = std::fs::read_dir(root.path().join("recordings"))
        .unwrap()
        .flat_map(|day| std::fs::read_dir(day.unwrap().path()).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(
        found,
        [format!("{}.jrec", hop()), format!("{}.position", hop())]
    );
}

fn be_stopped(root: &Path) {
    use std::os::fd::AsFd as _;
    let signals = crate::stop::expect_signals().unwrap();
    let mut host = Host::new("");
    let recordings = root.join("recordings");
    std::fs::create_dir(&recordings).unwrap();
    Arc::get_mut(&mut host.jumpd).unwrap().recorder =
        Recorder::new(&recordings, &root.join("state"));
    let stop = crate::stop::on_signal(signals, Arc::clone(&host.jumpd)).unwrap();
    let (listener, _nobody) = std::os::unix::net::UnixStream::pair().unwrap();
    let note = root.join("no-more-connections");
    std::thread::spawn(move || {
        assert!(!crate::stop::wait_for(listener.as_fd(), stop.as_fd()));
        std::fs::write(note, "").unwrap();
    });
    let shell = host.record();
    shell.output(b"one");
    shell.until_kept(1);
    nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(shell.hear_out(), [FromRecorder::ComeAgain]);
    // The process ends meanwhile.
    std::thread::sleep(Duration::from_secs(20));
    panic!("nobody ended it");
}
