//! What a user who wants out tries.

use crate::probes::{connect, raw, say, say_text, tcp, udp};
use jump_sys::attacks::{self, Send};
use nix::libc;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

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

pub fn race(allowed: SocketAddr, denied: SocketAddr) {
    let results = attacks::connect_racing([allowed, denied], 400);
    let connected = results.iter().filter(|r| r.is_ok()).count();
    let elsewhere = results.iter().flatten().filter(|peer| **peer != allowed);
    say_text("elsewhere", &elsewhere.count().to_string());
    say_text("connected", &connected.to_string());
    say_text("refused", &(results.len() - connected).to_string());
}

pub fn dissolve(to: SocketAddr) {
    let fd = tcp();
    say("connect", connect(&fd, to));
    say("dissolve", attacks::connect(fd.as_raw_fd(), &[0; 16], 16));
    say("again", connect(&fd, to));
}
