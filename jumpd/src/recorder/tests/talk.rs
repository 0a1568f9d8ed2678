//! The conversation: what is acknowledged is kept, and who may have a hop recorded at all.

use super::*;
use jump_proto::Reason;
use jump_recording::Kind;
use proptest::prelude::Strategy as _;

fn refusal(reply: Reply) -> Reason {
    match reply {
        Reply::Refused { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_acknowledged_is_in_the_file() {
    let host = Host::new("");
    let shell = host.record();
    let mut sent = 0;
    for round in 0..200_u64 {
        let burst = round % 7 + 1;
        for _ in 0..burst {
            shell.output(format!("line {round}\r\n").as_bytes());
        }
        sent += burst;
        shell.until_kept(sent);
        assert!(report(&host.file(), &[]).frames >= sent);
    }
    shell.over(0);
    let report = report(&host.file(), &host.heads());
    assert!(report.good(), "{:?}", report.fault);
    assert_eq!(report.trailer.unwrap().exit, Some(0));
    assert_eq!(frames(&host.file()).len() as u64, sent + 1);
}

#[test]
fn bytes_sizes_and_markers_come_back_as_they_were() {
    let host = Host::new("");
    let shell = host.record();
    let largest = noise(jump_proto::hop::RECORD_DATA);
    shell.output(b"\x1b[1mhot\xff\xfe");
    shell.output(b"");
    shell.send(FromShell::Size {
        cols: 132,
        rows: 50,
    });
    shell.send(FromShell::Marker("upload"));
    shell.send(FromShell::Alive);
    shell.output(&largest);
    shell.over(255);
    let frames = frames(&host.file());
    let kept: Vec<_> = frames
        .iter()
        .map(|frame| (frame.kind, frame.data.as_slice()))
        .collect();
    assert_eq!(
        kept,
        [
            (Kind::Output, &b"\x1b[1mhot\xff\xfe"[..]),
            (Kind::Output, b""),
            (Kind::Resize, b"132x50"),
            (Kind::Marker, b"upload"),
            (Kind::Output, &largest),
            (Kind::Exit, b"255"),
        ]
    );
    assert!(frames.is_sorted_by_key(|frame| frame.micros));
}

#[test]
fn the_header_says_whose_it_is_and_of_the_terminal_only_what_is_plain() {
    let host = Host::new("");
    for (term, kept) in [
        ("vt\x1b]0;x", None),
        ("xterm-256color", Some("xterm-256color")),
    ] {
        let mut request = record(hop());
        if let Request::Record { term: t, .. } = &mut request {
            *t = Some(term.to_owned());
        }
        let (shell, _) = host.ask(&alice(), request);
        shell.over(0);
        let file = host.file();
        let header = report(&file, &[]).header.unwrap();
        assert_eq!(header.term.kind.as_deref(), kept);
        assert_eq!((header.term.cols, header.term.rows), (80, 24));
        let facts = header.facts;
        assert_eq!((facts.user.as_str(), facts.uid), ("alice", 70001));
        assert_eq!(
            (facts.target.as_str(), facts.address.to_string().as_str()),
            ("db1", "10.20.0.5:22")
        );
        assert_eq!(facts.login.as_deref(), Some("admin"));
        assert_eq!(facts.recording, hop().to_string());
        assert_eq!(facts.policy, host.jumpd.policy().unwrap().hash());
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn the_journal_knows_of_the_beginning_before_and_of_each_checkpoint_and_the_end() {
    let host = Host::new("");
    let shell = host.record();
    let started = host.told("recording.started");
    assert_eq!(started.len(), 1);
    for word in [
        "user=alice",
        "dst=10.20.0.5:22",
        "rule=dba",
        &format!("recording={}", hop()),
    ] {
        assert!(started[0].contains(word), "{started:?}");
    }
    // Nothing was added, so there is nothing to say.
    host.jumpd.write_checkpoints(Duration::ZERO);
    assert!(host.told("recording.checkpoint").is_empty());
    for count in 1..=3 {
        shell.output(b"secret on the screen");
        shell.until_kept(count);
        host.jumpd.write_checkpoints(Duration::ZERO);
        host.jumpd.write_checkpoints(Duration::ZERO);
    }
    assert_eq!(host.told("recording.checkpoint").len(), 3);
    shell.over(0);
    let sealed = host.told("recording.sealed");
    assert!(sealed[0].contains("sequence=5"), "{sealed:?}");
    assert!(sealed[0].contains("reason=closed_by_peer"), "{sealed:?}");
    let heads = host.heads();
    assert_eq!(report(&host.file(), &heads).checkpoints, heads.len());
    assert!(
        host.journal
            .events()
            .iter()
            .all(|e| !e.message.contains("secret on")),
        "what was shown is in no event"
    );
}

#[test]
fn the_hop_is_recorded_for_as_long_as_its_recording_is_written() {
    let host = Host::new("");
    assert!(!host.is_recorded());
    let shell = host.record();
    assert!(host.is_recorded());
    shell.over(0);
    assert!(!host.is_recorded());
}

#[test]
fn a_file_is_for_jumpd_alone_and_of_its_day() {
    use std::os::unix::fs::PermissionsExt as _;
    let host = Host::new("");
    host.record().over(0);
    let file = host.file();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(file.parent().unwrap()), 0o700);
    let day = host.jumpd.now().to_zoned(jiff::tz::TimeZone::UTC).date();
    assert_eq!(
        file.parent().unwrap().file_name().unwrap(),
        day.to_string().as_str()
    );
    assert_eq!(file.file_stem().unwrap(), hop().as_str());
}

#[test]
fn only_the_sessions_own_hop_that_is_to_be_recorded_is_recorded_and_once() {
    let host = Host::new("");
    let refused = |session: &SessionId, request| refusal(host.ask(session, request).1);
    let of_another = HopId::from_bytes([9; 16]);
    assert_eq!(refused(&alice(), record(of_another)), Reason::NoSession);
    let unknown = HopId::from_bytes([3; 16]);
    assert_eq!(refused(&alice(), record(unknown)), Reason::NoSession);
    let plain = HopId::from_bytes([8; 16]);
    assert_eq!(refused(&alice(), record(plain)), Reason::Internal);
    let nobody = SessionId::from_bytes([5; 16]);
    assert_eq!(refused(&nobody, record(hop())), Reason::NoSession);
    assert!(host.files("jrec").is_empty());

    let shell = host.record();
    shell.output(b"one");
    shell.until_kept(1);
    assert_eq!(refused(&alice(), record(hop())), Reason::NoSession);
    let again = Request::RecordAgain { hop: hop() };
    assert_eq!(refused(&alice(), again), Reason::NoSession);
    shell.over(0);
    // Its recording is what it is.
    let before = std::fs::read(host.file()).unwrap();
    assert_ne!(refused(&alice(), record(hop())), Reason::NoSession);
    let again = Request::RecordAgain { hop: hop() };
    assert_eq!(refused(&alice(), again), Reason::RecorderLost);
    assert_eq!(std::fs::read(host.file()).unwrap(), before);
}

#[test]
fn what_cannot_be_in_the_journal_is_not_recorded_and_so_does_not_happen() {
    let host = Host::new("");
    host.journal.fail(true);
    let (_, reply) = host.ask(&alice(), record(hop()));
    assert_eq!(refusal(reply), Reason::AuditFailed);
    wait_for("given up", || !host.is_recorded());
    assert!(host.files("jrec").is_empty());
}

#[test]
fn a_shell_that_reads_nothing_delays_nobody_and_loses_nothing() {
    let host = Host::new("");
    let shell = host.record();
    const PACKETS: u64 = 20_000;
    for _ in 0..PACKETS {
        shell.output(b"x");
    }
    wait_for("all is kept", || {
        host.jumpd.recorder.bytes_of(&hop()).is_some()
            && report(&host.file(), &[]).frames == PACKETS
    });
    // The last acknowledgement that had room says what was so then; the next says it all.
    shell.until_kept(PACKETS);
    shell.over(0);
    assert!(report(&host.file(), &host.heads()).good());
}

#[test]
fn with_recipients_nothing_of_it_is_in_the_clear() {
    const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let host = Host::new(&format!("recipients = [\"{RECIPIENT}\"]\n"));
    let shell = host.record();
    shell.output(b"the password is swordfish");
    shell.over(0);
    let file = host.file();
    let bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(9).any(|window| window == b"swordfish"));
    let report = report(&file, &host.heads());
    assert!(report.good(), "verified without a key: {:?}", report.fault);
    assert_eq!(report.header.unwrap().facts.sealed_to, [RECIPIENT]);
}

#[test]
fn much_output_is_kept_in_little_memory() {
    in_a_process(
        "recorder::tests::talk::much_output_is_kept_in_little_memory",
        || {
            let host = Host::new("");
            let shell = Arc::new(host.record());
            let line = "-rw-r--r-- 1 root root   4096 Nov 22 17:41 some-file-with-a-name.log\r\n";
            let block: Vec<u8> = line
                .bytes()
                .cycle()
                .take(jump_proto::hop::RECORD_DATA)
                .collect();
            const BLOCKS: u64 = 1500;
            let hearing = Arc::clone(&shell);
            let before = memory();
            let begun = Instant::now();
            let ears = std::thread::spawn(move || hearing.until_kept(BLOCKS));
            for _ in 0..BLOCKS {
                shell.output(&block);
            }
            ears.join().unwrap();
            let megabytes = BLOCKS * jump_proto::hop::RECORD_DATA as u64 / 1_000_000;
            let speed = megabytes as f64 / begun.elapsed().as_secs_f64();
            println!(
                "{megabytes} MB at {speed:.0} MB/s, {} KiB more",
                memory() - before
            );
            assert!(memory() - before < 4 * 1024, "{} KiB", memory() - before);
            Arc::into_inner(shell).unwrap().over(0);
        },
    );
}

/// The most memory that this process ever had, in KiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn an_echo_is_kept_before_anybody_could_see_that_it_was_late() {
    let host = Host::new("");
    let shell = host.record();
    let mut times = Vec::new();
    for count in 1..=2000 {
        let begun = Instant::now();
        shell.output(b"x");
        shell.until_kept(count);
        times.push(begun.elapsed());
        std::thread::sleep(Duration::from_micros(200));
    }
    shell.over(0);
    times.sort_unstable();
    println!("median {:?}, p99 {:?}", times[1000], times[1980]);
    // A tenth of what somebody notices, on a machine that does something else besides.
    assert!(times[1000] < Duration::from_millis(10), "{:?}", times[1000]);
}

/// A packet, as something that can be drawn at random.
#[derive(Debug, Clone)]
enum Sent {
    Output(Vec<u8>),
    Size(u16, u16),
    Marker(String),
}

impl Sent {
    fn packet(&self) -> FromShell<'_> {
        match self {
            Self::Output(data) => FromShell::Output(data),
            Self::Size(cols, rows) => FromShell::Size {
                cols: *cols,
                rows: *rows,
            },
            Self::Marker(label) => FromShell::Marker(label),
        }
    }

    fn frame(&self) -> (Kind, Vec<u8>) {
        match self {
            Self::Output(data) => (Kind::Output, data.clone()),
            Self::Size(cols, rows) => (Kind::Resize, format!("{cols}x{rows}").into_bytes()),
            Self::Marker(label) => (Kind::Marker, label.clone().into_bytes()),
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(10))]

    #[test]
    fn whatever_is_sent_and_however_often_it_is_stopped_all_of_it_is_there_in_order(
        parts in proptest::collection::vec(
            proptest::collection::vec(
                proptest::prop_oneof![
                    proptest::collection::vec(proptest::prelude::any::<u8>(), 0..2000).prop_map(Sent::Output),
                    proptest::prelude::any::<(u16, u16)>().prop_map(|(cols, rows)| Sent::Size(cols, rows)),
                    ".{0,20}".prop_map(Sent::Marker),
                ],
                0..20,
            ),
            1..4,
        ),
    ) {
        let mut host = Host::new("");
        let mut shell = host.record();
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                let stopping = Arc::clone(&host.jumpd);
                let stopped = std::thread::spawn(move || stopping.recorder.hand_over());
                assert_eq!(shell.hear_out(), [FromRecorder::ComeAgain]);
                stopped.join().unwrap();
                host = host.next();
                shell = host.record_again();
            }
            for sent in part {
                shell.send(sent.packet());
            }
            shell.until_kept(part.len() as u64);
        }
        shell.over(7);
        let report = report(&host.file(), &host.heads());
        proptest::prop_assert!(report.good(), "{:?}", report.fault);
        let mut expected: Vec<_> = parts.iter().flatten().map(Sent::frame).collect();
        expected.push((Kind::Exit, b"7".to_vec()));
        let kept: Vec<_> = frames(&host.file())
            .into_iter()
            .map(|frame| (frame.kind, frame.data))
            .collect();
        proptest::prop_assert_eq!(kept, expected);
    }
}
