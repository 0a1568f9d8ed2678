//! `pam_jump.so`: what sshd asks, put to jumpd; what jumpd answers, told to sshd.
//!
//! The module lives inside sshd, as root, so it decides nothing and keeps
//! nothing. Each hook is one question to jumpd; every error, timeout or panic
//! on the way is a denial. To everyone outside the policy's groups, root
//! first, the module says `PAM_IGNORE`, with jumpd dead as well.
//!
//! Which hook runs where is measured sshd behaviour (the same for 9.2 to 10.5):
//! `authenticate` and `account` of a keyboard-interactive login run in a child
//! of the monitor, whose PAM environment, and nothing else, comes back;
//! `open_session` runs in the root monitor before the user's child is forked;
//! `setcred` runs a second time, as root, in that child.

mod ask;
mod pam;
mod scope;
mod session;
#[cfg(feature = "weaken")]
mod weaken;

use ::pam::constants::{PAM_DELETE_CRED, PamFlag, PamResultCode};
use ::pam::module::{PamHandle, PamHooks};
use scope::Scope;
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

struct Jump;

/// The C entry points, each behind `catch_unwind`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::undocumented_unsafe_blocks,
    clippy::wildcard_imports,
    reason = "written by pam_hooks!"
)]
mod hooks {
    use super::Jump;
    ::pam::pam_hooks!(Jump);
}

/// A panic must not write to sshd's standard error, which may be the client's connection.
/// The hook is this library's own: a cdylib carries its own copy of std.
fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
}

/// Runs `hook` for a login of the policy; `PAM_IGNORE` for everyone else.
fn for_jump_users(
    pamh: &mut PamHandle,
    refused: PamResultCode,
    hook: impl FnOnce(&mut PamHandle, scope::Member) -> PamResultCode,
) -> PamResultCode {
    silence_panics();
    let user = match pamh.get_user(None) {
        Ok(user) => user,
        Err(_) => {
            pam::log(
                pamh,
                pam::Priority::Error,
                "refused: PAM gives no user name",
            );
            return refused;
        }
    };
    match scope::of(&user) {
        Scope::Outside => PamResultCode::PAM_IGNORE,
        Scope::Member(member) => hook(pamh, member),
        Scope::Unknown(why) => {
            let text = format!(
                "user={user:?} refused: cannot tell whether the policy speaks of this user: {why}"
            );
            pam::log(pamh, pam::Priority::Error, &text);
            refused
        }
    }
}

impl PamHooks for Jump {
    fn sm_authenticate(pamh: &mut PamHandle, _: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        for_jump_users(pamh, PamResultCode::PAM_AUTH_ERR, |pamh, member| {
            #[cfg(feature = "weaken")]
            weaken::panic_where_told("authenticate");
            ask::authenticate(pamh, &member)
        })
    }

    fn acct_mgmt(pamh: &mut PamHandle, _: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        for_jump_users(pamh, PamResultCode::PAM_PERM_DENIED, |pamh, member| {
            #[cfg(feature = "weaken")]
            weaken::panic_where_told("account");
            ask::account(pamh, &member)
        })
    }

    fn sm_setcred(pamh: &mut PamHandle, _: Vec<&CStr>, flags: PamFlag) -> PamResultCode {
        silence_panics();
        if flags & PAM_DELETE_CRED != 0 {
            return PamResultCode::PAM_SUCCESS;
        }
        if session::in_user_child() {
            // sshd ignores the answer after a login by key alone, so a panic has to end the child.
            let enter = AssertUnwindSafe(|| {
                #[cfg(feature = "weaken")]
                weaken::panic_where_told("enter");
                session::enter_user_child(pamh);
            });
            if catch_unwind(enter).is_err() {
                jump_sys::process::exit_now(255);
            }
            return PamResultCode::PAM_SUCCESS;
        }
        for_jump_users(pamh, PamResultCode::PAM_CRED_ERR, |pamh, member| {
            #[cfg(feature = "weaken")]
            weaken::panic_where_told("establish");
            session::before_or_without_session(pamh);
            session::limit_lifetime(pamh, &member);
            PamResultCode::PAM_SUCCESS
        })
    }

    fn sm_open_session(pamh: &mut PamHandle, _: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        for_jump_users(pamh, PamResultCode::PAM_SESSION_ERR, |pamh, member| {
            #[cfg(feature = "weaken")]
            weaken::panic_where_told("open");
            session::open(pamh, &member)
        })
    }

    /// Nothing to do: a session ends when its last process does, which the
    /// guard sees in the kernel. sshd does not call this hook at all when its
    /// monitor is killed.
    fn sm_close_session(pamh: &mut PamHandle, _: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        for_jump_users(pamh, PamResultCode::PAM_SUCCESS, |_, _| {
            PamResultCode::PAM_SUCCESS
        })
    }
}
