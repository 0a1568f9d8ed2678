//! The shell inside a session: under the session's own filter and Landlock
//! layer, with a guard that connects on its behalf.
//!
//! The guard of these tests knows one port and jumpd's socket; whatever else
//! reaches it is a call that the shell must not make there.

use crate::Tests;
use crate::fake::Fake;
use crate::recorder::Recorder;
use crate::shell::{ROLE as SHELL, Said, myself};
use crate::target::reached;
use jump_sys::process::{PidFd, read_memory};
use jump_sys::seccomp::{Answer, Call, Listener, Notification, install_session_filter};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::SocketAddrUnix;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::sync::{Arc, Mutex};

/// First argument of a child that opens a session around itself; the shell's arguments follow.
pub(crate) const ROLE: &str = "--in-a-session";

pub(crate) fn tests() -> Tests {
    // Taking a file of another process is root's (pidfd_getfd(2)).
    if !rustix::process::geteuid().is_root() {
        return Tests::new();
    }
    crate::tests![
        questions_pass_the_guard,
        an_allowed_connection_stands,
        ssh_lives_in_a_session,
        a_refused_connection_is_one_sentence,
        without_a_guard_nothing_is_connected,
    ]
}

/// The child's whole life: what `pam_jump` does to a session, then the shell.
pub(crate) fn child(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    jump_sys::landlock::restrict_session().unwrap();
    let filter = install_session_filter().unwrap();
    println!("{}", filter.listener.as_raw_fd());
    // Until the guard has its copy.
    rustix::io::read(rustix::stdio::stdin(), &mut [0; 1]).unwrap();
    let error = myself().arg(SHELL).args(arguments).exec();
    panic!("{error}");
}

/// What the guard allows, and what it saw.
struct Guard {
    jumpd: PathBuf,
    port: u16,
    /// How many calls it answers before it dies.
    lives: usize,
    strange: Arc<Mutex<Vec<String>>>,
}

impl Guard {
    fn stand(mut self, listener: &Listener) {
        while self.lives > 0 {
            let mut fds = [PollFd::new(listener, PollFlags::IN)];
            poll(&mut fds, None).unwrap();
            if fds[0].revents().contains(PollFlags::HUP) {
                return;
            }
            let Some(call) = listener.recv().unwrap() else {
                continue;
            };
            let answer = self.judge(listener, &call).unwrap_or_else(|error| {
                Answer::Errno(error.raw_os_error().unwrap_or(libc::EACCES))
            });
            listener.send(call.id, answer).unwrap();
            self.lives -= 1;
        }
    }

    fn judge(&self, listener: &Listener, call: &Notification) -> std::io::Result<Answer> {
        let connect = match call.call() {
            Call::Connect(connect) => connect,
            other => {
                self.strange.lock().unwrap().push(format!("{other:?}"));
                return Ok(Answer::Errno(libc::EACCES));
            }
        };
        let length = connect.length.try_into().unwrap();
        let address = read_memory(call.tid, connect.address, length)?;
        assert!(listener.id_valid(call.id));
        let socket = PidFd::open(call.tid)?.get_fd(connect.fd)?;
        match i32::from(u16::from_ne_bytes([address[0], address[1]])) {
            libc::AF_UNIX => {
                // What stands behind its end says nothing (unix(7)).
                let path = address[2..].split(|b| *b == 0).next().unwrap();
                let path = std::str::from_utf8(path).unwrap();
                // The C library's name service looks for a cache, and does without.
                if path == "/var/run/nscd/socket" {
                    return Ok(Answer::Errno(libc::EACCES));
                }
                let agent = self.jumpd.with_file_name("agent.sock");
                assert!(
                    path == self.jumpd.to_str().unwrap() || path == agent.to_str().unwrap(),
                    "{path}"
                );
                rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
            }
            libc::AF_INET if u16::from_be_bytes([address[2], address[3]]) == self.port => {
                let target = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
                rustix::net::connect(&socket, &target)?;
            }
            _ => return Ok(Answer::Errno(libc::EACCES)),
        }
        Ok(Answer::Return(0))
    }
}

/// Runs `wish` in a session whose guard allows `port` and answers `lives` calls.
fn run_guarded(jumpd: &Fake, wish: &str, port: u16, lives: usize) -> Said {
    let mut child = myself()
        .arg(ROLE)
        .arg(jumpd.socket())
        .args(["-c", wish])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut number = String::new();
    out.read_line(&mut number).unwrap();
    let pid = child.id().try_into().unwrap();
    let copy = PidFd::open_process(pid)
        .unwrap()
        .get_fd(number.trim().parse().unwrap())
        .unwrap();
    let strange = Arc::new(Mutex::new(Vec::new()));
    let guard = Guard {
        jumpd: jumpd.socket(),
        port,
        lives,
        strange: Arc::clone(&strange),
    };
    let listener = Listener::new(copy).unwrap();
    let guard = std::thread::spawn(move || guard.stand(&listener));
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"\n").unwrap();
    drop(input);
    let mut said = String::new();
    out.read_to_string(&mut said).unwrap();
    let mut result = Said::from(child.wait_with_output().unwrap());
    result.out = said;
    guard.join().unwrap();
    assert_eq!(
        *strange.lock().unwrap(),
        Vec::<String>::new(),
        "calls that stop at the guard"
    );
    result
}

fn questions_pass_the_guard() {
    let jumpd = Fake::friendly();
    let said = run_guarded(&jumpd, "whoami", 0, usize::MAX);
    assert_eq!((said.status, said.err.as_str()), (Some(0), ""));
    assert!(said.out.contains("alice"), "{}", said.out);
    let said = run_guarded(&jumpd, "sh", 0, usize::MAX);
    assert_eq!(said.status, Some(126), "{}", said.err);
    assert_eq!(jumpd.refused(), vec!["sh"]);
}

fn an_allowed_connection_stands() {
    let jumpd = Fake::friendly();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.write_all(b"SSH-2.0-target").unwrap();
    });
    let said = run_guarded(&jumpd, &format!("connect db1 {port}"), port, usize::MAX);
    target.join().unwrap();
    assert_eq!(
        (said.status, said.out.as_str(), said.err.as_str()),
        (Some(0), "SSH-2.0-target", "")
    );
}

/// Under the session's filter, Landlock layer and guard, with everything of its own above them.
fn ssh_lives_in_a_session() {
    for record in [false, true] {
        let (target, jumpd) = reached(record, Recorder::default(), |_, _| {});
        let port = target.address.port();
        let said = run_guarded(
            &jumpd,
            "ssh db1 echo out; echo err >&2; exit 3",
            port,
            usize::MAX,
        );
        assert_eq!(
            (said.status, said.out.as_str(), said.err.as_str()),
            (Some(3), "out\n", "err\n")
        );
        let said = run_guarded(&jumpd, "ssh db1 true", 0, usize::MAX);
        assert_eq!((said.status, said.out.as_str()), (Some(255), ""));
        assert!(said.err.contains("there is no connection"), "{}", said.err);
    }
}

fn a_refused_connection_is_one_sentence() {
    let jumpd = Fake::friendly();
    let said = run_guarded(&jumpd, "connect db1 22", 0, usize::MAX);
    assert_eq!((said.status, said.out.as_str()), (Some(1), ""));
    assert!(
        said.err.contains("does not allow this connection") && said.err.lines().count() == 1,
        "{}",
        said.err
    );
}

fn without_a_guard_nothing_is_connected() {
    let jumpd = Fake::friendly();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    // It dies after the shell has reached jumpd, or before.
    for lives in [1, 0] {
        let said = run_guarded(&jumpd, &format!("connect db1 {port}"), port, lives);
        assert_eq!((said.status, said.out.as_str()), (Some(1), ""));
        assert!(said.err.contains("cannot answer now"), "{}", said.err);
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err());
}
