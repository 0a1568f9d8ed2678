//! A question with everything about it that time does not change.
//!
//! A [`Case`] holds the rules that could matter to one question. It answers for
//! any instant; the answer now, the instant at which it changes and the instant
//! at which it turns to yes all come from asking the same case.

use crate::decision::Decision;
use crate::model::{Model, Rule, User};
use crate::schedule;
use crate::window::Window;
use jiff::Timestamp;
use jump_proto::{Reason, Via};
use std::time::Duration;

/// When a rule applies.
#[derive(Debug, Clone)]
pub(super) struct Hours<'p>(Option<Vec<&'p Window>>);

impl<'p> Hours<'p> {
    pub(super) fn of(rule: &Rule, model: &'p Model) -> Self {
        Self(rule.windows.as_ref().map(|names| {
            names
                .iter()
                .filter_map(|name| model.windows.get(name))
                .collect()
        }))
    }

    pub(super) fn include(&self, at: Timestamp) -> bool {
        match &self.0 {
            None => true,
            Some(windows) => windows.iter().any(|window| window.is_open(at)),
        }
    }

    pub(super) fn windows(&self) -> impl Iterator<Item = &'p Window> + '_ {
        self.0.iter().flatten().copied()
    }
}

/// A deny rule that speaks of this user and source.
#[derive(Debug)]
pub(super) struct Denial<'p> {
    pub(super) rule: &'p Rule,
    pub(super) hours: Hours<'p>,
}

impl Denial<'_> {
    /// Whether it refuses the whole of a target this way.
    pub(super) fn covers(&self, target: &str, via: Via) -> bool {
        let all_of_it = match &self.rule.targets {
            None => true,
            Some(targets) => targets.iter().any(|name| name == target),
        };
        all_of_it && self.rule.via.contains(&via)
    }

    /// Whether it refuses everything.
    pub(super) fn covers_everything(&self) -> bool {
        self.rule.targets.is_none()
            && [Via::Forward, Via::Shell]
                .iter()
                .all(|via| self.rule.via.contains(via))
    }
}

/// How near an allow rule comes to granting, as far as time does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Target,
    Source,
    Via,
    Record,
    Login,
    Factor,
    Granted,
}

/// An allow rule that serves the user.
#[derive(Debug)]
pub(super) struct Grant<'p> {
    pub(super) rule: &'p Rule,
    pub(super) hours: Hours<'p>,
    pub(super) stage: Stage,
    /// The policy's name for the destination.
    pub(super) target: Option<String>,
    /// For each way the rule opens, the denials that close it; with all ways closed, the rule grants nothing.
    pub(super) ways: Vec<Vec<usize>>,
    /// When the rule is used up for the session that asks.
    pub(super) used_up: Option<Timestamp>,
}

/// An answer without its times, so that two answers can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer<'p> {
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
    pub(super) fn is_allow(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }
}

/// A question with everything about it that time does not change.
#[derive(Debug)]
pub(super) struct Case<'p> {
    pub(super) user: Option<&'p User>,
    /// The answer to a second factor that is not taken from this user, and to an address that nothing in the policy can grant.
    pub(super) refused: Option<Reason>,
    /// What is said when no rule comes near, if not [`Reason::NoRule`] or [`Reason::NoTarget`].
    pub(super) nothing_near: Option<Reason>,
    pub(super) denials: Vec<Denial<'p>>,
    /// Denials that refuse, whatever is granted.
    pub(super) outright: Vec<usize>,
    pub(super) grants: Vec<Grant<'p>>,
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
        if grant.stage == Stage::Login {
            return (5, denied(Reason::LoginName));
        }
        if grant.stage == Stage::Factor {
            return (6, denied(Reason::MfaMethod));
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
            return (7, answer);
        }
        if grant.used_up.is_some_and(|end| at >= end) {
            return (8, denied(Reason::MaxSession));
        }
        let answer = Answer::Allow {
            rule: &grant.rule.name,
            record: grant.rule.record,
            max_session: grant.rule.max_session,
            target: grant.target.as_deref(),
        };
        (9, answer)
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
        // What never changes hides other things: a first denial without windows
        // hides all, a grant without windows hides all but earlier full grants.
        let denied = self.refused.is_some()
            || self
                .outright
                .first()
                .and_then(|index| self.denials.get(*index))
                .is_some_and(|denial| denial.hours.0.is_none());
        let first_constant = self.grants.iter().position(|grant| {
            grant.stage == Stage::Granted
                && grant.hours.0.is_none()
                && grant.used_up.is_none()
                && grant.ways.iter().all(Vec::is_empty)
        });
        let (relevant, nearest) = match first_constant {
            Some(index) => (index, Stage::Granted),
            None => (self.grants.len(), Stage::Via),
        };
        let grants = self
            .grants
            .iter()
            .take(relevant)
            .filter(move |grant| grant.stage >= nearest)
            .flat_map(|grant| grant.hours.windows());
        let denials = self
            .denials
            .iter()
            .flat_map(|denial| denial.hours.windows());
        grants.chain(denials).filter(move |_| !denied)
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
pub(super) struct Question<'p>(pub(super) Vec<Case<'p>>);

impl<'p> Question<'p> {
    pub(super) fn answer(&self, at: Timestamp) -> Answer<'_> {
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

    /// The first instant after `after`, and not after `limit`, whose answer is of the kind looked for.
    pub(super) fn first(
        &self,
        after: Timestamp,
        limit: Timestamp,
        found: impl Fn(&Answer<'_>) -> bool,
    ) -> Option<Timestamp> {
        schedule::first(
            self.0.iter().flat_map(Case::windows),
            self.0.iter().flat_map(Case::instants),
            after,
            limit,
            |at| found(&self.answer(at)),
        )
    }

    pub(super) fn decide(&self, now: Timestamp) -> Decision {
        let answer = self.answer(now);
        let until = self.first(now, Timestamp::MAX, |later| *later != answer);
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
                    self.first(now, Timestamp::MAX, |later| later.is_allow())
                } else {
                    None
                },
            },
        }
    }
}
