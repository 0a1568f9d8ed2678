//! The user's own agent, forwarded by sshd (`ssh -A`), for the hops whose rule asks for it.
//!
//! sshd's child binds a socket to a path in `/tmp`, listens, and passes on what connects there. At that path every
//! process of the user's could connect, and the guard, which is somebody else, could not. So where jumpd lets the agent
//! come along, the guard binds the very socket in a place of its own: in a folder that nobody else may enter, where the
//! name is taken away again at once. What stays is a descriptor of the socket's inode, which only this guard has. By it
//! the guard connects ssh of a hop when jumpd says so. The path that sshd asked for never exists.
//!
//! The path opens nothing: it only tells sshd's wish for an agent's socket from others. Which socket
//! may then listen is told by its cookie, which no task can choose.

use crate::address::{self, Asked};
use crate::connect;
use crate::decision::{program, refuse, root_only};
use crate::guard::{Guard, ask, lock};
use jump_proto::{Reason, Reply, Request};
use jump_sys::process::{PidFd, TaskStatus};
use jump_sys::seccomp::{Answer, Connect, Notification, Row};
use jump_sys::socket::{self, Kind, RawAddress};
use nix::libc;
use nix::sys::socket::{Backlog, UnixAddr, bind, listen};
use std::fs::{OpenOptions, remove_file};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::Ordering;

/// As many connections as sshd lets wait (`SSH_LISTEN_BACKLOG`).
const MOST_WAITING: i32 = 128;

/// Agents that a session may bring one after another; sshd asks for one, and again only when it failed. Each is an event.
const MOST_BROUGHT: u32 = 8;

/// The socket on which sshd waits for those who want the agent.
#[derive(Debug)]
pub(crate) struct OwnAgent {
    cookie: u64,
    /// Its inode (`O_PATH`), which has no name any more.
    inode: OwnedFd,
}

impl OwnAgent {
    /// Binds a task's socket where nobody but this guard finds it.
    fn bind(folder: &Path, socket: &OwnedFd, cookie: u64) -> io::Result<Self> {
        let name = folder.join(format!("agent-{cookie:x}"));
        bind(socket.as_raw_fd(), &UnixAddr::new(&name)?)?;
        let inode = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_NOFOLLOW)
            .open(&name);
        remove_file(&name)?;
        Ok(Self {
            cookie,
            inode: inode?.into(),
        })
    }
}

/// bind(2): sshd's for an agent, if it may come along; everything else as the row says.
pub(crate) fn bind_asked(
    guard: &Guard,
    call: &Notification,
    row: &'static Row,
    errno: i32,
    to: Connect,
) {
    match sshds_socket(guard, call, to) {
        Some((socket, cookie)) if may_come(guard, cookie) => take(guard, call, &socket, cookie),
        _ => root_only(guard, call, row, errno, true),
    }
}

/// A copy of the socket, and its cookie, if this is sshd's child that wants to bind it for an agent.
fn sshds_socket(guard: &Guard, call: &Notification, to: Connect) -> Option<(OwnedFd, u64)> {
    let task = PidFd::open(call.tid).ok()?;
    let status = TaskStatus::read(call.tid).ok()?;
    if status.is_root() {
        return None;
    }
    let Ok(Asked::Path(path)) = address::read(call.tid, to.address, to.length) else {
        return None;
    };
    // sshd is what is neither jump-shell nor a hop's ssh.
    if !is_agents_path(&path, status.tgid) || program(guard, status.tgid).is_some() {
        return None;
    }
    let socket = task.get_fd(to.fd).ok()?;
    // It waited all the time, so everything that was read was its own.
    if !guard.listener.id_valid(call.id) {
        return None;
    }
    let kind = Kind::of(socket.as_fd()).ok()?;
    let cookie = socket::cookie(socket.as_fd()).ok()?;
    let fits = kind.domain == libc::AF_UNIX && kind.kind == libc::SOCK_STREAM;
    fits.then_some((socket, cookie))
}

/// Whether sshd's process would listen there for an agent: `/tmp/ssh-XXXXXXXXXX/agent.PID` (session.c).
fn is_agents_path(path: &Path, process: i32) -> bool {
    path.to_str()
        .and_then(|path| path.strip_prefix("/tmp/ssh-")?.split_once('/'))
        .is_some_and(|(random, name)| {
            random.len() == 10
                && random.bytes().all(|b| b.is_ascii_alphanumeric())
                && name == format!("agent.{process}")
        })
}

/// Whether jumpd lets the agent come along; it writes that down.
fn may_come(guard: &Guard, cookie: u64) -> bool {
    let again = lock(&guard.agent)
        .as_ref()
        .is_some_and(|known| known.cookie == cookie);
    if again || guard.ending().is_some() {
        // A call that a signal interrupted comes again; its event is written.
        return again;
    }
    if guard.agents_brought.fetch_add(1, Ordering::Relaxed) >= MOST_BROUGHT {
        return false;
    }
    let session = guard.session.clone();
    judged(guard, &Request::BringAgent { session }, "bring the agent")
}

/// jumpd's answer; no answer is a no.
fn judged(guard: &Guard, question: &Request, what: &str) -> bool {
    match ask(guard, question) {
        Ok(Reply::Judged { allowed, .. }) => allowed,
        other => {
            let why = other.map_or_else(|e| e.to_string(), |_| "not an answer".to_owned());
            guard.complain(format_args!(
                "{what}: refused, reason={}: jumpd: {why}",
                Reason::Unavailable
            ));
            false
        }
    }
}

/// Binds the socket for sshd, which may then listen.
fn take(guard: &Guard, call: &Notification, socket: &OwnedFd, cookie: u64) {
    let mut agent = lock(&guard.agent);
    let bound = if agent.as_ref().is_some_and(|known| known.cookie == cookie) {
        Ok(())
    } else {
        OwnAgent::bind(&guard.places.agents, socket, cookie).map(|new| *agent = Some(new))
    };
    drop(agent);
    let answer = match bound {
        Ok(()) => Answer::Return(0),
        Err(e) => {
            guard.complain(format_args!("cannot bind the agent's socket: {e}"));
            Answer::Errno(libc::EACCES)
        }
    };
    guard.answer(call.id, answer);
}

/// listen(2): of the socket that was bound here, and of no other.
pub(crate) fn listen_asked(
    guard: &Guard,
    call: &Notification,
    row: &'static Row,
    errno: i32,
    (fd, backlog): (i32, i32),
) {
    let Some(socket) = bound_here(guard, call, fd) else {
        return refuse(guard, call, row, errno);
    };
    let backlog = Backlog::new(backlog.clamp(0, MOST_WAITING)).unwrap_or(Backlog::MAXCONN);
    let answer = match listen(&socket, backlog) {
        Ok(()) => Answer::Return(0),
        Err(errno) => Answer::Errno(errno as i32),
    };
    guard.answer(call.id, answer);
}

/// A copy of the task's socket, if it is the one that was bound here.
fn bound_here(guard: &Guard, call: &Notification, fd: i32) -> Option<OwnedFd> {
    let bound = lock(&guard.agent).as_ref().map(|agent| agent.cookie)?;
    let socket = PidFd::open(call.tid).ok()?.get_fd(fd).ok()?;
    let cookie = socket::cookie(socket.as_fd()).ok()?;
    (guard.listener.id_valid(call.id) && cookie == bound).then_some(socket)
}

/// Connects the socket of a hop's ssh to the agent, if jumpd says that its hop logs in with it.
///
/// `None` when the call no longer waits.
pub(crate) fn connect_ssh(
    guard: &Guard,
    call: &Notification,
    socket: BorrowedFd<'_>,
    process: i32,
) -> Option<Answer> {
    let question = Request::UseAgent {
        session: guard.session.clone(),
        pid: process,
    };
    if !judged(guard, &question, "use the agent") || guard.ending().is_some() {
        return Some(Answer::Errno(libc::EACCES));
    }
    let agent = lock(&guard.agent);
    let inode = agent
        .as_ref()
        .and_then(|agent| agent.inode.try_clone().ok());
    drop(agent);
    let Some(inode) = inode else {
        return Some(Answer::Errno(libc::ECONNREFUSED));
    };
    let to = RawAddress::unix(Path::new(&format!("/proc/self/fd/{}", inode.as_raw_fd())))?;
    connect::once(guard, call, socket, &to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn only_sshds_own_path_is_an_agents() {
        let is = |path: &str| is_agents_path(Path::new(path), 4711);
        assert!(is("/tmp/ssh-XXXXabcdef/agent.4711"));
        assert!(is("/tmp/ssh-0123456789/agent.4711"));
        for other in [
            "/tmp/ssh-XXXXabcdef/agent.4712",
            "/tmp/ssh-XXXXabcdef/agent.4711x",
            "/tmp/ssh-XXXXabcdef/agent.",
            "/tmp/ssh-XXXXabcde/agent.4711",
            "/tmp/ssh-XXXXabcdefg/agent.4711",
            "/tmp/ssh-XXXX../../x/agent.4711",
            "/tmp/ssh-XXXXabcdef/x/agent.4711",
            "/tmp/ssh-XXXXabcd.f/agent.4711",
            "tmp/ssh-XXXXabcdef/agent.4711",
            "/var/tmp/ssh-XXXXabcdef/agent.4711",
            "/tmp/mine",
            "",
        ] {
            assert!(!is(other), "{other:?}");
        }
    }

    #[test]
    fn a_bound_socket_has_no_name_and_is_reached_by_its_inode() {
        let folder = tempfile::tempdir().unwrap();
        let new = || {
            nix::sys::socket::socket(
                nix::sys::socket::AddressFamily::Unix,
                nix::sys::socket::SockType::Stream,
                nix::sys::socket::SockFlag::SOCK_CLOEXEC,
                None,
            )
            .unwrap()
        };
        let socket = new();
        let cookie = socket::cookie(socket.as_fd()).unwrap();
        let agent = OwnAgent::bind(folder.path(), &socket, cookie).unwrap();
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
        listen(&socket, Backlog::new(1).unwrap()).unwrap();
        let path = format!("/proc/self/fd/{}", agent.inode.as_raw_fd());
        let asking = new();
        socket::connect(asking.as_fd(), &RawAddress::unix(Path::new(&path)).unwrap()).unwrap();
        UnixStream::from(asking).write_all(b"hello").unwrap();
        let mut heard = String::new();
        let (mut accepted, _) = UnixListener::from(socket).accept().unwrap();
        accepted.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello");
    }

    #[test]
    fn a_socket_that_has_a_name_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let bound = UnixListener::bind(folder.path().join("own")).unwrap();
        let cookie = socket::cookie(bound.as_fd()).unwrap();
        assert!(OwnAgent::bind(folder.path(), &bound.into(), cookie).is_err());
    }
}
