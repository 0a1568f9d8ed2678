//! Ends a blocking call of another thread of this process.
//!
//! A connect(2) made on a task's behalf may wait for minutes; when the task no
//! longer wants it, its thread is sent a signal whose handler does nothing and
//! is installed without `SA_RESTART`, so that the call returns `EINTR`.

use crate::{check, check_int};
use std::io;

const SIGNAL: i32 = libc::SIGUSR1;

extern "C" fn nothing(_: libc::c_int) {}

/// Makes SIGUSR1 interrupt blocking calls of this process instead of ending it.
///
/// # Errors
/// When the kernel refuses the handler.
pub fn allow_interrupts() -> io::Result<()> {
    let handler: extern "C" fn(libc::c_int) = nothing;
    // SAFETY: all-zero is a value of sigaction: no flags, empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as libc::sighandler_t;
    // SAFETY: the struct lives across the call and the handler does nothing, which is always safe.
    check_int(unsafe { libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut()) }).map(drop)
}

/// A thread of this process whose blocking call can be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interruptible {
    tid: i32,
}

impl Interruptible {
    /// The calling thread.
    #[must_use]
    pub fn current() -> Self {
        // SAFETY: takes nothing, cannot fail.
        let tid = unsafe { libc::gettid() };
        Self { tid }
    }

    /// Ends the blocking call the thread is in, if it is in one. The caller
    /// repeats until the thread has taken notice: a signal just before the
    /// call would be lost.
    ///
    /// # Errors
    /// `ESRCH` when the thread is gone.
    pub fn interrupt(self) -> io::Result<()> {
        let own = std::process::id();
        // SAFETY: the call takes numbers; a thread of another process cannot be hit.
        check(unsafe { libc::syscall(libc::SYS_tgkill, own, self.tid, SIGNAL) }).map(drop)
    }
}
