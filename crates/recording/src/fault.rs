//! Where a recording stops being what was written, and what is wrong there.

use std::fmt;

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Not a recording, or its first bytes are changed.
    #[error("this is not a recording, or its first bytes were changed")]
    NotARecording,
    /// The header is changed, cut, or of a later version.
    #[error("the header was changed, or is cut")]
    Header,
    /// The file ends at the end of a frame, without a trailer.
    #[error(
        "there is no trailer: the recording is still running, its recorder was killed, or the file was cut here"
    )]
    Unfinished,
    /// The file ends inside a block.
    #[error("the file is cut: it ends inside this block, or this block's length was changed")]
    Cut,
    /// The journal knows of more than there is.
    #[error("the tail is missing: the journal knows of {known} frames, the trailer counted as one")]
    TailMissing {
        /// How many, by the last checkpoint.
        known: u64,
    },
    /// The journal has another hash for what ends here.
    #[error(
        "this is not the recording that the journal knows: its checkpoint after {known} frames has another hash"
    )]
    Checkpoint {
        /// The checkpoint's number of frames.
        known: u64,
    },
    /// No block begins like this.
    #[error("no block begins like this: it was changed, or something was put in here")]
    Block,
    /// The chain breaks, and another frame stands here than should.
    #[error(
        "the chain breaks: frame {found} stands where frame {expected} should: frames were dropped, moved, repeated or changed"
    )]
    Order {
        /// The frame that should be here.
        expected: u64,
        /// The frame that the block says to be.
        found: u64,
    },
    /// The chain breaks.
    #[error("the chain breaks: this block was changed, or is of another place or recording")]
    Chain,
    /// Something stands behind the trailer.
    #[error("something was appended after the end")]
    Appended,
    /// The chain holds, and yet this was not written by a recorder.
    #[error("the chain holds, but {0}: this was not written by a recorder")]
    Forged(&'static str),
    /// It is encrypted, and there is no key.
    #[error("the recording is encrypted; name the age identity that opens it")]
    NoKey,
    /// It is encrypted to somebody else.
    #[error("the recording is encrypted to none of the age identities given")]
    WrongKey,
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    Io(#[from] std::io::Error),
}

/// A place in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Byte offset in the file: the beginning of the block in question.
    pub offset: u64,
    /// The segment, if one has begun: 0, 1, 2, ...
    pub segment: Option<u64>,
    /// The frame that is there or should be.
    pub sequence: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}", self.offset)?;
        if let Some(segment) = self.segment {
            write!(f, ", segment {segment}")?;
        }
        write!(f, ", frame {}", self.sequence)
    }
}

/// A problem at its place. Everything before the place is as it was written.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What.
    pub problem: Problem,
}
