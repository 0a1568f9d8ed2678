//! What becomes of one call that waits.
//!
//! The order is that of seccomp_unotify(2): name the task by a pidfd, copy
//! what it passed, ask whether the call still waits (else the number named
//! someone else), take a copy of its socket, ask again, and from then on use
//! copies only.

use crate::address::{self, Asked, canonical};
use crate::connect;
use crate::descent::ancestors;
use crate::end;
use crate::guard::{Guard, ask};
use crate::own_agent;
use crate::unix::{Access, access};
use jump_proto::{JudgeRequest, Reason, Reply, Request, Via};
use jump_sys::process::{PidFd, TaskStatus};
use jump_sys::seccomp::{Answer, Call, Connect, Foreign, Notification, Row};
use jump_sys::socket::{self, Kind, RawAddress};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{UnixAddr, bind, getsockname, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use std::net::{SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The longest that a task waits to send one log line, in milliseconds.
const LOG_LINE: i64 = 250;

/// A call that takes time to decide, since jumpd is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Slow {
    Connect(Connect),
    Bind {
        row: &'static Row,
        errno: i32,
        to: Connect,
    },
}

/// Answers a call that takes no time to decide. One that does is handed back, for [`decide`].
pub(crate) fn at_once(guard: &Guard, waiting: &Notification) -> Option<Slow> {
    match waiting.call() {
        Call::Connect(connect) => return Some(Slow::Connect(connect)),
        Call::Bind { row, errno, to } => return Some(Slow::Bind { row, errno, to }),
        Call::Listen {
            row,
            errno,
            fd,
            backlog,
        } => own_agent::listen_asked(guard, waiting, row, errno, (fd, backlog)),
        Call::Foreign(foreign) => end_foreigner(guard, waiting, foreign),
        Call::Forbidden { row, errno } => refuse(guard, waiting, row, errno),
        Call::RootOnly { row, errno, told } => root_only(guard, waiting, row, errno, told),
        Call::Unknown => {
            guard.answer(waiting.id, Answer::Errno(libc::EPERM));
            guard.complain(format_args!("the filter is not the one of this guard"));
        }
    }
    None
}

/// Answers a call that takes time.
pub(crate) fn decide(guard: &Guard, call: &Notification, question: Slow) {
    match question {
        Slow::Connect(connect) => decide_connect(guard, call, connect),
        Slow::Bind { row, errno, to } => own_agent::bind_asked(guard, call, row, errno, to),
    }
}

/// Ends a process that calls by another architecture's numbers.
///
/// Its call never runs, whatever becomes of the process.
fn end_foreigner(guard: &Guard, waiting: &Notification, foreign: Foreign) {
    let process = TaskStatus::read(waiting.tid).and_then(|status| PidFd::open_process(status.tgid));
    // Only while it waits is the process the one that was looked up.
    if guard.listener.id_valid(waiting.id) {
        match process {
            // Gone is well.
            Ok(process) => drop(process.send_signal(libc::SIGKILL)),
            Err(e) => guard.complain(format_args!("cannot end task {}: {e}", waiting.tid)),
        }
    }
    guard.answer(waiting.id, Answer::Errno(libc::ENOSYS));
    guard.refused_call(
        "foreign",
        format!("{foreign}: the filter knows this host's own numbers only; the process was ended"),
    );
}

pub(crate) fn refuse(guard: &Guard, waiting: &Notification, row: &Row, errno: i32) {
    note_member(guard, waiting);
    guard.answer(waiting.id, Answer::Errno(errno));
    guard.refused_call(row.call, format!("{}(2): {}", row.call, row.why));
}

/// Notes the caller among the session's processes, while it waits and cannot be another.
fn note_member(guard: &Guard, waiting: &Notification) {
    if let Ok(status) = TaskStatus::read(waiting.tid)
        && guard.listener.id_valid(waiting.id)
        && !status.is_root()
    {
        guard.members().note(status.tgid);
    }
}

/// Calls that sshd's root monitor needs and nobody else gets.
///
/// To let root's run as it stands is sound: its pointers may change, but a
/// process that is root all through is sshd itself, before it became the user.
pub(crate) fn root_only(guard: &Guard, waiting: &Notification, row: &Row, errno: i32, told: bool) {
    let status = TaskStatus::read(waiting.tid);
    let still_waits = guard.listener.id_valid(waiting.id);
    match status {
        // Nobody waits: there is nothing to answer, and nothing that ran.
        Ok(status) if status.is_root() => {
            if still_waits {
                guard.answer(waiting.id, Answer::Continue);
            }
            return;
        }
        Ok(status) if still_waits => guard.members().note(status.tgid),
        // Whoever it was, it is refused: also one that went away at once, to leave no trace.
        Ok(_) | Err(_) => {}
    }
    if told {
        // First: the task's next call may be refused by another thread.
        guard.refused_call(row.call, format!("{}(2): {}", row.call, row.why));
    }
    guard.answer(waiting.id, Answer::Errno(errno));
}

/// A connect, from the copy of what was asked to the answer.
fn decide_connect(guard: &Guard, call: &Notification, connect: Connect) {
    // Nothing to answer: the call has been interrupted, or its task is dead.
    let Some(question) = Question::of(guard, call, connect) else {
        return;
    };
    let answer = match question {
        Ok(question) => question.answer(guard, call),
        Err(answer) => Some(answer),
    };
    if let Some(answer) = answer {
        guard.answer(call.id, answer);
    }
}

/// What is asked, in copies that the task cannot change.
struct Question {
    socket: OwnedFd,
    kind: Kind,
    asked: Asked,
    tgid: i32,
}

impl Question {
    /// `None` when the call no longer waits; `Err` when it is answered already.
    fn of(guard: &Guard, call: &Notification, connect: Connect) -> Option<Result<Self, Answer>> {
        let task = PidFd::open(call.tid);
        let status = TaskStatus::read(call.tid);
        let asked = address::read(call.tid, connect.address, connect.length);
        if !guard.listener.id_valid(call.id) {
            return None;
        }
        let (task, status) = match (task, status) {
            (Ok(task), Ok(status)) => (task, status),
            (Err(e), _) | (_, Err(e)) => {
                guard.complain(format_args!("cannot look at task {}: {e}", call.tid));
                return Some(Err(Answer::Errno(libc::ECONNABORTED)));
            }
        };
        if status.is_root() {
            // sshd's monitor: syslog, D-Bus, NSS. Landlock still keeps it from TCP.
            if matches!(
                asked,
                Ok(Asked::Path(_) | Asked::Abstract | Asked::Unspecified)
            ) {
                return Some(Err(Answer::Continue));
            }
        } else {
            guard.members().note(status.tgid);
        }
        let socket = task.get_fd(connect.fd);
        if !guard.listener.id_valid(call.id) {
            return None;
        }
        let socket = match socket {
            Ok(socket) => socket,
            Err(e) if e.raw_os_error() == Some(libc::EBADF) => {
                return Some(Err(Answer::Errno(libc::EBADF)));
            }
            Err(e) => {
                guard.complain(format_args!(
                    "cannot take the socket of task {}: {e}",
                    call.tid
                ));
                return Some(Err(Answer::Errno(libc::ECONNABORTED)));
            }
        };
        // The kernel looks at the socket before it looks at the address.
        let Ok(kind) = Kind::of(socket.as_fd()) else {
            return Some(Err(Answer::Errno(libc::ENOTSOCK)));
        };
        let asked = match asked {
            Ok(asked) => asked,
            Err(errno) => return Some(Err(Answer::Errno(errno as i32))),
        };
        Some(Ok(Self {
            socket,
            kind,
            asked,
            tgid: status.tgid,
        }))
    }

    fn answer(&self, guard: &Guard, call: &Notification) -> Option<Answer> {
        let errno = |errno: Errno| Some(Answer::Errno(errno as i32));
        if guard.ending().is_some() {
            return errno(Errno::EACCES);
        }
        if self.kind.domain == libc::AF_UNIX {
            return self.answer_unix(guard, call);
        }
        if !self.kind.is_tcp() && !self.kind.is_udp() {
            guard.refused_locally(Reason::BadProtocol, None);
            return errno(Errno::EPROTONOSUPPORT);
        }
        let to = match &self.asked {
            Asked::Inet(to) => *to,
            // glibc sorts addresses with one UDP socket that it dissolves in between.
            Asked::Unspecified if self.kind.is_udp() => {
                return connect::once(guard, call, self.socket.as_fd(), &RawAddress::unspecified());
            }
            // Dissolving a TCP connection wipes its byte counts (jump_sys::sockdiag).
            Asked::Unspecified => {
                guard.refused_locally(Reason::BadProtocol, None);
                return errno(Errno::EACCES);
            }
            _ => return errno(Errno::EAFNOSUPPORT),
        };
        let Some(raw) = self.spelled_for_the_socket(to) else {
            return errno(Errno::EAFNOSUPPORT);
        };
        self.answer_inet(guard, call, canonical(to), &raw)
    }

    /// The address in the family of the socket, as the kernel would take it.
    fn spelled_for_the_socket(&self, to: SocketAddr) -> Option<RawAddress> {
        match (self.kind.domain, to) {
            (libc::AF_INET, SocketAddr::V4(_)) | (libc::AF_INET6, SocketAddr::V6(_)) => {
                Some(RawAddress::inet(to))
            }
            // Only UDP takes an IPv4 address on an IPv6 socket (measured).
            (libc::AF_INET6, SocketAddr::V4(v4)) if self.kind.is_udp() => {
                let mapped = SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0);
                Some(RawAddress::inet(mapped.into()))
            }
            _ => None,
        }
    }

    fn answer_unix(&self, guard: &Guard, call: &Notification) -> Option<Answer> {
        let path = match &self.asked {
            Asked::Path(path) => path,
            Asked::Unspecified => {
                return connect::once(guard, call, self.socket.as_fd(), &RawAddress::unspecified());
            }
            Asked::Abstract => {
                guard.refused_locally(Reason::BadProtocol, None);
                return Some(Answer::Errno(libc::EACCES));
            }
            _ => return Some(Answer::Errno(libc::EINVAL)),
        };
        match access(&guard.places, self.kind, path, || program(guard, self.tgid)) {
            // What program a task runs was read from its number: it must still wait.
            Access::Connect(_) | Access::ConnectNamed(_) | Access::OwnAgent
                if !guard.listener.id_valid(call.id) =>
            {
                None
            }
            Access::OwnAgent => own_agent::connect_ssh(guard, call, self.socket.as_fd(), self.tgid),
            Access::ConnectNamed(path) => {
                if let Err(errno) = name_process(self.socket.as_fd(), self.tgid) {
                    return Some(Answer::Errno(errno as i32));
                }
                let raw = RawAddress::unix(&path)?;
                connect::once(guard, call, self.socket.as_fd(), &raw)
            }
            Access::Connect(path) => {
                if self.kind.kind == libc::SOCK_DGRAM {
                    hurry_log_lines(self.socket.as_fd());
                }
                let raw = RawAddress::unix(&path)?;
                connect::once(guard, call, self.socket.as_fd(), &raw)
            }
            Access::Refuse => {
                if guard.refused_locally(Reason::BadProtocol, None) {
                    guard.complain(format_args!(
                        "connect to the socket {} refused",
                        path.display()
                    ));
                }
                Some(Answer::Errno(libc::EACCES))
            }
            Access::RefuseQuietly => Some(Answer::Errno(libc::EACCES)),
        }
    }

    fn answer_inet(
        &self,
        guard: &Guard,
        call: &Notification,
        to: SocketAddr,
        raw: &RawAddress,
    ) -> Option<Answer> {
        let tcp = self.kind.is_tcp();
        let Ok(cookie) = socket::cookie(self.socket.as_fd()) else {
            guard.refused_locally(Reason::Internal, Some(to));
            return Some(Answer::Errno(libc::EACCES));
        };
        let _busy = if tcp {
            match guard.connects.begin(cookie) {
                Some(busy) => Some(busy),
                // As connect(2) says of a socket whose connecting goes on.
                None => return Some(Answer::Errno(libc::EALREADY)),
            }
        } else {
            None
        };
        if guard.connects.completed_before(cookie, to) {
            return Some(Answer::Return(0));
        }
        let (via, hop) = match program(guard, self.tgid) {
            Some(Program::Shell) => (Via::Shell, false),
            Some(Program::Ssh) => (Via::Shell, true),
            None => (Via::Forward, false),
        };
        let ancestors = if hop {
            ancestors(self.tgid)
        } else {
            Vec::new()
        };
        // What was read from a number was the caller's only if it still waits.
        if !guard.listener.id_valid(call.id) {
            return None;
        }
        // A cut that comes while jumpd is asked, or while the socket connects, undoes the answer.
        let turn = guard.cuts.turn();
        let question = Request::Judge(JudgeRequest {
            session: guard.session.clone(),
            destination: to,
            tcp,
            via,
            cookie,
            pid: self.tgid,
            hop,
            ancestors,
        });
        match ask(guard, &question) {
            Ok(Reply::Judged { allowed: true, .. }) => {}
            Ok(Reply::Judged { .. }) => return Some(Answer::Errno(libc::EACCES)),
            other => {
                // jumpd cannot say so itself, and every refusal must stand in a journal.
                let why = other.map_or_else(|e| e.to_string(), |_| "not an answer".to_owned());
                guard.complain(format_args!(
                    "forward.denied outcome=failure reason={} dst_ip={} dst_port={}: jumpd: {why}",
                    Reason::Unavailable,
                    to.ip(),
                    to.port()
                ));
                return Some(Answer::Errno(libc::EACCES));
            }
        }
        if guard.ending().is_some() {
            return Some(Answer::Errno(libc::EACCES));
        }
        if tcp {
            socket::wait_for_fin(self.socket.as_fd());
            // Noted before: a handshake that is under way when the session ends leads out too.
            guard.connects.opened(cookie);
        }
        let errno = connect::patiently(guard, call, self.socket.as_fd(), raw)?;
        if guard.cuts.since(turn, cookie) {
            if let Ok(copy) = self.socket.try_clone() {
                end::reset(guard, &[(cookie, copy)]);
            }
            return Some(Answer::Errno(libc::EACCES));
        }
        let done = errno == 0;
        if done && !guard.waitkill {
            // A signal may interrupt the call from here on; its handler over, it comes again.
            guard.connects.remember(cookie, to);
        }
        if tcp {
            let connected = Request::Connected {
                session: guard.session.clone(),
                cookie,
                errno,
            };
            if let Err(e) = ask(guard, &connected) {
                guard.complain(format_args!(
                    "jumpd was not told of connect to {to} ({errno}): {e}"
                ));
            }
        }
        let answer = if done {
            Answer::Return(0)
        } else {
            Answer::Errno(errno)
        };
        if guard.answer(call.id, answer) {
            guard.connects.forget(cookie, to);
        }
        None
    }
}

/// A task that writes a log line to a syslog that nobody reads loses the line
/// and goes on: sshd has one process for all connections of a session, and
/// they would stand still with it. The C library tries each line twice.
fn hurry_log_lines(socket: BorrowedFd<'_>) {
    // Without it the task waits as it would without a guard.
    let _as_it_was = setsockopt(
        &socket,
        sockopt::SendTimeout,
        &TimeVal::milliseconds(LOG_LINE),
    );
}

/// Device and inode of a program.
pub(crate) fn identity(program: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(program)
        .ok()
        .map(|meta| (meta.dev(), meta.ino()))
}

/// A program of a session that is told apart from sshd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// jump-shell.
    Shell,
    /// The OpenSSH client of a hop: nothing else in a session starts it.
    Ssh,
}

/// Which program the process runs: the one of now, or the one from before an upgrade.
pub(crate) fn program(guard: &Guard, tgid: i32) -> Option<Program> {
    let runs = identity(Path::new(&format!("/proc/{tgid}/exe")));
    let is = |before: Option<(u64, u64)>, path: &Path| {
        runs.is_some() && (runs == before || runs == identity(path))
    };
    if is(guard.shell, &guard.places.shell) {
        Some(Program::Shell)
    } else if is(guard.ssh, &guard.places.ssh) {
        Some(Program::Ssh)
    } else {
        None
    }
}

/// Gives the socket the name by which jumpd knows for which process the guard connects it
/// ([`jump_proto::asker_name`]). A socket that has another name is refused: it is not for us to believe.
fn name_process(socket: BorrowedFd<'_>, tgid: i32) -> Result<(), Errno> {
    let name = jump_proto::asker_name(tgid, socket::cookie(socket).map_err(|_| Errno::EACCES)?);
    let address = UnixAddr::new_abstract(name.as_bytes())?;
    match bind(socket.as_raw_fd(), &address) {
        // The same call once more, after a signal.
        Err(Errno::EINVAL) if getsockname(socket.as_raw_fd()) == Ok(address) => Ok(()),
        named => named,
    }
}
