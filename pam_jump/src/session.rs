//! `open_session` in sshd's root monitor, and the second `setcred` in the user's child.
//!
//! The monitor installs the session filter in itself just before sshd forks
//! the user's child, hands the filter's listener to the session's guard and
//! waits until the guard is at its post. sshd goes on when `open_session`
//! fails (`ssh -N` stays connected), so the failure is made final in the
//! child: without a guard it exits before it has served one request.

use crate::ask;
use crate::pam::{self, Priority};
use crate::scope::Member;
#[cfg(feature = "weaken")]
use crate::weaken::{install_session_filter, restrict_session};
use ::pam::constants::PamResultCode;
use ::pam::module::PamHandle;
use jump_proto::handshake::{GuardAnswer, GuardHello};
use jump_proto::{Channel, ChannelError, Reply, Request, SessionId, TIMEOUT, paths};
#[cfg(not(feature = "weaken"))]
use jump_sys::{landlock::restrict_session, seccomp::install_session_filter};
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// Where the host's resolvers are written down (resolv.conf(5)).
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Pid of the monitor whose `open_session` ran; 0 before. The user's child inherits it by fork.
static MONITOR: AtomicI32 = AtomicI32::new(0);
/// The monitor's connection to the session's guard; -1 where there is no guard.
static GUARD: AtomicI32 = AtomicI32::new(-1);

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}

/// Whether this process is the user's child of a monitor that ran `open_session` for a jump user.
pub(crate) fn in_user_child() -> bool {
    let monitor = MONITOR.load(Ordering::Relaxed);
    monitor != 0 && monitor != own_pid()
}

/// Pid of the process in which `setcred` was called first: the monitor's.
static FIRST: AtomicI32 = AtomicI32::new(0);

/// `setcred` of a jump user before `open_session`, or where the PAM stack has
/// no session line of ours: then the user's child is here unguarded, and ends.
pub(crate) fn before_or_without_session(pamh: &PamHandle) {
    let own = own_pid();
    let first = FIRST.load(Ordering::Relaxed);
    if first == 0 {
        FIRST.store(own, Ordering::Relaxed);
    } else if first != own {
        let text = "session.refused outcome=failure reason=guard_failed \
                    detail=\"the session line of pam_jump.so is missing in /etc/pam.d/sshd: run jumpctl setup\"";
        pam::log(pamh, Priority::Error, text);
        jump_sys::process::exit_now(255);
    }
}

/// Name under which pam_systemd(8) looks for the longest life of the session's scope.
const RUNTIME_MAX: &CStr = c"systemd.runtime_max_sec";

/// In the monitor, before `open_session`: has systemd end the session, some
/// time after the guard should have, should everything here be dead by then.
pub(crate) fn limit_lifetime(pamh: &mut PamHandle, member: &Member) {
    let question = Request::Lifetime {
        login: ask::login(pamh, member),
    };
    let answer = Channel::connect(paths::JUMPD_SOCKET, TIMEOUT)
        .and_then(|jumpd| jumpd.call::<_, Reply>(&question));
    // Nothing is allowed by this answer, so none is needed.
    if let Ok(Reply::Lifetime {
        seconds: Some(seconds),
    }) = answer
        && let Ok(text) = CString::new(seconds.to_string())
    {
        pam::set_text(pamh, RUNTIME_MAX, text);
    }
}

/// Why a session could not be guarded.
#[derive(Debug)]
enum Failure {
    /// jumpd refused it; jumpd has told the journal.
    Refused(String),
    /// Something is broken.
    Broken(String),
}

impl From<ChannelError> for Failure {
    fn from(e: ChannelError) -> Self {
        Self::Broken(format!("jumpd: {e}"))
    }
}

/// Opens the session: books, guard, Landlock, filter, in this order.
pub(crate) fn open(pamh: &mut PamHandle, member: &Member) -> PamResultCode {
    MONITOR.store(own_pid(), Ordering::Relaxed);
    GUARD.store(-1, Ordering::Relaxed);
    match guarded(pamh, member) {
        Ok(guard) => {
            // Stays open in the monitor and its child for as long as they live.
            GUARD.store(OwnedFd::from(guard).into_raw_fd(), Ordering::Relaxed);
            pam::putenv(pamh, pam::MARK, None);
            PamResultCode::PAM_SUCCESS
        }
        Err(failure) => {
            let (message, detail) = match failure {
                Failure::Refused(message) => (message, None),
                Failure::Broken(detail) => (
                    "The jump server cannot guard this session; please tell its administrators."
                        .to_owned(),
                    Some(detail),
                ),
            };
            if let Some(detail) = detail {
                let text = format!(
                    "session.refused outcome=failure reason=guard_failed user={} uid={} detail=\"{detail}\"",
                    member.user, member.uid
                );
                pam::log(pamh, Priority::Error, &text);
            }
            pam::tell_error(pamh, &message);
            PamResultCode::PAM_SESSION_ERR
        }
    }
}

fn guarded(pamh: &mut PamHandle, member: &Member) -> Result<Channel, Failure> {
    let question = Request::OpenSession {
        login: ask::login(pamh, member),
        mark: ask::mark(pamh),
    };
    // Both connections are made before the filter is: afterwards the monitor's
    // own connect(2) would wait for a guard that is not there yet.
    let jumpd = Channel::connect(paths::JUMPD_SOCKET, TIMEOUT)?;
    let session = match jumpd.call::<_, Reply>(&question)? {
        Reply::Opened { session, .. } => session,
        Reply::Refused { message, .. } => return Err(Failure::Refused(message)),
        _ => {
            return Err(Failure::Broken(
                "jumpd: not an answer to open_session".to_owned(),
            ));
        }
    };
    let guard = place_guard(&session);
    if let Err(Failure::Broken(detail)) = &guard {
        // Best effort: jumpd closes a session without a guard by itself.
        let _told = jumpd.send(&Request::SessionFailed {
            session,
            detail: detail.clone(),
        });
    }
    guard
}

fn place_guard(session: &SessionId) -> Result<Channel, Failure> {
    let broken = |what: &str, e: &dyn std::fmt::Display| Failure::Broken(format!("{what}: {e}"));
    let guard =
        Channel::connect(paths::GUARD_SOCKET, TIMEOUT).map_err(|e| broken("jump-guard", &e))?;
    let landlock = restrict_session().map_err(|e| broken("landlock", &e))?;
    let filter = install_session_filter().map_err(|e| broken("seccomp", &e))?;
    let hello = GuardHello {
        session: session.clone(),
        monitor: own_pid(),
        listener: filter.listener.as_raw_fd(),
        landlock,
        waitkill: filter.waitkill,
    };
    guard.send(&hello).map_err(|e| broken("jump-guard", &e))?;
    let answer = guard.recv::<GuardAnswer>();
    // The last copy must be the guard's: when it dies, the kernel answers ENOSYS to every waiting call.
    drop(filter);
    match answer {
        Ok(Some(GuardAnswer::Ready)) => Ok(guard),
        Ok(Some(GuardAnswer::Failed { detail })) => {
            Err(Failure::Broken(format!("jump-guard: {detail}")))
        }
        Ok(None) => Err(Failure::Broken(
            "jump-guard closed the connection".to_owned(),
        )),
        Err(e) => Err(broken("jump-guard", &e)),
    }
}

/// The second `setcred`: as root, in the user's child, just before it gives up root.
///
/// sshd ignores a failure of this hook for logins by public key alone, so a
/// child without a guard exits here; the monitor sees that and closes the
/// connection in good order.
pub(crate) fn enter_user_child(pamh: &mut PamHandle) {
    match confine(GUARD.load(Ordering::Relaxed)) {
        Ok(()) => {}
        Err(why) => {
            pam::log(
                pamh,
                Priority::Error,
                &format!("session.refused outcome=failure reason=guard_failed detail=\"{why}\""),
            );
            jump_sys::process::exit_now(255);
        }
    }
}

fn confine(guard: RawFd) -> Result<(), String> {
    if guard < 0 {
        return Err("the session has no guard".to_owned());
    }
    // SAFETY: the descriptor was stored by `open`, which gave up its ownership
    // for the life of the process; this process inherited it by fork.
    let guard = unsafe { BorrowedFd::borrow_raw(guard) };
    jump_sys::process::couple_death(guard)
        .map_err(|e| format!("cannot tie the session to its guard: {e}"))?;
    // Under SELinux, sshd's transition to the user's domain needs the privilege to gain a new one.
    if !std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        jump_sys::process::set_no_new_privs().map_err(|e| format!("no_new_privs: {e}"))?;
    }
    let servers = name_servers(&std::fs::read_to_string(RESOLV_CONF).unwrap_or_default());
    jump_sys::process::set_resolver_options(resolver_options(servers));
    Ok(())
}

/// How many name servers resolv.conf(5) lists.
fn name_servers(resolv_conf: &str) -> usize {
    let keywords = resolv_conf
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    keywords.filter(|keyword| *keyword == "nameserver").count()
}

/// How sshd is to resolve the names of forwards, in the session's one process
/// for all its connections: they stand still meanwhile.
///
/// `single-request` makes glibc ask with send(2) on a connected socket, the
/// only way that the filter leaves to UDP. The rest keeps a resolver that is
/// silent from holding the session up for more than three seconds: glibc asks
/// at most three servers, each for a second, as often as `attempts` says.
fn resolver_options(servers: usize) -> &'static CStr {
    if servers > 1 {
        c"single-request timeout:1 attempts:1"
    } else {
        c"single-request timeout:1 attempts:2"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_silent_name_server_is_asked_twice_and_several_once() {
        let two = "# nameserver 192.0.2.9\nsearch example\nnameserver 192.0.2.1\n nameserver 2001:db8::1\nnameservers x\n";
        assert_eq!(name_servers(two), 2);
        assert_eq!(name_servers(""), 0);
        assert_eq!(resolver_options(2), c"single-request timeout:1 attempts:1");
        assert_eq!(resolver_options(0), resolver_options(1));
        assert_ne!(resolver_options(1), resolver_options(3));
    }
}
