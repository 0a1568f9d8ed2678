//! Host keys that the policy gives for a target, published where a hop's ssh reads them.
//!
//! One file per target, in ssh's own format (sshd(8), SSH_KNOWN_HOSTS FILE
//! FORMAT). The file is chosen by target, so its lines are for every name.

use jump_policy::{Policy, Target};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

fn lines(target: &Target) -> String {
    let mut text = String::new();
    let cas = target.host_ca.iter().map(|key| ("@cert-authority ", key));
    let keys = target.host_keys.iter().map(|key| ("", key));
    for (marker, key) in cas.chain(keys) {
        // Writing to a string fails never.
        let _written = writeln!(text, "{marker}* {}", key.bare());
    }
    text
}

/// Writes a file for every target with host keys into `directory`, and removes every other file.
///
/// # Errors
/// When something cannot be written.
pub(crate) fn publish(directory: &Path, policy: &Policy) -> io::Result<()> {
    match DirBuilder::new().create(directory) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    // Whatever the umask: every user's ssh reads it.
    std::fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    let mut wanted = BTreeSet::new();
    for target in policy.targets().filter(|target| target.knows_hosts()) {
        let text = lines(target);
        let path = directory.join(&target.name);
        wanted.insert(target.name.as_str());
        if std::fs::read(&path).is_ok_and(|published| published == text.as_bytes()) {
            continue;
        }
        // A target's name begins with no dot.
        let temporary = directory.join(".new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(&temporary)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)?;
    }
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| wanted.contains(name)) {
            std::fs::remove_file(entry.path())?;
        }
    }
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILmnjoOliYmva/enYpKl5dSJ9pA0Vm7uB2rqMeMPnt8B";

    fn policy(targets: &str) -> Policy {
        Policy::parse(&format!("version = 1\n{targets}"), "p", "UTC").unwrap()
    }

    fn target(name: &str, more: &str) -> String {
        format!("[targets.{name}]\nhosts = [\"10.0.0.1\"]\nports = [22]\n{more}\n")
    }

    #[test]
    fn each_target_with_host_keys_has_a_file_and_a_stale_one_goes() {
        let state = tempfile::tempdir().unwrap();
        let place = state.path().join("known_hosts");
        let keys = format!("host_keys = [\"{KEY} db1\"]\nhost_ca = [\"{KEY} ca\"]");
        let both = format!("{}{}", target("db", &keys), target("web", ""));
        publish(&place, &policy(&both)).unwrap();
        assert_eq!(
            std::fs::read_to_string(place.join("db")).unwrap(),
            format!("@cert-authority * {KEY}\n* {KEY}\n")
        );
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&place), mode(&place.join("db"))), (0o755, 0o644));
        let names = || {
            let entries = std::fs::read_dir(&place).unwrap();
            let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(), ["db"]);

        let other = target("web", &format!("host_ca = [\"{KEY}\"]"));
        publish(&place, &policy(&other)).unwrap();
        assert_eq!(names(), ["web"]);
        publish(&place, &policy("")).unwrap();
        assert_eq!(names(), Vec::<std::ffi::OsString>::new());
    }

    #[test]
    fn what_was_cut_off_or_changed_is_made_good() {
        let state = tempfile::tempdir().unwrap();
        let policy = policy(&target("db", &format!("host_keys = [\"{KEY}\"]")));
        publish(state.path(), &policy).unwrap();
        std::fs::write(state.path().join("db"), "* ssh-ed25519 other\n").unwrap();
        std::fs::write(state.path().join(".new"), "half").unwrap();
        publish(state.path(), &policy).unwrap();
        assert_eq!(
            std::fs::read_to_string(state.path().join("db")).unwrap(),
            format!("* {KEY}\n")
        );
        assert!(!state.path().join(".new").exists());
    }
}
