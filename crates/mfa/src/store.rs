//! The only way to second-factor state.
//!
//! The trait asks one thing of a store: change a user's record as if nobody
//! else existed, and do not say it is done before it is durable. Advancing a
//! step, spending a recovery code, counting a failure and holding a lock-out
//! are all such changes, so a store shared by several bastions (a row lock, a
//! compare-and-swap) can take the place of local files, and the rules in
//! [`Record`] stay the same. The tests are told over a store of each kind.

use crate::host_id::HostId;
use crate::keys::KeyRing;
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
    /// So many others typed something that takes long to look at that there was no turn in time.
    #[error("too many recovery codes and invitations are being looked at; nothing was done in {} ms, try again", waited.as_millis())]
    Crowded {
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
    /// Nothing may be written that is not sealed, and there is no key to seal it with.
    #[error("there is no key to seal {path} with; run `jumpctl setup`")]
    NoKey {
        /// What was to be written.
        path: String,
    },
    /// New keys that leave out one that may be in use.
    #[error("the new keys do not hold the ones in use; nothing was sealed anew")]
    KeysMissing,
    /// A text that should be a record of a backup is none.
    #[error("is not a record of a backup (line {line}, column {column})")]
    NotABackup {
        /// Where it stops being one.
        line: usize,
        /// Likewise.
        column: usize,
    },
    /// A record could not be sealed.
    #[error("cannot seal a record")]
    Seal,
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

impl StoreError {
    /// Whether a record was refused because it is of another time or host.
    #[must_use]
    pub fn is_replay(&self) -> bool {
        matches!(self, Self::Record { source, .. } if source.is_replay())
    }
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

/// A change of one user's record. `None` before it: there is no record; `None` after it: there shall be none.
pub type Change<'c> = dyn FnMut(&mut Option<Record>) -> Result<(), StoreError> + 'c;

/// Where second-factor state lives, and the only way to it.
///
/// Callers hold `impl Store` or `dyn Store` and know nothing of files. What a
/// store must be able to do is little: keep bytes and a number per user,
/// replace both if the number is still the expected one, and say so only when
/// it is durable. What is done with it stands elsewhere, for all stores alike:
///
/// | operation | where |
/// |---|---|
/// | compare and advance a step, spend a recovery code, count a failure, hold a lock-out | [`crate::verify`], one [`Store::change`] |
/// | put an authenticator in force, end a lock-out, new recovery codes | [`crate::begin_enrolment`] and its neighbours, one [`Store::change`] each |
/// | forget a user, whatever is there | [`Store::forget`] |
/// | new keys | [`Store::rekey`] |
/// | count the sessions that a user has open | [`Store::open_session`], [`Store::close_session`] |
pub trait Store: std::fmt::Debug + Send + Sync {
    /// Changes one user's record: nobody else reads it to change it until this
    /// returns, and what `change` left there is durable when this returns `Ok`.
    /// An `Err` from `change` leaves the record as it was. Use [`Update::update`]
    /// for a change that has a result.
    ///
    /// A store that detects collisions instead of preventing them may call
    /// `change` more than once, each time with the record as it then is; only
    /// the last call counts.
    ///
    /// # Errors
    /// Anything that keeps the record from being read, trusted, or made durable.
    /// A record of another time or host is such a thing ([`RecordError::is_replay`]).
    fn change(&self, who: &Who, change: &mut Change<'_>) -> Result<(), StoreError>;

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

    /// Removes the record of `who`, also one that cannot be trusted, so that no copy of it is ever
    /// good again. Only a sound record of somebody else's with the same uid is left.
    ///
    /// # Errors
    /// When it is somebody else's, or cannot be removed for good.
    fn forget(&self, who: &Who) -> Result<(), StoreError>;

    /// How often the record of `who` was written, one that is gone included.
    ///
    /// # Errors
    /// When it cannot be told.
    fn serial(&self, who: &Who) -> Result<u64, StoreError>;

    /// The identity that this store's records carry.
    fn host(&self) -> HostId;

    /// Takes the identity of a host whose backup is restored here, if nothing was ever written in this
    /// store; whether it has it now.
    ///
    /// # Errors
    /// When that cannot be told or made durable.
    fn adopt(&self, host: HostId) -> Result<bool, StoreError>;

    /// What records are sealed with.
    fn sealing(&self) -> Sealing;

    /// Seals and opens with `keys` from now on, and seals with the first of them every record that is
    /// sealed otherwise or not at all. Records that cannot be opened stay as they are and are named.
    ///
    /// # Errors
    /// When `keys` lacks one that is in use, or a record could not be written; some are sealed anew then.
    fn rekey(&self, keys: KeyRing) -> Result<Resealed, StoreError>;

    /// Counts `session` among those that `who` has open, if there are fewer than `most`; one that is
    /// counted already is not counted twice. Of many at once, no more get in.
    ///
    /// Sessions end with their host. A store of one host may forget them when jumpd ends, which opens
    /// those anew that live on. jumpd opens every session anew each minute: a store that several hosts
    /// share counts it for a few minutes more, so that those of a dead host lock nobody out.
    ///
    /// # Errors
    /// When it cannot be counted; then it must not be opened.
    fn open_session(&self, who: &Who, session: &str, most: usize) -> Result<Opening, StoreError>;

    /// Counts `session` no more.
    ///
    /// # Errors
    /// When that cannot be told to the store; it then counts on.
    fn close_session(&self, who: &Who, session: &str) -> Result<(), StoreError>;

    /// How many sessions `who` has open.
    ///
    /// # Errors
    /// When it cannot be told.
    fn open_sessions(&self, who: &Who) -> Result<usize, StoreError>;
}

/// What came of [`Store::open_session`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// It counts.
    Opened,
    /// The user has as many as they may.
    TooMany {
        /// How many that is.
        open: usize,
    },
}

/// What records are sealed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealing {
    /// Names of the keys at hand: none before `jumpctl setup`, several until a rekey is finished.
    pub keys: Vec<String>,
    /// Whether nothing is read any more that is not sealed.
    pub only_sealed: bool,
}

/// What [`Store::rekey`] did.
#[derive(Debug, Default)]
pub struct Resealed {
    /// Records sealed anew.
    pub sealed: usize,
    /// Records that were sealed with the first key already.
    pub current: usize,
    /// Records that cannot be opened or trusted, by uid; they are refused at a login as well.
    pub refused: Vec<(u32, StoreError)>,
    /// Whether one of those could be mended (a wrong mode, a damaged watermark): then the keys of before
    /// are still needed, and stay.
    pub unfinished: bool,
}

/// [`Store::change`] with a result.
pub trait Update: Store {
    /// Changes one user's record, and returns what the change that counted returned.
    ///
    /// # Errors
    /// As [`Store::change`].
    fn update<T>(
        &self,
        who: &Who,
        mut change: impl FnMut(&mut Option<Record>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut result = None;
        self.change(who, &mut |slot| {
            result = Some(change(slot)?);
            Ok(())
        })?;
        // A store that says `Ok` has called the change.
        result.ok_or_else(|| StoreError::NotEnrolled(who.clone()))
    }
}

impl<S: Store + ?Sized> Update for S {}

impl<S: Store + ?Sized> Store for Box<S> {
    fn change(&self, who: &Who, change: &mut Change<'_>) -> Result<(), StoreError> {
        (**self).change(who, change)
    }
    fn read(&self, who: &Who) -> Result<Option<Record>, StoreError> {
        (**self).read(who)
    }
    fn read_all(&self) -> Result<PerUser<Record>, StoreError> {
        (**self).read_all()
    }
    fn forget(&self, who: &Who) -> Result<(), StoreError> {
        (**self).forget(who)
    }
    fn serial(&self, who: &Who) -> Result<u64, StoreError> {
        (**self).serial(who)
    }
    fn host(&self) -> HostId {
        (**self).host()
    }
    fn adopt(&self, host: HostId) -> Result<bool, StoreError> {
        (**self).adopt(host)
    }
    fn sealing(&self) -> Sealing {
        (**self).sealing()
    }
    fn rekey(&self, keys: KeyRing) -> Result<Resealed, StoreError> {
        (**self).rekey(keys)
    }
    fn open_session(&self, who: &Who, session: &str, most: usize) -> Result<Opening, StoreError> {
        (**self).open_session(who, session, most)
    }
    fn close_session(&self, who: &Who, session: &str) -> Result<(), StoreError> {
        (**self).close_session(who, session)
    }
    fn open_sessions(&self, who: &Who) -> Result<usize, StoreError> {
        (**self).open_sessions(who)
    }
}
