//! Generations: a checked policy, compiled and published in one step.
//!
//! `/var/lib/jump/generations/<n>/` holds the policy's text, the account index
//! and the keys, and their checksums; the link `current` names the one in
//! force. Everything is written under a temporary name, synced and renamed, so
//! nothing ever reads a half-written file, and a refused edit leaves no trace.
//!
//! The checksums are for what happens to a file later. A policy that lost its
//! end may well be a policy still: one without its last `deny` rule.

use crate::accounts;
use crate::host;
use crate::keys;
use crate::known_hosts;
use jump_policy::Policy;
use jump_proto::policy_file::{self, Links};
use jump_proto::{Reason, paths};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The policy of a generation, in its directory.
const POLICY_FILE: &str = "policy.toml";
/// The checksums of a generation, in its directory: what sha256sum(1) writes and checks.
const SUMS_FILE: &str = "SHA256SUMS";
/// Generations that are kept for a look back.
const KEPT: usize = 20;

/// A policy in force.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) policy: Arc<Policy>,
}

/// Why a policy was not taken into force.
#[derive(Debug)]
pub(crate) struct Rejection {
    pub(crate) reason: Reason,
    /// For a terminal.
    pub(crate) report: String,
}

/// Where generations live; `/var/lib/jump` but for tests.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    root: PathBuf,
}

impl Generation {
    /// Names of the groups that pam_jump concerns itself with.
    pub(crate) fn scope(&self) -> Vec<String> {
        accounts::scope(&self.policy)
    }

    /// Users with `mfa = "none"`.
    pub(crate) fn automation(&self) -> Vec<String> {
        self.policy
            .automation()
            .into_iter()
            .map(str::to_owned)
            .collect()
    }
}

/// Reads a policy file once, whole.
pub(crate) fn read_policy(path: &Path) -> Result<String, Rejection> {
    policy_file::read(path, paths::JUMPD_USER, Links::Refuse).map_err(|e| Rejection {
        reason: Reason::PolicyInvalid,
        report: format!("{}: {e}", path.display()),
    })
}

/// Checks a policy as it must be before it may be in force: text, tests, host.
pub(crate) fn check(text: &str, path: &Path) -> Result<Policy, Rejection> {
    let source = path.display().to_string();
    let policy = Policy::parse(text, &source, &host::timezone()).map_err(|e| Rejection {
        reason: Reason::PolicyInvalid,
        report: e.to_string(),
    })?;
    let conflicts = policy.conflicts(&host::facts());
    if !conflicts.is_empty() {
        return Err(Rejection {
            reason: Reason::HostConflict,
            report: lines(&conflicts),
        });
    }
    policy.run_tests().map_err(|red| Rejection {
        reason: Reason::PolicyTestFailed,
        report: lines(&red),
    })?;
    Ok(policy)
}

fn lines<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(|i| format!("{i}\n")).collect()
}

impl Store {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    fn generations(&self) -> PathBuf {
        self.root.join("generations")
    }

    /// The generation that `current` names; `None` on a host that never had one.
    ///
    /// # Errors
    /// When there is one and it cannot be taken into force: then nobody gets in.
    pub(crate) fn load(&self) -> Result<Option<Generation>, String> {
        let link = self.root.join("current");
        let target = match std::fs::read_link(&link) {
            Ok(target) => target,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(format!("{}: {e}", link.display())),
        };
        let number = target
            .file_name()
            .and_then(|n| n.to_str())
            .and_then(|n| n.parse().ok())
            .ok_or_else(|| format!("{} does not name a generation", link.display()))?;
        let directory = self.generations().join(format!("{number}"));
        let path = directory.join(POLICY_FILE);
        let text = read_policy(&path).map_err(|r| r.report)?;
        let sums = directory.join(SUMS_FILE);
        let sums =
            std::fs::read_to_string(&sums).map_err(|e| format!("{}: {e}", sums.display()))?;
        // By whole lines: a file that lost its end has not said everything.
        let expected = sum(POLICY_FILE, text.as_bytes());
        if !sums.split_inclusive('\n').any(|line| line == expected) {
            return Err(format!(
                "{} is not what was applied (its checksum differs); put the policy in force again with: jumpctl apply",
                path.display()
            ));
        }
        let source = path.display().to_string();
        let policy = Policy::parse(&text, &source, &host::timezone()).map_err(|e| e.to_string())?;
        Ok(Some(Generation {
            number,
            policy: Arc::new(policy),
        }))
    }

    /// Writes the next generation and puts it in force on disk.
    ///
    /// # Errors
    /// When anything cannot be written; the generation in force stays.
    pub(crate) fn publish(&self, text: &str, policy: Policy) -> Result<Generation, Rejection> {
        let index = accounts::compile(&policy).map_err(|e| Rejection {
            reason: Reason::PolicyInvalid,
            report: e.to_string(),
        })?;
        let keys = keys::compile(&policy, &jiff::tz::TimeZone::system());
        let number = self
            .write(text, &policy, &index, &keys)
            .map_err(|e| Rejection {
                reason: Reason::NotPersisted,
                report: format!("the new generation cannot be written: {e}"),
            })?;
        Ok(Generation {
            number,
            policy: Arc::new(policy),
        })
    }

    fn write(&self, text: &str, policy: &Policy, index: &[u8], keys: &str) -> io::Result<u64> {
        let generations = self.generations();
        let number = self.numbers()?.last().copied().unwrap_or(0) + 1;
        let temporary = generations.join(format!("{number}.new"));
        if temporary.exists() {
            std::fs::remove_dir_all(&temporary)?;
        }
        std::fs::DirBuilder::new().mode(0o700).create(&temporary)?;
        let files = [
            (POLICY_FILE, text.as_bytes(), 0o600),
            ("accounts", index, 0o644),
            ("keys", keys.as_bytes(), 0o600),
        ];
        let mut sums = String::new();
        for (name, content, mode) in files {
            write_synced(&temporary.join(name), content, mode)?;
            sums.push_str(&sum(name, content));
        }
        write_synced(&temporary.join(SUMS_FILE), sums.as_bytes(), 0o600)?;
        sync_directory(&temporary)?;
        std::fs::rename(&temporary, generations.join(number.to_string()))?;
        sync_directory(&generations)?;
        self.publish_known_hosts(policy)?;
        self.publish_files(index, keys.as_bytes())?;
        let link = self.root.join("current.new");
        match std::fs::remove_file(&link) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        std::os::unix::fs::symlink(Path::new("generations").join(number.to_string()), &link)?;
        std::fs::rename(&link, self.root.join("current"))?;
        sync_directory(&self.root)?;
        self.forget_old();
        Ok(number)
    }

    /// Publishes the host keys that the policy gives.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(crate) fn publish_known_hosts(&self, policy: &Policy) -> io::Result<()> {
        known_hosts::publish(&self.root.join("known_hosts"), policy)
    }

    /// Replaces what others read. Everything that can fail for want of space
    /// is done before the first file is replaced.
    fn publish_files(&self, index: &[u8], keys: &[u8]) -> io::Result<()> {
        let new_index = self.prepare("accounts", index, 0o644, None)?;
        let new_keys = self.prepare("keys", keys, 0o640, Some(paths::KEYS_USER))?;
        std::fs::rename(new_index, self.root.join("accounts"))?;
        std::fs::rename(new_keys, self.root.join("keys"))?;
        sync_directory(&self.root)
    }

    fn prepare(
        &self,
        name: &str,
        content: &[u8],
        mode: u32,
        group: Option<&str>,
    ) -> io::Result<PathBuf> {
        let temporary = self.root.join(format!("{name}.new"));
        write_synced(&temporary, content, mode)?;
        if let Some(group) = group
            && let Some(group) = nix::unistd::Group::from_name(group)?
        {
            std::os::unix::fs::chown(&temporary, None, Some(group.gid.as_raw()))?;
        }
        Ok(temporary)
    }

    /// Whether the disk has this generation as it was applied: a restart would take it into force.
    pub(crate) fn holds(&self, generation: &Generation) -> bool {
        matches!(self.load(), Ok(Some(on_disk))
            if on_disk.number == generation.number
                && on_disk.policy.hash() == generation.policy.hash())
    }

    /// Makes what others read that of the generation in force again, where it
    /// differs: after a publication that failed half-way, or a hand that slipped.
    pub(crate) fn republish(&self, generation: &Generation) -> io::Result<()> {
        self.publish_known_hosts(&generation.policy)?;
        // Compiled anew: a copy on disk may be as damaged as what it is to replace.
        let index = accounts::compile(&generation.policy).map_err(io::Error::other)?;
        let keys = keys::compile(&generation.policy, &jiff::tz::TimeZone::system());
        let same = |name: &str, content: &[u8]| {
            std::fs::read(self.root.join(name)).is_ok_and(|published| published == content)
        };
        if same("accounts", &index) && same("keys", keys.as_bytes()) {
            return Ok(());
        }
        self.publish_files(&index, keys.as_bytes())
    }

    fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers: Vec<u64> = std::fs::read_dir(self.generations())?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn forget_old(&self) {
        let numbers = self.numbers().unwrap_or_default();
        for old in numbers.iter().rev().skip(KEPT) {
            // An old generation that stays costs a few kilobytes.
            let _gone = std::fs::remove_dir_all(self.generations().join(old.to_string()));
        }
    }
}

/// A file's line in [`SUMS_FILE`].
fn sum(name: &str, content: &[u8]) -> String {
    let mut line = Sha256::digest(content)
        .iter()
        .fold(String::new(), |mut hex, byte| {
            let _infallible = write!(hex, "{byte:02x}");
            hex
        });
    line.push_str("  ");
    line.push_str(name);
    line.push('\n');
    line
}

fn write_synced(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_CLOEXEC)
        .open(path)?;
    // The mode of open(2) is subject to the umask, and a leftover keeps its own.
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("generations")).unwrap();
        let store = Store::new(root.path());
        (root, store)
    }

    const POLICY: &str = "version = 1\n";

    fn parsed() -> Policy {
        check(POLICY, Path::new("policy.toml")).unwrap()
    }

    #[test]
    fn a_host_that_never_had_a_policy_has_no_generation() {
        let (_root, store) = store();
        assert!(store.load().unwrap().is_none());
    }

    #[test]
    fn a_published_generation_is_the_one_that_a_restart_loads() {
        let (root, store) = store();
        assert_eq!(store.publish(POLICY, parsed()).unwrap().number, 1);
        assert_eq!(store.publish(POLICY, parsed()).unwrap().number, 2);
        let loaded = store.load().unwrap().unwrap();
        assert_eq!(loaded.number, 2);
        assert_eq!(loaded.policy.hash(), parsed().hash());
        assert_eq!(loaded.scope(), ["jump-users"]);
        let index = std::fs::read(root.path().join("accounts")).unwrap();
        assert!(jump_accounts::Index::new(&index).is_ok());
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_generation_in_force() {
        let (root, store) = store();
        store.publish(POLICY, parsed()).unwrap();
        // A directory where the published file belongs: the rename fails.
        std::fs::remove_file(root.path().join("accounts")).unwrap();
        std::fs::create_dir_all(root.path().join("accounts/x")).unwrap();
        let rejection = store.publish(POLICY, parsed()).unwrap_err();
        assert_eq!(rejection.reason, Reason::NotPersisted);
        assert_eq!(store.load().unwrap().unwrap().number, 1);
    }

    #[test]
    fn a_current_that_cannot_be_read_is_an_error_not_an_empty_policy() {
        let (root, store) = store();
        store.publish(POLICY, parsed()).unwrap();
        std::fs::write(
            root.path().join("generations/1/policy.toml"),
            "version = 1\nusers = ",
        )
        .unwrap();
        assert!(store.load().is_err());
    }

    #[test]
    fn a_generation_with_a_file_cut_at_any_length_is_not_taken_into_force() {
        // Every line of it but the last, and even some parts of lines, are a policy by themselves.
        let text = format!("{POLICY}[host]\ntimezone = \"UTC\"\n\n# what only the end says\n");
        let (root, store) = store();
        let policy = check(&text, Path::new("policy.toml")).unwrap();
        let generation = store.publish(&text, policy).unwrap();
        for name in [POLICY_FILE, SUMS_FILE] {
            let file = root.path().join("generations/1").join(name);
            let whole = std::fs::read(&file).unwrap();
            for length in 0..whole.len() {
                std::fs::write(&file, &whole[..length]).unwrap();
                // Of the sums, the policy's line alone is enough.
                let said_enough = name == SUMS_FILE && whole[..length].contains(&b'\n');
                assert_eq!(store.load().is_ok(), said_enough, "{name} cut to {length}");
                assert_eq!(store.holds(&generation), said_enough);
            }
            std::fs::write(&file, &whole).unwrap();
        }
        assert!(store.holds(&generation));
    }

    #[test]
    fn the_checksums_are_those_of_sha256sum() {
        assert_eq!(
            sum("policy.toml", b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  policy.toml\n"
        );
    }

    #[test]
    fn what_others_read_is_made_anew_from_the_policy_whatever_is_damaged() {
        let (root, store) = store();
        let generation = store.publish(POLICY, parsed()).unwrap();
        let published = root.path().join("accounts");
        let whole = std::fs::read(&published).unwrap();
        for file in [&published, &root.path().join("generations/1/accounts")] {
            std::fs::write(file, &whole[..whole.len() / 2]).unwrap();
        }
        store.republish(&generation).unwrap();
        assert_eq!(std::fs::read(&published).unwrap(), whole);
    }

    #[test]
    fn old_generations_are_forgotten() {
        let (root, store) = store();
        for _ in 0..KEPT + 3 {
            store.publish(POLICY, parsed()).unwrap();
        }
        assert_eq!(
            std::fs::read_dir(root.path().join("generations"))
                .unwrap()
                .count(),
            KEPT
        );
    }

    #[test]
    fn a_policy_that_is_no_file_does_not_block() {
        let root = tempfile::tempdir().unwrap();
        let fifo = root.path().join("policy.toml");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read_policy(&fifo).is_err());
    }
}
