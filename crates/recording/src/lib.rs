//! Session recordings: what was on the screen of a hop, in a file that shows
//! whether anything in it was changed.
//!
//! A recording is a header, the asciicast v3 header with the session's facts
//! beside it, and frames. Each frame carries the SHA-256 of the frame before
//! it and of itself, so a changed, dropped, moved or repeated frame breaks the
//! chain at a place that [`verify`] names. What the chain alone cannot show is
//! a missing tail: the head hash goes to the journal while the recording runs
//! ([`Writer::head`]), and [`Report::head`] is compared with it.
//!
//! The bytes of the terminal are kept as they came, valid UTF-8 or not.
//! Nothing here opens a file or reads a clock: writers and times come in as
//! arguments.

#![forbid(unsafe_code)]

mod chain;
mod frame;
mod header;
mod verify;
mod writer;

pub use chain::Hash;
pub use frame::{Frame, Kind, MAX_DATA};
pub use header::{Header, Terminal};
pub use verify::{Fault, Problem, Reader, Report, verify};
pub use writer::{WriteError, Writer};
