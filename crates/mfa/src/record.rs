//! One user's second factor as it is remembered, and every change it can undergo.
//!
//! The rules are here and not in a store, so that no store can get them wrong:
//! an accepted step only ever rises, a recovery code is spent once, a failure
//! counts unless a right code follows, a lock-out neither takes codes nor
//! grows. A record that is not exactly what this program writes is refused.

mod restoring;

use crate::envelope;
use crate::host_id::HostId;
use crate::invitation::{Invitation, Invited, TypedInvitation};
use crate::limits::Limits;
use crate::recovery::{self, RecoveryCodes, Spent};
use crate::store::{StoreError, Who};
use crate::throttle::{Borne, Lock, Place, Throttle};
use crate::totp::{self, Key, Match, Params};
use crate::verify::{Looked, Method, Verdict};
use data_encoding::HEXLOWER;
use jump_proto::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// No record is nearly this large; a file that is larger is not one.
pub(crate) const MAX_BYTES: usize = 32 * 1024;

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
    /// A record of somebody else.
    #[error("is the record of {found}, not of {wanted}")]
    SomebodyElses {
        /// Whose it says it is.
        found: Who,
        /// Whose it should be.
        wanted: Who,
    },
    /// A record of another host.
    #[error(
        "is of the host {found}, this is {wanted}: a copy from there would be good for codes that were used there"
    )]
    OtherHosts {
        /// The host it says it is of.
        found: HostId,
        /// This one.
        wanted: HostId,
    },
    /// An old copy: codes that were used since would be good again.
    #[error("is an old copy: it is number {serial}, number {last} was written since")]
    Restored {
        /// The copy's number.
        serial: u64,
        /// The number of the last write.
        last: u64,
    },
    /// Not the record that was written last, although newer than its watermark.
    #[error(
        "is number {serial}, but the last write that is remembered was number {last}: its watermark is an old copy, or gone"
    )]
    Ahead {
        /// The record's number.
        serial: u64,
        /// The number of the last write.
        last: u64,
    },
    /// A record from before this host sealed its records, or one put there by hand.
    #[error("is not sealed, and this host has sealed all of its records")]
    NotSealed,
    /// Sealed with a key that is not at hand.
    #[error("is sealed with the key {0}, which this host does not have")]
    NoKey(String),
}

impl RecordError {
    /// Whether it is a sound record of another time or place: what a replay is made with.
    #[must_use]
    pub fn is_replay(&self) -> bool {
        matches!(
            self,
            Self::OtherHosts { .. } | Self::Restored { .. } | Self::Ahead { .. } | Self::NotSealed
        )
    }
}

/// An authenticator: its key, what it must know, how far it has been used, and the recovery codes given with it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Factor {
    params: Params,
    secret: Secret,
    enrolled_s: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_step: Option<u64>,
    recovery: RecoveryCodes,
}

impl Factor {
    pub(crate) fn problem(&self) -> Option<&'static str> {
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

/// What is remembered of one user: the inside of a record. New fields have a default, so that older records are read.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) active: Option<Factor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pending: Option<Factor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) invitation: Option<Invitation>,
    #[serde(default, skip_serializing_if = "Throttle::is_empty")]
    pub(crate) throttle: Throttle,
}

/// One user's second factor. Its fields are private: it changes only by the rules of this crate.
pub struct Record {
    who: Who,
    body: Body,
    /// The next write gets a number after this one; 0 unless it came out of a backup just now.
    after: u64,
}

impl Record {
    pub(crate) fn new(who: &Who) -> Self {
        Self::of(who.clone(), Body::default())
    }

    pub(crate) fn of(who: Who, body: Body) -> Self {
        Self {
            who,
            body,
            after: 0,
        }
    }

    /// The number that the next write must be beyond.
    pub(crate) fn after(&self) -> u64 {
        self.after
    }

    /// Digests of what must not lie about in the clear: keys of authenticators, and an invitation.
    pub(crate) fn secrets(&self) -> Result<Vec<[u8; 32]>, serde_json::Error> {
        let factors = [&self.body.active, &self.body.pending];
        let mut all: Vec<[u8; 32]> = factors
            .into_iter()
            .flatten()
            .map(|factor| Sha256::digest(factor.secret.expose()).into())
            .collect();
        if let Some(invitation) = &self.body.invitation {
            let text = Zeroizing::new(serde_json::to_vec(invitation)?);
            all.push(Sha256::digest(&*text).into());
        }
        Ok(all)
    }

    pub(crate) fn body(&self) -> &Body {
        &self.body
    }

    /// The inside of the record. Wiped when dropped.
    pub(crate) fn body_to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        let mut bytes = envelope::buffer();
        serde_json::to_writer(&mut *bytes, &self.body)?;
        Ok(bytes)
    }

    /// What in it cannot be, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let factors = [&self.body.active, &self.body.pending];
        let problem = factors.into_iter().flatten().find_map(Factor::problem);
        problem
            .or_else(|| self.body.throttle.problem())
            .or_else(|| self.body.invitation.as_ref()?.problem())
    }

    /// Whose record it is.
    #[must_use]
    pub fn who(&self) -> Who {
        self.who.clone()
    }

    pub(crate) fn is_enrolled(&self) -> bool {
        self.body.active.is_some()
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.body.pending.is_some()
    }

    pub(crate) fn recovery_codes_left(&self) -> u32 {
        self.body.active.as_ref().map_or(0, |f| f.recovery.left())
    }

    /// How often the user was locked out anywhere, or let in again by an operator, ever.
    pub(crate) fn lockouts(&self) -> u64 {
        self.body.throttle.lockouts()
    }

    pub(crate) fn failures(&self) -> u32 {
        self.body.throttle.failures()
    }

    pub(crate) fn locks(&self, now_s: i64) -> Vec<Lock> {
        self.body.throttle.locks(now_s)
    }

    /// What the codes of the authenticator in force are made with.
    pub(crate) fn params(&self) -> Option<Params> {
        self.body.active.as_ref().map(|f| f.params)
    }

    /// A digest that another authenticator, a reset and every lock-out change; `None` while there is none.
    pub(crate) fn standing(&self) -> Option<String> {
        let factor = self.body.active.as_ref()?;
        let mut digest = Sha256::new();
        digest.update(b"jump-mfa standing\0");
        digest.update(factor.enrolled_s.to_be_bytes());
        digest.update(self.body.throttle.lockouts().to_be_bytes());
        digest.update(factor.secret.expose());
        Some(HEXLOWER.encode(&digest.finalize()))
    }

    /// The step accepted last, if any.
    #[must_use]
    pub fn last_step(&self) -> Option<u64> {
        self.body.active.as_ref()?.last_step
    }

    /// Where the step accepted last begins, in seconds since the Unix epoch.
    pub(crate) fn accepted_s(&self) -> Option<u64> {
        let factor = self.body.active.as_ref()?;
        Some(
            factor
                .last_step?
                .saturating_mul(u64::from(factor.params.period_s)),
        )
    }

    /// How many seconds the clock is behind the last accepted code, where that is more than the window bears.
    pub(crate) fn clock_behind_s(&self, now_s: i64) -> Option<u64> {
        let factor = self.body.active.as_ref()?;
        let now_s = u64::try_from(now_s).unwrap_or(0);
        let ahead =
            factor.last_step? > totp::step_at(&factor.params, now_s).saturating_add(totp::SKEW);
        ahead.then(|| self.accepted_s().unwrap_or(0).saturating_sub(now_s))
    }

    /// Judges what the user typed at `place`; what was not looked at is to cost as much as if it had been.
    pub(crate) fn judge(
        &mut self,
        place: &Place,
        typed: &str,
        now_s: i64,
        limits: &Limits,
    ) -> Result<(Verdict, Looked), StoreError> {
        if self.body.active.is_none() && self.body.invitation.is_none() {
            return Ok((Verdict::NotEnrolled, Looked::No));
        }
        self.end_invitation_if_over(now_s);
        if let Some(until_s) = self.body.throttle.hold(place, now_s, limits) {
            let until_ms = until_s.saturating_mul(1000);
            return Ok((Verdict::Locked { until_ms }, Looked::No));
        }
        let typed = typed.trim_end_matches(['\r', '\n']);
        let (checked, looked) = match self.check(typed, now_s)? {
            Some(checked) => (checked, Looked::Yes),
            None => (Checked::Wrong, Looked::No),
        };
        let verdict = match checked {
            Checked::Right(method) => {
                self.body.throttle.right(place, now_s);
                Verdict::Accepted { method }
            }
            // Who repeats a right code guesses nothing, so it counts as no failure.
            Checked::Again => Verdict::Replayed,
            Checked::Invited => Verdict::Invited,
            // Nor does who comes too late.
            Checked::TooLate => Verdict::InvitedTooLate,
            Checked::Wrong => {
                let Borne { failures, left } = self.body.throttle.wrong(place, now_s, limits);
                Verdict::Wrong { failures, left }
            }
        };
        Ok((verdict, looked))
    }

    /// `None` where there is nothing that the text could be compared with.
    fn check(&mut self, typed: &str, now_s: i64) -> Result<Option<Checked>, StoreError> {
        let now_unix_s = u64::try_from(now_s).map_err(|_| StoreError::Clock)?;
        // The form alone decides which check is made.
        if let (Some(text), Some(invitation)) =
            (TypedInvitation::parse(typed), &self.body.invitation)
        {
            return Ok(Some(match invitation.compare(&text, now_s)? {
                Invited::Now => Checked::Invited,
                Invited::TooLate => Checked::TooLate,
                Invited::No => Checked::Wrong,
            }));
        }
        let Some(factor) = self
            .body
            .active
            .as_mut()
            .filter(|_| typed.len() <= MAX_TYPED)
        else {
            return Ok(None);
        };
        if let Some(code) = totp::TypedCode::parse(typed, &factor.params) {
            return Ok(Some(factor.check_code(&code, now_unix_s)));
        }
        let Some(code) = recovery::TypedCode::parse(typed) else {
            return Ok(None);
        };
        Ok(Some(match factor.recovery.spend(&code, now_s)? {
            Spent::Now { left } => Checked::Right(Method::Recovery { left }),
            Spent::Before => Checked::Again,
            Spent::Unknown => Checked::Wrong,
        }))
    }

    /// Puts a new authenticator in force at once.
    pub(crate) fn enrol(&mut self, new: &NewFactor) {
        self.body.active = Some(new.into());
        self.body.pending = None;
        self.body.invitation = None;
        self.unlock();
    }

    /// Lets the user enrol an authenticator of their own; an invitation before it is void.
    pub(crate) fn invite(&mut self, invitation: Invitation) {
        self.body.invitation = Some(invitation);
    }

    fn end_invitation_if_over(&mut self, now_s: i64) {
        if let Some(invitation) = &mut self.body.invitation {
            invitation.end_if_over(now_s);
        }
    }

    /// Until when an invitation holds, if there is one, in seconds since the Unix epoch.
    pub(crate) fn invited_until_s(&self, now_s: i64) -> Option<i64> {
        self.body.invitation.as_ref()?.until_s(now_s)
    }

    /// Puts `new` in force if `invitation` still holds and `typed` is a code of `new`; both are used up by it.
    pub(crate) fn enrol_invited(
        &mut self,
        place: &Place,
        invitation: &str,
        new: &NewFactor,
        typed: &str,
        now_s: i64,
    ) -> Result<Option<bool>, StoreError> {
        let now_unix_s = u64::try_from(now_s).map_err(|_| StoreError::Clock)?;
        self.end_invitation_if_over(now_s);
        let text = TypedInvitation::parse(invitation.trim_end_matches(['\r', '\n']));
        let holds = match (text, &self.body.invitation) {
            (Some(text), Some(invitation)) => invitation.compare(&text, now_s)? == Invited::Now,
            _ => false,
        };
        if !holds {
            return Ok(None);
        }
        let mut factor = Factor::from(new);
        let typed = typed.trim_end_matches(['\r', '\n']);
        let right = totp::TypedCode::parse(typed, &factor.params)
            .is_some_and(|code| matches!(factor.check_code(&code, now_unix_s), Checked::Right(_)));
        if right {
            self.enrol(new);
            self.body.active = Some(factor);
            self.body.throttle.right(place, now_s);
        }
        Ok(Some(right))
    }

    /// Keeps a new authenticator until a code of it comes; the one in force stays.
    pub(crate) fn enrol_pending(&mut self, new: &NewFactor) {
        self.body.pending = Some(new.into());
    }

    /// Puts the pending authenticator in force if `typed` is its code. That code is used up by it.
    pub(crate) fn confirm(&mut self, typed: &str, now_s: i64) -> Result<Option<bool>, StoreError> {
        let now_unix_s = u64::try_from(now_s).map_err(|_| StoreError::Clock)?;
        let Some(pending) = self.body.pending.as_mut() else {
            return Ok(None);
        };
        let typed = typed.trim_end_matches(['\r', '\n']);
        let right = totp::TypedCode::parse(typed, &pending.params)
            .is_some_and(|code| matches!(pending.check_code(&code, now_unix_s), Checked::Right(_)));
        if right {
            self.body.active = self.body.pending.take();
            self.body.invitation = None;
            self.unlock();
        }
        Ok(Some(right))
    }

    /// Ends every lock-out and forgets the failures.
    pub(crate) fn unlock(&mut self) {
        self.body.throttle.clear();
    }

    /// Replaces the recovery codes; `false` when there is no authenticator to go with them.
    pub(crate) fn replace_recovery_codes(&mut self, codes: &RecoveryCodes) -> bool {
        match &mut self.body.active {
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
    Invited,
    TooLate,
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
