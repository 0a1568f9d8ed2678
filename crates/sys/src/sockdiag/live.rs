//! The TCP sockets that are there now, with their byte counts so far
//! (sock_diag(7), `SOCK_DIAG_BY_FAMILY` as a dump). Any user may ask.

use super::{DIAG, HEADER, INET_DIAG_INFO, netlink_socket, payload_so_far, u16_at, u32_at};
use crate::{check, check_int};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// A TCP socket of the network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpLive {
    /// `SO_COOKIE` of the socket (socket(7)); unique until the next boot.
    pub cookie: u64,
    /// Payload bytes sent so far.
    pub bytes_sent: u64,
    /// Payload bytes received so far.
    pub bytes_received: u64,
    /// Whether the handshake is over.
    pub established: bool,
}

/// `SOCK_DIAG_BY_FAMILY` (linux/sock_diag.h).
const BY_FAMILY: u16 = 20;
/// `TCP_SYN_SENT` (net/tcp_states.h).
const SYN_SENT: u8 = 2;
/// Every state but `TCP_TIME_WAIT` (6), `TCP_CLOSE` (7), `TCP_LISTEN` (10) and
/// `TCP_NEW_SYN_RECV` (12): nobody holds those sockets as connections.
const STATES: u32 = 0x1fff & !(1 << 6 | 1 << 7 | 1 << 10 | 1 << 12);
/// How long the kernel may take; it answers at once.
const PATIENCE: libc::timeval = libc::timeval {
    tv_sec: 2,
    tv_usec: 0,
};

/// Every TCP connection of the network namespace.
///
/// # Errors
/// When the kernel refuses the question or its answer cannot be read.
pub fn tcp_sockets() -> io::Result<Vec<TcpLive>> {
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let socket = netlink_socket()?;
        limit(&socket)?;
        ask(&socket, family as u8)?;
        while read(&socket, &mut found)? {}
    }
    Ok(found)
}

fn limit(socket: &OwnedFd) -> io::Result<()> {
    // SAFETY: the option is a timeval, which lives across the call.
    check_int(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (std::ptr::from_ref(&PATIENCE)).cast(),
            size_of::<libc::timeval>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`, whose socket id stays zero: any.
fn ask(socket: &OwnedFd, family: u8) -> io::Result<()> {
    const REQUEST: usize = 56;
    let mut packet = Vec::with_capacity(HEADER + REQUEST);
    packet.extend(((HEADER + REQUEST) as u32).to_ne_bytes());
    packet.extend(BY_FAMILY.to_ne_bytes());
    packet.extend(((libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16).to_ne_bytes());
    packet.extend([0; 8]);
    packet.extend([
        family,
        libc::IPPROTO_TCP as u8,
        1 << (INET_DIAG_INFO - 1),
        0,
    ]);
    packet.extend(STATES.to_ne_bytes());
    packet.resize(HEADER + REQUEST, 0);
    // SAFETY: the packet is as long as said and lives across the call.
    check(unsafe {
        libc::send(socket.as_raw_fd(), packet.as_ptr().cast(), packet.len(), 0) as libc::c_long
    })
    .map(drop)
}

/// Reads one packet; false after the last.
fn read(socket: &OwnedFd, into: &mut Vec<TcpLive>) -> io::Result<bool> {
    let mut packet = vec![0u8; 64 * 1024];
    let length = loop {
        // SAFETY: the buffer has the length given and lives across the call.
        let got = check(unsafe {
            libc::recv(
                socket.as_raw_fd(),
                packet.as_mut_ptr().cast(),
                packet.len(),
                0,
            ) as libc::c_long
        });
        match got {
            Ok(length) => break length as usize,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    };
    parse(packet.get(..length).unwrap_or_default(), into)
}

fn parse(mut packet: &[u8], into: &mut Vec<TcpLive>) -> io::Result<bool> {
    while let (Some(length), Some(kind)) = (u32_at(packet, 0), u16_at(packet, 4)) {
        let length = length as usize;
        let Some(message) = packet.get(HEADER..length).filter(|_| length >= HEADER) else {
            return Err(io::Error::from_raw_os_error(libc::EPROTO));
        };
        match i32::from(kind) {
            libc::NLMSG_DONE => return Ok(false),
            libc::NLMSG_ERROR => {
                let errno = u32_at(message, 0).map_or(libc::EPROTO, |e| -(e as i32));
                return Err(io::Error::from_raw_os_error(errno));
            }
            _ => into.extend(socket_of(message)),
        }
        packet = packet.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(true)
}

/// `struct inet_diag_msg` and its attributes.
fn socket_of(message: &[u8]) -> Option<TcpLive> {
    let state = *message.get(1)?;
    let cookie = u64::from(u32_at(message, 44)?) | u64::from(u32_at(message, 48)?) << 32;
    let mut attributes = message.get(DIAG..)?;
    while let (Some(length), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        let length = usize::from(length);
        let value = attributes.get(4..length)?;
        if kind == INET_DIAG_INFO {
            let (bytes_sent, bytes_received) = payload_so_far(value)?;
            return Some(TcpLive {
                cookie,
                bytes_sent,
                bytes_received,
                established: state != SYN_SENT,
            });
        }
        attributes = attributes
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    #[test]
    fn an_open_connection_is_there_with_its_bytes_and_a_closed_one_is_not() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(at).unwrap();
            let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut theirs, _) = listener.accept().unwrap();
            ours.write_all(&[1; 100]).unwrap();
            theirs.read_exact(&mut [0; 100]).unwrap();
            theirs.write_all(&[2; 7]).unwrap();
            ours.read_exact(&mut [0; 7]).unwrap();
            let cookie = crate::socket::cookie(ours.as_fd()).unwrap();
            let find = || {
                let all = tcp_sockets().unwrap();
                all.into_iter().find(|socket| socket.cookie == cookie)
            };
            let live = find().unwrap();
            assert!(live.established);
            assert_eq!((live.bytes_sent, live.bytes_received), (100, 7), "{at}");
            drop(theirs);
            drop(ours);
            assert_eq!(find(), None);
        }
    }

    #[test]
    fn more_connections_than_one_packet_holds_are_all_there() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pairs: Vec<_> = (0..300)
            .map(|_| {
                (
                    TcpStream::connect(address).unwrap(),
                    listener.accept().unwrap(),
                )
            })
            .collect();
        let all = tcp_sockets().unwrap();
        for (ours, _) in &pairs {
            let cookie = crate::socket::cookie(ours.as_fd()).unwrap();
            assert!(all.iter().any(|socket| socket.cookie == cookie));
        }
    }

    #[test]
    fn a_short_or_foreign_message_is_no_socket() {
        let mut found = Vec::new();
        for length in 0..128 {
            let _refused = parse(&vec![0xff; length], &mut found);
            let _refused = parse(&vec![0; length], &mut found);
        }
        assert!(found.is_empty());
    }
}
