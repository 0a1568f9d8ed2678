//! A `SOCK_SEQPACKET` connection that carries one JSON value per packet, with a bounded wait.
//!
//! Every wait has an end: a peer that is stopped, or whose backlog is full,
//! costs the caller at most the timeout, and the caller then denies.

use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroize;

/// The longest that a login, a forward or a command waits for its peer.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// The largest message, in bytes; longer lists are sent in several messages.
pub const MAX_MESSAGE: usize = 128 * 1024;

/// Why a message did not get through.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The socket is not there, or nobody listens.
    #[error("cannot connect to {path}: {source}")]
    Connect {
        /// The socket's path.
        path: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The peer did not answer within the timeout.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    /// The peer closed the connection where an answer was due.
    #[error("the other side closed the connection")]
    Closed,
    /// The message is larger than [`MAX_MESSAGE`].
    #[error("a message of {0} bytes is too large")]
    TooLarge(usize),
    /// The packet is not a message of this protocol.
    #[error("not a message of this protocol: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Anything else.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl From<Errno> for ChannelError {
    fn from(e: Errno) -> Self {
        match e {
            Errno::AGAIN => Self::TimedOut,
            Errno::CONNRESET | Errno::PIPE => Self::Closed,
            other => Self::Io(other.into()),
        }
    }
}

/// Who is at the other end, as the kernel recorded it at connect time (`SO_PEERCRED`, unix(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCredentials {
    /// Process id.
    pub pid: i32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Channel {
    fd: OwnedFd,
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<OwnedFd> for Channel {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.fd
    }
}

impl Channel {
    /// Connects to `path`, waiting at most `timeout` there and in every later send and receive.
    ///
    /// # Errors
    /// [`ChannelError::Connect`] with the reason.
    pub fn connect(path: impl AsRef<Path>, timeout: Duration) -> Result<Self, ChannelError> {
        let path = path.as_ref();
        let connect = || -> Result<Self, Errno> {
            let fd = rustix::net::socket_with(
                AddressFamily::UNIX,
                SocketType::SEQPACKET,
                SocketFlags::CLOEXEC,
                None,
            )?;
            let channel = Self { fd };
            // unix(7): connect on a full backlog waits for SO_SNDTIMEO.
            channel.limit(Some(timeout))?;
            rustix::net::connect(&channel.fd, &SocketAddrUnix::new(path)?)?;
            Ok(channel)
        };
        connect().map_err(|e| ChannelError::Connect {
            path: path.display().to_string(),
            source: e.into(),
        })
    }

    /// Bounds every later send and receive; `None` waits for ever.
    ///
    /// # Errors
    /// When the kernel refuses the socket option.
    pub fn set_timeout(&self, timeout: Option<Duration>) -> Result<(), ChannelError> {
        Ok(self.limit(timeout)?)
    }

    fn limit(&self, timeout: Option<Duration>) -> Result<(), Errno> {
        sockopt::set_socket_timeout(&self.fd, Timeout::Recv, timeout)?;
        sockopt::set_socket_timeout(&self.fd, Timeout::Send, timeout)
    }

    /// Who is at the other end.
    ///
    /// # Errors
    /// When the kernel cannot tell.
    pub fn peer(&self) -> Result<PeerCredentials, ChannelError> {
        let cred = sockopt::socket_peercred(&self.fd)?;
        Ok(PeerCredentials {
            pid: cred.pid.as_raw_nonzero().get(),
            uid: cred.uid.as_raw(),
            gid: cred.gid.as_raw(),
        })
    }

    /// Sends one message.
    ///
    /// # Errors
    /// [`ChannelError::TooLarge`], [`ChannelError::TimedOut`], [`ChannelError::Closed`].
    pub fn send<T: Serialize>(&self, message: &T) -> Result<(), ChannelError> {
        self.send_fds(message, &[])
    }

    /// Sends one message with open files (`SCM_RIGHTS`, unix(7)).
    ///
    /// # Errors
    /// As [`Channel::send`].
    pub fn send_fds<T: Serialize>(
        &self,
        message: &T,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        let mut packet = serde_json::to_vec(message)?;
        let sent = self.send_packet(&packet, fds);
        // A message may hold a code.
        packet.zeroize();
        sent
    }

    /// Sends one message if there is room for it now.
    ///
    /// # Errors
    /// As [`Channel::send`]; [`ChannelError::TimedOut`] when the other side does not read.
    pub fn send_now<T: Serialize>(&self, message: &T) -> Result<(), ChannelError> {
        let packet = serde_json::to_vec(message)?;
        if packet.len() > MAX_MESSAGE {
            return Err(ChannelError::TooLarge(packet.len()));
        }
        self.send_flagged(&packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    }

    /// Ends the connection in both directions, for every holder of it.
    pub fn shut_down(&self) {
        // Not connected any more is well.
        let _closed = rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Both);
    }

    fn send_packet(&self, packet: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
        if packet.len() > MAX_MESSAGE {
            return Err(ChannelError::TooLarge(packet.len()));
        }
        if fds.is_empty() {
            return self.send_plain(packet);
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(ChannelError::TooLarge(fds.len()));
        }
        loop {
            match rustix::net::sendmsg(
                &self.fd,
                &[IoSlice::new(packet)],
                &mut control,
                SendFlags::NOSIGNAL,
            ) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Without files it is send(2): inside a session the filter leaves no
    /// sendmsg(2) to the user, and root's waits for the guard.
    fn send_plain(&self, packet: &[u8]) -> Result<(), ChannelError> {
        self.send_flagged(packet, SendFlags::NOSIGNAL)
    }

    fn send_flagged(&self, packet: &[u8], flags: SendFlags) -> Result<(), ChannelError> {
        loop {
            match rustix::net::send(&self.fd, packet, flags) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Receives one message; `None` when the other side has closed.
    ///
    /// # Errors
    /// [`ChannelError::TimedOut`], [`ChannelError::Malformed`], [`ChannelError::TooLarge`].
    pub fn recv<T: DeserializeOwned>(&self) -> Result<Option<T>, ChannelError> {
        Ok(self.recv_fds()?.map(|(message, _)| message))
    }

    /// Receives one message and the open files that came with it.
    ///
    /// # Errors
    /// As [`Channel::recv`].
    pub fn recv_fds<T: DeserializeOwned>(&self) -> Result<Option<(T, Vec<OwnedFd>)>, ChannelError> {
        let mut packet = vec![0u8; MAX_MESSAGE + 1];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = loop {
            match rustix::net::recvmsg(
                &self.fd,
                &mut [IoSliceMut::new(&mut packet)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                Ok(got) => break got,
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Ok(None),
                Err(e) => return Err(e.into()),
            }
        };
        let fds = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                _ => None,
            })
            .flatten()
            .collect();
        if got.bytes == 0 {
            return Ok(None);
        }
        if got.bytes > MAX_MESSAGE {
            return Err(ChannelError::TooLarge(got.bytes));
        }
        let parsed = serde_json::from_slice(&packet[..got.bytes]);
        packet[..got.bytes].zeroize();
        Ok(Some((parsed?, fds)))
    }

    /// Sends one packet that is no message, as those of [`crate::hop`]. Without `wait` only if there is room for it now.
    ///
    /// # Errors
    /// As [`Channel::send`]; [`ChannelError::TimedOut`] when there is no room.
    pub fn send_bytes(&self, packet: &[u8], wait: bool) -> Result<(), ChannelError> {
        if packet.len() > MAX_MESSAGE {
            return Err(ChannelError::TooLarge(packet.len()));
        }
        let flags = if wait {
            SendFlags::empty()
        } else {
            SendFlags::DONTWAIT
        };
        self.send_flagged(packet, SendFlags::NOSIGNAL | flags)
    }

    /// Receives one packet that is no message into `buffer`; how long it is, and `None` when the other
    /// side has closed. Without `wait` only one that is there now.
    ///
    /// # Errors
    /// [`ChannelError::TimedOut`] when none came; [`ChannelError::TooLarge`] when it does not fit.
    pub fn recv_bytes(&self, buffer: &mut [u8], wait: bool) -> Result<Option<usize>, ChannelError> {
        let flags = if wait {
            RecvFlags::TRUNC
        } else {
            RecvFlags::TRUNC | RecvFlags::DONTWAIT
        };
        loop {
            match rustix::net::recv(&self.fd, &mut *buffer, flags) {
                Ok((_, 0)) | Err(Errno::CONNRESET) => return Ok(None),
                Ok((_, length)) if length > buffer.len() => {
                    return Err(ChannelError::TooLarge(length));
                }
                Ok((_, length)) => return Ok(Some(length)),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Sends a question and waits for its answer.
    ///
    /// # Errors
    /// As [`Channel::send`] and [`Channel::recv`]; [`ChannelError::Closed`] when no answer came.
    pub fn call<Q: Serialize, A: DeserializeOwned>(&self, question: &Q) -> Result<A, ChannelError> {
        self.send(question)?;
        self.recv()?.ok_or(ChannelError::Closed)
    }
}
