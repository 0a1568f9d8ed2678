//! What glibc's callers get, and what they never get.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::process::Command;

use jump_accounts::format::{HEADER, reseal};
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use crate::direct::{enumerate_groups, enumerate_users};
use crate::support::{account, example, group, local_groups, local_users, publish};

pub(crate) const TRIALS: &[(&str, fn())] = &[
    ("a_user_has_all_fields_of_the_policy", user),
    ("a_group_lists_its_members", groups),
    ("group_membership_at_login", memberships),
    ("getent_and_id_see_the_policy", programs),
    ("enumeration_gives_everybody_once", enumeration),
    ("a_local_user_hides_ours", local_user_wins),
    ("a_local_group_hides_ours", local_group_wins),
    (
        "a_local_user_made_later_hides_ours_at_once",
        local_user_later,
    ),
    ("odd_lines_of_local_files_hide_too", odd_local_lines),
    ("a_tampered_index_gives_no_system_id", tampered),
    ("odd_names_are_unknown", odd_names),
];

pub(crate) fn name(user: &str) -> Option<User> {
    User::from_name(user).expect("no error")
}

fn uid(uid: u32) -> Option<User> {
    User::from_uid(Uid::from_raw(uid)).expect("no error")
}

fn group_named(name: &str) -> Option<Group> {
    Group::from_name(name).expect("no error")
}

fn gid(gid: u32) -> Option<Group> {
    Group::from_gid(Gid::from_raw(gid)).expect("no error")
}

fn publish_example() {
    publish(&example().build().unwrap());
}

fn user() {
    publish_example();
    let alice = name("alice").unwrap();
    assert_eq!(alice.uid.as_raw(), 70_001);
    assert_eq!(alice.gid.as_raw(), 66_000);
    assert_eq!(alice.passwd.to_str(), Ok("*"));
    assert_eq!(alice.gecos.to_str(), Ok("alice of the policy"));
    assert_eq!(alice.dir.to_str(), Some("/usr/lib/jump/home"));
    assert_eq!(alice.shell.to_str(), Some("/usr/bin/jump-shell"));
    assert_eq!(uid(70_001).unwrap(), alice);
    assert!(name("mallory").is_none());
    assert!(uid(70_009).is_none());
}

fn groups() {
    publish_example();
    let host = gid(66_000).unwrap();
    assert_eq!(host.name, "jump-users");
    assert_eq!(host.mem, ["alice", "bob", "carol"]);
    assert_eq!(group_named("dba").unwrap().mem, ["alice", "carol"]);
    assert!(group_named("dbas").is_none());
    assert!(gid(66_001).is_none());
}

fn memberships() {
    let mut policy = example();
    for n in 0..300 {
        policy
            .groups
            .push(group(&format!("team{n}"), 71_000 + n, &["alice"]));
    }
    publish(&policy.build().unwrap());
    let of = |user: &str, primary: u32| {
        let user = CString::new(user).unwrap();
        getgrouplist(&user, Gid::from_raw(primary))
            .unwrap()
            .into_iter()
            .map(Gid::as_raw)
            .collect::<Vec<_>>()
    };
    let alice = of("alice", 66_000);
    assert_eq!(alice.len(), 302, "primary, dba and 300 teams");
    assert_eq!(alice.first(), Some(&66_000));
    let wanted: BTreeSet<u32> = (71_000..71_300).chain([66_000, 70_100]).collect();
    assert_eq!(alice.into_iter().collect::<BTreeSet<_>>(), wanted);
    assert_eq!(of("bob", 66_000), [66_000]);
    assert_eq!(of("local", 1000), [1000], "nothing is added to others");
    assert_eq!(of("root", 0), [0]);
}

fn programs() {
    publish_example();
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(
        said("getent", &["passwd", "carol"]),
        "carol:*:70003:66000:carol of the policy:/usr/lib/jump/home:/usr/bin/jump-shell\n"
    );
    assert_eq!(
        said("getent", &["group", "dba"]),
        "dba:*:70100:alice,carol\n"
    );
    assert_eq!(
        said("id", &["alice"]),
        "uid=70001(alice) gid=66000(jump-users) groups=66000(jump-users),70100(dba)\n"
    );
}

fn enumeration() {
    publish_example();
    let ours = ["alice", "bob", "carol"];
    for _ in 0..200 {
        let users = enumerate_users(|_| {});
        assert_eq!(users, [&["root", "local"][..], &ours].concat());
    }
    assert_eq!(
        enumerate_groups(|_| {}),
        ["root", "local", "jump-users", "dba"]
    );
    // Another policy half way: who is in both comes once.
    let mut later = example();
    later.users.retain(|user| user.name != "bob");
    later.users.push(account("aaron", 70_000));
    later.users.push(account("zoe", 70_009));
    let later = later.build().unwrap();
    let users = enumerate_users(|user| {
        if user == "alice" {
            publish(&later);
        }
    });
    assert_eq!(users, ["root", "local", "alice", "carol", "zoe"]);
}

fn local_user_wins() {
    local_users(&[
        "root:x:0:0:root:/root:/bin/sh",
        "alice:x:1001:1001::/:/bin/sh",
        "other:x:70002:1002::/:/bin/sh",
    ]);
    publish_example();
    assert_eq!(name("alice").unwrap().uid.as_raw(), 1001);
    assert!(uid(70_001).is_none(), "our alice has no other way in");
    assert_eq!(uid(70_002).unwrap().name, "other");
    assert!(name("bob").is_none(), "his uid is somebody else");
    assert_eq!(name("carol").unwrap().uid.as_raw(), 70_003);
    assert_eq!(enumerate_users(|_| {}), ["root", "alice", "other", "carol"]);
    assert_eq!(gid(66_000).unwrap().mem, ["carol"]);
    let alice = CString::new("alice").unwrap();
    let groups = getgrouplist(&alice, Gid::from_raw(1001)).unwrap();
    assert_eq!(groups, [Gid::from_raw(1001)], "not in our dba");
}

fn local_group_wins() {
    publish_example();
    local_groups(&["root:x:0:", "dba:x:1005:"]);
    assert!(gid(70_100).is_none());
    assert_eq!(group_named("dba").unwrap().gid.as_raw(), 1005);
    let groups = || {
        let alice = CString::new("alice").unwrap();
        getgrouplist(&alice, Gid::from_raw(66_000)).unwrap()
    };
    assert_eq!(groups(), [Gid::from_raw(66_000)]);
    local_groups(&["root:x:0:", "other:x:70100:"]);
    assert!(group_named("dba").is_none());
    assert_eq!(groups(), [Gid::from_raw(66_000)]);
    // The same group in both places is no danger; another one is.
    local_groups(&["root:x:0:", "jump-users:x:66000:"]);
    assert_eq!(name("alice").unwrap().gid.as_raw(), 66_000);
    local_groups(&["root:x:0:", "wheel:x:66000:"]);
    assert!(name("alice").is_none(), "or she would be in wheel");
}

fn local_user_later() {
    publish_example();
    let root = "root:x:0:0:root:/root:/bin/sh";
    for _ in 0..20 {
        assert_eq!(name("alice").unwrap().uid.as_raw(), 70_001);
        local_users(&[root, "alice:x:1001:1001::/:/bin/sh"]);
        assert!(uid(70_001).is_none());
        local_users(&[root, "someone:x:70001:1001::/:/bin/sh"]);
        assert!(name("alice").is_none());
        local_users(&[root]);
        assert_eq!(uid(70_001).unwrap().name, "alice");
    }
    std::fs::remove_file("/etc/passwd").unwrap();
    std::fs::remove_file("/etc/group").unwrap();
    assert_eq!(uid(70_001).unwrap().name, "alice");
}

fn odd_local_lines() {
    publish_example();
    let long = "x".repeat(10_000);
    for hiding in [
        "  alice:x:1001:1001::/:/bin/sh",
        "alice:",
        "other:x: 70001:1::/:",
        "other:x:+70001:1::/:",
        "other:x:0070001:1::/:",
        &format!("{long}\nalice:x:1:1::/:{long}"),
        &format!("other:{long}:70001:1::/:"),
    ] {
        local_users(&["root:x:0:0:root:/root:/bin/sh", hiding]);
        assert!(
            uid(70_001).is_none_or(|user| user.name != "alice"),
            "{hiding:.40}"
        );
    }
    // The last line has no newline.
    std::fs::write("/etc/passwd", "root:x:0:0::/:\nother:x:70001:1::/:").unwrap();
    assert!(name("alice").is_none());
    for harmless in ["#alice:x", "alice", "", ":::", "alicea:x:700010:0::/:"] {
        local_users(&["root:x:0:0:root:/root:/bin/sh", harmless]);
        assert!(name("alice").is_some(), "{harmless}");
    }
}

fn tampered() {
    let index = example().build().unwrap();
    // alice is the first entry: her uid, then her gid.
    for id in [
        0,
        1,
        999,
        60_001,
        61_184,
        65_519,
        65_534,
        65_535,
        1 << 31,
        u32::MAX,
    ] {
        for field in [HEADER, HEADER + 4] {
            let mut bytes = index.clone();
            bytes[field..field + 4].copy_from_slice(&id.to_le_bytes());
            reseal(&mut bytes);
            publish(&bytes);
            assert!(name("alice").is_none(), "{id}");
            assert!(uid(id).is_none_or(|user| user.name != "alice"));
            assert!(!enumerate_users(|_| {}).contains(&"alice".to_owned()));
        }
    }
    // A primary group that is nobody's in the index.
    let mut bytes = index.clone();
    bytes[HEADER + 4..HEADER + 8].copy_from_slice(&1000u32.to_le_bytes());
    reseal(&mut bytes);
    publish(&bytes);
    assert!(name("alice").is_none());
    // Another name in the text: a system user's, then ones that forge.
    let at = index.windows(5).position(|text| text == b"alice").unwrap();
    for forged in ["local", "a\nb:0", "-lice", "al ce", "al\0ce", "11111"] {
        let mut bytes = index.clone();
        bytes[at..at + 5].copy_from_slice(forged.as_bytes());
        reseal(&mut bytes);
        publish(&bytes);
        assert!(uid(70_001).is_none(), "{forged:?}");
        let members = gid(66_000).unwrap().mem;
        assert!(!members.contains(&forged.to_owned()), "{forged:?}");
    }
}

fn odd_names() {
    publish_example();
    for odd in [
        "",
        "-oProxyCommand=x",
        "../alice",
        "alice\n",
        "70001",
        "ALICE",
        "alicе",
        &"a".repeat(33),
        &"a".repeat(100_000),
    ] {
        assert!(name(odd).is_none(), "{odd:.40}");
        assert!(group_named(odd).is_none(), "{odd:.40}");
    }
}
