//! Reading a recording back, believing nothing.

use crate::block::{Block, Blocks, SegmentHead};
use crate::chain::{Hash, Head};
use crate::fault::{Fault, Problem};
use crate::frame::Frame;
use crate::header::Header;
use crate::index::SegmentStart;
use crate::pack::Unpacker;
use crate::seal::{Keys, SegmentKey, Slot};
use crate::trailer::Trailer;
use std::io::{Read, Seek, SeekFrom};

/// Reads frame by frame, checks every link on the way, and stops at the first fault.
///
/// Give it something buffered. A recording that is still being written can be
/// followed: after `None` and after [`Problem::Cut`] it goes on where it was,
/// once there is more.
pub struct Reader<R> {
    blocks: Blocks<R>,
    header: Header,
    recording: Hash,
    keys: Keys,
    unpacker: Unpacker,
    key: Option<SegmentKey>,
    micros: u64,
    trailer: Option<Trailer>,
}

/// What stands in a recording, one after the other.
#[derive(Debug)]
pub(crate) enum Entry {
    Segment,
    /// `None`, where there is no key to open it with.
    Frame(Option<Frame>),
    Trailer(Trailer),
}

impl<R: Read> Reader<R> {
    /// Reads the header. Without the keys of an encrypted recording it can be
    /// verified and its header read, and no frame.
    ///
    /// # Errors
    /// A [`Fault`] at the beginning.
    pub fn open(input: R, keys: &Keys) -> Result<Self, Fault> {
        let (blocks, header) = Blocks::open(input)?;
        let recording = blocks.head().hash;
        Self::begin(blocks, header, recording, keys)
    }

    fn begin(
        blocks: Blocks<R>,
        header: Header,
        recording: Hash,
        keys: &Keys,
    ) -> Result<Self, Fault> {
        let unpacker = Unpacker::new().map_err(|e| blocks.fault(Problem::Io(e)))?;
        Ok(Self {
            blocks,
            header,
            recording,
            keys: keys.clone(),
            unpacker,
            key: None,
            micros: 0,
            trailer: None,
        })
    }

    /// What the recording is of.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// After the frames read so far, to compare with the journal's checkpoints.
    #[must_use]
    pub fn head(&self) -> Head {
        self.blocks.head()
    }

    /// The trailer, once it was read.
    #[must_use]
    pub fn trailer(&self) -> Option<&Trailer> {
        self.trailer.as_ref()
    }

    /// The next frame; `None` at the end, or where nothing more is written yet.
    ///
    /// # Errors
    /// A [`Fault`] with the place.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Fault> {
        loop {
            if !self.readable() {
                return Err(self.blocks.fault(Problem::NoKey));
            }
            match self.next_entry()? {
                Some(Entry::Frame(frame)) if frame.is_some() => return Ok(frame),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// The frames from here, up to the end or the first fault.
    pub fn frames(&mut self) -> impl Iterator<Item = Result<Frame, Fault>> + '_ {
        let mut failed = false;
        std::iter::from_fn(move || {
            let next = if failed {
                None
            } else {
                self.next_frame().transpose()
            };
            failed = matches!(next, Some(Err(_)));
            next
        })
    }

    pub(crate) fn readable(&self) -> bool {
        !self.header.sealed() || !self.keys.is_empty()
    }

    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, Fault> {
        let place = self.blocks.place();
        let Some(block) = self.blocks.next()? else {
            return Ok(None);
        };
        let entry = match block {
            Block::Segment(head, wrapped) => self.segment(head, &wrapped),
            Block::Frame(payload) => self.frame(place.sequence, payload),
            Block::Trailer(payload) => self.end(&payload),
        };
        entry.map(Some).map_err(|problem| Fault { place, problem })
    }

    fn segment(&mut self, head: SegmentHead, wrapped: &[u8]) -> Result<Entry, Problem> {
        self.key = None;
        if wrapped.is_empty() == self.header.sealed() {
            return Err(Problem::Forged(
                "header and segment differ on whether it is encrypted",
            ));
        }
        if head.micros < self.micros {
            return Err(Problem::Forged("time runs backwards"));
        }
        self.micros = head.micros;
        if self.header.sealed() && self.readable() {
            let key = self.keys.segment_key(wrapped);
            let key = key.map_err(|_| Problem::Forged("a segment's key is none of age's"))?;
            self.key = Some(key.ok_or(Problem::WrongKey)?);
        }
        self.unpacker.begin()?;
        Ok(Entry::Segment)
    }

    fn frame(&mut self, sequence: u64, payload: Vec<u8>) -> Result<Entry, Problem> {
        if !self.readable() {
            return Ok(Entry::Frame(None));
        }
        let slot = Slot {
            recording: self.recording,
            segment: self.blocks.segments().saturating_sub(1),
            sequence,
        };
        let packed = match &self.key {
            Some(key) => key.open(slot, &payload),
            None => Some(payload),
        };
        let packed = packed.ok_or(Problem::Forged(
            "a frame is not sealed with its segment's key",
        ))?;
        let body = self.unpacker.unpack(&packed);
        let frame = body.and_then(|body| Frame::from_body(sequence, &body));
        let frame = frame.ok_or(Problem::Forged("what is in a frame is none"))?;
        if frame.micros < self.micros {
            return Err(Problem::Forged("time runs backwards"));
        }
        self.micros = frame.micros;
        Ok(Entry::Frame(Some(frame)))
    }

    fn end(&mut self, payload: &[u8]) -> Result<Entry, Problem> {
        let trailer = Trailer::from_payload(payload);
        let trailer = trailer.ok_or(Problem::Forged("the trailer cannot be read"))?;
        self.trailer = Some(trailer.clone());
        Ok(Entry::Trailer(trailer))
    }

    /// At the end of the file: a fault, unless the trailer was read.
    pub(crate) fn unfinished(&self) -> Option<Fault> {
        let missing = !self.blocks.ended();
        missing.then(|| self.blocks.fault(Problem::Unfinished))
    }

    pub(crate) fn blocks(&self) -> &Blocks<R> {
        &self.blocks
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Begins again.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn rewind(self) -> Result<Self, Fault> {
        let place = self.blocks.place();
        let mut input = self.blocks.into_input();
        if let Err(e) = input.seek(SeekFrom::Start(0)) {
            let problem = Problem::Io(e);
            return Err(Fault { place, problem });
        }
        Self::open(input, &self.keys)
    }

    /// Goes to the beginning of a segment, without reading what is before. The
    /// chain is checked from there on.
    ///
    /// # Errors
    /// When the file cannot be read there.
    pub fn go_to(self, start: &SegmentStart) -> Result<Self, Fault> {
        let mut input = self.blocks.into_input();
        let sought = input.seek(SeekFrom::Start(start.offset));
        let head = Head {
            sequence: start.sequence,
            hash: start.before,
        };
        let blocks = Blocks::resume(input, start.offset, head, start.number);
        if let Err(e) = sought {
            return Err(blocks.fault(Problem::Io(e)));
        }
        Self::begin(blocks, self.header, self.recording, &self.keys)
    }
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("header", &self.header)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}
