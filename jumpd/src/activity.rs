//! What the kernel says of open connections: their bytes so far, and whether they are still there.
//!
//! From it come the byte counts of `jumpctl sessions`, the moment at which a
//! session was last used, and the flows whose end nobody announced.

use crate::judge::flow_event;
use crate::rejudge::too_slow;
use crate::state::{Jumpd, boot_ms, complain, now_ms};
use jump_proto::Reason;
use jump_sys::sockdiag::{TcpLive, tcp_sockets};
use std::collections::HashMap;
use std::sync::PoisonError;

/// A socket is judged missing only so long after it was allowed: until connect(2) the kernel does not list it.
const SETTLED_MS: i64 = 5_000;
/// Looks in a row that must miss a socket before its flow is closed without an announced end.
const MISSES: u8 = 2;

impl Jumpd {
    /// Looks at every connection, unless that was done less than `at_most_ms` ago.
    pub(crate) fn look_at_flows(&self, at_most_ms: i64) {
        let mut last = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = boot_ms();
        if now.saturating_sub(*last) < at_most_ms {
            return;
        }
        match tcp_sockets() {
            Ok(live) => {
                *last = now;
                self.take_in(&live);
            }
            // Idle sessions then stay, and flows keep the counts they had.
            Err(e) => complain(&format!("the kernel does not list its connections: {e}")),
        }
    }

    fn take_in(&self, live: &[TcpLive]) {
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
                            // The first look after a restart of jumpd has nothing to compare with.
                            active |= flow.carried.is_some_and(|before| before != carried);
                            flow.carried = Some(carried);
                            flow.established |= socket.established;
                            flow.missed = 0;
                        }
                        // Reset by the guard, and not yet closed by a process that is stopped.
                        None if flow.cut.is_some() || too_slow(flow) => {
                            lost.push((session.id.clone(), *cookie));
                        }
                        None if now_ms().saturating_sub(flow.since_ms) < SETTLED_MS => {}
                        None => {
                            flow.missed = flow.missed.saturating_add(1);
                            if flow.missed >= MISSES {
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
                let event = flow_event(session, &flow);
                let why = flow.revoked.map(|(why, _)| why).or(session.ending);
                gone.push(match flow.cut {
                    Some((sent, received)) => {
                        session.sent = session.sent.saturating_add(sent);
                        session.received = session.received.saturating_add(received);
                        event
                            .success()
                            .reason(why.unwrap_or(Reason::ClosedByPeer))
                            .bytes(sent, received)
                    }
                    None => event
                        .failure()
                        .reason(why.unwrap_or(Reason::ClosedByPeer))
                        .detail("the kernel announced no end of this connection; bytes unknown"),
                });
                // Kept in memory in any case; the file is for a restart.
                let _saved = sessions.save(&id);
            }
        }
        for event in gone {
            self.note(event);
        }
    }
}
