//! What an earlier jumpd left is finished where it can be, and told of where it cannot.

use super::*;
use std::io::BufRead as _;

/// A recording that nobody goes on with.
fn abandoned() -> Host {
    let host = Host::new("");
    let shell = host.record();
    shell.output(b"one");
    shell.until_kept(1);
    let stopping = Arc::clone(&host.jumpd);
    let stopped = std::thread::spawn(move || stopping.recorder.hand_over());
    assert_eq!(shell.hear_out(), [FromRecorder::ComeAgain]);
    stopped.join().unwrap();
    host.next()
}

#[test]
fn what_nobody_comes_back_for_gets_its_end() {
    let host = abandoned();
    host.jumpd.finish_leftovers();
    let report = report(&host.file(), &host.heads());
    assert!(report.good(), "{:?}", report.fault);
    assert_eq!(report.trailer.unwrap().exit, None);
    let sealed = host.told("recording.sealed");
    for word in [
        "reason=recorder_lost",
        "user=alice",
        "rule=dba",
        "sequence=3",
    ] {
        assert!(sealed[0].contains(word), "{sealed:?}");
    }
    assert!(host.files("position").is_empty());
    host.jumpd.finish_leftovers();
    assert_eq!(host.told("recording.sealed").len(), 1, "it is said once");
    assert!(host.told("recording.failed").is_empty());
}

#[test]
fn what_somebody_came_back_for_is_left_alone() {
    let host = abandoned();
    let shell = host.record_again();
    host.jumpd.finish_leftovers();
    shell.output(b"two");
    shell.until_kept(1);
    shell.over(0);
    assert_eq!(host.told("recording.sealed").len(), 1);
    assert!(host.told("recording.failed").is_empty());
    assert!(report(&host.file(), &host.heads()).good());
}

#[test]
fn who_comes_back_at_the_last_moment_goes_on_or_is_refused_and_the_recording_is_whole() {
    for round in 0..40 {
        let host = abandoned();
        let finishing = Arc::clone(&host.jumpd);
        let finishes = std::thread::spawn(move || finishing.finish_leftovers());
        std::thread::sleep(Duration::from_micros(10 * (round % 20)));
        let (shell, reply) = host.ask(&alice(), Request::RecordAgain { hop: hop() });
        match reply {
            Reply::Recording => shell.over(0),
            Reply::Refused { reason, .. } => {
                assert_eq!(reason, jump_proto::Reason::RecorderLost);
                shell.close();
            }
            other => panic!("{other:?}"),
        }
        finishes.join().unwrap();
        assert_eq!(host.told("recording.sealed").len(), 1, "{round}");
        assert!(host.files("torn").is_empty() && host.files("position").is_empty());
        let report = report(&host.file(), &host.heads());
        assert!(report.good(), "{:?}", report.fault);
    }
}

#[test]
fn what_was_left_without_a_file_becomes_one_that_says_so() {
    let host = Host::new(&format!("{NO_ROOM}break_glass = [\"oncall\"]\n"));
    let shell = host.record();
    shell.output(b"unseen");
    shell.until_kept(1);
    let stopped = host.stop();
    assert!(shell.hear_out().contains(&FromRecorder::ComeAgain));
    stopped.join().unwrap();
    let host = host.next();
    host.jumpd.finish_leftovers();
    let report = report(&host.file(), &host.heads());
    assert!(report.good(), "{:?}", report.fault);
    assert_eq!(report.trailer.unwrap().gaps, 1);
    assert!(host.told("recording.sealed")[0].contains("user=alice"));
    host.jumpd.finish_leftovers();
    assert_eq!(host.told("recording.sealed").len(), 1, "it is said once");
}

#[test]
fn a_torn_recording_is_told_of_once_and_stays_as_it_is() {
    let host = Host::new("");
    let shell = host.record();
    for count in 1..=5 {
        shell.output(&noise(100));
        shell.until_kept(count);
    }
    shell.over(0);
    let (file, whole) = (host.file(), std::fs::read(host.file()).unwrap());
    let full = report(&file, &[]).head.unwrap().sequence;
    let host = host.next();
    for cut in [whole.len() - 1, whole.len() - 300, whole.len() / 2, 20, 0] {
        std::fs::write(&file, &whole[..cut]).unwrap();
        let before = host.told("recording.failed").len();
        host.jumpd.finish_leftovers();
        host.jumpd.finish_leftovers();
        let failed = host.told("recording.failed");
        assert_eq!(failed.len(), before + 1, "cut to {cut}");
        let told = failed.last().unwrap();
        assert!(told.contains("reason=recorder_lost") && told.contains("without an end"));
        if cut > 1000 {
            let head = report(&file, &[]).head.unwrap();
            assert!(head.sequence < full);
            assert!(
                told.contains(&format!("sequence={} ", head.sequence)),
                "{told}"
            );
            assert!(told.contains("user=alice"), "{told}");
        }
        assert_eq!(
            std::fs::read(&file).unwrap(),
            &whole[..cut],
            "left as it is"
        );
        std::fs::remove_file(file.with_extension("torn")).unwrap();
    }
}

#[test]
fn what_cannot_be_said_is_said_at_the_next_start() {
    let host = Host::new("");
    host.record().over(0);
    let whole = std::fs::read(host.file()).unwrap();
    std::fs::write(host.file(), &whole[..whole.len() - 1]).unwrap();
    let host = host.next();
    host.journal.fail(true);
    host.jumpd.finish_leftovers();
    assert!(host.files("torn").is_empty());
    host.journal.fail(false);
    host.jumpd.finish_leftovers();
    assert_eq!(host.told("recording.failed").len(), 1);
    assert_eq!(host.files("torn").len(), 1);
}

/// What is killed: it records the number of each line, and says the number when it is acknowledged.
fn record_and_say() {
    let host = Host::on(
        Arc::new(
            tempfile::Builder::new()
                .disable_cleanup(true)
                .tempdir()
                .unwrap(),
        ),
        "",
    );
    let mut alice = session(1);
    alice.open_hop(hop_named(7, true)).unwrap();
    host.jumpd.sessions().insert(alice).unwrap();
    println!("at {}", host.root.path().display());
    let shell = host.record();
    for count in 1_u64.. {
        shell.output(format!("{count} ").repeat(50).as_bytes());
        shell.until_kept(count);
        println!("kept {count}");
    }
}

#[test]
fn whoever_kills_the_recorder_loses_at_most_what_was_not_acknowledged() {
    const NAME: &str = "recorder::tests::leftovers::whoever_kills_the_recorder_loses_at_most_what_was_not_acknowledged";
    if std::env::var_os("JUMP_TEST_KILLED").is_some() {
        return record_and_say();
    }
    for round in 0..8_u64 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture"])
            .env("JUMP_TEST_KILLED", "1")
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut root, mut kept) = (None, 0);
        let mut hear = |line: String, kept: &mut u64| {
            if let Some((_, path)) = line.split_once("at /") {
                root = Some(PathBuf::from(format!("/{path}")));
            } else if let Some((_, count)) = line.split_once("kept ") {
                *kept = count.parse().unwrap();
            }
        };
        while kept < 50 + 37 * round {
            hear(lines.next().unwrap().unwrap(), &mut kept);
        }
        std::thread::sleep(Duration::from_micros(97 * round));
        child.kill().unwrap();
        for line in lines.map_while(Result::ok) {
            hear(line, &mut kept);
        }
        child.wait().unwrap();

        let root = root.unwrap();
        let day = std::fs::read_dir(root.join("recordings"))
            .unwrap()
            .next()
            .unwrap();
        let file = day.unwrap().path().join(format!("{}.jrec", hop()));
        let report = report(&file, &[]);
        assert!(report.fault.is_some(), "it has no end");
        assert!(
            report.frames == kept || report.frames == kept + 1,
            "{} of {kept}",
            report.frames
        );
        for (frame, count) in frames(&file).iter().zip(1_u64..) {
            assert!(frame.data.starts_with(format!("{count} ").as_bytes()));
        }
        std::fs::remove_dir_all(root).unwrap();
    }
}
