//! What the restricted shell asks about its user's own sessions and second factor.
//!
//! Whose they are is never asked: the session that the guard attests says so. Whoever
//! types may be somebody who found a terminal left alone, so new recovery codes cost a
//! code of the authenticator, and guesses at it are counted as those at a login are.

use crate::factor::NOT_ACCEPTED;
use crate::login::{BROKEN, is_automation};
use crate::methods;
use crate::mfa;
use crate::sessions::Asker;
use crate::state::{Jumpd, complain, refused};
use jump_audit::Kind;
use jump_policy::{Method, Policy};
use jump_proto::{Reason, Reply, Secret, SessionId, SessionInfo};

/// Sessions in one answer: they fit into a message many times over.
const MOST_LISTED: usize = 64;

/// A user who asks again and again costs the host no more than one look at its sockets a second.
const LOOK_MS: i64 = 1_000;

impl Jumpd {
    /// The live sessions of the asker's user.
    pub(crate) fn own_sessions(&self, asker: &Asker) -> Reply {
        self.look_at_flows(LOOK_MS);
        let person = asker.person();
        let mut sessions: Vec<SessionInfo> = self
            .sessions()
            .iter()
            .filter(|s| s.opened && s.ending.is_none() && s.gone_since.is_none())
            .filter(|s| s.person() == person)
            .map(|s| SessionInfo {
                // A process of the host's, which is none of the user's business.
                guard: None,
                ..s.info(0)
            })
            .collect();
        sessions.sort_by_key(|s| s.opened_ms);
        let more = sessions.len() > MOST_LISTED;
        sessions.truncate(MOST_LISTED);
        Reply::OwnSessions {
            this: asker.id().clone(),
            sessions,
            more,
        }
    }

    /// Ends a session of the asker's user; one of somebody else is as unknown as one that never was.
    pub(crate) fn end_own_session(&self, asker: &Asker, id: &SessionId) -> Reply {
        let person = asker.person();
        let detail = format!("asked for in session {}", asker.id());
        let ended = self.end_by_hand(id, Reason::User, &detail, |s| {
            s.opened && s.gone_since.is_none() && s.person() == person
        });
        if ended {
            return Reply::Done;
        }
        refused(
            Reason::NoSession,
            "You have no session of that name; \"sessions\" lists yours.",
        )
    }

    /// The second factor of the asker's user.
    pub(crate) fn own_mfa(&self, asker: &Asker) -> Reply {
        let mut user = self.mfa_of(self.policy().as_deref(), &asker.person());
        if let Some(problem) = &mut user.problem {
            // What is wrong, and how it is mended, is for those who can.
            problem.text =
                "The record of your second factor is refused; please tell the administrators."
                    .to_owned();
        }
        Reply::MfaStatus { users: vec![user] }
    }

    /// Ten new recovery codes for the asker's user, if `code` is one of the authenticator now.
    pub(crate) fn own_recovery_codes(&self, asker: &Asker, code: &Secret) -> Reply {
        let Some(policy) = self.policy() else {
            return refused(Reason::NoRule, BROKEN);
        };
        if let Some(refusal) = no_use_for_recovery_codes(&policy, &asker.person().user) {
            return refusal;
        }
        if let Err(refusal) = self.present_code(&policy, asker, code.expose()) {
            return *refusal;
        }
        let event = asker
            .event(Kind::MfaEnrolled)
            .success()
            .reason(Reason::User)
            .detail("new recovery codes");
        if !self.announce(event) {
            return refused(Reason::AuditFailed, BROKEN);
        }
        match jump_mfa::new_recovery_codes(&self.second_factors, &asker.person()) {
            Ok(codes) => Reply::RecoveryCodes { codes },
            Err(e) => {
                complain(&format!("recovery codes of {}: {e}", asker.person()));
                refused(mfa::reason(&e), BROKEN)
            }
        }
    }

    /// Uses up a code of the authenticator, or counts what was typed, as a login does.
    fn present_code(&self, policy: &Policy, asker: &Asker, typed: &str) -> Result<(), Box<Reply>> {
        let (person, place) = (asker.person(), asker.place());
        let no = |kind, reason, detail: &str| {
            let event = asker.event(kind).failure().reason(reason);
            self.note(event.detail(detail));
        };
        let not_accepted = || Box::new(refused(Reason::WrongCode, NOT_ACCEPTED));
        // Judged, a recovery code would be spent for others; by its form alone it tells nothing.
        if typed.is_empty() || !typed.bytes().all(|b| b.is_ascii_digit()) {
            let detail = "not in the form of a code of the authenticator; not counted";
            no(Kind::MfaFailed, Reason::WrongCode, detail);
            return Err(not_accepted());
        }
        match methods::not_taken(policy, &person, typed) {
            Ok(None) => {}
            Ok(Some(detail)) => {
                no(Kind::MfaFailed, Reason::MfaMethod, &detail);
                return Err(not_accepted());
            }
            Err(e) => {
                no(Kind::MfaFailed, mfa::reason(&e), &e.to_string());
                return Err(Box::new(refused(mfa::reason(&e), BROKEN)));
            }
        }
        match mfa::verify(self, policy, &person, &place, typed) {
            mfa::Outcome::Accepted { .. } => Ok(()),
            mfa::Outcome::Invited => {
                let detail = "an invitation, which is for a login";
                no(Kind::MfaFailed, Reason::MfaMethod, detail);
                Err(not_accepted())
            }
            mfa::Outcome::Denied {
                kind,
                reason,
                detail,
            } => {
                no(kind, reason, &detail);
                if kind == Kind::MfaLocked {
                    self.end_sessions_from(person.uid, &place, Reason::LockedOut);
                }
                Err(not_accepted())
            }
            mfa::Outcome::Broken { reason, detail } => {
                no(Kind::MfaFailed, reason, &detail);
                Err(Box::new(refused(reason, BROKEN)))
            }
        }
    }
}

/// The refusal of codes that could never be used.
fn no_use_for_recovery_codes(policy: &Policy, user: &str) -> Option<Reply> {
    if is_automation(policy, user) {
        return Some(refused(
            Reason::MfaNotRequired,
            "You are never asked for a code, so there are no recovery codes for you.",
        ));
    }
    if !policy.mfa_methods(user).contains(&Method::Recovery) {
        return Some(refused(
            Reason::MfaMethod,
            "The policy of this jump server takes no recovery codes from you.",
        ));
    }
    None
}
