//! The built library, and a private `/etc` and `/var/lib` to try it in.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shared by several test programs, each of which uses a part"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use jump_accounts::{Account, Group, IndexBuilder};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Where the library looks.
pub(crate) const INDEX: &str = "/var/lib/jump/accounts";

/// Builds the library for release, optimised as a whole, and answers the directory in which glibc finds it by its SONAME.
pub(crate) fn library(scratch: &Path) -> PathBuf {
    let target = scratch.join("nss_jump");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--package", "nss_jump"])
        .args(["--config", "profile.release.lto=\"fat\""])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // The instrumentation of a coverage run is not part of the library.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the library does not build");
    let release = target.join("release");
    let link = release.join("libnss_jump.so.2");
    if !link.exists() {
        // Another trial may be doing the same at this moment.
        let _ = symlink("libnss_jump.so", &link);
    }
    release
}

/// Gives this process an `/etc` and a `/var/lib` that nobody else sees, with
/// glibc told to ask the library. Must come before any thread is started.
pub(crate) fn enter_private_host() {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if uid.is_root() {
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    } else {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).expect("a user namespace");
        fs::write("/proc/self/setgroups", "deny").unwrap();
        fs::write("/proc/self/uid_map", format!("0 {uid} 1")).unwrap();
        fs::write("/proc/self/gid_map", format!("0 {gid} 1")).unwrap();
    }
    let none: Option<&str> = None;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none).expect("private mounts");
    let cache = fs::read("/etc/ld.so.cache").unwrap_or_default();
    for place in ["/etc", "/var/lib"] {
        let tmpfs = Some("tmpfs");
        mount(tmpfs, place, tmpfs, MsFlags::empty(), Some("mode=755")).expect("a tmpfs");
    }
    fs::write("/etc/ld.so.cache", cache).unwrap();
    fs::write(
        "/etc/nsswitch.conf",
        "passwd: files jump\ngroup: files jump\nshadow: files\n",
    )
    .unwrap();
    local_users(&[
        "root:x:0:0:root:/root:/bin/sh",
        "local:x:1000:1000::/:/bin/sh",
    ]);
    local_groups(&["root:x:0:", "local:x:1000:"]);
    fs::create_dir("/var/lib/jump").unwrap();
}

/// Replaces `/etc/passwd` as `useradd(8)` does: by rename.
pub(crate) fn local_users(lines: &[&str]) {
    replace(
        Path::new("/etc/passwd"),
        (lines.join("\n") + "\n").as_bytes(),
    );
}

/// Replaces `/etc/group` the same way.
pub(crate) fn local_groups(lines: &[&str]) {
    replace(
        Path::new("/etc/group"),
        (lines.join("\n") + "\n").as_bytes(),
    );
}

/// Puts an index in force as jumpd does: by rename.
pub(crate) fn publish(bytes: &[u8]) {
    replace(Path::new(INDEX), bytes);
}

fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, bytes).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o644)).unwrap();
    fs::rename(&new, path).unwrap();
}

/// A user of the policy.
pub(crate) fn account(name: &str, uid: u32) -> Account {
    Account {
        name: name.into(),
        uid,
        gid: 66_000,
        gecos: format!("{name} of the policy"),
        home: "/usr/lib/jump/home".into(),
        shell: "/usr/bin/jump-shell".into(),
    }
}

/// A group of the policy.
pub(crate) fn group(name: &str, gid: u32, members: &[&str]) -> Group {
    Group {
        name: name.into(),
        gid,
        members: members.iter().map(ToString::to_string).collect(),
    }
}

/// alice (70001), bob (70002), carol (70003); dba: alice and carol.
pub(crate) fn example() -> IndexBuilder {
    IndexBuilder {
        users: vec![
            account("alice", 70_001),
            account("bob", 70_002),
            account("carol", 70_003),
        ],
        groups: vec![
            group("jump-users", 66_000, &[]),
            group("dba", 70_100, &["alice", "carol"]),
        ],
        scope: vec!["jump-users".into()],
    }
}

/// `count` users named user0, user1, … from uid 100000 on.
pub(crate) fn crowd(count: u32) -> IndexBuilder {
    IndexBuilder {
        users: (0..count)
            .map(|n| account(&format!("user{n}"), 100_000 + n))
            .collect(),
        groups: vec![group("jump-users", 66_000, &[])],
        scope: vec!["jump-users".into()],
    }
}
