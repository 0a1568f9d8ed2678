//! What must be true before anything is written, and what sshd must say afterwards.

use super::drop_in::{self, Features, Member};
use super::host::{Effective, Host};
use super::sshd_config::{self, Obstacle};
use super::{SSHD_CONFIG, files};
use crate::error::Error;
use crate::policy_file;
use jump_proto::paths;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

const PAM_MODULE: &str = "pam_jump.so";
/// As many users as sshd is asked about; each costs one run of it.
pub const USERS_ASKED: usize = 50;

/// Everything that can be told from files.
pub(super) fn preconditions(host: &dyn Host) -> Result<(), Error> {
    pam_module(host)?;
    for program in [paths::KEYS_COMMAND, paths::SHELL] {
        let path = host.path(program);
        if !path.is_file() {
            return Err(Error::failed(format!(
                "{program} is not there; reinstall the package jump-server"
            )));
        }
    }
    // sshd runs AuthorizedKeysCommand as this user, and serves nobody a key without it.
    let passwd = files::read(&host.path("/etc/passwd"))?.unwrap_or_default();
    let keys_user = format!("{}:", paths::KEYS_USER);
    if !passwd
        .split(|b| *b == b'\n')
        .any(|line| line.starts_with(keys_user.as_bytes()))
    {
        return Err(Error::failed(format!(
            "the system user {} is missing; run `systemd-sysusers`, or reinstall the package jump-server",
            paths::KEYS_USER
        )));
    }
    match way_to_drop_in(host)?.first() {
        None => Ok(()),
        Some(obstacle) => Err(Error::failed(obstacle.to_string())),
    }
}

/// Finds `pam_jump.so` where libpam will look: beside `pam_unix.so`.
///
/// # Errors
/// When it is not there, or others than root could change it.
pub fn pam_module(host: &dyn Host) -> Result<PathBuf, Error> {
    let directory = security_directories(host)
        .into_iter()
        .find(|directory| directory.join("pam_unix.so").exists())
        .ok_or_else(|| {
            Error::failed("the directory of PAM modules was not found: no pam_unix.so")
        })?;
    let module = directory.join(PAM_MODULE);
    let bytes = files::read(&module)?.ok_or_else(|| {
        Error::failed(format!(
            "{} is not there; reinstall the package jump-server",
            module.display()
        ))
    })?;
    let mode = fs::metadata(&module)
        .map_err(|e| Error::file("stat", &module, e))?
        .mode();
    if !bytes.starts_with(b"\x7fELF") || mode & 0o022 != 0 || mode & 0o444 != 0o444 {
        return Err(Error::failed(format!(
            "{} is not a module that sshd can trust and load; reinstall the package jump-server",
            module.display()
        )));
    }
    Ok(module)
}

/// Debian's multiarch directories first, then Red Hat's.
fn security_directories(host: &dyn Host) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for base in ["/usr/lib", "/lib"] {
        let mut multiarch: Vec<PathBuf> = fs::read_dir(host.path(base))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().ends_with("-linux-gnu"))
            .collect();
        multiarch.sort();
        found.extend(multiarch);
    }
    found.extend(["/usr/lib64", "/lib64", "/usr/lib", "/lib"].map(|base| host.path(base)));
    found
        .into_iter()
        .map(|path| path.join("security"))
        .collect()
}

/// What keeps sshd from reading the drop-in first and unconditionally.
///
/// # Errors
/// When sshd's files cannot be read.
pub fn way_to_drop_in(host: &dyn Host) -> Result<Vec<Obstacle>, Error> {
    let path = host.path(SSHD_CONFIG);
    let text = files::read(&path)?.ok_or_else(|| {
        Error::failed(format!(
            "{SSHD_CONFIG} is not there; install openssh-server first"
        ))
    })?;
    let mut obstacles: Vec<Obstacle> = sshd_config::check_include(&String::from_utf8_lossy(&text))
        .err()
        .into_iter()
        .collect();
    let directory = host.path("/etc/ssh/sshd_config.d");
    let Ok(entries) = fs::read_dir(&directory) else {
        return Ok(obstacles);
    };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.retain(|name| sshd_config::sorts_before_ours(name));
    names.sort();
    for name in names {
        let text = files::read(&directory.join(&name))?.unwrap_or_default();
        let file = format!("/etc/ssh/sshd_config.d/{name}");
        obstacles.extend(sshd_config::earlier_matches(
            &file,
            &String::from_utf8_lossy(&text),
        ));
    }
    Ok(obstacles)
}

/// `UsePAM` is global and cannot stand in our drop-in.
pub(super) fn uses_pam(effective: &Effective) -> Result<(), Error> {
    match effective.get("usepam").and_then(|values| values.first()) {
        Some(value) if value == "yes" => Ok(()),
        _ => Err(Error::failed(format!(
            "sshd does not use PAM; set `UsePAM yes` in {SSHD_CONFIG}"
        ))),
    }
}

/// Where authselect writes nsswitch.conf, an edit would be lost.
pub(super) fn not_authselect(nsswitch: &Path) -> Result<(), Error> {
    let real = fs::canonicalize(nsswitch).unwrap_or_else(|_| nsswitch.to_owned());
    if real
        .components()
        .any(|part| part.as_os_str() == "authselect")
    {
        return Err(Error::failed(
            "nsswitch.conf belongs to authselect: make a custom profile with `authselect create-profile jump --base-on <current profile>`, put `jump` after `files` in the passwd and group lines of its nsswitch.conf, run `authselect select custom/jump <features>`, then setup again",
        ));
    }
    Ok(())
}

/// Whoever is not a jump user must be served exactly as before; root stands for them.
pub(super) fn same_for_root(host: &dyn Host, before: &Effective) -> Result<(), Error> {
    let after = host.sshd_effective("root").map_err(Error::Failed)?;
    let changed: Vec<&str> = before
        .iter()
        .filter(|(keyword, values)| after.get(*keyword) != Some(values))
        .map(|(keyword, _)| keyword.as_str())
        .collect();
    if changed.is_empty() && before.len() == after.len() {
        return Ok(());
    }
    Err(Error::failed(format!(
        "root would be served differently by sshd ({})",
        changed.join(", ")
    )))
}

/// Every user of the policy (the first few of many) must be served as the drop-in says.
pub(super) fn policy_users(host: &dyn Host, features: Features) -> Result<(), Error> {
    // A policy that is broken now has no users to ask about; apply and doctor ask again.
    let Ok(policy) = policy_file::load(&host.path(paths::POLICY)) else {
        return Ok(());
    };
    let features = Features {
        agents: policy.agents(),
        ..features
    };
    for user in policy.users().take(USERS_ASKED) {
        let effective = host.sshd_effective(&user.name).map_err(Error::Failed)?;
        let wrong = differences(&effective, super::member(user.is_automation()), features);
        if let Some(first) = wrong.first() {
            return Err(Error::failed(format!(
                "sshd would not serve {} as a jump user: {first}; check that `getent passwd {}` answers and that no Match block comes before {}",
                user.name,
                user.name,
                paths::SSHD_DROP_IN
            )));
        }
    }
    Ok(())
}

/// Where `sshd -T` differs from what the drop-in sets for such a user.
#[must_use]
pub fn differences(effective: &Effective, member: Member, features: Features) -> Vec<String> {
    drop_in::expected(member, features)
        .into_iter()
        .filter_map(|(keyword, wanted)| match effective.get(&keyword) {
            // sshd leaves out what is not set.
            None if wanted == "none" => None,
            None => Some(format!("{keyword} is not set, must be {wanted}")),
            Some(values) if values.len() == 1 && values[0] == wanted => None,
            Some(values) => Some(format!(
                "{keyword} is {}, must be {wanted}",
                values.join(" ")
            )),
        })
        .collect()
}

/// What an sshd with penalties (OpenSSH 9.8 and later) needs to be told by the admin.
#[must_use]
pub fn penalties_hint(effective: &Effective) -> Vec<String> {
    let value = |keyword: &str| {
        effective
            .get(keyword)
            .and_then(|v| v.first())
            .map(String::as_str)
    };
    let on = value("persourcepenalties").is_some_and(|v| v != "no");
    let exempt = value("persourcepenaltyexemptlist").is_some_and(|v| v != "none" && !v.is_empty());
    if !on || exempt {
        return Vec::new();
    }
    vec![
        "This sshd penalises source addresses: five quick refusals (a job that runs outside its \
         window is enough) shut out everybody behind the same address.\n\
         Exempt your own networks in /etc/ssh/sshd_config.d/20-penalties.conf and reload sshd:\n\
         \n    PerSourcePenaltyExemptList 10.0.0.0/8,2001:db8::/32"
            .to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::host::parse_effective;
    use jump_proto::Agents;

    const FEATURES: Features = Features {
        gssapi: false,
        kerberos: false,
        verify_required: false,
        agents: Agents {
            users: false,
            system_groups: false,
        },
    };

    fn served(member: Member) -> Effective {
        drop_in::expected(member, FEATURES)
            .into_iter()
            .map(|(keyword, value)| (keyword, vec![value.to_owned()]))
            .collect()
    }

    #[test]
    fn a_weaker_setting_is_named() {
        let mut effective = served(Member::Host);
        assert_eq!(
            differences(&effective, Member::Host, FEATURES),
            Vec::<String>::new()
        );
        effective.insert("passwordauthentication".into(), vec!["yes".into()]);
        assert_eq!(
            differences(&effective, Member::Host, FEATURES),
            ["passwordauthentication is yes, must be no"]
        );
    }

    #[test]
    fn an_automation_user_is_not_served_as_a_person() {
        let wrong = differences(&served(Member::Host), Member::Automation, FEATURES);
        assert_eq!(wrong.len(), 1);
        assert!(wrong[0].starts_with("authenticationmethods"));
    }

    #[test]
    fn what_sshd_leaves_out_counts_as_none() {
        let mut effective = served(Member::Host);
        effective.remove("chrootdirectory");
        assert!(differences(&effective, Member::Host, FEATURES).is_empty());
        effective.remove("forcecommand");
        assert_eq!(differences(&effective, Member::Host, FEATURES).len(), 1);
    }

    #[test]
    fn penalties_are_spoken_of_only_where_they_bite() {
        assert!(penalties_hint(&parse_effective("port 22\n")).is_empty());
        let on = "persourcepenalties crash:90 authfail:5 noauth:1\n";
        assert_eq!(penalties_hint(&parse_effective(on)).len(), 1);
        let exempt = format!("{on}persourcepenaltyexemptlist 10.0.0.0/8\n");
        assert!(penalties_hint(&parse_effective(&exempt)).is_empty());
        assert!(penalties_hint(&parse_effective("persourcepenalties no\n")).is_empty());
    }
}
