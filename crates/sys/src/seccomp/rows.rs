//! The table: one row per rule, with its reason.
//!
//! Rows of one system call stand together and are tried in order; the first
//! whose tests all hold decides, and a call that no row decides is allowed.
//! Tests see the low 32 bits of an argument, as the kernel does for every
//! argument that is an `int` or `unsigned int`; only pointers are 64 bits.

use libc::{c_int, c_long};

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It runs.
    Allow,
    /// It fails with this errno.
    Errno(c_int),
    /// The guard judges it; a guard that is gone means ENOSYS (seccomp_unotify(2)).
    Notify,
    /// The process dies.
    Kill,
}

/// A condition on one argument (0 to 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// The masked low half is one of these values.
    In {
        /// Which argument.
        arg: usize,
        /// Bits that count.
        mask: u32,
        /// The values.
        values: &'static [u32],
    },
    /// At least one of these bits is set.
    Any {
        /// Which argument.
        arg: usize,
        /// The bits.
        bits: u32,
    },
    /// None of these bits is set.
    No {
        /// Which argument.
        arg: usize,
        /// The bits.
        bits: u32,
    },
    /// The argument is a pointer other than NULL (both halves are looked at).
    Pointer {
        /// Which argument.
        arg: usize,
    },
}

/// One rule.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Name of the system call.
    pub call: &'static str,
    /// Its number on this architecture.
    pub number: c_long,
    /// Conditions, all of which must hold; none: always.
    pub when: &'static [Test],
    /// What then becomes of it.
    pub then: Action,
    /// Why.
    pub why: &'static str,
}

const ALL: u32 = u32::MAX;
/// `enum sock_type` is 4 bits; the rest is `SOCK_CLOEXEC` and `SOCK_NONBLOCK` (socket(2)).
const TYPE: u32 = 0xf;
const FASTOPEN: u32 = libc::MSG_FASTOPEN as u32;
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;
/// linux/kcmp.h and friends need no arguments here; these three have no name in libc.
const TCP_REPAIR_WINDOW: u32 = 29;
const IP_UNICAST_IF: u32 = 50;
const SO_BINDTOIFINDEX: u32 = 62;

const fn is(arg: usize, values: &'static [u32]) -> Test {
    Test::In {
        arg,
        mask: ALL,
        values,
    }
}

macro_rules! rows {
    ($($call:ident $([$($test:expr),+])? => $then:expr, $why:literal;)*) => {
        &[$(Row {
            call: stringify!($call),
            number: paste_number!($call),
            when: &[$($($test),+)?],
            then: $then,
            why: $why,
        },)*]
    };
}

/// `libc::SYS_<name>`; spelled out because macros cannot join names.
macro_rules! paste_number {
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

const AF_UNIX: u32 = libc::AF_UNIX as u32;
const AF_INET: u32 = libc::AF_INET as u32;
const AF_INET6: u32 = libc::AF_INET6 as u32;
const AF_NETLINK: u32 = libc::AF_NETLINK as u32;
const STREAM: u32 = libc::SOCK_STREAM as u32;
const DGRAM: u32 = libc::SOCK_DGRAM as u32;
const TCP: u32 = libc::IPPROTO_TCP as u32;
const UDP: u32 = libc::IPPROTO_UDP as u32;
const SOL_SOCKET: u32 = libc::SOL_SOCKET as u32;
const IP: u32 = libc::IPPROTO_IP as u32;
const IPV6: u32 = libc::IPPROTO_IPV6 as u32;

use Action::{Allow, Errno, Notify};

static ROWS: &[Row] = rows! {
    connect => Notify, "the guard asks jumpd and connects the very socket itself, or refuses";

    sendto [Test::Any { arg: 3, bits: FASTOPEN }] => Errno(libc::EOPNOTSUPP), "connects without connect(2)";
    sendto [Test::Pointer { arg: 4 }] => Notify, "an address per datagram reaches anywhere without connect(2); root's libaudit needs it";
    sendmsg [Test::Any { arg: 2, bits: FASTOPEN }] => Errno(libc::EOPNOTSUPP), "connects without connect(2)";
    sendmsg => Notify, "its address is behind a pointer that no filter can read; sshd's monitor needs it to pass ptys and to speak D-Bus";
    sendmmsg => Errno(libc::ENOSYS), "as sendmsg, and nobody needs it";

    socket [is(0, &[AF_UNIX])] => Allow, "its connect(2) is judged";
    socket [is(0, &[AF_INET, AF_INET6]), Test::In { arg: 1, mask: TYPE, values: &[STREAM] }, is(2, &[0, TCP])] => Allow, "TCP: its connect(2) is judged";
    socket [is(0, &[AF_INET, AF_INET6]), Test::In { arg: 1, mask: TYPE, values: &[DGRAM] }, is(2, &[0, UDP])] => Allow, "UDP for the resolver: its connect(2) is judged and nothing else addresses it";
    socket [is(0, &[AF_INET, AF_INET6])] => Errno(libc::EPROTONOSUPPORT), "raw, MPTCP, SCTP, SMC, DCCP, UDP-Lite and ICMP connect in ways of their own";
    socket [is(0, &[AF_NETLINK])] => Notify, "root's libaudit and PAM modules need it; users are told there is no such family";
    socket => Errno(libc::EAFNOSUPPORT), "vsock, packet, alg, tipc, rds, kcm, bluetooth and whatever comes next lead out of the session";
    socketpair [is(0, &[AF_UNIX])] => Allow, "both ends stay in the session";
    socketpair => Errno(libc::EAFNOSUPPORT), "only AF_UNIX pairs stay in the session";
    bind => Notify, "no service of the user's own; root's sd-bus binds an abstract name";
    listen => Errno(libc::EACCES), "no tunnel into the session: -R, agent and X11 forwarding";

    setsockopt [is(1, &[TCP]), is(2, &[libc::TCP_FASTOPEN as u32, libc::TCP_FASTOPEN_CONNECT as u32, libc::TCP_FASTOPEN_KEY as u32])] => Errno(libc::EOPNOTSUPP), "makes connect(2) report success before the first packet is sent";
    setsockopt [is(1, &[TCP]), is(2, &[libc::TCP_ULP as u32])] => Errno(libc::EOPNOTSUPP), "replaces the socket's own functions, connect among them";
    setsockopt [is(1, &[TCP]), is(2, &[libc::TCP_REPAIR as u32, libc::TCP_REPAIR_QUEUE as u32, libc::TCP_REPAIR_OPTIONS as u32, TCP_REPAIR_WINDOW])] => Errno(libc::EPERM), "makes an established connection out of nothing";
    setsockopt [is(1, &[IP]), is(2, &[libc::IP_OPTIONS as u32])] => Errno(libc::EPERM), "source routing: the packets would go elsewhere first";
    setsockopt [is(1, &[IPV6]), is(2, &[libc::IPV6_RTHDR as u32, libc::IPV6_2292RTHDR as u32, libc::IPV6_2292PKTOPTIONS as u32])] => Errno(libc::EPERM), "source routing: the packets would go elsewhere first";
    setsockopt [is(1, &[IP]), is(2, &[IP_UNICAST_IF])] => Errno(libc::EPERM), "another interface may lead to another host of the same address";
    setsockopt [is(1, &[IPV6]), is(2, &[libc::IPV6_UNICAST_IF as u32])] => Errno(libc::EPERM), "another interface may lead to another host of the same address";
    setsockopt [is(1, &[SOL_SOCKET]), is(2, &[libc::SO_LINGER as u32])] => Errno(libc::EPERM), "an abortive close wipes the socket's byte counts before they are recorded";
    setsockopt [is(1, &[SOL_SOCKET]), is(2, &[libc::SO_BINDTODEVICE as u32, SO_BINDTOIFINDEX])] => Errno(libc::EPERM), "another interface may lead to another host of the same address";

    io_uring_setup => Errno(libc::EPERM), "its CONNECT and SENDMSG never pass this filter";
    io_uring_enter => Errno(libc::EPERM), "a ring may have been inherited";
    io_uring_register => Errno(libc::EPERM), "a ring may have been inherited";

    ptrace => Errno(libc::EPERM), "a neighbour session of the same uid could be made to connect";
    process_vm_readv => Errno(libc::EPERM), "reads a neighbour session of the same uid";
    process_vm_writev => Errno(libc::EPERM), "rewrites a neighbour session of the same uid";
    process_madvise => Errno(libc::EPERM), "reaches into a neighbour session of the same uid";
    pidfd_getfd => Errno(libc::EPERM), "takes a connected socket out of a neighbour session of the same uid";
    kcmp => Errno(libc::EPERM), "compares kernel objects of a neighbour session";

    unshare => Errno(libc::EPERM), "a user namespace gives capabilities; CLONE_FILES makes the guard look at the wrong table";
    setns => Errno(libc::EPERM), "leaves the session's namespaces";
    clone [Test::Any { arg: 0, bits: NAMESPACES }] => Errno(libc::EPERM), "a user namespace gives capabilities";
    clone [Test::Any { arg: 0, bits: libc::CLONE_THREAD as u32 }, Test::No { arg: 0, bits: libc::CLONE_FILES as u32 }] => Errno(libc::EPERM), "the guard of an old kernel would connect the leader's socket of the same number";
    clone3 => Errno(libc::ENOSYS), "its flags are behind a pointer; glibc falls back to clone(2)";

    bpf => Errno(libc::EPERM), "programs in the kernel";
    perf_event_open => Errno(libc::EPERM), "watches the kernel and the neighbours";
    userfaultfd => Errno(libc::EPERM), "stops the kernel in the middle of a copy, the classic helper of races";
    request_key => Errno(libc::EPERM), "makes the kernel start a helper as root outside the session, for example one that asks DNS";

    ioctl [is(1, &[libc::TIOCSTI as u32])] => Errno(libc::EPERM), "types into a terminal that someone else reads";
    ioctl [is(1, &[libc::TIOCLINUX as u32])] => Errno(libc::EPERM), "pastes into the console";
};

/// Every rule of the session filter, in the order in which they are tried.
#[must_use]
pub fn rows() -> &'static [Row] {
    ROWS
}
