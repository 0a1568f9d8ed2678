//! What only the whole text can tell: names that lead nowhere, ids given twice, users without a second factor that any source could use.

use super::{Kind, Places};
use crate::diagnostics::{Problems, quoted, suggestion};
use crate::model::{Effect, Model, Rule, Span, User};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(model: &Model, places: &Places, problems: &mut Problems) {
    names_lead_somewhere(model, places, problems);
    names_and_ids_are_given_once(model, places, problems);
    system_groups_are_of_the_system(model, places, problems);
    automation_is_bound_to_sources(model, problems);
}

fn names_lead_somewhere(model: &Model, places: &Places, problems: &mut Problems) {
    let rules: BTreeSet<&str> = model.rules.iter().map(|r| r.name.as_str()).collect();
    let foreign: BTreeSet<&str> = model
        .rules
        .iter()
        .flat_map(|rule| rule.system_groups.iter().map(String::as_str))
        .collect();
    for reference in &places.references {
        let name = reference.name.as_str();
        let exists = match reference.kind {
            Kind::User => model.users.contains_key(name),
            Kind::Group => model.groups.contains_key(name),
            Kind::AnyGroup => model.groups.contains_key(name) || foreign.contains(name),
            Kind::Target => model.targets.contains_key(name),
            Kind::Window => model.windows.contains_key(name),
            Kind::Rule => rules.contains(name),
        };
        if exists {
            continue;
        }
        let names: Vec<&str> = match reference.kind {
            Kind::User => model.users.keys().map(String::as_str).collect(),
            Kind::Group => model.groups.keys().map(String::as_str).collect(),
            Kind::AnyGroup => model
                .groups
                .keys()
                .map(String::as_str)
                .chain(foreign.iter().copied())
                .collect(),
            Kind::Target => model.targets.keys().map(String::as_str).collect(),
            Kind::Window => model.windows.keys().map(String::as_str).collect(),
            Kind::Rule => rules.iter().copied().collect(),
        };
        let noun = reference.kind.noun();
        let message = format!("there is no {noun} {}", quoted(name));
        let help = suggestion(name, names.iter().copied());
        match (reference.kind, help) {
            (Kind::Group, None) => problems.add_help(
                &reference.span,
                message,
                "add [groups.NAME] with a gid; groups of other sources go into `system_groups`",
            ),
            (Kind::AnyGroup, None) => problems.add_help(
                &reference.span,
                message,
                "name a group of [groups], or one that a rule has in `system_groups`",
            ),
            (_, Some(help)) => problems.add_help(&reference.span, message, help),
            (_, None) => problems.add(&reference.span, message),
        }
    }
}

/// Reports every id that an earlier entry of the file has already.
fn unique_ids<'m>(
    kind: &str,
    entries: impl Iterator<Item = (&'m str, u32, &'m Span)>,
    problems: &mut Problems,
) {
    let mut in_order: Vec<_> = entries.collect();
    in_order.sort_by_key(|(_, _, span)| span.start);
    let mut owners: BTreeMap<u32, &str> = BTreeMap::new();
    for (name, id, span) in in_order {
        // A faulty id was reported where it stands.
        if id == u32::MAX {
            continue;
        }
        match owners.get(&id) {
            Some(owner) => problems.add_help(
                span,
                format!("{kind} {id} is already that of `{owner}`"),
                "files and events would mix the two up; give each their own",
            ),
            None => {
                owners.insert(id, name);
            }
        }
    }
}

fn names_and_ids_are_given_once(model: &Model, places: &Places, problems: &mut Problems) {
    unique_ids(
        "uid",
        model.users.values().filter_map(|user| {
            let span = places.uids.get(&user.name)?;
            Some((user.name.as_str(), user.uid, span))
        }),
        problems,
    );
    let host = (model.host_group.as_str(), model.host_gid, &places.host);
    unique_ids(
        "gid",
        std::iter::once(host).chain(model.groups.values().filter_map(|group| {
            let span = places.gids.get(&group.name)?;
            Some((group.name.as_str(), group.gid, span))
        })),
        problems,
    );
    if let Some(group) = model.groups.get(&model.host_group) {
        problems.add_help(
            &group.span,
            format!(
                "{} is the primary group of every user already",
                quoted(&group.name)
            ),
            "give this group another name, or change `group` in [host]",
        );
    }
    let mut seen = BTreeSet::new();
    for rule in &model.rules {
        if !seen.insert(&rule.name) {
            problems.add_help(
                &rule.span,
                format!("there are two rules named {}", quoted(&rule.name)),
                "events name the rule that decided; give each its own name",
            );
        }
    }
}

fn system_groups_are_of_the_system(model: &Model, places: &Places, problems: &mut Problems) {
    for (name, span) in &places.system_groups {
        if model.groups.contains_key(name) {
            problems.add_help(
                span,
                format!("{} is a group of this policy", quoted(name)),
                "name it in `groups`",
            );
        } else if *name == model.host_group {
            problems.add_help(
                span,
                format!("{} is the group of every user of this policy", quoted(name)),
                "name the users or groups that are meant",
            );
        }
    }
}

/// Without a second factor, a stolen key is enough: then it must at least be used from a known place.
fn automation_is_bound_to_sources(model: &Model, problems: &mut Problems) {
    for user in model.users.values().filter(|user| user.is_automation()) {
        for rule in &model.rules {
            if rule.effect != Effect::Allow || !speaks_of(rule, user) {
                continue;
            }
            let message = match &rule.from {
                None => "needs `from`",
                Some(nets) if nets.iter().any(|net| net.prefix_len() == 0) => {
                    "needs a `from` that is less than every address"
                }
                Some(_) => continue,
            };
            problems.add_help(
                &rule.span,
                format!(
                    "rule {} {message}: it serves {}, who has mfa = \"none\"",
                    quoted(&rule.name),
                    quoted(&user.name)
                ),
                "add the source addresses of that user, e.g. from = [\"10.0.0.8/32\"]",
            );
        }
    }
}

/// Whether a rule speaks of a user of the policy by name or group.
pub(super) fn speaks_of(rule: &Rule, user: &User) -> bool {
    rule.users.contains(&user.name) || user.groups.iter().any(|group| rule.groups.contains(group))
}
