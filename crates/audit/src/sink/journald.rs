//! journald's native protocol: one datagram of `KEY=value` lines (systemd.io/JOURNAL_NATIVE_PROTOCOL).
//!
//! Values here never hold a newline, so the length-prefixed form is not needed,
//! and an event is far smaller than a datagram may be, so neither is the memfd.
//! Each datagram is addressed anew: a connected socket would go stale when the
//! socket unit is restarted.

use super::{IDENTIFIER, Sink, persist};
use crate::event::Rendered;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sendto, socket_with,
};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

const SOCKET: &str = "/run/systemd/journal/socket";

/// `LOG_AUTHPRIV` (RFC 5424 section 6.2.1), so that forwarded events land in `auth.log` or `secure`.
pub(super) const FACILITY: u8 = 10;

/// Sends to journald.
#[derive(Debug)]
pub struct Journald {
    path: PathBuf,
    socket: Option<OwnedFd>,
}

impl Default for Journald {
    fn default() -> Self {
        Self::at(SOCKET)
    }
}

impl Journald {
    /// Sends to a socket elsewhere.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            socket: None,
        }
    }

    fn socket(&mut self) -> io::Result<&OwnedFd> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => socket_with(
                AddressFamily::UNIX,
                SocketType::DGRAM,
                SocketFlags::CLOEXEC,
                None,
            )?,
        };
        Ok(self.socket.insert(socket))
    }
}

impl Sink for Journald {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn send(&mut self, event: &Rendered, patience: Duration) -> io::Result<()> {
        let address = SocketAddrUnix::new(self.path.as_path())?;
        let datagram = encode(event);
        let socket = self.socket()?;
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        persist(patience, || {
            sendto(socket, &datagram, flags, &address)?;
            Ok(())
        })
    }
}

/// The datagram.
fn encode(event: &Rendered) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 * event.message.len() + 1024);
    let mut push = |key: &str, value: &str| {
        out.extend_from_slice(key.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.as_bytes());
        out.push(b'\n');
    };
    push("MESSAGE", &event.message);
    push("MESSAGE_ID", event.kind.message_id());
    push("PRIORITY", &event.priority.to_string());
    push("SYSLOG_IDENTIFIER", IDENTIFIER);
    push("SYSLOG_FACILITY", &FACILITY.to_string());
    push("SYSLOG_PID", &std::process::id().to_string());
    for (key, value) in &event.fields {
        push(key, value);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Kind};
    use std::os::unix::net::UnixDatagram;
    use std::time::Instant;

    fn event() -> Rendered {
        Event::new(Kind::AccessDenied)
            .user("eve\nMESSAGE_ID=forged")
            .render(3, "00")
    }

    #[test]
    fn an_entry_arrives_at_a_real_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        Journald::at(&path).send(&event(), Duration::ZERO).unwrap();
        let mut buffer = [0u8; 4096];
        let length = journald.recv(&mut buffer).unwrap();
        assert_eq!(
            std::str::from_utf8(&buffer[..length]).unwrap(),
            format!(
                "MESSAGE=access.denied outcome=failure user=\"eve\\x0aMESSAGE_ID=forged\" seq=3 prev=00\n\
                 MESSAGE_ID={}\nPRIORITY=4\nSYSLOG_IDENTIFIER=jumpd\nSYSLOG_FACILITY=10\nSYSLOG_PID={}\n\
                 JUMP_EVENT=access.denied\nJUMP_OUTCOME=failure\nJUMP_USER=eve\\x0aMESSAGE_ID=forged\n\
                 JUMP_SEQ=3\nJUMP_PREV=00\n",
                Kind::AccessDenied.message_id(),
                std::process::id(),
            )
        );
    }

    #[test]
    fn a_socket_that_is_made_anew_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let mut sink = Journald::at(&path);
        assert!(sink.send(&event(), Duration::ZERO).is_err());
        for _ in 0..2 {
            let journald = UnixDatagram::bind(&path).unwrap();
            sink.send(&event(), Duration::ZERO).unwrap();
            assert!(journald.recv(&mut [0u8; 4096]).unwrap() > 0);
            drop(journald);
            assert!(sink.send(&event(), Duration::ZERO).is_err());
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_stuck_journald_costs_no_more_than_the_patience() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let _journald = UnixDatagram::bind(&path).unwrap();
        let mut sink = Journald::at(&path);
        while sink.send(&event(), Duration::ZERO).is_ok() {}
        let began = Instant::now();
        let error = sink.send(&event(), Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(80) && took < Duration::from_millis(400),
            "{took:?}"
        );
    }

    #[test]
    fn the_largest_event_fits_into_a_datagram() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let _journald = UnixDatagram::bind(&path).unwrap();
        let long = "\"".repeat(5000);
        let mut event = Event::new(Kind::ForwardClosed)
            .user(&long)
            .destination_name(&long)
            .rule(&long)
            .policy(&long)
            .auth_method(&long)
            .key_fingerprint(&long)
            .mfa(&long)
            .sandbox(&long);
        for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            event = event.text(key, &long);
        }
        let rendered = event.render(1, "00");
        Journald::at(&path).send(&rendered, Duration::ZERO).unwrap();
    }
}
