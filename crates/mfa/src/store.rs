//! The only way to second-factor state.
//!
//! The trait asks one thing of a store: change a user's record as if nobody
//! else existed, and do not say it is done before it is durable. Advancing a
//! step, spending a recovery code, counting a failure and holding a lock-out
//! are all such changes, so a store shared by several bastions (a row lock, a
//! compare-and-swap) can take the place of local files, and the rules in
//! [`Record`] stay the same.

use crate::record::{Record, RecordError};
use std::time::Duration;

/// Whose state: both the number and the name, so that a record that was moved or a uid given to someone else is noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// User id; the record's key.
    pub uid: u32,
    /// Login name.
    pub user: String,
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} (uid {})", self.user, self.uid)
    }
}

/// Why the state of a second factor could not be read or changed. Whatever it is, the answer to the user is a refusal.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A system call on one of the store's files failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// Another process held the user's record for too long.
    #[error("{path} has been locked by another process for {} ms", waited.as_millis())]
    Busy {
        /// The lock file.
        path: String,
        /// How long was waited.
        waited: Duration,
    },
    /// Something is in the store that this program would not have put there.
    #[error("{path} {problem}: refusing to use it; move it away or restore a backup")]
    Untrusted {
        /// The file or directory.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The record is not one, or not this user's.
    #[error("{path}: {source}")]
    Record {
        /// The record's file.
        path: String,
        /// What is wrong with it.
        source: RecordError,
    },
    /// There is nothing to change: the user has no second factor.
    #[error("{0} has no second factor enrolled; run `jumpctl mfa enroll` first")]
    NotEnrolled(Who),
    /// The kernel gave no random bytes.
    #[error("no random bytes from the kernel: {0}")]
    Random(getrandom::Error),
    /// A recovery code could not be hashed.
    #[error("cannot hash a recovery code: {0}")]
    Hash(argon2::Error),
    /// The clock shows a time before 1970.
    #[error("the clock shows a time before 1970; set it first")]
    Clock,
}

impl From<getrandom::Error> for StoreError {
    fn from(e: getrandom::Error) -> Self {
        Self::Random(e)
    }
}

impl From<argon2::Error> for StoreError {
    fn from(e: argon2::Error) -> Self {
        Self::Hash(e)
    }
}

/// Something about each user, by uid; what could not be had for one user stands in that user's place.
pub type PerUser<T> = Vec<(u32, Result<T, StoreError>)>;

/// Where second-factor state lives.
pub trait Store {
    /// Changes one user's record: nobody else reads it to change it until this
    /// returns, and what `change` left there is durable when this returns `Ok`.
    /// `None` before the change means that there is no record; `None` after it
    /// removes the record. An `Err` from `change` leaves the record as it was.
    ///
    /// A store that detects collisions instead of preventing them may call
    /// `change` more than once, each time with the record as it then is; only
    /// the last call's result counts.
    ///
    /// # Errors
    /// Anything that keeps the record from being read, trusted, or made durable.
    fn update<T>(
        &self,
        who: &Who,
        change: impl FnMut(&mut Option<Record>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError>;

    /// Reads one user's record, to show it.
    ///
    /// # Errors
    /// Anything that keeps the record from being read or trusted.
    fn read(&self, who: &Who) -> Result<Option<Record>, StoreError>;

    /// Reads every record; a bad one takes its own place in the list and hides no other.
    ///
    /// # Errors
    /// When the list itself cannot be had.
    fn read_all(&self) -> Result<PerUser<Record>, StoreError>;
}
