//! Packets between the programs: any bytes are a message or an error, never a
//! panic, and a message means the same after it was sent once more.
//!
//! Each packet takes the way of a real one: through a `SOCK_SEQPACKET` socket
//! and [`Channel::recv`].

use jump_proto::handshake::{GuardAnswer, GuardHello};
use jump_proto::{Channel, ChannelError, MAX_MESSAGE, Push, Reply, Request};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// A connection that lives as long as the process: one per packet would cost more than all the rest.
struct Connection {
    writes: OwnedFd,
    reads: Channel,
}

impl Connection {
    fn new() -> Option<Self> {
        let (writes, reads) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .ok()?;
        let reads = Channel::from(reads);
        reads.set_timeout(Some(Duration::from_secs(3))).ok()?;
        Some(Self { writes, reads })
    }

    fn carry<T: DeserializeOwned>(&self, packet: &[u8]) -> Result<Option<T>, ChannelError> {
        rustix::net::send(self.writes.as_fd(), packet, SendFlags::NOSIGNAL)
            .map_err(ChannelError::from)?;
        self.reads.recv()
    }
}

thread_local! {
    static CONNECTION: RefCell<Option<Connection>> = RefCell::new(Connection::new());
}

/// What the programs say to each other.
pub fn messages(packet: &[u8]) {
    let Some((which, packet)) = packet.split_first() else {
        return;
    };
    CONNECTION.with_borrow(|connection| {
        let Some(connection) = connection else {
            return;
        };
        match which % 5 {
            0 => understood::<Request>(connection, packet),
            1 => understood::<Reply>(connection, packet),
            2 => understood::<Push>(connection, packet),
            3 => understood::<GuardHello>(connection, packet),
            _ => understood::<GuardAnswer>(connection, packet),
        }
    });
}

fn understood<T: Serialize + DeserializeOwned>(connection: &Connection, packet: &[u8]) {
    match connection.carry::<T>(packet) {
        Ok(Some(message)) => {
            assert!(!packet.is_empty() && packet.len() <= MAX_MESSAGE);
            let said = serde_json::to_vec(&message).ok();
            let again = said
                .as_deref()
                .and_then(|said| serde_json::from_slice::<T>(said).ok())
                .and_then(|message| serde_json::to_vec(&message).ok());
            assert!(
                said.is_some() && said == again,
                "a message changes its meaning"
            );
        }
        // A packet without a byte is how the end of a connection looks.
        Ok(None) => assert!(packet.is_empty()),
        Err(ChannelError::TooLarge(size)) => assert!(size > MAX_MESSAGE),
        Err(ChannelError::Malformed(_)) => {}
        Err(other) => assert!(packet.len() > MAX_MESSAGE, "{other}"),
    }
}
