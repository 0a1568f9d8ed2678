//! A hop is asked for: to where, as whom, and may it be?
//!
//! The answer is what jump-shell starts ssh with. It opens nothing yet: the
//! connection is judged when ssh makes it, and again whenever the policy
//! changes.

#[cfg(test)]
pub(crate) mod tests;

use crate::carriers::Process;
use crate::hops::{Hop, NewHop};
use crate::judge::host_names;
use crate::sessions::Asker;
use crate::shell::{MAX_HOST, addresses};
use crate::state::{Jumpd, refused};
use jump_audit::Kind;
use jump_policy::{Decision, Destination, Policy, Rule, is_login_name};
use jump_proto::{HopId, HopOpened, HopRequest, Reason, Reply, SessionId, Via, paths};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// sshd's port.
const SSH: u16 = 22;

const TOO_OLD: &str =
    "Please log in again: this session began before this jump server was upgraded to run ssh.";
const OVER: &str = "This session is over.";
const NO_RECORDS: &str =
    "The jump server cannot keep its records now; please tell its administrators.";

/// For a user who came without `-A`, or whom sshd does not let bring an agent.
const NO_AGENT: &str = "This hop logs in with your own SSH agent, and none came along: log in to this jump server with `ssh -A`. If you did, please tell its administrators.";

/// A refusal and what the journal is told of it.
struct No {
    reason: Reason,
    sentence: String,
    destination: Option<SocketAddr>,
    rule: Option<String>,
    detail: &'static str,
}

impl No {
    fn new(reason: Reason, sentence: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            reason,
            sentence: sentence.into(),
            destination: None,
            rule: None,
            detail: "",
        })
    }
}

/// Where a hop leads, and by which rule.
struct Way {
    address: SocketAddr,
    rule: String,
    record: bool,
    name: Option<String>,
    login: String,
    own_agent: bool,
}

impl Jumpd {
    /// Begins a hop of the asker's, which this shell wants.
    pub(crate) fn hop_open(
        &self,
        asker: &Asker,
        shell: Option<Process>,
        request: &HopRequest,
    ) -> Reply {
        if shell.is_none() {
            let mut no = No::new(Reason::WrongVia, TOO_OLD);
            no.detail =
                "the session's guard is of an earlier release, and does not tell hops apart";
            return self.deny_hop(asker, &no);
        }
        // An edit may come into force while the resolver is asked: then the question is put anew.
        loop {
            let Some(policy) = self.policy() else {
                return refused(Reason::NoRule, "Access is not allowed.");
            };
            match self.try_hop(&policy, asker, shell, request) {
                Ok(Some(reply)) => return reply,
                Ok(None) => {}
                Err(no) => return self.deny_hop(asker, &no),
            }
        }
    }

    fn deny_hop(&self, asker: &Asker, no: &No) -> Reply {
        let mut event = asker
            .event(Kind::ForwardDenied)
            .failure()
            .reason(no.reason)
            .via(Via::Shell)
            .detail(no.detail);
        if let Some(destination) = no.destination {
            event = event.destination(destination);
        }
        if let Some(rule) = &no.rule {
            event = event.rule(rule);
        }
        self.note(event);
        refused(no.reason, no.sentence.clone())
    }

    /// The answer; `None` when the policy that gave it is no longer in force.
    fn try_hop(
        &self,
        policy: &Arc<Policy>,
        asker: &Asker,
        shell: Option<Process>,
        request: &HopRequest,
    ) -> Result<Option<Reply>, Box<No>> {
        let (host, way) = self.way(policy, asker, request)?;
        self.can_log_in(asker, &way)?;
        let target = policy.target_of(
            &way.rule,
            way.address.ip(),
            way.address.port(),
            self.names.as_ref(),
        );
        let known = target.filter(|target| target.knows_hosts());
        let opened = HopOpened {
            hop: new_hop_id().map_err(|()| No::new(Reason::Internal, NO_RECORDS))?,
            address: way.address,
            login: way.login,
            host_key_alias: match known {
                // The file has every name.
                Some(_) => host,
                None => alias(&host, way.address.port()),
            },
            known_hosts: known.map_or_else(
                || paths::KNOWN_HOSTS.to_owned(),
                |target| format!("{}/{}", paths::TARGETS_KNOWN_HOSTS, target.name),
            ),
            record: way.record,
            forwarded_agent: way.own_agent,
            rule: way.rule,
        };
        let hop = Hop::from(NewHop {
            id: opened.hop.clone(),
            asked: request.host.clone(),
            name: way.name,
            address: opened.address,
            login: opened.login.clone(),
            rule: opened.rule.clone(),
            record: opened.record,
            forwarded_agent: opened.forwarded_agent,
            shell,
        });
        self.begin(policy, asker, hop, opened)
    }

    /// Whether there is something to log in with at the target.
    fn can_log_in(&self, asker: &Asker, way: &Way) -> Result<(), Box<No>> {
        let (reason, sentence, detail) = if way.own_agent {
            let sessions = self.sessions();
            if sessions.get(asker.id()).is_some_and(|s| s.own_agent) {
                return Ok(());
            }
            (Reason::NoAgent, NO_AGENT, "")
        } else if self.ca.can_sign() {
            return Ok(());
        } else {
            (
                Reason::NoCa,
                "This jump server has no key to log in at targets with; please tell its administrators.",
                "run `jumpctl ca init`",
            )
        };
        let mut no = No::new(reason, sentence);
        no.destination = Some(way.address);
        no.rule = Some(way.rule.clone());
        no.detail = detail;
        Err(no)
    }

    /// Writes a hop into the books and then into the journal.
    fn begin(
        &self,
        policy: &Arc<Policy>,
        asker: &Asker,
        hop: Hop,
        opened: HopOpened,
    ) -> Result<Option<Reply>, Box<No>> {
        let event = hop
            .event(Kind::HopStarted, asker)
            .success()
            .text("recorded", hop.record)
            .text(
                "agent",
                if hop.forwarded_agent {
                    "forwarded"
                } else {
                    "ca"
                },
            );
        let (id, destination, rule) = (hop.id.clone(), hop.address, hop.rule.clone());
        let no = |reason, sentence: &str, detail| {
            let mut no = No::new(reason, sentence);
            no.destination = Some(destination);
            no.rule = Some(rule.clone());
            no.detail = detail;
            no
        };
        {
            let mut sessions = self.sessions();
            // Under the lock that `rejudge` takes.
            if !self.policy().is_some_and(|now| Arc::ptr_eq(&now, policy)) {
                return Ok(None);
            }
            let Some(session) = sessions
                .get_mut(asker.id())
                .filter(|s| s.ending.is_none() && s.gone_since.is_none())
            else {
                return Err(no(Reason::NoSession, OVER, ""));
            };
            // Whose ssh it is, is known; but should one ever pass for another's, it must not be unrecorded by that.
            let mixed = |other: &Hop| other.address == hop.address && other.record != hop.record;
            if session.hops.values().any(mixed) {
                return Err(no(
                    Reason::RecordRequired,
                    "In this session a recorded and an unrecorded hop to the same host cannot be open at once; end the other one first, or log in once more.",
                    "another hop to the same address is open",
                ));
            }
            let otherwise = |other: &Hop| {
                other.address == hop.address && other.forwarded_agent != hop.forwarded_agent
            };
            if session.hops.values().any(otherwise) {
                return Err(no(
                    Reason::Busy,
                    "In this session a hop with your own agent and one without cannot be open to the same host at once; end the other one first, or log in once more.",
                    "another hop to the same address is open",
                ));
            }
            session
                .open_hop(hop)
                .map_err(|reason| no(reason, "You have too many hops open in this session.", ""))?;
            session.is_active();
            if sessions.save(asker.id()).is_err() {
                forget(&mut sessions, asker.id(), &id);
                return Err(no(Reason::NotPersisted, NO_RECORDS, ""));
            }
        }
        if !self.announce(event) {
            forget(&mut self.sessions(), asker.id(), &id);
            return Ok(Some(refused(Reason::AuditFailed, NO_RECORDS)));
        }
        Ok(Some(Reply::Hop(opened)))
    }

    /// Where the hop leads: the host, in the one form in which it is known, and what decides.
    fn way(
        &self,
        policy: &Policy,
        asker: &Asker,
        request: &HopRequest,
    ) -> Result<(String, Way), Box<No>> {
        if request.host.is_empty() || request.host.len() > MAX_HOST {
            return Err(No::new(Reason::NoTarget, "That is not a host name."));
        }
        if request.login.as_deref().is_some_and(|l| !is_login_name(l)) {
            return Err(No::new(Reason::LoginName, "That is not a login name."));
        }
        let host = self.host_meant(policy, asker, &request.host)?;
        let found = addresses(&self.names, policy, &host);
        let mut nearest: Option<Box<No>> = None;
        for port in self.ports(policy, asker, &host, request.port) {
            if found.is_empty() {
                let to = Destination::Name(host.clone(), port);
                let denied = self.hop_decision(policy, asker, &to, request.login.as_deref());
                let no = match denied {
                    Decision::Allow { .. } => No::new(
                        Reason::ConnectFailed,
                        "That name has no address now; tell the administrators of this jump server.",
                    ),
                    denied => No::new(denied.reason(), denied.sentence(policy.timezone())),
                };
                nearest = nearest.or(Some(no));
            }
            for address in &found {
                let address = SocketAddr::new(*address, port);
                match self.judge_way(policy, asker, address, request.login.as_deref()) {
                    Ok(way) => return Ok((host, way)),
                    Err(no) => nearest = nearest.or(Some(no)),
                }
            }
        }
        Err(nearest.unwrap_or_else(|| No::new(Reason::NoTarget, "Access is not allowed.")))
    }

    fn judge_way(
        &self,
        policy: &Policy,
        asker: &Asker,
        address: SocketAddr,
        asked: Option<&str>,
    ) -> Result<Way, Box<No>> {
        let to = Destination::Address(address.ip(), address.port());
        let decision = self.hop_decision(policy, asker, &to, asked);
        let no = |sentence| {
            let mut no = No::new(decision.reason(), sentence);
            no.destination = Some(address);
            no.rule = decision.rule().map(str::to_owned);
            no
        };
        let Decision::Allow {
            rule,
            record,
            target,
            ..
        } = &decision
        else {
            let sentence = match decision.reason() {
                Reason::LoginName => self.login_names(policy, asker, &to),
                _ => decision.sentence(policy.timezone()),
            };
            return Err(no(sentence));
        };
        let user = asker.person().user;
        let granting = policy.rule(rule);
        let login = match (asked, granting) {
            (Some(asked), _) => asked.to_owned(),
            (None, Some(rule)) => rule.login(&user).to_owned(),
            (None, None) => user,
        };
        if !is_login_name(&login) {
            let mut no = no(
                "Your name here cannot be a login name there; say as whom: ssh LOGIN@HOST."
                    .to_owned(),
            );
            no.reason = Reason::LoginName;
            return Err(no);
        }
        Ok(Way {
            address,
            rule: rule.clone(),
            record: *record,
            name: target.clone(),
            login,
            own_agent: granting.is_some_and(Rule::wants_own_agent),
        })
    }

    /// The sentence for somebody who asked for a login name that no rule gives.
    fn login_names(&self, policy: &Policy, asker: &Asker, to: &Destination) -> String {
        let (subject, user) = (asker.subject(), asker.person().user);
        let mut given: Vec<&str> = Vec::new();
        for rule in policy.rules_for(&subject) {
            for login in rule.logins(&user) {
                if !given.contains(&login)
                    && self.hop_decision(policy, asker, to, Some(login)).is_allow()
                {
                    given.push(login);
                }
            }
        }
        match given.as_slice() {
            [] => "You may not log in there by that name.".to_owned(),
            [one] => format!("You may log in there as {one} only."),
            [most @ .., last] => {
                format!(
                    "You may log in there as {} or {last} only.",
                    most.join(", ")
                )
            }
        }
    }

    /// The host that is meant: as asked for, or the one host of the target of that name.
    fn host_meant(&self, policy: &Policy, asker: &Asker, asked: &str) -> Result<String, Box<No>> {
        if let Ok(address) = asked.parse::<IpAddr>() {
            return Ok(address.to_canonical().to_string());
        }
        let host = asked.trim_end_matches('.').to_ascii_lowercase();
        if host_names(policy).any(|listed| listed == host) {
            return Ok(host);
        }
        // Of targets, only those are told of that the user may go to.
        let mine = self.own_targets(policy, asker);
        let Some(target) = policy.target(asked).filter(|t| mine.contains(&t.name)) else {
            return Ok(host);
        };
        target.only_host().ok_or_else(|| {
            let hosts: Vec<String> = target.hosts.iter().map(ToString::to_string).collect();
            let sentence = format!(
                "{asked} is more than one host; say which: {}.",
                hosts.join(", ")
            );
            No::new(Reason::NoTarget, sentence)
        })
    }

    /// Names of the targets to which the asker may go now.
    fn own_targets(&self, policy: &Policy, asker: &Asker) -> Vec<String> {
        policy
            .reach(&asker.subject(), asker.source.ip(), self.now())
            .into_iter()
            .filter(|reach| reach.via.contains(&Via::Shell))
            .map(|reach| reach.target)
            .collect()
    }

    /// The ports to try: the one asked for, else sshd's, else those of targets of that host that have but one.
    fn ports(&self, policy: &Policy, asker: &Asker, host: &str, asked: Option<u16>) -> Vec<u16> {
        if let Some(port) = asked {
            return vec![port];
        }
        let mut ports = vec![SSH];
        let mine = self.own_targets(policy, asker);
        for target in mine.iter().filter_map(|name| policy.target(name)) {
            let has_it = target.hosts.iter().any(|listed| listed.to_string() == host);
            if let Some(port) = target.only_port()
                && has_it
                && !ports.contains(&port)
            {
                ports.push(port);
            }
        }
        ports
    }
}

fn forget(sessions: &mut crate::sessions::Sessions, session: &SessionId, hop: &HopId) {
    if let Some(session) = sessions.get_mut(session) {
        session.hops.remove(hop);
    }
    // What is written down then has no connection, and is over soon.
    let _saved = sessions.save(session);
}

/// The name under which a host key is known, as ssh(1) writes it.
fn alias(host: &str, port: u16) -> String {
    if port == SSH {
        host.to_owned()
    } else {
        format!("[{host}]:{port}")
    }
}

fn new_hop_id() -> Result<HopId, ()> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|_| ())?;
    Ok(HopId::from_bytes(bytes))
}
