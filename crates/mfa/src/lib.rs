//! The second factor: one-time codes (RFC 6238), recovery codes, throttling.
//!
//! What this crate promises is invariant 3: a code is accepted at most once,
//! ever, under any concurrency. It rests on two things. Every change of a
//! user's state is a method of [`Record`], and every record is changed inside
//! [`Store::change`], which holds the record exclusively from reading it until
//! the change is durable. A verdict that could not be made durable is an error,
//! and an error is a refusal.
//!
//! A record lies sealed, and says of which host and of which write it is: a copy
//! is useless elsewhere, and refused later.
//!
//! Nothing here reads the clock or the environment, logs, or decides who needs
//! a second factor. Time comes in as an argument; secrets leave only through
//! [`NewEnrolment`], once.

#![forbid(unsafe_code)]

mod backup;
mod enrol;
mod envelope;
mod file_store;
mod host_id;
mod invitation;
mod keys;
mod limits;
mod open_sessions;
pub mod qr;
mod record;
mod recovery;
mod secret;
mod slow_hash;
mod store;
mod throttle;
mod totp;
mod turns;
mod verify;
mod watermark;

#[cfg(test)]
mod tests;

pub use backup::{Restored, Terms, export, restore};
pub use enrol::{
    Confirmation, Draft, NewEnrolment, Status, begin_enrolment, begin_enrolment_with,
    confirm_enrolment, enrol_invited, invite, list, new_recovery_codes, reset, standing, status,
    unlock,
};
pub use file_store::{FileStore, LOCK_WAIT};
pub use host_id::{HostId, HostIdError};
pub use keys::{KeyRing, KeyRingError};
pub use limits::Limits;
pub use record::{Record, RecordError};
pub use recovery::{CODES, as_if, is_recovery_code};
pub use secret::SealedSecret;
pub use store::{Change, Opening, PerUser, Resealed, Sealing, Store, StoreError, Update, Who};
pub use throttle::{Lock, Place};
pub use totp::{Algorithm, Params, code_at};
pub use verify::{Judged, Method, Verdict, judge, verify};
