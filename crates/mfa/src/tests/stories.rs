//! What a user and an admin go through.

use super::*;

#[test]
fn a_code_is_accepted_once() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
    for later in [0, 10, 30] {
        assert_eq!(
            ask(&t.store, &code(&key, NOW), NOW + later),
            Verdict::Replayed
        );
    }
    assert_eq!(ask(&t.store, &code(&key, NOW + 30), NOW + 30), totp());
}

#[test]
fn a_line_end_is_not_part_of_a_code() {
    let t = temporary();
    let (key, codes) = enrol(&t.store);
    assert_eq!(
        ask(&t.store, &format!("{}\r\n", code(&key, NOW)), NOW),
        totp()
    );
    assert_eq!(ask(&t.store, &format!("{}\n", codes[0]), NOW), recovery(9));
}

#[test]
fn h2_an_older_step_than_the_last_one_is_refused_though_inside_the_window() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
    assert_eq!(ask(&t.store, &code(&key, NOW - 30), NOW), Verdict::Replayed);
    assert_eq!(ask(&t.store, &code(&key, NOW + 30), NOW), totp());
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), Verdict::Replayed);
}

#[test]
fn h3_a_clock_stepped_back_brings_no_code_back() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
    let step = t.store.read(&alice()).unwrap().unwrap().last_step();
    for back in [30, 120, 86_400, NOW] {
        let then = NOW - back;
        assert_eq!(ask(&t.store, &code(&key, NOW), then), Verdict::Replayed);
        assert_eq!(ask(&t.store, &code(&key, then), then), Verdict::Replayed);
    }
    assert_eq!(t.store.read(&alice()).unwrap().unwrap().last_step(), step);
    assert_eq!(ask(&t.store, &code(&key, NOW + 30), NOW + 30), totp());
}

#[test]
fn a_time_before_1970_is_an_error() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let answer = verify(&t.store, &alice(), &code(&key, NOW), -1, &LIMITS);
    assert!(matches!(answer, Err(StoreError::Clock)));
}

#[test]
fn h7_without_a_record_everybody_is_refused() {
    let t = temporary();
    assert_eq!(ask(&t.store, "123456", NOW), Verdict::NotEnrolled);
    assert_eq!(ask(&t.store, "", NOW), Verdict::NotEnrolled);
    let (key, _) = enrol(&t.store);
    reset(&t.store, &alice()).unwrap();
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), Verdict::NotEnrolled);
}

#[test]
fn h12_failures_are_counted_across_openings_of_the_store() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let wrong = wrong_code(&key, NOW);
    for failures in 1..=5 {
        let again = FileStore::open(t.store.path()).unwrap();
        let left = 5 - failures;
        assert_eq!(ask(&again, &wrong, NOW), Verdict::Wrong { failures, left });
    }
    let until_ms = (NOW + 900) * 1000;
    assert_eq!(ask(&t.store, &wrong, NOW), Verdict::Locked { until_ms });
}

#[test]
fn a_right_code_forgets_the_failures() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let wrong = wrong_code(&key, NOW);
    for _ in 0..4 {
        ask(&t.store, &wrong, NOW);
    }
    assert_eq!(status(&t.store, &alice(), NOW).unwrap().failures, 4);
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
    assert_eq!(status(&t.store, &alice(), NOW).unwrap().failures, 0);
    assert_eq!(
        ask(&t.store, &wrong, NOW),
        Verdict::Wrong {
            failures: 1,
            left: 4
        }
    );
}

/// Locks alice out at `NOW`.
fn locked(t: &Temporary) -> (String, Vec<String>) {
    let (key, codes) = enrol(&t.store);
    let wrong = wrong_code(&key, NOW);
    for _ in 0..5 {
        ask(&t.store, &wrong, NOW);
    }
    (key, codes)
}

#[test]
fn while_locked_a_right_code_is_refused_and_stays_good() {
    let t = temporary();
    let (key, codes) = locked(&t);
    let until_ms = (NOW + 900) * 1000;
    let late = NOW + 899;
    assert_eq!(
        ask(&t.store, &code(&key, late), late),
        Verdict::Locked { until_ms }
    );
    assert_eq!(ask(&t.store, &codes[0], late), Verdict::Locked { until_ms });
    assert_eq!(ask(&t.store, &code(&key, late), NOW + 900), totp());
    assert_eq!(ask(&t.store, &codes[0], NOW + 900), recovery(9));
}

#[test]
fn a_lock_out_does_not_grow() {
    let t = temporary();
    let (key, _) = locked(&t);
    for second in (0..900).step_by(10) {
        let wrong = wrong_code(&key, NOW + second);
        let until_ms = (NOW + 900) * 1000;
        assert_eq!(
            ask(&t.store, &wrong, NOW + second),
            Verdict::Locked { until_ms }
        );
    }
    assert_eq!(
        status(&t.store, &alice(), NOW + 900)
            .unwrap()
            .locked_until_ms,
        None
    );
    let wrong = wrong_code(&key, NOW + 900);
    assert_eq!(
        ask(&t.store, &wrong, NOW + 900),
        Verdict::Wrong {
            failures: 1,
            left: 4
        }
    );
}

#[test]
fn a_lock_out_from_a_clock_that_was_ahead_ends_all_the_same() {
    let t = temporary();
    let (key, _) = locked(&t);
    let year_before = NOW - 31_536_000;
    let until_ms = (year_before + 900) * 1000;
    assert_eq!(ask(&t.store, "", year_before), Verdict::Locked { until_ms });
    assert_eq!(
        ask(&t.store, "", year_before + 100),
        Verdict::Locked { until_ms }
    );
    let after = year_before + 900;
    assert_eq!(ask(&t.store, &code(&key, after), after), totp());
}

#[test]
fn an_operator_ends_a_lock_out() {
    let t = temporary();
    let (key, _) = locked(&t);
    assert_eq!(
        status(&t.store, &alice(), NOW).unwrap().locked_until_ms,
        Some((NOW + 900) * 1000)
    );
    unlock(&t.store, &alice()).unwrap();
    assert_eq!(
        status(&t.store, &alice(), NOW).unwrap().locked_until_ms,
        None
    );
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
}

#[test]
fn a_replay_is_no_failure() {
    let t = temporary();
    let (key, codes) = enrol(&t.store);
    let used = code(&key, NOW);
    ask(&t.store, &used, NOW);
    ask(&t.store, &codes[4], NOW);
    for _ in 0..6 {
        assert_eq!(ask(&t.store, &used, NOW), Verdict::Replayed);
        assert_eq!(ask(&t.store, &codes[4], NOW), Verdict::Replayed);
    }
    assert_eq!(status(&t.store, &alice(), NOW).unwrap().failures, 0);
}

#[test]
fn h16_what_is_not_exactly_a_code_is_wrong() {
    let t = temporary();
    let (key, codes) = enrol(&t.store);
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
        let verdict = verify(&t.store, &alice(), &typed, NOW, &generous).unwrap();
        assert!(matches!(verdict, Verdict::Wrong { .. }), "{typed:.40?}");
    }
    assert_eq!(ask(&t.store, &right, NOW), totp());
    assert_eq!(ask(&t.store, &codes[0].to_uppercase(), NOW), recovery(9));
}

#[test]
fn h33_the_old_secret_stays_in_force_until_the_new_one_is_confirmed() {
    let t = temporary();
    let (old, old_codes) = enrol(&t.store);
    let new = begin_enrolment(&t.store, &alice(), "bastion", NOW, true).unwrap();
    let new_key = new.secret_base32.expose();
    let state = status(&t.store, &alice(), NOW).unwrap();
    assert!(state.enrolled && state.pending);
    // Neither the new secret nor the new recovery codes let anyone in yet.
    assert!(matches!(
        ask(&t.store, &code(new_key, NOW), NOW),
        Verdict::Wrong { .. }
    ));
    assert!(matches!(
        ask(&t.store, new.recovery_codes[0].expose(), NOW),
        Verdict::Wrong { .. }
    ));
    assert_eq!(ask(&t.store, &code(&old, NOW), NOW), totp());
    let confirm = |typed: &str| confirm_enrolment(&t.store, &alice(), typed, NOW).unwrap();
    assert_eq!(confirm("000000x"), Confirmation::WrongCode);
    assert_eq!(confirm(&wrong_code(new_key, NOW)), Confirmation::WrongCode);
    assert_eq!(confirm(&code(new_key, NOW)), Confirmation::Confirmed);
    assert_eq!(confirm(&code(new_key, NOW)), Confirmation::NothingPending);
    // The code that confirmed is used up; the old secret and its codes are void.
    assert_eq!(ask(&t.store, &code(new_key, NOW), NOW), Verdict::Replayed);
    assert!(matches!(
        ask(&t.store, &code(&old, NOW + 30), NOW),
        Verdict::Wrong { .. }
    ));
    assert!(matches!(
        ask(&t.store, &old_codes[0], NOW),
        Verdict::Wrong { .. }
    ));
    assert_eq!(
        ask(&t.store, new.recovery_codes[0].expose(), NOW),
        recovery(9)
    );
}

#[test]
fn an_unconfirmed_first_enrolment_lets_nobody_in() {
    let t = temporary();
    let new = begin_enrolment(&t.store, &alice(), "bastion", NOW, true).unwrap();
    let state = status(&t.store, &alice(), NOW).unwrap();
    assert!(!state.enrolled && state.pending);
    let typed = code(new.secret_base32.expose(), NOW);
    assert_eq!(ask(&t.store, &typed, NOW), Verdict::NotEnrolled);
    assert_eq!(
        confirm_enrolment(&t.store, &alice(), &typed, NOW).unwrap(),
        Confirmation::Confirmed
    );
}

#[test]
fn h34_ten_recovery_codes_each_work_once_and_are_stored_as_hashes() {
    let t = temporary();
    let (_, codes) = enrol(&t.store);
    let stored = std::fs::read_to_string(t.store.path().join("70001.json")).unwrap();
    for (spent, typed) in (1..=10).zip(&codes) {
        assert!(!stored.contains(typed.as_str()));
        assert_eq!(ask(&t.store, typed, NOW), recovery(10 - spent));
        assert_eq!(ask(&t.store, typed, NOW), Verdict::Replayed);
    }
    assert_eq!(
        status(&t.store, &alice(), NOW).unwrap().recovery_codes_left,
        0
    );
    let new = new_recovery_codes(&t.store, &alice()).unwrap();
    assert_eq!(
        status(&t.store, &alice(), NOW).unwrap().recovery_codes_left,
        10
    );
    assert!(matches!(
        ask(&t.store, &codes[0], NOW),
        Verdict::Wrong { .. }
    ));
    assert_eq!(ask(&t.store, new[3].expose(), NOW), recovery(9));
}

#[test]
fn every_combination_of_parameters_is_honoured() {
    let t = temporary();
    for algorithm in Algorithm::ALL {
        for (digits, period_s) in [(6, 30), (6, 60), (8, 30), (8, 60)] {
            let params = Params {
                algorithm,
                digits,
                period_s,
            };
            honoured(&t.store, params);
        }
    }
}

fn honoured(store: &FileStore, params: Params) {
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

#[test]
fn nothing_is_changed_for_a_user_without_a_record() {
    let t = temporary();
    assert!(matches!(
        unlock(&t.store, &alice()),
        Err(StoreError::NotEnrolled(_))
    ));
    assert!(matches!(
        new_recovery_codes(&t.store, &alice()),
        Err(StoreError::NotEnrolled(_))
    ));
    reset(&t.store, &alice()).unwrap();
    assert_eq!(
        confirm_enrolment(&t.store, &alice(), "123456", NOW).unwrap(),
        Confirmation::NothingPending
    );
    assert!(list(&t.store, NOW).unwrap().is_empty());
    assert!(!status(&t.store, &alice(), NOW).unwrap().enrolled);
}

#[test]
fn zero_attempts_still_bear_the_first_wrong_code_only() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let none = Limits {
        attempts: 0,
        ..LIMITS
    };
    let verdict = verify(&t.store, &alice(), &wrong_code(&key, NOW), NOW, &none).unwrap();
    assert_eq!(
        verdict,
        Verdict::Wrong {
            failures: 1,
            left: 0
        }
    );
    assert!(matches!(
        verify(&t.store, &alice(), &code(&key, NOW), NOW, &none).unwrap(),
        Verdict::Locked { .. }
    ));
}
