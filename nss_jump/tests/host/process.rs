//! The library in processes that thread, fork, close, confine and exit.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use crate::answers::name;
use crate::direct::{SUCCESS, getpwnam, getpwnam_status};
use crate::support::{account, crowd, example, publish};

pub(crate) const TRIALS: &[(&str, fn())] = &[
    ("an_index_replaced_while_threads_read_it", replaced),
    ("children_of_threaded_processes_get_answers", fork_storm),
    ("no_descriptor_stays_open_and_none_is_needed", descriptors),
    ("lookups_need_no_syscall_but_to_read_files", confined),
    (
        "where_mapping_is_refused_the_index_is_read",
        mapping_refused,
    ),
    ("a_large_index_is_mapped_and_dropped_when_replaced", large),
    ("lookups_work_while_the_process_exits", at_exit),
    ("statically_linked_programs_get_answers", static_program),
];

/// Runs `body` in a child; its failure, or a wait of 20 s, is ours.
pub(crate) fn in_child(body: impl FnOnce()) {
    // SAFETY: the child runs code of this test only and exits.
    match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
        }
        ForkResult::Child => {
            nix::unistd::alarm::set(20);
            let fine = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_ok();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(!fine)) };
        }
    }
}

/// Two policies that differ in every answer.
fn even_and_odd() -> [Vec<u8>; 2] {
    [0, 1].map(|odd| {
        let mut policy = example();
        for user in &mut policy.users {
            user.uid += odd * 1000;
            user.gecos = format!("{} {odd}", user.uid);
        }
        policy.build().unwrap()
    })
}

fn consistent() {
    for user in ["alice", "bob", "carol"] {
        let mut buffer = [0; 512];
        let (status, _, line) = getpwnam(user, &mut buffer);
        assert_eq!(status, SUCCESS);
        let fields: Vec<_> = line.split(':').collect();
        let (uid, gecos) = (fields[2], fields[4]);
        assert_eq!(gecos.split(' ').next(), Some(uid), "one answer, one index");
        assert_eq!(fields[0], user);
    }
}

fn replaced() {
    let indexes = even_and_odd();
    publish(&indexes[0]);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    consistent();
                }
            });
        }
        for round in 0..3000 {
            publish(&indexes[round % 2]);
        }
        done.store(true, Ordering::Relaxed);
    });
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    assert!(maps.lines().count() < 300, "old indexes are given back");
}

fn fork_storm() {
    let indexes = even_and_odd();
    publish(&indexes[0]);
    consistent();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    consistent();
                    publish_quietly(&indexes[1]);
                    consistent();
                    publish_quietly(&indexes[0]);
                }
            });
        }
        for _ in 0..100 {
            in_child(|| {
                for _ in 0..20 {
                    consistent();
                }
                // Its own child, forked in turn from what it inherited.
                in_child(consistent);
            });
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// As `publish`, from several threads at once.
fn publish_quietly(bytes: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    let new = format!("/var/lib/jump/new.{:?}", thread::current().id());
    fs::write(&new, bytes).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o644)).unwrap();
    fs::rename(&new, crate::support::INDEX).unwrap();
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn descriptors() {
    let indexes = even_and_odd();
    publish(&indexes[0]);
    consistent();
    let before = open_descriptors();
    for round in 0..100 {
        publish(&indexes[round % 2]);
        consistent();
    }
    assert_eq!(open_descriptors(), before);
    in_child(|| {
        // A daemon that closes all it did not open; 0, 1 and 2 too.
        // SAFETY: nothing of this child uses a descriptor after this.
        unsafe { libc::close_range(0, u32::MAX, 0) };
        consistent();
        publish(&even_and_odd()[1]);
        consistent();
    });
}

/// Installs a filter: syscalls of `allowed` pass, the others get `otherwise`.
/// mmap of a file gets `mmap_file`.
fn filter(allowed: &[i64], otherwise: u32, mmap_file: u32) {
    let load = |offset: u32| bpf(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
    let equal =
        |value: u32, yes, no| bpf(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, yes, no, value);
    let answer = |value: u32| bpf(libc::BPF_RET | libc::BPF_K, 0, 0, value);
    let mut program = vec![
        load(0),
        equal(u32::try_from(libc::SYS_mmap).unwrap(), 0, 4),
        // The low half of the fifth argument: -1 is no file.
        load(16 + 4 * 8),
        equal(u32::MAX, 0, 1),
        answer(libc::SECCOMP_RET_ALLOW),
        answer(mmap_file),
    ];
    for number in allowed {
        program.push(equal(u32::try_from(*number).unwrap(), 0, 1));
        program.push(answer(libc::SECCOMP_RET_ALLOW));
    }
    program.push(answer(otherwise));
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap(),
        filter: program.as_mut_ptr(),
    };
    // SAFETY: takes numbers.
    let answer = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(answer, 0);
    // SAFETY: the program is valid for the call.
    let answer = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) };
    assert_eq!(answer, 0);
}

fn bpf(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    let code = u16::try_from(code).unwrap();
    libc::sock_filter { code, jt, jf, k }
}

/// What a lookup may do, with what the test itself needs to end.
const READING: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_fstat,
    libc::SYS_pread64,
    libc::SYS_close,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_brk,
    libc::SYS_exit_group,
];

fn confined() {
    for index in [example(), crowd(20_000)] {
        let users = index.users.clone();
        publish(&index.build().unwrap());
        let mut buffer = [0; 512];
        in_child(move || {
            // Loads the library; the index is loaded under the filter.
            assert_ne!(getpwnam("-", &mut buffer).0, SUCCESS);
            let kill = libc::SECCOMP_RET_KILL_PROCESS;
            filter(READING, kill, libc::SECCOMP_RET_ALLOW);
            for user in users.iter().take(100) {
                assert_eq!(getpwnam_status(&user.name), SUCCESS);
            }
        });
    }
}

fn mapping_refused() {
    publish(&crowd(20_000).build().unwrap());
    let mut buffer = [0; 512];
    in_child(move || {
        assert_ne!(getpwnam("-", &mut buffer).0, SUCCESS);
        let refused = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EACCES).unwrap();
        let kill = libc::SECCOMP_RET_KILL_PROCESS;
        filter(READING, kill, refused);
        for n in (0..20_000).step_by(37) {
            let (status, _, line) = getpwnam(&format!("user{n}"), &mut buffer);
            assert_eq!(status, SUCCESS);
            assert!(line.starts_with(&format!("user{n}:*:{}:", 100_000 + n)));
        }
    });
}

fn large() {
    let mapped = || {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines()
            .filter(|line| line.contains("/accounts"))
            .count()
    };
    let mut policy = crowd(20_000);
    for round in 0..20 {
        policy
            .users
            .push(account(&format!("late{round}"), 150_000 + round));
        publish(&policy.build().unwrap());
        assert!(name(&format!("late{round}")).is_some());
        assert_eq!(mapped(), 1, "the old one is given back");
    }
    publish(&example().build().unwrap());
    assert!(name("alice").is_some());
    assert_eq!(mapped(), 0, "a small one is copied");
}

extern "C" fn look_up_at_exit() {
    if name("alice").is_none() {
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(9) };
    }
}

fn at_exit() {
    publish(&example().build().unwrap());
    in_child(|| {
        assert!(name("alice").is_some());
        // SAFETY: the function takes and returns nothing.
        assert_eq!(unsafe { libc::atexit(look_up_at_exit) }, 0);
        // SAFETY: runs the handlers and ends the child.
        unsafe { libc::exit(0) };
    });
}

const STATIC_PROGRAM: &str = r#"
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
    int users = 0;
    for (int i = 0; i < 1000; i++) {
        struct passwd *p = getpwnam("alice");
        if (!p || p->pw_uid != 70001 || strcmp(p->pw_passwd, "*")) return 2;
        struct group *g = getgrgid(66000);
        if (!g || strcmp(g->gr_mem[2], "carol") || g->gr_mem[3]) return 3;
    }
    if (getpwnam("mallory")) return 4;
    setpwent();
    while (getpwent()) users++;
    endpwent();
    if (users != 5) return 5;
    for (int i = 0; i < 100; i++) {
        int count = 400;
        gid_t *groups = malloc(count * sizeof *groups);
        if (getgrouplist("alice", 66000, groups, &count) != 302) return 6;
        free(groups);
        free(malloc(10000));
    }
    return 0;
}
"#;

fn static_program() {
    let mut policy = example();
    for n in 0..300 {
        let team = crate::support::group(&format!("team{n}"), 71_000 + n, &["alice"]);
        policy.groups.push(team);
    }
    publish(&policy.build().unwrap());
    fs::write("/var/lib/static.c", STATIC_PROGRAM).unwrap();
    // (Not "cc", which is a link through /etc/alternatives.)
    // The compiler warns that glibc will load NSS modules: that is the point.
    let built = Command::new("gcc")
        .args([
            "-static",
            "-w",
            "-o",
            "/var/lib/static",
            "/var/lib/static.c",
        ])
        .env_remove("LD_LIBRARY_PATH")
        .output()
        .expect("a C compiler is installed, as rustc links with it");
    assert!(built.status.success(), "{built:?}");
    let status = Command::new("/var/lib/static").status().unwrap();
    assert!(status.success(), "{status}");
}
