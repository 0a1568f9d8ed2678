//! What the policy must not contradict: the accounts that local files have.

use std::fmt;

/// Names and ids of the host's own `/etc/passwd` and `/etc/group`.
#[derive(Debug, Clone, Default)]
pub struct HostFacts {
    pub(crate) users: Vec<(String, u32)>,
    pub(crate) groups: Vec<(String, u32)>,
}

impl HostFacts {
    /// Reads the text of passwd(5) and group(5); lines that are neither are skipped.
    #[must_use]
    pub fn from_files(passwd: &str, group: &str) -> Self {
        let entries = |text: &str| {
            text.lines()
                .filter_map(|line| {
                    let mut fields = line.split(':');
                    let name = fields.next()?.to_owned();
                    let id = fields.nth(1)?.parse().ok()?;
                    Some((name, id))
                })
                .collect()
        };
        Self {
            users: entries(passwd),
            groups: entries(group),
        }
    }
}

/// A name or id of the policy that the host has already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict(pub(crate) String);

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
