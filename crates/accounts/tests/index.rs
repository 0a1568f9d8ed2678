//! What an index answers, and that nothing but an index is taken for one.

use std::collections::{BTreeMap, BTreeSet};

use jump_accounts::{
    Account, BuildError, Damaged, Group, Index, IndexBuilder, OpenError, OwnedIndex,
};

fn account(name: &str, uid: u32) -> Account {
    Account {
        name: name.into(),
        uid,
        gid: 66_000,
        gecos: format!("{name} of the policy"),
        home: "/usr/lib/jump/home".into(),
        shell: "/usr/bin/jump-shell".into(),
    }
}

fn group(name: &str, gid: u32, members: &[&str]) -> Group {
    Group {
        name: name.into(),
        gid,
        members: members.iter().map(ToString::to_string).collect(),
    }
}

fn example() -> IndexBuilder {
    IndexBuilder {
        users: vec![
            account("carol", 70_003),
            account("alice", 70_002),
            account("bob", 70_001),
        ],
        groups: vec![
            group("jump-users", 66_000, &[]),
            group("dba", 70_100, &["alice", "carol"]),
            group("empty", 70_050, &[]),
        ],
        scope: vec!["jump-users".into(), "EXAMPLE\\domain admins".into()],
    }
}

#[test]
fn a_user_is_found_by_name_and_by_uid() {
    let bytes = example().build().unwrap();
    let index = Index::new(&bytes).unwrap();
    let alice = index.by_name("alice").unwrap();
    assert_eq!(
        (alice.name, alice.uid, alice.gid),
        ("alice", 70_002, 66_000)
    );
    assert_eq!(alice.gecos, "alice of the policy");
    assert_eq!(alice.home, "/usr/lib/jump/home");
    assert_eq!(alice.shell, "/usr/bin/jump-shell");
    assert_eq!(index.by_uid(70_002).unwrap(), alice);
    for unknown in ["", "alic", "alicea", "ALICE", "zoe"] {
        assert!(index.by_name(unknown).is_none(), "{unknown:?}");
    }
    assert!(index.by_uid(70_004).is_none());
    assert!(index.by_uid(0).is_none());
}

#[test]
fn the_host_group_lists_everybody_whose_primary_group_it_is() {
    let bytes = example().build().unwrap();
    let index = Index::new(&bytes).unwrap();
    let host = index.group_by_gid(66_000).unwrap();
    assert_eq!(
        host.members().collect::<Vec<_>>(),
        ["alice", "bob", "carol"]
    );
    assert_eq!(index.group_by_name("jump-users").unwrap().gid, 66_000);
    assert_eq!(index.group_by_name("empty").unwrap().members().count(), 0);
}

#[test]
fn memberships_are_the_groups_that_list_the_user() {
    let bytes = example().build().unwrap();
    let index = Index::new(&bytes).unwrap();
    let of = |name| index.groups_of(name).collect::<BTreeSet<_>>();
    assert_eq!(of("alice"), BTreeSet::from([66_000, 70_100]));
    assert_eq!(of("bob"), BTreeSet::from([66_000]));
    assert_eq!(of("nobody"), BTreeSet::new());
}

#[test]
fn enumeration_goes_by_name_or_by_id() {
    let bytes = example().build().unwrap();
    let index = Index::new(&bytes).unwrap();
    let names: Vec<_> = index.users().map(|user| user.name).collect();
    assert_eq!(names, ["alice", "bob", "carol"]);
    let groups: Vec<_> = index.groups().map(|group| group.name).collect();
    assert_eq!(groups, ["dba", "empty", "jump-users"]);
    let uids_from = |uid| {
        index
            .users_from(uid)
            .map(|at| index.user_at(at).unwrap().uid)
            .collect::<Vec<_>>()
    };
    assert_eq!(uids_from(0), [70_001, 70_002, 70_003]);
    assert_eq!(uids_from(70_002), [70_002, 70_003]);
    assert!(uids_from(u32::MAX).is_empty());
    let gids: Vec<_> = index
        .groups_from(66_001)
        .map(|at| index.group_at(at).unwrap().gid)
        .collect();
    assert_eq!(gids, [70_050, 70_100]);
}

#[test]
fn scope_says_which_group_is_ours_and_which_is_to_be_asked_of_nss() {
    let index = OwnedIndex::from_bytes(example().build().unwrap()).unwrap();
    let scope: Vec<_> = index
        .index()
        .scope()
        .map(|group| (group.name.to_owned(), group.gid))
        .collect();
    assert_eq!(
        scope,
        [
            ("jump-users".to_owned(), Some(66_000)),
            ("EXAMPLE\\domain admins".to_owned(), None),
        ]
    );
}

#[test]
fn equal_policies_give_equal_bytes() {
    let mut turned = example();
    turned.users.reverse();
    turned.groups.rotate_left(1);
    assert_eq!(turned.build(), example().build());
}

#[test]
fn a_policy_without_users_is_an_index_too() {
    let empty = IndexBuilder {
        users: vec![],
        groups: vec![group("jump-users", 66_000, &[])],
        scope: vec!["jump-users".into()],
    };
    let index = OwnedIndex::from_bytes(empty.build().unwrap()).unwrap();
    assert_eq!(index.index().users().count(), 0);
    assert_eq!(index.index().scope().count(), 1);
}

#[test]
fn what_must_not_be_in_an_index_is_not_written() {
    let refused = |change: fn(&mut IndexBuilder)| {
        let mut builder = example();
        change(&mut builder);
        builder.build().unwrap_err()
    };
    assert!(matches!(
        refused(|b| b.users[0].uid = 0),
        BuildError::ReservedId { id: 0, .. }
    ));
    assert!(matches!(
        refused(|b| b.users[0].gid = 27),
        BuildError::ReservedId { id: 27, .. }
    ));
    assert!(matches!(
        refused(|b| b.groups[1].gid = 65_534),
        BuildError::ReservedId { .. }
    ));
    assert!(matches!(
        refused(|b| b.users[0].name = "-oProxyCommand".into()),
        BuildError::Name(_)
    ));
    assert!(matches!(
        refused(|b| b.users[0].gecos = "x\nroot::0:0".into()),
        BuildError::Field(_)
    ));
    assert!(matches!(
        refused(|b| b.users[0].shell = "/bin/sh:".into()),
        BuildError::Field(_)
    ));
    assert!(matches!(
        refused(|b| b.users[0].name = "bob".into()),
        BuildError::DuplicateUser(_)
    ));
    assert_eq!(
        refused(|b| b.users[0].uid = 70_001),
        BuildError::DuplicateUid(70_001)
    );
    assert!(matches!(
        refused(|b| b.groups[1].name = "empty".into()),
        BuildError::DuplicateGroup(_)
    ));
    assert_eq!(
        refused(|b| b.groups[1].gid = 66_000),
        BuildError::DuplicateGid(66_000)
    );
    assert!(matches!(
        refused(|b| b.groups[1].members.push("mallory".into())),
        BuildError::UnknownMember { .. }
    ));
    assert!(matches!(
        refused(|b| b.users[0].gid = 70_999),
        BuildError::UnknownPrimaryGroup { gid: 70_999, .. }
    ));
    assert_eq!(refused(|b| b.scope.clear()), BuildError::NoHostGroup);
    assert_eq!(refused(|b| b.scope.reverse()), BuildError::NoHostGroup);
    assert!(matches!(
        refused(|b| b.scope.push("a\nb".into())),
        BuildError::Name(_)
    ));
}

#[test]
fn a_truncated_or_extended_file_is_never_an_index() {
    let bytes = example().build().unwrap();
    for length in 0..bytes.len() {
        assert!(Index::new(&bytes[..length]).is_err(), "{length} bytes");
    }
    let mut longer = bytes;
    longer.push(0);
    assert_eq!(Index::new(&longer).unwrap_err(), Damaged::Length);
}

#[test]
fn every_single_changed_bit_is_noticed() {
    let bytes = example().build().unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            assert!(Index::new(&changed).is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn another_version_is_told_from_garbage() {
    let mut bytes = example().build().unwrap();
    bytes[7] = 2;
    assert_eq!(Index::new(&bytes).unwrap_err(), Damaged::Version(2));
    assert_eq!(Index::new(b"root:x:0:0").unwrap_err(), Damaged::NotAnIndex);
    assert_eq!(Index::new(b"").unwrap_err(), Damaged::NotAnIndex);
}

#[test]
fn a_large_index_answers_for_everyone() {
    let builder = IndexBuilder {
        users: (0..20_000)
            .map(|n| account(&format!("user{n}"), 100_000 + n * 7 % 140_000))
            .collect(),
        groups: vec![group("jump-users", 66_000, &[])],
        scope: vec!["jump-users".into()],
    };
    let wanted: BTreeMap<_, _> = builder
        .users
        .iter()
        .map(|user| (user.name.clone(), user.uid))
        .collect();
    let index = OwnedIndex::from_bytes(builder.build().unwrap()).unwrap();
    for (name, uid) in &wanted {
        assert_eq!(index.index().by_name(name).unwrap().uid, *uid);
        assert_eq!(index.index().by_uid(*uid).unwrap().name, name);
    }
}

mod files {
    //! Loading from a file.

    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn only_a_plain_file_that_its_owner_alone_may_write_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accounts");
        fs::write(&path, example().build().unwrap()).unwrap();
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert_eq!(OwnedIndex::open(&path).unwrap().index().users().count(), 3);
        for writable in [0o664, 0o646] {
            mode(writable);
            assert!(matches!(OwnedIndex::open(&path), Err(OpenError::Writable)));
        }
        mode(0o644);

        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(
            OwnedIndex::open(&link),
            Err(OpenError::NotRegular)
        ));
        assert!(matches!(
            OwnedIndex::open(dir.path()),
            Err(OpenError::NotRegular)
        ));
        assert!(matches!(
            OwnedIndex::open(dir.path().join("missing")),
            Err(OpenError::Io(_))
        ));
        let pipe = dir.path().join("pipe");
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        assert!(matches!(
            OwnedIndex::open(&pipe),
            Err(OpenError::NotRegular)
        ));
    }

    #[test]
    fn a_file_too_large_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accounts");
        let file = fs::File::create(&path).unwrap();
        file.set_len(300 << 20).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(OwnedIndex::open(&path), Err(OpenError::TooLarge)));
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        for error in [
            OpenError::NotRegular,
            OpenError::Writable,
            OpenError::TooLarge,
            OpenError::Damaged(Damaged::Checksum),
        ] {
            assert!(error.to_string().contains("jumpctl apply"), "{error}");
        }
    }
}
