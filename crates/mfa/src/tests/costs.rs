//! What a typed text costs, and who waits for it.

use super::*;
use crate::slow_hash::SLOW_HASHES;
use std::sync::atomic::{AtomicU32, Ordering};

const SLOW: [&str; 2] = ["abcd-efgh-jkmn-pqrs", "abcd-efgh-jkmn-pqrs-tuvw"];

/// Counts the slow hashes that are made while a record is held.
#[derive(Debug)]
struct Counting<'s> {
    store: &'s FileStore,
    held: AtomicU32,
}

impl Store for Counting<'_> {
    fn change(&self, who: &Who, change: &mut Change<'_>) -> Result<(), StoreError> {
        let before = SLOW_HASHES.get();
        let changed = self.store.change(who, change);
        let made = SLOW_HASHES.get() - before;
        self.held.fetch_add(made, Ordering::Relaxed);
        changed
    }
    fn read(&self, who: &Who) -> Result<Option<Record>, StoreError> {
        self.store.read(who)
    }
    fn read_all(&self) -> Result<PerUser<Record>, StoreError> {
        self.store.read_all()
    }
    fn forget(&self, who: &Who) -> Result<(), StoreError> {
        self.store.forget(who)
    }
    fn serial(&self, who: &Who) -> Result<u64, StoreError> {
        self.store.serial(who)
    }
    fn host(&self) -> HostId {
        self.store.host()
    }
    fn adopt(&self, host: HostId) -> Result<bool, StoreError> {
        self.store.adopt(host)
    }
    fn sealing(&self) -> Sealing {
        self.store.sealing()
    }
    fn rekey(&self, keys: KeyRing) -> Result<Resealed, StoreError> {
        self.store.rekey(keys)
    }
    fn open_session(&self, who: &Who, session: &str, most: usize) -> Result<Opening, StoreError> {
        self.store.open_session(who, session, most)
    }
    fn close_session(&self, who: &Who, session: &str) -> Result<(), StoreError> {
        self.store.close_session(who, session)
    }
    fn open_sessions(&self, who: &Who) -> Result<usize, StoreError> {
        self.store.open_sessions(who)
    }
}

/// Slow hashes of one question: all of them, and those with the record held.
fn of(store: &FileStore, typed: &str) -> (u32, u32) {
    let counting = Counting {
        store,
        held: AtomicU32::new(0),
    };
    let before = SLOW_HASHES.get();
    ask(&counting, typed, NOW);
    (SLOW_HASHES.get() - before, counting.held.into_inner())
}

#[test]
fn h10_what_is_not_looked_at_costs_as_much_and_holds_no_record() {
    let (unknown, enrolled, locked) = (temporary(), temporary(), temporary());
    enrol(&enrolled.store);
    enrol(&locked.store);
    while !matches!(ask(&locked.store, "no code", NOW), Verdict::Locked { .. }) {}
    for typed in SLOW {
        assert_eq!(of(&unknown.store, typed), (1, 0), "{typed}, not enrolled");
        assert_eq!(of(&locked.store, typed), (1, 0), "{typed}, locked out");
    }
    assert_eq!(of(&enrolled.store, SLOW[0]), (1, 1), "compared");
    assert_eq!(of(&enrolled.store, SLOW[1]), (1, 0), "nobody is invited");
    for t in [&unknown, &enrolled, &locked] {
        assert_eq!(of(&t.store, "123456"), (0, 0), "a code");
    }
}

#[test]
fn a_verdict_says_how_the_record_stood_then() {
    let t = temporary();
    let judged = |typed: &str, at| judge(&t.store, &alice(), &desk(), typed, at, &LIMITS).unwrap();
    assert_eq!(judged("123456", NOW).standing, None);
    let (key, _) = enrol(&t.store);
    let then = judged(&code(&key, NOW), NOW);
    assert_eq!(then.verdict, totp());
    assert_eq!(then.standing, standing(&t.store, &alice()).unwrap());
    // What comes after it is another standing.
    unlock(&t.store, &alice()).unwrap();
    assert_ne!(then.standing, standing(&t.store, &alice()).unwrap());
}
