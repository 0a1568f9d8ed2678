//! The book of hops: which of jump-shell's connections to targets a session has, and which of them are recorded.
//!
//! It is part of the session's record, so that a restarted jumpd knows the
//! hops that go on. Of their recordings it knows none until the shell goes on
//! with them: whoever does not, in time, loses the hop's connection.

#[cfg(test)]
mod tests;

use crate::carriers::Process;
use crate::sessions::{Asker, Session};
use crate::state::{Jumpd, boot_ms, elapsed_ms, now_ms};
use jump_audit::{Event, Kind};
use jump_proto::hop::RECORDER_UPGRADE;
use jump_proto::{HopId, HopInfo, Push, Reason, SessionId};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Hops that one session may have at once; a multiplexing client has as many shells as sshd lets it.
pub(crate) const MOST_HOPS: usize = 64;
/// How long a hop may take until its connection is there, in milliseconds: ssh tries for less.
const CONNECTS_MS: u64 = 60_000;
/// How long the shell may take to say that a hop is over whose connection is gone, in milliseconds.
const SAID_MS: u64 = 10_000;

/// One hop.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Hop {
    /// Its name, and its recording's.
    pub(crate) id: HopId,
    /// The host, or the target, as the user asked for it.
    pub(crate) asked: String,
    /// The policy's name for it, where it has one.
    pub(crate) name: Option<String>,
    /// Where to.
    pub(crate) address: SocketAddr,
    /// Login name at the target.
    pub(crate) login: String,
    /// The rule that allowed it.
    pub(crate) rule: String,
    /// Whether it exists only while it is recorded.
    pub(crate) record: bool,
    /// Whether the user's own forwarded agent authenticates, and not the bastion's CA.
    #[serde(default)]
    pub(crate) forwarded_agent: bool,
    /// The jump-shell that asked for it: only an ssh that descends from it may carry it.
    #[serde(default)]
    pub(crate) shell: Option<Process>,
    /// Since when, milliseconds since the Unix epoch.
    pub(crate) started_ms: i64,
    /// Since when, milliseconds since boot: what lasts is counted by this clock.
    pub(crate) started_boot_ms: i64,
    /// Whether a recorder has it now. A restarted jumpd has none.
    #[serde(skip)]
    pub(crate) recorded: bool,
    /// Since when no recorder has it, milliseconds since boot.
    #[serde(skip, default = "boot_ms")]
    pub(crate) unrecorded_since: i64,
    /// Since when it has no connection, milliseconds since boot; absent while it has one.
    #[serde(skip, default = "since_now")]
    pub(crate) unconnected_since: Option<i64>,
    /// Whether it had a connection.
    #[serde(default)]
    pub(crate) connected: bool,
    /// Why jumpd ended it, once it did: what the shell says of it later does not count.
    #[serde(default)]
    pub(crate) ended_for: Option<Reason>,
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "a field's default has the field's type"
)]
fn since_now() -> Option<i64> {
    Some(boot_ms())
}

/// What a hop is, as it is about to begin.
#[derive(Debug, Clone)]
pub(crate) struct NewHop {
    pub(crate) id: HopId,
    pub(crate) asked: String,
    pub(crate) name: Option<String>,
    pub(crate) address: SocketAddr,
    pub(crate) login: String,
    pub(crate) rule: String,
    pub(crate) record: bool,
    pub(crate) forwarded_agent: bool,
    pub(crate) shell: Option<Process>,
}

impl From<NewHop> for Hop {
    fn from(new: NewHop) -> Self {
        Self {
            id: new.id,
            asked: new.asked,
            name: new.name,
            address: new.address,
            login: new.login,
            rule: new.rule,
            record: new.record,
            forwarded_agent: new.forwarded_agent,
            shell: new.shell,
            started_ms: now_ms(),
            started_boot_ms: boot_ms(),
            recorded: false,
            unrecorded_since: boot_ms(),
            unconnected_since: since_now(),
            connected: false,
            ended_for: None,
        }
    }
}

impl Hop {
    /// An event about it, of a session of the asker's.
    pub(crate) fn event(&self, kind: Kind, asker: &Asker) -> Event {
        let event = asker
            .event(kind)
            .destination(self.address)
            .rule(&self.rule)
            .text("hop", &self.id)
            .text("login", &self.login);
        match &self.name {
            Some(name) => event.destination_name(name),
            None => event,
        }
    }

    /// Notes why it must end; the first reason counts. That it was over is none of jumpd's.
    pub(crate) fn must_end(&mut self, reason: Reason) {
        if !matches!(reason, Reason::ClosedByPeer | Reason::ShellLost) {
            self.ended_for.get_or_insert(reason);
        }
    }

    /// What operators see of it.
    pub(crate) fn info(&self, recorded: Option<u64>) -> HopInfo {
        HopInfo {
            hop: self.id.clone(),
            target: self.asked.clone(),
            destination: self.address,
            login: self.login.clone(),
            rule: self.rule.clone(),
            since_ms: self.started_ms,
            record: self.record,
            recorded,
        }
    }

    /// Whether it may have a connection, as far as its recording goes.
    pub(crate) fn may_connect(&self) -> bool {
        self.recorded || !self.record
    }

    /// Whether its connection must go, because nobody came back to record it.
    fn is_abandoned(&self) -> bool {
        let patience = i64::try_from(RECORDER_UPGRADE.as_millis()).unwrap_or(i64::MAX);
        self.record && !self.recorded && boot_ms().saturating_sub(self.unrecorded_since) > patience
    }

    /// Whether it is over though the shell did not say so: it never had a connection, or has none any more.
    fn is_over(&self) -> bool {
        let patience = if self.connected { SAID_MS } else { CONNECTS_MS };
        self.unconnected_since
            .is_some_and(|since| elapsed_ms(since) > patience)
    }
}

/// A hop, and whose it is: copies outside the lock.
#[derive(Debug, Clone)]
pub(crate) struct HopFacts {
    /// The session, as events tell of it.
    pub(crate) asker: Asker,
    /// The hop.
    pub(crate) hop: Hop,
}

impl HopFacts {
    /// When the session was opened, milliseconds since boot.
    pub(crate) fn opened_boot_ms(&self) -> i64 {
        self.asker.opened_boot_ms()
    }
}

impl Session {
    /// Takes a hop into the books.
    ///
    /// # Errors
    /// When the session has as many as it may.
    pub(crate) fn open_hop(&mut self, hop: Hop) -> Result<(), Reason> {
        if self.hops.len() >= MOST_HOPS {
            return Err(Reason::TooManyForwards);
        }
        self.hops.insert(hop.id.clone(), hop);
        Ok(())
    }

    /// Why this hop must end, or with it the session, if it must.
    pub(crate) fn ends_hop_for(&self, hop: &HopId) -> Option<Reason> {
        let hop = self.hops.get(hop);
        self.ending.or(hop.and_then(|hop| hop.ended_for))
    }

    /// Revokes the connection of a hop and tells the guard to cut it.
    pub(crate) fn cut_hop(&mut self, hop: &HopId, reason: Reason) {
        if let Some(entry) = self.hops.get_mut(hop) {
            entry.must_end(reason);
        }
        let mut cookies = Vec::new();
        for (cookie, flow) in &mut self.flows {
            if flow.hop.as_ref() == Some(hop) && flow.revoked.is_none() {
                flow.revoked = Some((reason, boot_ms()));
                cookies.push(*cookie);
            }
        }
        if !cookies.is_empty() {
            self.push(&Push::Cut { cookies, reason });
        }
    }

    /// Looks at which hops have a connection; those that are abandoned are cut. Whether anything was cut.
    fn look_at_hops(&mut self) -> bool {
        let mut abandoned = Vec::new();
        for hop in self.hops.values_mut() {
            let mut theirs = self
                .flows
                .values()
                .filter(|flow| flow.hop.as_ref() == Some(&hop.id))
                .peekable();
            let connected = theirs.peek().is_some();
            let may_go_on = theirs.any(|flow| flow.revoked.is_none());
            if connected {
                hop.connected = true;
                hop.unconnected_since = None;
            } else {
                hop.unconnected_since.get_or_insert_with(boot_ms);
            }
            if may_go_on && hop.is_abandoned() {
                abandoned.push(hop.id.clone());
            }
        }
        for hop in &abandoned {
            self.cut_hop(hop, Reason::RecorderLost);
        }
        !abandoned.is_empty()
    }
}

impl Jumpd {
    /// A recorder has the hop from now on: its connection may be made, and goes on. `None` when the
    /// session has no such hop, or another recorder has it.
    pub(crate) fn recording_begins(&self, session: &SessionId, hop: &HopId) -> Option<HopFacts> {
        let mut sessions = self.sessions();
        let session = sessions
            .get_mut(session)
            .filter(|s| s.ending.is_none() && s.gone_since.is_none())?;
        let asker = session.asker();
        let hop = session.hops.get_mut(hop).filter(|hop| !hop.recorded)?;
        hop.recorded = true;
        let hop = hop.clone();
        Some(HopFacts { asker, hop })
    }

    /// No recorder has the hop any more: a connection that exists only while it is recorded is cut.
    pub(crate) fn recording_over(&self, session: &SessionId, hop: &HopId, reason: Reason) {
        let mut sessions = self.sessions();
        let Some(found) = sessions.get_mut(session) else {
            return;
        };
        let Some(entry) = found.hops.get_mut(hop) else {
            return;
        };
        entry.recorded = false;
        entry.unrecorded_since = boot_ms();
        if entry.record {
            found.cut_hop(hop, reason);
        }
        // Kept in memory in any case; the file is for a restart.
        let _saved = sessions.save(session);
    }

    /// Nobody records the hop until its shell comes to the next jumpd. Its connection stays, and it gets no other.
    pub(crate) fn recording_left(&self, session: &SessionId, hop: &HopId) {
        let mut sessions = self.sessions();
        let found = sessions.get_mut(session);
        if let Some(entry) = found.and_then(|found| found.hops.get_mut(hop)) {
            entry.recorded = false;
            entry.unrecorded_since = boot_ms();
        }
    }

    /// A hop is over, its shell says; false when the session has no such hop. What is left of its connection is cut.
    pub(crate) fn end_hop(
        &self,
        session: &SessionId,
        hop: &HopId,
        status: Option<u8>,
        said: Option<Reason>,
    ) -> bool {
        let event = {
            let mut sessions = self.sessions();
            let Some(found) = sessions.get_mut(session) else {
                return false;
            };
            let known = found.ends_hop_for(hop);
            let reason = known.or(said.filter(|word| is_the_shells(*word)));
            let Some(entry) = found.hops.remove(hop) else {
                return false;
            };
            found.cut_hop(hop, reason.unwrap_or(Reason::ClosedByPeer));
            let event = over(&found.asker(), &entry, status, reason);
            // Kept in memory in any case; the file is for a restart.
            let _saved = sessions.save(session);
            event
        };
        self.note(event);
        true
    }

    /// Ends what is over and cuts what nobody records any more.
    pub(crate) fn tick_hops(&self) {
        let mut events = Vec::new();
        {
            let mut sessions = self.sessions();
            let mut changed = Vec::new();
            for session in sessions.iter_mut().filter(|s| !s.hops.is_empty()) {
                let cut = session.look_at_hops();
                let ended: Vec<HopId> = session
                    .hops
                    .values()
                    .filter(|hop| hop.is_over())
                    .map(|hop| hop.id.clone())
                    .collect();
                if cut || !ended.is_empty() {
                    changed.push(session.id.clone());
                }
                for id in ended {
                    if let Some(hop) = session.hops.remove(&id) {
                        let why = if hop.connected {
                            Reason::ClosedByPeer
                        } else {
                            Reason::ConnectFailed
                        };
                        let why = session.ending.or(hop.ended_for).unwrap_or(why);
                        events.push(over(&session.asker(), &hop, None, Some(why)));
                    }
                }
            }
            for id in changed {
                // Kept in memory in any case; the file is for a restart.
                let _saved = sessions.save(&id);
            }
        }
        for event in events {
            self.note(event);
        }
    }
}

/// `hop.ended` of each hop of a session that is over.
pub(crate) fn hops_over(session: &mut Session, why: Reason) -> Vec<Event> {
    let asker = session.asker();
    std::mem::take(&mut session.hops)
        .into_values()
        .map(|hop| over(&asker, &hop, None, Some(why)))
        .collect()
}

fn over(asker: &Asker, hop: &Hop, status: Option<u8>, reason: Option<Reason>) -> Event {
    let event = hop
        .event(Kind::HopEnded, asker)
        .reason(reason.unwrap_or(Reason::ClosedByPeer))
        .duration_ms(elapsed_ms(hop.started_boot_ms));
    let event = if failed(reason) {
        event.failure()
    } else {
        event.success()
    };
    match status {
        Some(status) => event.text("status", status),
        None => event,
    }
}

/// What a shell can know of an end that jumpd does not: all else is jumpd's to say.
fn is_the_shells(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ConnectFailed
            | Reason::HostKeyUnknown
            | Reason::LoginRefused
            | Reason::RecorderLost
            | Reason::Unavailable
            | Reason::Internal
    )
}

/// Whether a hop that ended so never was what it was opened for, or was ended by a fault.
fn failed(reason: Option<Reason>) -> bool {
    matches!(
        reason,
        Some(
            Reason::ConnectFailed
                | Reason::HostKeyUnknown
                | Reason::LoginRefused
                | Reason::RecorderLost
                | Reason::DiskFull
                | Reason::NotPersisted
                | Reason::AuditFailed
                | Reason::Busy
                | Reason::Unavailable
                | Reason::NoCa
                | Reason::GuardLost
                | Reason::Internal
        )
    )
}
