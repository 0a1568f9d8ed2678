//! Whatever is done to a recording, `verify` says where and what.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shared;

use jump_recording::{Fault, Head, Keys, Kind, Problem, Report, verify};
use shared::{blocks, keys, recording, writer};

/// Opening a sealed recording costs milliseconds: every byte is tried without
/// the key, and so many with it.
const OPENED: usize = 9;

/// With the key and without: the same fault, or none twice.
fn look(bytes: &[u8], checkpoints: &[Head]) -> Report {
    let with = verify(bytes, &keys(), checkpoints);
    let without = verify(bytes, &Keys::none(), checkpoints);
    let said = |report: &Report| report.fault.as_ref().map(ToString::to_string);
    assert_eq!(said(&with), said(&without));
    with
}

fn fault(bytes: &[u8]) -> Fault {
    look(bytes, &[]).fault.unwrap()
}

#[test]
fn every_flipped_byte_is_found_at_its_block() {
    for sealed in [false, true] {
        let bytes = recording(sealed);
        let starts = blocks(&bytes);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x20;
            let fault = match sealed && at % OPENED > 0 {
                true => verify(&changed[..], &Keys::none(), &[]).fault.unwrap(),
                false => fault(&changed),
            };
            let block = starts.iter().rev().find(|start| **start <= at);
            let expected = block.copied().unwrap_or(0);
            assert_eq!(fault.place.offset as usize, expected, "byte {at}: {fault}");
        }
    }
}

#[test]
fn a_dropped_repeated_or_moved_block_is_found() {
    for sealed in [false, true] {
        let bytes = recording(sealed);
        let starts = blocks(&bytes);
        let block = |i: usize| &bytes[starts[i]..starts[i + 1]];
        let count = starts.len() - 1;
        let broken = |bytes: &[u8], at: usize, what: &str| {
            let fault = fault(bytes);
            let chain = matches!(fault.problem, Problem::Chain | Problem::Order { .. });
            assert!(chain, "{what}: {fault}");
            assert_eq!(fault.place.offset as usize, at, "{what}: {fault}");
        };
        for i in 0..count - 1 {
            let without = [&bytes[..starts[i]], &bytes[starts[i + 1]..]].concat();
            broken(&without, starts[i], &format!("drop {i}"));
            let twice = [&bytes[..starts[i + 1]], block(i), &bytes[starts[i + 1]..]].concat();
            broken(&twice, starts[i + 1], &format!("repeat {i}"));
            let (before, after) = (&bytes[..starts[i]], &bytes[starts[i + 2]..]);
            let swapped = [before, block(i + 1), block(i), after].concat();
            broken(&swapped, starts[i], &format!("swap {i}"));
        }
        let more = [&bytes[..], block(0)].concat();
        assert!(matches!(fault(&more).problem, Problem::Appended));
    }
}

#[test]
fn a_dropped_repeated_or_moved_segment_is_found() {
    let bytes = recording(false);
    let starts: Vec<usize> = blocks(&bytes);
    let heads = starts.iter().take(starts.len() - 1);
    let heads: Vec<usize> = heads.copied().filter(|at| bytes[*at] == b'S').collect();
    let (a, b, c) = (heads[0], heads[1], heads[2]);
    let (begin, one, two, rest) = (&bytes[..a], &bytes[a..b], &bytes[b..c], &bytes[c..]);
    for (changed, at, segment) in [
        ([begin, two, rest].concat(), a, None),
        ([begin, one, rest].concat(), b, Some(0)),
        ([begin, one, one, two, rest].concat(), b, Some(0)),
        ([begin, two, one, rest].concat(), a, None),
    ] {
        let fault = fault(&changed);
        assert_eq!(fault.place.offset as usize, at, "{fault}");
        assert_eq!(fault.place.segment, segment, "{fault}");
        assert!(matches!(fault.problem, Problem::Order { .. }), "{fault}");
    }
}

#[test]
fn a_piece_of_another_recording_is_found() {
    for sealed in [false, true] {
        let bytes = recording(sealed);
        let mut other = writer(sealed);
        other.write(9, Kind::Marker, b"another session").unwrap();
        for _ in 0..6 {
            other.write(9, Kind::Output, b"login\r\n").unwrap();
        }
        let (other, _) = other.end(9).unwrap();
        let (mine, theirs) = (blocks(&bytes), blocks(&other));
        for (i, start) in theirs.iter().enumerate().take(theirs.len() - 1) {
            for at in [mine[2], mine[4]] {
                let piece = &other[*start..theirs[i + 1]];
                let spliced = [&bytes[..at], piece, &bytes[at..]].concat();
                assert_eq!(
                    fault(&spliced).place.offset as usize,
                    at,
                    "block {i} at {at}"
                );
                let rest = [&bytes[..at], &other[*start..]].concat();
                assert_eq!(
                    fault(&rest).place.offset as usize,
                    at,
                    "from block {i} at {at}"
                );
            }
        }
    }
}

#[test]
fn a_cut_file_is_told_and_all_before_is_read() {
    for sealed in [false, true] {
        let bytes = recording(sealed);
        let starts = blocks(&bytes);
        for length in starts[0]..bytes.len() {
            let cut = &bytes[..length];
            let opened = !sealed || length % OPENED == 0 || starts.contains(&length);
            let report = match opened {
                true => look(cut, &[]),
                false => verify(cut, &Keys::none(), &[]),
            };
            let fault = report.fault.as_ref().unwrap();
            match starts.contains(&length) {
                true => assert!(report.unfinished(), "{length}: {fault}"),
                false => assert!(matches!(fault.problem, Problem::Cut), "{length}: {fault}"),
            }
            let whole = starts
                .windows(2)
                .filter(|b| bytes[b[0]] == b'F' && b[1] <= length);
            let whole = whole.count();
            assert_eq!(report.frames as usize, whole, "{length}");
            if opened {
                assert_eq!(shared::frames(cut, &keys()).len(), whole, "{length}");
            }
        }
        for length in 0..starts[0] {
            assert!(look(&bytes[..length], &[]).header.is_none(), "{length}");
        }
    }
}

#[test]
fn a_checkpoint_tells_a_missing_tail() {
    for sealed in [false, true] {
        let mut writer = writer(sealed);
        let mut heads = vec![writer.head()];
        for i in 0..5 {
            heads.push(writer.write(i * 200_000_000, Kind::Output, b"x").unwrap());
        }
        let (bytes, last) = writer.end(2_000_000_000).unwrap();
        heads.push(last);
        let report = look(&bytes, &heads);
        assert!(report.good(), "{:?}", report.fault);
        assert_eq!(report.checkpoints, heads.len());
        heads.reverse();
        assert!(look(&bytes, &heads).good(), "in any order");
        let end = *blocks(&bytes).last().unwrap();
        for at in blocks(&bytes).into_iter().filter(|at| *at < end) {
            let report = look(&bytes[..at], &heads);
            let problem = report.fault.unwrap().problem;
            assert!(
                matches!(problem, Problem::TailMissing { known: 6 }),
                "{at}: {problem}"
            );
            assert!(
                look(&bytes[..at], &[]).unfinished(),
                "without a checkpoint nobody knows"
            );
        }
    }
}

#[test]
fn a_recording_that_was_written_anew_is_told_by_the_journal() {
    let bytes = recording(false);
    let mut writer = writer(false);
    let first = writer.write(1, Kind::Output, b"login\r\n").unwrap();
    let forged = writer.write(2, Kind::Output, b"nothing happened").unwrap();
    assert!(look(&bytes, &[first]).good(), "as long as it is the same");
    let report = look(&bytes, &[first, forged]);
    let fault = report.fault.unwrap();
    assert!(
        matches!(fault.problem, Problem::Checkpoint { known: 2 }),
        "{fault}"
    );
    assert_eq!((report.checkpoints, fault.place.sequence), (1, 2));
    // One that is sealed, but shorter than what the journal knows.
    let (short, _) = writer.end(3).unwrap();
    let later = Head {
        sequence: 9,
        hash: first.hash,
    };
    let fault = look(&short, &[first, later]).fault.unwrap();
    assert!(
        matches!(fault.problem, Problem::TailMissing { known: 9 }),
        "{fault}"
    );
}

#[test]
fn a_fault_is_said_in_one_sentence_with_its_place() {
    let bytes = recording(false);
    let starts = blocks(&bytes);
    let without = [&bytes[..starts[1]], &bytes[starts[2]..]].concat();
    assert_eq!(
        fault(&without).to_string(),
        format!(
            "at byte {}, segment 0, frame 0: the chain breaks: frame 1 stands where frame 0 should: \
             frames were dropped, moved, repeated or changed",
            starts[1]
        )
    );
}
