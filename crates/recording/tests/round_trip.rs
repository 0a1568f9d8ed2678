//! What was written is what is read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shared;

use jump_recording::{
    Keys, Kind, MAX_DATA, MAX_TRAILER, Position, Reader, Trailer, WriteError, Writer, segments,
    verify,
};
use shared::{TEXT, frames, header, keys, recording, sealing, writer};
use std::io::Cursor;

#[test]
fn frames_header_and_trailer_come_back() {
    for sealed in [false, true] {
        let bytes = recording(sealed);
        let report = verify(&bytes[..], &keys(), &[]);
        assert!(report.good() && report.opened, "{:?}", report.fault);
        assert_eq!((report.frames, report.segments), (7, 3));
        let read = report.header.unwrap();
        assert_eq!(read.sealed(), sealed);
        assert_eq!(
            (read.facts.user, read.term),
            ("alice".to_owned(), header().term)
        );
        let trailer = report.trailer.unwrap();
        assert_eq!(
            (trailer.frames, trailer.segments, trailer.exit),
            (7, 3, Some(0))
        );
        assert_eq!(trailer.output, 7 + TEXT.len() as u64 + 3 + 6);
        let tail = &bytes[bytes.len().saturating_sub(MAX_TRAILER)..];
        assert_eq!(Trailer::at_end(tail), Some(trailer));
        let all = frames(&bytes[..], &keys());
        assert_eq!(all[2].data, [0xff, 0xfe, 0x00]);
        assert_eq!(all[3].size(), Some((100, 40)));
    }
}

#[test]
fn a_header_tells_its_session_and_nothing_tells_a_trailer_where_there_is_none() {
    let bytes = recording(true);
    let reader = Reader::open(&bytes[..], &Keys::none()).unwrap();
    assert_eq!(reader.header().facts.sealed_to, [shared::RECIPIENT]);
    for length in 0..bytes.len() {
        assert_eq!(Trailer::at_end(&bytes[..length]), None, "{length}");
    }
}

#[test]
fn data_larger_than_a_frame_is_split_and_comes_back_whole() {
    let data: Vec<u8> = (0..3 * MAX_DATA + 7).map(|i| (i % 251) as u8).collect();
    let mut writer = writer(false);
    let head = writer.write(1, Kind::Output, &data).unwrap();
    assert_eq!(head.sequence, 4);
    let (bytes, _) = writer.end(2).unwrap();
    let back: Vec<u8> = frames(&bytes[..], &keys())
        .into_iter()
        .flat_map(|f| f.data)
        .collect();
    assert_eq!(back, data);
}

#[test]
fn a_clock_that_runs_backwards_keeps_the_order() {
    let mut writer = writer(false);
    writer.write(5, Kind::Output, b"a").unwrap();
    writer.write(3, Kind::Output, b"b").unwrap();
    let (bytes, _) = writer.end(4).unwrap();
    let times: Vec<u64> = frames(&bytes[..], &keys())
        .iter()
        .map(|f| f.micros)
        .collect();
    assert_eq!(times, [5, 5]);
    assert!(verify(&bytes[..], &keys(), &[]).good());
}

#[test]
fn reading_can_begin_at_any_segment() {
    for sealed in [false, true] {
        let bytes = recording(sealed);
        let all = frames(&bytes[..], &keys());
        let starts = segments(Cursor::new(&bytes)).unwrap();
        assert_eq!(
            starts.iter().map(|s| s.sequence).collect::<Vec<_>>(),
            [0, 2, 5]
        );
        for start in starts {
            let reader = Reader::open(Cursor::new(&bytes), &keys()).unwrap();
            let mut reader = reader.go_to(&start).unwrap();
            let first = reader.next_frame().unwrap().unwrap();
            assert_eq!(first, all[usize::try_from(start.sequence).unwrap()]);
            assert_eq!(first.micros, start.micros);
            while reader.next_frame().unwrap().is_some() {}
            assert!(reader.trailer().is_some());
            let mut again = reader.rewind().unwrap();
            assert_eq!(again.next_frame().unwrap().as_ref(), all.first());
        }
    }
}

#[test]
fn a_recorder_that_is_replaced_goes_on_where_it_was() {
    for sealed in [false, true] {
        let mut first = writer(sealed);
        first.write(1, Kind::Output, b"before").unwrap();
        let saved = serde_json::to_string(first.position()).unwrap();
        let bytes = first.get_ref().clone();
        let position: Position = serde_json::from_str(&saved).unwrap();
        assert_eq!(position.bytes, bytes.len() as u64);
        let wrong = Writer::resume(Vec::new(), position.clone(), (!sealed).then(sealing));
        assert!(matches!(wrong, Err(WriteError::Sealing)));
        let mut second = Writer::resume(bytes, position, sealed.then(sealing)).unwrap();
        second.write(2, Kind::Output, b"after").unwrap();
        let (bytes, head) = second.end(3).unwrap();
        let report = verify(&bytes[..], &keys(), &[head]);
        assert!(report.good(), "{:?}", report.fault);
        assert_eq!((report.frames, report.segments), (2, 2));
    }
}

#[test]
fn a_header_that_no_reader_takes_is_not_written() {
    let mut long = header();
    long.facts.target = "x".repeat(100_000);
    let wrong = Writer::begin(Vec::new(), &long, None);
    assert!(matches!(wrong, Err(WriteError::HeaderTooLong)));
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(48))]
    #[test]
    fn any_bytes_at_any_time_come_back(
        written in proptest::collection::vec(
            (proptest::num::u64::ANY, 0..Kind::ALL.len(), proptest::collection::vec(proptest::num::u8::ANY, 0..300)),
            0..30,
        ),
        sealed: bool,
    ) {
        let mut writer = writer(sealed);
        for (micros, kind, data) in &written {
            writer.write(*micros, Kind::ALL[*kind], data).unwrap();
        }
        let (bytes, head) = writer.end(0).unwrap();
        let report = verify(&bytes[..], &keys(), &[head]);
        assert!(report.good(), "{:?}", report.fault);
        let read: Vec<_> = frames(&bytes[..], &keys()).into_iter().map(|f| (f.kind, f.data)).collect();
        let written: Vec<_> = written.into_iter().map(|(_, kind, data)| (Kind::ALL[kind], data)).collect();
        assert_eq!(read, written);
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let _ = verify(&bytes[..], &keys(), &[]);
        let mut with_magic = b"JUMPREC1".to_vec();
        with_magic.extend(&bytes);
        let _ = verify(&with_magic[..], &keys(), &[]);
        let mut with_header = recording(true);
        with_header.truncate(shared::blocks(&with_header)[0]);
        with_header.extend(&bytes);
        let _ = verify(&with_header[..], &keys(), &[]);
        let _ = segments(Cursor::new(&with_header));
        let _ = Trailer::at_end(&bytes);
    }
}
