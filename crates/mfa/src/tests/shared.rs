//! The same promises kept another way: rows in memory, replaced if their number is still the expected one.
//!
//! This is how a store shared by several bastions works, so what is told over
//! it shows that the trait is all that a store has to fulfil.

use super::*;
use crate::envelope::Envelope;
use crate::open_sessions::OpenSessions;
use crate::watermark::Watermark;
use std::collections::BTreeMap;
use std::sync::{Mutex, RwLock};

/// One row: the number of its last write, and the record, if there still is one.
#[derive(Debug, Clone, Default)]
struct Row {
    serial: u64,
    bytes: Option<Vec<u8>>,
}

#[derive(Debug)]
pub(super) struct Shared {
    host: HostId,
    keys: RwLock<KeyRing>,
    rows: Mutex<BTreeMap<u32, Row>>,
    sessions: OpenSessions,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            host: HostId::random().unwrap(),
            keys: RwLock::new(keys()),
            rows: Mutex::default(),
            sessions: OpenSessions::default(),
        }
    }
}

impl Shared {
    /// One in which alice's record stands already.
    pub(super) fn holding(record: &[u8]) -> Self {
        let store = Self::default();
        store.replace(70001, 0, Some(record.to_vec()), 0);
        store
    }

    /// Bytes of a record as it is kept.
    pub(super) fn size(&self, uid: u32) -> usize {
        self.row(uid).bytes.map_or(0, |bytes| bytes.len())
    }

    fn row(&self, uid: u32) -> Row {
        self.rows
            .lock()
            .unwrap()
            .get(&uid)
            .cloned()
            .unwrap_or_default()
    }

    /// The one atomic step: whether the row was as expected and is now the new one.
    fn replace(&self, uid: u32, expected: u64, bytes: Option<Vec<u8>>, serial: u64) -> bool {
        let mut rows = self.rows.lock().unwrap();
        let row = rows.entry(uid).or_default();
        let as_expected = row.serial == expected;
        if as_expected {
            *row = Row { serial, bytes };
        }
        as_expected
    }

    pub(super) fn with_envelope<T>(&self, act: impl FnOnce(&Envelope<'_>) -> T) -> T {
        act(&Envelope {
            host: self.host,
            keys: &self.keys.read().unwrap(),
            only_sealed: false,
        })
    }

    fn open(&self, uid: u32, row: &Row) -> Result<Option<Record>, StoreError> {
        let Some(bytes) = &row.bytes else {
            return Ok(None);
        };
        let opened = self.with_envelope(|envelope| envelope.open(bytes, uid));
        let admitted = opened.and_then(|opened| {
            let mark = Watermark::new(uid, row.serial, opened.record.accepted_s());
            Watermark::admits(Some(mark), opened.serial, opened.record.accepted_s())?;
            Ok(Some(opened.record))
        });
        admitted.map_err(|source| StoreError::Record {
            path: format!("row {uid}"),
            source,
        })
    }
}

impl Store for Shared {
    fn change(&self, who: &Who, change: &mut Change<'_>) -> Result<(), StoreError> {
        loop {
            let row = self.row(who.uid);
            let mut record = self.open(who.uid, &row)?;
            let body = |r: &Option<Record>| r.as_ref().map(|r| r.body_to_bytes().unwrap());
            let before = body(&record);
            change(&mut record)?;
            if body(&record) == before {
                return Ok(());
            }
            let after = record.as_ref().map_or(0, Record::after);
            let serial = row.serial.max(after) + 1;
            let bytes = record
                .map(|record| self.with_envelope(|e| e.close(&record, serial)))
                .transpose()?;
            let bytes = bytes.map(|bytes| bytes.to_vec());
            if self.replace(who.uid, row.serial, bytes, serial) {
                return Ok(());
            }
        }
    }

    fn read(&self, who: &Who) -> Result<Option<Record>, StoreError> {
        self.open(who.uid, &self.row(who.uid))
    }

    fn read_all(&self) -> Result<PerUser<Record>, StoreError> {
        let uids: Vec<u32> = self.rows.lock().unwrap().keys().copied().collect();
        let records = uids.into_iter().filter_map(|uid| {
            let record = self.open(uid, &self.row(uid)).transpose()?;
            Some((uid, record))
        });
        Ok(records.collect())
    }

    fn forget(&self, who: &Who) -> Result<(), StoreError> {
        loop {
            let serial = self.row(who.uid).serial;
            if self.replace(who.uid, serial, None, serial + 1) {
                return Ok(());
            }
        }
    }

    fn serial(&self, who: &Who) -> Result<u64, StoreError> {
        Ok(self.row(who.uid).serial)
    }

    fn host(&self) -> HostId {
        self.host
    }

    fn adopt(&self, host: HostId) -> Result<bool, StoreError> {
        Ok(self.host == host)
    }

    fn sealing(&self) -> Sealing {
        Sealing {
            keys: self.keys.read().unwrap().names(),
            only_sealed: false,
        }
    }

    fn rekey(&self, keys: KeyRing) -> Result<Resealed, StoreError> {
        *self.keys.write().unwrap() = keys;
        let mut done = Resealed::default();
        for (_, record) in self.read_all()? {
            let record = record?;
            let (who, row) = (record.who(), self.row(record.who().uid));
            let serial = row.serial + 1;
            let bytes = self.with_envelope(|e| e.close(&record, serial))?.to_vec();
            assert!(self.replace(who.uid, row.serial, Some(bytes), serial));
            done.sealed += 1;
        }
        self.keys.write().unwrap().keep_newest();
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
