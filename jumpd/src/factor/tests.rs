//! Conversations over a real store and a real socket pair.

mod own;
mod timing;

use super::*;
use crate::generation::Generation;
use crate::remember::Remembered;
use crate::sessions::Sessions;
use jump_audit::{Journal, Memory};
use jump_mfa::{FileStore, KeyRing, Params, Who, code_at};
use jump_policy::Policy;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tempfile::TempDir;

/// A key that sshd has verified.
const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIMO4du/BYXHpkbWwykRTk7oAPt7qBSbuwJ/k/BXY2jbX";

/// Three users, and as many wrong codes as may be.
fn policy() -> String {
    policy_with("")
}

/// The same with more lines in `[mfa]`.
fn policy_with(mfa: &str) -> String {
    let user = |name: &str, uid: u32| {
        format!("[users.{name}]\nuid = {uid}\nkeys = [\"ssh-ed25519 {KEY} {name}\"]\n")
    };
    format!(
        "version = 1\n[mfa]\nattempts = 100\n{mfa}\n{}{}{}",
        user("alice", 70001),
        user("bob", 70002),
        user("carol", 70003)
    )
}

/// A jumpd without sockets, whose journal belongs to the test.
struct Host {
    jumpd: Jumpd,
    journal: Memory,
    state: TempDir,
}

impl Host {
    fn with(policy: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let journal = Memory::default();
        let jumpd = Jumpd::new(
            None,
            Sessions::load(state.path()).unwrap(),
            Box::new(FileStore::open(state.path(), KeyRing::generate().unwrap()).unwrap()),
            crate::ca::Ca::open(&state.path().join("ca"), KeyRing::none()),
            Remembered::load(state.path()).unwrap(),
            Journal::with_sinks(
                &state.path().join("audit.chain"),
                vec![Box::new(journal.clone())],
            ),
        );
        let host = Self {
            jumpd,
            journal,
            state,
        };
        host.take(policy);
        host
    }

    fn take(&self, policy: &str) {
        self.jumpd.take_into_force(Generation {
            number: self.jumpd.generation().map_or(1, |g| g.number + 1),
            policy: Arc::new(Policy::parse(policy, "policy.toml", "UTC").unwrap()),
        });
    }

    fn enrol_with_codes(&self, who: &Who) -> jump_mfa::NewEnrolment {
        let now = self.jumpd.now().as_second();
        jump_mfa::begin_enrolment(&self.jumpd.second_factors, who, "b", now, false).unwrap()
    }

    fn enrol(&self, who: &Who) -> Secret {
        self.enrol_with_codes(who).secret_base32
    }

    /// A code for each login in turn: one per step, the clock going on with it.
    fn fresh_code(&self, key: &Secret) -> String {
        let later = self
            .jumpd
            .now()
            .checked_add(jiff::SignedDuration::from_secs(30));
        self.jumpd.set_clock(later.unwrap());
        let now = self.jumpd.now().as_second().cast_unsigned();
        let code = code_at(key.expose(), &Params::default(), now).unwrap();
        code.expose().to_owned()
    }

    /// Whether a login is asked for a code.
    fn is_asked(&self, login: &Login) -> bool {
        let (step, _, prompts) = self.converse_some(login, &[]);
        assert_eq!(step.is_none(), !prompts.is_empty());
        step.is_none()
    }

    /// What is answered to these answers, each of which must be asked for; and how long the last took.
    fn converse(&self, login: &Login, answers: &[&str]) -> (AuthStep, Duration, Vec<String>) {
        let (step, took, prompts) = self.converse_some(login, answers);
        let asked = prompts.iter().filter(|text| !text.starts_with('|'));
        assert_eq!(asked.count(), answers.len(), "an answer was not asked for");
        (step.unwrap(), took, prompts)
    }

    /// The same, hanging up where the answers are used up.
    fn converse_some(
        &self,
        login: &Login,
        answers: &[&str],
    ) -> (Option<AuthStep>, Duration, Vec<String>) {
        let mut answers = answers.iter();
        self.converse_with(login, |_, _| {
            answers.next().map(|answer| (*answer).to_owned())
        })
    }

    /// The same with what `answer` makes of the prompt and of all that was shown so far; `None` hangs up.
    fn converse_with(
        &self,
        login: &Login,
        mut answer: impl FnMut(&str, &[String]) -> Option<String>,
    ) -> (Option<AuthStep>, Duration, Vec<String>) {
        let (ours, pams) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let (ours, pam) = (Channel::from(ours), Channel::from(pams));
        pam.set_timeout(Some(Duration::from_secs(30))).unwrap();
        std::thread::scope(|scope| {
            let conversation = scope.spawn(|| self.jumpd.authenticate(&ours, login));
            let mut screen = Vec::new();
            let mut asked = Instant::now();
            let step = loop {
                match pam.recv::<Reply>().unwrap().unwrap() {
                    Reply::Auth(AuthStep::Prompt { text, info }) => {
                        screen.extend(info.iter().map(|line| format!("| {}", line.expose())));
                        screen.push(text.clone());
                        let Some(answer) = answer(&text, &screen) else {
                            break None;
                        };
                        let answer = Secret::new(answer);
                        asked = Instant::now();
                        pam.send(&Request::AuthAnswer { answer }).unwrap();
                    }
                    Reply::Auth(step) => break Some(step),
                    other => panic!("{other:?}"),
                }
            };
            let took = asked.elapsed();
            drop(pam);
            let ended = conversation.join().unwrap();
            assert!(step.is_none() || ended.is_ok());
            (step, took, screen)
        })
    }

    /// The last event, as `kind reason`.
    fn told(&self) -> String {
        let event = self.journal.events().pop().unwrap();
        let field = |name: &str| {
            let found = event.fields.iter().find(|(field, _)| *field == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        format!("{} {}", event.kind, field("JUMP_REASON"))
    }
}

fn who(user: &str, uid: u32) -> Who {
    Who {
        uid,
        user: user.to_owned(),
    }
}

fn login(who: &Who) -> Login {
    login_from(who, "192.0.2.10")
}

fn login_from(who: &Who, source: &str) -> Login {
    Login {
        user: who.user.clone(),
        uid: who.uid,
        groups: Vec::new(),
        connection: format!("{source} 5022 192.0.2.1 22"),
        auth_info: format!("publickey ssh-ed25519 {KEY}\n"),
        monitor: 4711,
    }
}

#[test]
fn a_no_comes_at_fixed_times() {
    for (spent_ms, left_ms) in [(0, 250), (1, 249), (249, 1), (250, 250), (612, 138)] {
        let left = until_no(Duration::from_millis(spent_ms));
        assert_eq!(left, Duration::from_millis(left_ms), "{spent_ms} ms");
    }
}

#[test]
fn h14_sshds_fake_password_is_not_counted() {
    let host = Host::with(&policy());
    let alice = who("alice", 70001);
    host.enrol(&alice);
    for _ in 0..3 {
        host.converse(
            &login(&alice),
            &["\u{8}\n\r\u{7f}INCORRECT\u{8}\n\r\u{7f}INC"],
        );
        assert_eq!(host.told(), "mfa.failed unknown_user");
    }
    let now = host.jumpd.now().as_second();
    let status = jump_mfa::status(&host.jumpd.second_factors, &alice, now).unwrap();
    assert_eq!(status.failures, 0);
}

#[test]
fn a_right_code_is_let_in() {
    let host = Host::with(&policy());
    let alice = who("alice", 70001);
    let key = host.enrol(&alice);
    let now = host.jumpd.now().as_second();
    let code = code_at(key.expose(), &Params::default(), now.cast_unsigned()).unwrap();
    let (step, ..) = host.converse(&login(&alice), &[code.expose()]);
    assert!(matches!(step, AuthStep::Accepted { .. }), "{step:?}");
    assert_eq!(host.told(), "mfa.ok ");
}

#[test]
fn a_remembered_code_saves_the_next_prompt_for_its_key_and_source_alone() {
    let host = Host::with(&policy_with("remember = \"8h\""));
    let (alice, bob) = (who("alice", 70001), who("bob", 70002));
    let key = host.enrol(&alice);
    host.enrol(&bob);
    assert!(host.is_asked(&login(&alice)));
    let code = host.fresh_code(&key);
    host.converse(&login(&alice), &[&code]);
    assert_eq!(host.told(), "mfa.ok ");
    for _ in 0..2 {
        let (step, _, _) = host.converse(&login(&alice), &[]);
        assert!(matches!(step, AuthStep::Accepted { .. }), "{step:?}");
        assert_eq!(host.told(), "mfa.skipped remembered");
    }
    assert!(host.is_asked(&login_from(&alice, "192.0.2.11")));
    assert!(host.is_asked(&login(&bob)), "with the same key and source");
    let mut other = login(&alice);
    other.auth_info = other.auth_info.replace("jbX", "jbY");
    assert!(host.is_asked(&other), "another key");
    // What the policy no longer grants is over, whatever was granted.
    host.take(&policy_with("remember = \"0s\""));
    assert!(host.is_asked(&login(&alice)));
    host.take(&policy_with(
        "remember = \"8h\"\nmethods = [\"security-key\"]",
    ));
    assert!(host.is_asked(&login(&alice)));
    host.take(&policy_with("remember = \"8h\""));
    assert!(!host.is_asked(&login(&alice)));
    // A restarted jumpd remembers.
    let state = host.state.path();
    let again = Remembered::load(state).unwrap();
    let standing = jump_mfa::standing(&host.jumpd.second_factors, &alice).unwrap();
    let place = applicant(&login(&alice)).unwrap().place();
    let life = Duration::from_secs(3600);
    let recalled = again.recall(70001, &place, &standing.unwrap(), life, host.jumpd.moment());
    assert!(recalled.is_some());
}

#[test]
fn a_remembered_code_is_worth_nothing_after_a_reset_an_enrolment_or_a_lock_out() {
    let host = Host::with(&policy_with("remember = \"8h\""));
    let alice = who("alice", 70001);
    let store = &host.jumpd.second_factors;
    let mut key = host.enrol(&alice);
    let log_in = |key: &Secret| {
        let code = host.fresh_code(key);
        host.converse(&login(&alice), &[&code]);
        assert!(!host.is_asked(&login(&alice)));
    };
    log_in(&key);
    jump_mfa::reset(store, &alice).unwrap();
    assert!(host.is_asked(&login(&alice)));
    key = host.enrol(&alice);
    assert!(
        host.is_asked(&login(&alice)),
        "the same user, enrolled anew"
    );
    log_in(&key);
    key = host.enrol(&alice);
    assert!(host.is_asked(&login(&alice)), "another authenticator");
    log_in(&key);
    let elsewhere = login_from(&alice, "192.0.2.99");
    for _ in 0..100 {
        let there = applicant(&elsewhere).unwrap();
        mfa::verify(
            &host.jumpd,
            &host.jumpd.policy().unwrap(),
            &mfa::person_of(&there),
            &there.place(),
            "no code",
        );
    }
    assert!(host.is_asked(&login(&alice)), "a lock-out somewhere else");
    log_in(&key);
    jump_mfa::unlock(store, &alice).unwrap();
    assert!(host.is_asked(&login(&alice)), "an operator's hand");
}

#[test]
fn a_recovery_code_is_not_remembered_and_a_skipped_prompt_prolongs_nothing() {
    let host = Host::with(&policy_with("remember = \"8h\""));
    let alice = who("alice", 70001);
    let new = host.enrol_with_codes(&alice);
    host.converse(&login(&alice), &[new.recovery_codes[0].expose()]);
    assert_eq!(host.told(), "mfa.ok recovery_code");
    assert!(host.is_asked(&login(&alice)));
    let code = host.fresh_code(&new.secret_base32);
    host.converse(&login(&alice), &[&code]);
    let file = host.state.path().join("remembered/70001.json");
    let before = std::fs::read(&file).unwrap();
    assert!(!host.is_asked(&login(&alice)));
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

/// The text of an invitation for bob that holds for an hour.
fn invitation(host: &Host, who: &Who) -> String {
    let now = host.jumpd.now().as_second();
    let store = &host.jumpd.second_factors;
    let text = jump_mfa::invite(store, who, now, now + 3600).unwrap();
    text.expose().to_owned()
}

/// The key that was shown last.
fn key_on(screen: &[String]) -> Secret {
    let mut lines = screen.iter().rev();
    let key = lines.find_map(|line| line.strip_prefix("| Key: ")).unwrap();
    Secret::new(key.replace(' ', ""))
}

/// Types an invitation, reads the key from the screen, and types what `answer` makes of it.
fn enrol_at_login(
    host: &Host,
    who: &Who,
    invitation: &str,
    mut answer: impl FnMut(&Secret) -> String,
) -> (Option<AuthStep>, Vec<String>) {
    let (step, _, screen) = host.converse_with(&login(who), |prompt, screen| {
        Some(match prompt {
            PROMPT => invitation.to_owned(),
            text if text.starts_with("Code of") => answer(&key_on(screen)),
            _ => String::new(),
        })
    });
    (step, screen)
}

#[test]
fn whoever_hangs_up_at_a_prompt_is_in_the_journal_and_counts_no_failure() {
    let host = Host::with(&policy());
    let (alice, bob) = (who("alice", 70001), who("bob", 70002));
    host.enrol(&alice);
    let hung_up = |who: &Who, at: &str, answer: &dyn Fn(&str, &[String]) -> Option<String>| {
        let before = host.journal.events().len();
        let (step, ..) = host.converse_with(&login(who), |prompt, screen| answer(prompt, screen));
        assert!(step.is_none(), "{at}");
        assert_eq!(host.told(), "mfa.failed no_answer", "{at}");
        assert!(host.journal.events().len() > before, "{at}");
        let event = host.journal.events().pop().unwrap();
        let detail = event.fields.iter().find(|(name, _)| *name == "JUMP_DETAIL");
        assert!(detail.unwrap().1.contains(at), "{detail:?}");
    };
    hung_up(&alice, "at the prompt", &|_, _| None);
    // Enrolled or not, known to the policy or not: the journal says that they were there.
    hung_up(&bob, "at the prompt", &|_, _| None);
    let text = invitation(&host, &bob);
    hung_up(&bob, "the new key was shown", &|prompt, _| {
        (prompt == PROMPT).then(|| text.clone())
    });
    hung_up(&bob, "the recovery codes were shown", &|prompt, screen| {
        if prompt == PROMPT {
            return Some(text.clone());
        }
        let first = prompt.starts_with("Code of");
        first.then(|| host.fresh_code(&key_on(screen)))
    });
    let now = host.jumpd.now().as_second();
    for who in [&alice, &bob] {
        let status = jump_mfa::status(&host.jumpd.second_factors, who, now).unwrap();
        assert_eq!(status.failures, 0, "{status:?}");
    }
}

#[test]
fn an_invited_user_enrols_at_the_prompt_for_the_code() {
    let host = Host::with(&policy());
    let bob = who("bob", 70002);
    let text = invitation(&host, &bob);
    let mut key = None;
    let (step, screen) = enrol_at_login(&host, &bob, &text.to_uppercase(), |shown| {
        key = Some(shown.expose().to_owned());
        host.fresh_code(shown)
    });
    assert!(matches!(step, Some(AuthStep::Accepted { .. })), "{step:?}");
    assert_eq!(host.told(), "mfa.ok invitation_used");
    assert_eq!(screen[0], PROMPT);
    let codes: Vec<_> = screen
        .iter()
        .flat_map(|line| line.split_whitespace())
        .collect();
    let codes: Vec<_> = codes.into_iter().filter(|word| word.len() == 19).collect();
    assert_eq!(codes.len(), 10, "{screen:?}");
    // The authenticator is in force, and so are the codes; the invitation is spent.
    let code = host.fresh_code(&Secret::new(key.unwrap()));
    host.converse(&login(&bob), &[&code]);
    assert_eq!(host.told(), "mfa.ok ");
    host.converse(&login(&bob), &[codes[3]]);
    assert_eq!(host.told(), "mfa.ok recovery_code");
    host.converse(&login(&bob), &[&text]);
    assert_eq!(host.told(), "mfa.failed wrong_code");
}

#[test]
fn an_invitation_is_spent_only_by_a_right_code() {
    let host = Host::with(&policy());
    let bob = who("bob", 70002);
    let text = invitation(&host, &bob);
    let (step, screen) = enrol_at_login(&host, &bob, &text, |_| "000000x".to_owned());
    assert!(matches!(step, Some(AuthStep::Denied { .. })), "{step:?}");
    assert_eq!(host.told(), "mfa.failed wrong_code");
    assert_eq!(
        screen
            .iter()
            .filter(|line| line.starts_with("Code of"))
            .count(),
        3
    );
    let (step, _) = enrol_at_login(&host, &bob, &text, |key| host.fresh_code(key));
    assert!(matches!(step, Some(AuthStep::Accepted { .. })), "{step:?}");
}

#[test]
fn an_invitation_ends_with_its_time_with_another_and_with_a_reset() {
    let host = Host::with(&policy());
    let bob = who("bob", 70002);
    let store = &host.jumpd.second_factors;
    let refused = |text: &str, why: &str| {
        host.converse(&login(&bob), &[text]);
        assert_eq!(host.told(), why);
    };
    let first = invitation(&host, &bob);
    let second = invitation(&host, &bob);
    refused(&first, "mfa.failed wrong_code");
    let later = host
        .jumpd
        .now()
        .checked_add(jiff::SignedDuration::from_secs(3601));
    host.jumpd.set_clock(later.unwrap());
    refused(&second, "mfa.failed invitation_expired");
    let third = invitation(&host, &bob);
    jump_mfa::reset(store, &bob).unwrap();
    refused(&third, "mfa.failed not_enrolled");
    let fourth = invitation(&host, &bob);
    host.enrol(&bob);
    refused(&fourth, "mfa.failed wrong_code");
    // Wrong ones count like wrong codes.
    let now = host.jumpd.now().as_second();
    assert_eq!(jump_mfa::status(store, &bob, now).unwrap().failures, 1);
}

#[test]
fn a_user_id_that_is_given_to_somebody_else_is_free_once_the_old_record_is_forgotten() {
    let host = Host::with(&policy());
    host.enrol(&who("alice", 70001));
    // alice leaves, zoe comes.
    host.take(&policy().replace("alice", "zoe"));
    let zoe = who("zoe", 70001);
    host.converse(&login(&zoe), &["123456"]);
    assert_eq!(host.told(), "mfa.failed other_users_record");
    let refused = |reply: Reply| match reply {
        Reply::Refused { reason, message } => (reason, message),
        other => panic!("{other:?}"),
    };
    let enrol = || {
        host.jumpd
            .mfa_enroll("zoe", None, false, Default::default())
    };
    let (reason, message) = refused(enrol());
    assert_eq!(reason, Reason::OtherUsersRecord);
    assert!(
        message.contains("jumpctl mfa reset alice --uid 70001"),
        "{message}"
    );
    let (reason, _) = refused(host.jumpd.mfa_reset("zoe", None, None));
    assert_eq!(reason, Reason::OtherUsersRecord);
    let states = || match host.jumpd.mfa_status(None) {
        Reply::MfaStatus { users } => users,
        other => panic!("{other:?}"),
    };
    let unlisted = |user: &jump_proto::MfaUser| user.unlisted.then(|| user.user.clone());
    let left: Vec<_> = states().iter().filter_map(unlisted).collect();
    assert_eq!(left, ["alice"]);
    assert!(matches!(
        host.jumpd.mfa_reset("alice", None, Some(70001)),
        Reply::Done
    ));
    assert_eq!(states().iter().filter_map(unlisted).count(), 0);
    assert!(matches!(enrol(), Reply::Enrolment { .. }));
}

#[test]
fn an_invitation_says_that_it_replaces_an_authenticator() {
    let host = Host::with(&policy());
    host.enrol(&who("alice", 70001));
    let replaces = |user: &str| match host.jumpd.mfa_invite(user, None, 3600) {
        Reply::Invitation { replaces, .. } => replaces,
        other => panic!("{other:?}"),
    };
    assert!(replaces("alice"));
    assert!(!replaces("bob"));
}
