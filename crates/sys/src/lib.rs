//! The kernel interfaces that no safe crate offers: seccomp user notification,
//! Landlock without a file system, pidfds of threads, the end of TCP sockets.
//!
//! Every `unsafe` block of the suite outside the two C ABI edges is in this
//! crate, each around one system call, each with the reason why it is sound.
//! Nothing here decides anything: it offers the calls, [`seccomp::rows`] says
//! as data what a session may not call, and the callers judge.

pub mod activation;
#[cfg(feature = "attacks")]
pub mod attacks;
pub mod files;
pub mod landlock;
pub mod process;
pub mod seccomp;
pub mod sockdiag;
pub mod socket;

use std::io;

/// The C convention: -1 means look at errno.
fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// As [`check`], for functions that return an `int`.
fn check_int(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
