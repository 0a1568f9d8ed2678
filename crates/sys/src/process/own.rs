//! What a process does to itself.

use crate::check_int;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `F_SETSIG` (fcntl(2)); libc has it for musl only.
const F_SETSIG: libc::c_int = 10;

/// Never gains a privilege by execve(2) again (`PR_SET_NO_NEW_PRIVS`, prctl(2)).
///
/// # Errors
/// When the kernel refuses.
pub fn set_no_new_privs() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// No core dump, and no access for other processes of the same user (`PR_SET_DUMPABLE`, prctl(2)).
///
/// # Errors
/// When the kernel refuses.
pub fn set_nondumpable() -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0)
}

/// Sends this process `signal` when the thread that started it ends (`PR_SET_PDEATHSIG`, prctl(2)).
///
/// # Errors
/// When the kernel refuses.
pub fn set_parent_death_signal(signal: i32) -> io::Result<()> {
    prctl(
        libc::PR_SET_PDEATHSIG,
        libc::c_ulong::from(signal.unsigned_abs()),
    )
}

fn prctl(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    let none: libc::c_ulong = 0;
    // SAFETY: these options take numbers, no pointer.
    check_int(unsafe { libc::prctl(option, value, none, none, none) }).map(drop)
}

/// The name that ps(1) shows; cut to 15 bytes by the kernel.
///
/// # Errors
/// When the kernel refuses.
pub fn set_name(name: &CStr) -> io::Result<()> {
    // SAFETY: the kernel reads at most 16 bytes up to the NUL.
    check_int(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }).map(drop)
}

/// Ends the calling process at once: no destructors, no atexit(3) functions of
/// the program this library was loaded into.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: never returns, touches no memory.
    unsafe { libc::_exit(status) }
}

/// Sets `RES_OPTIONS` (resolv.conf(5)) for the calling process and what it starts,
/// also where the process has asked its resolver before.
///
/// Only for a process of one thread that holds no pointer into its
/// environment, as sshd's child is when PAM hooks run: setenv(3) moves it.
pub fn set_resolver_options(options: &CStr) {
    // SAFETY: both strings end in NUL and are copied; see above for threads.
    let _out_of_memory = unsafe { libc::setenv(c"RES_OPTIONS".as_ptr(), options.as_ptr(), 1) };
    // glibc reads the variable when it first resolves a name; an sshd with
    // `UseDNS yes` has done so before it forked.
    // SAFETY: takes nothing; one thread.
    let _without_resolver = unsafe { libc::res_init() };
}

/// Makes the kernel kill the calling process the instant the other end of
/// `connection` is closed or its process dies.
///
/// `connection` is a connected `AF_UNIX` socket on which nothing is sent in
/// either direction any more: `O_ASYNC` makes the kernel send the owner of the
/// open file description a signal when there is news on it, `F_SETSIG` makes
/// that signal SIGKILL. The permission to send it is that of the caller at
/// this moment (fcntl(2), `F_SETOWN`), so call it as root: it then holds after
/// the process has become someone else. Closing `connection` in this process
/// does not undo it while another process has it open.
///
/// Measured on Linux 6.18 with `SOCK_SEQPACKET`: the signal comes when the
/// peer exits, is killed, or closes, also after setuid(2) and under a Landlock
/// domain with the signal scope; and it comes at once when the peer has closed
/// before (this function then does not return).
///
/// # Errors
/// When the kernel refuses one of the settings.
pub fn couple_death(connection: BorrowedFd<'_>) -> io::Result<()> {
    let fd = connection.as_raw_fd();
    // SAFETY: takes nothing, cannot fail.
    let own = unsafe { libc::getpid() };
    // SAFETY: takes numbers, no pointer.
    check_int(unsafe { libc::fcntl(fd, F_SETSIG, libc::SIGKILL) })?;
    // SAFETY: as above.
    check_int(unsafe { libc::fcntl(fd, libc::F_SETOWN, own) })?;
    // SAFETY: as above.
    let flags = check_int(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
    // SAFETY: as above.
    check_int(unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_ASYNC) })?;
    // Closed before the coupling stood: no signal will come, so it is given here.
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one struct, which lives across the call.
    let ready = check_int(unsafe { libc::poll(&raw mut poll, 1, 0) })?;
    if ready != 0 {
        // SAFETY: takes numbers; ends this process.
        unsafe { libc::kill(own, libc::SIGKILL) };
    }
    Ok(())
}

/// Lets the kernel reap the children of this process: nobody waits for them.
///
/// # Errors
/// When the kernel refuses.
pub fn disown_children() -> io::Result<()> {
    // SAFETY: ignoring a signal runs no code of ours.
    let before = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    if before == libc::SIG_ERR {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Which of the two processes this is after [`fork`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The new one.
    Child,
    /// The old one; the new one has this pid.
    Parent(i32),
}

/// fork(2), for a process of one thread.
///
/// # Errors
/// When the process has other threads, whose locks the child would inherit
/// without their owners; `EAGAIN` when there are too many processes.
pub fn fork() -> io::Result<Fork> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other(SEVERAL_THREADS));
    }
    fork_alone()
}

/// fork(2) for a process that closes the file system to itself (Landlock): where it looks for
/// other threads is opened before.
#[derive(Debug)]
pub struct Forker {
    /// `/proc/<pid>/task`, whose links are two and one for each thread (proc_task_getattr in the kernel's fs/proc/base.c).
    tasks: std::fs::File,
    pid: u32,
}

impl Forker {
    /// Opens what [`Forker::fork`] looks at; of use to this process only, not to its children.
    ///
    /// # Errors
    /// When there is no `/proc`.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            tasks: std::fs::File::open("/proc/self/task")?,
            pid: std::process::id(),
        })
    }

    /// As [`fork`].
    ///
    /// # Errors
    /// As [`fork`], and in a child of the process that made this.
    pub fn fork(&self) -> io::Result<Fork> {
        use std::os::unix::fs::MetadataExt;
        if self.pid != std::process::id() {
            return Err(io::Error::other("fork for another process"));
        }
        if self.tasks.metadata()?.nlink() != 3 {
            return Err(io::Error::other(SEVERAL_THREADS));
        }
        fork_alone()
    }
}

const SEVERAL_THREADS: &str = "fork in a process of several threads";

/// fork(2) in a process that was seen to have one thread.
fn fork_alone() -> io::Result<Fork> {
    // SAFETY: the only thread calls, so the child has all of the parent's state.
    match check_int(unsafe { libc::fork() })? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_several_threads_is_not_forked() {
        // The test itself runs in a thread beside the main one.
        let forker = Forker::new().unwrap();
        let other = std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_secs(1)));
        for refused in [forker.fork(), fork()] {
            assert_eq!(refused.unwrap_err().to_string(), SEVERAL_THREADS);
        }
        other.join().unwrap();
    }
}
