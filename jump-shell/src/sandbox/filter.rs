//! The system calls of the shell, as data: one line of reason for each.
//!
//! Everything else kills the process (`SECCOMP_RET_KILL_PROCESS`,
//! seccomp(2)). Two lists: [`SHELL`] from the start on, [`RELAY`] in addition
//! once a connection stands. A list is for one architecture, the one it was
//! compiled for; calls of another, and of x32, kill as well.
//!
//! The session's own filter lies beneath: a call that is allowed here may
//! still be refused or, as connect(2), be decided by the guard there.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use std::collections::BTreeMap;

/// One system call that is allowed.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its name in the manual.
    pub name: &'static str,
    /// Its number on this architecture.
    pub number: i64,
    /// Argument lists of which one must hold; none: any arguments.
    pub when: &'static [&'static [Argument]],
    /// Why the shell needs it.
    pub why: &'static str,
}

/// What one argument must be: equal to `value` in the bits of `mask`.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// Which argument, from 0.
    pub index: u8,
    /// The bits that count.
    pub mask: u64,
    /// What they must be.
    pub value: u64,
}

/// A list that could not be put in force.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// There is no filter for this architecture.
    #[error("{0}")]
    Compile(#[from] seccompiler::BackendError),
    /// The kernel refused it.
    #[error("{0}")]
    Install(#[from] seccompiler::Error),
}

/// A call with any arguments.
const fn any(name: &'static str, number: i64, why: &'static str) -> Rule {
    Rule {
        name,
        number,
        when: &[],
        why,
    }
}

/// A call with some arguments only.
const fn only(
    name: &'static str,
    number: i64,
    when: &'static [&'static [Argument]],
    why: &'static str,
) -> Rule {
    Rule {
        name,
        number,
        when,
        why,
    }
}

/// Argument `index`, an int, is `value`.
const fn is(index: u8, value: i32) -> Argument {
    // The kernel takes the low half of the register for an int.
    Argument {
        index,
        mask: u32::MAX as u64,
        value: value.cast_unsigned() as u64,
    }
}

/// Argument `index` is a null pointer.
const fn null(index: u8) -> Argument {
    Argument {
        index,
        mask: u64::MAX,
        value: 0,
    }
}

/// Argument `index` has all these bits.
const fn with(index: u8, bits: i32) -> Argument {
    Argument {
        index,
        mask: bits.cast_unsigned() as u64,
        value: bits.cast_unsigned() as u64,
    }
}

/// Argument `index` has none of these bits.
const fn without(index: u8, bits: i32) -> Argument {
    Argument {
        index,
        mask: bits.cast_unsigned() as u64,
        value: 0,
    }
}

/// `SOCK_SEQPACKET`, as the channel to jumpd asks for it.
const TO_JUMPD: i32 = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
/// `SOCK_STREAM`, as the connection to a target asks for it.
const TO_TARGET: i32 = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
/// `SO_RCVTIMEO` and `SO_SNDTIMEO` in 64 bits on every architecture (asm-generic/socket.h); libc names only the older.
const SO_RCVTIMEO_NEW: i32 = 66;
const SO_SNDTIMEO_NEW: i32 = 67;

/// From the shell's start to its end.
pub const SHELL: &[Rule] = &[
    // The user's side, and everything that relaying needs.
    any(
        "read",
        libc::SYS_read,
        "commands the user types, keyboard signals, bytes to relay",
    ),
    any(
        "write",
        libc::SYS_write,
        "answers, sentences, bytes to relay",
    ),
    any(
        "ppoll",
        libc::SYS_ppoll,
        "waiting for the user, for a connection, for either side of a relay",
    ),
    any(
        "splice",
        libc::SYS_splice,
        "relaying between a pipe and the target without a copy",
    ),
    only(
        "sendto",
        libc::SYS_sendto,
        &[&[null(4)]],
        "questions to jumpd, relaying to a connected socket; never with an address",
    ),
    only(
        "shutdown",
        libc::SYS_shutdown,
        &[&[is(1, libc::SHUT_WR)]],
        "passing on the end of one side's input",
    ),
    #[cfg(target_arch = "x86_64")]
    only(
        "dup2",
        libc::SYS_dup2,
        &[&[is(1, 1)]],
        "closing standard output when the target has said all",
    ),
    #[cfg(not(target_arch = "x86_64"))]
    only(
        "dup3",
        libc::SYS_dup3,
        &[&[is(1, 1)]],
        "closing standard output when the target has said all",
    ),
    any(
        "close",
        libc::SYS_close,
        "channels and connections that are done with",
    ),
    // jumpd.
    only(
        "socket",
        libc::SYS_socket,
        &[
            &[is(0, libc::AF_UNIX), is(1, TO_JUMPD), is(2, 0)],
            &[is(0, libc::AF_INET), is(1, TO_TARGET), is(2, 0)],
            &[is(0, libc::AF_INET6), is(1, TO_TARGET), is(2, 0)],
        ],
        "a channel to jumpd; a TCP connection to a target; no other kind",
    ),
    any(
        "connect",
        libc::SYS_connect,
        "jumpd, also after its restart, and a target; the guard decides each",
    ),
    any("recvmsg", libc::SYS_recvmsg, "answers of jumpd"),
    only(
        "setsockopt",
        libc::SYS_setsockopt,
        &[
            &[is(1, libc::SOL_SOCKET), is(2, SO_RCVTIMEO_NEW)],
            &[is(1, libc::SOL_SOCKET), is(2, SO_SNDTIMEO_NEW)],
            &[is(1, libc::SOL_SOCKET), is(2, libc::SO_RCVTIMEO)],
            &[is(1, libc::SOL_SOCKET), is(2, libc::SO_SNDTIMEO)],
            &[is(1, libc::SOL_SOCKET), is(2, libc::SO_KEEPALIVE)],
            &[is(1, libc::IPPROTO_TCP), is(2, libc::TCP_NODELAY)],
        ],
        "no wait for jumpd without end; no delay of keystrokes, no dead target unnoticed",
    ),
    only(
        "getsockopt",
        libc::SYS_getsockopt,
        &[&[is(1, libc::SOL_SOCKET), is(2, libc::SO_ERROR)]],
        "what became of a connection that was begun",
    ),
    // The second list.
    any(
        "rt_sigprocmask",
        libc::SYS_rt_sigprocmask,
        "giving Ctrl-C its usual meaning back for a relay",
    ),
    only(
        "prctl",
        libc::SYS_prctl,
        &[&[is(0, libc::PR_SET_NO_NEW_PRIVS)]],
        "asked for again, whether it holds or not, before the second list",
    ),
    only(
        "seccomp",
        libc::SYS_seccomp,
        &[&[is(0, libc::SECCOMP_SET_MODE_FILTER as i32)]],
        "the second list; a filter only ever takes away",
    ),
    // Memory, time, luck.
    any("brk", libc::SYS_brk, "memory"),
    only(
        "mmap",
        libc::SYS_mmap,
        &[&[without(2, libc::PROT_EXEC), with(3, libc::MAP_ANONYMOUS)]],
        "memory in large pieces; never of a file, never to run",
    ),
    any("mremap", libc::SYS_mremap, "memory that grows"),
    any("munmap", libc::SYS_munmap, "memory given back"),
    any(
        "clock_gettime",
        libc::SYS_clock_gettime,
        "the time, where the kernel's shared page does not tell it",
    ),
    any(
        "getrandom",
        libc::SYS_getrandom,
        "seeds of Rust's hash maps and of malloc, at first use",
    ),
    // The end.
    any(
        "futex",
        libc::SYS_futex,
        "unwinding a panic: pthread_once(3) wakes its waiters, if there are any or not",
    ),
    only(
        "fcntl",
        libc::SYS_fcntl,
        &[&[is(1, libc::F_GETFD)]],
        "a build with debug assertions looks whether what it closes is open",
    ),
    any(
        "sigaltstack",
        libc::SYS_sigaltstack,
        "Rust gives its overflow stack back when main ends",
    ),
    any("exit_group", libc::SYS_exit_group, "the end"),
];

/// In addition, from the moment a connection stands: nothing can be opened,
/// asked or connected any more.
pub const RELAY: &[Rule] = &[
    any(
        "read",
        libc::SYS_read,
        "bytes of a terminal or of the target",
    ),
    any(
        "write",
        libc::SYS_write,
        "bytes to a terminal; the last sentence",
    ),
    any("ppoll", libc::SYS_ppoll, "waiting for either side"),
    any(
        "splice",
        libc::SYS_splice,
        "bytes between a pipe and the target",
    ),
    only(
        "sendto",
        libc::SYS_sendto,
        &[&[null(4)]],
        "bytes to a connected socket; never with an address",
    ),
    only(
        "shutdown",
        libc::SYS_shutdown,
        &[&[is(1, libc::SHUT_WR)]],
        "passing on the end of one side's input",
    ),
    #[cfg(target_arch = "x86_64")]
    only(
        "dup2",
        libc::SYS_dup2,
        &[&[is(1, 1)]],
        "closing standard output when the target has said all",
    ),
    #[cfg(not(target_arch = "x86_64"))]
    only(
        "dup3",
        libc::SYS_dup3,
        &[&[is(1, 1)]],
        "closing standard output when the target has said all",
    ),
    any("close", libc::SYS_close, "the connection, at the end"),
    any("brk", libc::SYS_brk, "memory for the last sentence"),
    any("munmap", libc::SYS_munmap, "memory given back at the end"),
    only(
        "fcntl",
        libc::SYS_fcntl,
        &[&[is(1, libc::F_GETFD)]],
        "a build with debug assertions looks whether what it closes is open",
    ),
    any(
        "sigaltstack",
        libc::SYS_sigaltstack,
        "Rust gives its overflow stack back when main ends",
    ),
    any("exit_group", libc::SYS_exit_group, "the end"),
];

/// The kernel's form of a list: what is not on it kills the process.
///
/// # Errors
/// When there is no such form on this architecture.
pub fn compile(rules: &[Rule]) -> Result<BpfProgram, FilterError> {
    let mut map: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for rule in rules {
        let alternatives = rule
            .when
            .iter()
            .map(|arguments| {
                let conditions = arguments.iter().map(condition).collect::<Result<_, _>>()?;
                SeccompRule::new(conditions)
            })
            .collect::<Result<Vec<_>, _>>()?;
        map.entry(rule.number).or_default().extend(alternatives);
    }
    let filter = SeccompFilter::new(
        map,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}

fn condition(argument: &Argument) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(
        argument.index,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(argument.mask),
        argument.value,
    )
}

/// Puts a compiled list in force for the calling thread, for good.
///
/// # Errors
/// When the kernel refuses it.
pub fn install(program: &BpfProgram) -> Result<(), FilterError> {
    Ok(seccompiler::apply_filter(program)?)
}
