//! Audit events: what can be said, how it is written, and how a gap shows.
//!
//! [`Kind`] is the catalogue, [`Event`] one event, [`Journal`] the way to write
//! it: to journald's native socket, else to syslog, else an error, and then the
//! caller refuses what the event would have allowed. Every event carries its
//! number since boot and a hash of the event before it, so that one that was
//! removed or changed afterwards is missed by [`verify_chain`].
//!
//! Nothing here decides whether something is an event, and nothing blocks for
//! longer than half a second.

#![forbid(unsafe_code)]

mod chain;
mod escape;
mod event;
mod journal;
mod kind;
mod reference;
mod sink;

pub use chain::{FIRST_PREV, Gap, verify_chain};
pub use escape::{CUT, MAX_VALUE};
pub use event::{COMMANDS, Event, Outcome, Rendered};
pub use journal::{AuditError, Journal, PATIENCE};
pub use kind::{Kind, Severity};
pub use reference::{catalog, events_md};
pub use sink::{IDENTIFIER, Journald, Memory, Sink, Syslog};
