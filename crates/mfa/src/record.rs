//! One user's second factor as it is remembered, and every change it can undergo.
//!
//! The rules are here and not in a store, so that no store can get them wrong:
//! an accepted step only ever rises, a recovery code is spent once, a failure
//! counts unless a right code follows, a lock-out neither takes codes nor
//! grows. A record that is not exactly what this program writes is refused.

use crate::limits::Limits;
use crate::recovery::{self, RecoveryCodes, Spent};
use crate::store::{StoreError, Who};
use crate::throttle::{Borne, Lock, Place, Throttle};
use crate::totp::{self, Key, Match, Params};
use crate::verify::{Method, Verdict};
use jump_proto::Secret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The record format this program writes and reads.
const VERSION: u32 = 1;

/// No record is nearly this large; a file that is larger is not one.
pub(crate) const MAX_BYTES: usize = 16 * 1024;

/// A typed text longer than this is wrong without being looked at.
const MAX_TYPED: usize = 64;

/// Why some bytes are not this user's record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not a record, or one of a later release.
    #[error("not a second-factor record of this release: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Well-formed, but something in it cannot be.
    #[error("damaged: {0}")]
    Damaged(&'static str),
    /// A record of somebody else, or from another host.
    #[error("is the record of {found}, not of {wanted}")]
    SomebodyElses {
        /// Whose it says it is.
        found: Who,
        /// Whose it should be.
        wanted: Who,
    },
}

/// An authenticator: its key, what it must know, how far it has been used, and the recovery codes given with it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Factor {
    params: Params,
    secret: Secret,
    enrolled_s: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_step: Option<u64>,
    recovery: RecoveryCodes,
}

impl Factor {
    fn problem(&self) -> Option<&'static str> {
        self.params
            .problem()
            .or_else(|| match Key::from_base32(self.secret.expose()) {
                Some(_) => None,
                None => Some("the secret is not base32 of at least 128 bits"),
            })
            .or_else(|| self.recovery.problem())
    }
}

/// A new authenticator on its way into a record.
pub(crate) struct NewFactor {
    pub(crate) params: Params,
    pub(crate) key: Key,
    pub(crate) recovery: RecoveryCodes,
    pub(crate) enrolled_s: i64,
}

impl From<&NewFactor> for Factor {
    fn from(new: &NewFactor) -> Self {
        Self {
            params: new.params,
            secret: Secret::new(new.key.to_base32().as_str().to_owned()),
            enrolled_s: new.enrolled_s,
            last_step: None,
            recovery: new.recovery.clone(),
        }
    }
}

/// One user's second factor. Its fields are private: it changes only by the rules of this crate.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    version: u32,
    uid: u32,
    user: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    active: Option<Factor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<Factor>,
    /// Only in records of releases that counted wrong codes for the user as a whole.
    #[serde(default)]
    failures: u32,
    /// Likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    locked_until_s: Option<i64>,
    #[serde(default, skip_serializing_if = "Throttle::is_empty")]
    throttle: Throttle,
}

impl Record {
    pub(crate) fn new(who: &Who) -> Self {
        Self {
            version: VERSION,
            uid: who.uid,
            user: who.user.clone(),
            active: None,
            pending: None,
            failures: 0,
            locked_until_s: None,
            throttle: Throttle::default(),
        }
    }

    /// Reads a record and checks that it is sound and `who`'s.
    ///
    /// # Errors
    /// When it is not.
    pub fn parse(bytes: &[u8], who: &Who) -> Result<Self, RecordError> {
        let record = Self::parse_any(bytes, who.uid)?;
        if record.user != who.user {
            return Err(RecordError::SomebodyElses {
                found: record.who(),
                wanted: who.clone(),
            });
        }
        Ok(record)
    }

    /// Reads a record of which only the key is known.
    ///
    /// # Errors
    /// When it is not sound, or not that uid's.
    pub fn parse_any(bytes: &[u8], uid: u32) -> Result<Self, RecordError> {
        let mut record: Self = serde_json::from_slice(bytes)?;
        if record.version != VERSION {
            return Err(RecordError::Damaged("it is of another release (version)"));
        }
        if record.uid != uid {
            let wanted = Who {
                uid,
                user: record.user.clone(),
            };
            return Err(RecordError::SomebodyElses {
                found: record.who(),
                wanted,
            });
        }
        let factors = [&record.active, &record.pending];
        let problem = factors.into_iter().flatten().find_map(Factor::problem);
        if let Some(problem) = problem.or_else(|| record.throttle.problem()) {
            return Err(RecordError::Damaged(problem));
        }
        if record.failures > 0 || record.locked_until_s.is_some() {
            record.throttle = Throttle::of_the_whole_user(record.failures, record.locked_until_s);
            (record.failures, record.locked_until_s) = (0, None);
        }
        Ok(record)
    }

    /// The bytes to store. Wiped when dropped.
    ///
    /// # Errors
    /// Only when memory is short.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, RecordError> {
        // Sized beforehand: a buffer that grows leaves copies of the secret behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES));
        serde_json::to_writer_pretty(&mut *bytes, self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Whose record it is.
    #[must_use]
    pub fn who(&self) -> Who {
        Who {
            uid: self.uid,
            user: self.user.clone(),
        }
    }

    pub(crate) fn is_enrolled(&self) -> bool {
        self.active.is_some()
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    pub(crate) fn recovery_codes_left(&self) -> u32 {
        self.active.as_ref().map_or(0, |f| f.recovery.left())
    }

    pub(crate) fn failures(&self) -> u32 {
        self.throttle.failures()
    }

    pub(crate) fn locks(&self, now_s: i64) -> Vec<Lock> {
        self.throttle.locks(now_s)
    }

    /// What the codes of the authenticator in force are made with.
    pub(crate) fn params(&self) -> Option<Params> {
        self.active.as_ref().map(|f| f.params)
    }

    /// The step accepted last, if any.
    #[must_use]
    pub fn last_step(&self) -> Option<u64> {
        self.active.as_ref()?.last_step
    }

    /// Judges what the user typed at `place`.
    pub(crate) fn judge(
        &mut self,
        place: &Place,
        typed: &str,
        now_s: i64,
        limits: &Limits,
    ) -> Result<Verdict, StoreError> {
        if self.active.is_none() {
            recovery::as_if(typed)?;
            return Ok(Verdict::NotEnrolled);
        }
        if let Some(until_s) = self.throttle.hold(place, now_s, limits) {
            recovery::as_if(typed)?;
            return Ok(Verdict::Locked {
                until_ms: until_s.saturating_mul(1000),
            });
        }
        let typed = typed.trim_end_matches(['\r', '\n']);
        match self.check(typed, now_s)? {
            Checked::Right(method) => {
                self.throttle.right(place, now_s);
                Ok(Verdict::Accepted { method })
            }
            // Who repeats a right code guesses nothing, so it counts as no failure.
            Checked::Again => Ok(Verdict::Replayed),
            Checked::Wrong => {
                let Borne { failures, left } = self.throttle.wrong(place, now_s, limits);
                Ok(Verdict::Wrong { failures, left })
            }
        }
    }

    fn check(&mut self, typed: &str, now_s: i64) -> Result<Checked, StoreError> {
        let now_unix_s = u64::try_from(now_s).map_err(|_| StoreError::Clock)?;
        let Some(factor) = self.active.as_mut().filter(|_| typed.len() <= MAX_TYPED) else {
            return Ok(Checked::Wrong);
        };
        // The form alone decides which check is made.
        if let Some(code) = totp::TypedCode::parse(typed, &factor.params) {
            return Ok(factor.check_code(&code, now_unix_s));
        }
        let Some(code) = recovery::TypedCode::parse(typed) else {
            return Ok(Checked::Wrong);
        };
        Ok(match factor.recovery.spend(&code, now_s)? {
            Spent::Now { left } => Checked::Right(Method::Recovery { left }),
            Spent::Before => Checked::Again,
            Spent::Unknown => Checked::Wrong,
        })
    }

    /// Puts a new authenticator in force at once.
    pub(crate) fn enrol(&mut self, new: &NewFactor) {
        self.active = Some(new.into());
        self.pending = None;
        self.unlock();
    }

    /// Keeps a new authenticator until a code of it comes; the one in force stays.
    pub(crate) fn enrol_pending(&mut self, new: &NewFactor) {
        self.pending = Some(new.into());
    }

    /// Puts the pending authenticator in force if `typed` is its code. That code is used up by it.
    pub(crate) fn confirm(&mut self, typed: &str, now_s: i64) -> Result<Option<bool>, StoreError> {
        let now_unix_s = u64::try_from(now_s).map_err(|_| StoreError::Clock)?;
        let Some(pending) = self.pending.as_mut() else {
            return Ok(None);
        };
        let typed = typed.trim_end_matches(['\r', '\n']);
        let right = totp::TypedCode::parse(typed, &pending.params)
            .is_some_and(|code| matches!(pending.check_code(&code, now_unix_s), Checked::Right(_)));
        if right {
            self.active = self.pending.take();
            self.unlock();
        }
        Ok(Some(right))
    }

    /// Ends every lock-out and forgets the failures.
    pub(crate) fn unlock(&mut self) {
        self.throttle.clear();
    }

    /// Replaces the recovery codes; `false` when there is no authenticator to go with them.
    pub(crate) fn replace_recovery_codes(&mut self, codes: &RecoveryCodes) -> bool {
        match &mut self.active {
            Some(factor) => {
                factor.recovery = codes.clone();
                true
            }
            None => false,
        }
    }
}

enum Checked {
    Right(Method),
    Again,
    Wrong,
}

impl Factor {
    fn check_code(&mut self, typed: &totp::TypedCode<'_>, now_unix_s: u64) -> Checked {
        // A record's secret was checked when it was read.
        let Some(key) = Key::from_base32(self.secret.expose()) else {
            return Checked::Wrong;
        };
        let now = totp::step_at(&self.params, now_unix_s);
        match totp::find(&key, &self.params, typed, now, self.last_step) {
            Match::Fresh(step) => {
                self.last_step = Some(step);
                Checked::Right(Method::Totp)
            }
            Match::Stale => Checked::Again,
            Match::None => Checked::Wrong,
        }
    }
}
