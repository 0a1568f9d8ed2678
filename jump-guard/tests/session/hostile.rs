//! What a user who wants out tries.

use crate::probes::{connect, raw, say, say_text, tcp, udp};
use jump_sys::attacks::{self, Send};
use nix::libc;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

pub fn fastopen(to: SocketAddr) {
    let bytes = raw(to);
    for how in [Send::To, Send::Msg, Send::Mmsg] {
        say(
            &format!("{how:?}"),
            attacks::send(how, tcp().as_fd(), Some(&bytes), libc::MSG_FASTOPEN),
        );
    }
    if let Ok(mptcp) = attacks::socket(libc::AF_INET, libc::SOCK_STREAM, 262) {
        say(
            "mptcp",
            attacks::send(Send::To, mptcp.as_fd(), Some(&bytes), libc::MSG_FASTOPEN),
        );
    } else {
        say_text("mptcp", "none");
    }
}

pub fn datagrams(dir: &Path, to: SocketAddr, resolver: SocketAddr) {
    let bytes = raw(to);
    for how in [Send::To, Send::Msg, Send::Mmsg] {
        say(
            &format!("{how:?}"),
            attacks::send(how, udp().as_fd(), Some(&bytes), 0),
        );
    }
    say("connect", connect(&udp(), to));
    let socket = udp();
    say("resolver", connect(&socket, resolver));
    say(
        "query",
        nix::sys::socket::send(
            socket.as_raw_fd(),
            b"query",
            nix::sys::socket::MsgFlags::empty(),
        )
        .map_err(io::Error::from),
    );
    say(
        "elsewhere",
        attacks::send(Send::To, socket.as_fd(), Some(&bytes), 0),
    );
    say(
        "elsewhere-msg",
        attacks::send(Send::Msg, socket.as_fd(), Some(&bytes), 0),
    );
    say(
        "dissolve",
        attacks::connect(socket.as_raw_fd(), &[0; 16], 16),
    );
    say(
        "after",
        nix::sys::socket::send(
            socket.as_raw_fd(),
            b"query",
            nix::sys::socket::MsgFlags::empty(),
        )
        .map_err(io::Error::from),
    );
    say("bound", UdpSocket::bind("0.0.0.0:0"));
    let mut journal = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    journal.extend(dir.join("log").as_os_str().as_encoded_bytes());
    journal.push(0);
    let unix = attacks::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0).unwrap();
    say(
        "journal",
        attacks::send(Send::To, unix.as_fd(), Some(&journal), 0),
    );
    say(
        "journal-msg",
        attacks::send(Send::Msg, unix.as_fd(), Some(&journal), 0),
    );
}

pub fn sockets() {
    for (name, domain, kind, protocol) in [
        ("mptcp", libc::AF_INET, libc::SOCK_STREAM, 262),
        ("sctp", libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_SCTP),
        ("smc-by-protocol", libc::AF_INET, libc::SOCK_STREAM, 256),
        ("raw", libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_TCP),
        ("icmp", libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP),
        (
            "udplite",
            libc::AF_INET6,
            libc::SOCK_DGRAM,
            libc::IPPROTO_UDPLITE,
        ),
        ("dccp", libc::AF_INET, libc::SOCK_DCCP, libc::IPPROTO_DCCP),
        ("packet-of-old", libc::AF_INET, 10, 0),
        ("vsock", libc::AF_VSOCK, libc::SOCK_STREAM, 0),
        ("packet", libc::AF_PACKET, libc::SOCK_DGRAM, 0),
        ("alg", libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
        ("tipc", libc::AF_TIPC, libc::SOCK_STREAM, 0),
        ("rds", libc::AF_RDS, libc::SOCK_SEQPACKET, 0),
        ("smc", 43, libc::SOCK_STREAM, 0),
        ("kcm", 41, libc::SOCK_DGRAM, 0),
        ("bluetooth", libc::AF_BLUETOOTH, libc::SOCK_STREAM, 0),
        ("xdp", libc::AF_XDP, libc::SOCK_RAW, 0),
        ("qipcrtr", 42, libc::SOCK_DGRAM, 0),
        (
            "netlink",
            libc::AF_NETLINK,
            libc::SOCK_RAW,
            libc::NETLINK_ROUTE,
        ),
    ] {
        say(name, attacks::socket(domain, kind, protocol));
    }
    say("pair", UnixStream::pair());
    let inet = tcp();
    say("listen", attacks::listen(inet.as_fd()));
    say("bind", attacks::bind(inet.as_fd()));
}

pub fn options() {
    let four = tcp();
    let six = attacks::socket(libc::AF_INET6, libc::SOCK_STREAM, 0).unwrap();
    for (name, fd, level, option) in [
        (
            "fastopen-connect",
            &four,
            libc::IPPROTO_TCP,
            libc::TCP_FASTOPEN_CONNECT,
        ),
        ("fastopen", &four, libc::IPPROTO_TCP, libc::TCP_FASTOPEN),
        ("ulp", &four, libc::IPPROTO_TCP, libc::TCP_ULP),
        ("repair", &four, libc::IPPROTO_TCP, libc::TCP_REPAIR),
        ("ip-options", &four, libc::IPPROTO_IP, libc::IP_OPTIONS),
        ("rthdr", &six, libc::IPPROTO_IPV6, libc::IPV6_RTHDR),
        ("linger", &four, libc::SOL_SOCKET, libc::SO_LINGER),
        ("device", &four, libc::SOL_SOCKET, libc::SO_BINDTODEVICE),
        ("nodelay", &four, libc::IPPROTO_TCP, libc::TCP_NODELAY),
        ("keepalive", &four, libc::SOL_SOCKET, libc::SO_KEEPALIVE),
        ("tos", &four, libc::IPPROTO_IP, libc::IP_TOS),
    ] {
        say(name, attacks::set_option(fd.as_fd(), level, option, 1));
    }
}

pub fn calls() {
    say("io_uring_setup", attacks::io_uring());
    for (name, result) in attacks::forbidden_calls() {
        say(name, result);
    }
    say("ptrace", attacks::ptrace(nix::unistd::getppid().as_raw()));
    say("unshare-user", attacks::unshare(libc::CLONE_NEWUSER));
    say("unshare-files", attacks::unshare(libc::CLONE_FILES));
    say("clone-user", attacks::clone(libc::CLONE_NEWUSER));
    say("clone-thread", attacks::clone(libc::CLONE_THREAD));
    say("clone3", attacks::clone3());
    say("clone", attacks::clone(0));
    say("request_key", attacks::request_key());
    say("tiocsti", attacks::type_into_terminal(false));
    say("tioclinux", attacks::type_into_terminal(true));
    // Threads go on working: glibc falls back from clone3 to clone.
    say(
        "thread",
        thread::Builder::new()
            .spawn(|| ())
            .map(thread::JoinHandle::join),
    );
    say("program", std::process::Command::new("/bin/true").status());
}

#[cfg(target_arch = "x86_64")]
pub fn x32() -> io::Result<()> {
    attacks::x32()
}

#[cfg(target_arch = "x86_64")]
pub fn i386() -> io::Result<()> {
    attacks::i386()
}

#[cfg(not(target_arch = "x86_64"))]
pub fn x32() -> io::Result<()> {
    jump_sys::process::exit_now(0)
}

#[cfg(not(target_arch = "x86_64"))]
pub fn i386() -> io::Result<()> {
    jump_sys::process::exit_now(0)
}

pub fn race(allowed: SocketAddr, denied: SocketAddr) {
    let results = attacks::connect_racing([allowed, denied], 400);
    let connected = results.iter().filter(|r| r.is_ok()).count();
    say_text("connected", &connected.to_string());
    say_text("refused", &(results.len() - connected).to_string());
}

pub fn dissolve(to: SocketAddr) {
    let fd = tcp();
    say("connect", connect(&fd, to));
    say("dissolve", attacks::connect(fd.as_raw_fd(), &[0; 16], 16));
    say("again", connect(&fd, to));
}
