//! `libnss_jump.so.2`: users and groups of the policy, for every process
//! on the host that asks glibc.
//!
//! This code runs inside sshd, sudo, cron, nscd, statically linked programs
//! and whatever else calls `getpwnam(3)`, as root and as nobody, in the child
//! of a threaded process and in `atexit` handlers. So it may do very little:
//! search a file (`index`) that jumpd wrote, compare with what `/etc/passwd`
//! and `/etc/group` already say (`local`), and copy the answer into the
//! caller's buffer (`reply`). It opens no socket, waits for nobody, keeps no
//! lock (`slots`), has no thread-local variable, writes to no descriptor,
//! and never answers with an id or a name of the system or of a local file
//! (`visible`).
//!
//! **Panics.** The default panic hook prints to fd 2, which here may be
//! anything, and the hook belongs to the host program. So the silent hook is
//! not to panic: nothing indexes, unwraps or divides, and `tests/artifact.rs`
//! checks that the library, optimised as a whole, cannot even raise one (the
//! linker found the unwinder's raise function unreachable). `guarded` stands behind that:
//! a panic in a debug build ends as UNAVAIL, not as an abort of sshd.
//!
//! **Cancellation.** `open`, `pread` and `close` of libc are cancellation
//! points, and a forced unwind must not cross Rust frames; so these go through
//! `syscall(2)` (`sys`).

#![deny(clippy::indexing_slicing)]

mod enumerate;
pub mod group;
mod index;
mod local;
pub mod passwd;
mod reply;
mod slots;
mod sys;
mod visible;

use libc::c_int;

/// Where the index is. Not configurable: this library is loaded into
/// set-user-id programs, which must not take a path from their caller.
const INDEX: &std::ffi::CStr = c"/var/lib/jump/accounts";
/// Local users, who come before ours.
const PASSWD: &std::ffi::CStr = c"/etc/passwd";
/// Local groups, who come before ours.
const GROUP: &std::ffi::CStr = c"/etc/group";

/// What glibc makes of our return value (`enum nss_status` of nss.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
enum Status {
    /// Something is missing for the moment; with `ERANGE`, room in the buffer.
    TryAgain = -2,
    /// There is no usable index.
    Unavailable = -1,
    /// The index does not have it.
    NotFound = 0,
    /// The answer is in the buffer.
    Success = 1,
}

/// Why there is no answer, with the errno that says so to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// Not in the index: `ENOENT`, as other modules have it.
    NotFound,
    /// In the index, but not to be answered; the same to the caller.
    Hidden,
    /// No index, or not one to believe.
    Unavailable,
    /// The caller's buffer is too small.
    Buffer,
    /// Out of descriptors or memory: may work a moment later.
    Temporary(c_int),
}

impl Failure {
    fn status(self) -> (Status, c_int) {
        match self {
            Self::NotFound | Self::Hidden => (Status::NotFound, libc::ENOENT),
            Self::Unavailable => (Status::Unavailable, libc::ENOENT),
            Self::Buffer => (Status::TryAgain, libc::ERANGE),
            Self::Temporary(errno) => (Status::TryAgain, errno),
        }
    }
}

/// Runs an entry point and translates its outcome for glibc.
///
/// # Safety
///
/// `errnop` is null or points to the caller's errno.
unsafe fn guarded(errnop: *mut c_int, entry: impl FnOnce() -> Result<(), Failure>) -> c_int {
    // Nothing is used after a panic but plain words of static memory.
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(entry))
        .unwrap_or(Err(Failure::Unavailable));
    let (status, errno) = match outcome {
        Ok(()) => return Status::Success as c_int,
        Err(failure) => failure.status(),
    };
    if !errnop.is_null() {
        // SAFETY: by contract a non-null errnop is glibc's pointer to errno.
        unsafe { errnop.write(errno) };
    }
    status as c_int
}
