//! The second factor as jumpd uses it: verdicts into reasons, and jumpctl's requests.

use crate::factor::Factor;
use crate::state::{Applicant, Jumpd, complain, refused};
use jiff::Timestamp;
use jump_audit::{Event, Kind};
use jump_mfa::{Confirmation, Limits, Place, RecordError, Status, StoreError, Verdict, Who};
use jump_policy::Policy;
use jump_proto::{MfaLock, MfaProblem, MfaUser, Reason, Reply, Secret, TotpChoice, paths};

/// What sshd sends instead of the typed password of a user it denies (auth-pam.c).
const FAKE_PASSWORD: &str = "\u{8}\n\r\u{7f}INCORRECT";

/// Whether sshd, not a person, typed this.
pub(crate) fn is_fake_password(typed: &str) -> bool {
    typed.starts_with(FAKE_PASSWORD)
}

/// What came of a typed code.
pub(crate) enum Outcome {
    Accepted {
        how: Factor,
        /// How the user's record stood then.
        standing: Option<String>,
    },
    /// A right invitation.
    Invited,
    Denied {
        kind: Kind,
        reason: Reason,
        detail: String,
    },
    Broken {
        reason: Reason,
        detail: String,
    },
}

fn limits(policy: &Policy) -> Limits {
    Limits {
        attempts: policy.mfa().attempts,
        lockout: policy.mfa().lockout,
    }
}

/// Whose record a login is about.
pub(crate) fn person_of(who: &Applicant) -> Who {
    Who {
        uid: who.login.uid,
        user: who.login.user.clone(),
    }
}

/// Verifies a typed code; the state is durable when this returns.
pub(crate) fn verify(
    jumpd: &Jumpd,
    policy: &Policy,
    person: &Who,
    place: &Place,
    typed: &str,
) -> Outcome {
    let now = jumpd.now().as_second();
    let denied = |kind, reason, detail: String| Outcome::Denied {
        kind,
        reason,
        detail,
    };
    let judged = jump_mfa::judge(
        &jumpd.second_factors,
        person,
        place,
        typed,
        now,
        &limits(policy),
    );
    let (answer, standing, lock_began) = match judged {
        Ok(judged) => (Ok(judged.verdict), judged.standing, judged.lock_began),
        Err(e) => (Err(e), None, false),
    };
    match answer {
        Ok(Verdict::Accepted { method }) => Outcome::Accepted {
            how: method.into(),
            standing,
        },
        Ok(Verdict::Wrong { failures, left: 0 }) => denied(
            Kind::MfaLocked,
            Reason::WrongCode,
            format!("wrong codes from this key and address: {failures}; they are locked out now"),
        ),
        Ok(Verdict::Wrong { failures, left }) if lock_began => denied(
            Kind::MfaLocked,
            Reason::WrongCode,
            format!(
                "wrong codes from this key and address: {failures}, left: {left}; all unknown places together had too many, and are not heard now"
            ),
        ),
        Ok(Verdict::Wrong { failures, left }) => denied(
            Kind::MfaFailed,
            Reason::WrongCode,
            format!("wrong codes from this key and address: {failures}, left: {left}"),
        ),
        Ok(Verdict::Invited) => Outcome::Invited,
        Ok(Verdict::InvitedTooLate) => {
            denied(Kind::MfaFailed, Reason::InvitationExpired, String::new())
        }
        Ok(Verdict::Replayed) => denied(Kind::MfaReplayed, Reason::ReplayedCode, String::new()),
        Ok(Verdict::Locked { until_ms }) => denied(
            Kind::MfaFailed,
            Reason::LockedOut,
            Timestamp::from_millisecond(until_ms)
                .map_or_else(|_| String::new(), |t| format!("locked until {t}")),
        ),
        Ok(Verdict::NotEnrolled) => denied(
            Kind::MfaFailed,
            Reason::NotEnrolled,
            format!("enrol with: jumpctl mfa enroll {}", person.user),
        ),
        Err(e) => {
            complain(&format!("second factor of {person}: {e}"));
            match reason(&e) {
                reason @ (Reason::NotPersisted | Reason::SealingKeyMissing | Reason::Busy) => {
                    Outcome::Broken {
                        reason,
                        detail: e.to_string(),
                    }
                }
                reason @ Reason::OtherUsersRecord => denied(
                    Kind::MfaFailed,
                    reason,
                    format!("{e}; {}", cure(&e, &person.user)),
                ),
                reason => denied(
                    Kind::MfaReplayed,
                    reason,
                    format!("{e}; {}", cure(&e, &person.user)),
                ),
            }
        }
    }
}

/// Why a record is refused: it is a copy of another time or host, or something is broken.
pub(crate) fn reason(e: &StoreError) -> Reason {
    match e {
        StoreError::Record {
            source: RecordError::OtherHosts { .. },
            ..
        } => Reason::ForeignRecord,
        StoreError::Record {
            source: RecordError::SomebodyElses { .. },
            ..
        } => Reason::OtherUsersRecord,
        StoreError::NoKey { .. }
        | StoreError::Record {
            source: RecordError::NoKey(_),
            ..
        } => Reason::SealingKeyMissing,
        StoreError::Crowded { .. } | StoreError::Busy { .. } => Reason::Busy,
        e if e.is_replay() => Reason::RestoredRecord,
        _ => Reason::NotPersisted,
    }
}

/// What an operator can do about a copy, or about a user id that was given to somebody else.
fn cure(e: &StoreError, user: &str) -> String {
    match e {
        StoreError::Record {
            source: RecordError::SomebodyElses { found, .. },
            ..
        } => format!(
            "if {user} has that user id now: jumpctl mfa reset {left} --uid {uid}, then jumpctl mfa enroll {user}",
            left = found.user,
            uid = found.uid
        ),
        _ => format!(
            "if nobody plays old records in: jumpctl mfa reset {user}, then jumpctl mfa enroll {user}"
        ),
    }
}

impl Jumpd {
    /// The person a request of jumpctl is about: a user of the policy, or one that the host's NSS knows.
    fn person(&self, user: &str, uid: Option<u32>) -> Result<Who, Box<Reply>> {
        let known = self.policy().and_then(|p| p.user(user).map(|u| u.uid));
        match known.or(uid) {
            Some(0) => Err(Box::new(refused(
                Reason::UnknownUser,
                "root has no second factor here: pam_jump leaves root alone",
            ))),
            Some(uid) => Ok(Who {
                uid,
                user: user.to_owned(),
            }),
            None => Err(Box::new(refused(
                Reason::UnknownUser,
                format!(
                    "{user:?} is neither in the policy in force nor known to the host; add [users.{user}] to /etc/jump/policy.toml first"
                ),
            ))),
        }
    }

    /// The person whose record is to go: somebody who left is known by nothing else, and somebody who
    /// got another user id has an old one.
    fn person_or_record(
        &self,
        user: &str,
        uid: Option<u32>,
        record: Option<u32>,
    ) -> Result<Who, Box<Reply>> {
        if let Some(uid) = record {
            let user = user.to_owned();
            return Ok(Who { uid, user });
        }
        let listed = self.policy().is_some_and(|p| p.user(user).is_some());
        let now = self.now().as_second();
        let records = jump_mfa::list(&self.second_factors, now).unwrap_or_default();
        let mut sound = records.into_iter().filter_map(|(_, record)| record.ok());
        let left = sound.find(|status| status.who.user == user && !listed);
        left.map_or_else(|| self.person(user, uid), |status| Ok(status.who))
    }

    fn mfa_event(&self, kind: Kind, who: &Who, detail: &str) -> bool {
        self.announce(
            Event::new(kind)
                .success()
                .user(&who.user)
                .uid(who.uid)
                .detail(detail),
        )
    }

    /// A new secret; with `confirm` the old one stays valid until a code proves the new one.
    pub(crate) fn mfa_enroll(
        &self,
        user: &str,
        uid: Option<u32>,
        confirm: bool,
        totp: TotpChoice,
    ) -> Reply {
        let who = match self.person(user, uid) {
            Ok(who) => who,
            Err(reply) => return *reply,
        };
        if self
            .policy()
            .is_some_and(|p| p.automation().contains(&user))
        {
            return refused(
                Reason::MfaNotRequired,
                format!("{user} has mfa = \"none\" in the policy and is never asked for a code"),
            );
        }
        let params = totp.or(self.policy().map(|p| p.mfa().totp).unwrap_or_default());
        if let Some(problem) = params.problem() {
            return refused(Reason::Internal, problem);
        }
        let host = nix::unistd::gethostname()
            .map_or_else(|_| "jump".to_owned(), |h| h.to_string_lossy().into_owned());
        let detail = if confirm {
            "waits for its first code"
        } else {
            "valid at once"
        };
        if !self.mfa_event(Kind::MfaEnrolled, &who, detail) {
            return refused(
                Reason::AuditFailed,
                "the event cannot be written, so nothing was changed; see journalctl -u jumpd",
            );
        }
        let now = Timestamp::now().as_second();
        let state = &self.second_factors;
        match jump_mfa::begin_enrolment_with(state, &who, &host, now, confirm, params) {
            Ok(new) => Reply::Enrolment {
                secret: new.secret_base32,
                uri: new.uri,
                recovery_codes: new.recovery_codes,
            },
            Err(e) => self.undone(&who, &e),
        }
    }

    /// A text by which the user can enrol at a login.
    pub(crate) fn mfa_invite(&self, user: &str, uid: Option<u32>, seconds: u64) -> Reply {
        let who = match self.person(user, uid) {
            Ok(who) => who,
            Err(reply) => return *reply,
        };
        if let Some(policy) = self.policy() {
            if policy.automation().contains(&user) {
                return refused(
                    Reason::MfaNotRequired,
                    format!(
                        "{user} has mfa = \"none\" in the policy and is never asked for a code"
                    ),
                );
            }
            if !policy
                .mfa_methods(user)
                .contains(&jump_policy::Method::Totp)
            {
                return refused(
                    Reason::NotEnrolled,
                    format!(
                        "the policy takes no code of an authenticator from {user}, so there is nothing to enrol"
                    ),
                );
            }
        }
        let now = self.now().as_second();
        let replaces =
            jump_mfa::status(&self.second_factors, &who, now).is_ok_and(|status| status.enrolled);
        let until = i64::try_from(seconds).map_or(i64::MAX, |s| now.saturating_add(s));
        let Ok(until) = Timestamp::from_second(until) else {
            return refused(
                Reason::Internal,
                "the invitation would end after the end of time",
            );
        };
        let event = Event::new(Kind::MfaEnrolled)
            .success()
            .reason(Reason::InvitationMade)
            .user(&who.user)
            .uid(who.uid)
            .detail(&if replaces {
                format!("may replace their authenticator at a login until {until}")
            } else {
                format!("may enrol at a login until {until}")
            });
        if !self.announce(event) {
            return refused(
                Reason::AuditFailed,
                "the event cannot be written, so nothing was changed; see journalctl -u jumpd",
            );
        }
        match jump_mfa::invite(&self.second_factors, &who, now, until.as_second()) {
            Ok(invitation) => Reply::Invitation {
                invitation,
                until_ms: until.as_millisecond(),
                replaces,
            },
            Err(e) => self.undone(&who, &e),
        }
    }

    /// The first code of a new secret.
    pub(crate) fn mfa_confirm(&self, user: &str, uid: Option<u32>, code: &Secret) -> Reply {
        let who = match self.person(user, uid) {
            Ok(who) => who,
            Err(reply) => return *reply,
        };
        let now = Timestamp::now().as_second();
        match jump_mfa::confirm_enrolment(&self.second_factors, &who, code.expose(), now) {
            Ok(Confirmation::Confirmed) => {
                if self.mfa_event(Kind::MfaEnrolled, &who, "confirmed by a code") {
                    Reply::Done
                } else {
                    untold()
                }
            }
            Ok(Confirmation::WrongCode) => refused(
                Reason::WrongCode,
                "that is not the code the new secret gives now; check the clocks and try the next code",
            ),
            Ok(Confirmation::NothingPending) => refused(
                Reason::NotEnrolled,
                "no enrolment waits for a code; begin one with: jumpctl mfa enroll",
            ),
            Err(e) => broken(&who, &e),
        }
    }

    /// State of one user, or of every user of the policy and every record.
    pub(crate) fn mfa_status(&self, user: Option<&str>) -> Reply {
        let policy = self.policy();
        let mut people: Vec<Who> = policy
            .iter()
            .flat_map(|p| {
                p.users()
                    .map(|u| Who {
                        uid: u.uid,
                        user: u.name.clone(),
                    })
                    .collect::<Vec<_>>()
            })
            .collect();
        // Refused records of people that the policy does not know: of those only the uid is sure.
        let mut strangers = Vec::new();
        match jump_mfa::list(&self.second_factors, Timestamp::now().as_second()) {
            Ok(records) => {
                for (uid, record) in records {
                    match record {
                        Ok(status) if !people.contains(&status.who) => people.push(status.who),
                        Err(e) if people.iter().all(|who| who.uid != uid) => {
                            let user = format!("uid {uid}");
                            strangers.push(refused_record(&Who { uid, user }, &e, false));
                        }
                        _ => {}
                    }
                }
            }
            Err(e) => return refused(Reason::Internal, e.to_string()),
        }
        if let Some(user) = user {
            people.retain(|who| who.user == user);
            strangers.clear();
            if people.is_empty() {
                return refused(
                    Reason::UnknownUser,
                    format!("{user:?} is not in the policy and has no second factor"),
                );
            }
        }
        let mut users = Vec::with_capacity(people.len());
        for who in people {
            users.push(self.mfa_of(policy.as_deref(), &who));
        }
        users.extend(strangers);
        if let Some(policy) = &policy {
            for user in &mut users {
                let known = policy.user(&user.user).map(|known| known.uid);
                user.unlisted = known != Some(user.uid);
            }
        }
        Reply::MfaStatus { users }
    }

    /// State of one person.
    pub(crate) fn mfa_of(&self, policy: Option<&Policy>, who: &Who) -> MfaUser {
        let automation = policy.is_some_and(|p| p.automation().contains(&who.user.as_str()));
        match jump_mfa::status(&self.second_factors, who, Timestamp::now().as_second()) {
            Ok(status) => {
                let mut user = describe(who, &status, automation);
                if let Some(policy) = policy {
                    taken(policy, &mut user);
                }
                user
            }
            Err(e) => refused_record(who, &e, automation),
        }
    }

    /// Forgets secret and recovery codes.
    pub(crate) fn mfa_reset(&self, user: &str, uid: Option<u32>, record: Option<u32>) -> Reply {
        self.mfa_change(
            self.person_or_record(user, uid, record),
            Kind::MfaReset,
            "secret and recovery codes forgotten",
            |who| {
                if let Ok(None) = self.second_factors.read(who) {
                    return Err(StoreError::NotEnrolled(who.clone()));
                }
                jump_mfa::reset(&self.second_factors, who).map(|_| Reply::Done)
            },
        )
    }

    /// Ends a lock-out.
    pub(crate) fn mfa_unlock(&self, user: &str, uid: Option<u32>) -> Reply {
        self.mfa_change(
            self.person(user, uid),
            Kind::MfaReset,
            "lock-out ended by an operator",
            |who| jump_mfa::unlock(&self.second_factors, who).map(|_| Reply::Done),
        )
    }

    /// Ten new recovery codes; the old ones are void.
    pub(crate) fn mfa_recovery_codes(&self, user: &str, uid: Option<u32>) -> Reply {
        self.mfa_change(
            self.person(user, uid),
            Kind::MfaEnrolled,
            "new recovery codes",
            |who| {
                jump_mfa::new_recovery_codes(&self.second_factors, who)
                    .map(|codes| Reply::RecoveryCodes { codes })
            },
        )
    }

    fn mfa_change(
        &self,
        person: Result<Who, Box<Reply>>,
        kind: Kind,
        detail: &str,
        change: impl FnOnce(&Who) -> Result<Reply, StoreError>,
    ) -> Reply {
        let who = match person {
            Ok(who) => who,
            Err(reply) => return *reply,
        };
        match change(&who) {
            // What nobody is told of is handed to nobody.
            Ok(_) if !self.mfa_event(kind, &who, detail) => untold(),
            Ok(reply) => reply,
            Err(e) => broken(&who, &e),
        }
    }

    /// What was announced and could not be done.
    fn undone(&self, who: &Who, e: &StoreError) -> Reply {
        let event = Event::new(Kind::MfaEnrolled).failure().reason(reason(e));
        let event = event.user(&who.user).uid(who.uid);
        self.note(event.detail(&format!("nothing was changed: {e}")));
        broken(who, e)
    }
}

/// It is done, and not in the journal.
fn untold() -> Reply {
    refused(
        Reason::AuditFailed,
        "it was done, but its event cannot be written, so nothing is shown of it; see journalctl -u jumpd, then do it again",
    )
}

fn broken(who: &Who, e: &StoreError) -> Reply {
    complain(&format!("second factor of {who}: {e}"));
    match e {
        StoreError::NotEnrolled(_) => refused(Reason::NotEnrolled, e.to_string()),
        _ if reason(e) == Reason::OtherUsersRecord => refused(
            Reason::OtherUsersRecord,
            format!("{e}; {}", cure(e, &who.user)),
        ),
        _ => refused(reason(e), e.to_string()),
    }
}

fn describe(who: &Who, status: &Status, automation: bool) -> MfaUser {
    MfaUser {
        user: who.user.clone(),
        enrolled: status.enrolled,
        pending: status.pending,
        recovery_codes_left: status.recovery_codes_left,
        locked_until_ms: status.locked_until_ms,
        failures: status.failures,
        automation,
        uid: who.uid,
        unlisted: false,
        totp: status.params,
        invited_until_ms: status.invited_until_ms,
        locks: status.locks.iter().map(describe_lock).collect(),
        methods: Vec::new(),
        security_key: false,
        clock_behind_s: status.clock_behind_s,
        problem: None,
    }
}

fn describe_lock(lock: &jump_mfa::Lock) -> MfaLock {
    MfaLock {
        key_fingerprint: lock.place.as_ref().map(|place| place.key.clone()),
        source: lock.place.as_ref().map(|place| place.source.clone()),
        until_ms: lock.until_ms,
    }
}

/// What the policy takes from a user.
fn taken(policy: &Policy, user: &mut MfaUser) {
    let methods = policy.mfa_methods(&user.user);
    let has_one = |u: &jump_policy::User| u.keys.iter().any(|key| key.is_security_key());
    user.security_key = methods.contains(&jump_policy::Method::SecurityKey)
        && policy.user(&user.user).is_some_and(has_one);
    user.methods = methods.into_iter().collect();
}

/// A record that is there and refused hides no other user's state.
fn refused_record(who: &Who, e: &StoreError, automation: bool) -> MfaUser {
    let why = reason(e);
    let text = match why {
        Reason::NotPersisted => e.to_string(),
        Reason::SealingKeyMissing => {
            format!(
                "{e}; put back {}, or {}",
                paths::MFA_KEYS,
                cure(e, &who.user)
            )
        }
        _ => format!("{e}; {}", cure(e, &who.user)),
    };
    MfaUser {
        user: who.user.clone(),
        enrolled: false,
        pending: false,
        recovery_codes_left: 0,
        locked_until_ms: None,
        failures: 0,
        automation,
        uid: who.uid,
        unlisted: false,
        totp: None,
        methods: Vec::new(),
        security_key: false,
        invited_until_ms: None,
        locks: Vec::new(),
        clock_behind_s: None,
        problem: Some(MfaProblem { reason: why, text }),
    }
}

#[cfg(test)]
mod tests {
    use super::is_fake_password;

    #[test]
    fn sshds_fake_password_is_told_from_a_code() {
        assert!(is_fake_password("\u{8}\n\r\u{7f}INCORRECT"));
        assert!(is_fake_password(
            "\u{8}\n\r\u{7f}INCORRECT\u{8}\n\r\u{7f}IN"
        ));
        assert!(!is_fake_password("123456"));
        assert!(!is_fake_password("INCORRECT"));
    }
}
