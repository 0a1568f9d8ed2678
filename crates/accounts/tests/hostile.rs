//! Whatever the bytes are, the reader answers: it does not panic, loop, or
//! take a broken scope list for an empty one.

use jump_accounts::format::reseal;
use jump_accounts::{Account, Group, Index, IndexBuilder, OwnedIndex};
use proptest::prelude::*;

/// Uses everything the reader offers. Returns how much it gave, so that the
/// optimiser keeps the calls.
fn exercise(index: &Index<'_>) -> usize {
    let mut seen = 0;
    for user in index.users() {
        seen += user.name.len() + user.gecos.len() + user.home.len() + user.shell.len();
        seen += user.groups().count() + index.groups_of(user.name).count();
        seen += usize::from(index.by_name(user.name).is_some());
        seen += usize::from(index.by_uid(user.uid).is_some());
    }
    for group in index.groups() {
        seen += group.name.len() + group.members().count() + group.members_at().count();
        seen += usize::from(index.group_by_name(group.name).is_some());
        seen += usize::from(index.group_by_gid(group.gid).is_some());
    }
    for id in [0, 1, 66_000, 70_001, u32::MAX] {
        seen += usize::from(index.by_uid(id).is_some());
        seen += usize::from(index.group_by_gid(id).is_some());
        seen += index.users_from(id).count() + index.groups_from(id).count();
    }
    for name in ["", "a", "jump-users", "\u{10ffff}"] {
        seen += usize::from(index.by_name(name).is_some());
        seen += usize::from(index.group_by_name(name).is_some());
    }
    for at in [0, usize::MAX] {
        seen += usize::from(index.user_at(at).is_some());
        seen += usize::from(index.group_at(at).is_some());
    }
    seen + index.scope().count() + usize::from(index.verify().is_ok())
}

fn policy() -> impl Strategy<Value = IndexBuilder> {
    let names = proptest::collection::btree_set("[a-z_][a-z0-9_.-]{0,12}", 0..12);
    let groups = proptest::collection::btree_set("[a-z_][a-z0-9_.-]{0,12}", 0..5);
    (names, groups, any::<u64>()).prop_map(|(names, groups, seed)| {
        let users: Vec<_> = names
            .into_iter()
            .zip(70_000..)
            .map(|(name, uid)| Account {
                name,
                uid,
                gid: 66_000,
                gecos: "É · ユーザ".into(),
                home: "/h".into(),
                shell: "/s".into(),
            })
            .collect();
        let mut listed: Vec<_> = groups
            .into_iter()
            .filter(|name| name != "jump-users")
            .zip(80_000..)
            .map(|(name, gid)| Group {
                name,
                gid,
                members: users
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| seed >> ((at + gid as usize * 7) % 64) & 1 == 1)
                    .map(|(_, user)| user.name.clone())
                    .collect(),
            })
            .collect();
        listed.push(Group {
            name: "jump-users".into(),
            gid: 66_000,
            members: vec![],
        });
        IndexBuilder {
            users,
            groups: listed,
            scope: vec!["jump-users".into(), "other".into()],
        }
    })
}

proptest! {
    #[test]
    fn what_was_written_is_what_is_read(policy in policy()) {
        let owned = OwnedIndex::from_bytes(policy.build().unwrap()).unwrap();
        let index = owned.index();
        prop_assert_eq!(index.users().count(), policy.users.len());
        for user in &policy.users {
            let read = index.by_name(&user.name).unwrap();
            prop_assert_eq!(read, index.by_uid(user.uid).unwrap());
            prop_assert_eq!((read.uid, read.gecos), (user.uid, user.gecos.as_str()));
            for group in &policy.groups {
                let member = group.gid == user.gid || group.members.contains(&user.name);
                prop_assert_eq!(member, read.groups().any(|gid| gid == group.gid));
                let listed = index.group_by_gid(group.gid).unwrap();
                prop_assert_eq!(member, listed.members().any(|name| name == user.name));
            }
        }
        exercise(&index);
    }

    #[test]
    fn changed_words_under_a_fitting_checksum_are_harmless(
        policy in policy(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 1..6),
    ) {
        let mut bytes = policy.build().unwrap();
        for (at, value) in changes {
            let at = at.index(bytes.len() / 4) * 4;
            // Small numbers reach further into the reader than random ones.
            let value = if value % 3 == 0 { value } else { value % 64 };
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        bytes[..8].copy_from_slice(b"JUMPACC\x01");
        let length = u32::try_from(bytes.len()).unwrap();
        bytes[16..20].copy_from_slice(&length.to_le_bytes());
        reseal(&mut bytes);
        if let Ok(index) = Index::new(&bytes) {
            exercise(&index);
            if OwnedIndex::from_bytes(bytes.clone()).is_ok() {
                let first = index.scope().next();
                prop_assert!(first.is_some_and(|group| group.gid.is_some()));
            }
        }
    }

    #[test]
    fn any_bytes_at_all_are_harmless(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Index::new(&bytes).is_err());
        if bytes.len() > 20 {
            bytes[..8].copy_from_slice(b"JUMPACC\x01");
            let length = u32::try_from(bytes.len()).unwrap();
            bytes[16..20].copy_from_slice(&length.to_le_bytes());
            reseal(&mut bytes);
            if let Ok(index) = Index::new(&bytes) {
                exercise(&index);
            }
        }
    }
}

#[test]
fn each_word_of_an_index_replaced_by_each_edge_value() {
    let index = IndexBuilder {
        users: vec![
            Account {
                name: "alice".into(),
                uid: 70_001,
                gid: 66_000,
                gecos: String::new(),
                home: "/h".into(),
                shell: "/s".into(),
            },
            Account {
                name: "bob".into(),
                uid: 70_002,
                gid: 66_000,
                gecos: String::new(),
                home: "/h".into(),
                shell: "/s".into(),
            },
        ],
        groups: vec![Group {
            name: "jump-users".into(),
            gid: 66_000,
            members: vec![],
        }],
        scope: vec!["jump-users".into()],
    }
    .build()
    .unwrap();
    for at in (16..index.len().saturating_sub(3)).step_by(4) {
        for value in [
            0,
            1,
            2,
            3,
            7,
            255,
            1 << 16,
            i32::MAX as u32,
            u32::MAX - 1,
            u32::MAX,
        ] {
            let mut bytes = index.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            reseal(&mut bytes);
            if let Ok(index) = Index::new(&bytes) {
                exercise(&index);
            }
        }
    }
}
