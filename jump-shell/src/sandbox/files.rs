//! Open files: only the three that a login has are kept, and what a hop needs.

use super::SandboxError;
use crate::relay::Kind;
use rustix::fs::FileType;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// The highest file descriptor that a login gives its shell.
const STDERR: RawFd = 2;

/// Closes every file above standard error.
///
/// By list and not by close_range(2), which no safe interface offers.
pub(super) fn close_inherited() -> Result<(), SandboxError> {
    close_but(&[])
}

/// The same, but for these.
pub(super) fn close_but(kept: &[BorrowedFd<'_>]) -> Result<(), SandboxError> {
    let kept: Vec<RawFd> = kept.iter().map(AsRawFd::as_raw_fd).collect();
    let others = || -> Result<Vec<RawFd>, SandboxError> {
        let mut open = inherited()?;
        open.retain(|fd| !kept.contains(fd));
        Ok(open)
    };
    for fd in others()? {
        // The list includes the descriptor that read it, closed by now.
        let _ = nix::unistd::close(fd);
    }
    // Only the descriptor that reads this second list may be in it.
    match others()?.as_slice() {
        [] | [_] => Ok(()),
        more => Err(SandboxError::NotDropped(format!(
            "{} inherited files stay open",
            more.len() - 1
        ))),
    }
}

fn inherited() -> Result<Vec<RawFd>, SandboxError> {
    let failed = |source| SandboxError::Call {
        what: "/proc/self/fd",
        source,
    };
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if let Some(fd) = name
            .to_str()
            .and_then(|n| n.parse().ok())
            .filter(|fd| *fd > STDERR)
        {
            open.push(fd);
        }
    }
    Ok(open)
}

/// What kind of file `fd` is; one that cannot be told is the most general kind.
pub(super) fn kind(fd: BorrowedFd<'_>) -> Kind {
    match rustix::fs::fstat(fd).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::Fifo) => Kind::Pipe,
        Ok(FileType::Socket) => Kind::Socket,
        Ok(_) | Err(Errno { .. }) => Kind::Other,
    }
}
