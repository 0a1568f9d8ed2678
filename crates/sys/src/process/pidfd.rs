//! A handle on one task that the recycling of its number cannot redirect.

use super::status::TaskStatus;
use crate::check;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A task, or where the kernel is older than 6.9 the process it belongs to.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl PidFd {
    /// Opens the task `tid`.
    ///
    /// With `PIDFD_THREAD` (Linux 6.9) it is that very thread, with that
    /// thread's table of open files; before, the process it belongs to, which
    /// is the same table because the session filter refuses threads with one
    /// of their own.
    ///
    /// # Errors
    /// `ESRCH` when there is no such task any more.
    pub fn open(tid: i32) -> io::Result<Self> {
        match open(tid, libc::PIDFD_THREAD) {
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
                let tgid = TaskStatus::read(tid)?.tgid;
                open(tgid, 0)
            }
            other => other,
        }
    }

    /// Opens the process `pid`, whose threads all die by [`PidFd::send_signal`].
    ///
    /// # Errors
    /// `ESRCH` when there is no such process any more.
    pub fn open_process(pid: i32) -> io::Result<Self> {
        open(pid, 0)
    }

    /// A copy of the task's open file number `fd`: the same open file description.
    ///
    /// Needs `CAP_SYS_PTRACE` for a task of another user.
    ///
    /// # Errors
    /// `EBADF` when the task has no such file, `EPERM`, `ESRCH`.
    pub fn get_fd(&self, fd: RawFd) -> io::Result<OwnedFd> {
        // SAFETY: the call takes numbers, no pointer.
        let copy = check(unsafe {
            libc::syscall(
                libc::SYS_pidfd_getfd,
                self.0.as_raw_fd(),
                fd,
                0 as libc::c_ulong,
            )
        })?;
        // SAFETY: a new descriptor (with close-on-exec) that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(copy as RawFd) })
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// `ESRCH` when the process is gone, `EPERM`.
    pub fn send_signal(&self, signal: i32) -> io::Result<()> {
        // SAFETY: no siginfo is passed; the kernel makes one as for kill(2).
        check(unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0 as libc::c_ulong,
            )
        })
        .map(drop)
    }

    /// Whether the process has ended (its pidfd is readable).
    #[must_use]
    pub fn ended(&self) -> bool {
        let mut poll = libc::pollfd {
            fd: self.0.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one struct, which lives across the call.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
        ready == 1
    }
}

fn open(pid: i32, flags: libc::c_uint) -> io::Result<PidFd> {
    // SAFETY: the call takes numbers, no pointer.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) })?;
    // SAFETY: a new descriptor (with close-on-exec) that nobody else owns.
    Ok(PidFd(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
}
