//! The one question: is what this user typed a second factor, now?

use crate::limits::Limits;
use crate::record::Record;
use crate::recovery;
use crate::store::{Store, StoreError, Update, Who};
use crate::throttle::Place;
use crate::turns::Turn;

/// How a second factor was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A one-time code of the authenticator.
    Totp,
    /// A recovery code.
    Recovery {
        /// Recovery codes left after it.
        left: u32,
    },
}

impl Method {
    /// The word used in events (`JUMP_MFA`) and in `jumpctl sessions`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Recovery { .. } => "recovery",
        }
    }
}

/// What was typed, judged. Only [`Verdict::Accepted`] lets anyone in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A right code, used for the first time; it will never be accepted again.
    Accepted {
        /// Which kind.
        method: Method,
    },
    /// Not a code of this user now.
    Wrong {
        /// Wrong codes from this place since the last right one, this one included.
        failures: u32,
        /// Wrong codes still borne from there; at 0 this one has locked the place out.
        left: u32,
    },
    /// A right code that had been used, or one older than a code that has been used. Counts as no failure.
    Replayed,
    /// A right invitation. It is spent by [`crate::enrol_invited`], not by this.
    Invited,
    /// A right invitation whose time is over. Counts as no failure.
    InvitedTooLate,
    /// The place is locked out; what was typed was not looked at, so a right code stays good.
    Locked {
        /// When the lock-out ends, in milliseconds since the Unix epoch.
        until_ms: i64,
    },
    /// The user has no confirmed authenticator and no invitation.
    NotEnrolled,
}

/// A verdict, and what it was given on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// [`crate::standing`] of the record at the verdict.
    pub standing: Option<String>,
    /// Whether a lock-out began with it, of this place or of all that never brought a right code.
    pub lock_began: bool,
}

/// Whether a typed text has been looked at, with all that this costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    Yes,
    No,
}

/// Judges what `who` typed at `place` and `now_unix_s` (seconds since the Unix epoch).
///
/// The verdict is durable when this returns: the step or recovery code is used
/// up, the failure counted. An error is a refusal.
///
/// # Errors
/// When the user's record cannot be read, trusted, locked in time or made durable.
pub fn verify<S: Store + ?Sized>(
    store: &S,
    who: &Who,
    place: &Place,
    typed: &str,
    now_unix_s: i64,
    limits: &Limits,
) -> Result<Verdict, StoreError> {
    judge(store, who, place, typed, now_unix_s, limits).map(|judged| judged.verdict)
}

/// [`verify`], with how the record stood then.
///
/// # Errors
/// As [`verify`].
pub fn judge<S: Store + ?Sized>(
    store: &S,
    who: &Who,
    place: &Place,
    typed: &str,
    now_unix_s: i64,
    limits: &Limits,
) -> Result<Judged, StoreError> {
    let _turn = Turn::to_look_at(typed, who.uid)?;
    let (judged, looked) = store.update(who, |slot| {
        let lockouts = |slot: &Option<Record>| slot.as_ref().map_or(0, Record::lockouts);
        let before = lockouts(slot);
        let (verdict, looked) = match slot.as_mut() {
            None => (Verdict::NotEnrolled, Looked::No),
            Some(record) => record.judge(place, typed, now_unix_s, limits)?,
        };
        let standing = slot.as_ref().and_then(Record::standing);
        let judged = Judged {
            verdict,
            standing,
            lock_began: lockouts(slot) > before,
        };
        Ok((judged, looked))
    })?;
    // Not with the record in hand: who is not looked at keeps nobody else waiting.
    if looked == Looked::No {
        recovery::in_turn_as_if(typed)?;
    }
    Ok(judged)
}
