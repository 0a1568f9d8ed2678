//! The fallback: one line to `/dev/log`, for a host whose journald is gone but whose syslog is not.
//!
//! The line is `<priority>jumpd[pid]: MESSAGE` without a time: a local syslog
//! puts its own, and telling local time safely in a process with threads is
//! more than this is worth.

use super::{IDENTIFIER, Sink, persist};
use crate::event::Rendered;
use crate::sink::journald::FACILITY;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;
use syslog::{LogFormat, Logger, LoggerBackend, Severity};

const SOCKET: &str = "/dev/log";

/// Sends to syslog.
#[derive(Debug)]
pub struct Syslog {
    path: PathBuf,
}

impl Default for Syslog {
    fn default() -> Self {
        Self::at(SOCKET)
    }
}

impl Syslog {
    /// Sends to a socket elsewhere.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn connect(&self) -> io::Result<Logger<LoggerBackend, Line>> {
        // Made here rather than by the crate, whose sockets block.
        let socket = UnixDatagram::unbound()?;
        socket.connect(&self.path)?;
        socket.set_nonblocking(true)?;
        Ok(Logger::new(LoggerBackend::Unix(socket), Line))
    }
}

impl Sink for Syslog {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn send(&mut self, event: &Rendered, patience: Duration) -> io::Result<()> {
        // Connected anew each time: this is the rare way, and a restarted syslog has a new socket.
        let mut logger = self.connect()?;
        persist(patience, || {
            let sent = match event.priority {
                0..=2 => logger.crit(&event.message),
                3..=4 => logger.warning(&event.message),
                5 => logger.notice(&event.message),
                _ => logger.info(&event.message),
            };
            sent.map_err(|e| match e {
                syslog::Error::Io(e) | syslog::Error::Write(e) => e,
                other => io::Error::other(other.to_string()),
            })
        })
    }
}

/// How a line looks.
#[derive(Debug, Clone, Copy)]
struct Line;

impl LogFormat<&String> for Line {
    fn format<W: Write>(
        &self,
        w: &mut W,
        severity: Severity,
        message: &String,
    ) -> syslog::Result<()> {
        let priority = u32::from(FACILITY) * 8 + severity as u32;
        write!(
            w,
            "<{priority}>{IDENTIFIER}[{}]: {message}",
            std::process::id()
        )
        .map_err(syslog::Error::Write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Kind};

    fn event() -> Rendered {
        Event::new(Kind::AccessDenied).user("eve").render(3, "00")
    }

    #[test]
    fn the_line_is_what_a_local_syslog_reads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let syslogd = UnixDatagram::bind(&path).unwrap();
        Syslog::at(&path).send(&event(), Duration::ZERO).unwrap();
        let mut buffer = [0u8; 4096];
        let length = syslogd.recv(&mut buffer).unwrap();
        // 10 * 8 + 4
        assert_eq!(
            std::str::from_utf8(&buffer[..length]).unwrap(),
            format!(
                "<84>jumpd[{}]: access.denied outcome=failure user=eve seq=3 prev=00",
                std::process::id()
            )
        );
    }

    #[test]
    fn a_full_socket_is_an_error_and_not_a_wait() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let _syslogd = UnixDatagram::bind(&path).unwrap();
        let mut sink = Syslog::at(&path);
        while sink.send(&event(), Duration::ZERO).is_ok() {}
        let error = sink.send(&event(), Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(
            Syslog::at(dir.path().join("none"))
                .send(&event(), Duration::ZERO)
                .is_err()
        );
    }
}
