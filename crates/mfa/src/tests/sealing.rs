//! What lies on disk is of no use without the key, and a new key takes over at every moment without a gap.

use super::*;
use std::fs;

fn new_ring() -> KeyRing {
    KeyRing::generate_before(keys()).unwrap()
}

#[test]
fn nothing_of_a_secret_is_on_disk() {
    let t = temporary();
    let (key, codes) = enrol(&t.store);
    ask(&t.store, &code(&key, NOW), NOW);
    for path in files(&t) {
        let text = fs::read_to_string(path).unwrap();
        for secret in [
            &key,
            &codes[0],
            "recovery",
            "salt",
            "SHA1",
            "SHA256:desk",
            "192.0.2.10",
        ] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn a_copy_of_the_records_is_useless_with_any_other_key_or_none() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    for keys in [KeyRing::none(), KeyRing::generate().unwrap()] {
        let thief = FileStore::open(t.dir.path(), keys).unwrap();
        let answer = verify(&thief, &alice(), &code(&key, NOW), NOW, &LIMITS);
        assert!(matches!(
            answer,
            Err(StoreError::Record {
                source: RecordError::NoKey(_),
                ..
            })
        ));
        assert!(begin_enrolment(&thief, &alice(), "b", NOW, false).is_err());
    }
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
}

#[test]
fn without_a_key_nobody_is_enrolled_and_who_was_enrolled_by_the_first_release_goes_on() {
    let t = temporary_without_key();
    let answer = begin_enrolment(&t.store, &alice(), "b", NOW, false);
    assert!(matches!(answer, Err(StoreError::NoKey { .. })));
    assert_eq!(ask(&t.store, "123456", NOW), Verdict::NotEnrolled);
    let key = plant_v1(&t);
    assert_eq!(ask(&t.store, &code(key, NOW), NOW), totp());
    assert_eq!(ask(&t.store, &code(key, NOW), NOW), Verdict::Replayed);
    // But nothing new of theirs is kept in the clear.
    for confirm in [true, false] {
        let answer = begin_enrolment(&t.store, &alice(), "b", NOW, confirm);
        assert!(matches!(answer, Err(StoreError::NoKey { .. })));
    }
    let answer = invite(&t.store, &alice(), NOW, NOW + 60);
    assert!(matches!(answer, Err(StoreError::NoKey { .. })));
    unlock(&t.store, &alice()).unwrap();
}

/// A record of the first release, and the key in it.
fn plant_v1(t: &Temporary) -> &'static str {
    let [record, _] = files(t);
    fs::write(&record, include_str!("record-v1.json")).unwrap();
    fs::set_permissions(&record, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    "O2L6OTEB2ODPTVKLCBKWJKMEZNC6NGWY"
}

#[test]
fn once_all_is_sealed_nothing_else_is_read() {
    let t = temporary_without_key();
    let key = plant_v1(&t);
    drop(t.store);
    let store = open(t.dir.path());
    let done = store.seal_all().unwrap();
    assert_eq!((done.sealed, done.current, done.refused.len()), (1, 0, 0));
    assert!(store.sealing().only_sealed);
    let t = Temporary { store, dir: t.dir };
    let [record, watermark] = files(&t);
    assert!(!fs::read_to_string(&record).unwrap().contains(key));
    assert_eq!(ask(&t.store, &code(key, NOW), NOW), totp());
    // One in the clear is not taken any more, not even where nothing is remembered of its user.
    fs::remove_file(watermark).unwrap();
    plant_v1(&t);
    let error = verify(&t.store, &alice(), &code(key, NOW + 60), NOW + 60, &LIMITS).unwrap_err();
    assert!(error.is_replay(), "{error}");
    // And without its key such a host keeps nothing in the clear.
    let lost = FileStore::open(t.dir.path(), KeyRing::none()).unwrap();
    assert!(begin_enrolment(&lost, &alice(), "b", NOW, false).is_err());
}

#[test]
fn a_new_key_takes_over_every_record_and_the_old_one_is_forgotten() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let ring = new_ring();
    let text = ring.to_text();
    let done = t.store.rekey(ring).unwrap();
    assert_eq!((done.sealed, done.current, done.refused.len()), (1, 0, 0));
    assert_eq!(t.store.sealing().keys.len(), 1);
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
    // The old key opens nothing any more; the new one does, alone or with the old one.
    assert!(open(t.dir.path()).read(&alice()).is_err());
    let mut newest = KeyRing::parse(text.expose()).unwrap();
    newest.keep_newest();
    for keys in [newest, KeyRing::parse(text.expose()).unwrap()] {
        let again = FileStore::open(t.dir.path(), keys).unwrap();
        assert!(again.read(&alice()).unwrap().is_some());
        assert_eq!(again.seal_all().unwrap().current, 1);
    }
}

#[test]
fn a_key_ring_without_the_key_in_use_is_refused() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    // Known beforehand by its name, so that nothing is written for it.
    assert!(keys().has(&t.store.sealing().keys));
    assert!(new_ring().has(&t.store.sealing().keys));
    for ring in [KeyRing::none(), KeyRing::generate().unwrap()] {
        assert!(!ring.has(&t.store.sealing().keys));
        assert!(matches!(t.store.rekey(ring), Err(StoreError::KeysMissing)));
    }
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
}

#[test]
fn codes_are_accepted_once_while_keys_change() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    std::thread::scope(|scope| {
        let rekeyed = scope.spawn(|| {
            let mut text = keys().to_text();
            for _ in 0..10 {
                let mut ring =
                    KeyRing::generate_before(KeyRing::parse(text.expose()).unwrap()).unwrap();
                t.store
                    .rekey(KeyRing::parse(ring.to_text().expose()).unwrap())
                    .unwrap();
                ring.keep_newest();
                text = ring.to_text();
            }
        });
        for step in 0..40 {
            let at = NOW + 30 * step;
            assert_eq!(ask(&t.store, &code(&key, at), at), totp());
            assert_eq!(ask(&t.store, &code(&key, at), at), Verdict::Replayed);
        }
        rekeyed.join().unwrap();
    });
}

#[test]
fn old_keys_stay_while_a_record_that_could_be_mended_needs_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let [record, _] = files(&t);
    let mode = |mode| fs::set_permissions(&record, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let ring = new_ring().to_text();
    let done = t
        .store
        .rekey(KeyRing::parse(ring.expose()).unwrap())
        .unwrap();
    assert!(done.unfinished && done.refused.len() == 1);
    assert_eq!(
        (t.store.sealing().keys.len(), t.store.sealing().only_sealed),
        (2, false)
    );
    mode(0o600);
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
    let done = t
        .store
        .rekey(KeyRing::parse(ring.expose()).unwrap())
        .unwrap();
    assert!(!done.unfinished && done.refused.is_empty());
    assert_eq!(
        (t.store.sealing().keys.len(), t.store.sealing().only_sealed),
        (1, true)
    );
    assert_eq!(ask(&t.store, &code(&key, NOW + 30), NOW + 30), totp());
}

#[test]
fn a_rekey_that_a_restart_interrupted_is_seen_until_it_is_finished() {
    let t = temporary();
    enrol(&t.store);
    let again = FileStore::open(t.dir.path(), new_ring()).unwrap();
    assert_eq!(again.seal_all().unwrap().sealed, 1);
    // The file has both keys, too.
    assert_eq!(again.sealing().keys.len(), 2);
}
