//! `policy.toml` of the lab's bastion: a common part, and one part per admin.
//!
//! Every scenario brings its own admins with their own rules; the file that the
//! bastion gets is the sum, as it would be on a real host.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The common part: the host and its targets.
const COMMON: &str = r#"version = 1

[host]
timezone = "UTC"
group = "jump-users"
gid = 66000

[targets.databases]
hosts = ["db1"]
ports = [22, 5432, "9000-9010"]
"#;

/// The policy as a text that grows.
#[derive(Debug, Default)]
pub struct PolicyText {
    parts: BTreeMap<String, String>,
}

impl PolicyText {
    /// Whether an admin of this name is in it.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.parts.contains_key(name)
    }

    /// Adds an admin: their `[users]` table, what else stands in it, and further tables.
    pub fn add(&mut self, name: &str, uid: u32, key: &str, user: &str, tables: &str) {
        let part = format!("\n[users.{name}]\nuid = {uid}\nkeys = [\"{key}\"]\n{user}\n{tables}\n");
        self.parts.insert(name.to_owned(), part);
    }

    /// Adds tables that belong to no admin, to be taken out by the same name.
    pub fn add_tables(&mut self, name: &str, tables: &str) {
        self.parts.insert(name.to_owned(), format!("\n{tables}\n"));
    }

    /// Changes an admin's part.
    pub fn replace(&mut self, name: &str, old: &str, new: &str) {
        if let Some(part) = self.parts.get_mut(name) {
            *part = part.replace(old, new);
        }
    }

    /// Takes an admin out.
    pub fn remove(&mut self, name: &str) {
        self.parts.remove(name);
    }

    /// The whole file.
    #[must_use]
    pub fn text(&self) -> String {
        self.parts
            .values()
            .fold(COMMON.to_owned(), |mut text, part| {
                text.push_str(part);
                text
            })
    }
}

/// The hash of a policy text, as in `JUMP_POLICY`.
#[must_use]
pub fn hash(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .take(8)
        .fold(String::new(), |mut hash, byte| {
            let _infallible = write!(hash, "{byte:02x}");
            hash
        })
}

/// A `[windows]` table that is closed now and opens in two hours, and the
/// minute at which it opens, as users are told (`2026-11-23 08:00`).
#[must_use]
pub fn window_closed_now(name: &str) -> (String, String) {
    let hour = |hours: i64| Timestamp::now().as_second() / 3600 * 3600 + hours * 3600;
    let shown = |second: i64, format: &str| {
        Timestamp::from_second(second)
            .map(|at| at.strftime(format).to_string())
            .unwrap_or_default()
    };
    let (opens, closes) = (hour(2), hour(3));
    let table = format!(
        "[windows.{name}]\ndays = [\"mon-sun\"]\nhours = [\"{}-{}\"]\n",
        shown(opens, "%H:%M"),
        shown(closes, "%H:%M").replace("00:00", "24:00")
    );
    (table, shown(opens, "%Y-%m-%d %H:%M"))
}
