//! What all threads of jumpd share, and the one way to the journal.

use crate::ca::Ca;
use crate::connection::{AuthInfo, VerifiedKey};
use crate::factor::REMEMBERED;
use crate::generation::Generation;
use crate::names::Resolver;
use crate::recorder::Recorder;
use crate::remember::Remembered;
use crate::sessions::{Session, Sessions};
use jiff::Timestamp;
use jump_audit::{AuditError, Event, Journal, Kind};
use jump_mfa::{Place, Store};
use jump_policy::{Method, Policy, Subject};
use jump_proto::{Login, Reason, Reply, SessionId, paths};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How long a second factor waits for its session: sshd's `LoginGraceTime` and a little more.
const MARK_LIFE: Duration = Duration::from_secs(150);

/// A login that is not yet a session.
#[derive(Debug, Clone)]
pub(crate) struct Applicant {
    pub(crate) login: Login,
    pub(crate) source: SocketAddr,
    pub(crate) auth: AuthInfo,
}

impl Applicant {
    /// Who asks, with the second factor that events call `mfa`.
    pub(crate) fn subject(&self, mfa: &str) -> Subject {
        Subject {
            user: self.login.user.clone(),
            groups: self.login.groups.clone(),
            mfa: given(mfa),
        }
    }

    pub(crate) fn key(&self) -> Option<&VerifiedKey> {
        self.auth.key.as_ref()
    }

    /// Where its wrong codes are counted.
    pub(crate) fn place(&self) -> Place {
        let key = self.key().map(|key| key.fingerprint.as_str());
        Place::new(key.unwrap_or_default(), self.source.ip())
    }

    /// An event about this login.
    pub(crate) fn event(&self, kind: Kind) -> Event {
        let mut event = Event::new(kind)
            .user(&self.login.user)
            .uid(self.login.uid)
            .source(self.source);
        if !self.auth.methods.is_empty() {
            event = event.auth_method(&self.auth.methods);
        }
        match self.key() {
            Some(key) => event.key_fingerprint(&key.fingerprint),
            None => event,
        }
    }
}

/// The second factor behind its word in events; `none`, and what no policy speaks of, is none.
pub(crate) fn given(mfa: &str) -> Option<Method> {
    match mfa {
        // Nothing but codes of the authenticator is remembered.
        REMEMBERED => Some(Method::Totp),
        _ => mfa.parse().ok(),
    }
}

/// A second factor that was given and waits for `account` and `open_session`.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) user: String,
    pub(crate) connection: String,
    pub(crate) mfa: String,
    pub(crate) key_fingerprint: Option<String>,
    given: Instant,
}

/// What o'clock it is for decisions; a test says so itself.
#[derive(Debug, Default)]
struct Clock {
    #[cfg(test)]
    told: Mutex<Option<Timestamp>>,
}

impl Clock {
    fn now(&self) -> Timestamp {
        #[cfg(test)]
        if let Some(told) = *self.told.lock().unwrap_or_else(PoisonError::into_inner) {
            return told;
        }
        Timestamp::now()
    }
}

/// What a look at the policy file found: the SHA-256 of its text, or why there is none.
pub(crate) type Look = Result<[u8; 32], String>;

/// Everything jumpd knows.
#[derive(Debug)]
pub(crate) struct Jumpd {
    generation: RwLock<Option<Arc<Generation>>>,
    sessions: Mutex<Sessions>,
    marks: Mutex<HashMap<SessionId, Mark>>,
    /// When the kernel's list of connections was last looked at, milliseconds since boot.
    pub(crate) looked: Mutex<i64>,
    /// Ends of connections that were announced and are not written down yet.
    pub(crate) ends_waiting: AtomicUsize,
    /// Whether connections are being judged again aside of the clock.
    pub(crate) rejudging: AtomicBool,
    /// One apply at a time; what the file held when it was last looked at.
    pub(crate) applying: Mutex<Option<Look>>,
    /// Why the packet filter does not follow the policy, where it was last said not to.
    pub(crate) egress_error: Mutex<Option<String>>,
    pub(crate) names: Arc<Resolver>,
    pub(crate) ca: Ca,
    pub(crate) second_factors: Box<dyn Store>,
    pub(crate) remembered: Remembered,
    pub(crate) recorder: Recorder,
    journal: Journal,
    clock: Clock,
}

impl Jumpd {
    pub(crate) fn new(
        generation: Option<Generation>,
        sessions: Sessions,
        second_factors: Box<dyn Store>,
        ca: Ca,
        remembered: Remembered,
        journal: Journal,
    ) -> Self {
        Self {
            generation: RwLock::new(generation.map(Arc::new)),
            sessions: Mutex::new(sessions),
            marks: Mutex::new(HashMap::new()),
            looked: Mutex::new(0),
            ends_waiting: AtomicUsize::new(0),
            rejudging: AtomicBool::new(false),
            applying: Mutex::default(),
            egress_error: Mutex::default(),
            names: Arc::new(Resolver::announcing(Path::new(paths::NAMES_CHANGED))),
            second_factors,
            ca,
            remembered,
            recorder: Recorder::new(
                Path::new(paths::RECORDINGS),
                &Path::new(paths::RUNTIME_STATE).join("recordings"),
            ),
            journal,
            clock: Clock::default(),
        }
    }

    /// Now, as every decision takes it.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// From now on it is `at`.
    #[cfg(test)]
    pub(crate) fn set_clock(&self, at: Timestamp) {
        *self
            .clock
            .told
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// The generation in force.
    pub(crate) fn generation(&self) -> Option<Arc<Generation>> {
        self.generation
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The policy in force.
    pub(crate) fn policy(&self) -> Option<Arc<Policy>> {
        self.generation().map(|g| Arc::clone(&g.policy))
    }

    pub(crate) fn take_into_force(&self, generation: Generation) {
        self.warm_names(&generation.policy);
        *self
            .generation
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(generation));
    }

    /// Looks the policy's names up before they are asked for.
    pub(crate) fn warm_names(&self, policy: &Policy) {
        self.names.warm(
            crate::judge::host_names(policy)
                .map(str::to_owned)
                .collect(),
        );
    }

    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn marks(&self) -> MutexGuard<'_, HashMap<SessionId, Mark>> {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.retain(|_, mark| mark.given.elapsed() < MARK_LIFE);
        marks
    }

    /// Remembers that a second factor was given.
    pub(crate) fn leave_mark(&self, id: SessionId, who: &Applicant, mfa: &str) {
        let mark = Mark {
            user: who.login.user.clone(),
            connection: who.login.connection.clone(),
            mfa: mfa.to_owned(),
            key_fingerprint: who.key().map(|k| k.fingerprint.clone()),
            given: Instant::now(),
        };
        self.marks().insert(id, mark);
    }

    /// The second factor behind `mark`, if it was given for this very connection.
    pub(crate) fn find_mark(&self, mark: Option<&SessionId>, who: &Applicant) -> Option<Mark> {
        let mark = self.marks().get(mark?)?.clone();
        (mark.user == who.login.user && mark.connection == who.login.connection).then_some(mark)
    }

    /// Uses a mark up.
    pub(crate) fn spend_mark(&self, mark: &SessionId) {
        self.marks().remove(mark);
    }

    /// Writes an event, with the policy in force. An error means that it is written nowhere.
    pub(crate) fn write(&self, event: Event) -> Result<(), AuditError> {
        let event = match self.generation() {
            Some(generation) => event.policy(generation.policy.hash()),
            None => event,
        };
        self.journal.write(&event)
    }

    /// Writes an event of something that has happened or is refused anyway.
    pub(crate) fn note(&self, event: Event) {
        if let Err(e) = self.write(event) {
            complain(&format!("an event is lost: {e}"));
        }
    }

    /// Writes an event of something about to be allowed; false means that it must not be.
    pub(crate) fn announce(&self, event: Event) -> bool {
        match self.write(event) {
            Ok(()) => true,
            Err(e) => {
                complain(&format!(
                    "refused, because its event cannot be written: {e}"
                ));
                false
            }
        }
    }
}

/// An event about a session.
pub(crate) fn session_event(kind: Kind, session: &Session) -> Event {
    session.asker().event(kind)
}

/// Now, in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// Milliseconds since the host was booted, time asleep included (`CLOCK_BOOTTIME`, clock_gettime(2)): nobody steps it.
pub(crate) fn boot_ms() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec
        .saturating_mul(1000)
        .saturating_add(now.tv_nsec / 1_000_000)
}

/// Milliseconds since `since_boot_ms`, a time by [`boot_ms`].
pub(crate) fn elapsed_ms(since_boot_ms: i64) -> u64 {
    u64::try_from(boot_ms().saturating_sub(since_boot_ms)).unwrap_or(0)
}

/// A new session id.
pub(crate) fn new_id() -> Result<SessionId, getrandom::Error> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)?;
    Ok(SessionId::from_bytes(bytes))
}

/// A refusal with its sentence.
pub(crate) fn refused(reason: Reason, message: impl Into<String>) -> Reply {
    Reply::Refused {
        reason,
        message: message.into(),
    }
}

/// Makes standard error lose lines rather than wait: journald may be stopped, and no answer must hang on that.
pub(crate) fn never_wait() {
    let stderr = std::io::stderr();
    if let Ok(flags) = rustix::fs::fcntl_getfl(&stderr) {
        // Where it cannot be set, lines may wait as they did.
        let _set = rustix::fs::fcntl_setfl(&stderr, flags | rustix::fs::OFlags::NONBLOCK);
    }
}

/// One line on standard error, which systemd keeps in the journal.
pub(crate) fn complain(text: &str) {
    use std::io::Write;
    let _said = writeln!(std::io::stderr(), "jumpd: {text}");
}
