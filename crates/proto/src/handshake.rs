//! Between `pam_jump` and `jump-guard`: the hand-over of a session's seccomp listener.
//!
//! `pam_jump` connects, installs the filter, sends [`GuardHello`] with the
//! *number* of the listener, and waits for [`GuardAnswer`]; the guard takes its
//! copy by pidfd_getfd(2) from the process that the kernel names as its peer.
//! `SCM_RIGHTS` would not do: it needs sendmsg(2), which the filter just
//! installed makes wait for the guard that does not have the listener yet.
//!
//! `pam_jump` keeps the listener open until the answer has come and closes it
//! then: the last copy must be the guard's, so that its death makes the kernel
//! refuse every call that waits for it. After [`GuardAnswer::Ready`] nothing
//! is ever sent on the connection again, in either direction: its closing is
//! the sign that the guard is gone.

use crate::SessionId;
use serde::{Deserialize, Serialize};

/// A session asks for its guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardHello {
    /// Which session.
    pub session: SessionId,
    /// Process id of sshd's privileged monitor.
    pub monitor: i32,
    /// Descriptor number of the seccomp listener in the sending process.
    pub listener: i32,
    /// Landlock ABI level obtained; 0 where there is none.
    pub landlock: u32,
    /// Whether a mediated call can only be interrupted by a fatal signal.
    pub waitkill: bool,
}

/// What the guard says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "guard", rename_all = "snake_case")]
pub enum GuardAnswer {
    /// At its post.
    Ready,
    /// Not; the session must end.
    Failed {
        /// What failed, for the admin.
        detail: String,
    },
}
