//! Whose logins are ours: members of the policy's group and of its system groups.
//!
//! The account index carries the list, so the answer does not depend on a
//! running jumpd. Where the index cannot be read, nobody who could be a jump
//! user gets in, and everybody with a line in `/etc/passwd` logs in as before.

use jump_accounts::OwnedIndex;
use nix::unistd::{Gid, Group, User, getgrouplist};
use std::ffi::CString;

/// A login that the policy speaks of.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) user: String,
    pub(crate) uid: u32,
    /// Those system groups of the policy that the user is in.
    pub(crate) groups: Vec<String>,
}

/// Whether the policy speaks of a user.
#[derive(Debug)]
pub(crate) enum Scope {
    /// No: `PAM_IGNORE`.
    Outside,
    /// Yes: jumpd decides.
    Member(Member),
    /// It cannot be told: denied.
    Unknown(String),
}

/// Whether the policy speaks of `user`.
pub(crate) fn of(user: &str) -> Scope {
    // Root first, and without a look at anything that may be broken.
    if user == "root" {
        return Scope::Outside;
    }
    let account = match User::from_name(user) {
        Ok(Some(account)) => account,
        Ok(None) => return of_nobody(user),
        Err(e) => return Scope::Unknown(format!("getpwnam: {e}")),
    };
    if account.uid.is_root() {
        return Scope::Outside;
    }
    let index = match OwnedIndex::open(jump_proto::paths::ACCOUNTS) {
        Ok(index) => index,
        Err(e) => {
            let broken = Scope::Unknown(format!("{}: {e}", jump_proto::paths::ACCOUNTS));
            return match in_drop_in_groups(user, account.gid) {
                Ok(false) if has_local_line(user) => Scope::Outside,
                _ => broken,
            };
        }
    };
    let index = index.index();
    let in_policy = index
        .by_name(user)
        .is_some_and(|found| found.uid == account.uid.as_raw());
    let gids = match groups_of(user, account.gid) {
        Ok(gids) => gids,
        Err(e) => return Scope::Unknown(format!("getgrouplist: {e}")),
    };
    let mut groups = Vec::new();
    let mut member = in_policy;
    for (place, group) in index.scope().enumerate() {
        let gid = match group.gid {
            Some(gid) => Some(gid),
            None => match Group::from_name(group.name) {
                Ok(found) => found.map(|g| g.gid.as_raw()),
                Err(e) => return Scope::Unknown(format!("getgrnam {}: {e}", group.name)),
            },
        };
        if gid.is_some_and(|gid| gids.contains(&gid)) {
            member = true;
            // The first is the host's own group, which says nothing to a rule.
            if place > 0 {
                groups.push(group.name.to_owned());
            }
        }
    }
    if member {
        Scope::Member(Member {
            user: user.to_owned(),
            uid: account.uid.as_raw(),
            groups,
        })
    } else {
        Scope::Outside
    }
}

/// A name that nobody has: sshd goes through the motions, and the rest of the stack refuses it.
///
/// But a name service that lacks a descriptor or a library says the same of everybody
/// (glibc takes what it cannot open for what is not there), and sshd had found this user.
/// So the policy must not have the name, which is to be seen in the index itself.
fn of_nobody(user: &str) -> Scope {
    match OwnedIndex::open(jump_proto::paths::ACCOUNTS) {
        Ok(index) if index.index().by_name(user).is_none() => Scope::Outside,
        Ok(_) => {
            Scope::Unknown("the policy has this name, the host's name service does not".to_owned())
        }
        Err(e) => Scope::Unknown(format!(
            "no such user, {}: {e}",
            jump_proto::paths::ACCOUNTS
        )),
    }
}

fn groups_of(user: &str, primary: Gid) -> Result<Vec<u32>, nix::Error> {
    let name = CString::new(user).map_err(|_| nix::Error::EINVAL)?;
    Ok(getgrouplist(&name, primary)?
        .into_iter()
        .map(Gid::as_raw)
        .collect())
}

/// Whether `user` is in a group that sshd's drop-in names: the list that is left when the index is broken.
fn in_drop_in_groups(user: &str, primary: Gid) -> Result<bool, nix::Error> {
    let text = std::fs::read_to_string(jump_proto::paths::SSHD_DROP_IN).unwrap_or_default();
    let gids = groups_of(user, primary)?;
    for name in drop_in_groups(&text) {
        if Group::from_name(name)?.is_some_and(|group| gids.contains(&group.gid.as_raw())) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Names in the `Match Group` lines of the drop-in.
fn drop_in_groups(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("Match Group "))
        .flat_map(|names| names.split(','))
        .map(|name| name.trim().trim_matches('"'))
}

/// Whether `/etc/passwd` itself has a line for `user`.
fn has_local_line(user: &str) -> bool {
    std::fs::read("/etc/passwd").is_ok_and(|text| names_user(&text, user))
}

fn names_user(passwd: &[u8], user: &str) -> bool {
    passwd.split(|b| *b == b'\n').any(|line| {
        line.strip_prefix(user.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&b':'))
    })
}

#[cfg(test)]
mod tests {
    use super::names_user;

    #[test]
    fn a_local_user_is_one_with_a_line_of_its_own() {
        let passwd = b"root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        assert!(names_user(passwd, "alice"));
        for other in ["ali", "alice2", "", "x", "lice"] {
            assert!(!names_user(passwd, other), "{other}");
        }
    }

    #[test]
    fn the_groups_of_the_drop_in_are_known_without_the_index() {
        let text = "# c\nMatch User robot\nMatch Group jump-users\n    X11Forwarding no\nMatch Group ad-admins,ops\n";
        let names: Vec<&str> = super::drop_in_groups(text).collect();
        assert_eq!(names, ["jump-users", "ad-admins", "ops"]);
    }

    #[test]
    fn root_is_outside_whatever_else_is_broken() {
        assert!(matches!(super::of("root"), super::Scope::Outside));
    }
}
