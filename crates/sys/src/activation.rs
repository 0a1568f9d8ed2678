//! Sockets that systemd opened (`LISTEN_PID`, `LISTEN_FDS`, `LISTEN_FDNAMES`, sd_listen_fds(3)).

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// The first descriptor that is passed (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The sockets passed to this process, with their names (`FileDescriptorName=`).
///
/// Empty when none were passed, or when they were meant for another process.
/// Answers once: a second call gives nothing, so that no descriptor has two owners.
///
/// # Errors
/// When the variables are there and make no sense.
pub fn sockets() -> io::Result<Vec<(String, OwnedFd)>> {
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(Vec::new());
    }
    let variable = |name| std::env::var(name).ok();
    let (Some(pid), Some(count)) = (variable("LISTEN_PID"), variable("LISTEN_FDS")) else {
        return Ok(Vec::new());
    };
    if pid != std::process::id().to_string() {
        return Ok(Vec::new());
    }
    let count: usize = count
        .parse()
        .ok()
        .filter(|count| *count <= 64)
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "LISTEN_FDS is not a small number",
            )
        })?;
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(str::to_owned);
    (FIRST..)
        .take(count)
        .map(|fd| {
            // systemd passes them without close-on-exec.
            // SAFETY: takes numbers, no pointer.
            crate::check_int(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
            // SAFETY: open, as fcntl(2) has just said; given to this process by
            // its starter, and taken once.
            Ok((names.next().unwrap_or_default(), unsafe {
                OwnedFd::from_raw_fd(fd)
            }))
        })
        .collect()
}
