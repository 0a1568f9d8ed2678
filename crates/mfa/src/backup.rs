//! Records on their way into a backup and out of one.
//!
//! A backup is another time and maybe another host, so what comes out of it is
//! taken back only so far that no code that was used since is good again: the
//! step accepted last becomes the last one whose code could be in use now, and
//! recovery codes are void unless the operator vouches that none was used. A
//! record that this host has changed since is newer and stays; nothing here
//! ever moves backwards.

use crate::host_id::HostId;
use crate::record::{Factor, Record};
use crate::store::{Store, StoreError, Update, Who};
use jump_proto::Secret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Nobody logs in so often; beyond it numbers could come to their end.
const MOST_WRITES: u64 = 1 << 48;

/// A user's authenticator in a backup. Enrolments that wait, wrong codes and lock-outs are not in it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    host: HostId,
    uid: u32,
    user: String,
    serial: u64,
    factor: Factor,
}

/// How far a backup is taken back.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms<'t> {
    /// Recovery codes not used by then are good again: only where the old host accepted nothing after
    /// the backup was made.
    pub recovery_codes: bool,
    /// Login names whose state here is forgotten first, whatever it is: the operator vouches that the
    /// authenticator of the backup is the right one.
    pub replace: &'t [String],
}

/// What became of a record of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restored {
    /// It is in force; the first code that is accepted is one of later than now.
    InForce,
    /// This host has the same authenticator: it stays, and what either had used is used.
    Merged,
    /// This host's own state stays, and why.
    Kept(&'static str),
}

/// Every enrolled user's authenticator as text, unsealed; with it whose record is refused and so left out.
///
/// # Errors
/// When the list of records cannot be had.
pub fn export<S: Store + ?Sized>(store: &S) -> Result<(Vec<Secret>, Vec<StoreError>), StoreError> {
    let (mut saved, mut refused) = (Vec::new(), Vec::new());
    for (_, record) in store.read_all()? {
        match record.and_then(|record| save(store, record)) {
            Ok(text) => saved.extend(text),
            Err(e) => refused.push(e),
        }
    }
    Ok((saved, refused))
}

fn save<S: Store + ?Sized>(store: &S, record: Record) -> Result<Option<Secret>, StoreError> {
    let who = record.who();
    let serial = store.serial(&who)?;
    let Some(factor) = record.into_active() else {
        return Ok(None);
    };
    let saved = Saved {
        host: store.host(),
        uid: who.uid,
        user: who.user,
        serial,
        factor,
    };
    // Sized beforehand, as a record is.
    let mut bytes = Zeroizing::new(Vec::with_capacity(crate::record::MAX_BYTES));
    serde_json::to_writer(&mut *bytes, &saved).map_err(|e| malformed(&e))?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    Ok(Some(Secret::new(text.to_owned())))
}

fn malformed(e: &serde_json::Error) -> StoreError {
    // Without what stands there: it is a secret.
    StoreError::NotABackup {
        line: e.line(),
        column: e.column(),
    }
}

/// Puts a record of a backup in force, as far as nothing moves backwards by it.
///
/// # Errors
/// When the text is no record of a backup, or this host's own cannot be read, trusted or made durable.
pub fn restore<S: Store + ?Sized>(
    store: &S,
    text: &Secret,
    now_unix_s: i64,
    terms: Terms<'_>,
) -> Result<(Who, Restored), StoreError> {
    let now_s = u64::try_from(now_unix_s).map_err(|_| StoreError::Clock)?;
    let saved: Saved = serde_json::from_str(text.expose()).map_err(|e| malformed(&e))?;
    if saved.factor.problem().is_some() || saved.serial > MOST_WRITES {
        return Err(StoreError::NotABackup { line: 1, column: 1 });
    }
    let Saved {
        host,
        uid,
        user,
        serial,
        mut factor,
    } = saved;
    let who = Who { uid, user };
    factor.use_up(now_s);
    let replaces = terms.replace.contains(&who.user);
    // One that cannot be read is nothing to go back to; any other is replaced in one step.
    if replaces {
        match store.read(&who) {
            Ok(_) => {}
            Err(StoreError::Record { .. } | StoreError::Untrusted { .. }) => store.forget(&who)?,
            Err(e) => return Err(e),
        }
    }
    let here = store.serial(&who)?;
    let stays = here > 0 && !replaces;
    let is_newer_here = host == store.host() && here > serial;
    let done = store.update(&who, |slot| {
        if replaces {
            *slot = None;
        }
        let record = match slot {
            // Numbers of two hosts cannot be compared: that it was written at all is enough.
            None if stays => {
                return Ok(Restored::Kept("it was reset here"));
            }
            None => slot.insert(Record::new(&who)),
            Some(record) if !record.is_enrolled() && stays => {
                return Ok(Restored::Kept(
                    "an enrolment or an invitation waits here for its user",
                ));
            }
            Some(record) => record,
        };
        // Beyond every number of the old host, so that no record of it fits here.
        Ok(
            record.restore(&factor, serial.max(here), is_newer_here, |factor| {
                if !terms.recovery_codes {
                    factor.void_recovery_codes(now_unix_s);
                }
            }),
        )
    })?;
    Ok((who, done))
}
