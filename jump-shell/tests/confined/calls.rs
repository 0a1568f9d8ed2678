//! The lists of system calls, rule by rule: with the rule the call passes,
//! without it the process dies, and with other arguments it dies too.
//!
//! Each call is made through a safe interface in a child that has installed
//! the list. Arguments that no safe interface can give are tried on the
//! compiled list itself, in an interpreter.

use crate::Tests;
use crate::shell::myself;
use jump_shell::sandbox::calls::{RELAY, SHELL};
use jump_shell::sandbox::filter::{self, Rule};
use jump_shell::sandbox::hop_calls::{HOP, PROBED, RUNNER};
use nix::sys::signal::{SigSet, Signal};
use nix::time::{ClockId, clock_gettime};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendFlags, Shutdown, SocketAddrUnix,
    SocketFlags, SocketType, sockopt,
};
use rustix::pipe::SpliceFlags;
use rustix::process::DumpableBehavior;
use seccompiler::BpfProgram;
use std::ffi::OsString;
use std::hint::black_box;
use std::io::IoSliceMut;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

/// First argument of a child that makes one call; list, omitted rule and name of the call follow.
pub(crate) const ROLE: &str = "--call";

/// Omits nothing.
const NONE: &str = "-";

pub(crate) fn tests() -> Tests {
    let mut tests: Tests = Vec::new();
    for (list, rules) in [("shell", SHELL), ("relay", RELAY)] {
        for rule in rules {
            let name = rule.name;
            tests.push((
                format!("calls::{list}::{name}_passes"),
                Box::new(move || passes(list, name)),
            ));
            tests.push((
                format!("calls::{list}::{name}_dies_without_its_rule"),
                Box::new(move || dies(list, name, name)),
            ));
        }
        for name in OTHERS {
            tests.push((
                format!("calls::{list}::{name}_dies"),
                Box::new(move || dies(list, NONE, name)),
            ));
        }
    }
    for name in ONLY_SHELL {
        tests.push((
            format!("calls::relay::{name}_dies"),
            Box::new(move || dies("relay", NONE, name)),
        ));
    }
    tests.extend(crate::tests![
        every_rule_has_its_reason,
        the_relay_may_nothing_that_the_shell_may_not,
        arguments_are_looked_at,
        other_architectures_die,
        nothing_is_typed_into_a_terminal,
        a_panic_passes,
    ]);
    tests
}

fn list(name: &str) -> &'static [Rule] {
    if name == "relay" { RELAY } else { SHELL }
}

fn attempt(list: &str, omitted: &str, call: &str) -> ExitStatus {
    myself()
        .args([ROLE, list, omitted, call])
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap()
}

fn passes(list: &str, call: &str) {
    let status = attempt(list, NONE, call);
    assert_eq!(status.code(), Some(0), "{status}");
}

fn dies(list: &str, omitted: &str, call: &str) {
    let status = attempt(list, omitted, call);
    assert_eq!(status.signal(), Some(libc::SIGSYS), "{status}");
}

/// Calls, and arguments of calls, that are on neither list.
const OTHERS: &[&str] = &[
    "openat",
    "execve",
    "clone",
    "getpid",
    "kill",
    "socketpair",
    "bind",
    "listen",
    "ioctl:TCGETS",
    "sendmsg",
    "pipe2",
    "fcntl:F_GETFL",
    "sendto:address",
    "shutdown:both",
    "dup:stdin",
    "chdir",
    "unlink",
    "ptracer",
    "setuid",
];

/// Calls, and arguments of calls, that are not on the first list, and on the second not at all.
const ONLY_SHELL: &[&str] = &[
    "socket",
    "connect",
    "recvmsg",
    "recvfrom",
    "setsockopt",
    "getsockopt",
    "prctl",
    "seccomp",
    "mmap",
    "mremap",
    "getrandom",
    "socket:udp",
    "socket:raw",
    "setsockopt:linger",
    "getsockopt:type",
    "prctl:dumpable",
    "ioctl",
];

/// The child's whole life: prepare, install, call, end.
pub(crate) fn child(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<String> = arguments
        .map(|argument| argument.into_string().unwrap())
        .collect();
    let [list_name, omitted, call] = arguments.as_slice() else {
        return ExitCode::FAILURE;
    };
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).unwrap();
    let rules: Vec<Rule> = list(list_name)
        .iter()
        .filter(|rule| rule.name != omitted)
        .copied()
        .collect();
    let program = filter::compile(&rules).unwrap();
    let call = prepared(call);
    // The usual hook asks for the thread's id; the shell has one of its own as well.
    std::panic::set_hook(Box::new(|_| {}));
    filter::install(&program).unwrap();
    call();
    ExitCode::SUCCESS
}

/// What the call says does not matter: the process is dead, or should be.
fn ignore<T>(_: T) {}

fn stream_pair() -> (OwnedFd, OwnedFd) {
    rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap()
}

fn new_socket(family: AddressFamily, kind: SocketType, flags: SocketFlags) {
    black_box(rustix::net::socket_with(family, kind, flags, None)).unwrap();
}

/// All that the call needs, and the call.
#[expect(clippy::too_many_lines, reason = "one arm for each system call")]
fn prepared(call: &str) -> Box<dyn FnOnce()> {
    // Both ends stay open, whichever the call uses.
    let ends: &'static _ = Box::leak(Box::new((rustix::pipe::pipe().unwrap(), stream_pair())));
    let ((reader, writer), (left, right)) = ends;
    let address = SocketAddrUnix::new("/nonexistent").unwrap();
    let packet = SocketType::SEQPACKET;
    rustix::io::write(writer, b"x").unwrap();
    match call {
        "read" => Box::new(move || assert_eq!(rustix::io::read(reader, &mut [0; 8]), Ok(1))),
        "write" => Box::new(move || assert_eq!(rustix::io::write(writer, b"y"), Ok(1))),
        "ppoll" => Box::new(move || {
            let now = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            assert_eq!(
                poll(&mut [PollFd::new(reader, PollFlags::IN)], Some(&now)),
                Ok(1)
            );
        }),
        "splice" => Box::new(move || {
            let moved = rustix::pipe::splice(reader, None, left, None, 8, SpliceFlags::NONBLOCK);
            assert_eq!(moved, Ok(1));
        }),
        "sendto" => {
            Box::new(move || assert_eq!(rustix::net::send(left, b"x", SendFlags::NOSIGNAL), Ok(1)))
        }
        "sendto:address" => Box::new(move || {
            let _ = rustix::net::sendto(left, b"x", SendFlags::empty(), &address);
        }),
        "sendmsg" => Box::new(move || {
            let mut none = rustix::net::SendAncillaryBuffer::default();
            let _ = rustix::net::sendmsg(
                left,
                &[std::io::IoSlice::new(b"x")],
                &mut none,
                SendFlags::empty(),
            );
        }),
        "shutdown" => Box::new(move || rustix::net::shutdown(left, Shutdown::Write).unwrap()),
        "shutdown:both" => Box::new(move || rustix::net::shutdown(left, Shutdown::Both).unwrap()),
        "dup2" | "dup3" => Box::new(move || rustix::stdio::dup2_stdout(reader).unwrap()),
        "dup:stdin" => Box::new(move || rustix::stdio::dup2_stdin(reader).unwrap()),
        "close" => {
            let file = rustix::io::dup(reader).unwrap();
            Box::new(move || drop(file))
        }
        "socket" => Box::new(move || {
            new_socket(AddressFamily::UNIX, packet, SocketFlags::CLOEXEC);
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            new_socket(AddressFamily::INET, SocketType::STREAM, flags);
            // A kernel may have no IPv6; the filter lets it say so.
            let _ = rustix::net::socket_with(AddressFamily::INET6, SocketType::STREAM, flags, None);
        }),
        "socket:udp" => {
            Box::new(|| new_socket(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC))
        }
        "socket:raw" => {
            Box::new(|| new_socket(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC))
        }
        "connect" => {
            let flags = SocketFlags::CLOEXEC;
            let socket =
                rustix::net::socket_with(AddressFamily::UNIX, packet, flags, None).unwrap();
            Box::new(move || assert!(rustix::net::connect(&socket, &address).is_err()))
        }
        "recvmsg" => {
            rustix::net::send(right, b"x", SendFlags::empty()).unwrap();
            Box::new(move || {
                let mut bytes = [0; 8];
                let mut none = RecvAncillaryBuffer::default();
                let got = rustix::net::recvmsg(
                    left,
                    &mut [IoSliceMut::new(&mut bytes)],
                    &mut none,
                    RecvFlags::empty(),
                );
                assert_eq!(got.unwrap().bytes, 1);
            })
        }
        "recvfrom" => {
            rustix::net::send(right, b"x", SendFlags::empty()).unwrap();
            Box::new(move || {
                let mut bytes = [0; 8];
                let got = rustix::net::recv(left, &mut bytes[..], RecvFlags::DONTWAIT);
                assert_eq!(got.unwrap().1, 1);
            })
        }
        "setsockopt" => Box::new(move || {
            let second = Some(Duration::from_secs(1));
            sockopt::set_socket_timeout(left, sockopt::Timeout::Recv, second).unwrap();
            sockopt::set_socket_timeout(left, sockopt::Timeout::Send, second).unwrap();
            sockopt::set_socket_keepalive(left, true).unwrap();
            // Not a TCP socket; the filter lets the kernel say so.
            let _ = sockopt::set_tcp_nodelay(left, true);
        }),
        "setsockopt:linger" => Box::new(move || sockopt::set_socket_linger(left, None).unwrap()),
        "getsockopt" => Box::new(move || sockopt::socket_error(left).unwrap().unwrap()),
        "getsockopt:type" => Box::new(move || {
            black_box(sockopt::socket_type(left)).unwrap();
        }),
        "rt_sigprocmask" => Box::new(|| SigSet::from(Signal::SIGINT).thread_unblock().unwrap()),
        "prctl" => Box::new(|| rustix::thread::set_no_new_privs(true).unwrap()),
        "prctl:dumpable" => Box::new(|| {
            let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable);
        }),
        "ptracer" => Box::new(|| {
            let _ = rustix::process::set_ptracer(rustix::process::PTracer::Any);
        }),
        "seccomp" => {
            let program = filter::compile(SHELL).unwrap();
            Box::new(move || filter::install(&program).unwrap())
        }
        "brk" => Box::new(|| {
            let pieces: Vec<Vec<u8>> = (0..400).map(|_| vec![1; 60_000]).collect();
            black_box(pieces);
        }),
        "mmap" => Box::new(|| {
            black_box(vec![1u8; 32 << 20]);
        }),
        "mremap" => {
            let mut piece = black_box(vec![1u8; 1 << 20]);
            Box::new(move || {
                piece.resize(32 << 20, 1);
                black_box(piece);
            })
        }
        "munmap" => {
            let piece = black_box(vec![1u8; 32 << 20]);
            Box::new(move || drop(piece))
        }
        // Only the clocks of processes are not on the kernel's shared page.
        "clock_gettime" => Box::new(|| {
            clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
        }),
        "getrandom" => Box::new(|| {
            let flags = rustix::rand::GetRandomFlags::empty();
            rustix::rand::getrandom(&mut [0u8; 8], flags).unwrap();
        }),
        "futex" => Box::new(|| {
            let word = std::sync::atomic::AtomicU32::new(0);
            rustix::thread::futex::wake(&word, rustix::thread::futex::Flags::PRIVATE, 1).unwrap();
        }),
        "fcntl" => Box::new(move || {
            rustix::io::fcntl_getfd(reader).unwrap();
        }),
        "fcntl:F_GETFL" => Box::new(move || {
            rustix::fs::fcntl_getfl(reader).unwrap();
        }),
        // Every child's way out makes these two.
        "sigaltstack" | "exit_group" => Box::new(|| {}),
        "openat" => Box::new(|| ignore(std::fs::File::open("/etc/passwd"))),
        "execve" | "clone" => Box::new(|| ignore(std::process::Command::new("/bin/true").status())),
        "getpid" => Box::new(|| ignore(black_box(std::process::id()))),
        "kill" => Box::new(|| ignore(nix::sys::signal::kill(nix::unistd::Pid::from_raw(1), None))),
        "socketpair" => Box::new(|| ignore(stream_pair())),
        "bind" => Box::new(move || ignore(rustix::net::bind(left, &address))),
        "listen" => Box::new(move || ignore(rustix::net::listen(left, 1))),
        "ioctl" => {
            let pty: &'static _ = Box::leak(Box::new(nix::pty::openpty(None, None).unwrap()));
            let modes = rustix::termios::tcgetattr(&pty.slave).unwrap();
            Box::new(move || {
                let now = rustix::termios::OptionalActions::Now;
                rustix::termios::tcsetattr(&pty.slave, now, &modes).unwrap();
                let size = rustix::termios::tcgetwinsize(&pty.slave).unwrap();
                rustix::termios::tcsetwinsize(&pty.master, size).unwrap();
            })
        }
        "ioctl:TCGETS" => Box::new(move || {
            ignore(black_box(rustix::termios::tcgetattr(reader)));
        }),
        "pipe2" => Box::new(|| ignore(rustix::pipe::pipe())),
        "chdir" => Box::new(|| ignore(std::env::set_current_dir("/"))),
        "unlink" => Box::new(|| ignore(std::fs::remove_file("/nonexistent"))),
        "setuid" => Box::new(|| ignore(nix::unistd::setuid(nix::unistd::Uid::from_raw(0)))),
        "panic" => Box::new(|| panic!("as asked")),
        other => panic!("no test makes the call {other}"),
    }
}

fn every_rule_has_its_reason() {
    for rules in [SHELL, RELAY, HOP, RUNNER, PROBED] {
        let mut seen = std::collections::HashSet::new();
        for rule in rules {
            assert!(seen.insert(rule.number), "{} twice", rule.name);
            assert!(!rule.why.is_empty(), "{}", rule.name);
        }
    }
    assert!(RELAY.len() <= 14, "{} calls are not about ten", RELAY.len());
}

fn the_relay_may_nothing_that_the_shell_may_not() {
    for rule in RELAY {
        let before = SHELL.iter().find(|other| other.number == rule.number);
        let before = before.unwrap_or_else(|| panic!("{} is new", rule.name));
        assert_eq!(before.when.len(), rule.when.len(), "{}", rule.name);
    }
}

/// What the compiled list says to a call.
pub(crate) fn verdict(rules: &[Rule], number: i64, arguments: [u64; 6], arch: u32) -> u32 {
    said(&filter::compile(rules).unwrap(), number, arguments, arch)
}

/// What a compiled list says to a call.
pub(crate) fn said(program: &BpfProgram, number: i64, arguments: [u64; 6], arch: u32) -> u32 {
    let program: Vec<libc::sock_filter> = program
        .iter()
        .map(|i| libc::sock_filter {
            code: i.code,
            jt: i.jt,
            jf: i.jf,
            k: i.k,
        })
        .collect();
    let data = libc::seccomp_data {
        nr: number.try_into().unwrap(),
        arch,
        instruction_pointer: 0,
        args: arguments,
    };
    jump_sys::seccomp::interpret(&program, &data)
}

#[cfg(target_arch = "x86_64")]
pub(crate) const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(crate) const ARCH: u32 = 0xc000_00b7;
const I386: u32 = 0x4000_0003;

/// Bits of `mask` that make a value which no alternative of any rule has.
pub(crate) fn another(mask: u64) -> u64 {
    match mask & (1 << 40 | 0x0500_0005) {
        // One bit of a few.
        0 => mask & mask.wrapping_neg(),
        far => far,
    }
}

/// Every condition of every rule: arguments that meet it pass, and each argument that does not, kills.
fn arguments_are_looked_at() {
    for rules in [SHELL, RELAY] {
        for rule in rules {
            for alternative in rule.when {
                let mut good = [0u64; 6];
                for argument in *alternative {
                    good[usize::from(argument.index)] = argument.value;
                }
                assert_eq!(
                    verdict(rules, rule.number, good, ARCH),
                    libc::SECCOMP_RET_ALLOW,
                    "{}",
                    rule.name
                );
                for argument in *alternative {
                    let mut bad = good;
                    bad[usize::from(argument.index)] ^= another(argument.mask);
                    assert_eq!(
                        verdict(rules, rule.number, bad, ARCH),
                        libc::SECCOMP_RET_KILL_PROCESS,
                        "{} {argument:?}",
                        rule.name
                    );
                }
            }
        }
    }
    // The high half of an int's register is the kernel's to ignore, so ours too.
    let dirty = 0xdead_beef_0000_0000 | u64::from(libc::F_GETFD.cast_unsigned());
    assert_eq!(
        verdict(SHELL, libc::SYS_fcntl, [3, dirty, 0, 0, 0, 0], ARCH),
        libc::SECCOMP_RET_ALLOW
    );
}

fn other_architectures_die() {
    for rule in SHELL {
        let good = [0; 6];
        assert_eq!(
            verdict(SHELL, rule.number, good, I386),
            libc::SECCOMP_RET_KILL_PROCESS,
            "{}",
            rule.name
        );
        let x32 = rule.number | 0x4000_0000;
        assert_eq!(
            verdict(SHELL, x32, good, ARCH),
            libc::SECCOMP_RET_KILL_PROCESS,
            "{}",
            rule.name
        );
    }
}

/// Attack: a program at a terminal types for the user, into whatever reads that terminal next.
fn nothing_is_typed_into_a_terminal() {
    for request in [
        libc::TIOCSTI,
        libc::TIOCLINUX,
        libc::TIOCSCTTY,
        libc::TCSETSF,
    ] {
        let arguments = [0, request, 0, 0, 0, 0];
        assert_eq!(
            verdict(SHELL, libc::SYS_ioctl, arguments, ARCH),
            libc::SECCOMP_RET_KILL_PROCESS,
            "{request:#x}"
        );
    }
}

fn a_panic_passes() {
    let status = myself()
        .args([ROLE, "shell", NONE, "panic"])
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(101), "{status}");
}
