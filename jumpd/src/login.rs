//! What pam_jump asks after the second factor: the account, the session.

use crate::connection;
use crate::limits::Rate;
use crate::mfa::person_of;
use crate::sessions::Session;
use crate::state::{Applicant, Jumpd, boot_ms, complain, new_id, refused};
use jiff::Timestamp;
use jump_audit::{Event, Kind};
use jump_mfa::{Opening, Who};
use jump_policy::{Decision, Policy};
use jump_proto::{Login, Reason, Reply, SessionId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// How much later than a session's guard systemd ends it, in seconds.
const LIFETIME_SLACK: u64 = 60;

/// What a user reads where it is not about the window.
const NOT_ALLOWED: &str = "Access is not allowed; ask the administrators of this jump server.";
/// What a user reads where something is broken.
pub(crate) const BROKEN: &str =
    "The jump server cannot decide now; please tell its administrators.";

/// A login as far as it can be trusted, or the reason to refuse it outright.
pub(crate) fn applicant(login: &Login) -> Result<Applicant, Reason> {
    let source = connection::source(&login.connection).ok_or(Reason::NoSourceAddress)?;
    let auth = connection::auth_info(&login.auth_info);
    Ok(Applicant {
        login: login.clone(),
        source,
        auth,
    })
}

/// The policy's own user must be the host's: a local account of the same name and another uid is somebody else.
pub(crate) fn is_same_person(policy: &Policy, login: &Login) -> bool {
    policy
        .user(&login.user)
        .is_none_or(|user| user.uid == login.uid)
}

/// For the admin.
const UNCOUNTED: &str = "the user's sessions cannot be counted";

fn most_sessions(policy: &Policy) -> usize {
    usize::try_from(policy.session().concurrent).unwrap_or(usize::MAX)
}

fn too_many(live: usize) -> String {
    format!(
        "You have {live} sessions open, which is the most you may have; close one and try again."
    )
}

pub(crate) fn is_automation(policy: &Policy, user: &str) -> bool {
    policy.automation().contains(&user)
}

fn denied(
    kind: Kind,
    who: &Applicant,
    session: Option<&SessionId>,
    reason: Reason,
    detail: &str,
) -> Event {
    let mut event = who.event(kind).failure().reason(reason);
    if let Some(session) = session {
        event = event.session(session);
    }
    if !detail.is_empty() {
        event = event.detail(detail);
    }
    event
}

impl Jumpd {
    pub(crate) fn deny_login(
        &self,
        kind: Kind,
        who: &Applicant,
        session: Option<&SessionId>,
        reason: Reason,
        detail: &str,
    ) {
        self.note(denied(kind, who, session, reason, detail));
    }

    /// A login that sshd describes in a way that cannot be judged.
    pub(crate) fn deny_unreadable(&self, login: &Login, reason: Reason) {
        self.note(
            Event::new(Kind::AccessDenied)
                .failure()
                .reason(reason)
                .user(&login.user)
                .uid(login.uid)
                .detail(&format!("SSH_CONNECTION is {:?}", login.connection)),
        );
    }

    /// `account`: second factor given, and a rule that admits this user from there now.
    pub(crate) fn account(&self, login: &Login, mark: Option<&SessionId>) -> Reply {
        let who = match applicant(login) {
            Ok(who) => who,
            Err(reason) => {
                self.deny_unreadable(login, reason);
                return Reply::Account {
                    allowed: false,
                    message: Some(BROKEN.to_owned()),
                };
            }
        };
        match self.admitted(&who, mark) {
            Ok((rule, mfa)) => {
                let mut event = who
                    .event(Kind::AccessAllowed)
                    .success()
                    .reason(Reason::RuleAllow)
                    .rule(&rule);
                if let Some(mark) = mark {
                    event = event.session(mark);
                }
                if self.announce(event) {
                    Reply::Account {
                        allowed: true,
                        message: self.ends_soon(&who, &mfa),
                    }
                } else {
                    Reply::Account {
                        allowed: false,
                        message: Some(BROKEN.to_owned()),
                    }
                }
            }
            Err(denial) => {
                let kind = Kind::AccessDenied;
                let mut event = denied(kind, &who, mark, denial.reason, denial.detail);
                if let Some(given) = self.find_mark(mark, &who) {
                    event = event.mfa(&given.mfa);
                }
                if let Some(rule) = &denial.rule {
                    event = event.rule(rule);
                }
                self.note(event);
                Reply::Account {
                    allowed: false,
                    message: Some(denial.message),
                }
            }
        }
    }

    /// The rule that admits a login now, and how its second factor was given.
    fn admitted(
        &self,
        who: &Applicant,
        mark: Option<&SessionId>,
    ) -> Result<(String, String), Denial> {
        let Some(policy) = self.policy() else {
            return Err(Denial::new(Reason::NoRule, "no policy is in force"));
        };
        if !is_same_person(&policy, &who.login) {
            return Err(Denial::new(
                Reason::HostConflict,
                "the host gives this name another uid than the policy",
            ));
        }
        let mfa = match self.find_mark(mark, who) {
            Some(mark) => mark.mfa,
            None if is_automation(&policy, &who.login.user) => "none".to_owned(),
            None => {
                return Err(Denial::new(
                    Reason::MfaMissing,
                    "sshd let this login reach account without a second factor: see jumpctl doctor",
                ));
            }
        };
        // Told early; that no more get in is seen to where a session opens.
        match self.second_factors.open_sessions(&person_of(who)) {
            Ok(open) if open >= most_sessions(&policy) => {
                return Err(Denial {
                    reason: Reason::TooManySessions,
                    rule: None,
                    detail: "",
                    message: too_many(open),
                });
            }
            Ok(_) => {}
            Err(e) => {
                complain(&format!("open sessions of {}: {e}", who.login.user));
                return Err(Denial::new(Reason::NotPersisted, UNCOUNTED));
            }
        }
        match policy.admit(&who.subject(&mfa), who.source.ip(), self.now()) {
            Decision::Allow { rule, .. } => Ok((rule, mfa)),
            ref decision @ Decision::Deny { reason, .. } => {
                let message = if reason == Reason::OutsideWindow {
                    decision.sentence(policy.timezone())
                } else {
                    NOT_ALLOWED.to_owned()
                };
                Err(Denial {
                    reason,
                    rule: decision.rule().map(str::to_owned),
                    detail: "",
                    message,
                })
            }
        }
    }

    /// A sentence for the login, where its session would be warned of its end at once.
    fn ends_soon(&self, who: &Applicant, mfa: &str) -> Option<String> {
        let policy = self.policy()?;
        let now = self.now();
        let (at, _) = policy.session_end(&who.subject(mfa), who.source.ip(), now, now)?;
        let warned = at.checked_sub(policy.session().warn).ok()?;
        // A session that is short by itself (`max`) is no news at every login.
        let short = policy.session().max <= policy.session().warn;
        (warned <= now && !policy.session().warn.is_zero() && !short).then(|| {
            let zoned = at.to_zoned(policy.timezone().clone());
            format!("This session ends at {}.", zoned.strftime("%H:%M %Z"))
        })
    }

    /// How long a session may last at the most, for systemd to end it if everything here is dead.
    ///
    /// Windows are left out: an edit may extend them while the session lives,
    /// and systemd would not hear of it.
    pub(crate) fn lifetime(&self, login: &Login) -> Reply {
        let known = applicant(login).is_ok();
        let policy = self.policy().filter(|_| known);
        Reply::Lifetime {
            seconds: policy.map(|p| p.session().max.as_secs().saturating_add(LIFETIME_SLACK)),
        }
    }

    /// `open_session`: a place in the books, waiting for its guard.
    pub(crate) fn open_session(
        &self,
        login: &Login,
        mark: Option<&SessionId>,
        monitor: i32,
    ) -> Reply {
        let who = match applicant(login) {
            Ok(who) => who,
            Err(reason) => {
                self.deny_unreadable(login, reason);
                return refused(reason, BROKEN);
            }
        };
        let refuse = |reason: Reason, detail: &str, message: String| {
            self.deny_login(Kind::SessionRefused, &who, mark, reason, detail);
            refused(reason, message)
        };
        // Here sshd's list is complete, so this holds for automation users as well.
        if who.key().is_none() {
            return refuse(
                Reason::KeyMissing,
                "sshd verified no public key",
                NOT_ALLOWED.to_owned(),
            );
        }
        let (rule, mfa) = match self.admitted(&who, mark) {
            Ok(admitted) => admitted,
            Err(denial) => return refuse(denial.reason, denial.detail, denial.message),
        };
        let Some(id) = mark.cloned().or_else(|| new_id().ok()) else {
            return refuse(Reason::Internal, "no random numbers", BROKEN.to_owned());
        };
        let key_fingerprint = match self.find_mark(mark, &who) {
            Some(mark) => mark.key_fingerprint,
            None => who.key().map(|k| k.fingerprint.clone()),
        };
        let opened_ms = self.now().as_millisecond();
        let subject = who.subject(&mfa);
        let mut session = Session {
            id: id.clone(),
            user: who.login.user.clone(),
            uid: who.login.uid,
            groups: who.login.groups.clone(),
            source: who.source,
            opened_ms,
            opened_boot_ms: boot_ms(),
            active_boot_ms: boot_ms(),
            judged_by: String::new(),
            mfa,
            auth_method: who.auth.methods.clone(),
            key_fingerprint,
            rule: Some(rule),
            monitor,
            sandbox: String::new(),
            opened: false,
            flows: BTreeMap::new(),
            hops: BTreeMap::new(),
            carriers: vec![],
            own_agent: false,
            sent: 0,
            received: 0,
            ends: None,
            warned: false,
            warned_idle: false,
            rate: Rate::default(),
            ending: None,
            guard: None,
            gone: false,
            was_guarded: false,
            unguarded_since: Instant::now(),
            gone_since: None,
        };
        let Some(policy) = self.policy() else {
            return refuse(
                Reason::NoRule,
                "no policy is in force",
                NOT_ALLOWED.to_owned(),
            );
        };
        session.ends = session_end(&policy, &session, self.now());
        policy.hash().clone_into(&mut session.judged_by);
        let ends_ms = session.ends.map(|(at, _)| at);
        let person = person_of(&who);
        let most = most_sessions(&policy);
        match self.second_factors.open_session(&person, id.as_str(), most) {
            Ok(Opening::Opened) => {}
            Ok(Opening::TooMany { open }) => {
                return refuse(Reason::TooManySessions, "", too_many(open));
            }
            Err(e) => {
                complain(&format!("open sessions of {person}: {e}"));
                return refuse(Reason::NotPersisted, UNCOUNTED, BROKEN.to_owned());
            }
        }
        let inserted = self.sessions().insert(session);
        if let Err(e) = inserted {
            self.no_longer_open(&person, &id);
            return refuse(
                Reason::NotPersisted,
                &format!("the session cannot be written down: {e}"),
                BROKEN.to_owned(),
            );
        }
        if let Some(mark) = mark {
            self.spend_mark(mark);
        }
        // An edit may have come into force between the decision and the books.
        self.set_end_by_new_policy(&policy, &id);
        let still = self
            .policy()
            .is_some_and(|now| now.admit(&subject, who.source.ip(), self.now()).is_allow());
        if !still {
            self.strike_out(&id);
            return refuse(Reason::PolicyChanged, "", NOT_ALLOWED.to_owned());
        }
        Reply::Opened {
            session: id,
            ends_ms,
        }
    }

    /// Sets a session's end anew where the policy is no longer the one that it was set by.
    fn set_end_by_new_policy(&self, by: &Arc<Policy>, id: &SessionId) {
        let mut sessions = self.sessions();
        // Under the lock that a rejudging takes: what is in the books is seen by the next.
        let Some(policy) = self.policy().filter(|now| !Arc::ptr_eq(now, by)) else {
            return;
        };
        if let Some(session) = sessions.get_mut(id) {
            session.ends = session_end(&policy, session, self.now());
            policy.hash().clone_into(&mut session.judged_by);
        }
    }

    /// Takes a session out of the books and the count.
    pub(crate) fn strike_out(&self, id: &SessionId) -> Option<Session> {
        let session = self.sessions().remove(id)?;
        self.no_longer_open(&session.person(), id);
        Some(session)
    }

    /// Whoever cannot be told counts one too many, which lets nobody in.
    pub(crate) fn no_longer_open(&self, person: &Who, id: &SessionId) {
        if let Err(e) = self.second_factors.close_session(person, id.as_str()) {
            complain(&format!("open sessions of {person}: {e}"));
        }
    }

    /// The monitor could not place the guard: the session never was.
    pub(crate) fn session_failed(&self, id: &SessionId, detail: &str) {
        let Some(session) = self.strike_out(id) else {
            return;
        };
        self.note(
            crate::state::session_event(Kind::SessionRefused, &session)
                .failure()
                .reason(Reason::GuardFailed)
                .detail(detail),
        );
    }
}

/// When a session must end at the latest, as the policy stands.
pub(crate) fn session_end(
    policy: &Arc<Policy>,
    session: &Session,
    now: Timestamp,
) -> Option<(i64, Reason)> {
    let opened = session.opened_at(now);
    let subject = session.asker().subject();
    let (at, why) = policy.session_end(&subject, session.source.ip(), opened, now)?;
    Some((at.as_millisecond(), why))
}

/// Why a login is not admitted.
struct Denial {
    reason: Reason,
    /// The rule that denies, or came nearest.
    rule: Option<String>,
    /// For the admin.
    detail: &'static str,
    /// For the user.
    message: String,
}

impl Denial {
    fn new(reason: Reason, detail: &'static str) -> Self {
        Self {
            reason,
            rule: None,
            detail,
            message: NOT_ALLOWED.to_owned(),
        }
    }
}
