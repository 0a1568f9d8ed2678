//! How a session's guard takes its post.
//!
//! `pam_jump` waits meanwhile, in sshd's root monitor, before the user's child
//! exists. It is told "ready" only when the listener is held and jumpd knows
//! the guard; whatever fails before makes the session end.

use crate::guard::{Guard, Post};
use crate::places::Places;
use jump_proto::handshake::{GuardAnswer, GuardHello};
use jump_proto::{Channel, Reply, Request, SessionId, TIMEOUT};
use jump_sys::process::PidFd;
use jump_sys::seccomp::Listener;
use std::path::Path;
use std::time::Duration;

/// How long `pam_jump` may take from connecting to its hello.
const HELLO: Duration = Duration::from_secs(5);

/// Guards one session, from `pam_jump`'s hello to the end of its last process.
///
/// # Errors
/// What failed before the guard was at its post; `pam_jump` has been told.
pub fn serve(connection: Channel, places: &Places) -> Result<(), String> {
    let (post, jumpd) = match take_post(&connection, places) {
        Ok(taken) => taken,
        Err(detail) => {
            // A monitor that is gone needs no answer.
            let _gone = connection.send(&GuardAnswer::Failed {
                detail: detail.clone(),
            });
            return Err(detail);
        }
    };
    let guard = Guard::prepare(post, places.clone()).map_err(|e| e.to_string())?;
    // The last thing ever sent here: from now on any news on this connection
    // kills the user's sshd child (jump_sys::process::couple_death).
    connection
        .send(&GuardAnswer::Ready)
        .map_err(|e| format!("sshd did not wait: {e}"))?;
    let kept_open_until_the_end = connection;
    guard.stand(jumpd);
    drop(kept_open_until_the_end);
    Ok(())
}

fn take_post(connection: &Channel, places: &Places) -> Result<(Post, Channel), String> {
    let peer = connection.peer().map_err(|e| e.to_string())?;
    connection
        .set_timeout(Some(HELLO))
        .map_err(|e| e.to_string())?;
    let hello: GuardHello = connection
        .recv()
        .map_err(|e| format!("no hello: {e}"))?
        .ok_or("sshd closed the connection before its hello")?;
    // Read first: closing with a message unread would reset the connection and lose the answer.
    if peer.uid != 0 {
        return Err(format!("uid {} may not hand over a session", peer.uid));
    }
    let listener = PidFd::open_process(peer.pid)
        .and_then(|monitor| monitor.get_fd(hello.listener))
        .and_then(Listener::new)
        .map_err(|e| {
            format!(
                "cannot take the session's listener from sshd (process {}): {e}; \
                 kernel.yama.ptrace_scope=3 and SELinux' deny_ptrace forbid it even to CAP_SYS_PTRACE",
                peer.pid
            )
        })?;
    listener.wake_synchronously();
    let sandbox = sandbox(&hello);
    let (jumpd, ends_ms) = attach(&places.jumpd, &hello.session, &sandbox).map_err(|e| e.detail)?;
    let post = Post {
        session: hello.session,
        monitor: peer.pid,
        waitkill: hello.waitkill,
        sandbox,
        listener,
        ends_ms,
    };
    Ok((post, jumpd))
}

/// The layers in force, as `JUMP_SANDBOX` says them.
fn sandbox(hello: &GuardHello) -> String {
    match hello.landlock {
        0 => "seccomp".to_owned(),
        level => format!("seccomp+landlock{level}"),
    }
}

/// Why jumpd did not take the guard.
#[derive(Debug)]
pub(crate) struct NotAttached {
    /// jumpd answered, and the answer is no.
    pub(crate) refused: bool,
    /// In words.
    pub(crate) detail: String,
}

/// Reports to jumpd; the connection then carries what jumpd pushes, and the
/// time is when the session must end.
pub(crate) fn attach(
    jumpd: &Path,
    session: &SessionId,
    sandbox: &str,
) -> Result<(Channel, Option<i64>), NotAttached> {
    let unanswered = |detail: String| NotAttached {
        refused: false,
        detail,
    };
    let channel =
        Channel::connect(jumpd, TIMEOUT).map_err(|e| unanswered(format!("jumpd: {e}")))?;
    let attach = Request::Attach {
        session: session.clone(),
        sandbox: sandbox.to_owned(),
    };
    match channel
        .call(&attach)
        .map_err(|e| unanswered(format!("jumpd: {e}")))?
    {
        Reply::Attached { ends_ms } => {
            channel
                .set_timeout(None)
                .map_err(|e| unanswered(e.to_string()))?;
            Ok((channel, ends_ms))
        }
        Reply::Refused { reason, message } => Err(NotAttached {
            refused: true,
            detail: format!("jumpd refuses: {reason}: {message}"),
        }),
        _ => Err(unanswered("jumpd: not an answer to attach".to_owned())),
    }
}
