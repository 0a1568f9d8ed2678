//! The decision.
//!
//! A question is first reduced to a [`Case`](case::Case): the rules that could
//! matter to it, with everything about them that time does not change. Who
//! asks and from where gives the [`Standing`]; where to gives the [`Place`].

mod case;
mod place;
mod standing;

use crate::address::{canonical, special};
use crate::decision::{Decision, Destination, Names, Reach, Subject};
use crate::model::{Model, Rule, Target, User};
use crate::schedule;
use case::{Answer, Hours, Question};
use jiff::Timestamp;
use jump_proto::{Reason, Via};
use place::{Place, Snapshot};
use standing::Standing;
use std::net::IpAddr;

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

/// The target of a rule that has this place; of several, one whose host keys the policy gives.
pub(crate) fn target_of<'p>(
    model: &'p Model,
    rule: &Rule,
    address: IpAddr,
    port: u16,
    names: &dyn Names,
) -> Option<&'p Target> {
    let names = &Snapshot::new(names);
    let address = canonical(address);
    let place = Place {
        address: Some(address),
        asked: None,
        port,
        names,
    };
    let literally = special(address, names.is_own(address)).is_some();
    let targets = rule.targets.iter().flatten();
    let mut found = targets
        .filter_map(|name| model.targets.get(name))
        .filter(|target| place.found_in(target, literally).is_some())
        .peekable();
    let first = found.peek().copied();
    found.find(|target| target.knows_hosts()).or(first)
}

/// How a connection leaves the bastion, as far as rules tell it apart.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way<'a> {
    /// A connection of the user's own program.
    Plain(Via),
    /// A hop of the restricted shell's, with this login name at the target, or with any.
    Hop(Option<&'a str>),
}

impl Way<'_> {
    pub(crate) fn via(self) -> Via {
        match self {
            Self::Plain(via) => via,
            Self::Hop(_) => Via::Shell,
        }
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

#[expect(clippy::too_many_arguments, reason = "each is part of the question")]
pub(crate) fn judge(
    model: &Model,
    who: &Subject,
    from: IpAddr,
    to: &Destination,
    way: Way<'_>,
    opened: Option<Timestamp>,
    now: Timestamp,
    names: &dyn Names,
) -> Decision {
    let names = &Snapshot::new(names);
    let (asked, addresses, port) = match to {
        Destination::Address(address, port) => (None, vec![canonical(*address)], *port),
        Destination::Name(name, port) => {
            let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            match name.parse::<IpAddr>() {
                Ok(address) => (None, vec![canonical(address)], *port),
                Err(_) => {
                    let known = names.addresses(&name);
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
        cases.push(standing.connection(&place, way, opened));
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
    let longest = opened
        .checked_add(model.session.max)
        .ok()
        .map(|at| (at.max(now), Reason::MaxSession));
    let limit = longest.map_or(Timestamp::MAX, |(at, _)| at);
    let refused_at = if question.answer(now).is_allow() {
        question.first(now, limit, |later| !later.is_allow())
    } else {
        Some(now)
    };
    let refused = refused_at.map(|at| (at, ending(&question.answer(at))));
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
    if standing.wrong_factor().is_some() {
        return out;
    }
    for rule in &standing.allowing {
        if !rule.from_matches(standing.source) || !rule.takes(standing.given) {
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
    let until = schedule::first(windows, instants, now, Timestamp::MAX, |at| open(at) != via);
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
