//! Conversations over a real store and a real socket pair.

use super::*;
use crate::generation::Generation;
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
    let user = |name: &str, uid: u32| {
        format!("[users.{name}]\nuid = {uid}\nkeys = [\"ssh-ed25519 {KEY} {name}\"]\n")
    };
    format!(
        "version = 1\n[mfa]\nattempts = 100\n{}{}{}",
        user("alice", 70001),
        user("bob", 70002),
        user("carol", 70003)
    )
}

/// A jumpd without sockets, whose journal belongs to the test.
struct Host {
    jumpd: Jumpd,
    journal: Memory,
    _state: TempDir,
}

impl Host {
    fn with(policy: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let journal = Memory::default();
        let jumpd = Jumpd::new(
            None,
            Sessions::load(state.path()).unwrap(),
            Box::new(FileStore::open(state.path(), KeyRing::generate().unwrap()).unwrap()),
            Journal::with_sinks(
                &state.path().join("audit.chain"),
                vec![Box::new(journal.clone())],
            ),
        );
        let host = Self {
            jumpd,
            journal,
            _state: state,
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

    fn enrol(&self, who: &Who) -> Secret {
        let now = self.jumpd.now().as_second();
        jump_mfa::begin_enrolment(&self.jumpd.second_factors, who, "b", now, false)
            .unwrap()
            .secret_base32
    }

    /// What is answered to these answers, each of which must be asked for; and how long the last took.
    fn converse(&self, login: &Login, answers: &[&str]) -> (AuthStep, Duration, Vec<String>) {
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
            let mut prompts = Vec::new();
            let mut asked = Instant::now();
            let mut answers = answers.iter();
            let step = loop {
                match pam.recv::<Reply>().unwrap().unwrap() {
                    Reply::Auth(AuthStep::Prompt { text }) => {
                        prompts.push(text);
                        let answer = Secret::new((*answers.next().unwrap()).to_owned());
                        asked = Instant::now();
                        pam.send(&Request::AuthAnswer { answer }).unwrap();
                    }
                    Reply::Auth(step) => break step,
                    other => panic!("{other:?}"),
                }
            };
            let took = asked.elapsed();
            assert!(answers.next().is_none(), "an answer was not asked for");
            conversation.join().unwrap().unwrap();
            (step, took, prompts)
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
    Login {
        user: who.user.clone(),
        uid: who.uid,
        groups: Vec::new(),
        connection: "192.0.2.10 5022 192.0.2.1 22".to_owned(),
        auth_info: format!("publickey ssh-ed25519 {KEY}\n"),
        monitor: 4711,
    }
}

/// How far two samples are from coming from one distribution: the z of the Mann-Whitney test, ties
/// in the middle. Beyond 4 it is less likely than one in ten thousand.
fn mann_whitney(a: &[Duration], b: &[Duration]) -> f64 {
    let mut above = 0.0;
    for x in a {
        for y in b {
            above += match x.cmp(y) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    let count = |of: &[Duration]| f64::from(u32::try_from(of.len()).unwrap());
    let (n, m) = (count(a), count(b));
    let spread = (n * m * (n + m + 1.0) / 12.0).sqrt();
    (above - n * m / 2.0) / spread
}

#[test]
fn a_no_comes_at_fixed_times() {
    for (spent_ms, left_ms) in [(0, 250), (1, 249), (249, 1), (250, 250), (612, 138)] {
        let left = until_no(Duration::from_millis(spent_ms));
        assert_eq!(left, Duration::from_millis(left_ms), "{spent_ms} ms");
    }
}

/// H15: neither the prompt, nor the sentence, nor the time tells who is enrolled, unenrolled or locked out.
#[test]
fn h15_enrolled_unenrolled_and_locked_users_look_alike() {
    const WORKERS: usize = 4;
    const ROUNDS: usize = 24;
    let host = Host::with(&policy());
    let (alice, bob, carol) = (who("alice", 70001), who("bob", 70002), who("carol", 70003));
    host.enrol(&alice);
    host.enrol(&carol);
    let applicant = applicant(&login(&carol)).unwrap();
    let one = jump_mfa::Limits {
        attempts: 1,
        lockout: Duration::from_secs(900),
    };
    let now = host.jumpd.now().as_second();
    let place = applicant.place();
    jump_mfa::verify(&host.jumpd.second_factors, &carol, &place, "x", now, &one).unwrap();
    let people = [&alice, &bob, &carol];
    let (_, _, prompts) = host.converse(&login(&alice), &["000000"]);
    assert_eq!(prompts, [PROMPT]);
    assert_eq!(host.told(), "mfa.failed wrong_code");
    host.converse(&login(&bob), &["000000"]);
    assert_eq!(host.told(), "mfa.failed not_enrolled");
    host.converse(&login(&carol), &["000000"]);
    assert_eq!(host.told(), "mfa.failed locked_out");
    for typed in ["no code", "aaaa-aaaa-aaaa-aaaa"] {
        jump_mfa::unlock(&host.jumpd.second_factors, &alice).unwrap();
        let mut times = [const { Vec::new() }; 3];
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS)
                .map(|worker| {
                    let host = &host;
                    scope.spawn(move || {
                        let mut times = [const { Vec::new() }; 3];
                        for round in 0..3 * ROUNDS {
                            // In turns, so that whatever else the machine does hits all alike.
                            let at = (worker + round) % 3;
                            let (step, took, prompts) = host.converse(&login(people[at]), &[typed]);
                            assert_eq!(prompts, [PROMPT]);
                            let message = Some(NOT_ACCEPTED.to_owned());
                            assert_eq!(step, AuthStep::Denied { message });
                            times[at].push(took);
                        }
                        times
                    })
                })
                .collect();
            for worker in workers {
                for (all, some) in times.iter_mut().zip(worker.join().unwrap()) {
                    all.extend(some);
                }
            }
        });
        let [alice, bob, carol] = &times;
        for (a, b) in [(alice, bob), (bob, carol), (alice, carol)] {
            let z = mann_whitney(a, b);
            assert!(z.abs() < 4.0, "{typed:?}: z = {z}");
        }
    }
}

/// What the test above would see without the wait: a write to disk, or none.
#[test]
fn h15_the_work_behind_a_no_does_differ() {
    let host = Host::with(&policy());
    let (alice, bob) = (who("alice", 70001), who("bob", 70002));
    host.enrol(&alice);
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..60 {
        for (person, times) in [&alice, &bob].into_iter().zip(&mut times) {
            let applicant = applicant(&login(person)).unwrap();
            let began = Instant::now();
            mfa::verify(
                &host.jumpd,
                &host.jumpd.policy().unwrap(),
                &applicant,
                "no code",
            );
            times.push(began.elapsed());
        }
    }
    let z = mann_whitney(&times[0], &times[1]);
    assert!(z > 4.0, "z = {z}");
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
