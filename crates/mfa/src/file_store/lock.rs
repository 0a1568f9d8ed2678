//! The exclusive hold on one user's record.
//!
//! `flock(2)` rather than POSIX record locks: it belongs to the open file, so
//! two threads exclude each other as two processes do, and no other descriptor
//! closed in this process lets it go.

use super::fault::before;
use super::files::Dir;
use crate::store::StoreError;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The longest wait for another process that holds the same user's record.
pub const LOCK_WAIT: Duration = Duration::from_secs(1);

/// Between two tries; a holder needs a few milliseconds, most of them in fsync.
const FIRST_PAUSE: Duration = Duration::from_micros(500);
const LAST_PAUSE: Duration = Duration::from_millis(8);

/// Held until dropped.
pub(super) struct Held {
    _fd: OwnedFd,
}

impl Dir {
    /// Takes the lock file of this name, waiting at most [`LOCK_WAIT`].
    pub(super) fn lock(&self, name: &str) -> Result<Held, StoreError> {
        let fd = self.open_lock(name)?;
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let tried =
                before("flock").and_then(|()| flock(&fd, FlockOperation::NonBlockingLockExclusive));
            match tried {
                Ok(()) => return Ok(Held { _fd: fd }),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let waited = began.elapsed();
                    if waited >= LOCK_WAIT {
                        return Err(StoreError::Busy {
                            path: self.path_of(name),
                            waited,
                        });
                    }
                    std::thread::sleep(pause.min(LOCK_WAIT - waited));
                    pause = (pause * 2).min(LAST_PAUSE);
                }
                Err(e) => return Err(self.io("lock", name, e)),
            }
        }
    }
}
