//! What this host's name service says of a user.

use nix::unistd::{Gid, Group, User, getgrouplist};
use std::ffi::CString;

/// The uid of a login name, if the host knows it.
#[must_use]
pub(crate) fn uid(user: &str) -> Option<u32> {
    User::from_name(user)
        .ok()
        .flatten()
        .map(|entry| entry.uid.as_raw())
}

/// Groups of other sources that a user is in; none for users of the policy, whose groups the policy knows.
///
/// `host_group` is the primary group of every user of the policy.
#[must_use]
pub(crate) fn foreign_groups(user: &str, host_group: Option<&str>) -> Vec<String> {
    let Some(entry) = User::from_name(user).ok().flatten() else {
        return Vec::new();
    };
    let name_of = |gid: Gid| Group::from_gid(gid).ok().flatten().map(|group| group.name);
    let primary = name_of(entry.gid);
    if primary.is_some() && primary.as_deref() == host_group {
        return Vec::new();
    }
    let Ok(name) = CString::new(user) else {
        return Vec::new();
    };
    getgrouplist(&name, entry.gid)
        .unwrap_or_default()
        .into_iter()
        .filter_map(name_of)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_and_in_its_group() {
        assert_eq!(uid("root"), Some(0));
        assert!(foreign_groups("root", None).contains(&"root".to_owned()));
        assert!(foreign_groups("root", Some("root")).is_empty());
    }

    #[test]
    fn nobody_knows_a_name_with_a_nul() {
        assert_eq!(uid("a\0b"), None);
        assert!(foreign_groups("no-such-user-here", None).is_empty());
    }
}
