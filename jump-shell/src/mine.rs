//! Answers about the user's own sessions and second factor.

use crate::clock::Clock;
use crate::style::Style;
use crate::table::{fact, table};
use crate::text::shown;
use jiff::Timestamp;
use jump_proto::{MfaLock, MfaUser, Secret, SessionId, SessionInfo};

/// Below so many recovery codes, it is time for new ones.
const FEW_CODES: u32 = 3;

/// The table of `sessions`.
pub(crate) fn sessions(
    sessions: &[SessionInfo],
    this: &SessionId,
    more: bool,
    clock: &Clock,
    style: Style,
) -> String {
    let titles = ["SESSION", "FROM", "SINCE", "UNTIL", "CONNECTIONS", ""];
    let mut rows = vec![titles.map(str::to_owned)];
    rows.extend(sessions.iter().map(|session| {
        let here = if session.session == *this {
            "this one"
        } else {
            ""
        };
        [
            session.session.to_string(),
            session.source.ip().to_string(),
            clock.say(session.opened_ms),
            session
                .ends_ms
                .map_or_else(|| "no set end".to_owned(), |end| clock.say(end)),
            session.flow_count.to_string(),
            here.to_owned(),
        ]
    }));
    let mut out = table(&rows, style);
    if more {
        out.push_str("There are more than these.\n");
    }
    out
}

/// The card of `mfa`.
pub(crate) fn second_factor(user: &MfaUser, clock: &Clock, now: Timestamp, style: Style) -> String {
    let mut out = String::new();
    if user.automation {
        return "You are an automation user: you are never asked for a second factor.\n".to_owned();
    }
    if let Some(problem) = &user.problem {
        return format!("{}\n", style.warning(&shown(&problem.text)));
    }
    let authenticator = match (&user.totp, user.enrolled) {
        (Some(totp), true) => format!(
            "enrolled ({} digits, every {} s)",
            totp.digits, totp.period_s
        ),
        (_, true) => "enrolled".to_owned(),
        (_, false) => "none".to_owned(),
    };
    fact(&mut out, style, "authenticator", &authenticator);
    if let Some(until) = user.invited_until_ms {
        let until = format!(
            "to enrol an authenticator at a login, until {}",
            clock.say(until)
        );
        fact(&mut out, style, "invited", &until);
    }
    let left = format!("{} left", user.recovery_codes_left);
    let few = user.enrolled && user.recovery_codes_left < FEW_CODES;
    let left = if few { style.warning(&left) } else { left };
    fact(&mut out, style, "recovery codes", &left);
    let key = if user.security_key {
        "yes, as a login key"
    } else {
        "none"
    };
    fact(&mut out, style, "security key", key);
    let taken: Vec<&str> = user.methods.iter().map(|method| method.as_str()).collect();
    fact(&mut out, style, "accepted", &taken.join(", "));
    if user.locks.is_empty() {
        fact(&mut out, style, "locked out", "no");
    }
    for lock in &user.locks {
        fact(
            &mut out,
            style,
            "locked out",
            &style.warning(&locked(lock, clock, now)),
        );
    }
    if user.enrolled {
        out.push_str("\nNew recovery codes: mfa recovery-codes\n");
    }
    out
}

fn locked(lock: &MfaLock, clock: &Clock, now: Timestamp) -> String {
    let place = match (&lock.source, &lock.key_fingerprint) {
        (Some(source), Some(key)) => format!("{} with the key {}", shown(source), shown(key)),
        _ => "every place that never brought a right code".to_owned(),
    };
    format!(
        "{place}, until {} ({} left)",
        clock.say(lock.until_ms),
        Clock::left(lock.until_ms, now)
    )
}

/// New recovery codes, the one time that they are shown.
pub(crate) fn recovery_codes(codes: &[Secret], style: Style) -> String {
    let mut out = String::from("Your new recovery codes; those of before are void:\n\n");
    for code in codes {
        out.push_str("  ");
        out.push_str(&style.strong(&shown(code.expose())));
        out.push('\n');
    }
    out.push_str("\nEach is good once, in place of a code of your authenticator. They are not shown again.\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use jump_proto::{MfaProblem, Reason, TotpParams};

    fn user() -> MfaUser {
        MfaUser {
            user: "alice".to_owned(),
            enrolled: true,
            pending: false,
            recovery_codes_left: 8,
            locked_until_ms: None,
            failures: 0,
            automation: false,
            uid: 70001,
            unlisted: false,
            methods: vec![jump_proto::Method::Totp, jump_proto::Method::Recovery],
            security_key: false,
            totp: Some(TotpParams::default()),
            invited_until_ms: None,
            locks: Vec::new(),
            clock_behind_s: None,
            problem: None,
        }
    }

    fn said(user: &MfaUser) -> String {
        second_factor(
            user,
            &Clock::of_host(),
            Timestamp::UNIX_EPOCH,
            Style::default(),
        )
    }

    #[test]
    fn who_is_enrolled_sees_all_of_it() {
        let said = said(&user());
        for line in [
            "authenticator  enrolled (6 digits, every 30 s)",
            "recovery codes 8 left",
            "security key   none",
            "accepted       totp, recovery",
            "locked out     no",
            "mfa recovery-codes",
        ] {
            assert!(said.contains(line), "{line} in {said}");
        }
    }

    #[test]
    fn a_lock_out_says_whence_and_how_long() {
        let locks = vec![MfaLock {
            key_fingerprint: Some("SHA256:\u{1b}x".to_owned()),
            source: Some("192.0.2.1".to_owned()),
            until_ms: 120_000,
        }];
        let said = said(&MfaUser { locks, ..user() });
        assert!(
            said.contains("192.0.2.1 with the key SHA256:\\u{1b}x, until "),
            "{said}"
        );
        assert!(said.contains("(2 min left)"), "{said}");
    }

    #[test]
    fn who_has_none_and_who_needs_none_are_told() {
        let none = MfaUser {
            enrolled: false,
            totp: None,
            recovery_codes_left: 0,
            ..user()
        };
        assert!(said(&none).contains("authenticator  none"));
        assert!(!said(&none).contains("mfa recovery-codes"));
        let automation = MfaUser {
            automation: true,
            ..user()
        };
        assert!(said(&automation).starts_with("You are an automation user"));
        let problem = MfaProblem {
            reason: Reason::RestoredRecord,
            text: "refused\u{7}".to_owned(),
        };
        let refused = MfaUser {
            problem: Some(problem),
            ..user()
        };
        assert_eq!(said(&refused), "refused\\u{7}\n");
    }
}
