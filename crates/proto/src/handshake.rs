//! Between `pam_jump` and `jump-guard`: the hand-over of a session's seccomp listener.
//!
//! `pam_jump` connects, installs the filter, sends [`GuardHello`] with the
//! listener as `SCM_RIGHTS`, and waits for [`GuardAnswer`]. After
//! [`GuardAnswer::Ready`] nothing is ever sent on the connection again: its
//! closing is the sign that the guard is gone.

use crate::SessionId;
use serde::{Deserialize, Serialize};

/// A session asks for its guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardHello {
    /// Which session.
    pub session: SessionId,
    /// Process id of sshd's privileged monitor.
    pub monitor: i32,
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
