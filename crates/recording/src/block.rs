//! Blocks: what the file is made of after the header, chained as they lie there.
//!
//! The chain is over the stored bytes, encrypted or not, so that it can be
//! checked without any key. A block is a head, a payload and its link of the
//! chain. The head is in the clear: kind, length, and the frame's number.

use crate::chain::{Hash, Head};
use crate::fault::{Fault, Place, Problem};
use crate::header::{Header, MAGIC, MAX_HEADER};
use crate::wire::{self, take_u32, take_u64};
use std::io::Read;

/// Kind (1 byte), length of the payload (32 bits), frame (64 bits).
pub(crate) const HEAD: usize = 1 + 4 + 8;
/// Bytes of a link.
pub(crate) const LINK: usize = 32;
/// The longest payload.
pub(crate) const MAX_PAYLOAD: usize = 128 * 1024;
/// A segment begins.
pub(crate) const SEGMENT: u8 = b'S';
/// One frame.
pub(crate) const FRAME: u8 = b'F';
/// The end.
pub(crate) const TRAILER: u8 = b'T';

/// Appends a block and gives its link.
pub(crate) fn put(
    packet: &mut Vec<u8>,
    before: Hash,
    kind: u8,
    sequence: u64,
    payload: &[u8],
) -> Hash {
    let start = packet.len();
    packet.push(kind);
    packet.extend_from_slice(&wire::length(payload.len()));
    packet.extend_from_slice(&sequence.to_le_bytes());
    packet.extend_from_slice(payload);
    let link = before.then(packet.get(start..).unwrap_or_default());
    packet.extend_from_slice(&link.0);
    link
}

/// A head, as it was read.
pub(crate) struct BlockHead {
    pub(crate) kind: u8,
    pub(crate) length: usize,
    pub(crate) sequence: u64,
}

impl BlockHead {
    /// `None` if no block begins like this.
    pub(crate) fn parse(head: &[u8]) -> Option<Self> {
        let (kind, rest) = head.split_first()?;
        let (length, rest) = take_u32(rest)?;
        let (sequence, _) = take_u64(rest)?;
        let length = usize::try_from(length).ok()?;
        let known = [SEGMENT, FRAME, TRAILER].contains(kind) && length <= MAX_PAYLOAD;
        known.then_some(Self {
            kind: *kind,
            length,
            sequence,
        })
    }
}

/// The clear part of a segment's first block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SegmentHead {
    pub(crate) number: u64,
    pub(crate) micros: u64,
}

impl SegmentHead {
    /// Its number, its time, and the wrapped key if it is encrypted.
    pub(crate) fn payload(self, wrapped: &[u8]) -> Vec<u8> {
        let mut payload = self.number.to_le_bytes().to_vec();
        payload.extend_from_slice(&self.micros.to_le_bytes());
        payload.extend_from_slice(wrapped);
        payload
    }

    pub(crate) fn parse(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (number, rest) = take_u64(payload)?;
        let (micros, wrapped) = take_u64(rest)?;
        Some((Self { number, micros }, wrapped))
    }
}

/// A block whose link holds.
#[derive(Debug)]
pub(crate) enum Block {
    /// A segment begins; the bytes are the wrapped key.
    Segment(SegmentHead, Vec<u8>),
    /// A frame, as it lies in the file.
    Frame(Vec<u8>),
    /// The trailer.
    Trailer(Vec<u8>),
}

/// Reads block by block and checks each link; believes nothing.
#[derive(Debug)]
pub(crate) struct Blocks<R> {
    input: R,
    /// What was read of a block that is not whole yet.
    pending: Vec<u8>,
    /// Where `pending` begins in the file.
    offset: u64,
    head: Head,
    /// The number of the next segment.
    segments: u64,
    ended: bool,
}

impl<R: Read> Blocks<R> {
    /// Reads the header.
    pub(crate) fn open(input: R) -> Result<(Self, Header), Fault> {
        let mut blocks = Self {
            input,
            pending: Vec::new(),
            offset: 0,
            head: Head {
                sequence: 0,
                hash: Hash([0; 32]),
            },
            segments: 0,
            ended: false,
        };
        let header = blocks.header().map_err(|problem| blocks.fault(problem))?;
        Ok((blocks, header))
    }

    /// Goes on in the middle, where the next segment has the number `segments`.
    pub(crate) fn resume(input: R, offset: u64, head: Head, segments: u64) -> Self {
        Self {
            input,
            pending: Vec::new(),
            offset,
            head,
            segments,
            ended: false,
        }
    }

    fn header(&mut self) -> Result<Header, Problem> {
        let start = MAGIC.len() + 4;
        let whole = self.fill(start)?;
        if !self.pending.starts_with(MAGIC) || !whole {
            return Err(Problem::NotARecording);
        }
        let length = self.pending.get(MAGIC.len()..).and_then(take_u32);
        let length = length.and_then(|(length, _)| usize::try_from(length).ok());
        let length = length.filter(|length| *length <= MAX_HEADER);
        let length = length.ok_or(Problem::Header)?;
        if !self.fill(start + length + LINK)? {
            return Err(Problem::Header);
        }
        let (preamble, link) = self.pending.split_at(start + length);
        let hash = Hash::first(preamble);
        if hash.0 != *link {
            return Err(Problem::Header);
        }
        let json = preamble.get(start..).unwrap_or_default();
        let header = serde_json::from_slice(json).map_err(|_| Problem::Header)?;
        self.head.hash = hash;
        self.taken();
        Ok(header)
    }

    /// The next block; `None` where the file ends at the end of a block. More
    /// may come later, if the recording is still being written: then this
    /// goes on, also after [`Problem::Cut`].
    pub(crate) fn next(&mut self) -> Result<Option<Block>, Fault> {
        self.advance().map_err(|problem| self.fault(problem))
    }

    fn advance(&mut self) -> Result<Option<Block>, Problem> {
        let whole = self.fill(HEAD)?;
        if self.pending.is_empty() {
            return Ok(None);
        }
        if self.ended {
            return Err(Problem::Appended);
        }
        if !whole {
            return Err(Problem::Cut);
        }
        let head = BlockHead::parse(&self.pending).ok_or(Problem::Block)?;
        if !self.fill(HEAD + head.length + LINK)? {
            return Err(Problem::Cut);
        }
        let (body, link) = self.pending.split_at(HEAD + head.length);
        let (_, payload) = body.split_at(HEAD);
        let hash = self.head.hash.then(body);
        let in_order = head.sequence == self.head.sequence;
        if hash.0 != *link {
            return Err(match in_order {
                true => Problem::Chain,
                false => Problem::Order {
                    expected: self.head.sequence,
                    found: head.sequence,
                },
            });
        }
        if !in_order {
            return Err(Problem::Forged("the frame's number is not the next"));
        }
        let block = match head.kind {
            SEGMENT => self.segment(payload)?,
            FRAME if self.segments == 0 => {
                return Err(Problem::Forged("a frame stands before any segment"));
            }
            FRAME => Block::Frame(payload.to_vec()),
            _ => Block::Trailer(payload.to_vec()),
        };
        match block {
            Block::Segment(..) => self.segments += 1,
            Block::Frame(_) => self.head.sequence += 1,
            Block::Trailer(_) => {
                self.head.sequence += 1;
                self.ended = true;
            }
        }
        self.head.hash = hash;
        self.taken();
        Ok(Some(block))
    }

    fn segment(&self, payload: &[u8]) -> Result<Block, Problem> {
        let Some((head, wrapped)) = SegmentHead::parse(payload) else {
            return Err(Problem::Forged("a segment's head is too short"));
        };
        if head.number != self.segments {
            return Err(Problem::Forged("the segment's number is not the next"));
        }
        Ok(Block::Segment(head, wrapped.to_vec()))
    }

    /// Reads until `pending` has so many bytes; false if the file has no more now.
    fn fill(&mut self, want: usize) -> Result<bool, Problem> {
        let missing = want.saturating_sub(self.pending.len());
        if missing > 0 {
            let mut input = self.input.by_ref().take(missing as u64);
            input.read_to_end(&mut self.pending)?;
        }
        Ok(self.pending.len() >= want)
    }

    fn taken(&mut self) {
        self.offset += self.pending.len() as u64;
        self.pending.clear();
    }

    pub(crate) fn into_input(self) -> R {
        self.input
    }

    /// After the blocks read so far.
    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// How many segments have begun.
    pub(crate) fn segments(&self) -> u64 {
        self.segments
    }

    /// Whether the trailer was read.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Here: the beginning of the next block.
    pub(crate) fn place(&self) -> Place {
        Place {
            offset: self.offset,
            segment: self.segments.checked_sub(1),
            sequence: self.head.sequence,
        }
    }

    /// A problem here.
    pub(crate) fn fault(&self, problem: Problem) -> Fault {
        Fault {
            place: self.place(),
            problem,
        }
    }
}
