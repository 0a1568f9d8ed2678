//! What a session's guard asks: its post, each connect(2), and the end.

use crate::names::is_resolver;
use crate::sessions::{Asker, Flow, Guard, Session, Sessions};
use crate::state::{Jumpd, elapsed_ms, now_ms, refused, session_event};
use jiff::Timestamp;
use jump_audit::Event;
use jump_audit::Kind;
use jump_policy::{Decision, Destination, HostPattern, Policy, Subject};
use jump_proto::{Channel, ChannelError, JudgeRequest, Reason, Reply, Request, SessionId, Via};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

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
        let reply = self.take_post(&push, pid, id, sandbox);
        let taken = matches!(reply, Reply::Attached { .. });
        let told = push.send(&reply);
        if !taken {
            return told;
        }
        let outcome = self.stand(&push, pid, id);
        if let Some(session) = self.sessions().get_mut(id)
            && session.guard.as_ref().is_some_and(|g| g.pid == pid)
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

    fn take_post(&self, push: &Arc<Channel>, pid: i32, id: &SessionId, sandbox: &str) -> Reply {
        let mut sessions = self.sessions();
        let Some(session) = sessions.get_mut(id) else {
            return refused(Reason::NoSession, "no such session");
        };
        if session.ending.is_some() || session.gone_since.is_some() {
            return refused(
                session.ending.unwrap_or(Reason::NoSession),
                "the session is over",
            );
        }
        if session.guard.as_ref().is_some_and(|g| g.pid != pid) {
            return refused(Reason::Internal, "the session has a guard");
        }
        session.sandbox = sandbox.to_owned();
        if !session.opened {
            let mut event = session_event(Kind::SessionOpened, session)
                .success()
                .auth_method(&session.auth_method);
            if let Some(rule) = &session.rule {
                event = event.rule(rule);
            }
            if !self.announce(event) {
                return refused(Reason::AuditFailed, "the event cannot be written");
            }
            session.opened = true;
        }
        session.guard = Some(Guard {
            pid,
            push: Arc::clone(push),
        });
        let ends_ms = session.ends.map(|(at, _)| at);
        if let Err(e) = sessions.save(id) {
            return refused(
                Reason::NotPersisted,
                format!("the session cannot be written down: {e}"),
            );
        }
        Reply::Attached { ends_ms }
    }

    /// The last process of the session is gone.
    pub(crate) fn ended(&self, id: &SessionId, guard: i32) {
        if let Some(session) = self.sessions().get_mut(id)
            && session.guard.as_ref().is_none_or(|g| g.pid == guard)
        {
            session.gone_since = Some(Instant::now());
            session.guard = None;
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

    fn judge_connect(
        &self,
        request: &JudgeRequest,
        destination: SocketAddr,
        guard: i32,
    ) -> (bool, Reason) {
        let asker = {
            let sessions = self.sessions();
            match sessions.get(&request.session) {
                // After a restart of jumpd the guard asks before it has its post again.
                Some(s)
                    if s.guard.as_ref().is_none_or(|g| g.pid == guard)
                        && s.opened
                        && s.ending.is_none() =>
                {
                    s.asker()
                }
                _ => return (false, Reason::NoSession),
            }
        };
        if !request.tcp {
            return self.judge_datagram(&asker, destination);
        }
        // An edit may come into force while the resolver is asked: then the question is put anew.
        loop {
            let Some(policy) = self.policy() else {
                return self.deny_forward(&asker, destination, request.via, Reason::NoRule, None);
            };
            match self.decide(&policy, &asker, destination, request.via) {
                Decision::Allow { rule, target, .. } => {
                    let answer =
                        self.allow_forward(&policy, &asker, request, destination, rule, target);
                    if let Some(answer) = answer {
                        return answer;
                    }
                }
                Decision::Deny { reason, rule, .. } => {
                    return self.deny_forward(
                        &asker,
                        destination,
                        request.via,
                        reason,
                        rule.as_deref(),
                    );
                }
            }
        }
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
        match policy.judge(who, from, to, via, at, self.names.as_ref()) {
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

    /// The policy's answer; a miss looks its names up anew once.
    fn decide(
        &self,
        policy: &Policy,
        asker: &Asker,
        destination: SocketAddr,
        via: Via,
    ) -> Decision {
        let to = Destination::Address(destination.ip(), destination.port());
        let subject = asker.subject();
        let ask = || self.decision(policy, &subject, asker.source.ip(), &to, via, self.now());
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
            let subject = asker.subject();
            [Via::Forward, Via::Shell].iter().any(|via| {
                self.decision(&policy, &subject, asker.source.ip(), &to, *via, self.now())
                    .is_allow()
            })
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
        destination: SocketAddr,
        rule: String,
        name: Option<String>,
    ) -> Option<(bool, Reason)> {
        let mut event = asker
            .event(Kind::ForwardAllowed)
            .success()
            .reason(Reason::RuleAllow)
            .destination(destination)
            .via(request.via)
            .rule(&rule);
        if let Some(name) = &name {
            event = event.destination_name(name);
        }
        {
            let mut sessions = self.sessions();
            // Under the lock that `rejudge` takes: what is in the books before it is judged anew by it.
            if !self.policy().is_some_and(|now| Arc::ptr_eq(&now, policy)) {
                return None;
            }
            let Some(session) = sessions
                .get_mut(&request.session)
                .filter(|s| s.ending.is_none())
            else {
                return Some((false, Reason::NoSession));
            };
            if let Some(flow) = session.flows.get(&request.cookie) {
                // The same call once more, or a socket that is connected elsewhere.
                return Some(if flow.destination == destination {
                    (true, Reason::RuleAllow)
                } else {
                    (false, Reason::BadProtocol)
                });
            }
            let flow = Flow {
                destination,
                name,
                rule,
                since_ms: now_ms(),
                via: request.via,
                cut: None,
            };
            session.flows.insert(request.cookie, flow);
            if sessions.save(&request.session).is_err() {
                forget_flow(&mut sessions, request);
                return Some((false, Reason::NotPersisted));
            }
        }
        if self.announce(event) {
            return Some((true, Reason::RuleAllow));
        }
        forget_flow(&mut self.sessions(), request);
        Some((false, Reason::AuditFailed))
    }

    /// What became of an allowed connect. A failure ends the flow here: its
    /// socket may live on and be tried again.
    pub(crate) fn connected(&self, id: &SessionId, cookie: u64, errno: i32, guard: i32) {
        use nix::libc::{EALREADY, EINPROGRESS, EISCONN};
        // The last two say that the socket is as it was.
        if matches!(errno, 0 | EINPROGRESS | EALREADY | EISCONN) {
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

    /// The guard is about to reset a connection: its counts are kept for the end that the kernel will announce.
    pub(crate) fn flow_cut(&self, id: &SessionId, cookie: u64, bytes: (u64, u64), guard: i32) {
        let mut sessions = self.sessions();
        if let Some(session) = sessions
            .get_mut(id)
            .filter(|s| s.guard.as_ref().is_some_and(|g| g.pid == guard))
            && let Some(flow) = session.flows.get_mut(&cookie)
        {
            flow.cut = Some(bytes);
            // Kept in memory in any case; the file is for a restart.
            let _saved = sessions.save(id);
        }
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
        .duration_ms(elapsed_ms(flow.since_ms));
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
