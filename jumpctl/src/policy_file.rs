//! The policy on disk, read by jumpctl itself: `check`, and setup's first look.

use crate::error::Error;
use jump_policy::{HostFacts, Policy};
use std::fs;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Reads and parses; all errors of the text become one sentence each in the error.
///
/// # Errors
/// When the file cannot be read, or is refused.
pub(crate) fn load(path: &Path) -> Result<Policy, Error> {
    let text = read(path)?;
    Policy::parse(&text, &path.display().to_string(), &host_timezone())
        .map_err(|errors| Error::failed(format!("the policy has errors:\n{errors}")))
}

/// The text of a policy file.
///
/// # Errors
/// When it cannot be read, is not UTF-8, or is no regular file.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    let failed = |e| Error::file("read", path, e);
    // A pipe in its place must not keep the operator waiting.
    let mut file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)
        .map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(std::io::Error::other("not a regular file")));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// The groups that pam_jump concerns itself with, the host's first, and the automation users.
#[must_use]
pub(crate) fn scope(policy: &Policy) -> (Vec<String>, Vec<String>) {
    let groups = std::iter::once(policy.host_group().0)
        .chain(policy.system_groups())
        .map(str::to_owned)
        .collect();
    let automation = policy.automation().into_iter().map(str::to_owned).collect();
    (groups, automation)
}

/// What `/etc/passwd` and `/etc/group` have.
///
/// # Errors
/// When one cannot be read.
pub(crate) fn host_facts() -> Result<HostFacts, Error> {
    let read = |path: &str| {
        let path = Path::new(path);
        // A comment in another encoding must not hide the accounts.
        fs::read(path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|e| Error::file("read", path, e))
    };
    Ok(HostFacts::from_files(
        &read("/etc/passwd")?,
        &read("/etc/group")?,
    ))
}

/// The host's IANA time zone, `UTC` where it has none.
#[must_use]
pub(crate) fn host_timezone() -> String {
    jiff::tz::TimeZone::system()
        .iana_name()
        .unwrap_or("UTC")
        .to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_pipe_is_refused_without_waiting_for_a_writer() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("policy.toml");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(super::read(&pipe).is_err());
    }
}
