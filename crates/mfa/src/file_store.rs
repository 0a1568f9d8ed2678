//! Records as files: `mfa/<uid>.json` beside its companion lock `<uid>.lock`, and `watermarks/<uid>`.
//!
//! The order is always lock, read, change, persist, unlock. To persist is to
//! write and flush a new record and a new watermark beside the old ones, then
//! to rename the record and flush its directory, then the same with the
//! watermark (see `watermark.rs` for why in this order): after a crash at any
//! point the record is the old one or the new one. The lock is a file of its
//! own, never removed, because a lock on the record would be left behind on
//! the file that the rename replaces.
//!
//! Nothing that lies in the directories is trusted for being there: every open
//! refuses links, does not wait on a FIFO, and what was opened must be a
//! regular file of this process's user that nobody else can read or write.

pub(crate) mod fault;
mod files;
mod identity;
mod lock;

use crate::envelope::{self, Envelope};
use crate::host_id::HostId;
use crate::keys::KeyRing;
use crate::open_sessions::OpenSessions;
use crate::record::{MAX_BYTES, Record, RecordError};
use crate::store::{Change, Opening, PerUser, Resealed, Sealing, Store, StoreError, Who};
use crate::watermark::{self, Watermark};
use files::{Dir, Others};
use identity::Identity;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use zeroize::Zeroizing;

pub use lock::LOCK_WAIT;

/// Records in local directories.
#[derive(Debug)]
pub struct FileStore {
    state: PathBuf,
    records: PathBuf,
    watermarks: PathBuf,
    inner: RwLock<Inner>,
    sessions: OpenSessions,
}

/// What can change while the store is in use.
#[derive(Debug)]
struct Inner {
    identity: Identity,
    keys: KeyRing,
}

impl Inner {
    fn envelope(&self) -> Envelope<'_> {
        Envelope {
            host: self.identity.host,
            keys: &self.keys,
            only_sealed: self.identity.sealed,
        }
    }
}

/// The directories, open, and the file names of one user.
struct Place {
    records: Dir,
    watermarks: Dir,
    uid: u32,
    record: String,
    watermark: String,
    lock: String,
    /// The record or watermark being written; only ever touched under the lock.
    fresh: String,
}

/// What is there of one user.
struct Found {
    record: Option<Record>,
    /// Whether it would be sealed in the same way again.
    current: bool,
    at: At,
}

/// How far a record has come.
#[derive(Clone, Copy)]
struct At {
    /// The number in the watermark; 0 without one.
    mark: u64,
    /// The record's own; 0 without one.
    serial: u64,
    /// Where the record's last accepted step begins.
    accepted_s: Option<u64>,
}

impl Place {
    fn lock(&self) -> Result<lock::Held, StoreError> {
        self.records.lock(&self.lock)
    }

    fn mark(&self) -> Result<Option<Watermark>, StoreError> {
        let bytes = self
            .watermarks
            .read(&self.watermark, watermark::MAX_BYTES)?;
        bytes
            .map(|bytes| Watermark::parse(&bytes, self.uid))
            .transpose()
            .map_err(|source| self.watermarks.bad(&self.watermark, source))
    }

    fn bytes(&self) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.records.read(&self.record, MAX_BYTES)
    }

    fn bad(&self, source: RecordError) -> StoreError {
        self.records.bad(&self.record, source)
    }

    /// The record, if it is sound, of this host, and the one that was written last.
    fn load(&self, envelope: &Envelope<'_>) -> Result<Found, StoreError> {
        // The watermark first: it follows the record, so that a write meanwhile shows as one ahead.
        let mark = self.mark()?;
        let bytes = self.bytes()?;
        let opened = bytes
            .map(|bytes| {
                let opened = envelope.open(&bytes, self.uid)?;
                Watermark::admits(mark, opened.serial, opened.record.accepted_s())?;
                Ok(opened)
            })
            .transpose()
            .map_err(|source| self.bad(source))?;
        let at = At {
            mark: mark.map_or(0, |mark| mark.serial),
            serial: opened.as_ref().map_or(0, |opened| opened.serial),
            accepted_s: opened.as_ref().and_then(|o| o.record.accepted_s()),
        };
        Ok(Found {
            current: opened.as_ref().is_some_and(|opened| opened.current),
            record: opened.map(|opened| opened.record),
            at,
        })
    }

    fn load_of(&self, envelope: &Envelope<'_>, who: &Who) -> Result<Found, StoreError> {
        let found = self.load(envelope)?;
        match &found.record {
            Some(record) if record.who() != *who => Err(self.somebody_elses(record.who(), who)),
            _ => Ok(found),
        }
    }

    fn somebody_elses(&self, found: Who, wanted: &Who) -> StoreError {
        self.bad(RecordError::SomebodyElses {
            found,
            wanted: wanted.clone(),
        })
    }

    /// Puts the record that follows in its place, durably. The caller holds the lock.
    fn write(&self, envelope: &Envelope<'_>, at: At, record: &Record) -> Result<(), StoreError> {
        if at.serial > at.mark {
            // A crash left the watermark behind: it is never more than one behind.
            self.prepare_mark(Watermark::new(self.uid, at.serial, at.accepted_s))?;
            self.put_mark()?;
        }
        let mut serial = watermark::after(Some(at.mark), Some(at.serial));
        if record.after() >= serial {
            // The watermark first: a crash then leaves no record that is ahead of it.
            self.prepare_mark(Watermark::new(self.uid, record.after(), at.accepted_s))?;
            self.put_mark()?;
            serial = watermark::after(Some(record.after()), None);
        }
        let bytes = envelope.close(record, serial)?;
        self.prepare_mark(Watermark::new(self.uid, serial, record.accepted_s()))?;
        self.records
            .prepare(&self.fresh, &bytes)
            .inspect_err(|_| self.watermarks.discard(&self.fresh))?;
        self.records
            .put(&self.fresh, &self.record)
            .inspect_err(|_| {
                self.records.discard(&self.fresh);
                self.watermarks.discard(&self.fresh);
            })?;
        self.put_mark()
    }

    /// Removes the record for good: first its number is used up. The caller holds the lock.
    fn remove(&self, serial: u64) -> Result<(), StoreError> {
        self.prepare_mark(Watermark::new(self.uid, serial, None))?;
        self.put_mark()?;
        self.records.remove(&self.record)
    }

    fn prepare_mark(&self, mark: Watermark) -> Result<(), StoreError> {
        let bytes = mark
            .to_bytes()
            .map_err(|source| self.watermarks.bad(&self.watermark, source))?;
        self.watermarks.prepare(&self.fresh, &bytes)
    }

    fn put_mark(&self) -> Result<(), StoreError> {
        self.watermarks
            .put(&self.fresh, &self.watermark)
            .inspect_err(|_| self.watermarks.discard(&self.fresh))
    }
}

impl FileStore {
    /// Uses `mfa` and `watermarks` in the directory `state`, with these keys; makes what is missing
    /// (mode 0700), and the host's identity. `state` must be there and be this process's user's.
    ///
    /// # Errors
    /// When something cannot be made, or is not this process's user's alone.
    pub fn open(state: impl Into<PathBuf>, keys: KeyRing) -> Result<Self, StoreError> {
        let state = state.into();
        let [records, watermarks] = ["mfa", "watermarks"].map(|name| state.join(name));
        for path in [&records, &watermarks] {
            Dir::make(path)?;
            Dir::open(path, Others::Shut)?;
        }
        let identity = Identity::of(&state)?;
        Ok(Self {
            state,
            records,
            watermarks,
            inner: RwLock::new(Inner { identity, keys }),
            sessions: OpenSessions::default(),
        })
    }

    /// Where the records lie.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.records
    }

    fn inner(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opened anew each time: a store that was moved away or unmounted is noticed.
    fn place(&self, uid: u32) -> Result<Place, StoreError> {
        Ok(Place {
            records: Dir::open(&self.records, Others::Shut)?,
            watermarks: Dir::open(&self.watermarks, Others::Shut)?,
            uid,
            record: format!("{uid}.json"),
            watermark: uid.to_string(),
            lock: format!("{uid}.lock"),
            fresh: format!("{uid}.new"),
        })
    }

    /// Reads without the lock: a rename shows the old record or the new one.
    fn look(&self, uid: u32) -> Result<Option<Record>, StoreError> {
        let place = self.place(uid)?;
        let inner = self.inner();
        let envelope = inner.envelope();
        let seen = place.load(&envelope).or_else(|_| {
            // Between its two files two others may have been written: look again while nobody writes.
            let _held = place.lock()?;
            place.load(&envelope)
        });
        Ok(seen?.record)
    }

    fn uids(&self) -> Result<Vec<u32>, StoreError> {
        Dir::open(&self.records, Others::Shut)?.uids()
    }

    /// Seals one record with the first key; whether it was sealed otherwise.
    fn seal_one(&self, uid: u32) -> Result<bool, StoreError> {
        let place = self.place(uid)?;
        let inner = self.inner();
        let envelope = inner.envelope();
        let _held = place.lock()?;
        let found = place.load(&envelope)?;
        match &found.record {
            Some(record) if !found.current => {
                place.write(&envelope, found.at, record)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Seals with the first key what is sealed otherwise or not at all; from then on nothing is read that
    /// is not sealed. Where a record could be mended and is not sealed anew, it may still be read unsealed.
    ///
    /// The other keys stay: until [`Store::rekey`] they are in the file as well.
    ///
    /// # Errors
    /// When there is no key, or a record could not be written; some are sealed anew then.
    pub fn seal_all(&self) -> Result<Resealed, StoreError> {
        if self.inner().keys.is_empty() {
            let path = self.records.display().to_string();
            return Err(StoreError::NoKey { path });
        }
        let mut done = Resealed::default();
        for uid in self.uids()? {
            match self.seal_one(uid) {
                Ok(true) => done.sealed += 1,
                Ok(false) => done.current += 1,
                Err(e @ (StoreError::Record { .. } | StoreError::Untrusted { .. })) => {
                    done.unfinished |= !is_final(&e);
                    done.refused.push((uid, e));
                }
                Err(e) => return Err(e),
            }
        }
        if !done.unfinished {
            let identity = Identity::change(&self.state, |identity| identity.sealed = true)?;
            let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
            inner.identity = identity;
        }
        Ok(done)
    }
}

/// Whether the keys at hand will never be of use for a record that is refused so.
fn is_final(e: &StoreError) -> bool {
    let no_key = |source: &RecordError| matches!(source, RecordError::NoKey(_));
    e.is_replay() || matches!(e, StoreError::Record { source, .. } if no_key(source))
}

impl Store for FileStore {
    fn change(&self, who: &Who, change: &mut Change<'_>) -> Result<(), StoreError> {
        let place = self.place(who.uid)?;
        let inner = self.inner();
        let envelope = inner.envelope();
        let _held = place.lock()?;
        let mut found = place.load_of(&envelope, who)?;
        let to_bytes = |record: &Record| {
            record
                .body_to_bytes()
                .map_err(|e| place.bad(RecordError::Malformed(e)))
        };
        let mut record = found.record.take();
        let secrets = |record: &Option<Record>| {
            let all = record.as_ref().map(Record::secrets).transpose();
            all.map(Option::unwrap_or_default)
                .map_err(|e| place.bad(RecordError::Malformed(e)))
        };
        let before = record.as_ref().map(to_bytes).transpose()?;
        let known = secrets(&record)?;
        change(&mut record)?;
        let keeps_new = (before.is_none() && record.is_some())
            || secrets(&record)?
                .iter()
                .any(|secret| !known.contains(secret));
        if keeps_new && inner.keys.is_empty() {
            // What a release without seals left behind stays in use; nothing new is kept in the clear.
            let path = format!("the record of {who}");
            return Err(StoreError::NoKey { path });
        }
        match &record {
            Some(after) if before.as_ref() != Some(&to_bytes(after)?) => {
                place.write(&envelope, found.at, after)
            }
            None if before.is_some() => {
                let At { mark, serial, .. } = found.at;
                place.remove(watermark::after(Some(mark), Some(serial)))
            }
            _ => Ok(()),
        }
    }

    fn read(&self, who: &Who) -> Result<Option<Record>, StoreError> {
        match self.look(who.uid)? {
            Some(record) if record.who() != *who => {
                Err(self.place(who.uid)?.somebody_elses(record.who(), who))
            }
            record => Ok(record),
        }
    }

    fn read_all(&self) -> Result<PerUser<Record>, StoreError> {
        let mut records = Vec::new();
        for uid in self.uids()? {
            match self.look(uid) {
                Ok(Some(record)) => records.push((uid, Ok(record))),
                // Reset while we looked.
                Ok(None) => {}
                Err(e) => records.push((uid, Err(e))),
            }
        }
        Ok(records)
    }

    fn forget(&self, who: &Who) -> Result<(), StoreError> {
        let place = self.place(who.uid)?;
        let _held = place.lock()?;
        let Some(bytes) = place.bytes()? else {
            return Ok(());
        };
        let outside = envelope::outside(&bytes);
        if let Some((found, _)) = &outside
            && found.uid == who.uid
            && found.user != who.user
        {
            return Err(place.somebody_elses(found.clone(), who));
        }
        // One that cannot be read has still been written over and over.
        let mark = match place.mark() {
            Ok(mark) => Some(mark.map_or(0, |mark| mark.serial)),
            Err(StoreError::Record { .. }) => None,
            Err(e) => return Err(e),
        };
        place.remove(watermark::after(mark, outside.map(|(_, serial)| serial)))
    }

    fn serial(&self, who: &Who) -> Result<u64, StoreError> {
        let place = self.place(who.uid)?;
        let _held = place.lock()?;
        let mark = place.mark()?.map_or(0, |mark| mark.serial);
        let record = place.bytes()?.and_then(|bytes| envelope::outside(&bytes));
        Ok(record.map_or(mark, |(_, serial)| serial.max(mark)))
    }

    fn host(&self) -> HostId {
        self.inner().identity.host
    }

    fn adopt(&self, host: HostId) -> Result<bool, StoreError> {
        // Nobody writes a record meanwhile.
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let unused = [&self.records, &self.watermarks]
            .into_iter()
            .map(|path| Dir::open(path, Others::Shut)?.uids())
            .collect::<Result<Vec<_>, _>>()?
            .concat()
            .is_empty();
        if unused {
            inner.identity = Identity::change(&self.state, |identity| identity.host = host)?;
        }
        Ok(inner.identity.host == host)
    }

    fn sealing(&self) -> Sealing {
        let inner = self.inner();
        Sealing {
            keys: inner.keys.names(),
            only_sealed: inner.identity.sealed,
        }
    }

    fn rekey(&self, keys: KeyRing) -> Result<Resealed, StoreError> {
        {
            let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
            if keys.is_empty() || !keys.holds_all_of(&inner.keys) {
                return Err(StoreError::KeysMissing);
            }
            inner.keys = keys;
        }
        let done = self.seal_all()?;
        if !done.unfinished {
            let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
            inner.keys.keep_newest();
        }
        Ok(done)
    }

    fn open_session(&self, who: &Who, session: &str, most: usize) -> Result<Opening, StoreError> {
        Ok(self.sessions.open(who, session, most))
    }

    fn close_session(&self, who: &Who, session: &str) -> Result<(), StoreError> {
        self.sessions.close(who, session);
        Ok(())
    }

    fn open_sessions(&self, who: &Who) -> Result<usize, StoreError> {
        Ok(self.sessions.count(who))
    }
}
