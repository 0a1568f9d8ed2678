//! The guard's end of the filter (seccomp_unotify(2)).
//!
//! A notification names a task and the numbers it passed; what its pointers
//! point to can change at any moment, and the task can be gone. So: poll
//! before [`Listener::recv`] (it blocks when the task died in between), ask
//! [`Listener::id_valid`] after whatever was read from the task and before it
//! is used, and copy memory once.

use super::call::Call;
use crate::check_int;
use libc::{seccomp_notif, seccomp_notif_resp, seccomp_notif_sizes};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A call that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification {
    /// Names the waiting call until it is answered or interrupted.
    pub id: u64,
    /// The waiting task, in the listener's pid namespace.
    pub tid: i32,
    arch: u32,
    number: i32,
    args: [u64; 6],
}

impl Notification {
    /// What is called: the only reading of the numbers that there is.
    #[must_use]
    pub fn call(&self) -> Call {
        Call::of(self.arch, self.number, &self.args)
    }
}

/// What becomes of a call that waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It returns this value without having run.
    Return(i64),
    /// It fails with this errno without having run.
    Errno(i32),
    /// It runs, with whatever its pointers point to *then*: never for a call whose pointers matter.
    Continue,
}

/// Where the notifications of one session arrive.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    notification_size: usize,
    response_size: usize,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Listener {
    /// Takes the descriptor that [`super::install_session_filter`] gave, or a copy.
    ///
    /// # Errors
    /// When it is not a seccomp listener, or the kernel has no user notification.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        let mut sizes = seccomp_notif_sizes {
            seccomp_notif: 0,
            seccomp_notif_resp: 0,
            seccomp_data: 0,
        };
        // SAFETY: the call writes the three sizes into a struct that lives across it.
        crate::check(unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::c_ulong::from(libc::SECCOMP_GET_NOTIF_SIZES),
                0,
                &raw mut sizes,
            )
        })?;
        let listener = Self {
            fd,
            notification_size: usize::from(sizes.seccomp_notif).max(size_of::<seccomp_notif>()),
            response_size: usize::from(sizes.seccomp_notif_resp)
                .max(size_of::<seccomp_notif_resp>()),
        };
        // A listener knows that no call has this id; anything else does not know the question.
        match listener.ask_valid(u64::MAX) {
            Err(e) if e.raw_os_error() != Some(libc::ENOENT) => Err(e),
            _ => Ok(listener),
        }
    }

    /// Lets the kernel run the waiting task on this CPU at once (Linux 6.6):
    /// a mediated call then costs microseconds. Older kernels are left as they are.
    pub fn wake_synchronously(&self) {
        const SYNC_WAKE_UP: libc::c_ulong = 1;
        // SAFETY: this ioctl takes a number, no pointer.
        let _older_kernel = unsafe {
            libc::ioctl(
                self.fd.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS,
                SYNC_WAKE_UP,
            )
        };
    }

    /// Receives one notification; `None` when the call that made the listener
    /// readable is gone. Blocks when there is none: poll before.
    ///
    /// # Errors
    /// Whatever the kernel says besides `ENOENT` and `EINTR`.
    pub fn recv(&self) -> io::Result<Option<Notification>> {
        // The kernel may know a longer struct than libc, and wants it zeroed.
        let mut buffer = vec![0u64; self.notification_size.div_ceil(8)];
        // SAFETY: the buffer is as large as the kernel asked for, aligned to 8, and zeroed.
        let got = check_int(unsafe {
            libc::ioctl(
                self.fd.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_RECV,
                buffer.as_mut_ptr(),
            )
        });
        match got {
            Ok(_) => {}
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => {
                return Ok(None);
            }
            Err(e) => return Err(e),
        }
        // SAFETY: the buffer is at least as large as the struct, aligned like it,
        // and every bit pattern is a value of it.
        let raw: seccomp_notif = unsafe { buffer.as_ptr().cast::<seccomp_notif>().read() };
        Ok(Some(Notification {
            id: raw.id,
            tid: raw.pid as i32,
            arch: raw.data.arch,
            number: raw.data.nr,
            args: raw.data.args,
        }))
    }

    fn ask_valid(&self, id: u64) -> io::Result<()> {
        // SAFETY: the ioctl reads eight bytes from a value that lives across it.
        check_int(unsafe {
            libc::ioctl(
                self.fd.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_ID_VALID,
                &raw const id,
            )
        })
        .map(drop)
    }

    /// Whether the call still waits. Anything but a clear yes is no.
    #[must_use]
    pub fn id_valid(&self, id: u64) -> bool {
        self.ask_valid(id).is_ok()
    }

    /// Answers a call; `false` when it no longer waits.
    ///
    /// # Errors
    /// Whatever the kernel says besides `ENOENT`.
    pub fn send(&self, id: u64, answer: Answer) -> io::Result<bool> {
        let mut buffer = vec![0u64; self.response_size.div_ceil(8)];
        let (val, error, flags) = match answer {
            Answer::Return(value) => (value, 0, 0),
            Answer::Errno(errno) => (0, -errno.abs(), 0),
            Answer::Continue => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
        };
        let response = seccomp_notif_resp {
            id,
            val,
            error,
            flags,
        };
        // SAFETY: the buffer is at least as large as the struct and aligned like it.
        unsafe {
            buffer
                .as_mut_ptr()
                .cast::<seccomp_notif_resp>()
                .write(response);
        };
        loop {
            // SAFETY: the ioctl reads the response from a buffer as large as it asked for.
            let sent = check_int(unsafe {
                libc::ioctl(
                    self.fd.as_raw_fd(),
                    libc::SECCOMP_IOCTL_NOTIF_SEND,
                    buffer.as_mut_ptr(),
                )
            });
            match sent {
                Ok(_) => return Ok(true),
                Err(e) => match e.raw_os_error() {
                    Some(libc::ENOENT) => return Ok(false),
                    Some(libc::EINTR) => {}
                    _ => return Err(e),
                },
            }
        }
    }
}
