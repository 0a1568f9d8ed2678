//! Whatever is done to a recording, `verify` says where.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use jump_recording::{Header, Kind, Problem, Reader, Terminal, WriteError, Writer, verify};
use std::io::Write;

fn header() -> Header {
    Header {
        version: 3,
        term: Terminal {
            cols: 80,
            rows: 24,
            kind: Some("xterm".to_owned()),
        },
        timestamp: 1_790_000_000,
        jump: [("user".to_owned(), "alice".to_owned())].into(),
    }
}

/// A small recording, and where each frame begins.
fn recording() -> (Vec<u8>, Vec<usize>) {
    let mut writer = Writer::begin(Vec::new(), &header()).unwrap();
    for (at, text) in [(1, "login\r\n"), (2, "\u{1b}[1m$ "), (9, "exit\r\n")] {
        writer.write(at, Kind::Output, text.as_bytes()).unwrap();
    }
    writer.write(10, Kind::Output, &[0xff, 0xfe, 0x00]).unwrap();
    writer.write(11, Kind::Resize, b"100x40").unwrap();
    writer.write(12, Kind::Exit, b"0").unwrap();
    let (bytes, _) = writer.end(13).unwrap();
    let mut starts = vec![12 + serde_json::to_vec(&header()).unwrap().len()];
    while let Some(length) = bytes
        .get(starts[starts.len() - 1]..)
        .and_then(|b| b.first_chunk::<4>())
    {
        let next = starts[starts.len() - 1] + 4 + u32::from_le_bytes(*length) as usize + 32;
        starts.push(next);
    }
    (bytes, starts)
}

#[test]
fn what_was_written_is_what_is_read() {
    let (bytes, _) = recording();
    let report = verify(&bytes[..]).unwrap();
    assert!(report.sealed);
    assert_eq!((report.frames, report.header), (7, header()));
    let mut reader = Reader::open(&bytes[..]).unwrap();
    let mut output = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        if frame.kind == Kind::Output {
            output.extend(frame.data);
        }
    }
    assert_eq!(output, b"login\r\n\x1b[1m$ exit\r\n\xff\xfe\x00");
}

#[test]
fn every_flipped_byte_is_found_at_its_frame() {
    let (bytes, starts) = recording();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x20;
        let fault = verify(&changed[..]).unwrap_err();
        // A changed header is found in itself, or by the first link; a changed frame at its own beginning.
        let frame = starts.iter().rev().find(|start| **start <= at);
        match frame {
            Some(start) => assert_eq!(fault.offset as usize, *start, "byte {at}: {fault}"),
            None => assert!(
                [0, starts[0]].contains(&(fault.offset as usize)),
                "byte {at}: {fault}"
            ),
        }
    }
}

#[test]
fn a_dropped_repeated_or_moved_frame_is_found() {
    let (bytes, starts) = recording();
    let frame = |i: usize| &bytes[starts[i]..starts[i + 1]];
    let count = starts.len() - 1;
    for i in 0..count - 1 {
        let without = [&bytes[..starts[i]], &bytes[starts[i + 1]..]].concat();
        assert!(
            matches!(verify(&without[..]).unwrap_err().problem, Problem::Chain),
            "drop {i}"
        );
        let twice = [&bytes[..starts[i + 1]], frame(i), &bytes[starts[i + 1]..]].concat();
        assert!(
            matches!(verify(&twice[..]).unwrap_err().problem, Problem::Chain),
            "repeat {i}"
        );
        let swapped = [
            &bytes[..starts[i]],
            frame(i + 1),
            frame(i),
            &bytes[starts[i + 2]..],
        ]
        .concat();
        let fault = verify(&swapped[..]).unwrap_err();
        assert!(matches!(fault.problem, Problem::Chain), "swap {i}");
        assert_eq!(fault.offset as usize, starts[i], "swap {i}");
    }
    let more = [&bytes[..], frame(0)].concat();
    assert!(matches!(
        verify(&more[..]).unwrap_err().problem,
        Problem::Appended
    ));
}

#[test]
fn a_cut_file_is_found_or_not_sealed() {
    let (bytes, starts) = recording();
    for length in 0..bytes.len() {
        match verify(&bytes[..length]) {
            Ok(report) => {
                assert!(starts.contains(&length), "{length}");
                assert!(!report.sealed, "{length}");
            }
            Err(fault) => assert!(!starts.contains(&length), "{length}: {fault}"),
        }
    }
}

#[test]
fn a_head_in_the_journal_shows_a_missing_tail() {
    let mut writer = Writer::begin(Vec::new(), &header()).unwrap();
    writer.write(1, Kind::Output, b"a").unwrap();
    let early = writer.head();
    writer.write(2, Kind::Output, b"b").unwrap();
    let late = writer.head();
    let (bytes, _) = writer.end(3).unwrap();
    assert_ne!(early, late);
    let whole = verify(&bytes[..]).unwrap();
    assert_ne!(whole.head, late, "the trailer is a link as well");
}

#[test]
fn data_larger_than_a_frame_is_split_and_comes_back_whole() {
    let data: Vec<u8> = (0..3 * jump_recording::MAX_DATA + 7)
        .map(|i| (i % 251) as u8)
        .collect();
    let mut writer = Writer::begin(Vec::new(), &header()).unwrap();
    writer.write(1, Kind::Output, &data).unwrap();
    assert_eq!(writer.frames(), 4);
    let (bytes, _) = writer.end(2).unwrap();
    let mut reader = Reader::open(&bytes[..]).unwrap();
    let mut back = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        back.extend(frame.data);
    }
    assert_eq!(back, data);
}

/// A disk that is full after some bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        if data.len() > self.0 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.0 -= data.len();
        Ok(data.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn after_a_failed_write_nothing_is_written_any_more() {
    let mut writer = Writer::begin(Full(400), &header()).unwrap();
    while writer.write(1, Kind::Output, b"some output").is_ok() {}
    assert!(matches!(
        writer.write(2, Kind::Keepalive, b""),
        Err(WriteError::Ended)
    ));
    assert!(matches!(writer.end(3), Err(WriteError::Ended)));
}

#[test]
fn a_clock_that_runs_backwards_keeps_the_order() {
    let mut writer = Writer::begin(Vec::new(), &header()).unwrap();
    writer.write(5, Kind::Output, b"a").unwrap();
    writer.write(3, Kind::Output, b"b").unwrap();
    let (bytes, _) = writer.end(4).unwrap();
    let mut reader = Reader::open(&bytes[..]).unwrap();
    let mut times = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        times.push(frame.micros);
    }
    assert_eq!(times, [5, 5, 5]);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let _ = verify(&bytes[..]);
        let mut with_magic = b"JUMPREC1".to_vec();
        with_magic.extend(&bytes);
        let _ = verify(&with_magic[..]);
    }
}
