//! The listener: accepts `pam_jump`'s connections and forks a process for each.
//!
//! It has one thread and no state, so a restart or an upgrade replaces it
//! without touching a running session: those processes are on their own. It
//! looks after one thing only: a guard that somebody stopped is continued, and
//! killed if that does not last, since a session must not hang on it.

use crate::places::Places;
use crate::post::serve;
use crate::report::{complain, never_wait};
use crate::stopped::Stopped;
use jump_proto::{Channel, paths};
use jump_sys::process::{Fork, disown_children, fork, set_name, set_nondumpable};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How often the guards are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long a call may wait for a session, in milliseconds.
const WAIT: u16 = 500;

/// `CAP_KILL` and `CAP_SYS_PTRACE` (linux/capability.h).
const NEEDED: u64 = 1 << 5 | 1 << 19;

/// Serves the socket that systemd passed, for ever.
#[must_use]
pub fn run() -> ExitCode {
    let served = prepare().and_then(next_session).map(|connection| {
        // From here on this is a session's own process.
        if let Err(e) = guard_one(connection) {
            complain(format_args!("jump-guard: no session is guarded: {e}"));
        }
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            complain(format_args!("jump-guard: {e}"));
            ExitCode::FAILURE
        }
    }
}

fn prepare() -> io::Result<UnixListener> {
    if !has_capabilities()? {
        return Err(io::Error::other(
            "CAP_SYS_PTRACE and CAP_KILL are missing; let systemd start it: systemctl start jump-guard.socket",
        ));
    }
    let (_, socket) = jump_sys::activation::sockets()?
        .into_iter()
        .next()
        .ok_or_else(|| {
            io::Error::other(format!(
                "nobody passed {}; let systemd start it: systemctl start jump-guard.socket",
                paths::GUARD_SOCKET
            ))
        })?;
    never_wait();
    set_nondumpable()?;
    disown_children()?;
    // It is SOCK_SEQPACKET; std only needs a descriptor to accept from.
    Ok(UnixListener::from(socket))
}

/// Accepts and forks for ever; returns in the processes it forks.
fn next_session(listener: UnixListener) -> io::Result<Channel> {
    listener.set_nonblocking(true)?;
    let mut stopped = Stopped::default();
    let mut looked = Instant::now();
    loop {
        if looked.elapsed() >= LOOK {
            stopped.look();
            looked = Instant::now();
        }
        let mut news = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        if poll(&mut news, PollTimeout::from(WAIT)).is_err() || !news[0].any().unwrap_or(false) {
            continue;
        }
        let connection = match listener.accept() {
            Ok((connection, _)) => OwnedFd::from(connection),
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) =>
            {
                continue;
            }
            Err(e) => {
                complain(format_args!("jump-guard: cannot accept a session: {e}"));
                // Out of descriptors or memory; sshd waits for seconds, so a pause costs nothing.
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
        };
        match fork() {
            Ok(Fork::Child) => {
                drop(listener);
                return Ok(Channel::from(connection));
            }
            // Its copy is the child's alone now, so that its end is seen at once.
            Ok(Fork::Parent(_)) => {}
            Err(e) => complain(format_args!(
                "jump-guard: cannot start a session's process: {e}"
            )),
        }
    }
}

fn guard_one(connection: Channel) -> Result<(), String> {
    // A thread that panics owes a task an answer that will never come. The end
    // of the whole process makes the kernel give it, and kill the user's sshd.
    std::panic::set_hook(Box::new(|info| {
        complain(format_args!(
            "jump-guard: this session's guard ends: {info}"
        ));
        std::process::abort();
    }));
    let _only_for_ps = set_name(c"guard-session");
    // A session of its own: a signal to the listener's process group is not for it.
    let _already_leader = nix::unistd::setsid();
    serve(connection, &Places::default())
}

fn has_capabilities() -> io::Result<bool> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    Ok(effective.is_some_and(|caps| caps & NEEDED == NEEDED))
}
