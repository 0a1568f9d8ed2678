//! The caller's buffers: every size, every alignment.

use crate::direct::{
    NOTFOUND, SUCCESS, TRYAGAIN, getgrnam, getpwent, getpwnam, initgroups, setpwent,
};
use crate::support::{crowd, example, group, publish};

pub(crate) const TRIALS: &[(&str, fn())] = &[
    ("a_buffer_too_small_is_erange_and_never_overrun", every_size),
    ("an_enumeration_repeats_what_did_not_fit", enumeration),
    ("a_group_of_thousands_fits_a_large_buffer", large_group),
    ("initgroups_grows_up_to_the_limit", groups),
];

const CANARY: u8 = 0xA5;

/// Asks with each length from 0 on until the answer fits, at each alignment.
/// Every failure must be ERANGE and every byte beyond the length untouched.
fn sizes(ask: impl Fn(&mut [u8]) -> (i32, i32, String), wanted: &str) {
    for misaligned in 0..8 {
        let mut fitted = 0;
        for length in 0..400 {
            let mut memory = vec![CANARY; 512];
            let (status, errno, line) = ask(&mut memory[misaligned..misaligned + length]);
            assert!(memory[..misaligned].iter().all(|byte| *byte == CANARY));
            assert!(
                memory[misaligned + length..]
                    .iter()
                    .all(|byte| *byte == CANARY),
                "{length} bytes at {misaligned} overrun"
            );
            if status == SUCCESS {
                assert_eq!(line, wanted);
                fitted += 1;
            } else {
                assert_eq!((status, errno), (TRYAGAIN, libc::ERANGE));
                assert_eq!(fitted, 0, "what fits {} fits {length}", length - 1);
            }
        }
        assert!(fitted > 0, "400 bytes are enough");
    }
}

fn every_size() {
    publish(&example().build().unwrap());
    sizes(
        |buffer| getpwnam("alice", buffer),
        "alice:*:70001:66000:alice of the policy:/usr/lib/jump/home:/usr/bin/jump-shell",
    );
    sizes(
        |buffer| getgrnam("jump-users", buffer),
        "jump-users:*:66000:alice,bob,carol",
    );
    let unknown = getpwnam("mallory", &mut []);
    assert_eq!((unknown.0, unknown.1), (NOTFOUND, libc::ENOENT));
}

fn enumeration() {
    publish(&example().build().unwrap());
    setpwent();
    let mut names = Vec::new();
    for _ in 0..3 {
        for length in [0, 1, 10, 30] {
            let (status, errno, _) = getpwent(&mut vec![0; length]);
            assert_eq!((status, errno), (TRYAGAIN, libc::ERANGE));
        }
        let (status, _, line) = getpwent(&mut [0; 200]);
        assert_eq!(status, SUCCESS);
        names.push(line.split(':').next().unwrap().to_owned());
    }
    assert_eq!(names, ["alice", "bob", "carol"]);
    assert_eq!(getpwent(&mut [0; 200]).0, NOTFOUND);
    assert_eq!(getpwent(&mut [0; 200]).0, NOTFOUND);
}

fn large_group() {
    publish(&crowd(5_000).build().unwrap());
    assert_eq!(getgrnam("jump-users", &mut [0; 1024]).1, libc::ERANGE);
    let (status, _, line) = getgrnam("jump-users", &mut vec![0; 1 << 20]);
    assert_eq!(status, SUCCESS);
    assert_eq!(line.split(',').count(), 5_000);
    let through_glibc = nix::unistd::Group::from_name("jump-users").unwrap();
    assert_eq!(through_glibc.unwrap().mem.len(), 5_000);
}

fn groups() {
    let mut policy = example();
    for n in 0..40 {
        let team = group(&format!("team{n:02}"), 71_000 + n, &["alice"]);
        policy.groups.push(team);
    }
    publish(&policy.build().unwrap());
    let all: Vec<_> = [70_100, 66_000].into_iter().chain(71_000..71_040).collect();
    for room in [0, 1, 2, 3, 41, 42, 43, 100] {
        let (status, ids) = initgroups("alice", 0, 0, room, -1);
        assert_eq!((status, &ids), (SUCCESS, &all), "room for {room}");
    }
    let (_, ids) = initgroups("alice", 66_000, 0, 1, 0);
    assert_eq!(ids.len(), 41, "the skipped group is the caller's");
    assert!(!ids.contains(&66_000));
    let (status, ids) = initgroups("alice", 66_000, 3, 3, -1);
    assert_eq!(status, SUCCESS);
    assert_eq!(ids.len(), 44);
    assert_eq!(ids[..3], [0, 0, 0], "what is there stays");
    for limit in 1..60 {
        let (status, ids) = initgroups("alice", 0, 1, 1, limit);
        assert_eq!(status, SUCCESS);
        assert_eq!(ids.len(), 43.min(usize::try_from(limit).unwrap()));
    }
    assert_eq!(initgroups("mallory", 0, 0, 4, -1), (NOTFOUND, vec![]));
    assert_eq!(initgroups("bob", 66_000, 0, 4, -1), (SUCCESS, vec![]));
}
