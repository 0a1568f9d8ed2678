//! A jumpd without sockets: its clock, its resolver and its journal belong to the test.

use crate::ca::Ca;
use crate::connection::auth_info;
use crate::generation::Generation;
use crate::names::Resolver;
use crate::remember::Remembered;
use crate::sessions::Sessions;
use crate::state::{Applicant, Jumpd, given, new_id};
use jiff::Timestamp;
use jump_audit::{Journal, Kind, Memory};
use jump_mfa::{FileStore, KeyRing};
use jump_policy::Policy;
use jump_proto::{
    Channel, ExplainRequest, Explanation, JudgeRequest, Login, Reason, Reply, Request, SessionId,
    Via,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A key that sshd has verified.
const KEY: &str =
    "publickey ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMO4du/BYXHpkbWwykRTk7oAPt7qBSbuwJ/k/BXY2jbX\n";
/// Process id of the guard.
pub(crate) const GUARD: i32 = 4712;

/// Somebody, as the host knows them.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) user: &'static str,
    pub(crate) uid: u32,
    pub(crate) groups: Vec<String>,
    /// The second factor they give, as events call it.
    pub(crate) mfa: &'static str,
}

impl Person {
    pub(crate) fn new(user: &'static str, uid: u32, groups: &[&str]) -> Self {
        Self {
            user,
            uid,
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            mfa: "totp",
        }
    }

    pub(crate) fn with(self, mfa: &'static str) -> Self {
        Self { mfa, ..self }
    }

    fn login(&self, source: IpAddr) -> Login {
        // sshd on a socket of both families writes an IPv4 client so.
        let source = match source {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Login {
            user: self.user.to_owned(),
            uid: self.uid,
            groups: self.groups.clone(),
            connection: format!("{source} 5022 ::1 22"),
            auth_info: KEY.to_owned(),
            monitor: 4711,
        }
    }
}

/// Where to and how.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) host: &'static str,
    pub(crate) port: u16,
    pub(crate) via: Via,
}

/// What is compared: yes or no, the reason, and the rule.
pub(crate) type Answer = (bool, Reason, Option<String>);

/// An explanation as an answer.
pub(crate) fn answer(explained: &Explanation) -> Answer {
    (explained.allowed, explained.reason, explained.rule.clone())
}

/// A jumpd without sockets.
pub(crate) struct Host {
    pub(crate) jumpd: Arc<Jumpd>,
    pub(crate) journal: Memory,
    cookies: AtomicU64,
    _state: tempfile::TempDir,
}

/// A live session and its guard's end of the connection that keeps it so.
pub(crate) struct Live {
    pub(crate) id: SessionId,
    pub(crate) guard: Channel,
}

fn policy(text: &str) -> Arc<Policy> {
    Arc::new(
        Policy::parse(text, "policy.toml", "UTC")
            .unwrap_or_else(|errors| panic!("{errors}\n{text}")),
    )
}

impl Host {
    /// With this policy in force, these names known, and these addresses its own.
    pub(crate) fn new(text: &str, names: &[(&str, Vec<IpAddr>)], own: &[IpAddr]) -> Self {
        let state = tempfile::tempdir().unwrap();
        let journal = Memory::default();
        let mut jumpd = Jumpd::new(
            None,
            Sessions::load(state.path()).unwrap(),
            Box::new(FileStore::open(state.path(), KeyRing::generate().unwrap()).unwrap()),
            Ca::open(&state.path().join("ca"), KeyRing::generate().unwrap()),
            Remembered::load(state.path()).unwrap(),
            Journal::with_sinks(
                &state.path().join("audit.chain"),
                vec![Box::new(journal.clone())],
            ),
        );
        jumpd.names = Arc::new(Resolver::knowing(names, own));
        let host = Self {
            jumpd: Arc::new(jumpd),
            journal,
            cookies: AtomicU64::new(1),
            _state: state,
        };
        host.take(text);
        host
    }

    /// Takes a policy into force.
    pub(crate) fn take(&self, text: &str) {
        let number = self.jumpd.generation().map_or(1, |g| g.number + 1);
        self.jumpd.take_into_force(Generation {
            number,
            policy: policy(text),
        });
    }

    /// What `jumpctl explain` is told; `from` and `at` absent as there.
    pub(crate) fn explain(
        &self,
        who: &Person,
        from: Option<IpAddr>,
        to: &Place,
        at_ms: Option<i64>,
    ) -> Explanation {
        let ask = ExplainRequest {
            user: who.user.to_owned(),
            groups: who.groups.clone(),
            host: to.host.to_owned(),
            port: to.port,
            from,
            at_ms,
            via: to.via,
            mfa: given(who.mfa),
            login: None,
        };
        match self.jumpd.explain(&ask) {
            Reply::Explained(explained) => explained,
            other => panic!("{other:?}"),
        }
    }

    fn applicant(who: &Person, source: IpAddr) -> Applicant {
        let login = who.login(source);
        let source = crate::connection::source(&login.connection).unwrap();
        let auth = auth_info(&login.auth_info);
        Applicant {
            login,
            source,
            auth,
        }
    }

    /// What pam_jump is told at `account` by somebody who has given a second factor, and the sentence.
    pub(crate) fn account(&self, who: &Person, source: IpAddr) -> (Answer, Option<String>) {
        let mark = new_id().unwrap();
        self.jumpd
            .leave_mark(mark.clone(), &Self::applicant(who, source), who.mfa);
        let reply = self.jumpd.account(&who.login(source), Some(&mark));
        self.jumpd.spend_mark(&mark);
        let Reply::Account { allowed, message } = reply else {
            panic!("{reply:?}");
        };
        let kind = if allowed {
            Kind::AccessAllowed
        } else {
            Kind::AccessDenied
        };
        (self.told(kind, allowed), message)
    }

    /// The answer as the last event, which must be of this kind, has it.
    fn told(&self, kind: Kind, allowed: bool) -> Answer {
        let event = self.journal.events().pop().unwrap();
        assert_eq!(event.kind, kind);
        let field = |name: &str| {
            let found = event.fields.iter().find(|(field, _)| field == name);
            found.map(|(_, value)| value.clone())
        };
        let reason = field("JUMP_REASON").unwrap();
        let reason = serde_json::from_value(serde_json::Value::String(reason)).unwrap();
        (allowed, reason, field("JUMP_RULE"))
    }

    /// A session with its guard at its post.
    pub(crate) fn open(&self, who: &Person, source: IpAddr) -> Live {
        let mark = new_id().unwrap();
        self.jumpd
            .leave_mark(mark.clone(), &Self::applicant(who, source), who.mfa);
        let reply = self
            .jumpd
            .open_session(&who.login(source), Some(&mark), 4711);
        let Reply::Opened { session, .. } = reply else {
            panic!("{reply:?}");
        };
        let (ours, guards) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let (jumpd, id) = (Arc::clone(&self.jumpd), session.clone());
        // Ends when the guard's end is dropped.
        std::thread::spawn(move || jumpd.attach(Channel::from(ours), GUARD, &id, "seccomp"));
        let guard = Channel::from(guards);
        guard.set_timeout(Some(Duration::from_secs(10))).unwrap();
        let attached = guard.recv::<Reply>().unwrap();
        assert!(
            matches!(attached, Some(Reply::Attached { .. })),
            "{attached:?}"
        );
        Live { id: session, guard }
    }

    /// What a session's guard is told.
    pub(crate) fn judge(&self, live: &Live, address: IpAddr, to: &Place) -> Answer {
        let cookie = self.cookies.fetch_add(1, Ordering::Relaxed);
        let ask = Request::Judge(JudgeRequest {
            session: live.id.clone(),
            destination: SocketAddr::new(address, to.port),
            tcp: true,
            via: to.via,
            cookie,
            pid: 4713,
            hop: false,
            ancestors: Vec::new(),
        });
        let Request::Judge(ask) = ask else {
            unreachable!()
        };
        let Reply::Judged { allowed, reason } = self.jumpd.judge(&ask, GUARD) else {
            panic!("no judgement");
        };
        let kind = if allowed {
            Kind::ForwardAllowed
        } else {
            Kind::ForwardDenied
        };
        let told = self.told(kind, allowed);
        assert_eq!(
            told.1, reason,
            "the journal says another reason than the guard heard"
        );
        if allowed {
            // It comes to nothing, so that the next question finds no connection.
            self.jumpd
                .connected(&live.id, cookie, nix::libc::ECONNREFUSED, GUARD);
        }
        told
    }

    /// From now on it is `at`.
    pub(crate) fn at(&self, at: Timestamp) {
        self.jumpd.set_clock(at);
    }
}
