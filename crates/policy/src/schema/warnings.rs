//! What is valid and probably not meant.

use super::references::speaks_of;
use crate::diagnostics::{Problems, quoted};
use crate::model::{Effect, HostPattern, Model};
use std::collections::BTreeMap;

pub(super) fn collect(model: &Model, remarks: &mut Problems) {
    users(model, remarks);
    rules(model, remarks);
    targets(model, remarks);
    windows(model, remarks);
}

fn users(model: &Model, remarks: &mut Problems) {
    let mut key_owners: BTreeMap<&str, &str> = BTreeMap::new();
    for user in model.users.values() {
        if user.is_automation() {
            remarks.add_help(
                &user.span,
                format!("{} logs in without a second factor", quoted(&user.name)),
                "keep this to automation, and its sources narrow",
            );
        }
        // Memberships in groups of other sources are not known here.
        let served = model.rules.iter().any(|rule| {
            rule.effect == Effect::Allow
                && (speaks_of(rule, user) || !rule.system_groups.is_empty())
        });
        if !served {
            remarks.add_help(
                &user.span,
                format!("no rule grants {} anything", quoted(&user.name)),
                "name the user or one of their groups in a rule",
            );
        }
        for key in &user.keys {
            if let Some(owner) = key_owners.insert(key.fingerprint(), &user.name) {
                remarks.add_help(
                    &user.span,
                    format!(
                        "{} and {} have the same key {}",
                        quoted(owner),
                        quoted(&user.name),
                        key.fingerprint()
                    ),
                    "one person per key, or events cannot tell them apart",
                );
            }
        }
    }
}

fn rules(model: &Model, remarks: &mut Problems) {
    for rule in &model.rules {
        let nobody = !model.users.values().any(|user| speaks_of(rule, user));
        if rule.system_groups.is_empty() && nobody {
            let help = if rule.users.is_empty() && rule.groups.is_empty() {
                "a rule without `users`, `groups` and `system_groups` speaks of nobody, never of everybody"
            } else {
                "none of its groups has a member"
            };
            remarks.add_help(
                &rule.span,
                format!("rule {} never matches anybody", quoted(&rule.name)),
                help,
            );
        }
    }
}

fn targets(model: &Model, remarks: &mut Problems) {
    for target in model.targets.values() {
        let used = model.rules.iter().any(|rule| {
            rule.targets
                .as_ref()
                .is_some_and(|targets| targets.contains(&target.name))
        });
        if !used {
            remarks.add(
                &target.span,
                format!("no rule speaks of target {}", quoted(&target.name)),
            );
        }
        let everything = target
            .hosts
            .iter()
            .any(|host| matches!(host, HostPattern::Net(net) if net.prefix_len() == 0));
        if everything {
            remarks.add_help(
                &target.span,
                format!("target {} is every address there is", quoted(&target.name)),
                "the bastion's own, loopback and link-local addresses stay refused all the same",
            );
        }
    }
}

fn windows(model: &Model, remarks: &mut Problems) {
    for window in model.windows.values() {
        let used = model.rules.iter().any(|rule| {
            rule.windows
                .as_ref()
                .is_some_and(|windows| windows.contains(&window.name))
        });
        if !used {
            remarks.add(
                &window.span,
                format!("no rule uses window {}", quoted(&window.name)),
            );
        }
    }
}
