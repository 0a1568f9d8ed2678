//! Reading a recording back, believing nothing.

use crate::chain::Hash;
use crate::frame::{FIXED, Frame, Kind, MAX_DATA};
use crate::header::{Header, MAGIC};
use std::io::Read;

/// The largest header that is read, in bytes.
const MAX_HEADER: usize = 1024 * 1024;

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Not a recording, or its first bytes are changed.
    #[error("this is not a recording")]
    NotARecording,
    /// The header is changed or cut.
    #[error("the header cannot be read")]
    Header,
    /// The file ends inside a frame.
    #[error("the file ends inside a frame: its tail is missing")]
    Cut,
    /// A length that no frame has.
    #[error("a frame has an impossible length")]
    Length,
    /// The frame, or one before it, is not what was written.
    #[error("the chain breaks: this frame was changed, dropped, moved or repeated")]
    Chain,
    /// Something stands behind the trailer.
    #[error("something was appended after the end")]
    Appended,
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    Io(std::io::Error),
}

/// Where a recording stops being what was written.
#[derive(Debug, thiserror::Error)]
#[error("at byte {offset}, after {frames} good frames: {problem}")]
pub struct Fault {
    /// Byte offset of the bad frame's beginning.
    pub offset: u64,
    /// Good frames before it.
    pub frames: u64,
    /// What is wrong.
    pub problem: Problem,
}

/// A recording whose chain holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it is of.
    pub header: Header,
    /// Frames, the trailer included.
    pub frames: u64,
    /// The last link, to compare with the journal's last checkpoint.
    pub head: Hash,
    /// Whether it was closed in good order. If not, only the journal tells whether a tail is missing.
    pub sealed: bool,
}

/// Reads frame by frame; stops at the first fault.
#[derive(Debug)]
pub struct Reader<R: Read> {
    input: R,
    header: Header,
    head: Hash,
    offset: u64,
    frames: u64,
    sealed: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// A [`Fault`] at the beginning.
    pub fn open(mut input: R) -> Result<Self, Fault> {
        let fault = |problem| Fault {
            offset: 0,
            frames: 0,
            problem,
        };
        let mut start = [0u8; 12];
        match fill(&mut input, &mut start) {
            Ok(Filled::Whole) if start.starts_with(MAGIC) => {}
            Ok(_) => return Err(fault(Problem::NotARecording)),
            Err(e) => return Err(fault(Problem::Io(e))),
        }
        let length = usize::try_from(le32(&start[8..])).unwrap_or(usize::MAX);
        if length > MAX_HEADER {
            return Err(fault(Problem::Header));
        }
        let mut json = vec![0u8; length];
        match fill(&mut input, &mut json) {
            Ok(Filled::Whole) => {}
            Ok(_) => return Err(fault(Problem::Header)),
            Err(e) => return Err(fault(Problem::Io(e))),
        }
        let header: Header = serde_json::from_slice(&json).map_err(|_| fault(Problem::Header))?;
        let mut preamble = start.to_vec();
        preamble.extend_from_slice(&json);
        Ok(Self {
            input,
            header,
            head: Hash::first(&preamble),
            offset: preamble.len() as u64,
            frames: 0,
            sealed: false,
        })
    }

    /// What the recording is of.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next frame, its chain checked; `None` at the end.
    ///
    /// # Errors
    /// A [`Fault`] with the place.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Fault> {
        let fault = |this: &Self, problem| Fault {
            offset: this.offset,
            frames: this.frames,
            problem,
        };
        let mut length = [0u8; 4];
        match fill(&mut self.input, &mut length) {
            Ok(Filled::Nothing) => return Ok(None),
            Ok(_) if self.sealed => return Err(fault(self, Problem::Appended)),
            Ok(Filled::Whole) => {}
            Ok(Filled::Part) => return Err(fault(self, Problem::Cut)),
            Err(e) => return Err(fault(self, Problem::Io(e))),
        }
        let size = usize::try_from(le32(&length)).unwrap_or(usize::MAX);
        if !(FIXED..=FIXED + MAX_DATA).contains(&size) {
            return Err(fault(self, Problem::Length));
        }
        let mut rest = vec![0u8; size + 32];
        match fill(&mut self.input, &mut rest) {
            Ok(Filled::Whole) => {}
            Ok(_) => return Err(fault(self, Problem::Cut)),
            Err(e) => return Err(fault(self, Problem::Io(e))),
        }
        let (body, hash) = rest.split_at(size);
        let expected = self.head.then(body);
        let frame =
            Frame::from_body(body).filter(|f| f.sequence == self.frames && expected.0 == *hash);
        let Some(frame) = frame else {
            return Err(fault(self, Problem::Chain));
        };
        self.head = expected;
        self.offset += 4 + rest.len() as u64;
        self.frames += 1;
        self.sealed = frame.kind == Kind::Trailer;
        Ok(Some(frame))
    }

    fn report(self) -> Report {
        Report {
            header: self.header,
            frames: self.frames,
            head: self.head,
            sealed: self.sealed,
        }
    }
}

/// Reads a whole recording and checks every link.
///
/// # Errors
/// A [`Fault`] that says where and what.
pub fn verify<R: Read>(input: R) -> Result<Report, Fault> {
    let mut reader = Reader::open(input)?;
    while reader.next_frame()?.is_some() {}
    Ok(reader.report())
}

fn le32(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk::<4>()
        .map_or(u32::MAX, |b| u32::from_le_bytes(*b))
}

enum Filled {
    Whole,
    Part,
    Nothing,
}

fn fill(input: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<Filled> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) if filled == 0 => return Ok(Filled::Nothing),
            Ok(0) => return Ok(Filled::Part),
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(Filled::Whole)
}
