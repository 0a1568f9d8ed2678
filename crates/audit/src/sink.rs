//! Where events go: journald's native socket, syslog's, or memory (tests).
//!
//! A sink waits at most as long as it is told and never blocks beyond it: a
//! journald that is stopped must not stop a login for longer than that.

mod journald;
mod syslog;

use crate::event::Rendered;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use journald::Journald;
pub use syslog::Syslog;

/// `SYSLOG_IDENTIFIER`.
pub const IDENTIFIER: &str = "jumpd";

/// Between two tries on a full socket.
const PAUSE: Duration = Duration::from_millis(5);

/// Somewhere an event can be written.
pub trait Sink: Send {
    /// Its name, for the error when it fails.
    fn name(&self) -> String;

    /// Hands the event over, trying for at most `patience` while the receiver is full.
    ///
    /// # Errors
    /// When the receiver is not there, or stays full.
    fn send(&mut self, event: &Rendered, patience: Duration) -> io::Result<()>;
}

/// Tries until it works, fails for good, or `patience` is over.
fn persist(patience: Duration, mut attempt: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let began = Instant::now();
    loop {
        let error = match attempt() {
            Ok(()) => return Ok(()),
            Err(e) => e,
        };
        // ENOBUFS: the kernel is short of memory for the datagram right now.
        let passing = matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
        ) || error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error());
        if !passing || began.elapsed() + PAUSE > patience {
            return Err(error);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Keeps events in memory; fails while told to. For tests of what writes events.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    inner: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    events: Vec<Rendered>,
    failing: bool,
}

impl Memory {
    /// Everything written so far.
    #[must_use]
    pub fn events(&self) -> Vec<Rendered> {
        self.kept(|kept| kept.events.clone())
    }

    /// Whether writing fails from now on.
    pub fn fail(&self, failing: bool) {
        self.kept(|kept| kept.failing = failing);
    }

    fn kept<T>(&self, with: impl FnOnce(&mut Kept) -> T) -> T {
        with(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Memory {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn send(&mut self, event: &Rendered, _patience: Duration) -> io::Result<()> {
        self.kept(|kept| {
            if kept.failing {
                return Err(io::Error::other("told to fail"));
            }
            kept.events.push(event.clone());
            Ok(())
        })
    }
}
