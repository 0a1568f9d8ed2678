//! Giving a user a second factor, showing its state, taking it away.

use crate::invitation::Invitation;
use crate::record::{NewFactor, Record};
use crate::recovery::{RecoveryCodes, TypedCode};
use crate::store::{PerUser, Store, StoreError, Update, Who};
use crate::throttle::{Lock, Place};
use crate::totp::{Key, Params, key_length};
use crate::turns::Turn;
use jump_proto::Secret;
use std::fmt::Write;
use zeroize::Zeroizing;

/// What is shown once, to the user, and nowhere kept in this form.
pub struct NewEnrolment {
    /// The key, base32 without padding (RFC 4648).
    pub secret_base32: Secret,
    /// `otpauth://` URI for the QR code.
    pub uri: Secret,
    /// The same, as short as apps understand: without what they assume anyway.
    pub short_uri: Secret,
    /// Ten recovery codes.
    pub recovery_codes: Vec<Secret>,
}

/// What became of a code that should confirm an enrolment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// The new authenticator is in force; this code is used up.
    Confirmed,
    /// Not a code of the new authenticator now; it still waits.
    WrongCode,
    /// No enrolment waits for a confirmation.
    NothingPending,
}

impl Confirmation {
    fn of(outcome: Option<bool>) -> Self {
        match outcome {
            Some(true) => Self::Confirmed,
            Some(false) => Self::WrongCode,
            None => Self::NothingPending,
        }
    }
}

/// Second-factor state of one user; holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whose.
    pub who: Who,
    /// Whether an authenticator is enrolled and confirmed.
    pub enrolled: bool,
    /// Whether an enrolment waits for its confirmation.
    pub pending: bool,
    /// Recovery codes left.
    pub recovery_codes_left: u32,
    /// Until when an invitation to enrol holds, in milliseconds since the Unix epoch, if one does.
    pub invited_until_ms: Option<i64>,
    /// Wrong codes since the last right one.
    pub failures: u32,
    /// When the last of the lock-outs ends, in milliseconds since the Unix epoch, if there is one.
    pub locked_until_ms: Option<i64>,
    /// What the authenticator's codes are made with, if one is enrolled.
    pub params: Option<Params>,
    /// The lock-outs in force.
    pub locks: Vec<Lock>,
    /// How many seconds the clock is behind the last accepted code, where that is more than the window
    /// bears: it was stepped back, or had been ahead. Every code is refused until it has caught up.
    pub clock_behind_s: Option<u64>,
}

impl Status {
    fn of(record: &Record, now_unix_s: i64) -> Self {
        let locks = record.locks(now_unix_s);
        Self {
            who: record.who(),
            enrolled: record.is_enrolled(),
            pending: record.is_pending(),
            recovery_codes_left: record.recovery_codes_left(),
            invited_until_ms: record
                .invited_until_s(now_unix_s)
                .map(|s| s.saturating_mul(1000)),
            failures: record.failures(),
            params: record.params(),
            locked_until_ms: locks.iter().map(|lock| lock.until_ms).max(),
            locks,
            clock_behind_s: record.clock_behind_s(now_unix_s),
        }
    }

    fn none(who: &Who) -> Self {
        Self {
            who: who.clone(),
            enrolled: false,
            pending: false,
            recovery_codes_left: 0,
            invited_until_ms: None,
            failures: 0,
            locked_until_ms: None,
            params: None,
            locks: Vec::new(),
            clock_behind_s: None,
        }
    }
}

/// Makes a new key and recovery codes for `who`, with the parameters every app understands.
///
/// With `confirm`, the old ones stay in force until [`confirm_enrolment`] brings
/// a code of the new key; without, the new ones are in force at once, and a
/// lock-out ends. `issuer` is what the authenticator app shows beside the name.
///
/// # Errors
/// When the record cannot be read, trusted, locked in time or made durable.
pub fn begin_enrolment<S: Store + ?Sized>(
    store: &S,
    who: &Who,
    issuer: &str,
    now_unix_s: i64,
    confirm: bool,
) -> Result<NewEnrolment, StoreError> {
    begin_enrolment_with(store, who, issuer, now_unix_s, confirm, Params::default())
}

/// [`begin_enrolment`] with parameters of choice. Parameters that are not in [`Params`]'s ranges are replaced by the default.
///
/// # Errors
/// As [`begin_enrolment`].
pub fn begin_enrolment_with<S: Store + ?Sized>(
    store: &S,
    who: &Who,
    issuer: &str,
    now_unix_s: i64,
    confirm: bool,
    params: Params,
) -> Result<NewEnrolment, StoreError> {
    let draft = Draft::new(who, issuer, now_unix_s, params)?;
    let new = &draft.new;
    store.update(who, |slot| {
        let record = slot.get_or_insert_with(|| Record::new(who));
        if confirm {
            record.enrol_pending(new);
        } else {
            record.enrol(new);
        }
        Ok(())
    })?;
    Ok(draft.shown)
}

/// An authenticator that is nowhere written down yet.
pub struct Draft {
    new: NewFactor,
    /// What the user must be shown of it.
    pub shown: NewEnrolment,
}

impl Draft {
    /// A new key and recovery codes. Parameters that are not in [`Params`]'s ranges are replaced by the default.
    ///
    /// # Errors
    /// When there are no random bytes or memory is short.
    pub fn new(
        who: &Who,
        issuer: &str,
        now_unix_s: i64,
        params: Params,
    ) -> Result<Self, StoreError> {
        let params = if params.problem().is_none() {
            params
        } else {
            Params::default()
        };
        let mut bytes = Zeroizing::new(vec![0u8; key_length(params.algorithm)]);
        getrandom::fill(&mut bytes)?;
        let turn = Turn::of(who.uid)?;
        let (recovery, codes) = RecoveryCodes::generate()?;
        drop(turn);
        let new = NewFactor {
            params,
            key: Key::from_bytes(bytes),
            recovery,
            enrolled_s: now_unix_s,
        };
        let shown = NewEnrolment {
            secret_base32: Secret::new(new.key.to_base32().as_str().to_owned()),
            uri: uri(&new, issuer, &who.user),
            short_uri: short_uri(&new, issuer, &who.user),
            recovery_codes: shown(&codes),
        };
        Ok(Self { new, shown })
    }
}

#[cfg(test)]
impl Draft {
    /// One of this key.
    pub(crate) fn of_key(who: &Who, key: &str, now_unix_s: i64) -> Option<Self> {
        let mut draft = Self::new(who, "b", now_unix_s, Params::default()).ok()?;
        draft.new.key = Key::from_base32(key)?;
        Some(draft)
    }
}

/// Makes a text by which the user can enrol an authenticator at a login, until `until_unix_s` (seconds since
/// the Unix epoch) and once. An invitation made before is void.
///
/// # Errors
/// When the record cannot be read, trusted, locked in time or made durable.
pub fn invite<S: Store + ?Sized>(
    store: &S,
    who: &Who,
    now_unix_s: i64,
    until_unix_s: i64,
) -> Result<Secret, StoreError> {
    let turn = Turn::of(who.uid)?;
    let (invitation, text) = Invitation::generate(now_unix_s, until_unix_s)?;
    drop(turn);
    store.update(who, |slot| {
        let record = slot.get_or_insert_with(|| Record::new(who));
        record.invite(invitation.clone());
        Ok(())
    })?;
    Ok(Secret::new(text.as_str().to_owned()))
}

/// Puts a draft in force if `invitation` still holds and `code` is a code of the draft. Both are used up by it, durably and
/// once: of several who were shown a draft for one invitation, the first right code wins.
///
/// # Errors
/// When the record cannot be read, trusted, locked in time or made durable.
pub fn enrol_invited<S: Store + ?Sized>(
    store: &S,
    who: &Who,
    place: &Place,
    invitation: &str,
    draft: &Draft,
    code: &str,
    now_unix_s: i64,
) -> Result<Confirmation, StoreError> {
    let _turn = Turn::to_look_at(invitation, who.uid)?;
    store.update(who, |slot| {
        let outcome = match slot {
            None => None,
            Some(record) => {
                record.enrol_invited(place, invitation, &draft.new, code, now_unix_s)?
            }
        };
        Ok(Confirmation::of(outcome))
    })
}

/// Puts a pending authenticator in force if `code` is its code.
///
/// # Errors
/// When the record cannot be read, trusted, locked in time or made durable.
pub fn confirm_enrolment<S: Store + ?Sized>(
    store: &S,
    who: &Who,
    code: &str,
    now_unix_s: i64,
) -> Result<Confirmation, StoreError> {
    store.update(who, |slot| {
        let outcome = match slot {
            None => None,
            Some(record) => record.confirm(code, now_unix_s)?,
        };
        Ok(Confirmation::of(outcome))
    })
}

/// Shows one user's state; a user without a record is simply not enrolled.
///
/// # Errors
/// When there is a record that cannot be read or trusted.
pub fn status<S: Store + ?Sized>(
    store: &S,
    who: &Who,
    now_unix_s: i64,
) -> Result<Status, StoreError> {
    Ok(match store.read(who)? {
        Some(record) => Status::of(&record, now_unix_s),
        None => Status::none(who),
    })
}

/// What something that was granted for a second factor can be bound to: a digest that tells nothing,
/// and that a new authenticator, a reset and every lock-out and its end change for good. `None` for a user who is not enrolled.
///
/// # Errors
/// When there is a record that cannot be read or trusted.
pub fn standing<S: Store + ?Sized>(store: &S, who: &Who) -> Result<Option<String>, StoreError> {
    Ok(store.read(who)?.and_then(|record| record.standing()))
}

/// Shows the state of everyone who has a record, by uid. A record that cannot be read or trusted has its error in its place.
///
/// # Errors
/// When the list itself cannot be had.
pub fn list<S: Store + ?Sized>(store: &S, now_unix_s: i64) -> Result<PerUser<Status>, StoreError> {
    let mut all: Vec<_> = store
        .read_all()?
        .into_iter()
        .map(|(uid, record)| (uid, record.map(|r| Status::of(&r, now_unix_s))))
        .collect();
    all.sort_by_key(|(uid, _)| *uid);
    Ok(all)
}

/// Forgets key, recovery codes, failures and lock-out, also those of a record that cannot be trusted.
/// The user cannot log in until enrolled anew, and no copy of the record is good any more.
///
/// # Errors
/// When the record is somebody else's, cannot be locked in time or removed for good.
pub fn reset<S: Store + ?Sized>(store: &S, who: &Who) -> Result<(), StoreError> {
    store.forget(who)
}

/// Ends every lock-out of a user and forgets the failures.
///
/// # Errors
/// [`StoreError::NotEnrolled`], or when the record cannot be read, trusted, locked in time or made durable.
pub fn unlock<S: Store + ?Sized>(store: &S, who: &Who) -> Result<(), StoreError> {
    store.update(who, |slot| match slot {
        Some(record) => {
            record.unlock();
            Ok(())
        }
        None => Err(StoreError::NotEnrolled(who.clone())),
    })
}

/// Makes ten new recovery codes; the old ones are void.
///
/// # Errors
/// [`StoreError::NotEnrolled`], or when the record cannot be read, trusted, locked in time or made durable.
pub fn new_recovery_codes<S: Store + ?Sized>(
    store: &S,
    who: &Who,
) -> Result<Vec<Secret>, StoreError> {
    let turn = Turn::of(who.uid)?;
    let (stored, codes) = RecoveryCodes::generate()?;
    drop(turn);
    store.update(who, |slot| {
        match slot.as_mut().map(|r| r.replace_recovery_codes(&stored)) {
            Some(true) => Ok(()),
            _ => Err(StoreError::NotEnrolled(who.clone())),
        }
    })?;
    Ok(shown(&codes))
}

fn shown(codes: &[TypedCode]) -> Vec<Secret> {
    codes
        .iter()
        .map(|code| Secret::new(code.as_str().to_owned()))
        .collect()
}

/// The key URI format that authenticator apps read from a QR code.
fn uri(new: &NewFactor, issuer: &str, user: &str) -> Secret {
    let (issuer, user) = (percent_encode(issuer), percent_encode(user));
    let key = new.key.to_base32();
    let Params {
        algorithm,
        digits,
        period_s,
    } = new.params;
    Secret::new(format!(
        "otpauth://totp/{issuer}:{user}?secret={}&issuer={issuer}&algorithm={}&digits={digits}&period={period_s}",
        key.as_str(),
        algorithm.as_str(),
    ))
}

/// The shortest URI that says the same: a QR code of it fits on a small terminal.
fn short_uri(new: &NewFactor, issuer: &str, user: &str) -> Secret {
    let (issuer, user) = (percent_encode(issuer), percent_encode(user));
    let key = new.key.to_base32();
    let usual = Params::default();
    let mut uri = format!("otpauth://totp/{issuer}:{user}?secret={}", key.as_str());
    // Writing to a String does not fail.
    if new.params.algorithm != usual.algorithm {
        let _ = write!(uri, "&algorithm={}", new.params.algorithm.as_str());
    }
    if new.params.digits != usual.digits {
        let _ = write!(uri, "&digits={}", new.params.digits);
    }
    if new.params.period_s != usual.period_s {
        let _ = write!(uri, "&period={}", new.params.period_s);
    }
    Secret::new(uri)
}

/// RFC 3986 section 2.1: everything but the unreserved characters.
fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uri_is_what_apps_expect() {
        let new = NewFactor {
            params: Params::default(),
            key: Key::from_bytes(Zeroizing::new(b"12345678901234567890".to_vec())),
            recovery: RecoveryCodes::generate().unwrap().0,
            enrolled_s: 0,
        };
        assert_eq!(
            uri(&new, "bastion: é", "alice@x").expose(),
            "otpauth://totp/bastion%3A%20%C3%A9:alice%40x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=bastion%3A%20%C3%A9&algorithm=SHA1&digits=6&period=30"
        );
    }
}
