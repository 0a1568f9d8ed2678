//! The decision.
//!
//! A question is first reduced to a [`Case`]: the rules that could matter to
//! it, with everything about them that time does not change. A case answers
//! for any instant; the answer now, the instant at which it changes and the
//! instant at which it turns to yes all come from asking the same case.

use crate::address::{canonical, special};
use crate::decision::{Decision, Destination, Names, Reach, Subject};
use crate::model::{Effect, HostPattern, Model, Rule, Target, User};
use crate::schedule;
use crate::window::Window;
use jiff::Timestamp;
use jump_proto::{Reason, Via};
use std::net::IpAddr;
use std::time::Duration;

/// When a rule applies.
#[derive(Debug, Clone)]
struct Hours<'p>(Option<Vec<&'p Window>>);

impl<'p> Hours<'p> {
    fn of(rule: &Rule, model: &'p Model) -> Self {
        Self(rule.windows.as_ref().map(|names| {
            names
                .iter()
                .filter_map(|name| model.windows.get(name))
                .collect()
        }))
    }

    fn include(&self, at: Timestamp) -> bool {
        match &self.0 {
            None => true,
            Some(windows) => windows.iter().any(|window| window.is_open(at)),
        }
    }

    fn windows(&self) -> impl Iterator<Item = &'p Window> + '_ {
        self.0.iter().flatten().copied()
    }
}

/// A deny rule that speaks of this user and source.
#[derive(Debug)]
struct Denial<'p> {
    rule: &'p Rule,
    hours: Hours<'p>,
}

impl Denial<'_> {
    /// Whether it refuses the whole of a target this way.
    fn covers(&self, target: &str, via: Via) -> bool {
        let all_of_it = match &self.rule.targets {
            None => true,
            Some(targets) => targets.iter().any(|name| name == target),
        };
        all_of_it && self.rule.via.contains(&via)
    }

    /// Whether it refuses everything.
    fn covers_everything(&self) -> bool {
        self.rule.targets.is_none()
            && [Via::Forward, Via::Shell]
                .iter()
                .all(|via| self.rule.via.contains(via))
    }
}

/// How near an allow rule comes to granting, as far as time does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Target,
    Source,
    Via,
    Record,
    Granted,
}

/// An allow rule that serves the user.
#[derive(Debug)]
struct Grant<'p> {
    rule: &'p Rule,
    hours: Hours<'p>,
    stage: Stage,
    /// The policy's name for the destination.
    target: Option<String>,
    /// For each way the rule opens, the denials that close it; with all ways closed, the rule grants nothing.
    ways: Vec<Vec<usize>>,
    /// When the rule is used up for the session that asks.
    used_up: Option<Timestamp>,
}

/// An answer without its times, so that two answers can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer<'p> {
    Allow {
        rule: &'p str,
        record: bool,
        max_session: Option<Duration>,
        target: Option<&'p str>,
    },
    Deny {
        reason: Reason,
        rule: Option<&'p str>,
    },
}

impl Answer<'_> {
    fn is_allow(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }
}

/// A question with everything about it that time does not change.
#[derive(Debug)]
struct Case<'p> {
    user: Option<&'p User>,
    /// The answer to an address that nothing in the policy can grant.
    refused: Option<Reason>,
    /// What is said when no rule comes near, if not [`Reason::NoRule`] or [`Reason::NoTarget`].
    nothing_near: Option<Reason>,
    denials: Vec<Denial<'p>>,
    /// Denials that refuse, whatever is granted.
    outright: Vec<usize>,
    grants: Vec<Grant<'p>>,
}

impl<'p> Case<'p> {
    fn deny(reason: Reason) -> Answer<'p> {
        Answer::Deny { reason, rule: None }
    }

    /// The answer at an instant.
    fn answer(&self, at: Timestamp) -> Answer<'_> {
        if let Some(user) = self.user {
            if user.valid_from.is_some_and(|from| at < from) {
                return Self::deny(Reason::NotYetValid);
            }
            if user.valid_until.is_some_and(|until| at >= until) {
                return Self::deny(Reason::Expired);
            }
        }
        if let Some(reason) = self.refused {
            return Self::deny(reason);
        }
        if let Some(rule) = self.first_in_force(&self.outright, at) {
            return Answer::Deny {
                reason: Reason::RuleDeny,
                rule: Some(&rule.name),
            };
        }
        let mut nearest: Option<(u8, Answer<'_>)> = None;
        for grant in &self.grants {
            let (near, answer) = self.grant_answer(grant, at);
            if answer.is_allow() {
                return answer;
            }
            if nearest.as_ref().is_none_or(|(best, _)| near > *best) {
                nearest = Some((near, answer));
            }
        }
        match nearest {
            None => Self::deny(self.nothing_near.unwrap_or(Reason::NoRule)),
            Some((0, _)) => Self::deny(self.nothing_near.unwrap_or(Reason::NoTarget)),
            Some((_, answer)) => answer,
        }
    }

    /// What one allow rule says at an instant, and how near that is to a yes.
    fn grant_answer<'c>(&'c self, grant: &'c Grant<'p>, at: Timestamp) -> (u8, Answer<'c>) {
        let denied = |reason| Answer::Deny {
            reason,
            rule: Some(&grant.rule.name),
        };
        if grant.stage == Stage::Target {
            return (0, denied(Reason::NoTarget));
        }
        if grant.stage == Stage::Source {
            return (1, denied(Reason::SourceAddress));
        }
        if !grant.hours.include(at) {
            return (2, denied(Reason::OutsideWindow));
        }
        if grant.stage == Stage::Via {
            return (3, denied(Reason::WrongVia));
        }
        if grant.stage == Stage::Record {
            return (4, denied(Reason::RecordRequired));
        }
        let mut closed_by = None;
        for way in &grant.ways {
            match self.first_in_force(way, at) {
                None => {
                    closed_by = None;
                    break;
                }
                Some(rule) => closed_by = closed_by.or(Some(rule)),
            }
        }
        if let Some(rule) = closed_by {
            let answer = Answer::Deny {
                reason: Reason::RuleDeny,
                rule: Some(&rule.name),
            };
            return (5, answer);
        }
        if grant.used_up.is_some_and(|end| at >= end) {
            return (6, denied(Reason::MaxSession));
        }
        let answer = Answer::Allow {
            rule: &grant.rule.name,
            record: grant.rule.record,
            max_session: grant.rule.max_session,
            target: grant.target.as_deref(),
        };
        (7, answer)
    }

    fn first_in_force(&self, denials: &[usize], at: Timestamp) -> Option<&'p Rule> {
        denials
            .iter()
            .filter_map(|index| self.denials.get(*index))
            .find(|denial| denial.hours.include(at))
            .map(|denial| denial.rule)
    }

    /// Windows on which the answer may depend.
    fn windows(&self) -> impl Iterator<Item = &'p Window> + '_ {
        let grants = self
            .grants
            .iter()
            .filter(|grant| grant.stage > Stage::Source)
            .flat_map(|grant| grant.hours.windows());
        let denials = self
            .denials
            .iter()
            .flat_map(|denial| denial.hours.windows());
        grants.chain(denials)
    }

    /// Fixed instants on which the answer may depend.
    fn instants(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let user = self
            .user
            .into_iter()
            .flat_map(|user| user.valid_from.into_iter().chain(user.valid_until));
        user.chain(self.grants.iter().filter_map(|grant| grant.used_up))
    }

    /// Whether some instant could bring a yes.
    fn could_open(&self) -> bool {
        self.refused.is_none()
            && self
                .grants
                .iter()
                .any(|grant| grant.stage == Stage::Granted)
    }
}

/// Several cases that must all say yes: the addresses of one name.
struct Question<'p>(Vec<Case<'p>>);

impl<'p> Question<'p> {
    fn answer(&self, at: Timestamp) -> Answer<'_> {
        let mut first = None;
        for case in &self.0 {
            let answer = case.answer(at);
            if !answer.is_allow() {
                return answer;
            }
            first = first.or(Some(answer));
        }
        first.unwrap_or(Answer::Deny {
            reason: Reason::NoTarget,
            rule: None,
        })
    }

    fn first(&self, after: Timestamp, found: impl Fn(&Answer<'_>) -> bool) -> Option<Timestamp> {
        schedule::first(
            self.0.iter().flat_map(Case::windows),
            self.0.iter().flat_map(Case::instants),
            after,
            |at| found(&self.answer(at)),
        )
    }

    fn decide(&self, now: Timestamp) -> Decision {
        let answer = self.answer(now);
        let until = self.first(now, |later| *later != answer);
        match answer {
            Answer::Allow {
                rule,
                record,
                max_session,
                target,
            } => Decision::Allow {
                rule: rule.to_owned(),
                until,
                record,
                max_session,
                target: target.map(str::to_owned),
            },
            Answer::Deny { reason, rule } => Decision::Deny {
                reason,
                rule: rule.map(str::to_owned),
                until,
                opens: if self.0.iter().all(Case::could_open) {
                    self.first(now, |later| later.is_allow())
                } else {
                    None
                },
            },
        }
    }
}

/// Whether a rule speaks of this user.
pub(crate) fn speaks_of(rule: &Rule, who: &Subject, user: Option<&User>) -> bool {
    let by_policy = user.is_some_and(|user| {
        rule.users.contains(&user.name)
            || user.groups.iter().any(|group| rule.groups.contains(group))
    });
    by_policy
        || who
            .groups
            .iter()
            .any(|group| rule.system_groups.contains(group))
}

/// The rules that matter to one user and source.
struct Standing<'p> {
    model: &'p Model,
    user: Option<&'p User>,
    source: IpAddr,
    denials: Vec<Denial<'p>>,
    /// Allow rules that serve the user, from any source.
    allowing: Vec<&'p Rule>,
}

impl<'p> Standing<'p> {
    /// `None`: the policy does not know this user at all.
    fn of(model: &'p Model, who: &Subject, from: IpAddr) -> Option<Self> {
        let user = model.users.get(&who.user);
        let source = canonical(from);
        let mut known = user.is_some();
        let mut denials = Vec::new();
        let mut allowing = Vec::new();
        for rule in &model.rules {
            if !speaks_of(rule, who, user) {
                continue;
            }
            known = true;
            match rule.effect {
                Effect::Deny if rule.from_matches(source) => denials.push(Denial {
                    rule,
                    hours: Hours::of(rule, model),
                }),
                Effect::Deny => {}
                // The schema sees to it for users and groups; a membership elsewhere is only known here.
                Effect::Allow if rule.from.is_none() && user.is_some_and(User::is_automation) => {}
                Effect::Allow => allowing.push(rule),
            }
        }
        known.then_some(Self {
            model,
            user,
            source,
            denials,
            allowing,
        })
    }

    fn targets<'r>(&self, rule: &'r Rule) -> impl Iterator<Item = &'p Target> + use<'p, 'r> {
        let model = self.model;
        rule.targets
            .iter()
            .flatten()
            .filter_map(move |name| model.targets.get(name))
    }

    /// Indices of the denials that refuse the whole of a target this way.
    fn covering(&self, target: &str, via: Via) -> Vec<usize> {
        (0..)
            .zip(&self.denials)
            .filter(|(_, denial)| denial.covers(target, via))
            .map(|(index, _)| index)
            .collect()
    }

    /// The question of the login: anything, any way.
    fn login(self, opened: Option<Timestamp>) -> Case<'p> {
        let mut grants = Vec::new();
        for rule in &self.allowing {
            let mut ways = Vec::new();
            for target in self.targets(rule) {
                for via in rule.ways() {
                    ways.push(self.covering(&target.name, via));
                }
            }
            let stage = match (rule.from_matches(self.source), ways.is_empty()) {
                (false, _) => Stage::Source,
                (true, true) => Stage::Target,
                (true, false) => Stage::Granted,
            };
            let used_up = match (opened, rule.max_session) {
                (Some(opened), Some(max)) => opened.checked_add(max).ok(),
                _ => None,
            };
            grants.push(Grant {
                rule,
                hours: Hours::of(rule, self.model),
                stage,
                target: None,
                ways,
                used_up,
            });
        }
        let outright = (0..)
            .zip(&self.denials)
            .filter(|(_, denial)| denial.covers_everything())
            .map(|(index, _)| index)
            .collect();
        Case {
            user: self.user,
            refused: None,
            nothing_near: None,
            denials: self.denials,
            outright,
            grants,
        }
    }

    /// The question of one connection.
    fn connection(self, place: &Place<'_>, via: Via) -> Case<'p> {
        let special = place
            .address
            .and_then(|address| special(address, place.names.is_own(address)));
        let listed = |address| self.model.targets.values().any(|t| t.lists(address));
        let refused = special.filter(|_| !place.address.is_some_and(listed));
        let mut denials = self.denials;
        denials.retain(|denial| {
            denial.rule.via.contains(&via)
                && match &denial.rule.targets {
                    None => true,
                    Some(names) => names
                        .iter()
                        .filter_map(|name| self.model.targets.get(name))
                        .any(|target| place.is_barred_by(target)),
                }
        });
        let mut grants = Vec::new();
        for rule in &self.allowing {
            let found = rule
                .targets
                .iter()
                .flatten()
                .filter_map(|name| self.model.targets.get(name))
                .find_map(|target| place.found_in(target, special.is_some()));
            let stage = if found.is_none() {
                Stage::Target
            } else if !rule.from_matches(self.source) {
                Stage::Source
            } else if !rule.via.contains(&via) {
                Stage::Via
            } else if rule.record && via == Via::Forward {
                Stage::Record
            } else {
                Stage::Granted
            };
            grants.push(Grant {
                rule,
                hours: Hours::of(rule, self.model),
                stage,
                target: found,
                ways: Vec::new(),
                used_up: None,
            });
        }
        Case {
            user: self.user,
            refused,
            nothing_near: special,
            outright: (0..denials.len()).collect(),
            denials,
            grants,
        }
    }
}

/// A destination as rules see it.
struct Place<'n> {
    /// Canonical; absent for a name that has no address.
    address: Option<IpAddr>,
    /// The name that was asked for, lower case, without a trailing dot.
    asked: Option<&'n str>,
    port: u16,
    names: &'n dyn Names,
}

impl Place<'_> {
    /// Whether a host name of the policy stands for this place.
    fn is_named(&self, name: &str) -> bool {
        match self.address {
            None => self.asked == Some(name),
            Some(address) => self.has(name, address),
        }
    }

    fn has(&self, name: &str, address: IpAddr) -> bool {
        self.names
            .addresses(name)
            .into_iter()
            .any(|known| canonical(known) == address)
    }

    fn is_in(&self, pattern: &HostPattern) -> bool {
        match pattern {
            HostPattern::Name(name) => self.is_named(name),
            HostPattern::Address(address) => self.address == Some(*address),
            HostPattern::Net(net) => self.address.is_some_and(|address| net.contains(&address)),
        }
    }

    /// The policy's name for this place, if the target has it. `literally`: no network and no name counts.
    fn found_in(&self, target: &Target, literally: bool) -> Option<String> {
        if !target.has_port(self.port) {
            return None;
        }
        if literally {
            let listed = self.address.is_some_and(|address| target.lists(address));
            return listed.then(|| target.name.clone());
        }
        let names = || {
            target.hosts.iter().filter_map(|host| match host {
                HostPattern::Name(name) => Some(name.as_str()),
                HostPattern::Address(_) | HostPattern::Net(_) => None,
            })
        };
        let asked = names().find(|name| self.asked == Some(name) && self.is_named(name));
        if let Some(name) = asked.or_else(|| names().find(|name| self.is_named(name))) {
            return Some(name.to_owned());
        }
        target
            .hosts
            .iter()
            .any(|host| self.is_in(host))
            .then(|| target.name.clone())
    }

    /// Whether a deny rule's target may mean this place. A name that cannot be
    /// resolved may mean any: a resolver that is down must not open what is denied.
    fn is_barred_by(&self, target: &Target) -> bool {
        target.has_port(self.port)
            && target.hosts.iter().any(|host| {
                let unresolved = match host {
                    HostPattern::Name(name) => {
                        self.names.resolves() && self.names.addresses(name).is_empty()
                    }
                    HostPattern::Address(_) | HostPattern::Net(_) => false,
                };
                unresolved || self.is_in(host)
            })
    }
}

fn unknown() -> Decision {
    Decision::Deny {
        reason: Reason::UnknownUser,
        rule: None,
        until: None,
        opens: None,
    }
}

pub(crate) fn judge(
    model: &Model,
    who: &Subject,
    from: IpAddr,
    to: &Destination,
    via: Via,
    now: Timestamp,
    names: &dyn Names,
) -> Decision {
    let (asked, addresses, port) = match to {
        Destination::Address(address, port) => (None, vec![canonical(*address)], *port),
        Destination::Name(name, port) => {
            let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            match name.parse::<IpAddr>() {
                Ok(address) => (None, vec![canonical(address)], *port),
                Err(_) => {
                    let known = names.addresses(&name).into_iter().map(canonical).collect();
                    (Some(name), known, *port)
                }
            }
        }
    };
    let places: Vec<Option<IpAddr>> = if addresses.is_empty() {
        vec![None]
    } else {
        addresses.into_iter().map(Some).collect()
    };
    let mut cases = Vec::new();
    for address in places {
        let Some(standing) = Standing::of(model, who, from) else {
            return unknown();
        };
        let place = Place {
            address,
            asked: asked.as_deref(),
            port,
            names,
        };
        cases.push(standing.connection(&place, via));
    }
    Question(cases).decide(now)
}

pub(crate) fn admit(model: &Model, who: &Subject, from: IpAddr, now: Timestamp) -> Decision {
    match Standing::of(model, who, from) {
        None => unknown(),
        Some(standing) => Question(vec![standing.login(None)]).decide(now),
    }
}

pub(crate) fn session_end(
    model: &Model,
    who: &Subject,
    from: IpAddr,
    opened: Timestamp,
    now: Timestamp,
) -> Option<(Timestamp, Reason)> {
    let Some(standing) = Standing::of(model, who, from) else {
        return Some((now, Reason::PolicyChanged));
    };
    let question = Question(vec![standing.login(Some(opened))]);
    let refused_at = if question.answer(now).is_allow() {
        question.first(now, |later| !later.is_allow())
    } else {
        Some(now)
    };
    let refused = refused_at.map(|at| (at, ending(&question.answer(at))));
    let longest = opened
        .checked_add(model.session.max)
        .ok()
        .map(|at| (at.max(now), Reason::MaxSession));
    // With both at the same instant, the reason that the policy's rules give says more.
    refused.into_iter().chain(longest).min_by_key(|(at, _)| *at)
}

/// Why a session ends when the login would no longer be admitted.
fn ending(answer: &Answer<'_>) -> Reason {
    match answer {
        Answer::Deny { reason, .. } => match reason {
            Reason::OutsideWindow => Reason::WindowClosed,
            Reason::Expired | Reason::RuleDeny | Reason::MaxSession => *reason,
            _ => Reason::PolicyChanged,
        },
        Answer::Allow { .. } => Reason::PolicyChanged,
    }
}

pub(crate) fn reach(model: &Model, who: &Subject, from: IpAddr, now: Timestamp) -> Vec<Reach> {
    let Some(standing) = Standing::of(model, who, from) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for rule in &standing.allowing {
        if !rule.from_matches(standing.source) {
            continue;
        }
        for target in standing.targets(rule) {
            out.extend(reach_by(&standing, rule, target, now));
        }
    }
    out
}

/// What one rule opens of one target now, if anything.
fn reach_by(
    standing: &Standing<'_>,
    rule: &Rule,
    target: &Target,
    now: Timestamp,
) -> Option<Reach> {
    let hours = Hours::of(rule, standing.model);
    let ways: Vec<(Via, Vec<usize>)> = rule
        .ways()
        .map(|via| (via, standing.covering(&target.name, via)))
        .collect();
    let open = |at: Timestamp| -> Vec<Via> {
        let valid = standing.user.is_none_or(|user| {
            user.valid_from.is_none_or(|from| from <= at)
                && user.valid_until.is_none_or(|until| at < until)
        });
        if !valid || !hours.include(at) {
            return Vec::new();
        }
        let closed = |denials: &[usize]| {
            denials
                .iter()
                .filter_map(|index| standing.denials.get(*index))
                .any(|denial| denial.hours.include(at))
        };
        ways.iter()
            .filter(|(_, denials)| !closed(denials))
            .map(|(via, _)| *via)
            .collect()
    };
    let via = open(now);
    if via.is_empty() {
        return None;
    }
    let denials = ways
        .iter()
        .flat_map(|(_, denials)| denials)
        .filter_map(|index| standing.denials.get(*index));
    let windows = hours
        .windows()
        .chain(denials.flat_map(|denial| denial.hours.windows()));
    let instants = standing
        .user
        .into_iter()
        .filter_map(|user| user.valid_until);
    let until = schedule::first(windows, instants, now, |at| open(at) != via);
    Some(Reach {
        target: target.name.clone(),
        hosts: target.hosts.iter().map(ToString::to_string).collect(),
        ports: target.ports.iter().map(ToString::to_string).collect(),
        rule: rule.name.clone(),
        via,
        record: rule.record,
        until,
    })
}
