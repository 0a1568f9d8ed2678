//! The live sessions, and what a restarted jumpd must still know of them.
//!
//! Each session is a file in `/run/jump/state/sessions`, renewed at every
//! change: a restart of jumpd forgets neither a session nor an open
//! connection. The directory is in memory and gone with a reboot, as the
//! sessions are.

use crate::carriers::Carrier;
use crate::hops::Hop;
use crate::limits::Rate;
use crate::state::{boot_ms, given, now_ms};
use jiff::Timestamp;
use jump_audit::{Event, Kind};
use jump_mfa::{Place, Who};
use jump_policy::Subject;
use jump_proto::{Channel, FlowInfo, HopId, Push, Reason, SessionId, SessionInfo, Via};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Connections that a list tells of each session: sixteen sessions fit into a message.
pub(crate) const LISTED_FLOWS: usize = 24;
/// Connections that a message about one session tells.
pub(crate) const SHOWN_FLOWS: usize = 400;

/// One TCP connection that jumpd allowed, known by its socket's cookie.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Flow {
    /// Where to.
    pub(crate) destination: SocketAddr,
    /// The policy's name for it.
    pub(crate) name: Option<String>,
    /// The rule that allowed it.
    pub(crate) rule: String,
    /// Since when, milliseconds since the Unix epoch.
    pub(crate) since_ms: i64,
    /// Since when, milliseconds since boot: what lasts is counted by this clock.
    #[serde(default)]
    pub(crate) since_boot_ms: i64,
    /// Which way.
    pub(crate) via: Via,
    /// The hop of jump-shell's that it carries, if it is one's.
    #[serde(default)]
    pub(crate) hop: Option<HopId>,
    /// The process that asked for it.
    #[serde(default)]
    pub(crate) pid: i32,
    /// Payload bytes sent and received, told by the guard before it reset the connection.
    #[serde(default)]
    pub(crate) cut: Option<(u64, u64)>,
    /// When the answer that allowed it changes by itself, milliseconds since the Unix epoch.
    #[serde(default)]
    pub(crate) until_ms: Option<i64>,
    /// Set once it is no longer allowed: why, and since when in milliseconds since boot.
    #[serde(default)]
    pub(crate) revoked: Option<(Reason, i64)>,
    /// Whether its handshake was seen to be over.
    #[serde(default)]
    pub(crate) established: bool,
    /// Payload bytes sent and received, when last looked at.
    #[serde(skip)]
    pub(crate) carried: Option<(u64, u64)>,
    /// When a guard was last told yes, milliseconds since boot.
    #[serde(default)]
    pub(crate) asked_boot_ms: i64,
    /// Since when no look found its socket, milliseconds since boot.
    #[serde(skip)]
    pub(crate) missed_since: Option<i64>,
}

/// A session's guard, as long as it is connected.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    /// Its process id, which attests the session to jumpd's sockets.
    pub(crate) pid: i32,
    /// Where [`Push`] messages go.
    pub(crate) push: Arc<Channel>,
}

/// One SSH connection.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Its id.
    pub(crate) id: SessionId,
    /// Who.
    pub(crate) user: String,
    /// Their uid.
    pub(crate) uid: u32,
    /// Their system groups.
    pub(crate) groups: Vec<String>,
    /// From where.
    pub(crate) source: SocketAddr,
    /// Since when, milliseconds since the Unix epoch.
    pub(crate) opened_ms: i64,
    /// Since when, milliseconds since boot: what lasts is counted by this clock.
    #[serde(default)]
    pub(crate) opened_boot_ms: i64,
    /// When a byte was last forwarded or typed, milliseconds since boot.
    #[serde(default)]
    pub(crate) active_boot_ms: i64,
    /// Hash of the policy by which its connections were last judged.
    #[serde(default)]
    pub(crate) judged_by: String,
    /// How the second factor was given.
    pub(crate) mfa: String,
    /// Methods that sshd verified.
    pub(crate) auth_method: String,
    /// Fingerprint of the login key.
    pub(crate) key_fingerprint: Option<String>,
    /// The rule that admitted it.
    pub(crate) rule: Option<String>,
    /// sshd's monitor.
    pub(crate) monitor: i32,
    /// Layers in force; empty until the guard is at its post.
    pub(crate) sandbox: String,
    /// Whether the opening is in the journal.
    pub(crate) opened: bool,
    /// Open connections by socket cookie.
    pub(crate) flows: BTreeMap<u64, Flow>,
    /// Hops of jump-shell's.
    #[serde(default)]
    pub(crate) hops: BTreeMap<HopId, Hop>,
    /// Processes that carried one of them, or carry it.
    #[serde(default)]
    pub(crate) carriers: Vec<Carrier>,
    /// Whether its user's own agent was let come along.
    #[serde(default)]
    pub(crate) own_agent: bool,
    /// Payload bytes sent to targets by connections that are closed.
    pub(crate) sent: u64,
    /// Payload bytes received from targets by connections that are closed.
    pub(crate) received: u64,
    /// The latest end, and why.
    pub(crate) ends: Option<(i64, Reason)>,
    /// Whether the user was told of the end.
    pub(crate) warned: bool,
    /// Whether the user was told of the end for lack of use.
    #[serde(skip)]
    pub(crate) warned_idle: bool,
    /// Connections opened of late.
    #[serde(skip)]
    pub(crate) rate: Rate,
    /// Set once the session is being ended.
    pub(crate) ending: Option<Reason>,
    /// The guard, while it is connected.
    #[serde(skip)]
    pub(crate) guard: Option<Guard>,
    /// Whether its last process is gone.
    #[serde(default)]
    pub(crate) gone: bool,
    /// Whether a guard was at its post in the life of this jumpd.
    #[serde(skip)]
    pub(crate) was_guarded: bool,
    /// When the session began to be without a guard.
    #[serde(skip, default = "Instant::now")]
    pub(crate) unguarded_since: Instant,
    /// When its last process was gone; the record stays a moment for the sockets' ends.
    #[serde(skip)]
    pub(crate) gone_since: Option<Instant>,
}

impl Session {
    /// Who the session is, as decisions and events need it.
    #[must_use]
    pub(crate) fn asker(&self) -> Asker {
        Asker {
            id: self.id.clone(),
            user: self.user.clone(),
            uid: self.uid,
            groups: self.groups.clone(),
            source: self.source,
            mfa: self.mfa.clone(),
            key_fingerprint: self.key_fingerprint.clone(),
            sandbox: self.sandbox.clone(),
            opened_boot_ms: self.opened_boot_ms,
        }
    }

    /// Tells the guard something, without waiting for it. A guard that does not
    /// read loses its connection; it learns what it must know when it takes its post again.
    pub(crate) fn push(&self, message: &Push) {
        if let Some(guard) = &self.guard
            && guard.push.send_now(message).is_err()
        {
            guard.push.shut_down();
        }
    }

    /// When it was opened, by the wall clock of now: a step of that clock makes no session older or younger.
    pub(crate) fn opened_at(&self, now: Timestamp) -> Timestamp {
        self.asker().opened_at(now)
    }

    /// Milliseconds since a byte was last forwarded or typed.
    pub(crate) fn idle_ms(&self) -> i64 {
        boot_ms().saturating_sub(self.active_boot_ms).max(0)
    }

    /// A byte was forwarded or typed.
    pub(crate) fn is_active(&mut self) {
        self.active_boot_ms = boot_ms();
        self.warned_idle = false;
    }

    /// Payload bytes sent and received by all its connections, as last looked at.
    fn carried(&self) -> (u64, u64) {
        let open = self.flows.values();
        open.fold((self.sent, self.received), |(sent, received), flow| {
            let (more_sent, more_received) = flow.carried.unwrap_or_default();
            (
                sent.saturating_add(more_sent),
                received.saturating_add(more_received),
            )
        })
    }

    /// Whose it is.
    pub(crate) fn person(&self) -> Who {
        Who {
            uid: self.uid,
            user: self.user.clone(),
        }
    }

    /// Where it comes from, as wrong codes are counted.
    pub(crate) fn place(&self) -> Place {
        place(self.key_fingerprint.as_deref(), self.source)
    }

    /// What operators and the user see of it, with so many of its connections.
    #[must_use]
    pub(crate) fn info(&self, most_flows: usize) -> SessionInfo {
        let (bytes_sent, bytes_received) = self.carried();
        SessionInfo {
            session: self.id.clone(),
            user: self.user.clone(),
            uid: self.uid,
            source: self.source,
            opened_ms: self.opened_ms,
            ends_ms: self.ends.map(|(at, _)| at),
            ends_reason: self.ends.map(|(_, why)| why),
            mfa: self.mfa.clone(),
            key_fingerprint: self.key_fingerprint.clone(),
            sandbox: self.sandbox.clone(),
            guard: self.guard.as_ref().map(|guard| guard.pid),
            flow_count: self.flows.len(),
            flows: self
                .flows
                .values()
                .take(most_flows)
                .map(|f| FlowInfo {
                    destination: f.destination,
                    name: f.name.clone(),
                    rule: f.rule.clone(),
                    since_ms: f.since_ms,
                    via: f.via,
                    bytes_sent: f.carried.map(|(sent, _)| sent),
                    bytes_received: f.carried.map(|(_, received)| received),
                })
                .collect(),
            bytes_sent,
            bytes_received,
            idle_ms: u64::try_from(self.idle_ms()).ok(),
            hops: Vec::new(),
        }
    }
}

fn place(key_fingerprint: Option<&str>, source: SocketAddr) -> Place {
    Place::new(key_fingerprint.unwrap_or_default(), source.ip())
}

/// Who a session is: a copy outside the lock, since a decision may wait for the resolver.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    id: SessionId,
    user: String,
    uid: u32,
    groups: Vec<String>,
    /// From where.
    pub(crate) source: SocketAddr,
    mfa: String,
    key_fingerprint: Option<String>,
    sandbox: String,
    opened_boot_ms: i64,
}

impl Asker {
    /// As [`Session::opened_at`].
    pub(crate) fn opened_at(&self, now: Timestamp) -> Timestamp {
        let age = boot_ms().saturating_sub(self.opened_boot_ms).max(0);
        Timestamp::from_millisecond(now.as_millisecond().saturating_sub(age)).unwrap_or(now)
    }

    /// When it was opened, milliseconds since boot.
    pub(crate) fn opened_boot_ms(&self) -> i64 {
        self.opened_boot_ms
    }

    /// The session.
    pub(crate) fn id(&self) -> &SessionId {
        &self.id
    }

    /// Whose it is.
    pub(crate) fn person(&self) -> Who {
        Who {
            uid: self.uid,
            user: self.user.clone(),
        }
    }

    /// SHA-256 fingerprint of the login key.
    pub(crate) fn key_fingerprint(&self) -> Option<&str> {
        self.key_fingerprint.as_deref()
    }

    /// As [`Session::place`].
    pub(crate) fn place(&self) -> Place {
        place(self.key_fingerprint.as_deref(), self.source)
    }

    /// The session's user as the policy asks for it.
    #[must_use]
    pub(crate) fn subject(&self) -> Subject {
        Subject {
            user: self.user.clone(),
            groups: self.groups.clone(),
            mfa: given(&self.mfa),
        }
    }

    /// An event about the session.
    #[must_use]
    pub(crate) fn event(&self, kind: Kind) -> Event {
        let mut event = Event::new(kind)
            .session(&self.id)
            .user(&self.user)
            .uid(self.uid)
            .source(self.source)
            .mfa(&self.mfa);
        if let Some(fingerprint) = &self.key_fingerprint {
            event = event.key_fingerprint(fingerprint);
        }
        if !self.sandbox.is_empty() {
            event = event.sandbox(&self.sandbox);
        }
        event
    }
}

/// All live sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    directory: PathBuf,
    by_id: HashMap<SessionId, Session>,
}

impl Sessions {
    /// Reads back the sessions that an earlier jumpd left in `state`.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub(crate) fn load(state: &Path) -> std::io::Result<Self> {
        let directory = state.join("sessions");
        std::fs::create_dir_all(&directory)?;
        let mut by_id = HashMap::new();
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            // A record that cannot be read belongs to no session: its guard is refused and ends it.
            if let Ok(text) = std::fs::read(&path)
                && let Ok(mut session) = serde_json::from_slice::<Session>(&text)
            {
                // Written by a release that did not count by this clock.
                if session.opened_boot_ms == 0 {
                    session.opened_boot_ms = boot_ms() - (now_ms() - session.opened_ms).max(0);
                    session.active_boot_ms = boot_ms();
                }
                for flow in session.flows.values_mut() {
                    if flow.since_boot_ms == 0 {
                        flow.since_boot_ms = boot_ms() - (now_ms() - flow.since_ms).max(0);
                    }
                }
                session.gone_since = session.gone.then(Instant::now);
                by_id.insert(session.id.clone(), session);
            }
        }
        Ok(Self { directory, by_id })
    }

    /// The session of that id.
    #[must_use]
    pub(crate) fn get(&self, id: &SessionId) -> Option<&Session> {
        self.by_id.get(id)
    }

    /// The session of that id, to change; call [`Sessions::save`] afterwards.
    pub(crate) fn get_mut(&mut self, id: &SessionId) -> Option<&mut Session> {
        self.by_id.get_mut(id)
    }

    /// All sessions.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.by_id.values()
    }

    /// All sessions, to change.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.by_id.values_mut()
    }

    /// The session whose guard has process id `pid`.
    #[must_use]
    pub(crate) fn guarded_by(&self, pid: i32) -> Option<&Session> {
        self.by_id
            .values()
            .find(|s| s.guard.as_ref().is_some_and(|g| g.pid == pid))
    }

    /// How many there are.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Takes a new session into the books.
    ///
    /// # Errors
    /// When it cannot be written down; then it is not in the books.
    pub(crate) fn insert(&mut self, session: Session) -> std::io::Result<()> {
        self.write(&session)?;
        self.by_id.insert(session.id.clone(), session);
        Ok(())
    }

    /// Writes a changed session down.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn save(&self, id: &SessionId) -> std::io::Result<()> {
        self.by_id
            .get(id)
            .map_or(Ok(()), |session| self.write(session))
    }

    /// Writes down every session that is being ended.
    pub(crate) fn save_ending(&self) {
        for session in self.by_id.values().filter(|s| s.ending.is_some()) {
            // For a restart; in memory it is known in any case.
            let _saved = self.write(session);
        }
    }

    fn write(&self, session: &Session) -> std::io::Result<()> {
        let path = self.path(&session.id);
        let temporary = path.with_extension("new");
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(session)?)?;
        // In memory: a rename is enough, nothing survives a crash of the host.
        std::fs::rename(temporary, path)
    }

    /// Strikes a session out.
    pub(crate) fn remove(&mut self, id: &SessionId) -> Option<Session> {
        // A record that stays behind is closed as guardless at the next start.
        let _gone = std::fs::remove_file(self.path(id));
        self.by_id.remove(id)
    }

    fn path(&self, id: &SessionId) -> PathBuf {
        self.directory.join(format!("{id}.json"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn session(id: u8) -> Session {
        Session {
            id: SessionId::from_bytes([id; 16]),
            user: "alice".to_owned(),
            uid: 70001,
            groups: vec![],
            source: "192.0.2.1:5022".parse().unwrap(),
            opened_ms: 1,
            opened_boot_ms: 1,
            active_boot_ms: 1,
            judged_by: String::new(),
            mfa: "totp".to_owned(),
            auth_method: "publickey".to_owned(),
            key_fingerprint: None,
            rule: None,
            monitor: 4711,
            sandbox: String::new(),
            opened: false,
            flows: BTreeMap::new(),
            hops: BTreeMap::new(),
            carriers: vec![],
            own_agent: false,
            sent: 0,
            received: 0,
            ends: Some((5, Reason::MaxSession)),
            warned: false,
            warned_idle: false,
            rate: Rate::default(),
            ending: None,
            guard: None,
            gone: false,
            was_guarded: false,
            unguarded_since: Instant::now(),
            gone_since: None,
        }
    }

    #[test]
    fn a_restart_forgets_neither_a_session_nor_a_connection() {
        let state = tempfile::tempdir().unwrap();
        let mut before = Sessions::load(state.path()).unwrap();
        before.insert(session(1)).unwrap();
        before.insert(session(2)).unwrap();
        let id = SessionId::from_bytes([1; 16]);
        let flow = Flow {
            destination: "192.0.2.9:22".parse().unwrap(),
            name: None,
            rule: "r".to_owned(),
            since_ms: 3,
            since_boot_ms: 3,
            via: Via::Forward,
            hop: None,
            pid: 4713,
            cut: None,
            until_ms: None,
            revoked: None,
            established: false,
            carried: None,
            asked_boot_ms: 0,
            missed_since: None,
        };
        before.get_mut(&id).unwrap().flows.insert(u64::MAX, flow);
        before.save(&id).unwrap();
        before.remove(&SessionId::from_bytes([2; 16]));

        let after = Sessions::load(state.path()).unwrap();
        assert_eq!(after.len(), 1);
        let found = after.get(&id).unwrap();
        assert_eq!(found.flows[&u64::MAX].rule, "r");
        assert_eq!(found.ends, Some((5, Reason::MaxSession)));
    }

    #[test]
    fn a_torn_record_is_no_session() {
        let state = tempfile::tempdir().unwrap();
        let mut before = Sessions::load(state.path()).unwrap();
        before.insert(session(1)).unwrap();
        let path = before.path(&SessionId::from_bytes([1; 16]));
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(
                Sessions::load(state.path())
                    .unwrap()
                    .iter()
                    .next()
                    .is_none(),
                "{length}"
            );
        }
    }
}
