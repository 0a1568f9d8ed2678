//! H10 to H13: guessing is bounded, and whoever guesses keeps nobody else out.

use super::*;

/// A place with this key at 198.51.100.`host`.
fn place(key: &str, host: u8) -> Place {
    Place::new(key, std::net::Ipv4Addr::new(198, 51, 100, host).into())
}

fn at<S: Store>(store: &S, place: &Place, typed: &str, now: i64) -> Verdict {
    crate::verify(store, &alice(), place, typed, now, &LIMITS).unwrap()
}

/// Types something wrong until it is not heard any more; returns how often it was heard.
fn guess<S: Store>(store: &S, place: &Place, now: i64) -> u32 {
    (0..1000)
        .take_while(|_| matches!(at(store, place, "no code", now), Verdict::Wrong { .. }))
        .count()
        .try_into()
        .unwrap()
}

#[test]
fn a_place_is_a_key_and_a_network_that_one_client_has() {
    let of = |address: &str| Place::new("k", address.parse().unwrap()).source;
    assert_eq!(of("192.0.2.7"), "192.0.2.7");
    assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
    assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    assert_eq!(of("2001:db8:1:2::9"), of("2001:db8:1:2:ffff::"));
    assert_ne!(of("2001:db8:1:3::9"), of("2001:db8:1:2::9"));
}

#[test]
fn h10_whoever_guesses_with_another_key_or_elsewhere_keeps_nobody_out() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    // Alice has logged in from her desk.
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
    // Somebody has another key of hers, then hers, and many addresses.
    for host in 0..50 {
        guess(&t.store, &place("SHA256:other", host), NOW);
        guess(&t.store, &place(&desk().key, host), NOW);
    }
    guess(
        &t.store,
        &Place {
            key: "SHA256:other".into(),
            ..desk()
        },
        NOW,
    );
    let later = NOW + 30;
    assert_eq!(ask(&t.store, &code(&key, later), later), totp());
}

#[test]
fn h10_a_known_key_is_heard_from_anywhere_while_another_key_guesses() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
    for host in 0..50 {
        guess(&t.store, &place("SHA256:other", host), NOW);
    }
    // On her way she is somewhere new.
    let hotel = place(&desk().key, 77);
    let later = NOW + 30;
    assert_eq!(at(&t.store, &hotel, &code(&key, later), later), totp());
    // A key that nobody has seen must wait.
    let stranger = place("SHA256:third", 78);
    assert!(matches!(
        at(&t.store, &stranger, &code(&key, later + 30), later + 30),
        Verdict::Locked { .. }
    ));
    unlock(&t.store, &alice()).unwrap();
    let later = later + 30;
    assert_eq!(at(&t.store, &stranger, &code(&key, later), later), totp());
}

#[test]
fn h10_a_right_code_gives_others_no_second_budget() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
    let other = |host| place("SHA256:other", host);
    let mut heard = guess(&t.store, &other(0), NOW) + guess(&t.store, &other(1), NOW);
    for login in 1..20 {
        let now = NOW + 30 * login;
        assert_eq!(ask(&t.store, &code(&key, now), now), totp());
        heard += guess(&t.store, &other(10 + u8::try_from(login).unwrap()), now);
    }
    assert_eq!(heard, 20);
}

#[test]
fn h11_ten_thousand_guesses_from_everywhere_are_heard_sixty_times_in_an_hour() {
    let t = Shared::default();
    let (key, _) = enrol(&t);
    assert_eq!(ask(&t, &code(&key, NOW), NOW), totp());
    let heard_until = |t: &Shared, from: i64, to: i64| {
        let mut heard = 0;
        for n in 0..10_000i64 {
            let now = from + n * (to - from) / 10_000;
            let source = format!("2001:db8:{:x}::1", n % 2500).parse().unwrap();
            let place = Place::new("SHA256:other", source);
            heard += u32::from(matches!(
                at(t, &place, "no code", now),
                Verdict::Wrong { .. }
            ));
        }
        heard
    };
    // Twenty at once, twenty after 15 minutes, twenty after 30 more.
    assert_eq!(heard_until(&t, NOW + 1, NOW + 3600), 60);
    // And then twenty in two hours.
    let steady = NOW + 3600 * 12;
    let heard = heard_until(&t, steady, steady + 3600 * 24);
    assert!((200..=260).contains(&heard), "{heard} in a day");
}

#[test]
fn h11_one_place_is_heard_fifteen_times_in_the_first_hour_and_then_five_times_in_two() {
    let t = Shared::default();
    let (key, _) = enrol(&t);
    assert_eq!(ask(&t, &code(&key, NOW), NOW), totp());
    let heard = |from: i64, hours: i64| {
        (from..from + hours * 3600)
            .step_by(5)
            .filter(|now| matches!(ask(&t, "no code", *now), Verdict::Wrong { .. }))
            .count()
    };
    assert_eq!(heard(NOW, 1), 15);
    assert_eq!(heard(NOW + 3600, 24), 60);
    // Alice comes back when it is heard again, and the next lock-out is a short one.
    let mut now = NOW + 25 * 3600;
    while ask(&t, &code(&key, now), now) != totp() {
        now += 30;
    }
    for _ in 0..5 {
        ask(&t, "no code", now);
    }
    assert_eq!(
        ask(&t, "no code", now),
        Verdict::Locked {
            until_ms: (now + 900) * 1000
        }
    );
}

#[test]
fn a_day_without_a_lock_out_forgives_the_ones_before() {
    let t = Shared::default();
    enrol(&t);
    let lasts = |now: i64| {
        guess(&t, &desk(), now);
        match ask(&t, "no code", now) {
            Verdict::Locked { until_ms } => until_ms / 1000 - now,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(lasts(NOW), 900);
    assert_eq!(lasts(NOW + 1000), 1800);
    assert_eq!(lasts(NOW + 1000 + 1800 + 86_401), 900);
}

#[test]
fn a_place_known_long_ago_or_in_the_future_is_a_strange_one() {
    for away in [91 * 86_400, -86_400] {
        let t = Shared::default();
        let (key, _) = enrol(&t);
        assert_eq!(ask(&t, &code(&key, NOW), NOW), totp());
        let now = NOW + away;
        for host in 0..10 {
            guess(&t, &place("SHA256:other", host), now);
        }
        assert!(matches!(ask(&t, "no code", now), Verdict::Locked { .. }));
    }
}

#[test]
fn what_is_remembered_of_places_is_bounded() {
    let t = Shared::default();
    let (key, _) = enrol(&t);
    for day in 0..400i64 {
        let now = NOW + day * 3600;
        let n = u8::try_from(day % 250).unwrap();
        at(
            &t,
            &place(&format!("SHA256:{:043}", day % 40), n),
            "no code",
            now,
        );
        let right = code(&key, now);
        at(&t, &place(&format!("SHA256:{:043}", day), n), &right, now);
    }
    let bytes = t.size(alice().uid);
    assert!(bytes < 12 * 1024, "{bytes} bytes");
}

#[test]
fn the_operator_sees_which_places_are_locked() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
    guess(&t.store, &desk(), NOW);
    let seen = status(&t.store, &alice(), NOW).unwrap();
    let until_ms = (NOW + 900) * 1000;
    let here = Lock {
        place: Some(desk()),
        until_ms,
    };
    assert_eq!(seen.locks, [here]);
    assert_eq!((seen.failures, seen.locked_until_ms), (5, Some(until_ms)));
    for host in 0..4 {
        guess(&t.store, &place("SHA256:other", host), NOW);
    }
    let seen = status(&t.store, &alice(), NOW).unwrap();
    assert!(seen.locks.contains(&Lock {
        place: None,
        until_ms
    }));
    unlock(&t.store, &alice()).unwrap();
    let seen = status(&t.store, &alice(), NOW).unwrap();
    assert_eq!((seen.failures, seen.locks), (0, Vec::new()));
}

#[test]
fn a_lock_out_counted_by_the_release_before_holds_on() {
    let locked = format!("\"failures\": 5, \"locked_until_s\": {}", NOW + 900);
    let record = include_str!("record-v1.json").replace("\"failures\": 0", &locked);
    let store = Shared::holding(record.as_bytes());
    let until_ms = (NOW + 900) * 1000;
    for _ in 0..2 {
        assert_eq!(ask(&store, "123456", NOW), Verdict::Locked { until_ms });
    }
    let later = ask(&store, "123456", NOW + 901);
    assert!(
        matches!(later, Verdict::Wrong { failures: 1, .. }),
        "{later:?}"
    );
}

#[test]
fn h18_a_standing_ends_with_the_authenticator_and_with_every_lock_out() {
    let t = temporary();
    assert_eq!(standing(&t.store, &alice()).unwrap(), None);
    let (key, codes) = enrol(&t.store);
    let mut seen = Vec::new();
    let mut is_new = || {
        let now = standing(&t.store, &alice()).unwrap().unwrap();
        assert!(!now.contains(&key));
        let new = !seen.contains(&now);
        seen.push(now);
        new
    };
    assert!(is_new());
    // Codes, right or wrong, change nothing.
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
    assert_eq!(ask(&t.store, &codes[0], NOW), recovery(9));
    ask(&t.store, "no code", NOW);
    assert!(!is_new());
    guess(&t.store, &desk(), NOW);
    assert!(is_new(), "a lock-out");
    unlock(&t.store, &alice()).unwrap();
    assert!(is_new(), "its end by an operator");
    assert_eq!(ask(&t.store, &code(&key, NOW + 30), NOW + 30), totp());
    assert!(!is_new());
    for host in 0..4 {
        guess(&t.store, &place("SHA256:other", host), NOW);
    }
    assert!(is_new(), "a lock-out elsewhere");
    enrol(&t.store);
    assert!(is_new(), "another authenticator");
    reset(&t.store, &alice()).unwrap();
    assert_eq!(standing(&t.store, &alice()).unwrap(), None);
    enrol(&t.store);
    assert!(is_new(), "enrolled anew");
}

#[test]
fn h10_a_lock_of_a_known_keys_own_count_ends_what_is_remembered() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
    let before = standing(&t.store, &alice()).unwrap();
    // Each wrong code comes from elsewhere, so that no place and not the budget is used up.
    for host in 0..4 {
        at(&t.store, &place(&desk().key, host), "no code", NOW);
        assert_eq!(standing(&t.store, &alice()).unwrap(), before, "{host}");
    }
    at(&t.store, &place(&desk().key, 4), "no code", NOW);
    assert_ne!(standing(&t.store, &alice()).unwrap(), before);
}
