//! Writing: each frame is flushed before the next byte of the hop goes on.

use crate::chain::Hash;
use crate::frame::{Frame, Kind, MAX_DATA};
use crate::header::Header;
use std::io::Write;

/// Why a frame could not be kept. The hop must not go on.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The recording's file.
    #[error("the recording cannot be written: {0}")]
    Io(#[from] std::io::Error),
    /// The header.
    #[error("the recording's header cannot be encoded: {0}")]
    Header(#[from] serde_json::Error),
    /// The recording had ended, or an earlier write failed.
    #[error("the recording has ended")]
    Ended,
}

/// A recording being written.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    head: Hash,
    next: u64,
    last: u64,
    ended: bool,
}

impl<W: Write> Writer<W> {
    /// Begins a recording.
    ///
    /// # Errors
    /// When the header cannot be written.
    pub fn begin(mut out: W, header: &Header) -> Result<Self, WriteError> {
        let preamble = header.preamble()?;
        out.write_all(&preamble)?;
        out.flush()?;
        Ok(Self {
            out,
            head: Hash::first(&preamble),
            next: 0,
            last: 0,
            ended: false,
        })
    }

    /// Keeps what happened `micros` microseconds after the beginning. A time
    /// that runs backwards is kept as the last one: frames are in order.
    ///
    /// # Errors
    /// After one, every later call fails as well: a recording has no silent hole.
    pub fn write(&mut self, micros: u64, kind: Kind, data: &[u8]) -> Result<(), WriteError> {
        let mut pieces = data.chunks(MAX_DATA);
        // An empty frame has no piece, and is a frame all the same.
        let mut piece = pieces.next().unwrap_or_default();
        loop {
            self.write_one(micros, kind, piece)?;
            match pieces.next() {
                Some(more) => piece = more,
                None => return Ok(()),
            }
        }
    }

    fn write_one(&mut self, micros: u64, kind: Kind, data: &[u8]) -> Result<(), WriteError> {
        if self.ended {
            return Err(WriteError::Ended);
        }
        let frame = Frame {
            sequence: self.next,
            micros: micros.max(self.last),
            kind,
            data: data.to_vec(),
        };
        let body = frame.body();
        let hash = self.head.then(&body);
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let mut packet = Vec::with_capacity(4 + body.len() + hash.0.len());
        packet.extend_from_slice(&length.to_le_bytes());
        packet.extend_from_slice(&body);
        packet.extend_from_slice(&hash.0);
        if let Err(e) = self.out.write_all(&packet).and_then(|()| self.out.flush()) {
            self.ended = true;
            return Err(e.into());
        }
        self.head = hash;
        self.next += 1;
        self.last = frame.micros;
        Ok(())
    }

    /// Ends the recording in good order and gives the writer back, with the last hash.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn end(mut self, micros: u64) -> Result<(W, Hash), WriteError> {
        self.write_one(micros, Kind::Trailer, &[])?;
        Ok((self.out, self.head))
    }

    /// The hash of the last frame, for a checkpoint in the journal.
    #[must_use]
    pub fn head(&self) -> Hash {
        self.head
    }

    /// How many frames are written.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.next
    }
}
