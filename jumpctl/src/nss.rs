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

/// Every group of a login name, the primary one first; `None` if the host does not know the name.
#[must_use]
pub(crate) fn groups(user: &str) -> Option<Vec<String>> {
    let entry = User::from_name(user).ok().flatten()?;
    let name_of = |gid: Gid| Group::from_gid(gid).ok().flatten().map(|group| group.name);
    let name = CString::new(user).ok()?;
    let others = getgrouplist(&name, entry.gid).unwrap_or_default();
    let mut all: Vec<String> = name_of(entry.gid).into_iter().collect();
    all.extend(
        others
            .into_iter()
            .filter(|gid| *gid != entry.gid)
            .filter_map(name_of),
    );
    Some(all)
}

/// Groups of other sources that a user is in; none for users of the policy, whose groups the policy knows.
///
/// `host_group` is the primary group of every user of the policy.
#[must_use]
pub(crate) fn foreign_groups(user: &str, host_group: Option<&str>) -> Vec<String> {
    let all = groups(user).unwrap_or_default();
    match all.first() {
        Some(primary) if Some(primary.as_str()) == host_group => Vec::new(),
        _ => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_and_in_its_group() {
        assert_eq!(uid("root"), Some(0));
        assert_eq!(groups("root").unwrap()[0], "root");
        assert!(foreign_groups("root", None).contains(&"root".to_owned()));
        assert!(foreign_groups("root", Some("root")).is_empty());
    }

    #[test]
    fn nobody_knows_a_name_with_a_nul() {
        assert_eq!(uid("a\0b"), None);
        assert_eq!(groups("no-such-user-here"), None);
        assert!(foreign_groups("no-such-user-here", None).is_empty());
    }
}
