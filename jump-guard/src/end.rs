//! Ending a session: no process and no TCP flow of it is left one second later.
//!
//! The connections that lead out are reset first, so that not one more byte
//! passes, then the processes are killed; a stopped process is no exception to
//! either. It is pressed on until the kernel says that nobody is left. sshd's
//! monitor gets a moment to close in good order (pam_close_session, logind)
//! and then goes the same way; the client's own connection goes with it.

use crate::guard::Guard;
use jump_proto::{Channel, CutFlow, FLOWS_IN_A_MESSAGE, Request};
use jump_sys::process::{PidFd, start_time};
use jump_sys::socket::{self, Kind};
use nix::libc;
use nix::sys::socket::{Shutdown, shutdown};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

/// When it is worth looking at every process of the host.
const THOROUGHLY: Duration = Duration::from_millis(100);
/// How long the monitor may take to close the client's connection itself.
const GOOD_ORDER: Duration = Duration::from_millis(500);
/// When what is left is worth a line.
const LATE: Duration = Duration::from_secs(1);
/// How long all telling of byte counts may take before the cut.
const TELLING: Duration = Duration::from_millis(200);
/// How long the client may take to hear of the close.
const HEARING: Duration = Duration::from_millis(100);

/// A session that is being ended.
#[derive(Debug)]
pub(crate) struct End {
    since: Instant,
    /// Copies of the client's connection.
    client: Vec<OwnedFd>,
    said_late: bool,
}

impl End {
    /// From here on every connect of the session is refused.
    pub(crate) fn begin(guard: &Guard, why: &str) -> Self {
        guard.complain(format_args!("the session is ended: {why}"));
        Self {
            since: Instant::now(),
            client: Vec::new(),
            said_late: false,
        }
    }

    /// Cuts and kills what can be found now.
    pub(crate) fn press(&mut self, guard: &Guard) {
        let members = guard.members().all(self.since.elapsed() > THOROUGHLY);
        let mut flows = Vec::new();
        for pid in &members {
            self.collect(guard, *pid, &mut flows);
        }
        reset(guard, &flows);
        drop(flows);
        for pid in &members {
            kill(*pid);
        }
        guard.connects.interrupt_the_gone(&guard.listener);
        if self.since.elapsed() > GOOD_ORDER
            && let Some(monitor) = guard.members().monitor()
        {
            kill(monitor);
        }
        if self.since.elapsed() > LATE && !self.said_late {
            self.said_late = true;
            let monitor = guard.members().monitor();
            guard.complain(format_args!(
                "still there after a second: {members:?}, sshd {monitor:?}"
            ));
        }
    }

    /// Nobody is left; takes the client's connection down, if the client does not.
    pub(crate) fn finish(self, guard: &Guard) {
        for fd in &self.client {
            // Already closed is well.
            let _closed = shutdown(fd.as_raw_fd(), Shutdown::Both);
        }
        if !self.client.is_empty() {
            thread::sleep(HEARING);
        }
        for fd in &self.client {
            let _closed = socket::cut(fd.as_fd());
        }
        guard.complain(format_args!(
            "the session is over after {} ms",
            self.since.elapsed().as_millis()
        ));
    }

    /// Takes copies of a process's connections: those that lead out into `flows`.
    fn collect(&mut self, guard: &Guard, pid: i32, flows: &mut Vec<(u64, OwnedFd)>) {
        collect_sockets(pid, |cookie, kind, fd| {
            if kind.is_udp() || (kind.is_tcp() && guard.connects.leads_out(cookie)) {
                flows.push((cookie, fd));
            } else if kind.is_tcp() && is_connected(&fd) && !self.has(cookie) {
                self.client.push(fd);
            }
        });
    }

    fn has(&self, cookie: u64) -> bool {
        self.client
            .iter()
            .any(|fd| socket::cookie(fd.as_fd()).ok() == Some(cookie))
    }
}

/// A socket that listens is sshd's own, should a session ever have inherited it.
fn is_connected(fd: &OwnedFd) -> bool {
    nix::sys::socket::getsockopt(fd, nix::sys::socket::sockopt::AcceptConn)
        .is_ok_and(|listens| !listens)
}

/// Size of a process's table of open files.
fn open_files(pid: i32) -> i32 {
    std::fs::read_to_string(format!("/proc/{pid}/status"))
        .ok()
        .and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("FDSize:")?.trim().parse().ok())
        })
        .unwrap_or(0)
}

/// Offers a copy of every socket of a process, with its cookie and kind.
pub(crate) fn collect_sockets(pid: i32, mut take: impl FnMut(u64, Kind, OwnedFd)) {
    let Ok(process) = PidFd::open_process(pid) else {
        return;
    };
    // /proc/<pid>/fd is the owner's alone, so the numbers are tried.
    for number in 0..open_files(pid) {
        let Ok(fd) = process.get_fd(number) else {
            continue;
        };
        let Ok(kind) = Kind::of(fd.as_fd()) else {
            continue;
        };
        if let Ok(cookie) = socket::cookie(fd.as_fd()) {
            take(cookie, kind, fd);
        }
    }
}

/// Resets connections, after telling jumpd their byte counts, which the reset wipes.
pub(crate) fn reset(guard: &Guard, flows: &[(u64, OwnedFd)]) {
    let told: Vec<CutFlow> = flows
        .iter()
        .filter_map(|(cookie, fd)| {
            let (bytes_sent, bytes_received) = socket::tcp_bytes(fd.as_fd())?;
            Some(CutFlow {
                cookie: *cookie,
                bytes_sent,
                bytes_received,
            })
        })
        .collect();
    let begun = Instant::now();
    for some in told.chunks(FLOWS_IN_A_MESSAGE) {
        let request = Request::FlowsCut {
            session: guard.session.clone(),
            flows: some.to_vec(),
        };
        let left = TELLING.saturating_sub(begun.elapsed());
        // A jumpd that hangs must not hold up the cut.
        let told = !left.is_zero()
            && Channel::connect(&guard.places.jumpd, left)
                .and_then(|jumpd| jumpd.call::<_, jump_proto::Reply>(&request))
                .is_ok();
        if !told {
            guard.complain(format_args!(
                "jumpd was not told the bytes of cut connections: {some:?}"
            ));
        }
    }
    for (_, fd) in flows {
        // Not connected any more is well.
        let _closed = socket::cut(fd.as_fd());
    }
}

fn kill(pid: i32) {
    let started = start_time(pid);
    if let Ok(process) = PidFd::open_process(pid)
        && start_time(pid).ok() == started.ok()
    {
        // Gone is well.
        let _gone = process.send_signal(libc::SIGKILL);
    }
}
