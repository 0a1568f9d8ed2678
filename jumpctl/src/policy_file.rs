//! The policy on disk, read by jumpctl itself: `check`, and setup's first look.

use crate::error::Error;
use jump_policy::{HostFacts, Policy};
use jump_proto::paths;
use jump_proto::policy_file::{self, Links, Unreadable};
use nix::unistd::{Gid, User, getgrouplist};
use std::ffi::CString;
use std::fs;
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

/// The text of a policy file. In the place where jumpd looks it must also be one that jumpd can read.
///
/// # Errors
/// When it cannot be read, with what to do about it.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    let in_place = path == Path::new(paths::POLICY);
    let links = if in_place {
        Links::Refuse
    } else {
        Links::Follow
    };
    let failed = |e| Error::failed(format!("{}: {e}", path.display()));
    let text = policy_file::read(path, "this user", links).map_err(failed)?;
    if in_place {
        jumpd_may_read(path).map_err(failed)?;
    }
    Ok(text)
}

/// Root reads every file; jumpd does not.
fn jumpd_may_read(path: &Path) -> Result<(), Unreadable> {
    // Where there is no jumpd (another machine, a check before an installation) nothing can be said.
    let Ok(Some(jumpd)) = User::from_name(paths::JUMPD_USER) else {
        return Ok(());
    };
    let mut groups = vec![jumpd.gid.as_raw()];
    if let Ok(name) = CString::new(paths::JUMPD_USER)
        && let Ok(all) = getgrouplist(&name, jumpd.gid)
    {
        groups.extend(all.into_iter().map(Gid::as_raw));
    }
    policy_file::readable_by_jumpd(path, jumpd.uid.as_raw(), &groups)
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
