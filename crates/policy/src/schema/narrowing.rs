//! Whether what `mfa` of users, groups and rules leaves of `[mfa] methods` lets anybody in.
//!
//! What a list leaves is the intersection. Nothing left is a fault where the
//! text alone says so: of a user, a group, a rule. A rule that some of those
//! it speaks of can never use is only remarked upon.

use super::references::speaks_of;
use crate::diagnostics::{Problems, quoted};
use crate::model::{Model, Rule, User, UserMfa};
use jump_proto::Method;
use std::collections::BTreeSet;

/// `totp and recovery`.
fn words(methods: &BTreeSet<Method>) -> String {
    let words: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

pub(super) fn check(model: &Model, problems: &mut Problems) {
    let all = &model.mfa.methods;
    // What is faulty in [mfa] was reported there.
    if all.is_empty() {
        return;
    }
    let nothing_left = |own: &Option<BTreeSet<Method>>| {
        own.as_ref()
            .is_some_and(|own| !own.is_empty() && own.is_disjoint(all))
    };
    for group in model.groups.values().filter(|g| nothing_left(&g.mfa)) {
        problems.add_help(
            &group.span,
            format!(
                "no second factor is left for members of {}: [mfa] takes {}",
                quoted(&group.name),
                words(all)
            ),
            "add one of these to its `mfa`, or extend `methods` in [mfa]",
        );
    }
    for rule in model.rules.iter().filter(|rule| nothing_left(&rule.mfa)) {
        problems.add_help(
            &rule.span,
            format!(
                "rule {} can serve nobody: its second factors are none of [mfa], which takes {}",
                quoted(&rule.name),
                words(all)
            ),
            "add one of these to its `mfa`, or extend `methods` in [mfa]",
        );
    }
    for user in model.users.values() {
        user_has_one_left(model, user, problems);
    }
}

fn user_has_one_left(model: &Model, user: &User, problems: &mut Problems) {
    let groups = || user.groups.iter().filter_map(|name| model.groups.get(name));
    if user.is_automation() {
        for group in groups().filter(|group| group.mfa.is_some()) {
            problems.add_help(
                &user.span,
                format!(
                    "{} has mfa = \"none\", and is in group {}, which asks for a second factor",
                    quoted(&user.name),
                    quoted(&group.name)
                ),
                "take the user out of the group, or remove `mfa` from one of the two",
            );
        }
        return;
    }
    // A list of faulty words, or a group that has none left itself, was reported where it stands.
    let all = &model.mfa.methods;
    let told = matches!(&user.mfa, Some(UserMfa::OneOf(own)) if own.is_empty())
        || groups()
            .filter_map(|group| group.mfa.as_ref())
            .any(|own| own.is_disjoint(all));
    if !told && model.methods_of(Some(user)).is_empty() {
        problems.add_help(
            &user.span,
            format!(
                "no second factor is left for {}: [mfa], the user's `mfa` and that of their groups have none in common",
                quoted(&user.name)
            ),
            format!("[mfa] takes {}", words(all)),
        );
    }
}

pub(super) fn remark(model: &Model, remarks: &mut Problems) {
    for user in model.users.values() {
        let methods = model.methods_of(Some(user));
        let key_only = methods.iter().eq([&Method::SecurityKey]);
        if key_only && !user.keys.iter().any(|key| key.is_security_key()) {
            remarks.add_help(
                &user.span,
                format!(
                    "{} cannot log in: the second factor is security-key, and none of the keys is one",
                    quoted(&user.name)
                ),
                "add a key made by `ssh-keygen -t ed25519-sk`",
            );
        }
    }
    for rule in &model.rules {
        let Some(asked) = &rule.mfa else { continue };
        let unserved: Vec<&str> = model
            .users
            .values()
            .filter(|user| speaks_of(rule, user) && !serves(rule, model, user))
            .map(|user| user.name.as_str())
            .collect();
        if !unserved.is_empty() {
            remarks.add_help(
                &rule.span,
                format!(
                    "rule {} never serves {}: it asks for {}, which is not taken from them",
                    quoted(&rule.name),
                    unserved.join(", "),
                    words(asked)
                ),
                "extend its `mfa`, or that of the users or their groups",
            );
        }
    }
}

fn serves(rule: &Rule, model: &Model, user: &User) -> bool {
    let mut factors = model.factors_of(Some(user)).into_iter();
    factors.any(|given| rule.takes(given))
}
