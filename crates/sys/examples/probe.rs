//! Tries every known way to another host and says what became of each: `probe ADDRESS:PORT`.
//!
//! The lab runs it inside sessions and outside of them. The port must echo; a
//! way counts as `reached` when what was said came back, and for UDP as `sent`
//! when the kernel took the packet.

#![allow(clippy::print_stdout, reason = "that is what it is for")]

use jump_sys::attacks::{Send, connect_by_ring, send, set_option, socket};
use jump_sys::socket::{RawAddress, connect};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

const MPTCP: i32 = 262;

/// How a socket is made and what is done with it; a connected one then says "hello".
type Way = (
    &'static str,
    i32,
    i32,
    fn(BorrowedFd<'_>, &RawAddress) -> io::Result<bool>,
);

const WAYS: &[Way] = &[
    ("connect", libc::SOCK_STREAM, 0, |fd, to| {
        connect(fd, to).map(|()| true)
    }),
    ("io_uring", libc::SOCK_STREAM, 0, |fd, to| {
        connect_by_ring(fd, to).map(|()| true)
    }),
    ("fastopen_connect", libc::SOCK_STREAM, 0, |fd, to| {
        set_option(fd, libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, 1)?;
        connect(fd, to).map(|()| true)
    }),
    ("fastopen_sendto", libc::SOCK_STREAM, 0, |fd, to| {
        send(Send::To, fd, Some(to.bytes()), libc::MSG_FASTOPEN).map(|()| false)
    }),
    ("fastopen_sendmsg", libc::SOCK_STREAM, 0, |fd, to| {
        send(Send::Msg, fd, Some(to.bytes()), libc::MSG_FASTOPEN).map(|()| false)
    }),
    ("fastopen_sendmmsg", libc::SOCK_STREAM, 0, |fd, to| {
        send(Send::Mmsg, fd, Some(to.bytes()), libc::MSG_FASTOPEN).map(|()| false)
    }),
    ("mptcp", libc::SOCK_STREAM, MPTCP, |fd, to| {
        connect(fd, to).map(|()| true)
    }),
    ("mptcp_fastopen", libc::SOCK_STREAM, MPTCP, |fd, to| {
        send(Send::To, fd, Some(to.bytes()), libc::MSG_FASTOPEN).map(|()| false)
    }),
    ("udp_connect", libc::SOCK_DGRAM, 0, |fd, to| {
        connect(fd, to)?;
        send(Send::To, fd, None, 0).map(|()| false)
    }),
    ("udp_sendto", libc::SOCK_DGRAM, 0, |fd, to| {
        send(Send::To, fd, Some(to.bytes()), 0).map(|()| false)
    }),
    ("udp_sendmsg", libc::SOCK_DGRAM, 0, |fd, to| {
        send(Send::Msg, fd, Some(to.bytes()), 0).map(|()| false)
    }),
];

fn main() {
    let Some(to) = std::env::args().nth(1).and_then(|word| word.parse().ok()) else {
        println!("usage: probe ADDRESS:PORT");
        std::process::exit(2);
    };
    for way in WAYS {
        let became = match go(way, to) {
            Ok(word) => word.to_owned(),
            Err(e) => format!("refused {}", e.raw_os_error().map_or(0, |errno| errno)),
        };
        println!("{} {became}", way.0);
    }
}

fn go((_, kind, protocol, act): &Way, to: SocketAddr) -> io::Result<&'static str> {
    let domain = if to.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let fd = socket(domain, *kind, *protocol)?;
    let silent = act(fd.as_fd(), &RawAddress::inet(to))?;
    if *kind == libc::SOCK_DGRAM {
        return Ok("sent");
    }
    if hears(fd, silent)? {
        Ok("reached")
    } else {
        Ok("unanswered")
    }
}

/// Whether what was said comes back within three seconds.
fn hears(fd: OwnedFd, say_it_first: bool) -> io::Result<bool> {
    let mut stream = std::net::TcpStream::from(fd);
    stream.set_read_timeout(Some(std::time::Duration::from_secs(3)))?;
    if say_it_first {
        stream.write_all(b"hello")?;
    }
    let mut heard = [0; 5];
    stream.read_exact(&mut heard)?;
    Ok(&heard == b"hello")
}
