//! The table: one row per rule, with its reason.
//!
//! Rows of one system call stand together and are tried in order; the first
//! whose tests all hold decides, and a call that no row decides is allowed.
//! Tests see the low 32 bits of an argument, as the kernel does for every
//! argument that is an `int` or `unsigned int`; only pointers are 64 bits.
//!
//! `docs/session-filter.md` is this table for people to read.

use super::table::Action::{Allow, Bind, Judge, Listen, Quietly, Refuse, RootOnly};
use super::table::{Named, Row, Test};

const ALL: u32 = u32::MAX;
/// `enum sock_type` is 4 bits; the rest is `SOCK_CLOEXEC` and `SOCK_NONBLOCK` (socket(2)).
const TYPE: u32 = 0xf;

const fn is(arg: usize, values: &'static [Named]) -> Test {
    Test::In {
        arg,
        mask: ALL,
        values,
    }
}

const fn kind(values: &'static [Named]) -> Test {
    Test::In {
        arg: 1,
        mask: TYPE,
        values,
    }
}

/// Constants of the same name as in libc, with that name.
macro_rules! named {
    ($($name:ident)*) => {
        $(const $name: Named = Named { name: stringify!($name), value: libc::$name as u32 };)*
    };
    ($($name:ident = $value:expr;)*) => {
        $(const $name: Named = Named { name: stringify!($name), value: $value };)*
    };
}

named! {
    AF_UNIX AF_INET AF_INET6 AF_NETLINK
    SOCK_STREAM SOCK_DGRAM
    IPPROTO_IP IPPROTO_IPV6 IPPROTO_TCP IPPROTO_UDP SOL_SOCKET
    TCP_FASTOPEN TCP_FASTOPEN_CONNECT TCP_FASTOPEN_KEY TCP_ULP
    TCP_REPAIR TCP_REPAIR_QUEUE TCP_REPAIR_OPTIONS
    IP_OPTIONS IPV6_RTHDR IPV6_2292RTHDR IPV6_2292PKTOPTIONS IPV6_UNICAST_IF IPV6_PKTINFO
    SO_LINGER SO_BINDTODEVICE
    MSG_FASTOPEN TIOCSTI TIOCLINUX TUNSETIFF
    CLONE_NEWNS CLONE_NEWCGROUP CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWUSER CLONE_NEWPID CLONE_NEWNET
    CLONE_THREAD CLONE_FILES CLOSE_RANGE_UNSHARE
}
named! {
    DEFAULT = 0;
    // These have no name in libc (linux/tcp.h, linux/in.h, asm-generic/socket.h).
    TCP_REPAIR_WINDOW = 29;
    IP_UNICAST_IF = 50;
    SO_BINDTOIFINDEX = 62;
}

macro_rules! rows {
    ($($call:ident $([$($test:expr),+])? => $then:expr, $why:literal;)*) => {
        &[$(Row {
            call: stringify!($call),
            number: call_number!($call),
            when: &[$($($test),+)?],
            then: $then,
            why: $why,
        },)*]
    };
}

/// `libc::SYS_<name>`; spelled out because macros cannot join names.
macro_rules! call_number {
    (connect) => {
        libc::SYS_connect
    };
    (sendto) => {
        libc::SYS_sendto
    };
    (sendmsg) => {
        libc::SYS_sendmsg
    };
    (sendmmsg) => {
        libc::SYS_sendmmsg
    };
    (socket) => {
        libc::SYS_socket
    };
    (socketpair) => {
        libc::SYS_socketpair
    };
    (bind) => {
        libc::SYS_bind
    };
    (listen) => {
        libc::SYS_listen
    };
    (setsockopt) => {
        libc::SYS_setsockopt
    };
    (io_uring_setup) => {
        libc::SYS_io_uring_setup
    };
    (io_uring_enter) => {
        libc::SYS_io_uring_enter
    };
    (io_uring_register) => {
        libc::SYS_io_uring_register
    };
    (ptrace) => {
        libc::SYS_ptrace
    };
    (process_vm_readv) => {
        libc::SYS_process_vm_readv
    };
    (process_vm_writev) => {
        libc::SYS_process_vm_writev
    };
    (process_madvise) => {
        libc::SYS_process_madvise
    };
    (pidfd_getfd) => {
        libc::SYS_pidfd_getfd
    };
    (kcmp) => {
        libc::SYS_kcmp
    };
    (unshare) => {
        libc::SYS_unshare
    };
    (close_range) => {
        libc::SYS_close_range
    };
    (setns) => {
        libc::SYS_setns
    };
    (clone) => {
        libc::SYS_clone
    };
    (clone3) => {
        libc::SYS_clone3
    };
    (bpf) => {
        libc::SYS_bpf
    };
    (perf_event_open) => {
        libc::SYS_perf_event_open
    };
    (userfaultfd) => {
        libc::SYS_userfaultfd
    };
    (request_key) => {
        libc::SYS_request_key
    };
    (ioctl) => {
        libc::SYS_ioctl
    };
}
#[cfg(feature = "attacks")]
pub(crate) use call_number;

const INET: Test = is(0, &[AF_INET, AF_INET6]);
const NAMESPACES: &[Named] = &[
    CLONE_NEWNS,
    CLONE_NEWCGROUP,
    CLONE_NEWUTS,
    CLONE_NEWIPC,
    CLONE_NEWUSER,
    CLONE_NEWPID,
    CLONE_NEWNET,
];

static ROWS: &[Row] = rows! {
    connect => Judge, "the guard asks jumpd and connects the very socket itself, or refuses";

    sendto [Test::Any { arg: 3, bits: &[MSG_FASTOPEN] }] => Refuse(libc::EOPNOTSUPP), "connects without connect(2)";
    sendto [Test::Pointer { arg: 4 }] => RootOnly { errno: libc::EPERM, told: true }, "an address per datagram reaches anywhere without connect(2); root's libaudit needs it";
    sendmsg [Test::Any { arg: 2, bits: &[MSG_FASTOPEN] }] => Refuse(libc::EOPNOTSUPP), "connects without connect(2)";
    sendmsg => RootOnly { errno: libc::EPERM, told: true }, "its address is behind a pointer that no filter can read; sshd's monitor needs it to pass ptys and to speak D-Bus";
    sendmmsg [Test::Any { arg: 3, bits: &[MSG_FASTOPEN] }] => Refuse(libc::EOPNOTSUPP), "connects without connect(2)";
    sendmmsg => Quietly(libc::ENOSYS), "as sendmsg; the resolver of the C library tries it and does without";

    socket [is(0, &[AF_UNIX])] => Allow, "its connect(2) is judged";
    socket [INET, kind(&[SOCK_STREAM]), is(2, &[DEFAULT, IPPROTO_TCP])] => Allow, "TCP: its connect(2) is judged";
    socket [INET, kind(&[SOCK_DGRAM]), is(2, &[DEFAULT, IPPROTO_UDP])] => Allow, "UDP for the resolver: its connect(2) is judged and nothing else addresses it";
    socket [INET] => Refuse(libc::EPROTONOSUPPORT), "raw, MPTCP, SCTP, SMC, DCCP, UDP-Lite and ICMP connect in ways of their own";
    socket [is(0, &[AF_NETLINK])] => RootOnly { errno: libc::EAFNOSUPPORT, told: false }, "root's libaudit and PAM modules need it; the C library asks it for the host's addresses and does without";
    socket => Refuse(libc::EAFNOSUPPORT), "vsock, packet, alg, tipc, rds, kcm, bluetooth and whatever comes next lead out of the session";
    socketpair [is(0, &[AF_UNIX])] => Allow, "both ends stay in the session";
    socketpair => Refuse(libc::EAFNOSUPPORT), "only AF_UNIX pairs stay in the session";
    bind => Bind(libc::EACCES), "no service of the user's own; root's sd-bus binds an abstract name, and where a rule has a user's agent come along the guard binds its socket";
    listen => Listen(libc::EACCES), "no tunnel into the session: -R, X11 forwarding, and agents but where a rule has them come along";

    setsockopt [is(1, &[IPPROTO_TCP]), is(2, &[TCP_FASTOPEN, TCP_FASTOPEN_CONNECT, TCP_FASTOPEN_KEY])] => Refuse(libc::EOPNOTSUPP), "makes connect(2) report success before the first packet is sent";
    setsockopt [is(1, &[IPPROTO_TCP]), is(2, &[TCP_ULP])] => Refuse(libc::EOPNOTSUPP), "replaces the socket's own functions, connect among them";
    setsockopt [is(1, &[IPPROTO_TCP]), is(2, &[TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_REPAIR_OPTIONS, TCP_REPAIR_WINDOW])] => Refuse(libc::EPERM), "makes an established connection out of nothing";
    setsockopt [is(1, &[IPPROTO_IP]), is(2, &[IP_OPTIONS])] => Refuse(libc::EPERM), "source routing: the packets would go elsewhere first";
    setsockopt [is(1, &[IPPROTO_IPV6]), is(2, &[IPV6_RTHDR, IPV6_2292RTHDR, IPV6_2292PKTOPTIONS])] => Refuse(libc::EPERM), "source routing: the packets would go elsewhere first";
    setsockopt [is(1, &[IPPROTO_IP]), is(2, &[IP_UNICAST_IF])] => Refuse(libc::EPERM), "another interface may lead to another host of the same address";
    setsockopt [is(1, &[IPPROTO_IPV6]), is(2, &[IPV6_UNICAST_IF, IPV6_PKTINFO])] => Refuse(libc::EPERM), "another interface may lead to another host of the same address";
    setsockopt [is(1, &[SOL_SOCKET]), is(2, &[SO_LINGER])] => Refuse(libc::EPERM), "an abortive close wipes the socket's byte counts before they are recorded";
    setsockopt [is(1, &[SOL_SOCKET]), is(2, &[SO_BINDTODEVICE, SO_BINDTOIFINDEX])] => Refuse(libc::EPERM), "another interface may lead to another host of the same address";

    io_uring_setup => Refuse(libc::EPERM), "its CONNECT and SENDMSG never pass this filter";
    io_uring_enter => Refuse(libc::EPERM), "a ring may have been inherited";
    io_uring_register => Refuse(libc::EPERM), "a ring may have been inherited";

    ptrace => Refuse(libc::EPERM), "a neighbour session of the same uid could be made to connect";
    process_vm_readv => Refuse(libc::EPERM), "reads a neighbour session of the same uid";
    process_vm_writev => Refuse(libc::EPERM), "rewrites a neighbour session of the same uid";
    process_madvise => Refuse(libc::EPERM), "reaches into a neighbour session of the same uid";
    pidfd_getfd => Refuse(libc::EPERM), "takes a connected socket out of a neighbour session of the same uid";
    kcmp => Refuse(libc::EPERM), "compares kernel objects of a neighbour session";

    unshare => Refuse(libc::EPERM), "a user namespace gives capabilities; CLONE_FILES makes the guard look at the wrong table";
    close_range [Test::Any { arg: 2, bits: &[CLOSE_RANGE_UNSHARE] }] => Refuse(libc::EPERM), "a thread would have files of its own, and the guard of an old kernel would look at the leader's";
    setns => Refuse(libc::EPERM), "leaves the session's namespaces";
    clone [Test::Any { arg: 0, bits: NAMESPACES }] => Refuse(libc::EPERM), "a user namespace gives capabilities";
    clone [Test::Any { arg: 0, bits: &[CLONE_THREAD] }, Test::No { arg: 0, bits: &[CLONE_FILES] }] => Refuse(libc::EPERM), "the guard of an old kernel would connect the leader's socket of the same number";
    clone3 => Quietly(libc::ENOSYS), "its flags are behind a pointer; glibc tries it first and falls back to clone(2)";

    bpf => Refuse(libc::EPERM), "programs in the kernel";
    perf_event_open => Refuse(libc::EPERM), "watches the kernel and the neighbours";
    userfaultfd => Refuse(libc::EPERM), "stops the kernel in the middle of a copy, the classic helper of races";
    request_key => Refuse(libc::EPERM), "makes the kernel start a helper as root outside the session, for example one that asks DNS";

    ioctl [is(1, &[TIOCSTI])] => Refuse(libc::EPERM), "types into a terminal that someone else reads";
    ioctl [is(1, &[TIOCLINUX])] => Refuse(libc::EPERM), "pastes into the console";
    ioctl [is(1, &[TUNSETIFF])] => Refuse(libc::EPERM), "takes a tunnel device, which is a way into every network";
};

/// Every rule of the session filter, in the order in which they are tried.
#[must_use]
pub fn rows() -> &'static [Row] {
    ROWS
}
