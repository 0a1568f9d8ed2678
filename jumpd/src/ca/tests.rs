//! The CA: made once, turned in two steps, sealed anew, and never used where it cannot be read.

use super::*;

fn terms<'a>(sources: &'a [ipnet::IpNet]) -> Terms<'a> {
    Terms {
        key_id: "id",
        principal: "admin",
        valid_after: 1,
        valid_before: 2,
        sources,
        nonce: [0; 32],
    }
}

fn signs(ca: &Ca) -> bool {
    let subject = PrivateKey::from_seed(&[7; SEED]).public();
    let sources = ["192.0.2.1/32".parse().unwrap()];
    ca.certify(&subject, &terms(&sources)).is_ok()
}

fn again(text: &str) -> KeyRing {
    KeyRing::parse(text).unwrap()
}

#[test]
fn without_sealing_there_is_no_ca() {
    let state = tempfile::tempdir().unwrap();
    let place = state.path().join("ca");
    let ca = Ca::open(&place, KeyRing::none());
    assert!(matches!(ca.init(|_| true), Err(CaError::NoSealing)));
    assert!(!place.exists() && !ca.can_sign() && !signs(&ca));
}

#[test]
fn it_is_made_once_and_known_after_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let place = state.path().join("ca");
    let keys = KeyRing::generate().unwrap().to_text();
    let ca = Ca::open(&place, again(keys.expose()));
    assert_eq!(ca.show().unwrap(), CaKeys::default());
    assert!(matches!(ca.init(|_| false), Err(CaError::Unheard)));
    assert!(!ca.can_sign(), "nothing is made that no event tells of");
    ca.init(|_| true).unwrap();
    assert!(matches!(ca.init(|_| true), Err(CaError::Already)));
    let shown = ca.show().unwrap();
    assert!(shown.current.as_ref().unwrap().starts_with("ssh-ed25519 "));

    let after = Ca::open(&place, again(keys.expose()));
    assert_eq!(after.show().unwrap(), shown);
    assert!(signs(&after));
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&place), mode(&place.join(FILE))), (0o700, 0o600));
}

#[test]
fn with_other_keys_or_a_changed_file_it_signs_nothing_and_is_not_made_anew() {
    let state = tempfile::tempdir().unwrap();
    let keys = KeyRing::generate().unwrap().to_text();
    let ca = Ca::open(state.path(), again(keys.expose()));
    ca.init(|_| true).unwrap();
    let strange = Ca::open(state.path(), KeyRing::generate().unwrap());
    assert!(!strange.can_sign() && !signs(&strange));
    assert!(matches!(strange.init(|_| true), Err(CaError::Broken(_))));

    let file = state.path().join(FILE);
    let whole = std::fs::read(&file).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&file, &whole[..length]).unwrap();
        assert!(
            !Ca::open(state.path(), again(keys.expose())).can_sign(),
            "{length}"
        );
    }
    // Another public key over the same private one.
    let other = PrivateKey::from_seed(&[9; SEED]).public().to_string();
    let text = String::from_utf8(whole).unwrap();
    let public = ca.show().unwrap().current.unwrap();
    std::fs::write(&file, text.replace(&public, &other)).unwrap();
    assert!(!Ca::open(state.path(), again(keys.expose())).can_sign());
}

#[test]
fn a_rotation_signs_with_the_old_key_until_it_is_finished() {
    let state = tempfile::tempdir().unwrap();
    let keys = KeyRing::generate().unwrap().to_text();
    let ca = Ca::open(state.path(), again(keys.expose()));
    assert!(matches!(ca.rotate(false, |_| true), Err(CaError::None)));
    ca.init(|_| true).unwrap();
    let first = ca.show().unwrap().current;
    assert!(matches!(ca.rotate(true, |_| true), Err(CaError::NoNext)));
    ca.rotate(false, |_| true).unwrap();
    let turning = ca.show().unwrap();
    assert_eq!(turning.current, first);
    assert!(turning.next.is_some() && turning.next != first);
    assert!(matches!(
        ca.rotate(false, |_| true),
        Err(CaError::NextIsThere)
    ));
    ca.rotate(true, |_| true).unwrap();
    let done = ca.show().unwrap();
    assert_eq!((&done.current, &done.previous), (&turning.next, &first));
    assert_eq!(done.next, None);
    assert_eq!(
        Ca::open(state.path(), again(keys.expose())).show().unwrap(),
        done
    );
}

#[test]
fn a_rekey_seals_it_anew() {
    let state = tempfile::tempdir().unwrap();
    let old = KeyRing::generate().unwrap();
    let (old_text, both) = (old.to_text(), KeyRing::generate_before(old).unwrap());
    let mut newest = again(both.to_text().expose());
    newest.keep_newest();
    let ca = Ca::open(state.path(), again(old_text.expose()));
    ca.init(|_| true).unwrap();
    ca.rotate(false, |_| true).unwrap();
    assert!(
        ca.rekey(again(newest.to_text().expose())).is_err(),
        "the old key is missing"
    );
    ca.rekey(again(both.to_text().expose())).unwrap();
    assert!(signs(&ca));
    assert!(Ca::open(state.path(), again(newest.to_text().expose())).can_sign());
    assert!(!Ca::open(state.path(), again(old_text.expose())).can_sign());
    // The old key may go, and so the next rekey need not bring it.
    ca.keep_newest_key();
    let third = KeyRing::generate_before(newest).unwrap();
    ca.rekey(again(third.to_text().expose())).unwrap();
    assert!(signs(&ca));
}

#[test]
fn a_rekey_waits_until_the_file_can_be_read() {
    let state = tempfile::tempdir().unwrap();
    let old = KeyRing::generate().unwrap();
    let (old_text, both) = (old.to_text(), KeyRing::generate_before(old).unwrap());
    let both = || again(both.to_text().expose());
    Ca::open(state.path(), again(old_text.expose()))
        .init(|_| true)
        .unwrap();
    let (file, away) = (state.path().join(FILE), state.path().join("away"));
    // Reading a directory is an error of the disk's, as far as can be seen.
    std::fs::rename(&file, &away).unwrap();
    std::fs::create_dir(&file).unwrap();
    let ca = Ca::open(state.path(), again(old_text.expose()));
    assert!(!ca.can_sign());
    assert!(matches!(ca.rekey(both()), Err(CaError::Broken(_))));
    std::fs::remove_dir(&file).unwrap();
    std::fs::rename(&away, &file).unwrap();
    ca.rekey(both()).unwrap();
    assert!(signs(&ca));
    let mut newest = both();
    newest.keep_newest();
    assert!(Ca::open(state.path(), newest).can_sign());
}

#[test]
fn a_rekey_leaves_a_file_that_no_key_opens_and_none_that_one_opens_in_part() {
    let keys = KeyRing::generate().unwrap().to_text();
    let rekeyed = |change: fn(&mut serde_json::Value)| {
        let state = tempfile::tempdir().unwrap();
        let ca = Ca::open(state.path(), again(keys.expose()));
        ca.init(|_| true).unwrap();
        ca.rotate(false, |_| true).unwrap();
        let file = state.path().join(FILE);
        let mut book = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        change(&mut book);
        let text = serde_json::to_vec(&book).unwrap();
        std::fs::write(&file, &text).unwrap();
        let ca = Ca::open(state.path(), again(keys.expose()));
        assert!(!ca.can_sign());
        let both = KeyRing::generate_before(again(keys.expose())).unwrap();
        let done = ca.rekey(both);
        assert_eq!(std::fs::read(&file).unwrap(), text, "left as it is");
        done
    };
    let other = |book: &mut serde_json::Value| {
        let other = PrivateKey::from_seed(&[9; SEED]).public().to_string();
        book["next"]["public"] = other.into();
    };
    assert!(matches!(rekeyed(other), Err(CaError::Broken(_))));
    let release = |book: &mut serde_json::Value| book["version"] = 2.into();
    assert!(matches!(rekeyed(release), Err(CaError::Broken(_))));
    let nothing = |book: &mut serde_json::Value| *book = "torn".into();
    assert!(matches!(rekeyed(nothing), Ok(())));
}

#[test]
fn a_journal_that_hangs_holds_up_nobody_who_signs_and_no_two_change_it_at_once() {
    use std::sync::mpsc::channel;
    use std::time::Duration;
    let state = tempfile::tempdir().unwrap();
    let ca = Ca::open(state.path(), KeyRing::generate().unwrap());
    ca.init(|_| true).unwrap();
    let before = ca.show().unwrap();
    let (hangs, is_hanging) = channel();
    let (goes_on, wait) = channel::<()>();
    std::thread::scope(|scope| {
        let ca = &ca;
        scope.spawn(move || {
            let told = |_: &str| {
                hangs.send(()).unwrap();
                wait.recv().is_ok()
            };
            ca.rotate(false, told).unwrap();
        });
        is_hanging.recv().unwrap();
        let (signed, is_signed) = channel();
        scope.spawn(move || {
            signed
                .send((signs(ca), ca.can_sign(), ca.show().unwrap()))
                .unwrap();
        });
        let patience = Duration::from_secs(5);
        let answer = is_signed.recv_timeout(patience);
        // Another change waits, and then finds what this one made.
        let second = scope.spawn(move || ca.rotate(false, |_| true));
        std::thread::sleep(Duration::from_millis(50));
        let waits = !second.is_finished();
        goes_on.send(()).unwrap();
        assert!(matches!(second.join().unwrap(), Err(CaError::NextIsThere)));
        assert!(waits);
        assert_eq!(answer, Ok((true, true, before)), "as it was");
    });
    assert!(ca.show().unwrap().next.is_some());
}
