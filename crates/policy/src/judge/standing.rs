//! The rules that matter to one user and source, and the cases that can be made of them.

use super::case::{Case, Denial, Grant, Hours, Stage};
use super::place::Place;
use super::{Way, speaks_of};
use crate::address::{canonical, special};
use crate::decision::Subject;
use crate::model::{Effect, Model, Rule, Target, User};
use jiff::Timestamp;
use jump_proto::{Method, Reason, Via};
use std::net::IpAddr;

/// The rules that matter to one user and source.
pub(super) struct Standing<'p> {
    pub(super) model: &'p Model,
    pub(super) user: Option<&'p User>,
    /// The login name.
    name: String,
    pub(super) source: IpAddr,
    /// The second factor that was given.
    pub(super) given: Option<Method>,
    pub(super) denials: Vec<Denial<'p>>,
    /// Allow rules that serve the user, from any source.
    pub(super) allowing: Vec<&'p Rule>,
}

impl<'p> Standing<'p> {
    /// `None`: the policy does not know this user at all.
    pub(super) fn of(model: &'p Model, who: &Subject, from: IpAddr) -> Option<Self> {
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
            name: who.user.clone(),
            source,
            given: who.mfa,
            denials,
            allowing,
        })
    }

    /// The answer to a second factor that is not, or no longer, taken from this user.
    pub(super) fn wrong_factor(&self) -> Option<Reason> {
        let taken = self.model.takes_from(self.user, self.given);
        (!taken).then_some(Reason::MfaMethod)
    }

    pub(super) fn targets<'r>(
        &self,
        rule: &'r Rule,
    ) -> impl Iterator<Item = &'p Target> + use<'p, 'r> {
        let model = self.model;
        rule.targets
            .iter()
            .flatten()
            .filter_map(move |name| model.targets.get(name))
    }

    /// Indices of the denials that refuse the whole of a target this way.
    pub(super) fn covering(&self, target: &str, via: Via) -> Vec<usize> {
        (0..)
            .zip(&self.denials)
            .filter(|(_, denial)| denial.covers(target, via))
            .map(|(index, _)| index)
            .collect()
    }

    /// The question of the login: anything, any way.
    pub(super) fn login(self, opened: Option<Timestamp>) -> Case<'p> {
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
                (true, false) if !rule.takes(self.given) => Stage::Factor,
                (true, false) => Stage::Granted,
            };
            grants.push(Grant {
                rule,
                hours: Hours::of(rule, self.model),
                stage,
                target: None,
                ways,
                used_up: used_up(rule, opened),
            });
        }
        let outright = (0..)
            .zip(&self.denials)
            .filter(|(_, denial)| denial.covers_everything())
            .map(|(index, _)| index)
            .collect();
        Case {
            user: self.user,
            refused: self.wrong_factor(),
            nothing_near: None,
            denials: self.denials,
            outright,
            grants,
        }
    }

    /// The question of one connection.
    pub(super) fn connection(
        self,
        place: &Place<'_>,
        way: Way<'_>,
        opened: Option<Timestamp>,
    ) -> Case<'p> {
        let via = way.via();
        let special = place
            .address
            .and_then(|address| special(address, place.names.is_own(address)));
        let listed = |address| self.model.targets.values().any(|t| t.lists(address));
        let refused = self
            .wrong_factor()
            .or_else(|| special.filter(|_| !place.address.is_some_and(listed)));
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
            } else if !gives(rule, way, &self.name) {
                Stage::Login
            } else if !rule.takes(self.given) {
                Stage::Factor
            } else {
                Stage::Granted
            };
            grants.push(Grant {
                rule,
                hours: Hours::of(rule, self.model),
                stage,
                target: found,
                ways: Vec::new(),
                used_up: used_up(rule, opened),
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

/// Whether a rule gives `user` the login name that a hop asks for.
fn gives(rule: &Rule, way: Way<'_>, user: &str) -> bool {
    match way {
        Way::Hop(Some(login)) => rule.logins(user).contains(&login),
        Way::Hop(None) | Way::Plain(_) => true,
    }
}

/// When a session opened at `opened` has used this rule up.
fn used_up(rule: &Rule, opened: Option<Timestamp>) -> Option<Timestamp> {
    opened?.checked_add(rule.max_session?).ok()
}
