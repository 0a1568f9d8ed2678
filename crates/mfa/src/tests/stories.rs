//! What a user and an admin go through.

use super::*;

/// Makes a test of each story over each kind of store.
macro_rules! stories {
    ($($name:ident,)*) => {
        mod over_files {
            $(#[test]
            fn $name() {
                super::$name(&super::temporary().store);
            })*
        }
        mod over_a_shared_store {
            $(#[test]
            fn $name() {
                super::$name(&super::Shared::default());
            })*
        }
    };
}

stories! {
    a_code_is_accepted_once,
    a_line_end_is_not_part_of_a_code,
    h2_an_older_step_than_the_last_one_is_refused_though_inside_the_window,
    h3_a_clock_stepped_back_brings_no_code_back,
    a_time_before_1970_is_an_error,
    h7_without_a_record_everybody_is_refused,
    a_right_code_forgets_the_failures,
    while_locked_a_right_code_is_refused_and_stays_good,
    a_lock_out_does_not_grow,
    a_lock_out_from_a_clock_that_was_ahead_ends_all_the_same,
    an_operator_ends_a_lock_out,
    a_replay_is_no_failure,
    h16_what_is_not_exactly_a_code_is_wrong,
    h33_the_old_secret_stays_in_force_until_the_new_one_is_confirmed,
    an_unconfirmed_first_enrolment_lets_nobody_in,
    h34_ten_recovery_codes_each_work_once_and_are_stored_as_hashes,
    every_combination_of_parameters_is_honoured,
    nothing_is_changed_for_a_user_without_a_record,
    zero_attempts_still_bear_the_first_wrong_code_only,
    a_user_has_no_more_sessions_than_they_may,
    of_many_sessions_at_once_no_more_get_in,
}

fn a_code_is_accepted_once(store: &dyn Store) {
    let (key, _) = enrol(store);
    assert_eq!(ask(store, &code(&key, NOW), NOW), totp());
    for later in [0, 10, 30] {
        assert_eq!(ask(store, &code(&key, NOW), NOW + later), Verdict::Replayed);
    }
    assert_eq!(ask(store, &code(&key, NOW + 30), NOW + 30), totp());
}

fn a_line_end_is_not_part_of_a_code(store: &dyn Store) {
    let (key, codes) = enrol(store);
    assert_eq!(ask(store, &format!("{}\r\n", code(&key, NOW)), NOW), totp());
    assert_eq!(ask(store, &format!("{}\n", codes[0]), NOW), recovery(9));
}

fn h2_an_older_step_than_the_last_one_is_refused_though_inside_the_window(store: &dyn Store) {
    let (key, _) = enrol(store);
    assert_eq!(ask(store, &code(&key, NOW), NOW), totp());
    assert_eq!(ask(store, &code(&key, NOW - 30), NOW), Verdict::Replayed);
    assert_eq!(ask(store, &code(&key, NOW + 30), NOW), totp());
    assert_eq!(ask(store, &code(&key, NOW), NOW), Verdict::Replayed);
}

fn h3_a_clock_stepped_back_brings_no_code_back(store: &dyn Store) {
    let (key, _) = enrol(store);
    assert_eq!(ask(store, &code(&key, NOW), NOW), totp());
    let step = store.read(&alice()).unwrap().unwrap().last_step();
    for back in [30, 120, 86_400, NOW] {
        let then = NOW - back;
        assert_eq!(ask(store, &code(&key, NOW), then), Verdict::Replayed);
        assert_eq!(ask(store, &code(&key, then), then), Verdict::Replayed);
    }
    assert_eq!(store.read(&alice()).unwrap().unwrap().last_step(), step);
    assert_eq!(ask(store, &code(&key, NOW + 30), NOW + 30), totp());
}

fn a_time_before_1970_is_an_error(store: &dyn Store) {
    let (key, _) = enrol(store);
    let answer = verify(store, &alice(), &code(&key, NOW), -1, &LIMITS);
    assert!(matches!(answer, Err(StoreError::Clock)));
}

fn h7_without_a_record_everybody_is_refused(store: &dyn Store) {
    assert_eq!(ask(store, "123456", NOW), Verdict::NotEnrolled);
    assert_eq!(ask(store, "", NOW), Verdict::NotEnrolled);
    let (key, _) = enrol(store);
    reset(store, &alice()).unwrap();
    assert_eq!(ask(store, &code(&key, NOW), NOW), Verdict::NotEnrolled);
}

#[test]
fn h12_failures_are_counted_across_openings_of_the_store() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let wrong = wrong_code(&key, NOW);
    for failures in 1..=5 {
        let again = open(t.dir.path());
        let left = 5 - failures;
        assert_eq!(ask(&again, &wrong, NOW), Verdict::Wrong { failures, left });
    }
    let until_ms = (NOW + 900) * 1000;
    assert_eq!(ask(&t.store, &wrong, NOW), Verdict::Locked { until_ms });
}

fn a_right_code_forgets_the_failures(store: &dyn Store) {
    let (key, _) = enrol(store);
    let wrong = wrong_code(&key, NOW);
    for _ in 0..4 {
        ask(store, &wrong, NOW);
    }
    assert_eq!(status(store, &alice(), NOW).unwrap().failures, 4);
    assert_eq!(ask(store, &code(&key, NOW), NOW), totp());
    assert_eq!(status(store, &alice(), NOW).unwrap().failures, 0);
    assert_eq!(
        ask(store, &wrong, NOW),
        Verdict::Wrong {
            failures: 1,
            left: 4
        }
    );
}

/// Locks alice out at `NOW`.
fn locked(store: &dyn Store) -> (String, Vec<String>) {
    let (key, codes) = enrol(store);
    let wrong = wrong_code(&key, NOW);
    for _ in 0..5 {
        ask(store, &wrong, NOW);
    }
    (key, codes)
}

fn while_locked_a_right_code_is_refused_and_stays_good(store: &dyn Store) {
    let (key, codes) = locked(store);
    let until_ms = (NOW + 900) * 1000;
    let late = NOW + 899;
    assert_eq!(
        ask(store, &code(&key, late), late),
        Verdict::Locked { until_ms }
    );
    assert_eq!(ask(store, &codes[0], late), Verdict::Locked { until_ms });
    assert_eq!(ask(store, &code(&key, late), NOW + 900), totp());
    assert_eq!(ask(store, &codes[0], NOW + 900), recovery(9));
}

fn a_lock_out_does_not_grow(store: &dyn Store) {
    let (key, _) = locked(store);
    for second in (0..900).step_by(10) {
        let wrong = wrong_code(&key, NOW + second);
        let until_ms = (NOW + 900) * 1000;
        assert_eq!(
            ask(store, &wrong, NOW + second),
            Verdict::Locked { until_ms }
        );
    }
    assert_eq!(
        status(store, &alice(), NOW + 900).unwrap().locked_until_ms,
        None
    );
    let wrong = wrong_code(&key, NOW + 900);
    assert_eq!(
        ask(store, &wrong, NOW + 900),
        Verdict::Wrong {
            failures: 1,
            left: 4
        }
    );
}

fn a_lock_out_from_a_clock_that_was_ahead_ends_all_the_same(store: &dyn Store) {
    let (key, _) = locked(store);
    let year_before = NOW - 31_536_000;
    let until_ms = (year_before + 900) * 1000;
    assert_eq!(ask(store, "", year_before), Verdict::Locked { until_ms });
    assert_eq!(
        ask(store, "", year_before + 100),
        Verdict::Locked { until_ms }
    );
    let after = year_before + 900;
    assert_eq!(ask(store, &code(&key, after), after), totp());
}

fn an_operator_ends_a_lock_out(store: &dyn Store) {
    let (key, _) = locked(store);
    assert_eq!(
        status(store, &alice(), NOW).unwrap().locked_until_ms,
        Some((NOW + 900) * 1000)
    );
    unlock(store, &alice()).unwrap();
    assert_eq!(status(store, &alice(), NOW).unwrap().locked_until_ms, None);
    assert_eq!(ask(store, &code(&key, NOW), NOW), totp());
}

fn a_replay_is_no_failure(store: &dyn Store) {
    let (key, codes) = enrol(store);
    let used = code(&key, NOW);
    ask(store, &used, NOW);
    ask(store, &codes[4], NOW);
    for _ in 0..6 {
        assert_eq!(ask(store, &used, NOW), Verdict::Replayed);
        assert_eq!(ask(store, &codes[4], NOW), Verdict::Replayed);
    }
    assert_eq!(status(store, &alice(), NOW).unwrap().failures, 0);
}

fn h16_what_is_not_exactly_a_code_is_wrong(store: &dyn Store) {
    let (key, codes) = enrol(store);
    let right = code(&key, NOW);
    let generous = Limits {
        attempts: 1000,
        ..LIMITS
    };
    for typed in [
        format!(" {right}"),
        format!("{right} "),
        format!("+{right}"),
        format!("\n{right}"),
        format!("{right}\0"),
        format!("00{right}"),
        right[1..].to_owned(),
        right
            .chars()
            .filter_map(|c| char::from_u32(c as u32 - 0x30 + 0x660))
            .collect(),
        codes[0].replace('-', ""),
        codes[0].replace('-', " "),
        format!(" {}", codes[0]),
        format!("{}-", codes[0]),
        "x".repeat(1_000_000),
        String::new(),
    ] {
        let verdict = verify(store, &alice(), &typed, NOW, &generous).unwrap();
        assert!(matches!(verdict, Verdict::Wrong { .. }), "{typed:.40?}");
    }
    assert_eq!(ask(store, &right, NOW), totp());
    assert_eq!(ask(store, &codes[0].to_uppercase(), NOW), recovery(9));
}

fn h33_the_old_secret_stays_in_force_until_the_new_one_is_confirmed(store: &dyn Store) {
    let (old, old_codes) = enrol(store);
    let new = begin_enrolment(store, &alice(), "bastion", NOW, true).unwrap();
    let new_key = new.secret_base32.expose();
    let state = status(store, &alice(), NOW).unwrap();
    assert!(state.enrolled && state.pending);
    // Neither the new secret nor the new recovery codes let anyone in yet.
    assert!(matches!(
        ask(store, &code(new_key, NOW), NOW),
        Verdict::Wrong { .. }
    ));
    assert!(matches!(
        ask(store, new.recovery_codes[0].expose(), NOW),
        Verdict::Wrong { .. }
    ));
    assert_eq!(ask(store, &code(&old, NOW), NOW), totp());
    let confirm = |typed: &str| confirm_enrolment(store, &alice(), typed, NOW).unwrap();
    assert_eq!(confirm("000000x"), Confirmation::WrongCode);
    assert_eq!(confirm(&wrong_code(new_key, NOW)), Confirmation::WrongCode);
    assert_eq!(confirm(&code(new_key, NOW)), Confirmation::Confirmed);
    assert_eq!(confirm(&code(new_key, NOW)), Confirmation::NothingPending);
    // The code that confirmed is used up; the old secret and its codes are void.
    assert_eq!(ask(store, &code(new_key, NOW), NOW), Verdict::Replayed);
    assert!(matches!(
        ask(store, &code(&old, NOW + 30), NOW),
        Verdict::Wrong { .. }
    ));
    assert!(matches!(
        ask(store, &old_codes[0], NOW),
        Verdict::Wrong { .. }
    ));
    assert_eq!(ask(store, new.recovery_codes[0].expose(), NOW), recovery(9));
}

fn an_unconfirmed_first_enrolment_lets_nobody_in(store: &dyn Store) {
    let new = begin_enrolment(store, &alice(), "bastion", NOW, true).unwrap();
    let state = status(store, &alice(), NOW).unwrap();
    assert!(!state.enrolled && state.pending);
    let typed = code(new.secret_base32.expose(), NOW);
    assert_eq!(ask(store, &typed, NOW), Verdict::NotEnrolled);
    assert_eq!(
        confirm_enrolment(store, &alice(), &typed, NOW).unwrap(),
        Confirmation::Confirmed
    );
}

fn h34_ten_recovery_codes_each_work_once_and_are_stored_as_hashes(store: &dyn Store) {
    let (_, codes) = enrol(store);
    for (spent, typed) in (1..=10).zip(&codes) {
        assert_eq!(ask(store, typed, NOW), recovery(10 - spent));
        assert_eq!(ask(store, typed, NOW), Verdict::Replayed);
    }
    assert_eq!(status(store, &alice(), NOW).unwrap().recovery_codes_left, 0);
    let new = new_recovery_codes(store, &alice()).unwrap();
    assert_eq!(
        status(store, &alice(), NOW).unwrap().recovery_codes_left,
        10
    );
    assert!(matches!(ask(store, &codes[0], NOW), Verdict::Wrong { .. }));
    assert_eq!(ask(store, new[3].expose(), NOW), recovery(9));
}

fn every_combination_of_parameters_is_honoured(store: &dyn Store) {
    for algorithm in Algorithm::ALL {
        for (digits, period_s) in [(6, 30), (6, 60), (8, 30), (8, 60)] {
            let params = Params {
                algorithm,
                digits,
                period_s,
            };
            honoured(store, params);
        }
    }
}

fn honoured(store: &dyn Store, params: Params) {
    let Params {
        algorithm,
        digits,
        period_s,
    } = params;
    let new = begin_enrolment_with(store, &alice(), "b", NOW, false, params).unwrap();
    let key = new.secret_base32.expose();
    let uri = format!(
        "&algorithm={}&digits={digits}&period={period_s}",
        algorithm.as_str()
    );
    assert!(new.uri.expose().ends_with(&uri));
    // RFC 6238 section 5.1: a key as long as the hash.
    let bytes = data_encoding::BASE32_NOPAD.decode(key.as_bytes()).unwrap();
    assert_eq!(bytes.len(), totp::key_length(algorithm));
    assert_eq!(
        status(store, &alice(), NOW).unwrap().params,
        Some(params),
        "the status says it"
    );
    let typed = code_at(key, &params, NOW.cast_unsigned()).unwrap();
    let typed = typed.expose();
    assert_eq!(typed.len(), usize::from(digits));
    let of_another_length = if digits == 8 {
        typed[2..].to_owned()
    } else {
        format!("00{typed}")
    };
    assert!(matches!(
        ask(store, &of_another_length, NOW),
        Verdict::Wrong { .. }
    ));
    assert_eq!(ask(store, typed, NOW), totp());
    let begin = NOW - NOW % i64::from(period_s);
    for later in [NOW, begin + i64::from(period_s) - 1] {
        assert_eq!(ask(store, typed, later), Verdict::Replayed);
    }
}

fn nothing_is_changed_for_a_user_without_a_record(store: &dyn Store) {
    assert!(matches!(
        unlock(store, &alice()),
        Err(StoreError::NotEnrolled(_))
    ));
    assert!(matches!(
        new_recovery_codes(store, &alice()),
        Err(StoreError::NotEnrolled(_))
    ));
    reset(store, &alice()).unwrap();
    assert_eq!(
        confirm_enrolment(store, &alice(), "123456", NOW).unwrap(),
        Confirmation::NothingPending
    );
    assert!(list(store, NOW).unwrap().is_empty());
    assert!(!status(store, &alice(), NOW).unwrap().enrolled);
}

fn zero_attempts_still_bear_the_first_wrong_code_only(store: &dyn Store) {
    let (key, _) = enrol(store);
    let none = Limits {
        attempts: 0,
        ..LIMITS
    };
    let verdict = verify(store, &alice(), &wrong_code(&key, NOW), NOW, &none).unwrap();
    assert_eq!(
        verdict,
        Verdict::Wrong {
            failures: 1,
            left: 0
        }
    );
    assert!(matches!(
        verify(store, &alice(), &code(&key, NOW), NOW, &none).unwrap(),
        Verdict::Locked { .. }
    ));
}

fn a_user_has_no_more_sessions_than_they_may(store: &dyn Store) {
    let open = |session: &str| store.open_session(&alice(), session, 2).unwrap();
    assert_eq!(open("one"), Opening::Opened);
    assert_eq!(open("two"), Opening::Opened);
    // The same one again, as after a restart of who asks.
    assert_eq!(open("two"), Opening::Opened);
    assert_eq!(open("three"), Opening::TooMany { open: 2 });
    store.close_session(&alice(), "three").unwrap();
    assert_eq!(open("three"), Opening::TooMany { open: 2 });
    store.close_session(&alice(), "one").unwrap();
    assert_eq!(open("three"), Opening::Opened);
    assert_eq!(store.open_sessions(&alice()).unwrap(), 2);
    let bob = Who {
        uid: 70002,
        user: "bob".to_owned(),
    };
    assert_eq!(store.open_sessions(&bob).unwrap(), 0);
    assert_eq!(
        store.open_session(&bob, "one", 0).unwrap(),
        Opening::TooMany { open: 0 }
    );
}

fn of_many_sessions_at_once_no_more_get_in(store: &dyn Store) {
    let start = std::sync::Barrier::new(32);
    let opened = std::thread::scope(|threads| {
        let one_of_them = |number: usize| {
            start.wait();
            store
                .open_session(&alice(), &number.to_string(), 8)
                .unwrap()
                == Opening::Opened
        };
        let all: Vec<_> = (0..32)
            .map(|number| threads.spawn(move || one_of_them(number)))
            .collect();
        all.into_iter()
            .map(|one| one.join().unwrap())
            .filter(|opened| *opened)
            .count()
    });
    assert_eq!(opened, 8);
}
