//! connect(2) on a task's behalf, and what outlives one call of it.

use crate::guard::{Guard, lock};
use jump_sys::process::Interruptible;
use jump_sys::seccomp::{Answer, Listener, Notification};
use jump_sys::socket::{self, RawAddress};
use nix::libc;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Sockets that are remembered before the closed ones among them are looked for.
const CROWD: usize = 8192;
/// How long a call waits for another one on the same socket.
const SAME_SOCKET: Duration = Duration::from_millis(500);
/// How long an interrupted call may take to come again.
const REMEMBERED: Duration = Duration::from_secs(10);

/// A session's connects.
#[derive(Default)]
pub(crate) struct Connects {
    /// Threads in connect(2), by the call they work for.
    waiting: Mutex<HashMap<u64, Interruptible>>,
    /// Connections that were made for a call that a signal then interrupted
    /// (only without `WAIT_KILLABLE_RECV`): the same call comes again, and
    /// connecting again would be answered with `EISCONN`.
    completed: Mutex<HashMap<(u64, SocketAddr), Instant>>,
    /// Cookies of every TCP socket that was connected here.
    opened: Mutex<HashSet<u64>>,
    /// Cookies of TCP sockets that are being judged and connected.
    busy: Mutex<HashSet<u64>>,
}

/// A TCP socket of which no second call is judged until this one has ended.
pub(crate) struct Busy<'c> {
    connects: &'c Connects,
    cookie: u64,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        lock(&self.connects.busy).remove(&self.cookie);
    }
}

impl Connects {
    /// Whether any thread is in connect(2).
    pub(crate) fn waiting(&self) -> bool {
        !lock(&self.waiting).is_empty()
    }

    /// Ends the connects whose calls no longer wait: their tasks have died or
    /// been interrupted. Repeated until the thread has noticed.
    pub(crate) fn interrupt_the_gone(&self, listener: &Listener) {
        for (id, thread) in &*lock(&self.waiting) {
            if !listener.id_valid(*id) {
                // Gone means finished.
                let _gone = thread.interrupt();
            }
        }
    }

    /// Remembers a connection that was made for an interrupted call.
    pub(crate) fn remember(&self, cookie: u64, to: SocketAddr) {
        let mut completed = lock(&self.completed);
        completed.retain(|_, since| since.elapsed() < REMEMBERED);
        completed.insert((cookie, to), Instant::now());
    }

    /// Whether this very connection was made for the call's predecessor. Answers yes once.
    pub(crate) fn completed_before(&self, cookie: u64, to: SocketAddr) -> bool {
        lock(&self.completed)
            .remove(&(cookie, to))
            .is_some_and(|since| since.elapsed() < REMEMBERED)
    }

    /// The call was answered: it will not come again.
    pub(crate) fn forget(&self, cookie: u64, to: SocketAddr) {
        lock(&self.completed).remove(&(cookie, to));
    }

    /// Begins a call on a socket; `None` while another is under way: what jumpd
    /// knows of a socket must not change between its answer and the connect.
    ///
    /// A call that a signal interrupted comes again while its first thread is
    /// about to notice, so it is waited for a moment.
    pub(crate) fn begin(&self, cookie: u64) -> Option<Busy<'_>> {
        let begun = Instant::now();
        while !lock(&self.busy).insert(cookie) {
            if begun.elapsed() > SAME_SOCKET {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(Busy {
            connects: self,
            cookie,
        })
    }

    /// Notes a TCP socket that leads out of the session.
    pub(crate) fn opened(&self, cookie: u64) {
        lock(&self.opened).insert(cookie);
    }

    /// The sockets that lead out, once they are so many that the closed ones should be forgotten.
    pub(crate) fn crowded(&self) -> Option<HashSet<u64>> {
        let opened = lock(&self.opened);
        (opened.len() > CROWD).then(|| opened.clone())
    }

    /// Forgets sockets that no process has any more.
    pub(crate) fn forget_closed(&self, closed: &HashSet<u64>) {
        lock(&self.opened).retain(|cookie| !closed.contains(cookie));
    }

    /// Whether a TCP socket leads out of the session, rather than to its client.
    pub(crate) fn leads_out(&self, cookie: u64) -> bool {
        lock(&self.opened).contains(&cookie)
    }
}

/// Connects, however long the socket itself is willing to wait.
///
/// Returns 0 or the errno; `None` when the call no longer waits.
pub(crate) fn patiently(
    guard: &Guard,
    call: &Notification,
    fd: BorrowedFd<'_>,
    to: &RawAddress,
) -> Option<i32> {
    lock(&guard.connects.waiting).insert(call.id, Interruptible::current());
    let result = loop {
        if !guard.listener.id_valid(call.id) {
            break None;
        }
        match socket::connect(fd, to) {
            Ok(()) => break Some(0),
            // Interrupted by the guard itself, or by mistake: ask, and wait on.
            Err(e) if e.raw_os_error() == Some(libc::EINTR) => {}
            Err(e) => break Some(e.raw_os_error().unwrap_or(libc::EIO)),
        }
    };
    lock(&guard.connects.waiting).remove(&call.id);
    result
}

/// Connects a socket whose end nobody accounts for, and says the answer.
pub(crate) fn once(
    guard: &Guard,
    call: &Notification,
    fd: BorrowedFd<'_>,
    to: &RawAddress,
) -> Option<Answer> {
    Some(match patiently(guard, call, fd, to)? {
        0 => Answer::Return(0),
        errno => Answer::Errno(errno),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completed_connect_is_answered_once() {
        let connects = Connects::default();
        let to = "10.0.0.1:22".parse().unwrap();
        assert!(!connects.completed_before(7, to));
        connects.remember(7, to);
        assert!(!connects.completed_before(8, to));
        assert!(!connects.completed_before(7, "10.0.0.1:23".parse().unwrap()));
        assert!(connects.completed_before(7, to));
        assert!(!connects.completed_before(7, to));
        connects.remember(7, to);
        connects.forget(7, to);
        assert!(!connects.completed_before(7, to));
    }
}
