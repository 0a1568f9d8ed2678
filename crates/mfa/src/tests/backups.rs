//! What comes out of a backup makes no used code good again, and moves nothing backwards.

use super::*;
use crate::{Restored, Terms};

const VOUCHED: Terms<'_> = Terms {
    recovery_codes: true,
    replace: &[],
};

fn saved<S: Store>(store: &S) -> Secret {
    let (mut texts, refused) = export(store).unwrap();
    assert_eq!((texts.len(), refused.len()), (1, 0));
    texts.pop().unwrap()
}

fn back<S: Store>(store: &S, text: &Secret, at: i64) -> Restored {
    let (who, done) = restore(store, text, at, Terms::default()).unwrap();
    assert_eq!(who, alice());
    done
}

#[test]
fn a_restored_host_refuses_codes_that_were_used_before() {
    let old = temporary();
    let (key, codes) = enrol(&old.store);
    ask(&old.store, &code(&key, NOW), NOW);
    let text = saved(&old.store);
    // Used after the backup was made.
    assert_eq!(ask(&old.store, &code(&key, NOW + 30), NOW + 30), totp());
    assert_eq!(ask(&old.store, &codes[0], NOW + 30), recovery(9));

    let new = temporary();
    assert!(new.store.adopt(old.store.host()).unwrap());
    assert_eq!(back(&new.store, &text, NOW + 40), Restored::InForce);
    for at in [NOW, NOW + 30, NOW + 60] {
        assert_eq!(
            ask(&new.store, &code(&key, at), NOW + 40),
            Verdict::Replayed
        );
    }
    for typed in &codes {
        assert_eq!(ask(&new.store, typed, NOW + 40), Verdict::Replayed);
    }
    let later = NOW + 90;
    assert_eq!(ask(&new.store, &code(&key, later), later), totp());
}

#[test]
fn recovery_codes_come_back_where_the_operator_vouches_for_it_but_not_the_used_ones() {
    let old = temporary();
    let (key, codes) = enrol(&old.store);
    ask(&old.store, &codes[3], NOW);
    let text = saved(&old.store);
    let new = temporary();
    restore(&new.store, &text, NOW, VOUCHED).unwrap();
    assert_eq!(ask(&new.store, &codes[3], NOW), Verdict::Replayed);
    assert_eq!(ask(&new.store, &codes[4], NOW), recovery(8));
    assert_eq!(ask(&new.store, &code(&key, NOW), NOW), Verdict::Replayed);
}

#[test]
fn a_restore_never_moves_anything_backwards() {
    let t = temporary();
    let (key, codes) = enrol(&t.store);
    let text = saved(&t.store);
    let far = NOW + 3000;
    assert_eq!(ask(&t.store, &code(&key, far), far), totp());
    assert_eq!(ask(&t.store, &codes[0], far), recovery(9));
    let last = t.store.read(&alice()).unwrap().unwrap().last_step();
    // With a clock that is behind, too.
    restore(&t.store, &text, NOW, VOUCHED).unwrap();
    assert_eq!(t.store.read(&alice()).unwrap().unwrap().last_step(), last);
    assert_eq!(ask(&t.store, &codes[0], far), Verdict::Replayed);

    // Reset since: it stays so.
    reset(&t.store, &alice()).unwrap();
    assert!(matches!(back(&t.store, &text, far), Restored::Kept(_)));
    assert_eq!(ask(&t.store, &codes[1], far), Verdict::NotEnrolled);
    // Enrolled anew since: it stays so.
    let (newer, _) = enrol(&t.store);
    assert!(matches!(back(&t.store, &text, far), Restored::Kept(_)));
    assert_eq!(ask(&t.store, &code(&newer, far), far), totp());
}

#[test]
fn a_record_that_is_refused_is_no_part_of_a_backup_and_not_replaced_by_one() {
    let t = temporary();
    enrol(&t.store);
    let text = saved(&t.store);
    let [record, _] = files(&t);
    let yesterday = std::fs::read(&record).unwrap();
    unlock(&t.store, &alice()).unwrap();
    ask(&t.store, "000000x", NOW);
    std::fs::write(&record, yesterday).unwrap();
    let (texts, refused) = export(&t.store).unwrap();
    assert_eq!((texts.len(), refused.len()), (0, 1));
    assert!(
        restore(&t.store, &text, NOW, Terms::default())
            .unwrap_err()
            .is_replay()
    );
}

#[test]
fn only_a_host_without_any_record_takes_another_identity() {
    let (t, other) = (temporary(), HostId::random().unwrap());
    assert!(t.store.adopt(other).unwrap());
    assert_eq!(open(t.dir.path()).host(), other);
    enrol(&t.store);
    let third = HostId::random().unwrap();
    assert!(!t.store.adopt(third).unwrap());
    reset(&t.store, &alice()).unwrap();
    assert!(!t.store.adopt(third).unwrap(), "something was written here");
    assert_eq!(t.store.host(), other);
}

#[test]
fn what_is_no_record_of_a_backup_is_refused_without_repeating_it() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let good = saved(&t.store);
    for length in [0, 1, 20, good.expose().len() - 1] {
        let bad = Secret::new(good.expose()[..length].to_owned());
        let error = restore(&t.store, &bad, NOW, Terms::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("not a record of a backup") && !error.contains(&key),
            "{error}"
        );
    }
    let bad = Secret::new(good.expose().replace(&key, "KEY"));
    assert!(restore(&t.store, &bad, NOW, Terms::default()).is_err());
}

/// A host on which alice logged in often, her key and a backup of it.
fn busy() -> (Temporary, String, Secret) {
    let old = temporary();
    let (key, _) = enrol(&old.store);
    for step in 0..20 {
        let at = NOW + 30 * step;
        assert_eq!(ask(&old.store, &code(&key, at), at), totp());
    }
    let text = saved(&old.store);
    (old, key, text)
}

#[test]
fn a_reset_after_a_restore_is_not_undone_by_another_restore() {
    let (old, key, text) = busy();
    for takes_identity in [true, false] {
        let new = temporary();
        if takes_identity {
            assert!(new.store.adopt(old.store.host()).unwrap());
        }
        assert_eq!(back(&new.store, &text, NOW), Restored::InForce);
        reset(&new.store, &alice()).unwrap();
        assert!(matches!(back(&new.store, &text, NOW), Restored::Kept(_)));
        // Nor where an invitation waits since.
        invite(&new.store, &alice(), NOW, NOW + 3600).unwrap();
        assert!(matches!(back(&new.store, &text, NOW), Restored::Kept(_)));
        let at = NOW + 3000;
        assert_ne!(ask(&new.store, &code(&key, at), at), totp());
    }
}

#[test]
fn what_was_restored_has_a_number_beyond_all_of_the_old_host() {
    let (old, key, text) = busy();
    let new = temporary();
    assert!(new.store.adopt(old.store.host()).unwrap());
    back(&new.store, &text, NOW);
    let last = old.store.serial(&alice()).unwrap();
    assert_eq!(new.store.serial(&alice()).unwrap(), last + 1);
    // Its record of before the backup is an old copy here, although host and key are the same.
    let ([theirs, _], [ours, _]) = (files(&old), files(&new));
    std::fs::copy(theirs, ours).unwrap();
    let at = NOW + 3000;
    let error = verify(&new.store, &alice(), &code(&key, at), at, &LIMITS).unwrap_err();
    assert!(error.is_replay(), "{error}");
}

#[test]
fn an_operator_can_have_a_backup_in_place_of_what_is_here() {
    let replace = [alice().user];
    let terms = Terms {
        replace: &replace,
        ..Terms::default()
    };
    let (t, key, text) = busy();
    let far = NOW + 3000;
    let mut at = far;
    let mut comes_back = || {
        let (_, done) = restore(&t.store, &text, at, terms).unwrap();
        assert_eq!(done, Restored::InForce);
        assert_eq!(ask(&t.store, &code(&key, at), at), Verdict::Replayed);
        at += 90;
        assert_eq!(ask(&t.store, &code(&key, at), at), totp());
    };
    reset(&t.store, &alice()).unwrap();
    comes_back();
    // Of a record that cannot be read.
    let [record, _] = files(&t);
    std::fs::write(record, "{").unwrap();
    comes_back();
    // Of another authenticator; and only of who is named.
    enrol(&t.store);
    let others = ["bob".to_owned()];
    let terms = Terms {
        replace: &others,
        ..Terms::default()
    };
    let (_, done) = restore(&t.store, &text, far, terms).unwrap();
    assert!(matches!(done, Restored::Kept(_)));
    comes_back();
}

#[test]
fn a_restore_on_the_host_itself_leaves_good_recovery_codes_good() {
    let t = temporary();
    let (_, codes) = enrol(&t.store);
    ask(&t.store, &codes[0], NOW);
    let text = saved(&t.store);
    assert_eq!(back(&t.store, &text, NOW), Restored::Merged);
    assert_eq!(ask(&t.store, &codes[0], NOW), Verdict::Replayed);
    assert_eq!(ask(&t.store, &codes[1], NOW), recovery(8));
}

#[test]
fn what_was_granted_before_a_reset_or_a_lock_out_is_not_granted_by_a_restore() {
    let old = temporary();
    enrol(&old.store);
    let text = saved(&old.store);
    let new = temporary();
    assert_eq!(back(&new.store, &text, NOW), Restored::InForce);
    let granted = standing(&new.store, &alice()).unwrap();
    assert!(granted.is_some());
    let replace = [alice().user];
    let terms = Terms {
        replace: &replace,
        ..Terms::default()
    };
    for resets in [true, false] {
        if resets {
            reset(&new.store, &alice()).unwrap();
        } else {
            unlock(&new.store, &alice()).unwrap();
        }
        restore(&new.store, &text, NOW, terms).unwrap();
        let now = standing(&new.store, &alice()).unwrap();
        assert!(now.is_some() && now != granted, "{resets}");
    }
}
