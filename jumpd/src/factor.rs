//! The second factor, as one conversation with pam_jump.
//!
//! Whoever stands at the prompt reads the same question, and after a wrong
//! answer the same sentence, whether enrolled, unenrolled or locked out. A no
//! comes at fixed times after the answer, so that neither Argon2 nor a write to
//! disk tells them apart.

mod invited;

use crate::login::{BROKEN, applicant, is_automation, is_same_person};
use crate::methods;
use crate::mfa;
use crate::remember::Moment;
use crate::state::{Applicant, Jumpd, boot_ms, complain, new_id};
use jump_audit::Kind;
use jump_policy::{Method, Policy};
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
pub(crate) const NOT_ACCEPTED: &str =
    "Code not accepted. Each code works once: wait for the next one, then try again.";

/// What came back from a prompt.
enum Answer {
    /// This was typed.
    Typed(Secret),
    /// The user hung up, or typed nothing for too long: nothing was tried.
    None,
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

    fn ask(&mut self, text: &str) -> Answer {
        self.ask_with(Vec::new(), text)
    }

    /// Shows lines, then asks.
    fn ask_with(&mut self, info: Vec<Secret>, text: &str) -> Answer {
        let answer = self.exchange(info, text);
        self.answered = Some(Instant::now());
        match answer {
            Ok(Some(Request::AuthAnswer { answer })) => Answer::Typed(answer),
            Ok(Some(_)) | Err(ChannelError::TooLarge(_) | ChannelError::Malformed(_)) => {
                Answer::Nonsense
            }
            Ok(None) | Err(_) => Answer::None,
        }
    }

    fn exchange(&self, info: Vec<Secret>, text: &str) -> Result<Option<Request>, ChannelError> {
        self.pam.send(&Reply::Auth(AuthStep::Prompt {
            text: text.to_owned(),
            info,
        }))?;
        let left = TYPING.saturating_sub(self.began.elapsed());
        if left.is_zero() {
            return Err(ChannelError::TimedOut);
        }
        self.pam.set_timeout(Some(left))?;
        self.pam.recv()
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

/// The word for a code of the authenticator.
pub(crate) const TOTP: &str = "totp";
/// The word for a code that was given at an earlier login.
pub(crate) const REMEMBERED: &str = "remembered";

/// How a second factor was given.
pub(crate) struct Factor {
    /// The word for events and sessions.
    pub(crate) mfa: &'static str,
    pub(crate) reason: Option<Reason>,
    /// For the admin.
    pub(crate) detail: String,
}

impl Factor {
    /// Given now.
    pub(crate) fn by(mfa: &'static str) -> Self {
        Self {
            mfa,
            reason: None,
            detail: String::new(),
        }
    }

    pub(crate) fn because(self, reason: Reason) -> Self {
        Self {
            reason: Some(reason),
            ..self
        }
    }
}

impl From<jump_mfa::Method> for Factor {
    fn from(method: jump_mfa::Method) -> Self {
        match method {
            jump_mfa::Method::Totp => Self::by(TOTP),
            jump_mfa::Method::Recovery { left } => Self {
                detail: format!("recovery codes left: {left}"),
                ..Self::by("recovery").because(Reason::RecoveryCode)
            },
        }
    }
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
            Ok(who) => self.second_factor(&mut talk, &who),
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

    fn second_factor(&self, talk: &mut Talk<'_>, who: &Applicant) -> AuthStep {
        let Ok(id) = new_id() else {
            return AuthStep::Denied { message: None };
        };
        let policy = match self.may_be_asked(who) {
            Ok(policy) => policy,
            Err(denial) => return self.deny(who, &id, &denial),
        };
        if let Some(step) = self.without_asking(&policy, who, &id) {
            return step;
        }
        match talk.ask(PROMPT) {
            Answer::Typed(typed) => self.judge_answer(talk, &policy, who, &id, &typed),
            Answer::None => self.unanswered(who, &id, "nothing was typed at the prompt"),
            Answer::Nonsense => self.nonsense(who, &id),
        }
    }

    /// Somebody who verified a key and then hung up is no stranger: it is an event, and not a failure that counts.
    fn unanswered(&self, who: &Applicant, id: &SessionId, detail: &str) -> AuthStep {
        self.deny(who, id, &Denial::silent(Reason::NoAnswer, detail))
    }

    fn nonsense(&self, who: &Applicant, id: &SessionId) -> AuthStep {
        let denial = Denial::silent(Reason::Internal, "not an answer to a prompt");
        self.deny(who, id, &denial)
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
            let why = Reason::MfaNotRequired;
            let how = Factor::by("none").because(why);
            return Some(self.accept(who, id, Kind::MfaSkipped, &how));
        }
        let by_key = |key| methods::is_second_factor(policy, &who.login.user, key);
        if who.key().is_some_and(by_key) {
            let how = Factor::by("security-key").because(Reason::SecurityKey);
            return Some(self.accept(who, id, Kind::MfaOk, &how));
        }
        let past = self.past(policy, who)?;
        let how = Factor {
            detail: format!("a code was given {} min ago", past.as_secs() / 60),
            ..Factor::by(REMEMBERED).because(Reason::Remembered)
        };
        Some(self.accept(who, id, Kind::MfaSkipped, &how))
    }

    /// How long ago a code was given by this user with this key from there, where that still counts.
    fn past(&self, policy: &Policy, who: &Applicant) -> Option<Duration> {
        let life = policy.mfa().remember;
        if life.is_zero() || !policy.mfa_methods(&who.login.user).contains(&Method::Totp) {
            return None;
        }
        let standing = self.standing(who)?;
        self.remembered
            .recall(who.login.uid, &who.place(), &standing, life, self.moment())
    }

    /// Remembers a code of the authenticator that was typed at a prompt; nothing else is. `standing` is
    /// that of the record at the verdict: what has changed it since ends what is remembered.
    fn keep(&self, policy: &Policy, who: &Applicant, how: &Factor, standing: String) {
        if policy.mfa().remember.is_zero() || how.mfa != TOTP {
            return;
        }
        let (uid, place) = (who.login.uid, who.place());
        if let Err(e) = self.remembered.keep(uid, place, standing, self.moment()) {
            complain(&format!("the next login of uid {uid} will be asked: {e}"));
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            boot_ms: boot_ms(),
            wall_ms: self.now().as_millisecond(),
        }
    }

    fn standing(&self, who: &Applicant) -> Option<String> {
        let person = mfa::person_of(who);
        jump_mfa::standing(&self.second_factors, &person).unwrap_or_else(|e| {
            complain(&format!("second factor of {person}: {e}"));
            None
        })
    }

    fn judge_answer(
        &self,
        talk: &mut Talk<'_>,
        policy: &Policy,
        who: &Applicant,
        id: &SessionId,
        typed: &Secret,
    ) -> AuthStep {
        if mfa::is_fake_password(typed.expose()) {
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
        match methods::not_taken(policy, &mfa::person_of(who), typed.expose()) {
            Ok(None) => {}
            Ok(Some(detail)) => {
                return denied(Kind::MfaFailed, Reason::MfaMethod, &detail, NOT_ACCEPTED);
            }
            Err(e) => return denied(Kind::MfaFailed, mfa::reason(&e), &e.to_string(), BROKEN),
        }
        match mfa::verify(
            self,
            policy,
            &mfa::person_of(who),
            &who.place(),
            typed.expose(),
        ) {
            mfa::Outcome::Invited => self.enrol_invited(talk, policy, who, id, typed),
            mfa::Outcome::Accepted { how, standing } => {
                let step = self.accept(who, id, Kind::MfaOk, &how);
                if let (AuthStep::Accepted { .. }, Some(standing)) = (&step, standing) {
                    self.keep(policy, who, &how, standing);
                }
                step
            }
            mfa::Outcome::Denied {
                kind,
                reason,
                detail,
            } => {
                let step = denied(kind, reason, &detail, NOT_ACCEPTED);
                // Whoever guesses may hold a stolen key, and a session by it.
                if kind == Kind::MfaLocked {
                    self.end_sessions_from(who.login.uid, &who.place(), Reason::LockedOut);
                }
                step
            }
            mfa::Outcome::Broken { reason, detail } => {
                denied(Kind::MfaFailed, reason, &detail, BROKEN)
            }
        }
    }

    fn deny(&self, who: &Applicant, id: &SessionId, denial: &Denial<'_>) -> AuthStep {
        self.deny_login(denial.kind, who, Some(id), denial.reason, denial.detail);
        AuthStep::Denied {
            message: denial.message.map(str::to_owned),
        }
    }

    /// Lets a login on, once its event is written.
    fn accept(&self, who: &Applicant, id: &SessionId, kind: Kind, how: &Factor) -> AuthStep {
        let mut event = who.event(kind).success().session(id).mfa(how.mfa);
        if let Some(reason) = how.reason {
            event = event.reason(reason);
        }
        if !how.detail.is_empty() {
            event = event.detail(&how.detail);
        }
        if !self.announce(event) {
            return AuthStep::Denied {
                message: Some(BROKEN.to_owned()),
            };
        }
        self.leave_mark(id.clone(), who, how.mfa);
        AuthStep::Accepted { mark: id.clone() }
    }
}

#[cfg(test)]
mod tests;
