//! What jump-shell asks, on a socket that only a session's guard can connect.
//!
//! The process id that the kernel recorded at connect(2) is the guard's, and
//! names the session: what the shell says of itself is not needed.

use crate::carriers::Process;
use crate::judge::host_names;
use crate::names::Resolver;
use crate::sessions::{Asker, LISTED_FLOWS};
use crate::state::{Jumpd, refused};
use jiff::Timestamp;
use jump_audit::Kind;
use jump_policy::{Decision, Destination, Names, Policy};
use jump_proto::{Reach, Reason, Reply, Request, SessionId, Via};
use std::net::{IpAddr, SocketAddr};

/// The longest host name (RFC 1035, section 2.3.4).
pub(crate) const MAX_HOST: usize = 253;

impl Jumpd {
    /// The session behind a connection of the shell, by its guard's process id.
    pub(crate) fn attested(&self, guard: i32) -> Option<SessionId> {
        self.sessions()
            .guarded_by(guard)
            .filter(|s| s.ending.is_none())
            .map(|s| s.id.clone())
    }

    fn asker(&self, id: &SessionId) -> Option<Asker> {
        self.sessions()
            .get(id)
            .filter(|s| s.ending.is_none())
            .map(crate::sessions::Session::asker)
    }

    /// Answers one request of a shell of session `id`, of this process.
    pub(crate) fn answer_shell(
        &self,
        id: &SessionId,
        shell: Option<Process>,
        request: Request,
    ) -> Reply {
        let over = || refused(Reason::NoSession, "This session is over.");
        let Some(asker) = self.asker(id) else {
            return over();
        };
        if let Request::Ends = request {
            return self.ends(id);
        }
        if let Some(session) = self.sessions().get_mut(id) {
            session.is_active();
        }
        match request {
            Request::Active => self.ends(id),
            Request::Whoami { command } => {
                let mut event = asker.event(Kind::ShellStarted).success();
                if let Some(command) = command {
                    event = event.command(&command);
                }
                if !self.announce(event) {
                    return refused(
                        Reason::AuditFailed,
                        "The jump server cannot keep its records now; please tell its administrators.",
                    );
                }
                self.sessions()
                    .get(id)
                    .map_or_else(over, |s| Reply::Whoami(s.info(LISTED_FLOWS)))
            }
            Request::Targets => Reply::Targets {
                targets: self.targets(&asker),
            },
            Request::Resolve { host, port } => self.resolve_for_shell(&asker, &host, port),
            Request::HopOpen(ask) => self.hop_open(&asker, shell, &ask),
            Request::HopEnded {
                hop,
                status,
                reason,
            } => {
                if self.end_hop(id, &hop, status, reason) {
                    Reply::Done
                } else {
                    refused(Reason::NoSession, "There is no such hop.")
                }
            }
            Request::OwnSessions => self.own_sessions(&asker),
            Request::EndOwnSession { session } => self.end_own_session(&asker, &session),
            Request::OwnMfa => self.own_mfa(&asker),
            Request::OwnRecoveryCodes { code } => self.own_recovery_codes(&asker, &code),
            Request::ShellRefused { command } => {
                self.note(
                    asker
                        .event(Kind::ShellRefused)
                        .failure()
                        .reason(Reason::NotACommand)
                        .command(&command),
                );
                Reply::Done
            }
            _ => refused(Reason::Internal, "This is not for the shell to ask."),
        }
    }

    fn targets(&self, asker: &Asker) -> Vec<Reach> {
        let Some(policy) = self.policy() else {
            return Vec::new();
        };
        policy
            .reach(&asker.subject(), asker.source.ip(), self.now())
            .into_iter()
            .map(|reach| Reach {
                target: reach.target,
                hosts: reach.hosts,
                ports: reach.ports,
                rule: reach.rule,
                via: reach.via,
                record: reach.record,
                until_ms: reach.until.map(Timestamp::as_millisecond),
            })
            .collect()
    }

    /// Addresses that the shell may try. The guard judges the connect itself
    /// again; this answer spares the shell a resolver of its own.
    fn resolve_for_shell(&self, asker: &Asker, host: &str, port: u16) -> Reply {
        let Some(policy) = self.policy() else {
            return refused(Reason::NoRule, "Access is not allowed.");
        };
        if host.len() > MAX_HOST {
            return refused(Reason::NoTarget, "That is not a host name.");
        }
        let judge = |to: Destination| self.session_decision(&policy, asker, &to, Via::Shell);
        let addresses = addresses(&self.names, &policy, host);
        let mut denial = None;
        let mut allowed = Vec::new();
        for address in addresses {
            match judge(Destination::Address(address, port)) {
                Decision::Allow { .. } => allowed.push(address),
                denied @ Decision::Deny { .. } => denial = denial.or(Some((address, denied))),
            }
        }
        if !allowed.is_empty() {
            return Reply::Addresses { addresses: allowed };
        }
        match denial {
            Some((address, denied)) => {
                self.deny_forward(
                    asker,
                    SocketAddr::new(address, port),
                    Via::Shell,
                    denied.reason(),
                    denied.rule(),
                );
                refused(denied.reason(), denied.sentence(policy.timezone()))
            }
            None => {
                let denied = judge(Destination::Name(host.to_owned(), port));
                let event = asker
                    .event(Kind::ForwardDenied)
                    .failure()
                    .via(Via::Shell)
                    .destination_name(host);
                if denied.is_allow() {
                    self.note(
                        event
                            .reason(Reason::ConnectFailed)
                            .detail("the name has no address"),
                    );
                    refused(
                        Reason::ConnectFailed,
                        "That name has no address now; tell the administrators of this jump server.",
                    )
                } else {
                    self.note(event.reason(denied.reason()));
                    refused(denied.reason(), denied.sentence(policy.timezone()))
                }
            }
        }
    }
}

/// Only names that the policy lists are looked up: a query for any other would tell its owner something.
pub(crate) fn addresses(names: &Resolver, policy: &Policy, host: &str) -> Vec<IpAddr> {
    if let Ok(literal) = host.parse::<IpAddr>() {
        return vec![literal.to_canonical()];
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if host_names(policy).any(|listed| listed == host) {
        names.addresses(&host)
    } else {
        Vec::new()
    }
}
