//! Stories told over a real store in a temporary directory, and over one that bastions could share.

mod backups;
mod concurrency;
mod costs;
mod crash;
mod every_call;
mod faults;
mod invitations;
mod properties;
mod replays;
mod sealing;
mod shared;
mod stories;
mod throttling;

use crate::*;
use jump_proto::Secret;
use shared::Shared;
use std::path::PathBuf;
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
    let store = open(dir.path());
    Temporary { store, dir }
}

/// One on a host that was never set up, and so has no key.
fn temporary_without_key() -> Temporary {
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::open(dir.path(), KeyRing::none()).unwrap();
    Temporary { store, dir }
}

/// The one key of all tests, which processes share.
const KEY: &str =
    "0011223344556677:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";

fn keys() -> KeyRing {
    KeyRing::parse(KEY).unwrap()
}

fn open(state: impl Into<PathBuf>) -> FileStore {
    FileStore::open(state, keys()).unwrap()
}

/// Alice's record and watermark.
fn files(t: &Temporary) -> [PathBuf; 2] {
    ["mfa/70001.json", "watermarks/70001"].map(|name| t.dir.path().join(name))
}

/// Enrols alice at once and returns her key and recovery codes.
fn enrol<S: Store + ?Sized>(store: &S) -> (String, Vec<String>) {
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
fn verify<S: Store + ?Sized>(
    store: &S,
    who: &Who,
    typed: &str,
    at: i64,
    limits: &Limits,
) -> Result<Verdict, StoreError> {
    crate::verify(store, who, &desk(), typed, at, limits)
}

fn ask<S: Store + ?Sized>(store: &S, typed: &str, at: i64) -> Verdict {
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
