//! Session recordings: what was on the screen of a hop, in a file that shows
//! whether anything in it was changed.
//!
//! A recording is a header (asciicast v3's, with the session's facts beside
//! it), frames and a trailer. Frames are compressed in segments, and each is
//! flushed as a block of its own: whoever kills the recorder loses no frame
//! that was written. Each block carries the SHA-256 of the block before it and
//! of itself, so one that was changed, dropped, moved or repeated breaks the
//! chain at a place that [`verify`] names. What the chain alone cannot show is
//! a missing tail, or a recording that was written anew: so heads go to the
//! journal while the recording runs ([`Writer::head`]), and `verify` compares.
//!
//! With age recipients ([`Sealing`]) the frames are encrypted as they are
//! written, and the bastion cannot read back what it wrote. The chain is over
//! the encrypted bytes: verifying needs no key.
//!
//! The bytes of the terminal are kept as they came, valid UTF-8 or not.
//! For people there is [`Transcript`] (which lines stood on the screen, since
//! when), [`Pace`] and [`Defuser`] (a replay that is safe to look at), and
//! [`export`]. `docs/recording-format.md` has the format.
//!
//! Nothing here opens a file or reads a clock: readers, writers, times and
//! random bytes come in as arguments.

#![forbid(unsafe_code)]

mod block;
mod chain;
mod defuse;
pub mod export;
mod fault;
#[cfg(test)]
mod forged;
mod frame;
mod header;
mod index;
mod pack;
mod reader;
mod schedule;
mod screen;
mod seal;
mod text;
mod trailer;
mod transcript;
mod verify;
mod wire;
mod writer;

pub use chain::{Hash, Head, NoHash};
pub use defuse::Defuser;
pub use fault::{Fault, Place, Problem};
pub use frame::{Frame, Kind, MAX_DATA};
pub use header::{Facts, Header, MAX_HEADER, Terminal};
pub use index::{SegmentStart, segments};
pub use reader::Reader;
pub use schedule::{Pace, Speed, Step};
pub use screen::{KeptScreen, Run, Screen, Style};
pub use seal::{KeyError, Keys, Sealing};
pub use trailer::{MAX_TRAILER, Trailer};
pub use transcript::{Line, Transcript};
pub use verify::{Report, verify};
pub use writer::{Position, SEGMENT_BYTES, SEGMENT_MICROS, WriteError, Writer};
