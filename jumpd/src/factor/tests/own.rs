//! What a user may do about their own from the restricted shell, and nobody about others'.

use super::*;
use crate::sessions::Session;
use jump_proto::{MfaUser, SessionInfo};

fn policy() -> String {
    let rule = "[targets.x]\nhosts = [\"192.0.2.77\"]\nports = [22]\n[[rules]]\nname = \"r\"\n\
                effect = \"allow\"\nusers = [\"alice\", \"bob\"]\ntargets = [\"x\"]\n";
    format!("{}{rule}", super::policy()).replace("attempts = 100", "attempts = 3")
}

impl Host {
    /// A live session of somebody who has given a code.
    fn session(&self, login: &Login, key: &Secret) -> SessionId {
        let code = self.fresh_code(key);
        let (step, ..) = self.converse(login, &[&code]);
        let AuthStep::Accepted { mark } = step else {
            panic!("{step:?}");
        };
        let reply = self.jumpd.open_session(login, Some(&mark), 4711);
        let Reply::Opened { session, .. } = reply else {
            panic!("{reply:?}");
        };
        // As it is once the guard is at its post.
        let mut sessions = self.jumpd.sessions();
        sessions.get_mut(&session).unwrap().opened = true;
        session
    }

    fn ask(&self, session: &SessionId, request: Request) -> Reply {
        self.jumpd.answer_shell(session, None, request)
    }

    fn own_sessions(&self, session: &SessionId) -> Vec<SessionInfo> {
        match self.ask(session, Request::OwnSessions) {
            Reply::OwnSessions { sessions, .. } => sessions,
            other => panic!("{other:?}"),
        }
    }

    fn own_mfa(&self, session: &SessionId) -> MfaUser {
        match self.ask(session, Request::OwnMfa) {
            Reply::MfaStatus { mut users } => users.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Asks for new recovery codes; those, or the reason and the sentence of the refusal.
    fn new_codes(&self, session: &SessionId, code: &str) -> Result<Vec<Secret>, (Reason, String)> {
        let code = Secret::new(code.to_owned());
        match self.ask(session, Request::OwnRecoveryCodes { code }) {
            Reply::RecoveryCodes { codes } => Ok(codes),
            Reply::Refused { reason, message } => Err((reason, message)),
            other => panic!("{other:?}"),
        }
    }

    fn is_ending(&self, session: &SessionId) -> Option<Reason> {
        self.jumpd
            .sessions()
            .get(session)
            .and_then(|s: &Session| s.ending)
    }
}

#[test]
fn a_user_sees_and_ends_only_their_own_sessions() {
    let host = Host::with(&policy());
    let (alice, bob) = (who("alice", 70001), who("bob", 70002));
    let (alices, bobs) = (host.enrol(&alice), host.enrol(&bob));
    let first = host.session(&login(&alice), &alices);
    let second = host.session(&login_from(&alice, "192.0.2.11"), &alices);
    let other = host.session(&login(&bob), &bobs);
    let mine: Vec<SessionId> = host
        .own_sessions(&first)
        .into_iter()
        .map(|s| s.session)
        .collect();
    assert_eq!(mine.len(), 2);
    assert!(mine.contains(&first) && mine.contains(&second), "{mine:?}");

    let unknown = SessionId::from_bytes([9; 16]);
    for not_mine in [&other, &unknown] {
        let session = not_mine.clone();
        let reply = host.ask(&first, Request::EndOwnSession { session });
        let Reply::Refused { reason, message } = reply else {
            panic!("{reply:?}");
        };
        assert_eq!(reason, Reason::NoSession);
        assert!(
            message.starts_with("You have no session of that name"),
            "{message}"
        );
    }
    assert_eq!(host.is_ending(&other), None);

    let session = second.clone();
    assert!(matches!(
        host.ask(&first, Request::EndOwnSession { session }),
        Reply::Done
    ));
    assert_eq!(host.told(), "session.killed user");
    let detail = host.journal.events().pop().unwrap().fields;
    assert!(
        detail
            .iter()
            .any(|(_, value)| value.contains(first.as_str())),
        "{detail:?}"
    );
    assert_eq!(host.is_ending(&second), Some(Reason::User));
    assert_eq!(host.is_ending(&first), None);
    assert_eq!(host.own_sessions(&first).len(), 1);
}

#[test]
fn a_session_that_is_being_ended_asks_in_vain() {
    let host = Host::with(&policy());
    let alice = who("alice", 70001);
    let key = host.enrol(&alice);
    let own = host.session(&login(&alice), &key);
    let session = own.clone();
    assert!(matches!(
        host.ask(&own, Request::EndOwnSession { session }),
        Reply::Done
    ));
    assert!(matches!(
        host.ask(&own, Request::OwnSessions),
        Reply::Refused {
            reason: Reason::NoSession,
            ..
        }
    ));
}

#[test]
fn new_recovery_codes_cost_a_present_code_and_void_the_old_ones() {
    let host = Host::with(&policy());
    let alice = who("alice", 70001);
    let new = host.enrol_with_codes(&alice);
    let session = host.session(&login(&alice), &new.secret_base32);
    assert_eq!(host.own_mfa(&session).recovery_codes_left, 10);
    let (step, ..) = host.converse(&login(&alice), &[new.recovery_codes[0].expose()]);
    assert!(matches!(step, AuthStep::Accepted { .. }), "{step:?}");
    assert_eq!(host.own_mfa(&session).recovery_codes_left, 9);

    let code = host.fresh_code(&new.secret_base32);
    let codes = host.new_codes(&session, &code).unwrap();
    assert_eq!(codes.len(), 10);
    assert_eq!(host.told(), "mfa.enrolled user");
    assert_eq!(host.own_mfa(&session).recovery_codes_left, 10);
    // The code is used up, here and at a login.
    assert_eq!(host.new_codes(&session, &code).unwrap_err().1, NOT_ACCEPTED);
    assert_eq!(host.told(), "mfa.replayed replayed_code");
    let (step, ..) = host.converse(&login(&alice), &[&code]);
    assert!(matches!(step, AuthStep::Denied { .. }), "{step:?}");
    // Of the sheets, only the new one counts.
    let (step, ..) = host.converse(&login(&alice), &[new.recovery_codes[1].expose()]);
    assert!(matches!(step, AuthStep::Denied { .. }), "{step:?}");
    let (step, ..) = host.converse(&login(&alice), &[codes[0].expose()]);
    assert!(matches!(step, AuthStep::Accepted { .. }), "{step:?}");
}

#[test]
fn only_a_code_of_the_authenticator_will_do_and_nothing_else_is_spent() {
    let host = Host::with(&policy());
    let alice = who("alice", 70001);
    let new = host.enrol_with_codes(&alice);
    let session = host.session(&login(&alice), &new.secret_base32);
    for typed in ["", "help", new.recovery_codes[0].expose()] {
        let (reason, message) = host.new_codes(&session, typed).unwrap_err();
        assert_eq!(
            (reason, message.as_str()),
            (Reason::WrongCode, NOT_ACCEPTED)
        );
        assert_eq!(host.told(), "mfa.failed wrong_code");
    }
    let status = host.own_mfa(&session);
    assert_eq!((status.recovery_codes_left, status.failures), (10, 0));
    assert_eq!(host.is_ending(&session), None);
}

#[test]
fn guesses_are_counted_as_at_a_login_and_end_the_session() {
    let host = Host::with(&policy());
    let alice = who("alice", 70001);
    let key = host.enrol(&alice);
    let session = host.session(&login(&alice), &key);
    let elsewhere = host.session(&login_from(&alice, "192.0.2.11"), &key);
    let wrong = "000000000000";
    for _ in 0..2 {
        assert_eq!(host.new_codes(&session, wrong).unwrap_err().1, NOT_ACCEPTED);
        assert_eq!(host.told(), "mfa.failed wrong_code");
    }
    assert_eq!(host.is_ending(&session), None);
    assert_eq!(host.new_codes(&session, wrong).unwrap_err().1, NOT_ACCEPTED);
    assert_eq!(host.told(), "session.expired locked_out");
    assert_eq!(host.is_ending(&session), Some(Reason::LockedOut));
    // From another place, the user goes on.
    assert_eq!(host.is_ending(&elsewhere), None);
    let locks = host.own_mfa(&elsewhere).locks;
    assert_eq!(locks.len(), 1, "{locks:?}");
    // A login from there hears nothing either.
    let code = host.fresh_code(&key);
    let (step, ..) = host.converse(&login(&alice), &[&code]);
    assert!(matches!(step, AuthStep::Denied { .. }), "{step:?}");
}

#[test]
fn where_recovery_codes_are_not_taken_none_are_made() {
    let host = Host::with(&policy());
    let alice = who("alice", 70001);
    let key = host.enrol(&alice);
    let session = host.session(&login(&alice), &key);
    host.take(&policy().replace("uid = 70001", "uid = 70001\nmfa = [\"totp\"]"));
    let code = host.fresh_code(&key);
    let (reason, message) = host.new_codes(&session, &code).unwrap_err();
    assert_eq!(reason, Reason::MfaMethod);
    assert!(message.contains("takes no recovery codes"), "{message}");
    assert_eq!(host.own_mfa(&session).recovery_codes_left, 10);
}
