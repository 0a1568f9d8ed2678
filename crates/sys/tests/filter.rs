//! The session filter, row by row, in the interpreter: call, arguments, and
//! what the kernel would do. Other calls, other architectures, other halves of
//! an argument: each that could matter has its line.

#![allow(clippy::panic, reason = "tests fail by panicking")]

use jump_sys::attacks::{Abi, probes, table};
use jump_sys::seccomp::{ARCH, Action, Call, Test, interpret, row_of, rows, session_filter};
use libc::{c_long, seccomp_data, sock_filter};
use std::collections::HashSet;
use std::sync::LazyLock;

/// `AUDIT_ARCH_I386`, `AUDIT_ARCH_ARM`, and the other of the two that are supported.
const FOREIGN: [u32; 4] = [
    0x4000_0003,
    0x4000_0028,
    if ARCH == 0xc000_003e {
        0xc000_00b7
    } else {
        0xc000_003e
    },
    0,
];

/// What a call meets: the filter's answer and, where that is to ask the guard, what the guard understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Runs,
    /// The kernel's answer, unheard.
    Quietly(i32),
    /// The guard's answer, written down.
    Refused(i32),
    RootOnly(i32),
    Bind(i32),
    Listen(i32),
    Judged,
    /// The guard ends the process.
    Foreign,
}
use Verdict::{Bind, Foreign, Judged, Listen, Quietly, Refused, RootOnly, Runs};

static FILTER: LazyLock<Vec<sock_filter>> = LazyLock::new(session_filter);

fn run(arch: u32, call: c_long, args: [u64; 6]) -> Verdict {
    let data = seccomp_data {
        nr: call as i32,
        arch,
        instruction_pointer: 0x1234,
        args,
    };
    match interpret(&FILTER, &data) {
        libc::SECCOMP_RET_ALLOW => Runs,
        libc::SECCOMP_RET_USER_NOTIF => match Call::of(arch, call as i32, &args) {
            Call::Foreign(_) => Foreign,
            Call::Forbidden { errno, .. } => Refused(errno),
            Call::RootOnly { errno, .. } => RootOnly(errno),
            Call::Bind { errno, .. } => Bind(errno),
            Call::Listen { errno, .. } => Listen(errno),
            Call::Connect(_) => Judged,
            Call::Unknown => panic!("{call} with {args:x?} is stopped, and the guard knows no row"),
        },
        answer if answer & libc::SECCOMP_RET_ACTION_FULL == libc::SECCOMP_RET_ERRNO => {
            Quietly((answer & libc::SECCOMP_RET_DATA) as i32)
        }
        other => panic!("{call}: {other:#x}"),
    }
}

fn native(call: c_long, args: [u64; 6]) -> Verdict {
    run(ARCH, call, args)
}

/// Bits that the kernel does not look at in an `int`.
const UPPER: u64 = 0xdead_beef_0000_0000;

fn int(value: i32) -> u64 {
    u64::from(value as u32)
}

impl From<Action> for Verdict {
    fn from(action: Action) -> Self {
        match action {
            Action::Allow => Runs,
            Action::Quietly(errno) => Quietly(errno),
            Action::Refuse(errno) => Refused(errno),
            Action::RootOnly { errno, .. } => RootOnly(errno),
            Action::Bind(errno) => Bind(errno),
            Action::Listen(errno) => Listen(errno),
            Action::Judge => Judged,
        }
    }
}

#[test]
fn every_line_of_the_table_meets_its_verdict() {
    for probe in probes() {
        let met = native(probe.number, probe.seen());
        assert_eq!(met, probe.then.into(), "{probe}");
    }
}

#[test]
fn every_line_is_a_foreign_call_by_every_other_table() {
    for probe in probes() {
        for abi in Abi::ALL {
            let number = probe.foreign_number(abi).expect(probe.call);
            // aarch64's own numbers are not foreign on aarch64.
            if abi.arch() != ARCH || abi == Abi::X32 {
                let met = run(abi.arch(), c_long::from(number as i32), probe.seen());
                assert_eq!(met, Foreign, "{probe} by {abi}");
            }
        }
    }
}

#[test]
fn every_row_and_every_value_in_it_has_a_line() {
    for row in rows() {
        let lines: Vec<_> = probes()
            .iter()
            .filter(|probe| {
                row_of(rows(), probe.number, &probe.seen())
                    .is_some_and(|decides| std::ptr::eq(decides, row))
            })
            .collect();
        assert!(!lines.is_empty(), "{row:?} has no line");
        for probe in &lines {
            assert_eq!((probe.call, probe.then), (row.call, row.then), "{probe}");
        }
        let low = |args: [u64; 6], arg: usize| args[arg] as u32;
        for test in row.when {
            let missing = match *test {
                Test::In { arg, mask, values } => values.iter().find(|value| {
                    !lines
                        .iter()
                        .any(|probe| low(probe.seen(), arg) & mask == value.value)
                }),
                Test::Any { arg, bits } => bits.iter().find(|bit| {
                    !lines
                        .iter()
                        .any(|probe| low(probe.seen(), arg) & bit.value != 0)
                }),
                Test::No { .. } | Test::Pointer { .. } => None,
            };
            assert_eq!(missing, None, "{}: {} has no line", row.call, row.why);
        }
    }
}

#[test]
fn no_two_lines_are_the_same() {
    let mut seen = HashSet::new();
    for probe in probes() {
        assert!(seen.insert(probe.to_string()), "{probe}");
        assert!(!probe.with.contains('|'), "{probe} would break its table");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_table_in_the_documentation_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/session-filter.md");
    assert!(
        std::fs::read_to_string(path).is_ok_and(|page| page == table()),
        "run: cargo run -p jump-sys --example session-filter-md > docs/session-filter.md"
    );
}

#[test]
fn the_guard_finds_the_row_that_the_filter_stopped_at() {
    // Every number, with arguments that hold every small value and bit somewhere.
    let values = (0..128u64)
        .chain((7..64).map(|bit| 1 << bit))
        .chain([u64::MAX]);
    let values: Vec<u64> = values.collect();
    for row in rows() {
        for one in &values {
            for two in [0, 1, 6, 41, *one] {
                let args = [two, *one, *one, *one, two, 0];
                for args in [args, [*one, two, *one, two, *one, 0], [*one, 1, 6, 0, 0, 0]] {
                    let found = row_of(rows(), row.number, &args).map_or(Action::Allow, |r| r.then);
                    assert_eq!(
                        native(row.number, args),
                        found.into(),
                        "{} {args:x?}",
                        row.call
                    );
                }
            }
        }
    }
}

#[test]
fn every_call_by_a_foreign_architecture_is_one_whatever_its_number() {
    for arch in FOREIGN {
        for call in (0..512).chain([0x4000_0000, 0x4000_0000 | libc::SYS_connect, -1]) {
            assert_eq!(run(arch, call, [0; 6]), Foreign, "{call} on {arch:#x}");
        }
    }
}

#[test]
fn every_x32_call_is_a_foreign_one() {
    for call in 0..1024 {
        assert_eq!(native(0x4000_0000 | call, [0; 6]), Foreign, "{call}");
    }
    assert_eq!(native(c_long::from(i32::MIN), [0; 6]), Foreign);
}

#[test]
fn the_call_that_is_none_gets_enosys_from_the_kernel() {
    assert_eq!(native(-1, [0; 6]), Runs);
}

#[test]
fn calls_without_a_row_are_allowed() {
    let named: HashSet<c_long> = rows().iter().map(|row| row.number).collect();
    for call in (0..512).filter(|call| !named.contains(call)) {
        assert_eq!(native(call, [u64::MAX; 6]), Runs, "{call}");
    }
    for call in [
        libc::SYS_read,
        libc::SYS_accept4,
        libc::SYS_recvmsg,
        libc::SYS_recvfrom,
        libc::SYS_execve,
    ] {
        assert_eq!(native(call, [0; 6]), Runs);
    }
}

#[test]
fn every_connect_waits_for_the_guard() {
    assert_eq!(native(libc::SYS_connect, [0; 6]), Judged);
    assert_eq!(native(libc::SYS_connect, [u64::MAX; 6]), Judged);
}

#[test]
fn sending_with_an_address_or_fast_open() {
    let fast = int(libc::MSG_FASTOPEN);
    let quiet = int(libc::MSG_NOSIGNAL);
    // send(2) is sendto(2) without an address.
    assert_eq!(native(libc::SYS_sendto, [3, 4, 5, quiet, 0, 0]), Runs);
    assert_eq!(
        native(libc::SYS_sendto, [3, 4, 5, quiet | UPPER, 0, 16]),
        Runs
    );
    assert_eq!(
        native(libc::SYS_sendto, [3, 4, 5, 0, 0x7fff_0000, 16]),
        RootOnly(libc::EPERM)
    );
    // A pointer whose low half is zero is a pointer.
    assert_eq!(
        native(libc::SYS_sendto, [3, 4, 5, 0, 0x7f00_0000_0000, 16]),
        RootOnly(libc::EPERM)
    );
    for address in [0, 0x7fff_0000] {
        for flags in [fast, fast | quiet, fast | UPPER] {
            assert_eq!(
                native(libc::SYS_sendto, [3, 4, 5, flags, address, 16]),
                Refused(libc::EOPNOTSUPP)
            );
            assert_eq!(
                native(libc::SYS_sendmsg, [3, address, flags, 0, 0, 0]),
                Refused(libc::EOPNOTSUPP)
            );
        }
    }
    assert_eq!(
        native(libc::SYS_sendmsg, [3, 4, quiet, 0, 0, 0]),
        RootOnly(libc::EPERM)
    );
    assert_eq!(
        native(libc::SYS_sendmmsg, [3, 4, 1, 0, 0, 0]),
        Quietly(libc::ENOSYS)
    );
    assert_eq!(
        native(libc::SYS_sendmmsg, [3, 4, 1, fast, 0, 0]),
        Refused(libc::EOPNOTSUPP)
    );
}

#[test]
fn sockets_by_family_type_and_protocol() {
    let socket = |domain, kind, protocol| {
        native(
            libc::SYS_socket,
            [int(domain), int(kind), int(protocol), 0, 0, 0],
        )
    };
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let protocols = [
        0,
        1,
        2,
        6,
        17,
        33,
        41,
        58,
        115,
        132,
        136,
        255,
        256,
        262,
        263,
        i32::MAX,
        -1,
    ];
    for domain in [libc::AF_INET, libc::AF_INET6] {
        for kind in 0..16 {
            for protocol in protocols {
                let expected = match (kind, protocol) {
                    (libc::SOCK_STREAM, 0 | 6) | (libc::SOCK_DGRAM, 0 | 17) => Runs,
                    _ => Refused(libc::EPROTONOSUPPORT),
                };
                assert_eq!(
                    socket(domain, kind, protocol),
                    expected,
                    "{domain} {kind} {protocol}"
                );
                assert_eq!(socket(domain, kind | flags, protocol), expected);
            }
        }
    }
    for domain in (0..64).chain([255, i32::MAX, -1]) {
        let expected = match domain {
            libc::AF_UNIX => Runs,
            libc::AF_INET | libc::AF_INET6 => continue,
            libc::AF_NETLINK => RootOnly(libc::EAFNOSUPPORT),
            _ => Refused(libc::EAFNOSUPPORT),
        };
        assert_eq!(socket(domain, libc::SOCK_STREAM, 0), expected, "{domain}");
        let pair = native(libc::SYS_socketpair, [int(domain), 1, 0, 0, 0, 0]);
        assert_eq!(
            pair,
            if domain == libc::AF_UNIX {
                Runs
            } else {
                Refused(libc::EAFNOSUPPORT)
            }
        );
    }
    assert_eq!(
        native(libc::SYS_socketpair, [int(libc::AF_INET), 1, 0, 0, 0, 0]),
        Refused(libc::EAFNOSUPPORT)
    );
    // The kernel sees ints: the upper half of a register hides nothing and forbids nothing.
    let upper = |domain: i32| {
        native(
            libc::SYS_socket,
            [int(domain) | UPPER, 1 | UPPER, 6 | UPPER, 0, 0, 0],
        )
    };
    assert_eq!(upper(libc::AF_INET), Runs);
    assert_eq!(upper(libc::AF_VSOCK), Refused(libc::EAFNOSUPPORT));
}

#[test]
fn no_socket_is_bound_or_listens() {
    assert_eq!(
        native(libc::SYS_bind, [3, 4, 16, 0, 0, 0]),
        Bind(libc::EACCES)
    );
    assert_eq!(
        native(libc::SYS_listen, [3, 1, 0, 0, 0, 0]),
        Listen(libc::EACCES)
    );
}

#[test]
fn socket_options_by_level_and_name() {
    let set = |level, name| native(libc::SYS_setsockopt, [3, int(level), int(name), 0, 4, 0]);
    let refused = [
        (libc::IPPROTO_TCP, libc::TCP_FASTOPEN, libc::EOPNOTSUPP),
        (
            libc::IPPROTO_TCP,
            libc::TCP_FASTOPEN_CONNECT,
            libc::EOPNOTSUPP,
        ),
        (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_KEY, libc::EOPNOTSUPP),
        (libc::IPPROTO_TCP, libc::TCP_ULP, libc::EOPNOTSUPP),
        (libc::IPPROTO_TCP, libc::TCP_REPAIR, libc::EPERM),
        (libc::IPPROTO_TCP, libc::TCP_REPAIR_QUEUE, libc::EPERM),
        (libc::IPPROTO_TCP, libc::TCP_REPAIR_OPTIONS, libc::EPERM),
        (libc::IPPROTO_TCP, 29, libc::EPERM),
        (libc::IPPROTO_IP, libc::IP_OPTIONS, libc::EPERM),
        (libc::IPPROTO_IP, 50, libc::EPERM),
        (libc::IPPROTO_IPV6, libc::IPV6_RTHDR, libc::EPERM),
        (libc::IPPROTO_IPV6, libc::IPV6_2292RTHDR, libc::EPERM),
        (libc::IPPROTO_IPV6, libc::IPV6_2292PKTOPTIONS, libc::EPERM),
        (libc::IPPROTO_IPV6, 76, libc::EPERM),
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, libc::EPERM),
        (libc::SOL_SOCKET, libc::SO_LINGER, libc::EPERM),
        (libc::SOL_SOCKET, libc::SO_BINDTODEVICE, libc::EPERM),
        (libc::SOL_SOCKET, 62, libc::EPERM),
    ];
    for level in [
        libc::SOL_SOCKET,
        libc::IPPROTO_IP,
        libc::IPPROTO_TCP,
        libc::IPPROTO_UDP,
        libc::IPPROTO_IPV6,
        -1,
    ] {
        for name in -1..128 {
            let expected = refused
                .iter()
                .find(|(l, n, _)| (*l, *n) == (level, name))
                .map_or(Runs, |(_, _, e)| Refused(*e));
            assert_eq!(set(level, name), expected, "level {level} name {name}");
        }
    }
    let upper = native(libc::SYS_setsockopt, [3, 6 | UPPER, 30 | UPPER, 0, 4, 0]);
    assert_eq!(upper, Refused(libc::EOPNOTSUPP));
}

#[test]
fn calls_that_are_refused_whatever_their_arguments() {
    for (call, expected) in [
        (libc::SYS_io_uring_setup, libc::EPERM),
        (libc::SYS_io_uring_enter, libc::EPERM),
        (libc::SYS_io_uring_register, libc::EPERM),
        (libc::SYS_ptrace, libc::EPERM),
        (libc::SYS_process_vm_readv, libc::EPERM),
        (libc::SYS_process_vm_writev, libc::EPERM),
        (libc::SYS_process_madvise, libc::EPERM),
        (libc::SYS_pidfd_getfd, libc::EPERM),
        (libc::SYS_kcmp, libc::EPERM),
        (libc::SYS_unshare, libc::EPERM),
        (libc::SYS_setns, libc::EPERM),
        (libc::SYS_bpf, libc::EPERM),
        (libc::SYS_perf_event_open, libc::EPERM),
        (libc::SYS_userfaultfd, libc::EPERM),
        (libc::SYS_request_key, libc::EPERM),
    ] {
        for args in [[0; 6], [u64::MAX; 6]] {
            assert_eq!(native(call, args), Refused(expected), "{call}");
            assert_eq!(native(libc::SYS_clone3, args), Quietly(libc::ENOSYS));
        }
    }
}

#[test]
fn clone_by_flags() {
    let clone = |flags: i32| native(libc::SYS_clone, [int(flags), 0, 0, 0, 0, 0]);
    // fork(2), vfork(2), pthread_create(3).
    assert_eq!(clone(libc::SIGCHLD), Runs);
    assert_eq!(
        clone(libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD),
        Runs
    );
    let thread = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM;
    assert_eq!(clone(thread | libc::CLONE_FILES), Runs);
    assert_eq!(clone(thread), Refused(libc::EPERM));
    for namespace in [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ] {
        assert_eq!(clone(namespace | libc::SIGCHLD), Refused(libc::EPERM));
        assert_eq!(
            native(libc::SYS_clone, [int(namespace) | UPPER, 0, 0, 0, 0, 0]),
            Refused(libc::EPERM)
        );
    }
}

#[test]
fn files_are_closed_but_not_parted_with() {
    let close = |flags: u64| native(libc::SYS_close_range, [3, u64::MAX, flags, 0, 0, 0]);
    assert_eq!(close(0), Runs);
    assert_eq!(close(libc::CLOSE_RANGE_CLOEXEC.into()), Runs);
    for flags in [2, 2 | 4, 2 | UPPER] {
        assert_eq!(close(flags), Refused(libc::EPERM));
    }
}

#[test]
fn terminals_are_not_typed_into_and_no_tunnel_is_made() {
    let ioctl = |request: u64| native(libc::SYS_ioctl, [0, request, 0, 0, 0, 0]);
    for request in [libc::TIOCSTI, libc::TIOCLINUX] {
        assert_eq!(ioctl(request), Refused(libc::EPERM));
        // ioctl(2) takes an unsigned int (CVE-2017-5226 was a filter that forgot).
        assert_eq!(ioctl(request | UPPER), Refused(libc::EPERM));
    }
    assert_eq!(ioctl(libc::TUNSETIFF), Refused(libc::EPERM));
    assert_eq!(ioctl(libc::TUNSETIFF | UPPER), Refused(libc::EPERM));
    assert_eq!(ioctl(libc::TIOCGWINSZ), Runs);
    assert_eq!(ioctl(libc::TCGETS), Runs);
}

#[test]
fn rows_of_a_call_stand_together_and_each_can_decide() {
    let mut seen = HashSet::new();
    for block in rows().chunk_by(|a, b| a.number == b.number) {
        let call = block[0].call;
        assert!(seen.insert(call), "{call} stands in two places");
        for (i, row) in block.iter().enumerate() {
            assert_eq!(row.call, call);
            assert!(!row.why.is_empty() && !row.why.ends_with('.'));
            assert!(
                !row.when.is_empty() || i + 1 == block.len(),
                "{call}: nothing after this row is reached"
            );
            let bare = row.when.is_empty() && row.then == Action::Allow;
            assert!(!bare, "{call}: allowed anyway");
        }
    }
    let pointers = rows()
        .iter()
        .flat_map(|row| row.when)
        .filter(|test| matches!(test, Test::Pointer { .. }));
    assert_eq!(pointers.count(), 1);
}

#[test]
fn the_program_is_one_that_the_kernel_takes() {
    let program = session_filter();
    assert!(
        program.len() < usize::from(libc::BPF_MAXINSNS as u16),
        "{}",
        program.len()
    );
    // Cut anywhere, it must not fall off its end into an allow.
    let connect = seccomp_data {
        nr: libc::SYS_connect as i32,
        arch: ARCH,
        instruction_pointer: 0,
        args: [0; 6],
    };
    for length in 0..program.len() {
        assert_ne!(
            interpret(&program[..length], &connect),
            libc::SECCOMP_RET_ALLOW
        );
    }
}
