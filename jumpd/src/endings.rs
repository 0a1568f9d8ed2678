//! The clock: sessions that reach their end, lose their guard, or are over.

use crate::judge::flow_event;
use crate::login::session_end;
use crate::sessions::Session;
use crate::state::{Jumpd, elapsed_ms, now_ms, session_event};
use jump_audit::{Event, Kind};
use jump_policy::{Decision, Destination};
use jump_proto::{Push, Reason, Reply, SessionId};
use std::sync::Arc;
use std::time::Duration;

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(200);
/// How long a session may be without its guard: a restarted jumpd is found again within a second or two.
const UNGUARDED: Duration = Duration::from_secs(8);
/// How long a session that is over waits for the kernel to announce the ends of its sockets.
const LAST_FLOWS: Duration = Duration::from_secs(2);

/// Looks at the clock on a thread of its own.
///
/// # Errors
/// When the thread cannot be started.
pub(crate) fn watch(jumpd: Arc<Jumpd>) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("clock".to_owned())
        .spawn(move || {
            loop {
                std::thread::sleep(TICK);
                jumpd.tick();
            }
        })?;
    Ok(())
}

impl Jumpd {
    fn tick(&self) {
        let now = now_ms();
        let warn = self.policy().map_or(0, |p| {
            i64::try_from(p.session().warn.as_millis()).unwrap_or(0)
        });
        let mut events = Vec::new();
        let mut over = Vec::new();
        {
            let mut sessions = self.sessions();
            for session in sessions.iter_mut() {
                if let Some(since) = session.gone_since {
                    if session.flows.is_empty() || since.elapsed() > LAST_FLOWS {
                        over.push((
                            session.id.clone(),
                            session.ending.unwrap_or(Reason::ClosedByPeer),
                        ));
                    }
                    continue;
                }
                if session.guard.is_none() && session.unguarded_since.elapsed() > UNGUARDED {
                    over.push((session.id.clone(), Reason::GuardLost));
                    continue;
                }
                if let Some((at, why)) = session.ends.filter(|_| session.ending.is_none()) {
                    if now >= at {
                        events.push(end(session, Kind::SessionExpired, why));
                    } else if now >= at - warn && !session.warned && session.opened {
                        session.warned = true;
                        let left = at - now;
                        events.push(
                            session_event(Kind::SessionWarned, session)
                                .reason(why)
                                .detail(&format!("ends in {} s", left / 1000)),
                        );
                    }
                }
            }
        }
        for event in events {
            self.note(event);
        }
        for (id, why) in over {
            self.close(&id, why);
        }
    }

    /// Strikes a session out and says so, with what it carried.
    fn close(&self, id: &SessionId, why: Reason) {
        let Some(session) = self.sessions().remove(id) else {
            return;
        };
        for flow in session.flows.values() {
            let event = flow_event(&session, flow).reason(session.ending.unwrap_or(why));
            self.note(
                event
                    .failure()
                    .detail("the kernel announced no end of this connection; bytes unknown"),
            );
        }
        if why == Reason::GuardLost {
            self.note(
                session_event(Kind::GuardFailed, &session)
                    .failure()
                    .reason(why)
                    .detail("the session's guard is gone; the kernel ends its processes with it"),
            );
        }
        if !session.opened {
            self.note(
                session_event(Kind::SessionRefused, &session)
                    .failure()
                    .reason(Reason::GuardFailed),
            );
            return;
        }
        let outcome = session_event(Kind::SessionClosed, &session)
            .reason(why)
            .bytes(session.sent, session.received)
            .duration_ms(elapsed_ms(session.opened_ms));
        self.note(if why == Reason::GuardLost {
            outcome.failure()
        } else {
            outcome.success()
        });
    }

    /// Ends a session for an operator.
    pub(crate) fn kill(&self, id: &SessionId) -> Reply {
        let event = {
            let mut sessions = self.sessions();
            match sessions.get_mut(id) {
                Some(session) if session.ending.is_some() => return Reply::Done,
                Some(session) => end(session, Kind::SessionKilled, Reason::Operator),
                None => {
                    return crate::state::refused(
                        Reason::NoSession,
                        "there is no such session; see jumpctl sessions list",
                    );
                }
            }
        };
        self.note(event);
        Reply::Done
    }

    /// Ends sessions that the policy in force does not admit: at a start after one that was cut off in the middle of an apply.
    pub(crate) fn readmit(&self) {
        let Some(policy) = self.policy() else {
            return;
        };
        let mut events = Vec::new();
        for session in self.sessions().iter_mut() {
            let asker = session.asker();
            let admitted = policy
                .admit(&asker.subject(), asker.source.ip(), self.now())
                .is_allow();
            if !admitted && session.ending.is_none() {
                events.push(end(session, Kind::SessionExpired, Reason::PolicyChanged));
            }
        }
        for event in events {
            self.note(event);
        }
    }

    /// Judges every live session anew, after the policy has changed.
    pub(crate) fn rejudge(&self) {
        let Some(policy) = self.policy() else {
            return;
        };
        let live: Vec<_> = self
            .sessions()
            .iter()
            .filter(|s| s.ending.is_none() && s.gone_since.is_none())
            .map(|s| {
                (
                    s.id.clone(),
                    s.asker(),
                    s.flows.values().cloned().collect::<Vec<_>>(),
                )
            })
            .collect();
        for (id, asker, flows) in live {
            let subject = asker.subject();
            let from = asker.source.ip();
            let now = self.now();
            let admitted = policy.admit(&subject, from, now).is_allow();
            // A connection that the new policy would refuse ends with its session.
            let flows_allowed = flows.iter().all(|flow| {
                let to = Destination::Address(flow.destination.ip(), flow.destination.port());
                matches!(
                    self.decision(&policy, &subject, from, &to, flow.via, now),
                    Decision::Allow { .. }
                )
            });
            let event = {
                let mut sessions = self.sessions();
                let Some(session) = sessions.get_mut(&id) else {
                    continue;
                };
                if admitted && flows_allowed {
                    session.ends = session_end(&policy, session, now);
                    session.push(&Push::EndsAt {
                        ends_ms: session.ends.map(|(at, _)| at),
                    });
                    // Kept in memory in any case; the file is for a restart.
                    let _saved = sessions.save(&id);
                    None
                } else {
                    Some(end(session, Kind::SessionExpired, Reason::PolicyChanged))
                }
            };
            if let Some(event) = event {
                self.note(event);
            }
        }
    }
}

/// Marks a session as ending and tells its guard.
fn end(session: &mut Session, kind: Kind, why: Reason) -> Event {
    session.ending = Some(why);
    session.push(&Push::End { reason: why });
    session_event(kind, session).success().reason(why)
}
