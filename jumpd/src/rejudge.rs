//! Judging again what was allowed: after the policy has changed, and when an answer ends by itself.
//!
//! A session that is no longer admitted ends as a whole. Of one that is, only
//! the connections that are no longer allowed are cut.

use crate::endings::end;
use crate::hop_judge::Purpose;
use crate::login::session_end;
use crate::sessions::{Asker, Flow, Session};
use crate::state::{Jumpd, boot_ms, complain, now_ms};
use jiff::Timestamp;
use jump_audit::Kind;
use jump_policy::{Decision, Destination, Policy};
use jump_proto::{FLOWS_IN_A_MESSAGE, Push, Reason, SessionId};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How long the guard may take to cut a connection; then the session ends.
const CUT_MS: i64 = 700;

/// A connection to be judged again.
struct Question {
    session: SessionId,
    asker: Asker,
    cookie: u64,
    flow: Flow,
    /// Absent when the hop that it is for is over.
    purpose: Option<Purpose>,
}

/// Whether a connection that is to be cut is still there, and should not be.
pub(crate) fn too_slow(flow: &Flow) -> bool {
    flow.revoked
        .is_some_and(|(_, since)| boot_ms().saturating_sub(since) > CUT_MS)
}

/// Two ends that differ by less, in milliseconds, are the same one computed twice.
const SAME_MS: i64 = 2_000;

/// Sets a session's end, and tells its guard where it is another.
pub(crate) fn set_end(session: &mut Session, ends: Option<(i64, Reason)>) {
    let same = match (session.ends, ends) {
        (Some((before, why)), Some((now, because))) => {
            why == because && (before - now).abs() < SAME_MS
        }
        (None, None) => true,
        _ => false,
    };
    if same {
        return;
    }
    let later = |(at, _): (i64, Reason)| at;
    // A later end is warned of anew.
    if ends.map_or(i64::MAX, later) > session.ends.map_or(i64::MAX, later) {
        session.warned = false;
    }
    session.ends = ends;
    session.push(&Push::EndsAt {
        ends_ms: ends.map(|(at, _)| at),
    });
}

/// Tells a guard that takes its post which connections of its session must go.
pub(crate) fn push_cuts(session: &mut Session) {
    let mut by_reason: Vec<(Reason, Vec<u64>)> = Vec::new();
    let now = boot_ms();
    for (cookie, flow) in &mut session.flows {
        let Some((why, since)) = &mut flow.revoked else {
            continue;
        };
        // Its time begins when it can be told.
        *since = now;
        let why = *why;
        match by_reason.iter_mut().find(|(reason, _)| *reason == why) {
            Some((_, cookies)) => cookies.push(*cookie),
            None => by_reason.push((why, vec![*cookie])),
        }
    }
    for (reason, cookies) in by_reason {
        for some in cookies.chunks(FLOWS_IN_A_MESSAGE) {
            session.push(&Push::Cut {
                cookies: some.to_vec(),
                reason,
            });
        }
    }
}

/// Why a connection ends that would not be allowed any more.
fn reason(decision: &Decision) -> Reason {
    match decision.reason() {
        Reason::OutsideWindow => Reason::WindowClosed,
        why @ (Reason::MaxSession | Reason::Expired) => why,
        _ => Reason::PolicyChanged,
    }
}

/// Runs `work` on a thread of its own; false, with a complaint, when there is none to be had.
fn aside(work: impl FnOnce() + Send + 'static) -> bool {
    let begun = std::thread::Builder::new()
        .name("rejudge".to_owned())
        .spawn(work);
    if let Err(e) = &begun {
        complain(&format!("cannot start a thread: {e}"));
    }
    begun.is_ok()
}

impl Jumpd {
    /// Judges every live session anew, after the policy has changed.
    pub(crate) fn rejudge(&self) {
        self.readmit();
        let policy = self.policy().map(|p| p.hash().to_owned());
        self.rejudge_flows(|_| true);
        let mut sessions = self.sessions();
        let judged: Vec<_> = sessions.iter().map(|s| s.id.clone()).collect();
        for id in judged {
            if let (Some(session), Some(hash)) = (sessions.get_mut(&id), &policy) {
                session.judged_by.clone_from(hash);
            }
            // Kept in memory in any case; the file is for a restart.
            let _saved = sessions.save(&id);
        }
    }

    /// After a start: whatever an apply that was cut off left unjudged. Where
    /// nothing changed nothing is asked, since the resolver may not answer yet.
    pub(crate) fn resume(self: &Arc<Self>) {
        self.count_again();
        let Some(policy) = self.policy() else {
            return;
        };
        let stale = self.sessions().iter().any(|s| s.judged_by != policy.hash());
        self.readmit();
        if stale {
            // Names may have to be looked up, and logins are served meanwhile.
            let jumpd = Arc::clone(self);
            aside(move || jumpd.rejudge());
        }
    }

    /// Counts the sessions that are open, however many a user has: those of an earlier jumpd, and each anew
    /// for a store that forgets those of a host that says nothing any more.
    pub(crate) fn count_again(&self) {
        for session in self.sessions().iter().filter(|s| s.gone_since.is_none()) {
            let (person, id) = (session.person(), session.id.as_str());
            if let Err(e) = self.second_factors.open_session(&person, id, usize::MAX) {
                complain(&format!("open sessions of {person}: {e}"));
            }
        }
    }

    /// As [`Jumpd::rejudge_flows`], on a thread of its own, one at a time.
    pub(crate) fn rejudge_aside(self: &Arc<Self>, which: impl Fn(&Flow) -> bool + Send + 'static) {
        if self.rejudging.swap(true, Ordering::SeqCst) {
            return;
        }
        let jumpd = Arc::clone(self);
        let begun = aside(move || {
            jumpd.rejudge_flows(which);
            jumpd.rejudging.store(false, Ordering::SeqCst);
        });
        if !begun {
            self.rejudging.store(false, Ordering::SeqCst);
        }
    }

    /// Ends sessions that the policy in force does not admit; for the others, the end is set anew.
    fn readmit(&self) {
        let Some(policy) = self.policy() else {
            return;
        };
        let mut events = Vec::new();
        {
            let mut sessions = self.sessions();
            let live = sessions
                .iter_mut()
                .filter(|s| s.ending.is_none() && s.gone_since.is_none());
            for session in live {
                let asker = session.asker();
                let admitted = policy
                    .admit(&asker.subject(), asker.source.ip(), self.now())
                    .is_allow();
                if !admitted {
                    // One that was over in any case did not end because of an edit.
                    let over = session.ends.filter(|(at, _)| *at <= now_ms());
                    let why = over.map_or(Reason::PolicyChanged, |(_, why)| why);
                    events.push(end(session, Kind::SessionExpired, why));
                    continue;
                }
                let ends = session_end(&policy, session, self.now());
                set_end(session, ends);
            }
            sessions.save_ending();
        }
        for event in events {
            self.note(event);
        }
    }

    /// Judges again the connections that `which` picks, and cuts those that are no longer allowed.
    pub(crate) fn rejudge_flows(&self, which: impl Fn(&Flow) -> bool) {
        let Some(policy) = self.policy() else {
            return;
        };
        let questions: Vec<Question> = {
            let sessions = self.sessions();
            let live = sessions
                .iter()
                .filter(|s| s.ending.is_none() && s.gone_since.is_none());
            live.flat_map(|session| {
                let open = session.flows.iter();
                open.filter(|(_, flow)| flow.revoked.is_none() && which(flow))
                    .map(|(cookie, flow)| Question {
                        session: session.id.clone(),
                        asker: session.asker(),
                        cookie: *cookie,
                        flow: flow.clone(),
                        purpose: Purpose::of(flow, session),
                    })
            })
            .collect()
        };
        for question in questions {
            let decision = self.judge_again(&policy, &question);
            self.take_answer(&policy, &question, &decision);
        }
    }

    fn judge_again(&self, policy: &Policy, question: &Question) -> Decision {
        let to = Destination::Address(
            question.flow.destination.ip(),
            question.flow.destination.port(),
        );
        match &question.purpose {
            Some(purpose) => self.purpose_decision(policy, &question.asker, &to, purpose),
            None => Decision::Deny {
                reason: Reason::WrongVia,
                rule: None,
                until: None,
                opens: None,
            },
        }
    }

    fn take_answer(&self, policy: &Arc<Policy>, question: &Question, decision: &Decision) {
        let mut sessions = self.sessions();
        // An answer of a policy that is no longer in force counts for nothing: the new one is asked by its own applying.
        if !self.policy().is_some_and(|now| Arc::ptr_eq(&now, policy)) {
            return;
        }
        let Some(session) = sessions.get_mut(&question.session) else {
            return;
        };
        let Some(flow) = session.flows.get_mut(&question.cookie) else {
            return;
        };
        if let Decision::Allow { until, .. } = decision {
            flow.until_ms = until.map(Timestamp::as_millisecond);
            return;
        }
        let why = reason(decision);
        flow.revoked = Some((why, boot_ms()));
        if let Some(hop) = flow.hop.clone()
            && let Some(hop) = session.hops.get_mut(&hop)
        {
            hop.must_end(why);
        }
        session.push(&Push::Cut {
            cookies: vec![question.cookie],
            reason: why,
        });
        // Kept in memory in any case; the file is for a restart.
        let _saved = sessions.save(&question.session);
    }

    /// A guard that did not cut what it was told to cut loses the session.
    pub(crate) fn end_what_cannot_be_cut(&self) {
        // Connections that are gone although no process has closed them yet leave the books here.
        self.look_at_flows(0);
        let mut events = Vec::new();
        {
            let mut sessions = self.sessions();
            let told = |s: &&mut Session| s.ending.is_none() && s.guard.is_some();
            for session in sessions.iter_mut().filter(told) {
                let slow = session.flows.values().find(|flow| too_slow(flow));
                if let Some((why, _)) = slow.and_then(|flow| flow.revoked) {
                    events.push(
                        end(session, Kind::SessionExpired, why)
                            .detail("a connection that is no longer allowed could not be cut"),
                    );
                }
            }
        }
        for event in events {
            self.note(event);
        }
    }
}
