//! The program itself: started as systemd starts it, one process per session.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests fail by panicking, and say why they are skipped"
)]

use jump_proto::Channel;
use jump_proto::handshake::{GuardAnswer, GuardHello};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: the guard needs capabilities to give it");
    }
    root
}

/// A listening socket, passed as systemd passes it: descriptor 3, named in the environment.
fn start(path: &Path) -> Child {
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
    };
    use std::os::fd::AsRawFd;
    let fd: OwnedFd = socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    bind(fd.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    listen(&fd, Backlog::new(16).unwrap()).unwrap();
    Command::new("sh")
        .args([
            "-c",
            "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_FDNAMES=guard LISTEN_PID=$$ exec \"$0\"",
        ])
        .arg(env!("CARGO_BIN_EXE_jump-guard"))
        .stdin(Stdio::from(fd))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A test that fails must not leave it behind.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Started {
    /// Whether it soon has this many children; a zombie would be one.
    fn has_children(&self, count: usize) -> bool {
        let own = i32::try_from(self.0.id()).unwrap();
        (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            jump_sys::process::children(own).unwrap().len() == count
        })
    }
}

#[test]
fn each_connection_has_a_process_and_the_listener_outlives_them() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("guard.sock");
    let mut guard = Started(start(&path));
    assert!(std::fs::metadata(&path).unwrap().file_type().is_socket());
    let connect = || Channel::connect(&path, Duration::from_secs(5)).unwrap();
    let (first, second) = (connect(), connect());
    let hello = GuardHello {
        session: "0123456789abcdef0123456789abcdef".parse().unwrap(),
        monitor: i32::try_from(std::process::id()).unwrap(),
        listener: 0,
        landlock: 0,
        waitkill: true,
    };
    // Two sessions at once: the second is answered while the first has not said a word.
    second.send(&hello).unwrap();
    let answer: GuardAnswer = second.recv().unwrap().unwrap();
    assert!(matches!(answer, GuardAnswer::Failed { .. }));
    assert!(guard.has_children(1));
    drop(first);
    assert!(guard.has_children(0));
    assert!(guard.0.try_wait().unwrap().is_none());
}

#[test]
fn without_a_socket_it_says_what_to_do() {
    if !is_root() {
        return;
    }
    let mut guard = Command::new(env!("CARGO_BIN_EXE_jump-guard"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(!guard.wait().unwrap().success());
    let mut said = String::new();
    guard
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(said.contains("systemctl start jump-guard.socket"), "{said}");
}

#[test]
fn without_its_capabilities_it_says_so() {
    if !is_root() {
        return;
    }
    let output = Command::new("setpriv")
        .args([
            "--reuid",
            "65534",
            "--clear-groups",
            env!("CARGO_BIN_EXE_jump-guard"),
        ])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("CAP_SYS_PTRACE"), "{said}");
}
