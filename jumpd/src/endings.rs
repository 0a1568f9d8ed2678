//! The clock: sessions that reach their end, are not used, lose their guard, or are over.

use crate::activity::unannounced;
use crate::hops::hops_over;
use crate::login::session_end;
use crate::rejudge::{set_end, too_slow};
use crate::sessions::Session;
use crate::state::{Jumpd, boot_ms, elapsed_ms, now_ms, session_event};
use jump_audit::{Event, Kind};
use jump_mfa::Place;
use jump_proto::{Push, Reason, Reply, SessionId};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(200);
/// How often the store is told of every session that is open.
const RECOUNT: Duration = Duration::from_secs(60);
/// How long a session may be without its guard: a restarted jumpd is found again within a second or two.
const UNGUARDED: Duration = Duration::from_secs(8);
/// How long a session that is over waits for the kernel to announce the ends of its sockets.
const LAST_FLOWS: Duration = Duration::from_secs(2);
/// How long it waits at the most where so many ended at once that their ends are still being written down.
const LATEST_FLOWS: Duration = Duration::from_secs(60);
/// A wall clock that moves so much against the time since boot was stepped.
const STEP_MS: i64 = 1_000;
/// How often, at the least and at the most, connections are looked at for signs of use.
const LOOKS_MS: (i64, i64) = (1_000, 10_000);

/// Looks at the clock on a thread of its own.
///
/// # Errors
/// When the thread cannot be started.
pub(crate) fn watch(jumpd: Arc<Jumpd>) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("clock".to_owned())
        .spawn(move || {
            let mut offset = now_ms() - boot_ms();
            let mut counted = Instant::now();
            loop {
                std::thread::sleep(TICK);
                let now = now_ms() - boot_ms();
                if (now - offset).abs() > STEP_MS {
                    // What lasts is counted since boot, what has an hour by the wall clock.
                    jumpd.set_ends();
                    jumpd.rejudge_aside(|_| true);
                }
                offset = now;
                jumpd.tick();
                jumpd.tick_hops();
                if counted.elapsed() >= RECOUNT {
                    counted = Instant::now();
                    jumpd.count_again();
                }
            }
        })?;
    Ok(())
}

/// What a session's clock says.
struct Limits {
    warn_ms: i64,
    idle_ms: i64,
}

impl Jumpd {
    fn limits(&self) -> Limits {
        let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        self.policy().map_or(
            Limits {
                warn_ms: 0,
                idle_ms: i64::MAX,
            },
            |p| Limits {
                warn_ms: ms(p.session().warn),
                idle_ms: ms(p.session().idle),
            },
        )
    }

    fn tick(self: &Arc<Self>) {
        let limits = self.limits();
        let idle = |session: &Session| {
            session.ending.is_none() && session.opened && session.idle_ms() >= limits.idle_ms
        };
        // Nobody is ended for a lack of use that the last look only seemed to show.
        let due = self.sessions().iter().any(idle);
        let pace = (limits.idle_ms / 4).clamp(LOOKS_MS.0, LOOKS_MS.1);
        let limits = Limits {
            // Where the kernel does not tell, nobody is idle.
            idle_ms: if self.look_at_flows(if due { TICK_MS } else { pace }) {
                limits.idle_ms
            } else {
                i64::MAX
            },
            ..limits
        };
        let now = now_ms();
        let behind = self.ends_waiting.load(Ordering::SeqCst) > 0;
        let mut events = Vec::new();
        let mut over = Vec::new();
        let (mut slow, mut due_flows) = (false, false);
        {
            let mut sessions = self.sessions();
            for session in sessions.iter_mut() {
                if let Some(since) = session.gone_since {
                    let last = if behind { LATEST_FLOWS } else { LAST_FLOWS };
                    if session.flows.is_empty() || since.elapsed() > last {
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
                if session.ending.is_some() {
                    continue;
                }
                events.extend(look_at_end(session, &limits, now));
                slow |= session.guard.is_some() && session.flows.values().any(too_slow);
                due_flows |= session
                    .flows
                    .values()
                    .any(|flow| flow.until_ms.is_some_and(|until| until <= now));
            }
            if !events.is_empty() {
                sessions.save_ending();
            }
        }
        for event in events {
            self.note(event);
        }
        for (id, why) in over {
            self.close(&id, why);
        }
        if due_flows {
            // A name may have to be looked up, and the clock goes on meanwhile.
            self.rejudge_aside(move |flow| flow.until_ms.is_some_and(|until| until <= now));
        }
        if slow {
            self.end_what_cannot_be_cut();
        }
    }

    /// Computes every session's end anew and tells its guard.
    pub(crate) fn set_ends(&self) {
        let Some(policy) = self.policy() else {
            return;
        };
        for session in self.sessions().iter_mut() {
            let ends = session_end(&policy, session, self.now());
            set_end(session, ends);
        }
    }

    /// Strikes a session out and says so, with what it carried.
    fn close(&self, id: &SessionId, why: Reason) {
        let Some(mut session) = self.strike_out(id) else {
            return;
        };
        if let Some(guard) = &session.guard {
            // It asks anew, hears that there is no such session, and ends what is left.
            guard.push.shut_down();
        }
        for event in hops_over(&mut session, why) {
            self.note(event);
        }
        for flow in std::mem::take(&mut session.flows).into_values() {
            self.note(unannounced(&mut session, &flow, why));
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
            .duration_ms(elapsed_ms(session.opened_boot_ms));
        self.note(if why == Reason::GuardLost {
            outcome.failure()
        } else {
            outcome.success()
        });
    }

    /// Ends a session for an operator.
    pub(crate) fn kill(&self, id: &SessionId) -> Reply {
        if self.end_by_hand(id, Reason::Operator, "", |_| true) {
            return Reply::Done;
        }
        crate::state::refused(
            Reason::NoSession,
            "there is no such session; see jumpctl sessions list",
        )
    }

    /// Ends a session because somebody asked for it; false where there is none, or not `theirs`.
    pub(crate) fn end_by_hand(
        &self,
        id: &SessionId,
        why: Reason,
        detail: &str,
        theirs: impl FnOnce(&Session) -> bool,
    ) -> bool {
        let event = {
            let mut sessions = self.sessions();
            let Some(session) = sessions.get_mut(id).filter(|s| theirs(s)) else {
                return false;
            };
            if session.ending.is_some() {
                return true;
            }
            let event = end(session, Kind::SessionKilled, why);
            sessions.save_ending();
            event
        };
        self.note(if detail.is_empty() {
            event
        } else {
            event.detail(detail)
        });
        true
    }

    /// Ends every session of a user from one place, because of what was done there. Others of the
    /// user go on: whoever has another of the keys must not end them.
    pub(crate) fn end_sessions_from(&self, uid: u32, place: &Place, why: Reason) {
        let mut events = Vec::new();
        {
            let mut sessions = self.sessions();
            let theirs = sessions
                .iter_mut()
                .filter(|s| s.uid == uid && s.place() == *place);
            for session in theirs.filter(|s| s.ending.is_none() && s.gone_since.is_none()) {
                events.push(end(session, Kind::SessionExpired, why));
            }
            sessions.save_ending();
        }
        for event in events {
            self.note(event);
        }
    }

    /// When a session ends, as jump-shell is told it.
    pub(crate) fn ends(&self, id: &SessionId) -> Reply {
        let limits = self.limits();
        let sessions = self.sessions();
        let Some(session) = sessions.get(id) else {
            return crate::state::refused(Reason::NoSession, "This session is over.");
        };
        let unused = limits.idle_ms.saturating_sub(session.idle_ms());
        let idle = (now_ms().saturating_add(unused), Reason::Idle);
        let (ends_ms, reason) = session
            .ends
            .into_iter()
            .chain(Some(idle))
            .min_by_key(|(at, _)| *at)
            .unzip();
        let warn_ms = match reason {
            Some(Reason::Idle) => limits.warn_ms.min(limits.idle_ms / 2),
            _ => limits.warn_ms,
        };
        Reply::Ends {
            ends_ms,
            reason,
            warn_ms: (warn_ms > 0).then_some(warn_ms),
        }
    }
}

/// [`TICK`] in milliseconds.
const TICK_MS: i64 = 200;

/// Ends a session whose time is over, or warns before.
fn look_at_end(session: &mut Session, limits: &Limits, now: i64) -> Option<Event> {
    if let Some((at, why)) = session.ends {
        if now >= at {
            return Some(end(session, Kind::SessionExpired, why));
        }
        if limits.warn_ms > 0 && now >= at - limits.warn_ms && !session.warned && session.opened {
            session.warned = true;
            return Some(warning(session, why, at - now));
        }
    }
    if !session.opened {
        return None;
    }
    let left = limits.idle_ms.saturating_sub(session.idle_ms());
    if left <= 0 {
        return Some(end(session, Kind::SessionExpired, Reason::Idle));
    }
    if left <= limits.warn_ms.min(limits.idle_ms / 2) && !session.warned_idle {
        session.warned_idle = true;
        return Some(warning(session, Reason::Idle, left));
    }
    None
}

fn warning(session: &Session, why: Reason, left_ms: i64) -> Event {
    session_event(Kind::SessionWarned, session)
        .reason(why)
        .detail(&format!("ends in {} s", left_ms / 1000))
}

/// Marks a session as ending and tells its guard.
pub(crate) fn end(session: &mut Session, kind: Kind, why: Reason) -> Event {
    session.ending = Some(why);
    session.push(&Push::End { reason: why });
    session_event(kind, session).success().reason(why)
}
