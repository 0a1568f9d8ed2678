//! A TCP connection to the first address that takes it.
//!
//! Each connect(2) stops in the kernel until the session's guard has asked
//! jumpd and has connected this very socket; `EACCES` is its refusal. The
//! sockets are non-blocking, so that an address that swallows packets costs
//! [`PATIENCE`] and not the minutes of tcp(7).

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long one address may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why no address took the connection. Displayed as the end of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DialError {
    /// The name has no address.
    #[error("it has no address")]
    NoAddress,
    /// The guard refused every address.
    #[error("the jump server does not allow this connection now; \"targets\" shows what it allows")]
    Refused,
    /// The guard is gone, or the confinement broke: nothing can be connected.
    #[error("the jump server cannot answer now; please try again in a moment")]
    Unguarded,
    /// An address did not answer.
    #[error("no answer within {} seconds", PATIENCE.as_secs())]
    TimedOut,
    /// The kernel's or the target's refusal.
    #[error("{}", said(*.0))]
    Failed(Errno),
}

fn said(errno: Errno) -> String {
    match errno {
        Errno::CONNREFUSED => "the target refuses connections on this port".to_owned(),
        Errno::HOSTUNREACH | Errno::NETUNREACH => "there is no route to the target".to_owned(),
        Errno::CONNRESET => "the target closed the connection at once".to_owned(),
        other => std::io::Error::from(other).to_string(),
    }
}

impl From<Errno> for DialError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ACCESS | Errno::PERM => Self::Refused,
            // What every mediated call returns once the guard's listener is closed (seccomp_unotify(2)).
            Errno::NOSYS => Self::Unguarded,
            Errno::TIMEDOUT => Self::TimedOut,
            other => Self::Failed(other),
        }
    }
}

/// Connects to one of `addresses`, in their order; the socket that comes back does not block.
///
/// # Errors
/// What the last address said; a refusal by the guard yields to what any other address said.
pub(crate) fn dial(addresses: &[IpAddr], port: u16) -> Result<OwnedFd, DialError> {
    let mut failure = DialError::NoAddress;
    for address in addresses {
        match dial_one(SocketAddr::new(*address, port)) {
            Ok(socket) => return Ok(socket),
            Err(DialError::Refused) if failure != DialError::NoAddress => {}
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn dial_one(address: SocketAddr) -> Result<OwnedFd, DialError> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Ok(()) => {}
        Err(Errno::INPROGRESS | Errno::INTR) => established(&socket)?,
        Err(error) => return Err(error.into()),
    }
    // Keystrokes must not wait for each other, and a peer that vanished must
    // be noticed some day; neither is worth failing for.
    let _ = sockopt::set_tcp_nodelay(&socket, true);
    let _ = sockopt::set_socket_keepalive(&socket, true);
    Ok(socket)
}

/// Waits until the connection stands.
fn established(socket: &OwnedFd) -> Result<(), DialError> {
    let end = Instant::now() + PATIENCE;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(0),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&timeout)) {
            Ok(0) => return Err(DialError::TimedOut),
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    sockopt::socket_error(socket)?.map_err(DialError::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn the_next_address_is_tried_when_one_refuses() {
        let listener = TcpListener::bind((HERE, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let nobody = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
        assert!(dial(&[nobody, HERE], port).is_ok());
    }

    #[test]
    fn a_closed_port_is_told_as_such() {
        let listener = TcpListener::bind((HERE, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        assert_eq!(
            dial(&[HERE], port).unwrap_err(),
            DialError::Failed(Errno::CONNREFUSED)
        );
        assert_eq!(dial(&[], port).unwrap_err(), DialError::NoAddress);
    }
}
