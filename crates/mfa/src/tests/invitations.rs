//! Enrolment by the user, with an invitation.

use super::*;

/// Invites alice for an hour.
fn invited<S: Store>(store: &S) -> String {
    let text = invite(store, &alice(), NOW, NOW + 3600).unwrap();
    text.expose().to_owned()
}

fn draft() -> Draft {
    Draft::new(&alice(), "bastion", NOW, Params::default()).unwrap()
}

fn right_code(draft: &Draft, at: i64) -> String {
    code(draft.shown.secret_base32.expose(), at)
}

fn enrol_with<S: Store>(store: &S, text: &str, draft: &Draft, typed: &str) -> Confirmation {
    enrol_invited(store, &alice(), &desk(), text, draft, typed, NOW).unwrap()
}

#[test]
fn a_right_code_of_the_draft_spends_the_invitation_and_nothing_else_does() {
    let t = temporary();
    let text = invited(&t.store);
    assert_eq!(ask(&t.store, &text, NOW), Verdict::Invited);
    assert_eq!(ask(&t.store, &text.to_uppercase(), NOW), Verdict::Invited);
    let (one, other) = (draft(), draft());
    let wrong = wrong_code(one.shown.secret_base32.expose(), NOW);
    assert_eq!(
        enrol_with(&t.store, &text, &one, &wrong),
        Confirmation::WrongCode
    );
    assert!(!status(&t.store, &alice(), NOW).unwrap().enrolled);
    let typed = right_code(&one, NOW);
    assert_eq!(
        enrol_with(&t.store, &text, &one, &typed),
        Confirmation::Confirmed
    );
    let seen = status(&t.store, &alice(), NOW).unwrap();
    assert!(seen.enrolled && seen.invited_until_ms.is_none());
    assert_eq!(seen.recovery_codes_left, 10);
    // The code that confirmed is used up, and so is the invitation.
    assert_eq!(ask(&t.store, &typed, NOW), Verdict::Replayed);
    let typed = right_code(&other, NOW);
    assert_eq!(
        enrol_with(&t.store, &text, &other, &typed),
        Confirmation::NothingPending
    );
    assert!(matches!(ask(&t.store, &text, NOW), Verdict::Wrong { .. }));
    assert_eq!(ask(&t.store, &right_code(&one, NOW + 30), NOW + 30), totp());
    assert_eq!(
        ask(&t.store, one.shown.recovery_codes[0].expose(), NOW),
        recovery(9)
    );
}

#[test]
fn the_old_authenticator_stays_in_force_until_then() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let text = invited(&t.store);
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
    assert_eq!(ask(&t.store, &text, NOW), Verdict::Invited);
    let new = draft();
    let typed = right_code(&new, NOW);
    assert_eq!(
        enrol_with(&t.store, &text, &new, &typed),
        Confirmation::Confirmed
    );
    let old = code(&key, NOW + 30);
    assert!(matches!(
        ask(&t.store, &old, NOW + 30),
        Verdict::Wrong { .. }
    ));
}

#[test]
fn of_many_with_one_invitation_one_enrols() {
    let t = temporary();
    for _ in 0..5 {
        let text = invited(&t.store);
        let drafts: Vec<_> = (0..8).map(|_| draft()).collect();
        let barrier = std::sync::Barrier::new(drafts.len());
        let answers: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = drafts
                .iter()
                .map(|draft| {
                    scope.spawn(|| {
                        let typed = right_code(draft, NOW);
                        barrier.wait();
                        enrol_invited(&t.store, &alice(), &desk(), &text, draft, &typed, NOW)
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let of = |wanted: &dyn Fn(&Result<Confirmation, StoreError>) -> bool| {
            answers.iter().filter(|answer| wanted(answer)).count()
        };
        assert_eq!(of(&|a| matches!(a, Ok(Confirmation::Confirmed))), 1);
        let refused = of(&|a| {
            matches!(
                a,
                Ok(Confirmation::NothingPending) | Err(StoreError::Busy { .. })
            )
        });
        assert_eq!(refused, 7, "{answers:?}");
    }
}

#[test]
fn wrong_invitations_count_and_a_late_one_does_not() {
    let t = temporary();
    let text = invited(&t.store);
    let other = invited(&temporary().store);
    for failures in 1..=4 {
        let left = 5 - failures;
        assert_eq!(
            ask(&t.store, &other, NOW),
            Verdict::Wrong { failures, left }
        );
    }
    assert_eq!(ask(&t.store, &text, NOW), Verdict::Invited);
    assert_eq!(ask(&t.store, &text, NOW + 3600), Verdict::InvitedTooLate);
    // Nor does a clock that goes back make it hold again.
    assert_eq!(ask(&t.store, &text, NOW), Verdict::InvitedTooLate);
    assert!(matches!(
        ask(&t.store, &other, NOW),
        Verdict::Wrong { left: 0, .. }
    ));
    assert!(matches!(ask(&t.store, &text, NOW), Verdict::Locked { .. }));
    // Anything else that an invited user without an authenticator types is wrong as well.
    unlock(&t.store, &alice()).unwrap();
    assert!(matches!(
        ask(&t.store, "123456", NOW),
        Verdict::Wrong { .. }
    ));
}

#[test]
fn another_invitation_a_reset_and_an_enrolment_make_it_void() {
    let t = temporary();
    let void = |text: &str| !matches!(ask(&t.store, text, NOW), Verdict::Invited);
    let first = invited(&t.store);
    let second = invited(&t.store);
    assert!(void(&first) && !void(&second));
    let until_ms = Some((NOW + 3600) * 1000);
    assert_eq!(
        status(&t.store, &alice(), NOW).unwrap().invited_until_ms,
        until_ms
    );
    enrol(&t.store);
    assert!(void(&second));
    let third = invited(&t.store);
    reset(&t.store, &alice()).unwrap();
    assert!(void(&third));
    assert_eq!(
        status(&t.store, &alice(), NOW).unwrap().invited_until_ms,
        None
    );
    let fourth = invited(&t.store);
    let pending = begin_enrolment(&t.store, &alice(), "b", NOW, true).unwrap();
    assert!(!void(&fourth));
    let typed = code(pending.secret_base32.expose(), NOW);
    confirm_enrolment(&t.store, &alice(), &typed, NOW).unwrap();
    assert!(void(&fourth));
}
