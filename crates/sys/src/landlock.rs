//! The second layer under the session filter: the kernel itself refuses every
//! TCP connect and bind of the session's processes (Landlock, landlock(7)).
//!
//! The guard is outside this domain, so a connection that it makes on a task's
//! behalf passes and one that a task makes itself, whatever way it found,
//! fails. The scopes keep signals and abstract sockets inside the session; a
//! domain of its own also keeps ptrace(2) of the neighbours out.
//!
//! Called in sshd's root monitor, without no_new_privs: `CAP_SYS_ADMIN` allows
//! it, and programs with set-uid bits keep working there.

use crate::check;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `struct landlock_ruleset_attr` as of ABI 6 (linux/landlock.h).
#[repr(C)]
struct RulesetAttr {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

const NET_BIND_TCP: u64 = 1 << 0;
const NET_CONNECT_TCP: u64 = 1 << 1;
const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1 << 0;
const SCOPE_SIGNAL: u64 = 1 << 1;
const CREATE_RULESET_VERSION: libc::c_ulong = 1;

/// TCP rules came with ABI 4 (Linux 6.7), scopes with ABI 6 (6.12).
const WITH_NET: u32 = 4;
const WITH_SCOPES: u32 = 6;

/// Takes all TCP from the calling thread and everything it starts from now on.
///
/// Returns the ABI level obtained: 6 and more with scopes, 4 or 5 without, 0
/// where the kernel has no Landlock or none that knows TCP.
///
/// # Errors
/// When the kernel has the layer and refuses to put it in force.
pub fn restrict_session() -> io::Result<u32> {
    let abi = abi();
    // RHEL 9.7 says 6 and answers EINVAL to its bits: what counts is what is accepted.
    let steps = [
        (
            WITH_SCOPES,
            SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL,
            size_of::<RulesetAttr>(),
        ),
        (WITH_NET, 0, size_of::<RulesetAttr>() - size_of::<u64>()),
    ];
    let mut ceiling = abi;
    for (needs, scoped, size) in steps {
        if abi < needs {
            continue;
        }
        let attr = RulesetAttr {
            handled_access_fs: 0,
            handled_access_net: NET_BIND_TCP | NET_CONNECT_TCP,
            scoped,
        };
        match create(&attr, size) {
            Ok(ruleset) => {
                restrict(&ruleset)?;
                return Ok(ceiling);
            }
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::E2BIG)) => {
                ceiling = needs - 1;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(0)
}

/// The ABI level that the kernel says it has; 0 where there is none.
#[must_use]
pub fn abi() -> u32 {
    // SAFETY: a version question takes no pointer.
    let version = check(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<RulesetAttr>(),
            0usize,
            CREATE_RULESET_VERSION,
        )
    });
    version.map_or(0, |v| u32::try_from(v).unwrap_or(0))
}

fn create(attr: &RulesetAttr, size: usize) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads `size` bytes, at most the struct's own, and writes none.
    let fd = check(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::from_ref(attr),
            size,
            0 as libc::c_ulong,
        )
    })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

fn restrict(ruleset: &OwnedFd) -> io::Result<()> {
    // SAFETY: the call takes numbers, no pointer.
    check(unsafe {
        libc::syscall(
            libc::SYS_landlock_restrict_self,
            ruleset.as_raw_fd(),
            0 as libc::c_ulong,
        )
    })
    .map(drop)
}
