//! The book of hops: which of jump-shell's connections to targets a session has, and which of them are recorded.
//!
//! It is part of the session's record, so that a restarted jumpd knows the
//! hops that go on. Of their recordings it knows none until the shell goes on
//! with them: whoever does not, in time, loses the hop's connection.

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
            started_ms: now_ms(),
            started_boot_ms: boot_ms(),
            recorded: false,
            unrecorded_since: boot_ms(),
            unconnected_since: since_now(),
            connected: false,
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

    /// Revokes the connection of a hop and tells the guard to cut it.
    pub(crate) fn cut_hop(&mut self, hop: &HopId, reason: Reason) {
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

    /// A hop is over; false when the session has no such hop. What is left of its connection is cut.
    pub(crate) fn end_hop(
        &self,
        session: &SessionId,
        hop: &HopId,
        status: Option<u8>,
        reason: Option<Reason>,
    ) -> bool {
        let event = {
            let mut sessions = self.sessions();
            let Some(found) = sessions.get_mut(session) else {
                return false;
            };
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
                | Reason::NoCa
                | Reason::GuardLost
                | Reason::Internal
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::{Sessions, tests::session};

    fn new(id: u8, record: bool) -> Hop {
        Hop::from(NewHop {
            id: HopId::from_bytes([id; 16]),
            asked: "db1".to_owned(),
            name: Some("db1.example.internal".to_owned()),
            address: "10.20.0.5:22".parse().unwrap(),
            login: "admin".to_owned(),
            rule: "dba".to_owned(),
            record,
            forwarded_agent: false,
        })
    }

    #[test]
    fn a_restarted_jumpd_knows_the_hop_and_that_nobody_records_it() {
        let state = tempfile::tempdir().unwrap();
        let mut before = Sessions::load(state.path()).unwrap();
        let mut one = session(1);
        let mut hop = new(7, true);
        hop.recorded = true;
        hop.unrecorded_since = 0;
        one.open_hop(hop).unwrap();
        before.insert(one).unwrap();

        let after = Sessions::load(state.path()).unwrap();
        let session = after.get(&SessionId::from_bytes([1; 16])).unwrap();
        let hop = &session.hops[&HopId::from_bytes([7; 16])];
        assert_eq!((hop.login.as_str(), hop.rule.as_str()), ("admin", "dba"));
        assert!(!hop.recorded && !hop.is_abandoned(), "its time begins anew");
    }

    #[test]
    fn a_hop_that_must_be_recorded_is_given_up_after_an_upgrade_would_be_over() {
        let mut hop = new(1, true);
        hop.unrecorded_since = boot_ms() - 14_000;
        assert!(!hop.is_abandoned());
        hop.unrecorded_since = boot_ms() - 15_100;
        assert!(hop.is_abandoned());
        hop.recorded = true;
        assert!(!hop.is_abandoned());
        let mut plain = new(2, false);
        plain.unrecorded_since = 0;
        assert!(!plain.is_abandoned());
    }

    #[test]
    fn a_session_has_so_many_hops_and_no_more() {
        let mut one = session(1);
        for id in 0..MOST_HOPS {
            one.open_hop(new(u8::try_from(id).unwrap(), false)).unwrap();
        }
        assert_eq!(one.open_hop(new(200, false)), Err(Reason::TooManyForwards));
    }
}
