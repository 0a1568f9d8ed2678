//! Where the segments begin, so that reading can begin in the middle.

use crate::block::{BlockHead, Blocks, HEAD, LINK, SEGMENT, SegmentHead};
use crate::chain::Hash;
use crate::fault::Fault;
use std::io::{self, Read, Seek};

/// Bytes of a segment's number and time.
const CLEAR: usize = 16;

/// Where a segment begins; nothing of it is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentStart {
    /// Which: 0, 1, 2, ...
    pub number: u64,
    /// Its first frame.
    pub sequence: u64,
    /// When that happened, in microseconds.
    pub micros: u64,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// The link before it.
    pub before: Hash,
}

/// The segments of a recording, from the blocks' heads alone: it needs no key
/// and skips the frames. It ends where no further block can be made out, as
/// in a file that is cut.
///
/// # Errors
/// When this is no recording, or cannot be read.
pub fn segments<R: Read + Seek>(input: R) -> Result<Vec<SegmentStart>, Fault> {
    let (blocks, _) = Blocks::open(input)?;
    let (place, before) = (blocks.place(), blocks.head().hash);
    let mut scan = Scan {
        input: blocks.into_input(),
        offset: place.offset,
        before,
        found: Vec::new(),
    };
    loop {
        match scan.step() {
            Ok(true) => {}
            Ok(false) => return Ok(scan.found),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(scan.found),
            Err(e) => {
                return Err(Fault {
                    place,
                    problem: e.into(),
                });
            }
        }
    }
}

struct Scan<R> {
    input: R,
    offset: u64,
    before: Hash,
    found: Vec<SegmentStart>,
}

impl<R: Read + Seek> Scan<R> {
    fn step(&mut self) -> io::Result<bool> {
        let mut head = [0; HEAD];
        self.input.read_exact(&mut head)?;
        let Some(head) = BlockHead::parse(&head) else {
            return Ok(false);
        };
        let mut clear = [0; CLEAR];
        let mut skip = head.length;
        let mut start = None;
        if head.kind == SEGMENT && head.length >= CLEAR {
            self.input.read_exact(&mut clear)?;
            skip -= CLEAR;
            start = SegmentHead::parse(&clear);
        }
        self.input.seek_relative(skip as i64)?;
        let mut link = [0; LINK];
        self.input.read_exact(&mut link)?;
        if let Some((segment, _)) = start {
            self.found.push(SegmentStart {
                number: segment.number,
                sequence: head.sequence,
                micros: segment.micros,
                offset: self.offset,
                before: self.before,
            });
        }
        self.before = Hash(link);
        self.offset += (HEAD + head.length + LINK) as u64;
        Ok(true)
    }
}
