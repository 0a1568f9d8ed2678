//! What the policy must not contradict: the accounts that local files have.
//!
//! A policy user with the name or uid of a local account would be that account
//! to every program on the host. So such a policy is refused as a whole.

use crate::model::Model;
use std::collections::BTreeMap;
use std::fmt;

/// Names and ids of the host's own `/etc/passwd` and `/etc/group`.
#[derive(Debug, Clone, Default)]
pub struct HostFacts {
    users: Names,
    groups: Names,
}

/// Names with their ids, both ways.
#[derive(Debug, Clone, Default)]
struct Names {
    by_name: BTreeMap<String, u32>,
    by_id: BTreeMap<u32, String>,
}

impl Names {
    /// The first and third field of each line of passwd(5) or group(5).
    fn read(text: &str) -> Self {
        let mut out = Self::default();
        for line in text.lines() {
            let mut fields = line.split(':');
            let Some(name) = fields.next().filter(|name| !name.is_empty()) else {
                continue;
            };
            let Some(Ok(id)) = fields.nth(1).map(|id| id.trim().parse()) else {
                continue;
            };
            out.by_name.entry(name.to_owned()).or_insert(id);
            out.by_id.entry(id).or_insert_with(|| name.to_owned());
        }
        out
    }

    fn conflicts(&self, kind: &str, file: &str, name: &str, id: u32, out: &mut Vec<Conflict>) {
        if self.by_name.contains_key(name) {
            out.push(Conflict(format!(
                "{kind} `{name}` of the policy is already in {file}; rename one of the two"
            )));
        } else if let Some(owner) = self.by_id.get(&id) {
            out.push(Conflict(format!(
                "{kind} `{name}` of the policy has id {id}, which {file} gives to `{owner}`; take another"
            )));
        }
    }
}

impl HostFacts {
    /// Reads the text of passwd(5) and group(5); lines that are neither are skipped.
    #[must_use]
    pub fn from_files(passwd: &str, group: &str) -> Self {
        Self {
            users: Names::read(passwd),
            groups: Names::read(group),
        }
    }
}

/// A name or id of the policy that the host has already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict(String);

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) fn conflicts(model: &Model, host: &HostFacts) -> Vec<Conflict> {
    let mut out = Vec::new();
    for user in model.users.values() {
        host.users
            .conflicts("user", "/etc/passwd", &user.name, user.uid, &mut out);
    }
    let own = std::iter::once((model.host_group.as_str(), model.host_gid));
    let groups = model.groups.values().map(|g| (g.name.as_str(), g.gid));
    for (name, gid) in own.chain(groups) {
        host.groups
            .conflicts("group", "/etc/group", name, gid, &mut out);
    }
    out
}
