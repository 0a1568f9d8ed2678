//! The agent that a user brings along: sshd's child listens for it, and ssh of a hop gets to it.

use crate::jumpd::Manners;
use crate::lab::Lab;
use crate::probes::{say, say_text};
use jump_proto::{Reason, Request};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

pub const TRIALS: &[(&str, fn())] = &[
    (
        "a08_an_agent_that_comes_along_is_reached_by_ssh_of_hops_only",
        comes,
    ),
    (
        "a08_no_socket_listens_but_that_of_an_agent_that_may_come",
        stays,
    ),
    ("an_agent_that_came_along_is_asked_for_each_time", unused),
];

fn new(kind: SockType) -> OwnedFd {
    socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None).unwrap()
}

fn bound(fd: &OwnedFd, path: &str) -> io::Result<()> {
    bind(fd.as_raw_fd(), &UnixAddr::new(path).unwrap()).map_err(io::Error::from)
}

fn listens(fd: &OwnedFd) -> io::Result<()> {
    listen(fd, Backlog::new(128).unwrap()).map_err(io::Error::from)
}

/// sshd's child, which has the user's agent at its other end, and tries more than that.
pub fn sshd(dir: &Path) {
    let path = format!("/tmp/ssh-XXXXabcdef/agent.{}", std::process::id());
    let (agent, other, later) = (
        new(SockType::Stream),
        new(SockType::Stream),
        new(SockType::Stream),
    );
    say("elsewhere", bound(&other, "/tmp/jump-test-agent"));
    say(
        "another-process",
        bound(&other, "/tmp/ssh-XXXXabcdef/agent.1"),
    );
    say("another-kind", bound(&new(SockType::Datagram), &path));
    say("before", listens(&agent));
    say("bind", bound(&agent, &path));
    say("listen-other", listens(&other));
    say("listen", listens(&agent));
    say("once-more", bound(&agent, &path));
    say("by-path", UnixStream::connect(&path));
    say("by-name", UnixStream::connect(dir.join("own-agent.sock")));
    let ssh = Command::new(dir.join("ssh"))
        .env("JUMP_TEST_ROLE", "ssh-with-agent")
        .env("JUMP_TEST_DIR", dir)
        .status();
    assert!(ssh.unwrap().success());
    say_text("heard", &heard(agent));
    // sshd has one for each connection; the guard knows the last.
    say(
        "second",
        bound(&later, &path).and_then(|()| listens(&later)),
    );
    let more = (0..20).filter(|_| bound(&new(SockType::Stream), &path).is_ok());
    say_text("more", &more.count().to_string());
}

/// What somebody said who connected, and is gone.
fn heard(agent: OwnedFd) -> String {
    let listener = UnixListener::from(agent);
    listener.set_nonblocking(true).unwrap();
    let mut text = String::new();
    match listener.accept() {
        Ok((mut stream, _)) => {
            stream.set_nonblocking(false).unwrap();
            stream.read_to_string(&mut text).unwrap();
        }
        Err(_) => text.push_str("nobody"),
    }
    text
}

/// The client of a hop.
pub fn ssh(dir: &Path) {
    let connected = UnixStream::connect(dir.join("own-agent.sock"));
    say("ssh", connected.and_then(|mut s| s.write_all(b"hello")));
    let path = format!(
        "/tmp/ssh-XXXXabcdef/agent.{}",
        nix::unistd::getppid().as_raw()
    );
    say("ssh-by-path", UnixStream::connect(path));
    // ssh is not sshd, whatever it says.
    let own = format!("/tmp/ssh-XXXXabcdef/agent.{}", std::process::id());
    say("ssh-bind", bound(&new(SockType::Stream), &own));
}

fn session(manners: Manners) -> (Lab, HashMap<String, String>) {
    let mut lab = Lab::with(manners, |_| false);
    // A copy: what runs as sshd must be another file.
    let this = std::env::current_exe().unwrap();
    std::fs::copy(this, lab.dir.path().join("ssh")).unwrap();
    let said = lab.session("sshd-with-agent", &[]).says();
    assert!(lab.guard_exit().success());
    let left = lab.dir.path().join("agents").read_dir().unwrap().count();
    assert_eq!(left, 0, "a name is left");
    (lab, said)
}

/// Nothing but sshd's own socket, and nobody but ssh, whatever the rule says.
fn nothing_else(said: &HashMap<String, String>) {
    for what in [
        "elsewhere",
        "another-process",
        "another-kind",
        "before",
        "listen-other",
        "by-path",
        "by-name",
        "ssh-by-path",
        "ssh-bind",
    ] {
        assert_eq!(said[what], "EACCES", "{what}");
    }
}

fn asked(lab: &Lab) -> (usize, Vec<i32>) {
    let mut brought = 0;
    let mut users = Vec::new();
    lab.jumpd.each(|request| match request {
        Request::BringAgent { .. } => brought += 1,
        Request::UseAgent { pid, .. } => users.push(*pid),
        _ => {}
    });
    (brought, users)
}

fn comes() {
    let (lab, said) = session(Manners {
        brings_agent: true,
        uses_agent: true,
        ..Manners::default()
    });
    nothing_else(&said);
    for what in ["bind", "listen", "ssh", "second"] {
        assert_eq!(said[what], "ok", "{what}");
    }
    assert_eq!(said["heard"], "hello");
    // It was bound already: jumpd is not asked again, and sshd is told what it would be told.
    assert_eq!(said["once-more"], "ok");
    let (brought, users) = asked(&lab);
    // Each is an event: not without end.
    assert_eq!(said["more"], "6");
    assert_eq!((brought, users.len()), (8, 1), "{users:?}");
    let told = lab.jumpd.refusals();
    assert!(
        told.iter()
            .any(|(why, detail)| *why == Reason::ForbiddenCall && detail.starts_with("bind(2)")),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|(_, detail)| detail.starts_with("listen(2)")),
        "{told:?}"
    );
}

fn stays() {
    let (lab, said) = session(Manners {
        uses_agent: true,
        ..Manners::default()
    });
    nothing_else(&said);
    for what in ["bind", "listen", "once-more", "second"] {
        assert_eq!(said[what], "EACCES", "{what}");
    }
    assert_eq!(
        (said["ssh"].as_str(), said["heard"].as_str()),
        ("ECONNREFUSED", "nobody")
    );
    assert!(
        lab.jumpd
            .refusals()
            .iter()
            .any(|(why, detail)| *why == Reason::ForbiddenCall && detail.starts_with("listen(2)"))
    );
}

fn unused() {
    let (lab, said) = session(Manners {
        brings_agent: true,
        ..Manners::default()
    });
    nothing_else(&said);
    assert_eq!(said["listen"], "ok");
    assert_eq!(
        (said["ssh"].as_str(), said["heard"].as_str()),
        ("EACCES", "nobody")
    );
    assert_eq!(asked(&lab).1.len(), 1);
}
