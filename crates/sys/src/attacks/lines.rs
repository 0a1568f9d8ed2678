//! The lines: every call of the session filter's table, with every flag that
//! the table names and those that it means to catch, and what must become of each.
//!
//! A test fails when a row of the table, or a value in it, has no line here.

use super::probe::File::{Namespace, Repaired, Tcp, Tcp6, Terminal, Udp, Unix};
use super::probe::{
    Arg::{self, Bytes, Child, Fd, Int, Iovec, Itself, TcpMessage, UdpMessage},
    File, Probe,
};
use crate::seccomp::Action::{Allow, Bind, Judge, Listen, Quietly, Refuse, RootOnly};

/// Bits that the kernel does not look at in an `int`.
const UPPER: u64 = 0xdead_beef_0000_0000;

/// A C `int` as a register holds it.
const fn c(value: i32) -> Arg {
    Int(value as u32 as u64)
}

const NONE: Arg = Int(0);

macro_rules! lines {
    ($($call:ident $with:literal [$($arg:expr),*] => $then:expr;)*) => {
        &[$(Probe {
            call: stringify!($call),
            number: crate::seccomp::call_number!($call),
            with: $with,
            args: six(&[$($arg),*]),
            then: $then,
        },)*]
    };
}

/// The arguments that are given, then zeros.
const fn six(given: &[Arg]) -> [Arg; 6] {
    let mut args = [NONE; 6];
    let mut i = 0;
    while i < given.len() {
        args[i] = given[i];
        i += 1;
    }
    args
}

/// Every line.
#[must_use]
pub fn probes() -> &'static [Probe] {
    PROBES
}

static PROBES: &[Probe] = lines! {
    connect "TCP" [Fd(Tcp), Arg::Tcp, Int(16)] => Judge;

    sendto "MSG_FASTOPEN" [Fd(Tcp), Bytes(b"hello"), Int(5), c(libc::MSG_FASTOPEN), Arg::Tcp, Int(16)] => Refuse(libc::EOPNOTSUPP);
    sendto "MSG_FASTOPEN and MSG_NOSIGNAL, upper bits set" [Fd(Tcp), Bytes(b"hello"), Int(5), Int(UPPER | (libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL) as u64), Arg::Tcp, Int(16)] => Refuse(libc::EOPNOTSUPP);
    sendto "an address" [Fd(Udp), Bytes(b"hello"), Int(5), Int(0), Arg::Udp, Int(16)] => RootOnly { errno: libc::EPERM, told: true };

    sendmsg "MSG_FASTOPEN" [Fd(Tcp), TcpMessage, c(libc::MSG_FASTOPEN)] => Refuse(libc::EOPNOTSUPP);
    sendmsg "an address" [Fd(Udp), UdpMessage, Int(0)] => RootOnly { errno: libc::EPERM, told: true };

    sendmmsg "MSG_FASTOPEN" [Fd(Tcp), TcpMessage, Int(1), c(libc::MSG_FASTOPEN)] => Refuse(libc::EOPNOTSUPP);
    sendmmsg "an address" [Fd(Udp), UdpMessage, Int(1), Int(0)] => Quietly(libc::ENOSYS);

    socket "AF_UNIX, SOCK_STREAM, 0" [c(libc::AF_UNIX), c(libc::SOCK_STREAM), Int(0)] => Allow;
    socket "AF_INET, SOCK_STREAM, 0" [c(libc::AF_INET), c(libc::SOCK_STREAM | libc::SOCK_CLOEXEC), Int(0)] => Allow;
    socket "AF_INET, SOCK_STREAM, IPPROTO_TCP" [c(libc::AF_INET), c(libc::SOCK_STREAM), c(libc::IPPROTO_TCP)] => Allow;
    socket "AF_INET, SOCK_DGRAM, 0" [c(libc::AF_INET), c(libc::SOCK_DGRAM | libc::SOCK_CLOEXEC), Int(0)] => Allow;
    socket "AF_INET, SOCK_DGRAM, IPPROTO_UDP" [c(libc::AF_INET), c(libc::SOCK_DGRAM), c(libc::IPPROTO_UDP)] => Allow;
    socket "AF_INET6, SOCK_STREAM, 0" [c(libc::AF_INET6), c(libc::SOCK_STREAM | libc::SOCK_CLOEXEC), Int(0)] => Allow;
    socket "AF_INET6, SOCK_STREAM, IPPROTO_TCP" [c(libc::AF_INET6), c(libc::SOCK_STREAM), c(libc::IPPROTO_TCP)] => Allow;
    socket "AF_INET6, SOCK_DGRAM, 0" [c(libc::AF_INET6), c(libc::SOCK_DGRAM | libc::SOCK_CLOEXEC), Int(0)] => Allow;
    socket "AF_INET6, SOCK_DGRAM, IPPROTO_UDP" [c(libc::AF_INET6), c(libc::SOCK_DGRAM), c(libc::IPPROTO_UDP)] => Allow;
    socket "AF_INET, SOCK_STREAM, IPPROTO_MPTCP" [c(libc::AF_INET), c(libc::SOCK_STREAM), Int(262)] => Refuse(libc::EPROTONOSUPPORT);
    socket "AF_INET6, SOCK_STREAM, IPPROTO_MPTCP" [c(libc::AF_INET6), c(libc::SOCK_STREAM), Int(262)] => Refuse(libc::EPROTONOSUPPORT);
    socket "AF_INET, SOCK_STREAM, IPPROTO_SCTP" [c(libc::AF_INET), c(libc::SOCK_STREAM), c(libc::IPPROTO_SCTP)] => Refuse(libc::EPROTONOSUPPORT);
    socket "AF_INET, SOCK_SEQPACKET, IPPROTO_SCTP" [c(libc::AF_INET), c(libc::SOCK_SEQPACKET), c(libc::IPPROTO_SCTP)] => Refuse(libc::EPROTONOSUPPORT);
    socket "AF_INET, SOCK_STREAM, IPPROTO_SMC" [c(libc::AF_INET), c(libc::SOCK_STREAM), Int(256)] => Refuse(libc::EPROTONOSUPPORT);
    socket "AF_INET, SOCK_DCCP, IPPROTO_DCCP" [c(libc::AF_INET), c(libc::SOCK_DCCP), c(libc::IPPROTO_DCCP)] => Refuse(libc::EPROTONOSUPPORT);
    socket "AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE" [c(libc::AF_INET), c(libc::SOCK_DGRAM), c(libc::IPPROTO_UDPLITE)] => Refuse(libc::EPROTONOSUPPORT);
    socket "AF_INET, SOCK_DGRAM, IPPROTO_ICMP" [c(libc::AF_INET), c(libc::SOCK_DGRAM), c(libc::IPPROTO_ICMP)] => Refuse(libc::EPROTONOSUPPORT);
    socket "AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6" [c(libc::AF_INET6), c(libc::SOCK_DGRAM), c(libc::IPPROTO_ICMPV6)] => Refuse(libc::EPROTONOSUPPORT);
    socket "AF_INET, SOCK_RAW, IPPROTO_TCP" [c(libc::AF_INET), c(libc::SOCK_RAW), c(libc::IPPROTO_TCP)] => Refuse(libc::EPROTONOSUPPORT);
    socket "AF_INET, SOCK_RAW, IPPROTO_RAW" [c(libc::AF_INET), c(libc::SOCK_RAW), c(libc::IPPROTO_RAW)] => Refuse(libc::EPROTONOSUPPORT);
    socket "AF_INET6, SOCK_RAW, IPPROTO_ICMPV6" [c(libc::AF_INET6), c(libc::SOCK_RAW), c(libc::IPPROTO_ICMPV6)] => Refuse(libc::EPROTONOSUPPORT);
    socket "AF_INET, SOCK_PACKET, 0" [c(libc::AF_INET), Int(10), Int(0)] => Refuse(libc::EPROTONOSUPPORT);
    socket "AF_INET, SOCK_STREAM, -1" [c(libc::AF_INET), c(libc::SOCK_STREAM), c(-1)] => Refuse(libc::EPROTONOSUPPORT);
    socket "AF_NETLINK, SOCK_RAW, NETLINK_ROUTE" [c(libc::AF_NETLINK), c(libc::SOCK_RAW), c(libc::NETLINK_ROUTE)] => RootOnly { errno: libc::EAFNOSUPPORT, told: false };
    socket "AF_VSOCK, SOCK_STREAM, 0" [c(libc::AF_VSOCK), c(libc::SOCK_STREAM), Int(0)] => Refuse(libc::EAFNOSUPPORT);
    socket "AF_PACKET, SOCK_DGRAM, 0" [c(libc::AF_PACKET), c(libc::SOCK_DGRAM), Int(0)] => Refuse(libc::EAFNOSUPPORT);
    socket "AF_PACKET, SOCK_RAW, 0" [c(libc::AF_PACKET), c(libc::SOCK_RAW), Int(0)] => Refuse(libc::EAFNOSUPPORT);
    socket "AF_ALG, SOCK_SEQPACKET, 0" [c(libc::AF_ALG), c(libc::SOCK_SEQPACKET), Int(0)] => Refuse(libc::EAFNOSUPPORT);
    socket "AF_KEY, SOCK_RAW, 0" [c(libc::AF_KEY), c(libc::SOCK_RAW), Int(0)] => Refuse(libc::EAFNOSUPPORT);
    socket "AF_TIPC, SOCK_STREAM, 0" [c(libc::AF_TIPC), c(libc::SOCK_STREAM), Int(0)] => Refuse(libc::EAFNOSUPPORT);
    socket "AF_RDS, SOCK_SEQPACKET, 0" [c(libc::AF_RDS), c(libc::SOCK_SEQPACKET), Int(0)] => Refuse(libc::EAFNOSUPPORT);
    socket "AF_SMC, SOCK_STREAM, 0" [Int(43), c(libc::SOCK_STREAM), Int(0)] => Refuse(libc::EAFNOSUPPORT);
    socket "AF_KCM, SOCK_DGRAM, 0" [Int(41), c(libc::SOCK_DGRAM), Int(0)] => Refuse(libc::EAFNOSUPPORT);
    socket "AF_BLUETOOTH, SOCK_STREAM, 0" [c(libc::AF_BLUETOOTH), c(libc::SOCK_STREAM), Int(0)] => Refuse(libc::EAFNOSUPPORT);
    socket "AF_XDP, SOCK_RAW, 0" [c(libc::AF_XDP), c(libc::SOCK_RAW), Int(0)] => Refuse(libc::EAFNOSUPPORT);
    socket "AF_QIPCRTR, SOCK_DGRAM, 0" [Int(42), c(libc::SOCK_DGRAM), Int(0)] => Refuse(libc::EAFNOSUPPORT);
    socket "AF_CAN, SOCK_RAW, 0" [c(libc::AF_CAN), c(libc::SOCK_RAW), Int(0)] => Refuse(libc::EAFNOSUPPORT);
    socket "AF_MCTP, SOCK_DGRAM, 0" [Int(45), c(libc::SOCK_DGRAM), Int(0)] => Refuse(libc::EAFNOSUPPORT);
    socket "AF_PPPOX, SOCK_STREAM, 0" [c(libc::AF_PPPOX), c(libc::SOCK_STREAM), Int(0)] => Refuse(libc::EAFNOSUPPORT);
    socket "AF_NFC, SOCK_SEQPACKET, 0" [c(libc::AF_NFC), c(libc::SOCK_SEQPACKET), Int(0)] => Refuse(libc::EAFNOSUPPORT);
    socket "AF_LLC, SOCK_STREAM, 0" [c(libc::AF_LLC), c(libc::SOCK_STREAM), Int(0)] => Refuse(libc::EAFNOSUPPORT);
    socket "AF_IEEE802154, SOCK_DGRAM, 0" [c(libc::AF_IEEE802154), c(libc::SOCK_DGRAM), Int(0)] => Refuse(libc::EAFNOSUPPORT);
    socket "AF_UNSPEC, SOCK_STREAM, 0" [Int(0), c(libc::SOCK_STREAM), Int(0)] => Refuse(libc::EAFNOSUPPORT);
    socket "AF_VSOCK, SOCK_STREAM, 0, upper bits set" [Int(UPPER | libc::AF_VSOCK as u64), c(libc::SOCK_STREAM), Int(0)] => Refuse(libc::EAFNOSUPPORT);

    socketpair "AF_UNIX" [c(libc::AF_UNIX), c(libc::SOCK_STREAM), Int(0), Bytes(&[])] => Allow;
    socketpair "AF_INET" [c(libc::AF_INET), c(libc::SOCK_STREAM), Int(0), Bytes(&[])] => Refuse(libc::EAFNOSUPPORT);
    socketpair "AF_TIPC" [c(libc::AF_TIPC), c(libc::SOCK_STREAM), Int(0), Bytes(&[])] => Refuse(libc::EAFNOSUPPORT);

    bind "any address and port" [Fd(Tcp), Bytes(&[2, 0]), Int(16)] => Bind(libc::EACCES);
    bind "a path" [Fd(Unix), Bytes(b"\x01\0/proc/jump-test\0"), Int(18)] => Bind(libc::EACCES);
    bind "the path of sshd's agent socket" [Fd(Unix), Bytes(b"\x01\0/tmp/ssh-XXXXabcdef/agent.1\0"), Int(30)] => Bind(libc::EACCES);

    listen "" [Fd(Tcp), Int(1)] => Listen(libc::EACCES);
    listen "AF_UNIX" [Fd(Unix), Int(1)] => Listen(libc::EACCES);

    setsockopt "IPPROTO_TCP, TCP_FASTOPEN" [Fd(Tcp), c(libc::IPPROTO_TCP), c(libc::TCP_FASTOPEN), Bytes(&[1, 0, 0, 0]), Int(4)] => Refuse(libc::EOPNOTSUPP);
    setsockopt "IPPROTO_TCP, TCP_FASTOPEN_CONNECT" [Fd(Tcp), c(libc::IPPROTO_TCP), c(libc::TCP_FASTOPEN_CONNECT), Bytes(&[1, 0, 0, 0]), Int(4)] => Refuse(libc::EOPNOTSUPP);
    setsockopt "IPPROTO_TCP, TCP_FASTOPEN_KEY" [Fd(Tcp), c(libc::IPPROTO_TCP), c(libc::TCP_FASTOPEN_KEY), Bytes(b"0123456789abcdef"), Int(16)] => Refuse(libc::EOPNOTSUPP);
    setsockopt "IPPROTO_TCP, TCP_ULP" [Fd(Tcp), c(libc::IPPROTO_TCP), c(libc::TCP_ULP), Bytes(b"tls"), Int(3)] => Refuse(libc::EOPNOTSUPP);
    setsockopt "IPPROTO_TCP, TCP_REPAIR" [Fd(Tcp), c(libc::IPPROTO_TCP), c(libc::TCP_REPAIR), Bytes(&[1, 0, 0, 0]), Int(4)] => Refuse(libc::EPERM);
    setsockopt "IPPROTO_TCP, TCP_REPAIR_QUEUE" [Fd(Repaired), c(libc::IPPROTO_TCP), c(libc::TCP_REPAIR_QUEUE), Bytes(&[1, 0, 0, 0]), Int(4)] => Refuse(libc::EPERM);
    setsockopt "IPPROTO_TCP, TCP_REPAIR_OPTIONS" [Fd(Repaired), c(libc::IPPROTO_TCP), c(libc::TCP_REPAIR_OPTIONS), Bytes(&[1, 0, 0, 0]), Int(4)] => Refuse(libc::EPERM);
    setsockopt "IPPROTO_TCP, TCP_REPAIR_WINDOW" [Fd(Repaired), c(libc::IPPROTO_TCP), Int(29), Bytes(&[1, 0, 0, 0]), Int(4)] => Refuse(libc::EPERM);
    setsockopt "IPPROTO_IP, IP_OPTIONS" [Fd(Tcp), c(libc::IPPROTO_IP), c(libc::IP_OPTIONS), Bytes(&[1, 1, 1, 1]), Int(4)] => Refuse(libc::EPERM);
    setsockopt "IPPROTO_IPV6, IPV6_RTHDR" [Fd(Tcp6), c(libc::IPPROTO_IPV6), c(libc::IPV6_RTHDR), Int(0), Int(0)] => Refuse(libc::EPERM);
    setsockopt "IPPROTO_IPV6, IPV6_2292RTHDR" [Fd(Tcp6), c(libc::IPPROTO_IPV6), c(libc::IPV6_2292RTHDR), Bytes(&[1, 0, 0, 0]), Int(4)] => Refuse(libc::EPERM);
    setsockopt "IPPROTO_IPV6, IPV6_2292PKTOPTIONS" [Fd(Tcp6), c(libc::IPPROTO_IPV6), c(libc::IPV6_2292PKTOPTIONS), Int(0), Int(0)] => Refuse(libc::EPERM);
    setsockopt "IPPROTO_IP, IP_UNICAST_IF" [Fd(Tcp), c(libc::IPPROTO_IP), Int(50), Bytes(&[]), Int(4)] => Refuse(libc::EPERM);
    setsockopt "IPPROTO_IPV6, IPV6_UNICAST_IF" [Fd(Tcp6), c(libc::IPPROTO_IPV6), c(libc::IPV6_UNICAST_IF), Bytes(&[]), Int(4)] => Refuse(libc::EPERM);
    setsockopt "IPPROTO_IPV6, IPV6_PKTINFO" [Fd(Tcp6), c(libc::IPPROTO_IPV6), c(libc::IPV6_PKTINFO), Bytes(&[]), Int(20)] => Refuse(libc::EPERM);
    setsockopt "SOL_SOCKET, SO_LINGER" [Fd(Tcp), c(libc::SOL_SOCKET), c(libc::SO_LINGER), Bytes(&[1, 0, 0, 0, 0, 0, 0, 0]), Int(8)] => Refuse(libc::EPERM);
    setsockopt "SOL_SOCKET, SO_BINDTODEVICE" [Fd(Tcp), c(libc::SOL_SOCKET), c(libc::SO_BINDTODEVICE), Bytes(&[]), Int(1)] => Refuse(libc::EPERM);
    setsockopt "SOL_SOCKET, SO_BINDTOIFINDEX" [Fd(Tcp), c(libc::SOL_SOCKET), Int(62), Bytes(&[]), Int(4)] => Refuse(libc::EPERM);

    io_uring_setup "" [Int(1), Bytes(&[])] => Refuse(libc::EPERM);

    io_uring_enter "" [Fd(Tcp), Int(1), Int(0), Int(0), Int(0), Int(0)] => Refuse(libc::EPERM);

    io_uring_register "" [Fd(Tcp), Int(8), Bytes(&[]), Int(1)] => Refuse(libc::EPERM);

    ptrace "PTRACE_SEIZE" [Int(0x4206), Child, Int(0), Int(0)] => Refuse(libc::EPERM);
    ptrace "PTRACE_TRACEME" [Int(0), Int(0), Int(0), Int(0)] => Refuse(libc::EPERM);

    process_vm_readv "" [Child, Iovec, Int(1), Iovec, Int(1), Int(0)] => Refuse(libc::EPERM);

    process_vm_writev "" [Child, Iovec, Int(1), Iovec, Int(1), Int(0)] => Refuse(libc::EPERM);

    process_madvise "MADV_COLD" [Fd(File::Child), Iovec, Int(1), Int(20), Int(0)] => Refuse(libc::EPERM);

    pidfd_getfd "" [Fd(File::Child), Int(0), Int(0)] => Refuse(libc::EPERM);

    kcmp "KCMP_FILE" [Itself, Child, Int(0), Int(0), Int(0)] => Refuse(libc::EPERM);

    unshare "CLONE_NEWUSER" [c(libc::CLONE_NEWUSER)] => Refuse(libc::EPERM);
    unshare "CLONE_NEWNS" [c(libc::CLONE_NEWNS)] => Refuse(libc::EPERM);
    unshare "CLONE_NEWNET" [c(libc::CLONE_NEWNET)] => Refuse(libc::EPERM);
    unshare "CLONE_NEWPID" [c(libc::CLONE_NEWPID)] => Refuse(libc::EPERM);
    unshare "CLONE_NEWUTS" [c(libc::CLONE_NEWUTS)] => Refuse(libc::EPERM);
    unshare "CLONE_NEWIPC" [c(libc::CLONE_NEWIPC)] => Refuse(libc::EPERM);
    unshare "CLONE_NEWCGROUP" [c(libc::CLONE_NEWCGROUP)] => Refuse(libc::EPERM);
    unshare "CLONE_FILES" [c(libc::CLONE_FILES)] => Refuse(libc::EPERM);

    close_range "CLOSE_RANGE_UNSHARE" [Int(1000), Int(1001), Int(libc::CLOSE_RANGE_UNSHARE as u64)] => Refuse(libc::EPERM);

    setns "" [Fd(Namespace), Int(0)] => Refuse(libc::EPERM);

    clone "CLONE_NEWUSER" [c(libc::CLONE_NEWUSER | libc::SIGCHLD)] => Refuse(libc::EPERM);
    clone "CLONE_NEWNS" [c(libc::CLONE_NEWNS | libc::SIGCHLD)] => Refuse(libc::EPERM);
    clone "CLONE_NEWNET" [c(libc::CLONE_NEWNET | libc::SIGCHLD)] => Refuse(libc::EPERM);
    clone "CLONE_NEWPID" [c(libc::CLONE_NEWPID | libc::SIGCHLD)] => Refuse(libc::EPERM);
    clone "CLONE_NEWUTS" [c(libc::CLONE_NEWUTS | libc::SIGCHLD)] => Refuse(libc::EPERM);
    clone "CLONE_NEWIPC" [c(libc::CLONE_NEWIPC | libc::SIGCHLD)] => Refuse(libc::EPERM);
    clone "CLONE_NEWCGROUP" [c(libc::CLONE_NEWCGROUP | libc::SIGCHLD)] => Refuse(libc::EPERM);
    clone "CLONE_NEWUSER, upper bits set" [Int(UPPER | (libc::CLONE_NEWUSER | libc::SIGCHLD) as u64)] => Refuse(libc::EPERM);
    clone "CLONE_THREAD without CLONE_FILES" [c(libc::CLONE_VM | libc::CLONE_THREAD)] => Refuse(libc::EPERM);

    clone3 "" [Bytes(&[]), Int(64)] => Quietly(libc::ENOSYS);

    bpf "BPF_MAP_CREATE" [Int(0), Bytes(&[]), Int(72)] => Refuse(libc::EPERM);

    perf_event_open "" [Bytes(&[1, 0, 0, 0, 64]), Int(0), c(-1), c(-1), Int(0)] => Refuse(libc::EPERM);

    userfaultfd "UFFD_USER_MODE_ONLY" [Int(1)] => Refuse(libc::EPERM);

    request_key "" [Bytes(b"user"), Bytes(b"jump-test"), Int(0), Int(0)] => Refuse(libc::EPERM);

    ioctl "TIOCSTI" [Fd(Terminal), Int(libc::TIOCSTI), Bytes(b"x")] => Refuse(libc::EPERM);
    ioctl "TIOCSTI, upper bits set" [Fd(Terminal), Int(UPPER | libc::TIOCSTI), Bytes(b"x")] => Refuse(libc::EPERM);
    ioctl "TIOCLINUX" [Fd(Terminal), Int(libc::TIOCLINUX), Bytes(&[3])] => Refuse(libc::EPERM);
    ioctl "TUNSETIFF" [Fd(Terminal), Int(libc::TUNSETIFF), Bytes(&[0; 40])] => Refuse(libc::EPERM);
};
