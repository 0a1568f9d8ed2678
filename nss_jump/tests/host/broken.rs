//! No index, or one not to believe: the answer is UNAVAIL, at once, and
//! good again as soon as the file is.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use jump_accounts::format::HEADER;
use nix::sys::stat::Mode;
use nix::unistd::{Uid, mkfifo, setuid};

use crate::direct::{SUCCESS, TRYAGAIN, UNAVAIL, getgrnam, getpwent, getpwnam, initgroups};
use crate::process::in_child;
use crate::support::{INDEX, account, crowd, example, publish};

pub(crate) const TRIALS: &[(&str, fn())] = &[
    ("without_an_index_there_is_nobody", missing),
    ("what_is_no_regular_file_is_not_opened", not_regular),
    ("a_truncated_index_is_not_used", truncated),
    ("garbage_is_not_used", garbage),
    ("an_index_others_may_write_is_not_used", writable),
    ("an_unreadable_index_is_not_used", unreadable),
    ("an_index_changed_in_place_is_noticed", in_place),
    ("without_descriptors_it_says_try_again", no_descriptors),
    (
        "local_files_that_cannot_be_read_hide_everybody",
        local_files,
    ),
];

fn assert_unavailable(why: &str) {
    let started = Instant::now();
    let mut buffer = [0; 4096];
    assert_eq!(getpwnam("alice", &mut buffer).0, UNAVAIL, "{why}");
    assert_eq!(getgrnam("dba", &mut buffer).0, UNAVAIL, "{why}");
    assert_eq!(getpwent(&mut buffer).0, UNAVAIL, "{why}");
    assert_eq!(initgroups("alice", 0, 0, 1, -1).0, UNAVAIL, "{why}");
    let local = nix::unistd::User::from_name("local").unwrap();
    assert!(local.is_some(), "{why}: local users log in as before");
    assert!(started.elapsed() < Duration::from_secs(2), "{why}");
}

fn assert_works() {
    let mut buffer = [0; 4096];
    let (status, _, line) = getpwnam("alice", &mut buffer);
    assert_eq!(status, SUCCESS);
    assert!(line.starts_with("alice:*:70001:"));
}

fn recover() {
    let _ = fs::remove_dir(INDEX);
    publish(&example().build().unwrap());
    assert_works();
}

fn missing() {
    assert_unavailable("no file");
    recover();
    fs::remove_file(INDEX).unwrap();
    assert_unavailable("removed");
    recover();
    fs::remove_dir_all("/var/lib/jump").unwrap();
    assert_unavailable("no directory");
}

fn not_regular() {
    let aside = "/var/lib/jump/aside";
    for make in [
        (|| mkfifo(INDEX, Mode::from_bits_truncate(0o644)).unwrap()) as fn(),
        || fs::create_dir(INDEX).unwrap(),
        || symlink("/var/lib/jump/aside", INDEX).unwrap(),
        || symlink("/dev/zero", INDEX).unwrap(),
        || symlink("accounts", INDEX).unwrap(),
    ] {
        recover();
        fs::rename(INDEX, aside).unwrap();
        make();
        assert_unavailable("not a regular file");
    }
    recover();
}

fn truncated() {
    let bytes = example().build().unwrap();
    for length in (0..bytes.len()).step_by(7).chain([HEADER, bytes.len() - 1]) {
        publish(&bytes[..length]);
        assert_unavailable("truncated");
    }
    recover();
    let large = crowd(20_000).build().unwrap();
    publish(&large[..large.len() - 5000]);
    assert_unavailable("truncated, mapped");
    recover();
}

fn garbage() {
    let zeros = vec![0; 3 << 20];
    for bytes in [&b"root:x:0:0:root:/root:/bin/sh\n"[..], &zeros, &[0xff; 64]] {
        publish(bytes);
        assert_unavailable("garbage");
    }
    recover();
    let huge = fs::File::create("/var/lib/jump/huge").unwrap();
    huge.set_len(1 << 40).unwrap();
    fs::set_permissions("/var/lib/jump/huge", fs::Permissions::from_mode(0o644)).unwrap();
    fs::rename("/var/lib/jump/huge", INDEX).unwrap();
    assert_unavailable("huge");
    recover();
}

fn writable() {
    recover();
    for mode in [0o664, 0o646, 0o666] {
        fs::set_permissions(INDEX, fs::Permissions::from_mode(mode)).unwrap();
        assert_unavailable("writable");
    }
    fs::set_permissions(INDEX, fs::Permissions::from_mode(0o444)).unwrap();
    assert_works();
}

fn unreadable() {
    recover();
    fs::set_permissions(INDEX, fs::Permissions::from_mode(0o600)).unwrap();
    if Uid::effective().is_root() {
        in_child(|| {
            // In a user namespace only uid 0 exists; there root reads anything.
            if setuid(Uid::from_raw(4321)).is_ok() {
                assert_unavailable("mode 0600");
            }
        });
    }
    assert_works();
}

fn in_place() {
    recover();
    // An editor or `cp` over the file: worse than rename, but no crash.
    let bytes = example().build().unwrap();
    for round in 0..200 {
        fs::write(INDEX, &bytes[..bytes.len() * (round % 7) / 7]).unwrap();
        assert_unavailable("half written");
        fs::write(INDEX, &bytes).unwrap();
        assert_works();
    }
    publish(&crowd(20_000).build().unwrap());
    let mut buffer = [0; 4096];
    assert_eq!(getpwnam("user77", &mut buffer).0, SUCCESS);
    let file = fs::File::options().write(true).open(INDEX).unwrap();
    file.set_len(100).unwrap();
    assert_unavailable("truncated while mapped");
}

fn no_descriptors() {
    publish(&example().build().unwrap());
    let mut buffer = [0; 4096];
    // Loads the library while it still can be opened.
    assert_works();
    let mut held = Vec::new();
    while let Ok(file) = fs::File::open("/dev/null") {
        held.push(file);
    }
    assert_works();
    // A new index cannot be opened now.
    let spare = held.pop().unwrap();
    drop(spare);
    let other = {
        let mut policy = example();
        policy.users.push(account("zoe", 70_009));
        policy.build().unwrap()
    };
    publish(&other);
    while let Ok(file) = fs::File::open("/dev/null") {
        held.push(file);
    }
    let (status, errno, _) = getpwnam("alice", &mut buffer);
    assert_eq!((status, errno), (TRYAGAIN, libc::EMFILE));
    drop(held);
    assert_works();
}

fn local_files() {
    recover();
    fs::remove_file("/etc/passwd").unwrap();
    mkfifo("/etc/passwd", Mode::from_bits_truncate(0o644)).unwrap();
    let mut buffer = [0; 4096];
    let started = Instant::now();
    assert_eq!(getpwnam("alice", &mut buffer).0, UNAVAIL);
    assert!(started.elapsed() < Duration::from_secs(2));
}
