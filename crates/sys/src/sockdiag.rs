//! The end of every TCP socket of the network namespace, with its byte counts
//! (sock_diag(7), groups `SKNLGRP_INET_TCP_DESTROY` and `..INET6_TCP_DESTROY`).
//!
//! Any user may listen. One event comes for each socket as it dies, whoever
//! closed it and whatever became of its process, and it carries the
//! `SO_COOKIE` by which the socket was known when it was connected.
//!
//! # Payload bytes, as measured on Linux 6.18
//!
//! `tcpi_bytes_sent - tcpi_bytes_retrans` is the payload sent: neither SYN nor
//! FIN is in it. `tcpi_bytes_acked` counts the SYN and, once acknowledged, the
//! FIN. `tcpi_bytes_received` counts the peer's FIN if the *full* socket saw
//! it, and nothing in the event says so:
//!
//! | how it ended | acked − sent | received − payload |
//! |---|---|---|
//! | peer closed first, or shut down first | 2 | 1 |
//! | we shut down first, then the peer closed | 2 | 1 |
//! | both at once | 2 | 1 |
//! | we closed first, `TCP_LINGER2` of 61 s | 2 | 1 |
//! | we closed first, otherwise | 2 | 0: the FIN met the time-wait remnant |
//! | the peer reset it, or we closed with data unread | 1 | 0 |
//! | `connect(AF_UNSPEC)`, or `SO_LINGER` of 0 s | all counters are wiped | |
//!
//! So the guard sets `TCP_LINGER2` ([`crate::socket::wait_for_fin`]) on every socket before it
//! connects it; then "acked is two more than sent" says that both FINs were
//! seen. What remains is one byte where one side had closed in good order and
//! the other reset the rest. The wiping ways are not left to a session: the
//! filter refuses `SO_LINGER`, the guard refuses to dissolve a TCP connection,
//! and what the guard itself cuts it counts before ([`crate::socket::tcp_bytes`]).

use crate::{check, check_int};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

mod live;

pub use live::{TcpLive, tcp_sockets};

/// A TCP socket that is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpDestroyed {
    /// `SO_COOKIE` of the socket (socket(7)); unique until the next boot.
    pub cookie: u64,
    /// Its own address.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// Payload bytes sent, each once.
    pub bytes_sent: u64,
    /// Payload bytes received in order.
    pub bytes_received: u64,
    /// Whether the peer ever acknowledged the SYN; also false where the counters were wiped.
    pub established: bool,
}

/// Why there is no event.
#[derive(Debug)]
pub enum DestroyError {
    /// The kernel had more events than the buffer held (`ENOBUFS`): some ends are unknown for ever.
    Lost,
    /// The socket is broken.
    Io(io::Error),
}

impl fmt::Display for DestroyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost => f.write_str("the kernel dropped ends of TCP sockets: too many at once"),
            Self::Io(e) => write!(f, "cannot read the ends of TCP sockets: {e}"),
        }
    }
}

impl std::error::Error for DestroyError {}

/// Groups of the destroy events (linux/sock_diag.h): bit n-1 for group n.
const GROUPS: u32 = 1 << 0 | 1 << 2;
/// What the kernel is asked to hold, in bytes: about 20 000 events; it caps at `net.core.rmem_max`.
const BUFFER: libc::c_int = 16 << 20;

/// The stream of ends. Iterating blocks until there is one; poll its descriptor to wait for other things too.
#[derive(Debug)]
pub struct DestroyEvents {
    fd: OwnedFd,
    pending: VecDeque<TcpDestroyed>,
}

impl AsFd for DestroyEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<OwnedFd> for DestroyEvents {
    /// A descriptor that an earlier process got from [`DestroyEvents::open`]: what the kernel queued meanwhile is still to come.
    fn from(fd: OwnedFd) -> Self {
        Self {
            fd,
            pending: VecDeque::new(),
        }
    }
}

impl DestroyEvents {
    /// Begins to listen: ends from now on are seen.
    ///
    /// # Errors
    /// When the kernel refuses the socket (`CONFIG_INET_DIAG_DESTROY` is not needed).
    pub fn open() -> io::Result<Self> {
        let fd = netlink_socket()?;
        // SAFETY: the option is an int, which lives across the call.
        let _smaller_buffer = unsafe {
            libc::setsockopt(
                fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVBUF,
                (std::ptr::from_ref(&BUFFER)).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        // SAFETY: all-zero is a value of sockaddr_nl.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        address.nl_groups = GROUPS;
        // SAFETY: the address lives across the call and has the size given.
        check_int(unsafe {
            libc::bind(
                fd.as_raw_fd(),
                (&raw const address).cast(),
                size_of_val(&address) as libc::socklen_t,
            )
        })?;
        Ok(Self {
            fd,
            pending: VecDeque::new(),
        })
    }

    fn receive(&mut self) -> Result<(), DestroyError> {
        let mut packet = [0u8; 8192];
        // SAFETY: all-zero is a value of sockaddr_nl.
        let mut from: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        let mut from_length = size_of_val(&from) as libc::socklen_t;
        // SAFETY: buffer and address live across the call and have the sizes given.
        let got = check(unsafe {
            libc::recvfrom(
                self.fd.as_raw_fd(),
                packet.as_mut_ptr().cast(),
                packet.len(),
                0,
                (&raw mut from).cast(),
                &raw mut from_length,
            ) as libc::c_long
        });
        match got {
            // Only the kernel has port 0.
            Ok(length) if from.nl_pid == 0 => {
                parse(
                    packet.get(..length as usize).unwrap_or_default(),
                    &mut self.pending,
                );
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(e) => match e.raw_os_error() {
                Some(libc::EINTR) => Ok(()),
                Some(libc::ENOBUFS) => Err(DestroyError::Lost),
                _ => Err(DestroyError::Io(e)),
            },
        }
    }
}

impl Iterator for DestroyEvents {
    type Item = Result<TcpDestroyed, DestroyError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(Ok(event));
            }
            if let Err(e) = self.receive() {
                return Some(Err(e));
            }
        }
    }
}

fn netlink_socket() -> io::Result<OwnedFd> {
    // SAFETY: takes numbers, no pointer.
    let fd = check_int(unsafe {
        libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::NETLINK_SOCK_DIAG,
        )
    })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Netlink message header (netlink(7)).
const HEADER: usize = 16;
/// `struct inet_diag_msg` (linux/inet_diag.h).
const DIAG: usize = 72;
const INET_DIAG_INFO: u16 = 2;
const TCP: u8 = libc::IPPROTO_TCP as u8;
const INET_DIAG_PROTOCOL: u16 = 10;

fn parse(mut packet: &[u8], into: &mut VecDeque<TcpDestroyed>) {
    while let Some(length) = u32_at(packet, 0).map(|length| length as usize) {
        let Some(message) = packet.get(..length).filter(|_| length >= HEADER) else {
            return;
        };
        into.extend(message.get(HEADER..).and_then(event));
        packet = packet.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

fn event(message: &[u8]) -> Option<TcpDestroyed> {
    let family = i32::from(*message.first()?);
    let port = |at: usize| {
        Some(u16::from_be_bytes(
            message.get(at..at + 2)?.try_into().ok()?,
        ))
    };
    let address = |at: usize| -> Option<IpAddr> {
        let raw: [u8; 16] = message.get(at..at + 16)?.try_into().ok()?;
        match family {
            libc::AF_INET => Some(Ipv4Addr::new(raw[0], raw[1], raw[2], raw[3]).into()),
            libc::AF_INET6 => Some(Ipv6Addr::from(raw).into()),
            _ => None,
        }
    };
    let mut info = None;
    let mut attributes = message.get(DIAG..)?;
    while let (Some(length), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        let length = usize::from(length);
        let value = attributes.get(4..length)?;
        match kind {
            INET_DIAG_INFO => info = Some(value),
            INET_DIAG_PROTOCOL if value.first() != Some(&TCP) => return None,
            _ => {}
        }
        attributes = attributes
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
    }
    let info = info?;
    let (bytes_sent, bytes_received) = payload(info)?;
    Some(TcpDestroyed {
        cookie: u64::from(u32_at(message, 44)?) | u64::from(u32_at(message, 48)?) << 32,
        local: SocketAddr::new(address(8)?, port(4)?),
        remote: SocketAddr::new(address(24)?, port(6)?),
        bytes_sent,
        bytes_received,
        established: u64_at(info, BYTES_ACKED)? > 0,
    })
}

// Offsets in struct tcp_info (linux/tcp.h); fields were only ever appended.
const BYTES_ACKED: usize = 120;
const BYTES_RECEIVED: usize = 128;
const BYTES_SENT: usize = 200;
const BYTES_RETRANS: usize = 208;

/// Payload sent and received by a socket that is closed; see the table above.
fn payload(info: &[u8]) -> Option<(u64, u64)> {
    let sent = u64_at(info, BYTES_SENT)?.saturating_sub(u64_at(info, BYTES_RETRANS)?);
    let fin = u64::from(u64_at(info, BYTES_ACKED)? == sent + 2);
    Some((sent, u64_at(info, BYTES_RECEIVED)?.saturating_sub(fin)))
}

/// Payload sent and received so far by a socket that is open, from its `tcp_info`.
pub(crate) fn payload_so_far(info: &[u8]) -> Option<(u64, u64)> {
    // States in which the peer's FIN has been taken in (net/tcp_states.h):
    // TIME_WAIT 6, CLOSE_WAIT 8, LAST_ACK 9, CLOSING 11.
    let fin = u64::from(matches!(info.first()?, 6 | 8 | 9 | 11));
    let sent = u64_at(info, BYTES_SENT)?.saturating_sub(u64_at(info, BYTES_RETRANS)?);
    Some((sent, u64_at(info, BYTES_RECEIVED)?.saturating_sub(fin)))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::time::Duration;

    const UP: usize = 1000;
    const DOWN: usize = 30_000;

    /// Both ends of a connection that has carried [`UP`] and [`DOWN`] bytes.
    fn used_connection(at: &str) -> (TcpStream, TcpStream, u64) {
        let listener = TcpListener::bind(at).unwrap();
        // std connects as it creates: the option must come before the peer's FIN, not before the SYN.
        let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        crate::socket::wait_for_fin(ours.as_fd());
        let (mut theirs, _) = listener.accept().unwrap();
        ours.write_all(&[1; UP]).unwrap();
        theirs.read_exact(&mut [0; UP]).unwrap();
        theirs.write_all(&[2; DOWN]).unwrap();
        ours.read_exact(&mut [0; DOWN]).unwrap();
        let cookie = crate::socket::cookie(ours.as_fd()).unwrap();
        (ours, theirs, cookie)
    }

    /// The end that `like` takes; a test that waited for ever would say nothing.
    fn end_of(
        events: DestroyEvents,
        like: impl Fn(&TcpDestroyed) -> bool + Send + 'static,
    ) -> TcpDestroyed {
        let (found, wait) = std::sync::mpsc::channel();
        std::thread::spawn(move || found.send(events.map(Result::unwrap).find(like)));
        wait.recv_timeout(Duration::from_secs(10)).unwrap().unwrap()
    }

    #[test]
    fn a_connection_that_was_refused_was_never_established() {
        let events = DestroyEvents::open().unwrap();
        let nobody = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        // Without blocking, as sshd does: a blocking connect(2) that fails wipes the address.
        assert!(TcpStream::connect_timeout(&nobody, Duration::from_secs(5)).is_err());
        let event = end_of(events, move |event| event.remote == nobody);
        assert!(!event.established);
        assert_eq!((event.bytes_sent, event.bytes_received), (0, 0));
    }

    fn settle() {
        std::thread::sleep(Duration::from_millis(50));
    }

    fn at_end(stream: &mut TcpStream) {
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    }

    fn both_families(end: fn(TcpStream, TcpStream), up: usize, down: usize) {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let events = DestroyEvents::open().unwrap();
            let (ours, theirs, cookie) = used_connection(at);
            end(ours, theirs);
            let event = end_of(events, move |event| event.cookie == cookie);
            assert!(event.established);
            let carried = (event.bytes_sent, event.bytes_received);
            assert_eq!(carried, (up as u64, down as u64), "{at}");
        }
    }

    #[test]
    fn bytes_are_exact_when_we_close_first() {
        both_families(
            |ours, mut theirs| {
                drop(ours);
                settle();
                at_end(&mut theirs);
            },
            UP,
            DOWN,
        );
    }

    #[test]
    fn bytes_are_exact_when_the_peer_closes_first() {
        both_families(
            |mut ours, theirs| {
                drop(theirs);
                settle();
                at_end(&mut ours);
            },
            UP,
            DOWN,
        );
    }

    #[test]
    fn bytes_are_exact_when_the_end_of_the_peers_stream_is_not_read() {
        both_families(
            |ours, theirs| {
                drop(theirs);
                settle();
                drop(ours);
            },
            UP,
            DOWN,
        );
    }

    #[test]
    fn bytes_are_exact_when_both_close_at_once() {
        both_families(
            |ours, theirs| {
                drop(ours);
                drop(theirs);
            },
            UP,
            DOWN,
        );
    }

    #[test]
    fn bytes_are_exact_after_a_half_close_of_ours() {
        both_families(
            |mut ours, mut theirs| {
                ours.shutdown(Shutdown::Write).unwrap();
                at_end(&mut theirs);
                theirs.write_all(&[3; 10]).unwrap();
                drop(theirs);
                ours.read_exact(&mut [0; 10]).unwrap();
                at_end(&mut ours);
            },
            UP,
            DOWN + 10,
        );
    }

    #[test]
    fn bytes_are_exact_after_a_half_close_of_the_peers() {
        both_families(
            |mut ours, mut theirs| {
                theirs.shutdown(Shutdown::Write).unwrap();
                at_end(&mut ours);
                ours.write_all(&[3; 7]).unwrap();
                theirs.read_exact(&mut [0; 7]).unwrap();
                drop(ours);
                settle();
            },
            UP + 7,
            DOWN,
        );
    }

    #[test]
    fn bytes_are_exact_when_the_peer_resets() {
        both_families(
            |mut ours, theirs| {
                // Closing with data unread resets.
                ours.write_all(&[3; 5]).unwrap();
                settle();
                drop(theirs);
                settle();
            },
            UP + 5,
            DOWN,
        );
    }

    #[test]
    fn bytes_are_exact_when_we_close_with_data_unread() {
        both_families(
            |ours, mut theirs| {
                theirs.write_all(&[3; 50]).unwrap();
                settle();
                drop(ours);
                settle();
            },
            UP,
            DOWN + 50,
        );
    }

    #[test]
    fn an_open_socket_tells_its_bytes_so_far() {
        let (mut ours, theirs, _) = used_connection("127.0.0.1:0");
        let so_far = Some((UP as u64, DOWN as u64));
        assert_eq!(crate::socket::tcp_bytes(ours.as_fd()), so_far);
        drop(theirs);
        at_end(&mut ours);
        assert_eq!(crate::socket::tcp_bytes(ours.as_fd()), so_far);
    }

    #[test]
    fn a_short_or_foreign_message_is_no_event() {
        let mut events = VecDeque::new();
        for length in 0..128 {
            parse(&vec![0xff; length], &mut events);
            parse(&vec![0; length], &mut events);
        }
        assert!(events.is_empty());
    }
}
