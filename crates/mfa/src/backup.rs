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
/// With `recovery_codes` those not used by then are good again: only where the
/// old host accepted nothing after the backup was made.
///
/// # Errors
/// When the text is no record of a backup, or this host's own cannot be read, trusted or made durable.
pub fn restore<S: Store + ?Sized>(
    store: &S,
    text: &Secret,
    now_unix_s: i64,
    recovery_codes: bool,
) -> Result<(Who, Restored), StoreError> {
    let now_s = u64::try_from(now_unix_s).map_err(|_| StoreError::Clock)?;
    let saved: Saved = serde_json::from_str(text.expose()).map_err(|e| malformed(&e))?;
    if saved.factor.problem().is_some() {
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
    if !recovery_codes {
        factor.void_recovery_codes(now_unix_s);
    }
    // A number of this host that is higher without a record: it was reset since.
    let is_newer_here = host == store.host() && store.serial(&who)? > serial;
    let done = store.update(&who, |slot| {
        let record = match slot {
            None if is_newer_here => {
                return Ok(Restored::Kept(
                    "it was reset here after the backup was made",
                ));
            }
            None => slot.insert(Record::new(&who)),
            Some(record) => record,
        };
        Ok(record.restore(&factor, is_newer_here))
    })?;
    Ok((who, done))
}
