//! What a session's guard asks: its post, each connect(2), and the end.

use crate::endings::end;
use crate::hop_judge::{NoHop, Purpose, carry, waiting_hop};
use crate::limits;
use crate::names::is_resolver;
use crate::rejudge::push_cuts;
use crate::sessions::{Asker, Flow, Guard, Session, Sessions};
use crate::state::{Jumpd, boot_ms, complain, elapsed_ms, now_ms, refused, session_event};
use jiff::Timestamp;
use jump_audit::Event;
use jump_audit::Kind;
use jump_policy::{Decision, Destination, HostPattern, Policy, Subject};
use jump_proto::{
    Channel, ChannelError, CutFlow, JudgeRequest, Push, Reason, Reply, Request, SessionId, Via,
};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// A look at the kernel's connections that is so old, in milliseconds, is new.
const NEW_MS: i64 = 200;
/// The DNS port; the only one that UDP ever reaches.
const DNS: u16 = 53;

impl Jumpd {
    /// A guard takes its post and stays connected until the session's end.
    pub(crate) fn attach(
        &self,
        guard: Channel,
        pid: i32,
        id: &SessionId,
        sandbox: &str,
    ) -> Result<(), ChannelError> {
        let push = Arc::new(guard);
        if let Some(refusal) = self.take_post(&push, pid, id, sandbox) {
            return push.send(&refusal);
        }
        let outcome = self.stand(&push, pid, id);
        // Another connection of the same guard may have taken the post meanwhile.
        if let Some(session) = self.sessions().get_mut(id)
            && session
                .guard
                .as_ref()
                .is_some_and(|g| Arc::ptr_eq(&g.push, &push))
        {
            session.guard = None;
            session.unguarded_since = Instant::now();
        }
        outcome
    }

    /// Waits with a guard at its post until it says that the session has ended, or is gone.
    fn stand(&self, push: &Channel, pid: i32, id: &SessionId) -> Result<(), ChannelError> {
        push.set_timeout(None)?;
        loop {
            match push.recv::<Request>() {
                Ok(Some(Request::Ended { .. })) => {
                    // Said before the answer: a guard that hears Done may go.
                    self.ended(id, pid);
                    return push.send(&Reply::Done);
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Ok(()),
            }
        }
    }

    /// Puts a guard at its post and tells it so; the refusal, if it may not have it.
    fn take_post(
        &self,
        push: &Arc<Channel>,
        pid: i32,
        id: &SessionId,
        sandbox: &str,
    ) -> Option<Reply> {
        let opening = match free_post(&mut self.sessions(), pid, id, sandbox) {
            Ok(opening) => opening,
            Err(refusal) => return Some(*refusal),
        };
        // Written without the lock: a journal that hangs must not hold up other sessions.
        let opens = opening.is_some();
        if opening.is_some_and(|event| !self.announce(event)) {
            return Some(refused(Reason::AuditFailed, "the event cannot be written"));
        }
        let mut sessions = self.sessions();
        if let Err(refusal) = free_post(&mut sessions, pid, id, sandbox) {
            return Some(*refusal);
        }
        let Some(session) = sessions.get_mut(id) else {
            return Some(refused(Reason::NoSession, "no such session"));
        };
        session.opened |= opens;
        if let Err(e) = sessions.save(id) {
            let why = format!("the session cannot be written down: {e}");
            if opens {
                return Some(refused(Reason::NotPersisted, why));
            }
            // It is in the books of an earlier state; that is no reason to end it.
            complain(&format!("session {id}: {why}"));
        }
        let session = sessions.get_mut(id)?;
        // Under the lock, so that nothing can be pushed before the answer.
        let ends_ms = session.ends.map(|(at, _)| at);
        if let Err(e) = push.send_now(&Reply::Attached { ends_ms }) {
            complain(&format!("session {id}: its guard does not hear: {e}"));
            push.shut_down();
        }
        if let Some(before) = session.guard.replace(Guard {
            pid,
            push: Arc::clone(push),
        }) {
            before.push.shut_down();
        }
        session.was_guarded = true;
        // What it missed while it was away.
        if let Some(reason) = session.ending {
            session.push(&Push::End { reason });
        }
        push_cuts(session);
        None
    }

    /// The last process of the session is gone.
    pub(crate) fn ended(&self, id: &SessionId, guard: i32) {
        let mut expired = None;
        {
            let mut sessions = self.sessions();
            if let Some(session) = sessions.get_mut(id)
                && session.guard.as_ref().is_none_or(|g| g.pid == guard)
            {
                session.gone_since = Some(Instant::now());
                session.gone = true;
                session.guard = None;
                self.no_longer_open(&session.person(), id);
                // Its guard keeps the same clock and may have been first.
                if let Some((at, why)) = session.ends
                    && session.ending.is_none()
                    && at <= now_ms()
                {
                    expired = Some(end(session, Kind::SessionExpired, why));
                }
            }
            // For a restart; in memory it is known in any case.
            let _saved = sessions.save(id);
        }
        if let Some(event) = expired {
            self.note(event);
        }
    }

    /// May this task connect there? Only a session's own guard may ask.
    pub(crate) fn judge(&self, request: &JudgeRequest, guard: i32) -> Reply {
        let destination = SocketAddr::new(
            request.destination.ip().to_canonical(),
            request.destination.port(),
        );
        let (allowed, reason) = self.judge_connect(request, destination, guard);
        Reply::Judged { allowed, reason }
    }

    /// The session that this guard guards; after a restart of jumpd it asks before it has its post again.
    pub(crate) fn guarded_by(&self, id: &SessionId, guard: i32) -> Option<Asker> {
        let sessions = self.sessions();
        let session = sessions.get(id)?;
        let its_own = session.guard.as_ref().is_none_or(|g| g.pid == guard);
        (its_own && session.opened && session.ending.is_none()).then(|| session.asker())
    }

    fn judge_connect(
        &self,
        request: &JudgeRequest,
        destination: SocketAddr,
        guard: i32,
    ) -> (bool, Reason) {
        let Some(asker) = self.guarded_by(&request.session, guard) else {
            self.note(
                Event::new(Kind::ForwardDenied)
                    .failure()
                    .reason(Reason::NoSession)
                    .session(&request.session)
                    .destination(destination)
                    .via(request.via),
            );
            return (false, Reason::NoSession);
        };
        if !request.tcp {
            return self.judge_datagram(&asker, destination);
        }
        // An edit may come into force while the resolver is asked: then the question is put anew.
        loop {
            let Some(policy) = self.policy() else {
                return self.deny_forward(&asker, destination, request.via, Reason::NoRule, None);
            };
            let purpose = match self.purpose_of(request, destination) {
                Ok(purpose) => purpose,
                Err((reason, rule)) => {
                    let rule = rule.as_deref();
                    return self.deny_forward(&asker, destination, Via::Shell, reason, rule);
                }
            };
            match self.decide(&policy, &asker, destination, &purpose) {
                Decision::Allow {
                    rule,
                    target,
                    until,
                    record,
                    ..
                } => {
                    let flow = Flow {
                        destination,
                        name: target,
                        rule,
                        since_ms: now_ms(),
                        since_boot_ms: boot_ms(),
                        via: purpose.via(),
                        hop: purpose.hop().cloned(),
                        pid: request.pid,
                        cut: None,
                        until_ms: until.map(Timestamp::as_millisecond),
                        revoked: None,
                        established: false,
                        carried: None,
                        asked_boot_ms: boot_ms(),
                        missed_since: None,
                    };
                    if let Some(answer) =
                        self.allow_forward(&policy, &asker, request, (&purpose, record), flow)
                    {
                        return answer;
                    }
                }
                Decision::Deny { reason, rule, .. } => {
                    return self.deny_forward(
                        &asker,
                        destination,
                        purpose.via(),
                        reason,
                        rule.as_deref(),
                    );
                }
            }
        }
    }

    /// What is asked for; why not, for ssh that has no hop to this place.
    fn purpose_of(
        &self,
        request: &JudgeRequest,
        destination: SocketAddr,
    ) -> Result<Purpose, NoHop> {
        if !request.hop {
            return Ok(Purpose::Plain(request.via));
        }
        let sessions = self.sessions();
        let session = sessions.get(&request.session);
        let session = session.ok_or((Reason::NoSession, None))?;
        waiting_hop(session, destination, request)
    }

    /// The one place where jumpd asks the policy about a destination, for guard, shell and explain alike.
    ///
    /// A rule with `record = true` grants recorded hops only, and a plain
    /// connection is none.
    pub(crate) fn decision(
        &self,
        policy: &Policy,
        who: &Subject,
        from: IpAddr,
        to: &Destination,
        via: Via,
        at: Timestamp,
    ) -> Decision {
        recorded_only(policy.judge(who, from, to, via, at, self.names.as_ref()))
    }

    /// As [`Jumpd::decision`], now, for a session: rules whose `max_session` it has used up grant it nothing more.
    pub(crate) fn session_decision(
        &self,
        policy: &Policy,
        asker: &Asker,
        to: &Destination,
        via: Via,
    ) -> Decision {
        let now = self.now();
        recorded_only(policy.judge_session(
            &asker.subject(),
            asker.source.ip(),
            to,
            via,
            asker.opened_at(now),
            now,
            self.names.as_ref(),
        ))
    }

    /// The policy's answer; a miss looks its names up anew once.
    fn decide(
        &self,
        policy: &Policy,
        asker: &Asker,
        destination: SocketAddr,
        purpose: &Purpose,
    ) -> Decision {
        let to = Destination::Address(destination.ip(), destination.port());
        let ask = || self.purpose_decision(policy, asker, &to, purpose);
        match ask() {
            Decision::Deny {
                reason: Reason::NoTarget | Reason::NoRule,
                ..
            } if self.names.refresh(host_names(policy)) => ask(),
            answer => answer,
        }
    }

    /// UDP reaches the host's resolvers and nothing else; see resolv.conf(5).
    ///
    /// glibc also connects a datagram socket to each address of a name to sort
    /// them (RFC 6724). That sends nothing; it is refused, and where TCP to the
    /// same place is allowed there is nothing to tell the journal.
    fn judge_datagram(&self, asker: &Asker, destination: SocketAddr) -> (bool, Reason) {
        if destination.port() == DNS && is_resolver(destination.ip()) {
            return (true, Reason::Resolver);
        }
        let sorting = self.policy().is_some_and(|policy| {
            let to = Destination::Address(destination.ip(), destination.port());
            [Via::Forward, Via::Shell]
                .iter()
                .any(|via| self.session_decision(&policy, asker, &to, *via).is_allow())
        });
        if !sorting {
            self.deny_forward(asker, destination, Via::Forward, Reason::BadProtocol, None);
        }
        (false, Reason::BadProtocol)
    }

    pub(crate) fn deny_forward(
        &self,
        asker: &Asker,
        destination: SocketAddr,
        via: Via,
        reason: Reason,
        rule: Option<&str>,
    ) -> (bool, Reason) {
        let mut event = asker
            .event(Kind::ForwardDenied)
            .failure()
            .reason(reason)
            .destination(destination)
            .via(via);
        if let Some(rule) = rule {
            event = event.rule(rule);
        }
        self.note(event);
        (false, reason)
    }

    /// Takes an allowed connection into the books and then into the journal;
    /// `None` when the policy that allowed it is no longer the one in force.
    fn allow_forward(
        &self,
        policy: &Arc<Policy>,
        asker: &Asker,
        request: &JudgeRequest,
        purpose: (&Purpose, bool),
        flow: Flow,
    ) -> Option<(bool, Reason)> {
        let via = flow.via;
        let mut event = asker
            .event(Kind::ForwardAllowed)
            .success()
            .reason(Reason::RuleAllow)
            .destination(flow.destination)
            .via(via)
            .rule(&flow.rule);
        if let Some(name) = &flow.name {
            event = event.destination_name(name);
        }
        let (destination, rule) = (flow.destination, flow.rule.clone());
        match self.book(policy, request, purpose, flow) {
            Booked::Yes => {}
            Booked::Answered(true, reason) => return Some((true, reason)),
            Booked::Answered(false, reason) => {
                return Some(self.deny_forward(asker, destination, via, reason, Some(&rule)));
            }
            Booked::PolicyChanged => return None,
        }
        if self.announce(event) {
            return Some((true, Reason::RuleAllow));
        }
        forget_flow(&mut self.sessions(), request);
        Some((false, Reason::AuditFailed))
    }

    /// Writes a connection into the session's books.
    fn book(
        &self,
        policy: &Arc<Policy>,
        request: &JudgeRequest,
        (purpose, record): (&Purpose, bool),
        flow: Flow,
    ) -> Booked {
        let limits = policy.session();
        let many = |session: &Session| {
            let connecting = session.flows.values().filter(|f| !f.established).count();
            connecting >= usize::try_from(limits.connecting).unwrap_or(usize::MAX)
        };
        // Handshakes are seen to be over only by looking.
        if self.sessions().get(&request.session).is_some_and(many) {
            self.look_at_flows(NEW_MS);
        }
        let mut sessions = self.sessions();
        // Under the lock that `rejudge` takes: what is in the books before it is judged anew by it.
        if !self.policy().is_some_and(|now| Arc::ptr_eq(&now, policy)) {
            return Booked::PolicyChanged;
        }
        let Some(session) = sessions
            .get_mut(&request.session)
            .filter(|s| s.ending.is_none())
        else {
            return Booked::Answered(false, Reason::NoSession);
        };
        if let Err(reason) = carry(session, purpose, request, record) {
            return Booked::Answered(false, reason);
        }
        if let Some(known) = session.flows.get_mut(&request.cookie) {
            known.asked_boot_ms = boot_ms();
            known.missed_since = None;
            // The same call once more, or a socket that is connected elsewhere.
            return if known.revoked.is_some() {
                Booked::Answered(false, Reason::PolicyChanged)
            } else if known.destination == flow.destination && known.hop == flow.hop {
                Booked::Answered(true, Reason::RuleAllow)
            } else {
                Booked::Answered(false, Reason::BadProtocol)
            };
        }
        if let Err(reason) = limits::may_open(session, limits) {
            return Booked::Answered(false, reason);
        }
        session.flows.insert(request.cookie, flow);
        session.is_active();
        if sessions.save(&request.session).is_err() {
            forget_flow(&mut sessions, request);
            return Booked::Answered(false, Reason::NotPersisted);
        }
        Booked::Yes
    }

    /// What became of an allowed connect. A failure ends the flow here: its
    /// socket may live on and be tried again.
    pub(crate) fn connected(&self, id: &SessionId, cookie: u64, errno: i32, guard: i32) {
        use nix::libc::{EALREADY, EINPROGRESS, EISCONN};
        // The last two say that the socket is as it was.
        if matches!(errno, EINPROGRESS | EALREADY | EISCONN) {
            return;
        }
        if errno == 0 {
            if let Some(session) = self.sessions().get_mut(id)
                && let Some(flow) = session.flows.get_mut(&cookie)
            {
                flow.established = true;
            }
            return;
        }
        let closed = {
            let mut sessions = self.sessions();
            let Some(session) = sessions
                .get_mut(id)
                .filter(|s| s.guard.as_ref().is_some_and(|g| g.pid == guard))
            else {
                return;
            };
            let closed = session
                .flows
                .remove(&cookie)
                .map(|flow| flow_event(session, &flow));
            // The flow is over whether or not that can be written down.
            let _saved = sessions.save(id);
            closed
        };
        if let Some(event) = closed {
            let error = std::io::Error::from_raw_os_error(errno);
            self.note(
                event
                    .failure()
                    .reason(Reason::ConnectFailed)
                    .bytes(0, 0)
                    .detail(&error.to_string()),
            );
        }
    }

    /// The guard is about to reset connections: their counts are kept for the end that the kernel will announce.
    pub(crate) fn flows_cut(&self, id: &SessionId, cut: &[CutFlow], guard: i32) {
        let mut sessions = self.sessions();
        let Some(session) = sessions
            .get_mut(id)
            .filter(|s| s.guard.as_ref().is_some_and(|g| g.pid == guard))
        else {
            return;
        };
        for told in cut {
            if let Some(flow) = session.flows.get_mut(&told.cookie) {
                // Told twice, the second time it was reset already, and its counters wiped.
                let (sent, received) = flow.cut.unwrap_or_default();
                flow.cut = Some((sent.max(told.bytes_sent), received.max(told.bytes_received)));
            }
        }
        // Kept in memory in any case; the file is for a restart.
        let _saved = sessions.save(id);
    }

    /// A call that the guard refused by itself; false when it is none of this guard's sessions.
    pub(crate) fn refused_locally(
        &self,
        id: &SessionId,
        reason: Reason,
        destination: Option<SocketAddr>,
        detail: Option<&str>,
        guard: i32,
    ) -> bool {
        let asker = match self.sessions().get(id) {
            // After a restart of jumpd the guard tells before it has its post again.
            Some(s) if s.opened && s.guard.as_ref().is_none_or(|g| g.pid == guard) => s.asker(),
            _ => return false,
        };
        let mut event = asker.event(Kind::ForwardDenied).failure().reason(reason);
        if let Some(destination) = destination {
            event = event.destination(destination);
        }
        if let Some(detail) = detail {
            event = event.detail(detail);
        }
        self.note(event);
        true
    }
}

/// What became of a connection that the policy allows.
enum Booked {
    /// It is in the books.
    Yes,
    /// The answer is known.
    Answered(bool, Reason),
    /// The policy that allowed it is no longer in force.
    PolicyChanged,
}

/// A rule that records grants no plain connection.
pub(crate) fn recorded_only(decision: Decision) -> Decision {
    match decision {
        Decision::Allow {
            record: true,
            rule,
            until,
            ..
        } => Decision::Deny {
            reason: Reason::RecordRequired,
            rule: Some(rule),
            until,
            opens: None,
        },
        decision => decision,
    }
}

/// Whether this guard may take this session's post; the event that opens the session, if it is not open yet.
fn free_post(
    sessions: &mut Sessions,
    pid: i32,
    id: &SessionId,
    sandbox: &str,
) -> Result<Option<Event>, Box<Reply>> {
    let no = |reason, why| Err(Box::new(refused(reason, why)));
    let Some(session) = sessions.get_mut(id) else {
        return no(Reason::NoSession, "no such session");
    };
    if session.ending.is_some() || session.gone_since.is_some() {
        let why = session.ending.unwrap_or(Reason::NoSession);
        return no(why, "the session is over");
    }
    if session.guard.as_ref().is_some_and(|g| g.pid != pid) {
        return no(Reason::Internal, "the session has a guard");
    }
    sandbox.clone_into(&mut session.sandbox);
    if session.opened {
        return Ok(None);
    }
    let event = session_event(Kind::SessionOpened, session)
        .success()
        .auth_method(&session.auth_method);
    Ok(Some(match &session.rule {
        Some(rule) => event.rule(rule),
        None => event,
    }))
}

/// A connection that was not allowed in the end.
fn forget_flow(sessions: &mut Sessions, request: &JudgeRequest) {
    if let Some(session) = sessions.get_mut(&request.session) {
        session.flows.remove(&request.cookie);
    }
}

/// `forward.closed` of a flow, without its outcome.
pub(crate) fn flow_event(session: &Session, flow: &Flow) -> Event {
    let mut event = session_event(Kind::ForwardClosed, session)
        .destination(flow.destination)
        .via(flow.via)
        .rule(&flow.rule)
        .duration_ms(elapsed_ms(flow.since_boot_ms));
    if let Some(name) = &flow.name {
        event = event.destination_name(name);
    }
    event
}

/// Every host name that a target lists.
pub(crate) fn host_names(policy: &Policy) -> impl Iterator<Item = &str> {
    policy
        .targets()
        .flat_map(|target| &target.hosts)
        .filter_map(|host| match host {
            HostPattern::Name(name) => Some(name.as_str()),
            _ => None,
        })
}
