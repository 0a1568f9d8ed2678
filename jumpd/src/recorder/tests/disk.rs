//! The reserve: below it nothing begins, and what runs is told, and then ended.

use super::*;
use crate::recorder::lock;
use crate::recorder::talk::LOOK_AFTER;
use crate::recorder::watch::{Shortage, watch};

/// Below the floor, with a grace that outlasts every test.
const AT_FLOOR: &str = "reserve = \"1000000TiB\"\ngrace = \"1h\"\n";

/// Lets a recording grow by what is looked at, and then some, as long as anybody listens.
fn flood(shell: &Shell) {
    let mut packet = Vec::new();
    let mut sent = 0;
    while sent < 2 * LOOK_AFTER {
        let bytes = noise(30_000);
        FromShell::Output(&bytes).put(&mut packet);
        if shell.channel.send_bytes(&packet, true).is_err() {
            return;
        }
        sent += 30_000;
    }
}

#[test]
fn below_the_reserve_a_recorded_hop_is_refused_with_what_to_do() {
    let host = Host::new(NO_ROOM);
    let (_, reply) = host.ask(&alice(), record(hop()));
    let Reply::Refused { reason, message } = reply else {
        panic!("{reply:?}");
    };
    assert_eq!(reason, jump_proto::Reason::DiskFull);
    assert!(message.contains("tell its administrators"), "{message}");
    wait_for("given up", || !host.is_recorded());
    assert!(host.files("jrec").is_empty());
    let failed = host.told("recording.failed");
    assert!(failed[0].contains("reason=disk_full"), "{failed:?}");
    assert!(host.told("recording.started").is_empty());
}

#[test]
fn below_the_reserve_who_may_break_the_glass_begins_with_a_gap() {
    let host = Host::new(&format!("{NO_ROOM}break_glass = [\"oncall\"]\n"));
    let shell = host.record();
    shell.output(b"unseen");
    let said = shell.until_kept(1);
    assert!(
        matches!(said.as_slice(), [FromRecorder::Notice(_)]),
        "{said:?}"
    );
    assert!(host.files("jrec").is_empty(), "the disk is left alone");
    assert_eq!(host.events("alert.raised")[0].priority, 1);

    host.take("reserve = \"16MiB\"\n");
    host.jumpd.look_at_disk(&mut Shortage::default());
    std::thread::sleep(Duration::from_millis(1100));
    shell.output(b"seen");
    shell.until_kept(2);
    shell.over(3);
    let report = report(&host.file(), &host.heads());
    assert!(report.good(), "{:?}", report.fault);
    let trailer = report.trailer.unwrap();
    assert_eq!(
        (trailer.gaps, trailer.output, trailer.exit),
        (1, 4, Some(3))
    );
}

#[test]
fn a_running_hop_is_told_and_ended_after_its_grace() {
    let host = Host::new("grace = \"1s\"\n");
    let shell = host.record();
    let mut shortage = Shortage::default();
    host.jumpd.look_at_disk(&mut shortage);
    host.take("reserve = \"1000000TiB\"\ngrace = \"1s\"\n");
    host.jumpd.look_at_disk(&mut shortage);
    let said = shell.hear().unwrap();
    assert!(
        matches!(&said, FromRecorder::Notice(text) if text.contains("will be ended soon")),
        "{said:?}"
    );
    // Not before its grace is over.
    host.jumpd.look_at_disk(&mut shortage);
    shell.output(b"goes on");
    shell.until_kept(1);
    std::thread::sleep(Duration::from_millis(1100));
    host.jumpd.look_at_disk(&mut shortage);
    let said = shell.hear_out();
    assert!(
        matches!(said.as_slice(), [FromRecorder::End(text)] if text.contains("nearly full")),
        "{said:?}"
    );
    assert!(!host.is_recorded());
    assert!(host.told("recording.sealed")[0].contains("reason=disk_full"));
    assert!(report(&host.file(), &host.heads()).good());
}

#[test]
fn a_disk_that_has_room_again_ends_nothing() {
    let host = Host::new("");
    let shell = host.record();
    let mut shortage = Shortage::default();
    host.take(NO_ROOM);
    host.jumpd.look_at_disk(&mut shortage);
    let told = shell.hear().unwrap();
    assert!(matches!(told, FromRecorder::Notice(_)), "{told:?}");
    host.take("reserve = \"16MiB\"\n");
    host.jumpd.look_at_disk(&mut shortage);
    let told = shell.hear().unwrap();
    assert!(
        matches!(&told, FromRecorder::Notice(text) if text.contains("room again")),
        "{told:?}"
    );
    shell.output(b"one");
    shell.until_kept(1);
    shell.over(0);
    let posture = host.told("posture.changed");
    assert_eq!(posture.len(), 2, "{posture:?}");
    assert!(
        posture[0].contains("outcome=failure reason=disk_full"),
        "{posture:?}"
    );
    assert!(posture[1].contains("outcome=success"), "{posture:?}");
    assert!(host.told("recording.sealed")[0].contains("reason=closed_by_peer"));
}

#[test]
fn a_running_hop_of_who_may_break_the_glass_goes_on_unrecorded() {
    let host = Host::new("break_glass = [\"oncall\"]\n");
    let shell = host.record();
    let mut shortage = Shortage::default();
    host.take(&format!("{NO_ROOM}break_glass = [\"oncall\"]\n"));
    host.jumpd.look_at_disk(&mut shortage);
    host.jumpd.look_at_disk(&mut shortage);
    wait_for("the alert", || !host.events("alert.raised").is_empty());
    shell.output(b"unseen");
    shell.until_kept(1);
    assert!(host.is_recorded());
    let before = std::fs::metadata(host.file()).unwrap().len();
    shell.output(&noise(1000));
    shell.until_kept(2);
    assert_eq!(std::fs::metadata(host.file()).unwrap().len(), before);
    // Its end says what is missing, and takes but little room.
    shell.over(0);
    let report = report(&host.file(), &host.heads());
    assert!(report.good(), "{:?}", report.fault);
    assert_eq!(report.trailer.unwrap().gaps, 1);
}

#[test]
fn what_fills_the_disk_faster_than_its_grace_is_ended_at_half_of_the_reserve() {
    let host = Host::new("");
    let shell = host.record();
    flood(&shell);
    shell.output(b"there is room");
    shell.until_kept(1);
    host.take(AT_FLOOR);
    flood(&shell);
    // Nobody but itself has looked at the disk.
    let said = shell.hear_out();
    assert!(
        matches!(said.as_slice(), [FromRecorder::End(text)] if text.contains("nearly full")),
        "{said:?}"
    );
    assert!(!host.is_recorded(), "its connection is cut");
    assert!(host.told("recording.sealed")[0].contains("reason=disk_full"));
    assert!(report(&host.file(), &host.heads()).good());
    let length = std::fs::metadata(host.file()).unwrap().len();
    assert!(length < 4 * LOOK_AFTER, "{length}");
}

#[test]
fn a_hop_with_little_output_has_its_grace_at_the_floor_too() {
    let host = Host::new("");
    let shell = host.record();
    host.take(AT_FLOOR);
    for count in 1..=50 {
        shell.output(&noise(1000));
        assert_eq!(shell.until_kept(count), []);
    }
    shell.over(0);
    assert!(host.told("recording.sealed")[0].contains("reason=closed_by_peer"));
}

#[test]
fn between_the_reserve_and_its_half_the_grace_holds() {
    let host = Host::new("");
    let shell = host.record();
    // As much as is free is not less than half of it.
    let free = host.jumpd.recorder.shelf.free().unwrap();
    let reserve = free / 1024 / 1024 * 5 / 4;
    host.take(&format!("reserve = \"{reserve}MiB\"\ngrace = \"1h\"\n"));
    host.jumpd.look_at_disk(&mut Shortage::default());
    let said = shell.hear().unwrap();
    assert!(
        matches!(&said, FromRecorder::Notice(text) if text.contains("will be ended soon")),
        "{said:?}"
    );
    let listening = std::thread::scope(|scope| {
        let sending = scope.spawn(|| flood(&shell));
        let packets = (2 * LOOK_AFTER).div_ceil(30_000);
        let said = shell.until_kept(packets);
        sending.join().unwrap();
        said
    });
    assert_eq!(listening, []);
    shell.over(0);
    assert!(host.told("recording.sealed")[0].contains("reason=closed_by_peer"));
}

#[test]
fn at_the_floor_who_may_break_the_glass_goes_on_unrecorded() {
    let host = Host::new("break_glass = [\"oncall\"]\n");
    let shell = host.record();
    host.take(&format!("{AT_FLOOR}break_glass = [\"oncall\"]\n"));
    let packets = (2 * LOOK_AFTER).div_ceil(30_000);
    let said = std::thread::scope(|scope| {
        let sending = scope.spawn(|| flood(&shell));
        let said = shell.until_kept(packets);
        sending.join().unwrap();
        said
    });
    assert!(
        matches!(said.as_slice(), [FromRecorder::Notice(text)] if text.contains("not recorded")),
        "{said:?}"
    );
    assert_eq!(host.events("alert.raised").len(), 1);
    let before = std::fs::metadata(host.file()).unwrap().len();
    assert!(before < 2 * LOOK_AFTER, "{before}");
    // It does not try again before there is room.
    std::thread::sleep(Duration::from_millis(1100));
    shell.output(&noise(1000));
    shell.until_kept(packets + 1);
    assert_eq!(std::fs::metadata(host.file()).unwrap().len(), before);
    assert!(host.is_recorded());

    host.take("reserve = \"16MiB\"\n");
    host.jumpd.look_at_disk(&mut Shortage::default());
    shell.output(b"seen");
    shell.until_kept(packets + 2);
    shell.over(0);
    let report = report(&host.file(), &host.heads());
    assert!(report.good(), "{:?}", report.fault);
    assert_eq!(report.trailer.unwrap().gaps, 1);
}

#[test]
fn a_checkpoint_that_takes_its_time_does_not_keep_from_looking_at_the_disk() {
    let host = Host::new("");
    let shell = host.record();
    shell.output(b"one");
    shell.until_kept(1);
    let live = host.jumpd.recorder.hands.live(&hop()).unwrap();
    // As one that waits for a disk does, the checkpoint of this recording comes to no end.
    let stuck = lock(&live.progress);
    host.take(AT_FLOOR);
    watch(Arc::clone(&host.jumpd)).unwrap();
    let said = shell.hear().unwrap();
    host.jumpd.recorder.hands.close();
    drop(stuck);
    assert!(
        matches!(&said, FromRecorder::Notice(text) if text.contains("will be ended soon")),
        "{said:?}"
    );
    shell.over(0);
}
