//! H3: a record of another time or another host is noticed, and so is a clock that was stepped back.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn put_back(t: &Temporary, saved: &[Vec<u8>]) {
    for (path, bytes) in files(t).iter().zip(saved) {
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

fn save(t: &Temporary) -> Vec<Vec<u8>> {
    files(t)
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect()
}

fn refused(store: &FileStore, typed: &str, at: i64) -> RecordError {
    match verify(store, &alice(), typed, at, &LIMITS) {
        Err(StoreError::Record { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn h3_yesterdays_record_is_refused_until_a_reset_and_a_new_enrolment() {
    let t = temporary();
    let (key, codes) = enrol(&t.store);
    let yesterday = save(&t);
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
    assert_eq!(ask(&t.store, &codes[0], NOW), recovery(9));
    put_back(&t, &yesterday[..1]);
    for typed in [
        &code(&key, NOW),
        &code(&key, NOW + 30),
        &codes[0],
        &codes[1],
    ] {
        let why = refused(&t.store, typed, NOW);
        assert!(
            matches!(why, RecordError::Restored { serial: 1, last: 3 }),
            "{why}"
        );
    }
    // A new process sees the same.
    let again = open(t.dir.path());
    assert!(refused(&again, &codes[1], NOW).is_replay());
    assert!(
        list(&again, NOW).unwrap()[0]
            .1
            .as_ref()
            .is_err_and(StoreError::is_replay)
    );
    assert!(begin_enrolment(&t.store, &alice(), "b", NOW, false).is_err());

    reset(&t.store, &alice()).unwrap();
    assert_eq!(ask(&t.store, &codes[1], NOW), Verdict::NotEnrolled);
    let (new, _) = enrol(&t.store);
    assert_eq!(ask(&t.store, &code(&new, NOW), NOW), totp());
}

#[test]
fn a_record_from_before_a_reset_is_never_good_again() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let before = save(&t);
    reset(&t.store, &alice()).unwrap();
    put_back(&t, &before[..1]);
    assert!(refused(&t.store, &code(&key, NOW), NOW).is_replay());
    reset(&t.store, &alice()).unwrap();
    enrol(&t.store);
    put_back(&t, &before[..1]);
    assert!(refused(&t.store, &code(&key, NOW), NOW).is_replay());
}

#[test]
fn an_old_watermark_or_none_is_noticed_too() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let first = save(&t);
    for step in 0..3 {
        let at = NOW + 30 * step;
        assert_eq!(ask(&t.store, &code(&key, at), at), totp());
    }
    let last = save(&t);
    let later = NOW + 300;
    let [_, watermark] = files(&t);
    fs::write(&watermark, &first[1]).unwrap();
    assert!(matches!(
        refused(&t.store, &code(&key, later), later),
        RecordError::Ahead { serial: 4, last: 1 }
    ));
    fs::remove_file(&watermark).unwrap();
    assert!(refused(&t.store, &code(&key, later), later).is_replay());
    fs::write(&watermark, "{").unwrap();
    assert!(verify(&t.store, &alice(), &code(&key, later), later, &LIMITS).is_err());
    put_back(&t, &last);
    assert_eq!(ask(&t.store, &code(&key, later), later), totp());
    // A watermark that cannot be read does not keep a reset from working, nor lets a copy back in.
    fs::write(&watermark, "{").unwrap();
    reset(&t.store, &alice()).unwrap();
    put_back(&t, &last[..1]);
    assert!(refused(&t.store, &code(&key, later), later).is_replay());
}

#[test]
fn h3_a_record_of_another_host_is_refused() {
    let (here, there) = (temporary(), temporary());
    let (key, codes) = enrol(&there.store);
    enrol(&here.store);
    // With both files, and although both hosts hold the same key.
    put_back(&here, &save(&there));
    for typed in [&code(&key, NOW), &codes[0]] {
        let why = refused(&here.store, typed, NOW);
        assert!(matches!(why, RecordError::OtherHosts { .. }), "{why}");
        assert!(why.is_replay());
    }
    reset(&here.store, &alice()).unwrap();
    let (new, _) = enrol(&here.store);
    assert_eq!(ask(&here.store, &code(&new, NOW), NOW), totp());
}

#[test]
fn the_identity_is_made_once_and_is_the_hosts_alone() {
    let t = temporary();
    let host = t.store.host();
    assert_eq!(open(t.dir.path()).host(), host);
    assert_ne!(temporary().store.host(), host);
    let path = t.dir.path().join("identity");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    for bad in ["", "{}", "{\"version\":2,\"host\":\"00\",\"sealed\":false}"] {
        fs::write(&path, bad).unwrap();
        assert!(FileStore::open(t.dir.path(), keys()).is_err(), "{bad}");
    }
}

#[test]
fn h3_a_clock_behind_the_last_accepted_code_is_told() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let behind = |at| status(&t.store, &alice(), at).unwrap().clock_behind_s;
    assert_eq!(behind(NOW - 86_400), None);
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
    for at in [NOW - 30, NOW, NOW + 600] {
        assert_eq!(behind(at), None, "within the window, or later");
    }
    let begins = NOW - NOW % 30;
    assert_eq!(
        behind(NOW - 86_400),
        Some(86_400_u64.strict_sub_signed(NOW - begins))
    );
    assert_eq!(
        ask(&t.store, &code(&key, NOW - 86_400), NOW - 86_400),
        Verdict::Replayed
    );
}

#[test]
fn every_write_has_the_next_number() {
    let t = temporary();
    assert_eq!(t.store.serial(&alice()).unwrap(), 0);
    let (key, codes) = enrol(&t.store);
    assert_eq!(t.store.serial(&alice()).unwrap(), 1);
    ask(&t.store, &code(&key, NOW), NOW);
    ask(&t.store, &codes[0], NOW);
    // Told again, which changes nothing.
    ask(&t.store, &codes[0], NOW);
    assert_eq!(t.store.serial(&alice()).unwrap(), 3);
    ask(&t.store, &wrong_code(&key, NOW), NOW);
    assert_eq!(t.store.serial(&alice()).unwrap(), 4);
    reset(&t.store, &alice()).unwrap();
    assert_eq!(t.store.serial(&alice()).unwrap(), 5);
    enrol(&t.store);
    assert_eq!(t.store.serial(&alice()).unwrap(), 6);
}
