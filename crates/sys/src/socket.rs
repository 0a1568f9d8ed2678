//! What a socket is, and connecting one that belongs to another task too.
//!
//! The descriptors here are copies of a task's own (pidfd_getfd(2)): the same
//! open file description, with the task's flags and timeouts. They are
//! respected and never changed: the task would see it.

use crate::check_int;
use crate::sockdiag::payload_so_far;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What kind of socket a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// `SO_DOMAIN`: `AF_INET`, `AF_INET6`, `AF_UNIX`, ...
    pub domain: i32,
    /// `SO_TYPE`: `SOCK_STREAM`, `SOCK_DGRAM`, ...
    pub kind: i32,
    /// `SO_PROTOCOL`.
    pub protocol: i32,
}

impl Kind {
    /// Asks the socket.
    ///
    /// # Errors
    /// `ENOTSOCK` when it is none.
    pub fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self {
            domain: option(fd, libc::SO_DOMAIN)?,
            kind: option(fd, libc::SO_TYPE)?,
            protocol: option(fd, libc::SO_PROTOCOL)?,
        })
    }

    /// TCP over IPv4 or IPv6 and nothing that only looks like it (MPTCP, SCTP, SMC).
    #[must_use]
    pub fn is_tcp(self) -> bool {
        self.is_inet() && self.kind == libc::SOCK_STREAM && self.protocol == libc::IPPROTO_TCP
    }

    /// UDP over IPv4 or IPv6.
    #[must_use]
    pub fn is_udp(self) -> bool {
        self.is_inet() && self.kind == libc::SOCK_DGRAM && self.protocol == libc::IPPROTO_UDP
    }

    fn is_inet(self) -> bool {
        matches!(self.domain, libc::AF_INET | libc::AF_INET6)
    }
}

/// Reads a socket option of type `T`, which must be plain numbers.
fn read_option<T: Copy + Default>(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<T> {
    let mut value = T::default();
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to a value of that size
    // that lives across the call; `T` is a number, so every bit pattern is one.
    check_int(unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    })?;
    Ok(value)
}

fn option(fd: BorrowedFd<'_>, name: i32) -> io::Result<i32> {
    read_option(fd, libc::SOL_SOCKET, name)
}

/// `SO_COOKIE`: the socket's name until the next boot (socket(7)).
///
/// # Errors
/// When it is not a socket.
pub fn cookie(fd: BorrowedFd<'_>) -> io::Result<u64> {
    read_option(fd, libc::SOL_SOCKET, libc::SO_COOKIE)
}

/// Makes the socket's end tell whether the peer's FIN was received: see [`crate::sockdiag`].
///
/// After its close the kernel keeps the whole socket, instead of a remnant,
/// for the one second within which a peer in good health closes too. Not
/// longer: jumpd waits for the ends of a closed session's sockets.
pub fn wait_for_fin(fd: BorrowedFd<'_>) {
    /// `TCP_TIMEWAIT_LEN` is 60 s; only what is above counts.
    const SECONDS: libc::c_int = 61;
    // SAFETY: the option is an int, which lives across the call.
    let _inexact_by_one_byte = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_LINGER2,
            (std::ptr::from_ref(&SECONDS)).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
}

/// Payload bytes sent and received so far by an open TCP socket.
#[must_use]
pub fn tcp_bytes(fd: BorrowedFd<'_>) -> Option<(u64, u64)> {
    let mut info = [0u8; 512];
    let mut length = info.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to a buffer of that size.
    check_int(unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    })
    .ok()?;
    payload_so_far(info.get(..length as usize)?)
}

/// An address as connect(2) takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawAddress(Vec<u8>);

impl RawAddress {
    /// An IPv4 or IPv6 address.
    #[must_use]
    pub fn inet(address: SocketAddr) -> Self {
        let mut bytes = Vec::with_capacity(28);
        match address {
            SocketAddr::V4(v4) => {
                bytes.extend((libc::AF_INET as u16).to_ne_bytes());
                bytes.extend(v4.port().to_be_bytes());
                bytes.extend(v4.ip().octets());
                bytes.extend([0; 8]);
            }
            SocketAddr::V6(v6) => {
                bytes.extend((libc::AF_INET6 as u16).to_ne_bytes());
                bytes.extend(v6.port().to_be_bytes());
                bytes.extend(0u32.to_be_bytes());
                bytes.extend(v6.ip().octets());
                bytes.extend(v6.scope_id().to_ne_bytes());
            }
        }
        Self(bytes)
    }

    /// A path of at most 107 bytes; `None` for a longer one.
    #[must_use]
    pub fn unix(path: &Path) -> Option<Self> {
        let path = path.as_os_str().as_bytes();
        if path.len() > 107 || path.contains(&0) {
            return None;
        }
        let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
        bytes.extend(path);
        bytes.push(0);
        Some(Self(bytes))
    }

    /// The bytes, for calls that are not connect(2).
    #[cfg(feature = "attacks")]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// No address: dissolves a connection (connect(2), `AF_UNSPEC`).
    #[must_use]
    pub fn unspecified() -> Self {
        Self(vec![0; 16])
    }
}

/// connect(2), which may block as long as the socket's own timeout lets it.
///
/// # Errors
/// The errno, `EINPROGRESS` and `EINTR` among them.
pub fn connect(fd: BorrowedFd<'_>, to: &RawAddress) -> io::Result<()> {
    // SAFETY: the address is as long as said and lives across the call.
    check_int(unsafe {
        libc::connect(
            fd.as_raw_fd(),
            to.0.as_ptr().cast(),
            to.0.len() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Ends a TCP connection at once, with a reset, whoever else has the socket open.
///
/// Data that waits to be sent is gone, and so are the byte counts: read them before.
///
/// # Errors
/// When it is not a connected socket.
pub fn cut(fd: BorrowedFd<'_>) -> io::Result<()> {
    connect(fd, &RawAddress::unspecified())
}
