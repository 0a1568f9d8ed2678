//! The second factor, as one conversation with pam_jump.
//!
//! Whoever stands at the prompt reads the same question, and after a wrong
//! answer the same sentence, whether enrolled, unenrolled or locked out. A no
//! comes at fixed times after the answer, so that neither Argon2 nor a write to
//! disk tells them apart.

use crate::login::{BROKEN, applicant, is_automation, is_same_person};
use crate::methods;
use crate::mfa;
use crate::state::{Applicant, Jumpd, new_id};
use jump_audit::{Event, Kind};
use jump_policy::Policy;
use jump_proto::{
    AuthStep, Channel, ChannelError, Login, Reason, Reply, Request, Secret, SessionId,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// sshd's `LoginGraceTime` is two minutes; nobody types at prompts for longer.
const TYPING: Duration = Duration::from_secs(150);

/// A no is given this long after the answer, or at the next multiple of it: far
/// more than an Argon2 and a write to disk take, and no burden to a person.
const NO_COMES_AFTER: Duration = Duration::from_millis(250);

/// The one prompt; the same for enrolled, unenrolled and locked users.
const PROMPT: &str = "Verification code: ";
/// The one answer to every kind of wrong.
const NOT_ACCEPTED: &str =
    "Code not accepted. Each code works once: wait for the next one, then try again.";

/// What came back from a prompt.
enum Answer {
    /// This was typed.
    Typed(Secret),
    /// The user hung up: nothing was tried.
    HungUp,
    /// Something that is no answer.
    Nonsense,
}

/// The conversation with one login.
struct Talk<'c> {
    pam: &'c Channel,
    began: Instant,
    /// When the last answer came.
    answered: Option<Instant>,
}

impl<'c> Talk<'c> {
    fn with(pam: &'c Channel) -> Self {
        Self {
            pam,
            began: Instant::now(),
            answered: None,
        }
    }

    fn ask(&mut self, text: &str) -> Result<Answer, ChannelError> {
        self.pam.send(&Reply::Auth(AuthStep::Prompt {
            text: text.to_owned(),
        }))?;
        let left = TYPING.saturating_sub(self.began.elapsed());
        if left.is_zero() {
            return Ok(Answer::HungUp);
        }
        self.pam.set_timeout(Some(left))?;
        let answer = self.pam.recv::<Request>()?;
        self.answered = Some(Instant::now());
        Ok(match answer {
            Some(Request::AuthAnswer { answer }) => Answer::Typed(answer),
            None => Answer::HungUp,
            Some(_) => Answer::Nonsense,
        })
    }

    /// Waits until a no may be given.
    fn wait_for_no(&self) {
        if let Some(answered) = self.answered {
            std::thread::sleep(until_no(answered.elapsed()));
        }
    }
}

/// How much longer a no waits, so long after the answer.
fn until_no(spent: Duration) -> Duration {
    let step = NO_COMES_AFTER.as_micros();
    let left = step - spent.as_micros() % step;
    Duration::from_micros(u64::try_from(left).unwrap_or(0))
}

/// A denial on its way to the journal and to the user.
struct Denial<'d> {
    kind: Kind,
    reason: Reason,
    /// For the admin.
    detail: &'d str,
    /// For the user.
    message: Option<&'d str>,
}

impl<'d> Denial<'d> {
    /// Before anything was asked: there is nothing to say.
    fn silent(reason: Reason, detail: &'d str) -> Self {
        Self {
            kind: Kind::MfaFailed,
            reason,
            detail,
            message: None,
        }
    }
}

impl Jumpd {
    /// `authenticate`, the whole conversation.
    pub(crate) fn authenticate(&self, pam: &Channel, login: &Login) -> Result<(), ChannelError> {
        let mut talk = Talk::with(pam);
        let step = match applicant(login) {
            Ok(who) => self.second_factor(&mut talk, &who)?,
            Err(reason) => {
                self.deny_unreadable(login, reason);
                AuthStep::Denied {
                    message: Some(BROKEN.to_owned()),
                }
            }
        };
        if matches!(step, AuthStep::Denied { .. }) {
            talk.wait_for_no();
        }
        pam.send(&Reply::Auth(step))
    }

    fn second_factor(
        &self,
        talk: &mut Talk<'_>,
        who: &Applicant,
    ) -> Result<AuthStep, ChannelError> {
        let Ok(id) = new_id() else {
            return Ok(AuthStep::Denied { message: None });
        };
        let policy = match self.may_be_asked(who) {
            Ok(policy) => policy,
            Err(denial) => return Ok(self.deny(who, &id, &denial)),
        };
        if let Some(step) = self.without_asking(&policy, who, &id) {
            return Ok(step);
        }
        match talk.ask(PROMPT)? {
            Answer::Typed(typed) => Ok(self.judge_answer(&policy, who, &id, typed.expose())),
            Answer::HungUp => Ok(AuthStep::Denied { message: None }),
            Answer::Nonsense => Ok(self.deny(
                who,
                &id,
                &Denial::silent(Reason::Internal, "not an answer to a prompt"),
            )),
        }
    }

    /// The policy by which a login is asked for its second factor, if it is to be asked at all.
    fn may_be_asked(&self, who: &Applicant) -> Result<Arc<Policy>, Denial<'static>> {
        let Some(policy) = self.policy() else {
            return Err(Denial::silent(Reason::NoRule, "no policy is in force"));
        };
        if !is_same_person(&policy, &who.login) {
            return Err(Denial::silent(
                Reason::HostConflict,
                "the host gives this name another uid than the policy",
            ));
        }
        // The code is the second factor: without a first one there is nothing to add to.
        if who.key().is_none() {
            return Err(Denial::silent(
                Reason::KeyMissing,
                "sshd verified no public key before the second factor",
            ));
        }
        Ok(policy)
    }

    /// The answer to a login that needs no prompt.
    fn without_asking(&self, policy: &Policy, who: &Applicant, id: &SessionId) -> Option<AuthStep> {
        if is_automation(policy, &who.login.user) {
            return Some(self.accept(who, id, Kind::MfaSkipped, "none", Reason::MfaNotRequired));
        }
        let by_key = |key| methods::is_second_factor(policy, &who.login.user, key);
        who.key()
            .is_some_and(by_key)
            .then(|| self.accept(who, id, Kind::MfaOk, "security-key", Reason::SecurityKey))
    }

    fn judge_answer(
        &self,
        policy: &Policy,
        who: &Applicant,
        id: &SessionId,
        typed: &str,
    ) -> AuthStep {
        if mfa::is_fake_password(typed) {
            return self.deny(
                who,
                id,
                &Denial::silent(
                    Reason::UnknownUser,
                    "sshd sent its fake password: the user is denied in sshd_config; not counted",
                ),
            );
        }
        let denied = |kind, reason, detail: &str, message| {
            self.deny(
                who,
                id,
                &Denial {
                    kind,
                    reason,
                    detail,
                    message: Some(message),
                },
            )
        };
        if let Some(detail) = methods::not_taken(policy, &who.login.user, typed) {
            return denied(Kind::MfaFailed, Reason::MfaMethod, &detail, NOT_ACCEPTED);
        }
        match mfa::verify(self, policy, who, typed) {
            mfa::Outcome::Accepted {
                method,
                reason,
                detail,
            } => self.accept_detailed(who, id, method, reason, &detail),
            mfa::Outcome::Denied {
                kind,
                reason,
                detail,
            } => {
                let step = denied(kind, reason, &detail, NOT_ACCEPTED);
                // Whoever guesses may hold a stolen key, and a session by it.
                if kind == Kind::MfaLocked {
                    self.end_sessions_from(who, Reason::LockedOut);
                }
                step
            }
            mfa::Outcome::Broken { detail } => {
                denied(Kind::MfaFailed, Reason::NotPersisted, &detail, BROKEN)
            }
        }
    }

    fn deny(&self, who: &Applicant, id: &SessionId, denial: &Denial<'_>) -> AuthStep {
        self.deny_login(denial.kind, who, Some(id), denial.reason, denial.detail);
        AuthStep::Denied {
            message: denial.message.map(str::to_owned),
        }
    }

    fn accept(
        &self,
        who: &Applicant,
        id: &SessionId,
        kind: Kind,
        method: &str,
        reason: Reason,
    ) -> AuthStep {
        let event = who
            .event(kind)
            .success()
            .session(id)
            .mfa(method)
            .reason(reason);
        self.grant(who, id, method, event)
    }

    fn accept_detailed(
        &self,
        who: &Applicant,
        id: &SessionId,
        method: &str,
        reason: Option<Reason>,
        detail: &str,
    ) -> AuthStep {
        let mut event = who.event(Kind::MfaOk).success().session(id).mfa(method);
        if let Some(reason) = reason {
            event = event.reason(reason);
        }
        if !detail.is_empty() {
            event = event.detail(detail);
        }
        self.grant(who, id, method, event)
    }

    fn grant(&self, who: &Applicant, id: &SessionId, method: &str, event: Event) -> AuthStep {
        if !self.announce(event) {
            return AuthStep::Denied {
                message: Some(BROKEN.to_owned()),
            };
        }
        self.leave_mark(id.clone(), who, method);
        AuthStep::Accepted { mark: id.clone() }
    }
}

#[cfg(test)]
mod tests;
