//! Puts the session filter in force for the calling thread and everything it
//! starts from now on.

use super::compile::session_filter;
use crate::check;
use std::fmt;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// The filter is in force; this is its other end.
#[derive(Debug)]
pub struct SessionFilter {
    /// Where notifications arrive. While any copy is open, mediated calls wait.
    pub listener: OwnedFd,
    /// Whether only a fatal signal interrupts a call that the guard has received
    /// (`SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`, Linux 5.19).
    pub waitkill: bool,
}

/// Why the filter is not in force.
#[derive(Debug)]
pub enum InstallError {
    /// Another filter with a listener is in force already (`EBUSY`, seccomp(2)).
    Busy,
    /// The kernel said something else.
    Kernel(io::Error),
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str(
                "another program listens to the system calls of sshd already, as container managers \
                 do (LXC with intercepted system calls, rootless Podman); run the jump server on a \
                 host or in a container without such a listener",
            ),
            Self::Kernel(e) => write!(f, "cannot install the session filter: {e}"),
        }
    }
}

impl std::error::Error for InstallError {}

/// Installs the session filter on the calling thread.
///
/// Needs `CAP_SYS_ADMIN` or no_new_privs. From here on every connect(2) of the
/// thread waits until someone reads the listener: make connections before.
///
/// # Errors
/// [`InstallError`]; the thread is then as it was.
pub fn install_session_filter() -> Result<SessionFilter, InstallError> {
    let with =
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    match install(with) {
        Ok(listener) => Ok(SessionFilter {
            listener,
            waitkill: true,
        }),
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
            install(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER).map(|listener| SessionFilter {
                listener,
                waitkill: false,
            })
        }
        Err(e) => Err(e),
    }
    .map_err(|e| match e.raw_os_error() {
        Some(libc::EBUSY) => InstallError::Busy,
        _ => InstallError::Kernel(e),
    })
}

/// As on a kernel before 5.19, for tests of what then is different.
///
/// # Errors
/// As [`install_session_filter`].
#[cfg(feature = "attacks")]
pub fn install_session_filter_without_waitkill() -> Result<SessionFilter, InstallError> {
    install(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)
        .map(|listener| SessionFilter {
            listener,
            waitkill: false,
        })
        .map_err(InstallError::Kernel)
}

/// A filter that refuses nothing and notifies nobody, with a listener: the guard
/// stands at its post, and the layer is off. For a test build that shows what
/// the other layers do alone.
///
/// # Errors
/// As [`install_session_filter`].
#[cfg(feature = "weaken")]
pub fn install_open_filter() -> Result<SessionFilter, InstallError> {
    load(
        &mut super::compile::open_filter(),
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
    )
    .map(|listener| SessionFilter {
        listener,
        waitkill: true,
    })
    .map_err(InstallError::Kernel)
}

fn install(flags: libc::c_ulong) -> io::Result<OwnedFd> {
    load(&mut session_filter(), flags)
}

/// Installs another filter that has a listener, for tests of what then is different.
///
/// # Errors
/// What the kernel says.
#[cfg(feature = "attacks")]
pub(crate) fn install_listener(filter: &mut [libc::sock_filter]) -> io::Result<OwnedFd> {
    load(filter, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)
}

fn load(filter: &mut [libc::sock_filter], flags: libc::c_ulong) -> io::Result<OwnedFd> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: `program` and the instructions it points to live across the call,
    // which only reads them.
    let fd = check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER),
            flags,
            &raw const program,
        )
    })?;
    // SAFETY: with NEW_LISTENER the call returns a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}
