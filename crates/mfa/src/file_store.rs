//! Records as files: `<uid>.json` beside its companion lock `<uid>.lock`, in one directory of jumpd's.
//!
//! The order is always lock, read, change, persist, unlock. To persist is to
//! write a new file, fsync it, rename it over the record and fsync the
//! directory: after a crash at any point the record is the old one or the new
//! one. The lock is a file of its own, never removed, because a lock on the
//! record would be left behind on the file that the rename replaces.
//!
//! Nothing that lies in the directory is trusted for being there: every open
//! refuses links, does not wait on a FIFO, and what was opened must be a
//! regular file of this process's user that nobody else can read or write.

mod files;
mod lock;

use crate::record::{MAX_BYTES, Record, RecordError};
use crate::store::{PerUser, Store, StoreError, Who};
use files::{Dir, Names};
use std::path::{Path, PathBuf};

pub use lock::LOCK_WAIT;

/// Records in a local directory.
#[derive(Debug, Clone)]
pub struct FileStore {
    path: PathBuf,
}

impl FileStore {
    /// Uses the directory at `path`; makes it (mode 0700) when it is not there, its parent must be.
    ///
    /// # Errors
    /// When it cannot be made, or is not a directory of this process's user alone.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        Dir::make(&path)?;
        Dir::open(&path)?;
        Ok(Self { path })
    }

    /// Where the records lie.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn load(dir: &Dir, names: &Names, uid: u32) -> Result<Option<Record>, StoreError> {
        let Some(bytes) = dir.read(&names.record, MAX_BYTES)? else {
            return Ok(None);
        };
        match Record::parse_any(&bytes, uid) {
            Ok(record) => Ok(Some(record)),
            Err(source) => Err(dir.bad_record(names, source)),
        }
    }

    fn load_of(dir: &Dir, names: &Names, who: &Who) -> Result<Option<Record>, StoreError> {
        let record = Self::load(dir, names, who.uid)?;
        match record {
            Some(record) if record.who() != *who => Err(dir.bad_record(
                names,
                RecordError::SomebodyElses {
                    found: record.who(),
                    wanted: who.clone(),
                },
            )),
            record => Ok(record),
        }
    }
}

impl Store for FileStore {
    fn update<T>(
        &self,
        who: &Who,
        mut change: impl FnMut(&mut Option<Record>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let names = Names::of(who.uid);
        // Opened anew each time: a store that was moved away or unmounted is noticed.
        let dir = Dir::open(&self.path)?;
        let _held = dir.lock(&names)?;
        let mut record = Self::load_of(&dir, &names, who)?;
        let to_bytes = |record: &Record| {
            record
                .to_bytes()
                .map_err(|source| dir.bad_record(&names, source))
        };
        let before = record.as_ref().map(to_bytes).transpose()?;
        let result = change(&mut record)?;
        let after = record.as_ref().map(to_bytes).transpose()?;
        match after {
            Some(after) if before.as_ref() != Some(&after) => dir.replace(&names, &after)?,
            None if before.is_some() => dir.remove(&names)?,
            _ => {}
        }
        Ok(result)
    }

    fn read(&self, who: &Who) -> Result<Option<Record>, StoreError> {
        // No lock: a rename shows the old record or the new one.
        Self::load_of(&Dir::open(&self.path)?, &Names::of(who.uid), who)
    }

    fn read_all(&self) -> Result<PerUser<Record>, StoreError> {
        let dir = Dir::open(&self.path)?;
        let mut records = Vec::new();
        for uid in dir.uids()? {
            match Self::load(&dir, &Names::of(uid), uid) {
                Ok(Some(record)) => records.push((uid, Ok(record))),
                // Reset while we looked.
                Ok(None) => {}
                Err(e) => records.push((uid, Err(e))),
            }
        }
        Ok(records)
    }
}
