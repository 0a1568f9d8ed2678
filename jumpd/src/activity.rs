//! What the kernel says of open connections: their bytes so far, and whether they are still there.
//!
//! From it come the byte counts of `jumpctl sessions`, the moment at which a
//! session was last used, and the flows whose end nobody announced.

use crate::judge::flow_event;
use crate::rejudge::too_slow;
use crate::sessions::{Flow, Session};
use crate::state::{Jumpd, boot_ms, complain};
use jump_audit::Event;
use jump_proto::Reason;
use jump_sys::sockdiag::{TcpLive, tcp_sockets};
use std::collections::HashMap;
use std::sync::PoisonError;

/// A socket is judged missing only so long after it was allowed: until connect(2) the kernel does not list it.
const SETTLED_MS: i64 = 5_000;
/// How long a socket must be missed before its flow is closed without an announced end: one
/// that was reset, and that its process has not closed yet, is in no list, and its end is still to come.
const MISSED_MS: i64 = 60_000;

impl Jumpd {
    /// Looks at every connection, unless that was done less than `at_most_ms` ago.
    /// False when the kernel does not tell: then nobody knows who is idle.
    pub(crate) fn look_at_flows(&self, at_most_ms: i64) -> bool {
        let events = {
            let mut last = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            let now = boot_ms();
            if now.saturating_sub(*last) < at_most_ms {
                return true;
            }
            match tcp_sockets() {
                Ok(live) => {
                    *last = now;
                    self.take_in(&live, now)
                }
                Err(e) => {
                    complain(&format!("the kernel does not list its connections: {e}"));
                    return false;
                }
            }
        };
        // Without the locks: a journal that hangs must not hold up others.
        for event in events {
            self.note(event);
        }
        true
    }

    /// Takes in what the kernel listed at `listed`, milliseconds since boot; the ends that it shows.
    fn take_in(&self, live: &[TcpLive], listed: i64) -> Vec<Event> {
        let live: HashMap<u64, &TcpLive> = live.iter().map(|s| (s.cookie, s)).collect();
        let mut gone = Vec::new();
        {
            let mut sessions = self.sessions();
            let mut lost = Vec::new();
            let mut used = Vec::new();
            for session in sessions.iter_mut() {
                let mut active = false;
                for (cookie, flow) in &mut session.flows {
                    match live.get(cookie) {
                        Some(socket) => {
                            let carried = (socket.bytes_sent, socket.bytes_received);
                            // The first look, after a restart of jumpd too, has nothing to compare with:
                            // nobody is ended for what happened while nobody looked.
                            active |= flow.carried != Some(carried);
                            flow.carried = Some(carried);
                            flow.established |= socket.established;
                            flow.missed_since = None;
                        }
                        // Reset by the guard, and not yet closed by a process that is stopped.
                        None if flow.cut.is_some() || too_slow(flow) => {
                            lost.push((session.id.clone(), *cookie));
                        }
                        None if listed.saturating_sub(flow.asked_boot_ms) < SETTLED_MS => {}
                        None => {
                            let since = *flow.missed_since.get_or_insert(listed);
                            if listed.saturating_sub(since) >= MISSED_MS {
                                lost.push((session.id.clone(), *cookie));
                            }
                        }
                    }
                }
                if active {
                    session.is_active();
                    used.push(session.id.clone());
                }
            }
            for id in used {
                // For a restart; in memory it is known in any case.
                let _saved = sessions.save(&id);
            }
            for (id, cookie) in lost {
                let Some(session) = sessions.get_mut(&id) else {
                    continue;
                };
                let Some(flow) = session.flows.remove(&cookie) else {
                    continue;
                };
                gone.push(unannounced(session, &flow, Reason::ClosedByPeer));
                // Kept in memory in any case; the file is for a restart.
                let _saved = sessions.save(&id);
            }
        }
        gone
    }
}

/// `forward.closed` of a flow whose end the kernel did not announce: its bytes as
/// the guard told them, or as last seen. They are added to the session's.
pub(crate) fn unannounced(session: &mut Session, flow: &Flow, otherwise: Reason) -> Event {
    let why = flow.revoked.map(|(why, _)| why).or(session.ending);
    let event = flow_event(session, flow).reason(why.unwrap_or(otherwise));
    let known = flow.cut.or(flow.carried);
    let Some((sent, received)) = known else {
        return event
            .failure()
            .detail("the kernel announced no end of this connection; bytes unknown");
    };
    session.sent = session.sent.saturating_add(sent);
    session.received = session.received.saturating_add(received);
    let event = event.bytes(sent, received);
    if flow.cut.is_some() {
        return event.success();
    }
    event
        .failure()
        .detail("the kernel announced no end of this connection; bytes as last seen")
}
