//! Recordings whose chain holds and that no recorder wrote: whoever can write
//! the file can compute a chain. The journal's checkpoints tell all of them;
//! what is told without, is told here.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::block::{self, SegmentHead};
use crate::chain::Hash;
use crate::fault::Problem;
use crate::frame::{Frame, Kind};
use crate::header::{Facts, Header, Terminal};
use crate::pack::Packer;
use crate::seal::{Keys, Sealing};
use crate::trailer::Trailer;
use crate::verify::verify;
use crate::writer::Writer;

const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

fn header() -> Header {
    let text = || "x".to_owned();
    Header {
        version: 3,
        term: Terminal {
            cols: 80,
            rows: 24,
            kind: None,
        },
        timestamp: 0,
        facts: Facts {
            recording: text(),
            session: text(),
            user: text(),
            uid: 1,
            source: "::1".parse().unwrap(),
            key: None,
            target: text(),
            address: "[::1]:22".parse().unwrap(),
            login: None,
            rule: text(),
            policy: text(),
            version: text(),
            sealed_to: Vec::new(),
        },
    }
}

/// Writes blocks of any content, with a chain that holds.
struct Forger {
    bytes: Vec<u8>,
    link: Hash,
    packer: Packer,
}

impl Forger {
    fn new(header: &Header) -> Self {
        let mut bytes = header.preamble().unwrap();
        let link = Hash::first(&bytes);
        bytes.extend_from_slice(&link.0);
        Self {
            bytes,
            link,
            packer: Packer::new().unwrap(),
        }
    }

    fn block(&mut self, kind: u8, sequence: u64, payload: &[u8]) -> &mut Self {
        self.link = block::put(&mut self.bytes, self.link, kind, sequence, payload);
        self
    }

    fn segment(&mut self, number: u64, sequence: u64, micros: u64) -> &mut Self {
        self.packer.begin().unwrap();
        let payload = SegmentHead { number, micros }.payload(&[]);
        self.block(block::SEGMENT, sequence, &payload)
    }

    fn packed(&mut self, sequence: u64, body: &[u8]) -> &mut Self {
        let mut packed = Vec::new();
        self.packer.pack(body, &mut packed).unwrap();
        self.block(block::FRAME, sequence, &packed)
    }

    fn frame(&mut self, sequence: u64, micros: u64) -> &mut Self {
        let mut body = Vec::new();
        Frame::put(micros, Kind::Output, b"text", &mut body);
        self.packed(sequence, &body)
    }

    fn trailer(&mut self, sequence: u64, trailer: &Trailer) -> &mut Self {
        self.block(block::TRAILER, sequence, &trailer.payload().unwrap())
    }

    /// What is said of it.
    fn said(&self) -> String {
        let report = verify(&self.bytes[..], &Keys::none(), &[]);
        match report.fault.unwrap().problem {
            Problem::Forged(what) => what.to_owned(),
            other => other.to_string(),
        }
    }
}

fn forger() -> Forger {
    Forger::new(&header())
}

#[test]
fn frames_and_segments_out_of_order_are_told() {
    assert_eq!(
        forger().frame(0, 1).said(),
        "a frame stands before any segment"
    );
    assert_eq!(
        forger().segment(1, 0, 0).said(),
        "the segment's number is not the next"
    );
    let numbers = "the frame's number is not the next";
    assert_eq!(forger().segment(0, 1, 0).said(), numbers);
    assert_eq!(forger().segment(0, 0, 0).frame(1, 0).said(), numbers);
    assert_eq!(
        forger().segment(0, 0, 0).frame(0, 0).frame(0, 0).said(),
        numbers
    );
    let short = forger().block(block::SEGMENT, 0, &[0; 15]).said();
    assert_eq!(short, "a segment's head is too short");
}

#[test]
fn time_that_runs_backwards_is_told() {
    let backwards = "time runs backwards";
    assert_eq!(forger().segment(0, 0, 9).frame(0, 8).said(), backwards);
    assert_eq!(
        forger().segment(0, 0, 0).frame(0, 9).frame(1, 8).said(),
        backwards
    );
    assert_eq!(
        forger()
            .segment(0, 0, 0)
            .frame(0, 9)
            .segment(1, 1, 8)
            .said(),
        backwards
    );
}

#[test]
fn a_frame_that_is_none_is_told() {
    let none = "what is in a frame is none";
    assert_eq!(forger().segment(0, 0, 0).packed(0, b"short").said(), none);
    assert_eq!(
        forger().segment(0, 0, 0).packed(0, &[b'?'; 20]).said(),
        none
    );
    assert_eq!(
        forger()
            .segment(0, 0, 0)
            .packed(0, &vec![b'o'; 100_000])
            .said(),
        none
    );
    for junk in [&b""[..], b"no zstd at all", &[0; 100]] {
        assert_eq!(
            forger()
                .segment(0, 0, 0)
                .block(block::FRAME, 0, junk)
                .said(),
            none
        );
    }
}

#[test]
fn a_trailer_that_counts_wrongly_is_told() {
    let right = Trailer {
        frames: 1,
        segments: 1,
        micros: 5,
        output: 4,
        ..Trailer::default()
    };
    let with = |trailer: &Trailer| {
        let mut forger = forger();
        forger.segment(0, 0, 0).frame(0, 5).trailer(1, trailer);
        forger
    };
    assert!(verify(&with(&right).bytes[..], &Keys::none(), &[]).good());
    let change = |change: &dyn Fn(&mut Trailer)| {
        let mut wrong = right.clone();
        change(&mut wrong);
        assert_eq!(
            with(&wrong).said(),
            "the trailer's counts are wrong",
            "{wrong:?}"
        );
    };
    change(&|t| t.frames = 2);
    change(&|t| t.segments = 2);
    change(&|t| t.micros = 4);
    change(&|t| t.output = 5);
    change(&|t| t.input = 1);
    change(&|t| t.gaps = 1);
    change(&|t| t.exit = Some(0));
    let unread = forger().block(block::TRAILER, 0, b"{}").said();
    assert_eq!(unread, "the trailer cannot be read");
}

/// A sealed recording of two frames, taken apart: header, segment, frames.
fn sealed() -> (Header, Vec<Vec<u8>>) {
    let random = |bytes: &mut [u8]| {
        bytes.fill(7);
        Ok(())
    };
    let sealing = Sealing::to(&[RECIPIENT], random).unwrap();
    let mut writer = Writer::begin(Vec::new(), &header(), Some(sealing)).unwrap();
    let mut starts = vec![writer.get_ref().len()];
    for text in ["first", "second"] {
        writer.write(1, Kind::Output, text.as_bytes()).unwrap();
        starts.push(writer.get_ref().len());
    }
    let bytes = writer.get_ref().clone();
    let keys = Keys::none();
    let (mut blocks, header) = block::Blocks::open(&bytes[..]).unwrap();
    let mut payloads = Vec::new();
    while let Some(block) = blocks.next().unwrap() {
        payloads.push(match block {
            block::Block::Segment(head, wrapped) => head.payload(&wrapped),
            block::Block::Frame(payload) | block::Block::Trailer(payload) => payload,
        });
    }
    assert!(verify(&bytes[..], &keys, &[]).unfinished());
    (header, payloads)
}

#[test]
fn sealed_frames_open_in_their_place_only() {
    let (header, parts) = sealed();
    let keys = Keys::parse(IDENTITY).unwrap();
    let forge = |header: &Header, frames: [&[u8]; 2]| {
        let mut forger = Forger::new(header);
        forger.block(block::SEGMENT, 0, &parts[0]);
        forger.block(block::FRAME, 0, frames[0]);
        forger.block(block::FRAME, 1, frames[1]);
        let without = verify(&forger.bytes[..], &Keys::none(), &[]);
        assert!(
            without.unfinished(),
            "without the key the chain is all there is"
        );
        verify(&forger.bytes[..], &keys, &[]).fault.unwrap().problem
    };
    let not_sealed = "a frame is not sealed with its segment's key";
    let said = |problem: Problem| match problem {
        Problem::Forged(what) => what,
        _ => "",
    };
    assert!(matches!(
        forge(&header, [&parts[1], &parts[2]]),
        Problem::Unfinished
    ));
    assert_eq!(said(forge(&header, [&parts[2], &parts[1]])), not_sealed);
    assert_eq!(said(forge(&header, [&parts[1], &parts[1]])), not_sealed);
    assert_eq!(
        said(forge(&header, [&parts[1], b"in the clear"])),
        not_sealed
    );
    let mut other = header;
    other.facts.user = "mallory".to_owned();
    assert_eq!(said(forge(&other, [&parts[1], &parts[2]])), not_sealed);
}

#[test]
fn encryption_cannot_be_taken_away_or_added() {
    let differ = "header and segment differ on whether it is encrypted";
    let (header, parts) = sealed();
    assert_eq!(Forger::new(&header).segment(0, 0, 0).said(), differ);
    assert_eq!(forger().block(block::SEGMENT, 0, &parts[0]).said(), differ);
    let keys = Keys::parse(IDENTITY).unwrap();
    let mut wrapped = parts[0].clone();
    wrapped.truncate(40);
    let mut forger = Forger::new(&header);
    forger.block(block::SEGMENT, 0, &wrapped);
    let fault = verify(&forger.bytes[..], &keys, &[]).fault.unwrap();
    assert!(fault.to_string().contains("none of age's"), "{fault}");
}
