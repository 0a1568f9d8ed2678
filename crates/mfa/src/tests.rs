//! Stories told over a real store in a temporary directory, and over one in memory.

mod concurrency;
mod crash;
mod faults;
mod properties;
mod stories;
mod throttling;

use crate::*;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;

const NOW: i64 = 1_795_000_000;

const LIMITS: Limits = Limits {
    attempts: 5,
    lockout: Duration::from_secs(900),
};

fn alice() -> Who {
    Who {
        uid: 70001,
        user: "alice".to_owned(),
    }
}

/// A store in a directory that is gone at the end of the test.
struct Temporary {
    store: FileStore,
    dir: TempDir,
}

fn temporary() -> Temporary {
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::open(dir.path().join("mfa")).unwrap();
    Temporary { store, dir }
}

/// Enrols alice at once and returns her key and recovery codes.
fn enrol<S: Store>(store: &S) -> (String, Vec<String>) {
    let new = begin_enrolment(store, &alice(), "bastion", NOW, false).unwrap();
    let codes = new.recovery_codes.iter().map(|c| c.expose().to_owned());
    (new.secret_base32.expose().to_owned(), codes.collect())
}

/// What alice's authenticator shows at `at`.
fn code(key: &str, at: i64) -> String {
    let code = code_at(key, &Params::default(), at.cast_unsigned()).unwrap();
    code.expose().to_owned()
}

/// A code that is wrong at `at`, whatever the clock skew.
fn wrong_code(key: &str, at: i64) -> String {
    let right = [-30, 0, 30].map(|skew| code(key, at + skew));
    (0..10)
        .map(|n| format!("{n:06}"))
        .find(|c| !right.contains(c))
        .unwrap()
}

/// Where alice works.
fn desk() -> Place {
    Place::new("SHA256:desk", "192.0.2.10".parse().unwrap())
}

/// [`crate::verify`] of what is typed at her desk.
fn verify<S: Store>(
    store: &S,
    who: &Who,
    typed: &str,
    at: i64,
    limits: &Limits,
) -> Result<Verdict, StoreError> {
    crate::verify(store, who, &desk(), typed, at, limits)
}

fn ask<S: Store>(store: &S, typed: &str, at: i64) -> Verdict {
    verify(store, &alice(), typed, at, &LIMITS).unwrap()
}

fn totp() -> Verdict {
    Verdict::Accepted {
        method: Method::Totp,
    }
}

fn recovery(left: u32) -> Verdict {
    Verdict::Accepted {
        method: Method::Recovery { left },
    }
}

/// The same promises kept another way: the trait is all that a store has to fulfil.
#[derive(Default)]
struct InMemory(Mutex<HashMap<u32, Vec<u8>>>);

impl Store for InMemory {
    fn update<T>(
        &self,
        who: &Who,
        mut change: impl FnMut(&mut Option<Record>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut all = self.0.lock().unwrap();
        let mut record = all.get(&who.uid).map(|b| Record::parse(b, who).unwrap());
        let result = change(&mut record)?;
        match record {
            Some(record) => all.insert(who.uid, record.to_bytes().unwrap().to_vec()),
            None => all.remove(&who.uid),
        };
        Ok(result)
    }

    fn read(&self, who: &Who) -> Result<Option<Record>, StoreError> {
        let all = self.0.lock().unwrap();
        Ok(all.get(&who.uid).map(|b| Record::parse(b, who).unwrap()))
    }

    fn read_all(&self) -> Result<PerUser<Record>, StoreError> {
        let all = self.0.lock().unwrap();
        let each = all.iter();
        Ok(each
            .map(|(uid, b)| (*uid, Ok(Record::parse_any(b, *uid).unwrap())))
            .collect())
    }
}
