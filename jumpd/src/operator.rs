//! What jumpctl asks: apply, status, explain, sessions.

use crate::generation::{self, Rejection, Store};
use crate::judge::host_names;
use crate::sessions::{LISTED_FLOWS, SHOWN_FLOWS};
use crate::state::{Jumpd, complain, refused};
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use jump_audit::{Event, Kind};
use jump_policy::{Decision, Destination, Method, Policy, Subject};
use jump_proto::{
    Applied, Channel, ChannelError, ExplainRequest, Explanation, Reason, Reply, SessionId,
    SessionInfo, Status, paths,
};
use sha2::{Digest, Sha256};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::{Arc, PoisonError};

/// Sessions per message: well below the size limit with dozens of connections each.
const PAGE: usize = 16;

/// A source that no rule names: what an absent `from` means in a rule.
const ANYWHERE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// Questions that one explanation may cost: the operator waits for it.
const MOST_QUESTIONS: usize = 500;

impl Jumpd {
    /// Takes the policy on disk into force, or says why not.
    pub(crate) fn apply(&self, store: &Store, file: &Path) -> Reply {
        self.look(store, file, false)
    }

    /// The same where the file is not what it was at the last look: a save that
    /// came when nobody watched, and not the same refusal a second time.
    pub(crate) fn apply_if_new(&self, store: &Store, file: &Path) -> Reply {
        self.look(store, file, true)
    }

    fn look(&self, store: &Store, file: &Path, only_if_new: bool) -> Reply {
        let mut last = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let text = generation::read_policy(file);
        let found = match &text {
            Ok(text) => Ok(Sha256::digest(text).into()),
            Err(rejection) => Err(rejection.report.clone()),
        };
        if only_if_new && last.as_ref() == Some(&found) {
            return Reply::Done;
        }
        *last = Some(found);
        match text.and_then(|text| self.try_apply(store, file, &text)) {
            Ok(applied) => Reply::Applied(applied),
            Err(Rejection { reason, report }) => {
                let first = report.lines().next().unwrap_or_default().to_owned();
                self.note(
                    Event::new(Kind::PolicyRejected)
                        .failure()
                        .reason(reason)
                        .detail(&first),
                );
                Reply::Rejected { reason, report }
            }
        }
    }

    fn try_apply(&self, store: &Store, file: &Path, text: &str) -> Result<Applied, Rejection> {
        let policy = generation::check(text, file)?;
        let warnings = policy.warnings().iter().map(ToString::to_string).collect();
        let in_force = self.generation();
        if let Some(same) = in_force
            .clone()
            .filter(|g| g.policy.hash() == policy.hash() && store.holds(g))
        {
            store.republish(&same).map_err(|e| Rejection {
                reason: Reason::NotPersisted,
                report: format!("the account index and the keys cannot be published: {e}"),
            })?;
            return Ok(Applied {
                generation: same.number,
                policy: policy.hash().to_owned(),
                changed: false,
                scope: same.scope(),
                automation: same.automation(),
                agents: same.policy.agents(),
                warnings,
            });
        }
        let generation = store.publish(text, policy).inspect_err(|_| {
            // What others read must be the policy in force, whatever was half done.
            if let Some(Err(e)) = in_force.map(|same| store.republish(&same)) {
                complain(&format!(
                    "the account index and the keys are not those of the policy in force: {e}"
                ));
            }
        })?;
        let applied = Applied {
            generation: generation.number,
            policy: generation.policy.hash().to_owned(),
            changed: true,
            scope: generation.scope(),
            automation: generation.automation(),
            agents: generation.policy.agents(),
            warnings,
        };
        self.take_into_force(generation);
        self.note(
            Event::new(Kind::PolicyApplied)
                .success()
                .detail(&format!("generation {}", applied.generation)),
        );
        self.rejudge();
        Ok(applied)
    }

    pub(crate) fn status(&self) -> Reply {
        let generation = self.generation();
        Reply::Status(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            generation: generation.as_ref().map(|g| g.number),
            policy: generation.as_ref().map(|g| g.policy.hash().to_owned()),
            scope: generation.as_ref().map(|g| g.scope()).unwrap_or_default(),
            automation: generation
                .as_ref()
                .map(|g| g.automation())
                .unwrap_or_default(),
            agents: generation
                .as_ref()
                .map(|g| g.policy.agents())
                .unwrap_or_default(),
            sessions: u64::try_from(self.sessions().len()).unwrap_or(u64::MAX),
            sealing: Some(self.sealing()),
        })
    }

    /// The same decision that the guard would get, with its why.
    pub(crate) fn explain(&self, ask: &ExplainRequest) -> Reply {
        let Some(policy) = self.policy() else {
            return refused(Reason::NoRule, "no policy is in force; run: jumpctl apply");
        };
        let at = match ask.at_ms.map(Timestamp::from_millisecond) {
            None => self.now(),
            Some(Ok(at)) => at,
            Some(Err(e)) => return refused(Reason::Internal, e.to_string()),
        };
        let factors = match ask.mfa {
            Some(method) => vec![Some(method)],
            None => policy.factors(&ask.user),
        };
        let who = Subject {
            user: ask.user.clone(),
            groups: ask.groups.clone(),
            mfa: None,
        };
        let addresses = self.names.resolve(&ask.host);
        let listed = host_names(&policy)
            .any(|name| name.eq_ignore_ascii_case(ask.host.trim_end_matches('.')));
        let destinations: Vec<Destination> = if listed || addresses.is_empty() {
            vec![Destination::Name(ask.host.clone(), ask.port)]
        } else {
            addresses
                .iter()
                .map(|a| Destination::Address(*a, ask.port))
                .collect()
        };
        let sources = match ask.from {
            Some(from) => vec![from.to_canonical()],
            None => sources(&policy, &who),
        };
        let ask_with = |factors: &[Option<Method>], at| {
            let question =
                |(mfa, from): (Option<Method>, IpAddr), to: &Destination| match &ask.login {
                    Some(login) => policy.judge_hop(
                        &who.with(mfa),
                        from,
                        to,
                        Some(login),
                        None,
                        at,
                        self.names.as_ref(),
                    ),
                    None => self.decision(&policy, &who.with(mfa), from, to, ask.via, at),
                };
            let askers: Vec<_> = sources
                .iter()
                .flat_map(|from| factors.iter().map(|mfa| (*mfa, *from)))
                .collect();
            Combined::of(&askers, &destinations, question)
        };
        let ask_at = |at| ask_with(&factors, at);
        let Some(now) = ask_at(at) else {
            return refused(Reason::Internal, "nothing to decide");
        };
        // Of several parts, the first to change need not change the whole. After so many
        // steps it is said how far it was looked: until then the answer stays.
        let parts = sources.len() * factors.len() * destinations.len();
        let steps = if parts > 1 { MOST_QUESTIONS / parts } else { 0 };
        let mut changes = now.next;
        for _ in 0..steps {
            let Some(later) = changes.and_then(ask_at) else {
                break;
            };
            if !later.says_the_same_as(&now) {
                break;
            }
            changes = later.next;
        }
        let decision = now.decision;
        let mut with: Vec<Method> = Vec::new();
        if decision.is_allow() && factors.len() > 1 {
            let opens = |mfa: &Option<Method>| {
                ask_with(&[*mfa], at).is_some_and(|answer| answer.decision.is_allow())
            };
            with.extend(factors.iter().filter(|mfa| opens(mfa)).flatten());
        }
        if with.len() == factors.len() {
            with.clear();
        }
        Reply::Explained(Explanation {
            allowed: decision.is_allow(),
            reason: decision.reason(),
            rule: decision.rule().map(str::to_owned),
            record: matches!(decision, Decision::Allow { record: true, .. }),
            changes_ms: changes.and_then(milliseconds_up),
            addresses,
            policy: policy.hash().to_owned(),
            sentence: decision.sentence(policy.timezone()),
            mfa: with,
        })
    }

    /// One live session, with its connections.
    pub(crate) fn show_session(&self, id: &SessionId) -> Reply {
        self.look_at_flows(0);
        let sessions = self.sessions();
        let live = sessions
            .get(id)
            .filter(|s| s.opened && s.gone_since.is_none());
        let told = live.map(|session| SessionInfo {
            hops: session
                .hops
                .values()
                .map(|hop| hop.info(self.recorder.bytes_of(&hop.id)))
                .collect(),
            ..session.info(SHOWN_FLOWS)
        });
        Reply::Sessions {
            sessions: told.into_iter().collect(),
            more: false,
        }
    }

    /// Every live session, a page per message.
    pub(crate) fn list_sessions(&self, operator: &Channel) -> Result<(), ChannelError> {
        self.look_at_flows(0);
        let mut all: Vec<_> = self
            .sessions()
            .iter()
            .filter(|s| s.opened && s.gone_since.is_none())
            .map(|s| s.info(LISTED_FLOWS))
            .collect();
        all.sort_by_key(|s| s.opened_ms);
        let mut pages = all.chunks(PAGE).peekable();
        if pages.peek().is_none() {
            return operator.send(&Reply::Sessions {
                sessions: Vec::new(),
                more: false,
            });
        }
        while let Some(page) = pages.next() {
            operator.send(&Reply::Sessions {
                sessions: page.to_vec(),
                more: pages.peek().is_some(),
            })?;
        }
        Ok(())
    }
}

/// The answer for several second factors, sources and addresses: the best that any of the
/// askers gets, and of several addresses of a name the worst.
struct Combined {
    decision: Decision,
    /// When the first of the answers that it depends on changes.
    next: Option<Timestamp>,
}

impl Combined {
    fn of(
        askers: &[(Option<Method>, IpAddr)],
        destinations: &[Destination],
        ask: impl Fn((Option<Method>, IpAddr), &Destination) -> Decision,
    ) -> Option<Self> {
        let mut best: Option<Decision> = None;
        let mut next: Option<Timestamp> = None;
        for asker in askers {
            let mut worst = None;
            for to in destinations {
                let answer = ask(*asker, to);
                next = next.into_iter().chain(answer.until()).min();
                let denied = !answer.is_allow();
                worst = Some(answer);
                // What comes after it changes nothing as long as it stands; nor below.
                if denied {
                    break;
                }
            }
            if let Some(worst) = worst
                && best.as_ref().is_none_or(|best| rank(&worst) > rank(best))
            {
                best = Some(worst);
            }
            if best.as_ref().is_some_and(Decision::is_allow) {
                break;
            }
        }
        best.map(|decision| Self { decision, next })
    }

    fn says_the_same_as(&self, other: &Self) -> bool {
        let said = |d: &Decision| (d.is_allow(), d.reason(), d.rule().map(str::to_owned));
        said(&self.decision) == said(&other.decision)
    }
}

/// In milliseconds, rounded up: then it has changed, and a millisecond before it has not.
fn milliseconds_up(at: Timestamp) -> Option<i64> {
    let round = TimestampRound::new()
        .smallest(Unit::Millisecond)
        .mode(RoundMode::Ceil);
    at.round(round).ok().map(Timestamp::as_millisecond)
}

/// An allow is best; of denials, one that time can change.
fn rank(decision: &Decision) -> u8 {
    match decision {
        Decision::Allow { .. } => 2,
        Decision::Deny { opens: Some(_), .. } => 1,
        Decision::Deny { .. } => 0,
    }
}

/// One address of every part into which the networks of this user's rules cut all addresses.
fn sources(policy: &Arc<Policy>, who: &Subject) -> Vec<IpAddr> {
    let mut sources = ANYWHERE.to_vec();
    let nets = policy
        .rules_for(who)
        .filter_map(|rule| rule.from.as_ref())
        .flatten();
    for net in nets {
        // A part begins where a network begins, and behind its end.
        sources.push(net.network());
        sources.extend(behind(net.broadcast()));
    }
    sources.sort_unstable();
    sources.dedup();
    sources
}

fn behind(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4
            .to_bits()
            .checked_add(1)
            .map(Ipv4Addr::from_bits)
            .map(IpAddr::V4),
        IpAddr::V6(v6) => v6
            .to_bits()
            .checked_add(1)
            .map(Ipv6Addr::from_bits)
            .map(IpAddr::V6),
    }
}

/// The policy file.
pub(crate) fn policy_file() -> &'static Path {
    Path::new(paths::POLICY)
}
