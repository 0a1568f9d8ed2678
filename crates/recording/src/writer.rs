//! Writing: each frame is in the file before the next byte of the hop goes on.

use crate::block::{self, LINK, SegmentHead};
use crate::chain::{Hash, Head};
use crate::frame::{Frame, Kind, MAX_DATA};
use crate::header::{Header, MAX_HEADER};
use crate::pack::Packer;
use crate::seal::{Sealing, SegmentKey, Slot};
use crate::trailer::Trailer;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};

/// A segment ends before its frames are more than this, in bytes: reading can begin at each.
pub const SEGMENT_BYTES: usize = 1024 * 1024;
/// A segment ends at the first frame after so many microseconds, and its key is forgotten: five minutes.
pub const SEGMENT_MICROS: u64 = 300_000_000;

/// Why a frame could not be kept. The hop must not go on.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The recording's file, or the random bytes.
    #[error("the recording cannot be written: {0}")]
    Io(#[from] io::Error),
    /// The header.
    #[error("the recording's header cannot be encoded: {0}")]
    Json(#[from] serde_json::Error),
    /// The header is longer than any reader takes.
    #[error("the recording's header is too long")]
    HeaderTooLong,
    /// A recording that is encrypted would go on in the clear, or the other way round.
    #[error("the recording goes on with the encryption that it began with, or not at all")]
    Sealing,
    /// The recording had ended, or an earlier write failed.
    #[error("the recording has ended")]
    Ended,
}

/// All that is needed to go on with a recording: after an upgrade of the
/// recorder, or after a full disk, once the file was cut to [`Position::bytes`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// How long the file is, in bytes, up to the end of the last frame.
    pub bytes: u64,
    /// The last frame.
    pub head: Head,
    /// What the trailer would say.
    pub counts: Trailer,
    /// The preamble's hash: which recording this is.
    pub recording: Hash,
    /// Whether it is encrypted.
    pub sealed: bool,
}

/// A segment that is being written.
struct Segment {
    key: Option<SegmentKey>,
    bytes: usize,
    since: u64,
}

/// A recording being written. Its memory is bounded: below 1 MiB.
pub struct Writer<W: Write> {
    out: W,
    sealing: Option<Sealing>,
    packer: Packer,
    segment: Option<Segment>,
    position: Position,
    body: Vec<u8>,
    packed: Vec<u8>,
    packet: Vec<u8>,
    ended: bool,
}

impl<W: Write> Writer<W> {
    /// Begins a recording; encrypted, if there is somebody to encrypt to.
    ///
    /// # Errors
    /// When the header cannot be written.
    pub fn begin(
        mut out: W,
        header: &Header,
        sealing: Option<Sealing>,
    ) -> Result<Self, WriteError> {
        let mut header = header.clone();
        header.facts.sealed_to = sealing.as_ref().map(Sealing::names).unwrap_or_default();
        let mut preamble = header.preamble()?;
        if preamble.len() > MAX_HEADER {
            return Err(WriteError::HeaderTooLong);
        }
        let hash = Hash::first(&preamble);
        preamble.extend_from_slice(&hash.0);
        out.write_all(&preamble)?;
        out.flush()?;
        let position = Position {
            bytes: preamble.len() as u64,
            head: Head { sequence: 0, hash },
            counts: Trailer::default(),
            recording: hash,
            sealed: sealing.is_some(),
        };
        Self::resume(out, position, sealing)
    }

    /// Goes on with a recording, in a segment of its own. `out` appends at
    /// [`Position::bytes`]; nothing may follow there.
    ///
    /// # Errors
    /// When `sealing` is not as at the beginning, or memory is short.
    pub fn resume(
        out: W,
        position: Position,
        sealing: Option<Sealing>,
    ) -> Result<Self, WriteError> {
        if position.sealed != sealing.is_some() {
            return Err(WriteError::Sealing);
        }
        Ok(Self {
            out,
            sealing,
            packer: Packer::new()?,
            segment: None,
            position,
            body: Vec::new(),
            packed: Vec::new(),
            packet: Vec::new(),
            ended: false,
        })
    }

    /// Keeps what happened `micros` microseconds after the beginning. A time
    /// that runs backwards is kept as the last one: frames are in order.
    ///
    /// # Errors
    /// After one, every later call fails as well: a recording has no silent hole.
    pub fn write(&mut self, micros: u64, kind: Kind, data: &[u8]) -> Result<Head, WriteError> {
        let mut pieces = data.chunks(MAX_DATA);
        // An empty frame has no piece, and is a frame all the same.
        let mut piece = pieces.next().unwrap_or_default();
        loop {
            self.once(|this| this.frame(micros, kind, piece))?;
            match pieces.next() {
                Some(more) => piece = more,
                None => return Ok(self.position.head),
            }
        }
    }

    /// Ends the recording in good order and gives the writer back, with the last head.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn end(mut self, micros: u64) -> Result<(W, Head), WriteError> {
        self.once(|this| this.trailer(micros))?;
        Ok((self.out, self.position.head))
    }

    /// How far it has come, for a checkpoint in the journal.
    #[must_use]
    pub fn head(&self) -> Head {
        self.position.head
    }

    /// What [`Writer::resume`] needs; after an error, of the last frame that was kept.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Bytes of memory that it holds, zstd's included.
    #[must_use]
    pub fn memory(&self) -> usize {
        let buffers = [&self.body, &self.packed, &self.packet];
        self.packer.memory() + buffers.map(Vec::capacity).iter().sum::<usize>()
    }

    /// Where it is written to.
    #[must_use]
    pub fn get_ref(&self) -> &W {
        &self.out
    }

    fn once(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        if self.ended {
            return Err(WriteError::Ended);
        }
        let written = write(self);
        self.ended = written.is_err();
        if self.ended {
            self.segment = None;
        }
        written
    }

    fn frame(&mut self, micros: u64, kind: Kind, data: &[u8]) -> Result<(), WriteError> {
        let micros = micros.max(self.position.counts.micros);
        Frame::put(micros, kind, data, &mut self.body);
        self.packet.clear();
        let mut next = self.position.clone();
        self.turn_segment(micros, &mut next)?;
        self.packer.pack(&self.body, &mut self.packed)?;
        if let Some(segment) = &mut self.segment {
            segment.bytes += self.body.len();
            if let Some(key) = &segment.key {
                let slot = Slot {
                    recording: next.recording,
                    segment: next.counts.segments.saturating_sub(1),
                    sequence: next.head.sequence,
                };
                key.seal(slot, &mut self.packed)?;
            }
        }
        next.counts.count(micros, kind, data);
        self.put(block::FRAME, &mut next);
        next.head.sequence += 1;
        self.write_packet(next)
    }

    /// Begins a segment, if there is none or this frame does not belong to it any more.
    fn turn_segment(&mut self, micros: u64, next: &mut Position) -> Result<(), WriteError> {
        let stays = self.segment.as_ref().is_some_and(|segment| {
            segment.bytes + self.body.len() <= SEGMENT_BYTES
                && micros - segment.since < SEGMENT_MICROS
        });
        if stays {
            return Ok(());
        }
        // The old key goes before the new one comes.
        self.segment = None;
        let key = self
            .sealing
            .as_mut()
            .map(Sealing::segment_key)
            .transpose()?;
        let (key, wrapped) = key.unzip();
        let head = SegmentHead {
            number: next.counts.segments,
            micros,
        };
        self.packed = head.payload(&wrapped.unwrap_or_default());
        self.put(block::SEGMENT, next);
        next.counts.segments += 1;
        self.packer.begin()?;
        self.segment = Some(Segment {
            key,
            bytes: 0,
            since: micros,
        });
        Ok(())
    }

    fn trailer(&mut self, micros: u64) -> Result<(), WriteError> {
        self.segment = None;
        let mut next = self.position.clone();
        next.counts.micros = next.counts.micros.max(micros);
        self.packed = next.counts.payload()?;
        self.packet.clear();
        self.put(block::TRAILER, &mut next);
        next.head.sequence += 1;
        self.write_packet(next)
    }

    /// Appends what is packed to the packet, as a block of this kind.
    fn put(&mut self, kind: u8, next: &mut Position) {
        let (before, sequence) = (next.head.hash, next.head.sequence);
        next.head.hash = block::put(&mut self.packet, before, kind, sequence, &self.packed);
        next.bytes += (block::HEAD + self.packed.len() + LINK) as u64;
    }

    /// One write for everything: whoever is killed in it leaves at most a torn last frame.
    fn write_packet(&mut self, next: Position) -> Result<(), WriteError> {
        self.out.write_all(&self.packet)?;
        self.out.flush()?;
        self.position = next;
        Ok(())
    }
}

impl<W: Write> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("position", &self.position)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
