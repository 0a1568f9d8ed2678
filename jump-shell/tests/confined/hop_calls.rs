//! The lists of a hop, rule by rule, as the kernel would run them: with the rule the call passes, without
//! it the process dies, and with other arguments it dies too. [`crate::hop_kernel`] makes the calls; that ssh lives with the lists is [`crate::hop`]'s to show.

use crate::Tests;
use crate::calls::{ARCH, another, said, verdict};
use jump_shell::sandbox::filter::{self, Rule};
use jump_shell::sandbox::hop_calls::{HOP, PROBED, RUNNER};
use libc::{
    SECCOMP_RET_ALLOW as ALLOW, SECCOMP_RET_ERRNO as ERRNO, SECCOMP_RET_KILL_PROCESS as KILL,
};

pub(crate) fn tests() -> Tests {
    crate::tests![
        each_rule_lets_its_call_pass,
        without_its_rule_a_call_dies,
        other_arguments_die,
        what_is_probed_is_absent,
        ssh_does_nothing_else,
        the_runner_does_nothing_else,
        no_rule_hides_another,
    ]
}

/// ssh's list as it is in force.
fn ssh() -> Vec<Rule> {
    [HOP, PROBED].concat()
}

fn runner() -> Vec<Rule> {
    [HOP, PROBED, RUNNER].concat()
}

/// Arguments that no rule wants.
const ANY: [u64; 6] = [1; 6];

/// Arguments that each alternative of the rule wants.
pub(crate) fn wanted(rule: &Rule) -> Vec<[u64; 6]> {
    let arguments = |alternative: &&[filter::Argument]| {
        let mut good = ANY;
        for argument in *alternative {
            good[usize::from(argument.index)] = argument.value;
        }
        good
    };
    match rule.when {
        [] => vec![ANY],
        when => when.iter().map(arguments).collect(),
    }
}

fn each_rule_lets_its_call_pass() {
    for (list, rules) in [(ssh(), HOP), (runner(), HOP), (runner(), RUNNER)] {
        for rule in rules {
            for arguments in wanted(rule) {
                assert_eq!(
                    verdict(&list, rule.number, arguments, ARCH),
                    ALLOW,
                    "{}",
                    rule.name
                );
            }
        }
    }
}

fn without_its_rule_a_call_dies() {
    for list in [ssh(), runner()] {
        for omitted in &list {
            let others: Vec<Rule> = list
                .iter()
                .filter(|rule| rule.number != omitted.number)
                .copied()
                .collect();
            for arguments in wanted(omitted) {
                assert_eq!(
                    verdict(&others, omitted.number, arguments, ARCH),
                    KILL,
                    "{}",
                    omitted.name
                );
            }
        }
    }
}

fn other_arguments_die() {
    for list in [ssh(), runner()] {
        // Of two rights either may be asked for; see below.
        for rule in list.iter().filter(|rule| rule.name != "mmap") {
            for (alternative, good) in rule.when.iter().zip(wanted(rule)) {
                for argument in *alternative {
                    let mut bad = good;
                    bad[usize::from(argument.index)] ^= another(argument.mask);
                    assert_eq!(
                        verdict(&list, rule.number, bad, ARCH),
                        KILL,
                        "{} {argument:?}",
                        rule.name
                    );
                }
            }
        }
        let rights = |rights: i32| [0, 4096, u64::from(rights.cast_unsigned()), 0, 0, 0];
        for (mode, answer) in [
            (libc::PROT_READ | libc::PROT_EXEC, ALLOW),
            (libc::PROT_READ | libc::PROT_WRITE, ALLOW),
            (libc::PROT_WRITE | libc::PROT_EXEC, KILL),
        ] {
            assert_eq!(
                verdict(&list, libc::SYS_mmap, rights(mode), ARCH),
                answer,
                "{mode}"
            );
        }
    }
}

fn what_is_probed_is_absent() {
    let absent = filter::compile_absent(PROBED).unwrap();
    for rule in PROBED {
        let answer = said(&absent, rule.number, [0; 6], ARCH);
        assert_eq!(
            answer,
            ERRNO | libc::ENOSYS.cast_unsigned(),
            "{}",
            rule.name
        );
        assert_eq!(
            verdict(&ssh(), rule.number, [0; 6], ARCH),
            ALLOW,
            "{}",
            rule.name
        );
    }
    for rule in HOP.iter().chain(RUNNER) {
        assert_eq!(
            said(&absent, rule.number, [0; 6], ARCH),
            ALLOW,
            "{}",
            rule.name
        );
    }
}

/// What neither ssh nor its runner may do.
const NEVER: &[(i64, [u64; 6])] = &[
    (libc::SYS_execveat, [0; 6]),
    (libc::SYS_ptrace, [0; 6]),
    (libc::SYS_kill, [0; 6]),
    (libc::SYS_tgkill, [0; 6]),
    (libc::SYS_process_vm_readv, [0; 6]),
    (libc::SYS_process_vm_writev, [0; 6]),
    (libc::SYS_pidfd_getfd, [0; 6]),
    (libc::SYS_bind, [0; 6]),
    (libc::SYS_listen, [0; 6]),
    (libc::SYS_accept4, [0; 6]),
    (libc::SYS_sendmsg, [0; 6]),
    (libc::SYS_sendmmsg, [0; 6]),
    (libc::SYS_socketpair, [0; 6]),
    (libc::SYS_io_uring_setup, [0; 6]),
    (libc::SYS_setsid, [0; 6]),
    (libc::SYS_setuid, [0; 6]),
    (libc::SYS_unshare, [0; 6]),
    (libc::SYS_setns, [0; 6]),
    (libc::SYS_mount, [0; 6]),
    (libc::SYS_chdir, [0; 6]),
    (libc::SYS_mkdirat, [0; 6]),
    (libc::SYS_unlinkat, [0; 6]),
    (libc::SYS_renameat2, [0; 6]),
    (libc::SYS_fchmodat, [0; 6]),
    (libc::SYS_bpf, [0; 6]),
    (libc::SYS_openat, [0, 0, libc::O_CREAT as u64, 0, 0, 0]),
    (libc::SYS_openat, [0, 0, libc::O_TRUNC as u64, 0, 0, 0]),
    (libc::SYS_ioctl, [0, libc::TIOCSTI, 0, 0, 0, 0]),
    (libc::SYS_ioctl, [0, libc::TIOCLINUX, 0, 0, 0, 0]),
    (libc::SYS_ioctl, [0, libc::TIOCSCTTY, 0, 0, 0, 0]),
    (
        libc::SYS_socket,
        [libc::AF_NETLINK as u64, libc::SOCK_RAW as u64, 0, 0, 0, 0],
    ),
    (
        libc::SYS_socket,
        [libc::AF_INET as u64, libc::SOCK_DGRAM as u64, 0, 0, 0, 0],
    ),
    (
        libc::SYS_socket,
        [
            libc::AF_UNIX as u64,
            libc::SOCK_SEQPACKET as u64,
            0,
            0,
            0,
            0,
        ],
    ),
    (libc::SYS_sendto, [0, 0, 0, 0, 1, 16]),
    (
        libc::SYS_mprotect,
        [0, 4096, libc::PROT_EXEC as u64, 0, 0, 0],
    ),
    (
        libc::SYS_setsockopt,
        [0, libc::SOL_SOCKET as u64, libc::SO_LINGER as u64, 0, 0, 0],
    ),
    (
        libc::SYS_setsockopt,
        [
            0,
            libc::IPPROTO_TCP as u64,
            libc::TCP_FASTOPEN_CONNECT as u64,
            0,
            0,
            0,
        ],
    ),
    (
        libc::SYS_prlimit64,
        [0, libc::RLIMIT_NOFILE as u64, 1, 0, 0, 0],
    ),
    (
        libc::SYS_prctl,
        [libc::PR_SET_DUMPABLE as u64, 1, 0, 0, 0, 0],
    ),
    (
        libc::SYS_clone,
        [(libc::CLONE_VM | libc::CLONE_THREAD) as u64, 0, 0, 0, 0, 0],
    ),
    (
        libc::SYS_clone,
        [(libc::CLONE_NEWUSER | libc::SIGCHLD) as u64, 0, 0, 0, 0, 0],
    ),
];

fn ssh_does_nothing_else() {
    let list = ssh();
    for (number, arguments) in NEVER {
        assert_eq!(
            verdict(&list, *number, *arguments, ARCH),
            KILL,
            "{number} {arguments:x?}"
        );
    }
    // What its runner may.
    for rule in RUNNER {
        for arguments in wanted(rule) {
            assert_eq!(
                verdict(&list, rule.number, arguments, ARCH),
                KILL,
                "{}",
                rule.name
            );
        }
    }
}

fn the_runner_does_nothing_else() {
    let list = runner();
    for (number, arguments) in NEVER {
        assert_eq!(
            verdict(&list, *number, *arguments, ARCH),
            KILL,
            "{number} {arguments:x?}"
        );
    }
}

/// A rule without conditions beside one with some, for the same call, would say nothing.
fn no_rule_hides_another() {
    for rule in RUNNER {
        for other in HOP.iter().filter(|other| other.number == rule.number) {
            assert!(
                !rule.when.is_empty() && !other.when.is_empty(),
                "{}",
                rule.name
            );
        }
        assert!(
            PROBED.iter().all(|other| other.number != rule.number),
            "{}",
            rule.name
        );
    }
}
