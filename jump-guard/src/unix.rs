//! Which `AF_UNIX` sockets a session's user may connect to.
//!
//! A connection that the guard makes carries the guard's identity
//! (`SO_PEERCRED`), so it makes three kinds only: to jumpd, which knows that a
//! guard speaks for its session, and for which process of it, to sshd's
//! own child where a hop asks for the agent that the user brought along, and of
//! datagram sockets to syslog, where the sender's identity is taken at each send. All others are refused: whatever
//! listens on the host was not written to serve the users of a jump server.

use crate::decision::Program;
use crate::places::Places;
use jump_sys::socket::Kind;
use nix::libc::{SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM};
use std::path::{Path, PathBuf};

/// What becomes of a connect to a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The guard connects the socket to this path.
    Connect(PathBuf),
    /// The guard connects the socket to this path, with the asking process's name on it.
    ConnectNamed(PathBuf),
    /// The guard connects the socket to the agent that the user brought along, if jumpd says so.
    OwnAgent,
    /// It is refused, and said so.
    Refuse,
    /// It is refused; the C library asks there on its own and has another way.
    RefuseQuietly,
}

/// Decides about a connect of a socket of this kind to `path`.
pub(crate) fn access(
    places: &Places,
    kind: Kind,
    path: &Path,
    runs: impl Fn() -> Option<Program>,
) -> Access {
    if kind.kind == SOCK_SEQPACKET && path == places.shell_socket && runs() == Some(Program::Shell)
    {
        return Access::ConnectNamed(places.shell_socket.clone());
    }
    if kind.kind == SOCK_STREAM && path == places.agent_socket && runs() == Some(Program::Ssh) {
        return Access::ConnectNamed(places.agent_socket.clone());
    }
    if kind.kind == SOCK_STREAM && path == places.own_agent && runs() == Some(Program::Ssh) {
        return Access::OwnAgent;
    }
    if kind.kind == SOCK_DGRAM && places.log.iter().any(|log| log == path) {
        // Never the path as the task spelled it: its meaning is the task's.
        let log = places.log.iter().find(|log| log.exists());
        return log.cloned().map_or(Access::RefuseQuietly, Access::Connect);
    }
    const ASKED_BY_LIBRARIES: [&str; 7] = [
        "/run/nscd/socket",
        "/var/run/nscd/socket",
        "/run/systemd/userdb",
        "/run/systemd/resolve",
        "/run/systemd/journal",
        "/run/dbus/system_bus_socket",
        "/var/lib/sss/pipes",
    ];
    if ASKED_BY_LIBRARIES
        .iter()
        .any(|prefix| path.starts_with(prefix))
    {
        Access::RefuseQuietly
    } else {
        Access::Refuse
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc::AF_UNIX;

    fn decide(kind: i32, path: &str, runs: impl Into<Option<Program>>) -> Access {
        let runs = runs.into();
        let places = Places {
            log: vec!["/dev/null".into(), "/dev/log".into()],
            ..Places::default()
        };
        access(
            &places,
            Kind {
                domain: AF_UNIX,
                kind,
                protocol: 0,
            },
            Path::new(path),
            || runs,
        )
    }

    #[test]
    fn only_jump_shell_reaches_its_socket_and_says_which() {
        let socket = jump_proto::paths::SHELL_SOCKET;
        assert_eq!(
            decide(SOCK_SEQPACKET, socket, Program::Shell),
            Access::ConnectNamed(socket.into())
        );
        assert_eq!(decide(SOCK_SEQPACKET, socket, None), Access::Refuse);
        assert_eq!(decide(SOCK_SEQPACKET, socket, Program::Ssh), Access::Refuse);
        assert_eq!(decide(SOCK_STREAM, socket, Program::Shell), Access::Refuse);
    }

    #[test]
    fn only_ssh_reaches_the_agent_and_says_who_it_is() {
        let socket = jump_proto::paths::AGENT_SOCKET;
        assert_eq!(
            decide(SOCK_STREAM, socket, Program::Ssh),
            Access::ConnectNamed(socket.into())
        );
        assert_eq!(decide(SOCK_STREAM, socket, Program::Shell), Access::Refuse);
        assert_eq!(decide(SOCK_STREAM, socket, None), Access::Refuse);
        assert_eq!(decide(SOCK_SEQPACKET, socket, Program::Ssh), Access::Refuse);
        assert_eq!(decide(SOCK_DGRAM, socket, Program::Ssh), Access::Refuse);
    }

    #[test]
    fn only_ssh_asks_for_the_users_own_agent() {
        let socket = jump_proto::paths::FORWARDED_AGENT;
        assert_eq!(decide(SOCK_STREAM, socket, Program::Ssh), Access::OwnAgent);
        assert_eq!(decide(SOCK_STREAM, socket, Program::Shell), Access::Refuse);
        assert_eq!(decide(SOCK_STREAM, socket, None), Access::Refuse);
        assert_eq!(decide(SOCK_SEQPACKET, socket, Program::Ssh), Access::Refuse);
        let sshds = "/tmp/ssh-XXXXabcdef/agent.1";
        assert_eq!(decide(SOCK_STREAM, sshds, Program::Ssh), Access::Refuse);
    }

    #[test]
    fn syslog_is_reached_by_datagrams_whatever_name_is_used() {
        assert_eq!(
            decide(SOCK_DGRAM, "/dev/log", None),
            Access::Connect("/dev/null".into())
        );
        assert_eq!(decide(SOCK_STREAM, "/dev/log", None), Access::Refuse);
    }

    #[test]
    fn everything_else_is_refused() {
        assert_eq!(
            decide(SOCK_STREAM, "/run/docker.sock", Program::Shell),
            Access::Refuse
        );
        assert_eq!(
            decide(SOCK_SEQPACKET, "/run/jump/jumpd.sock", Program::Shell),
            Access::Refuse
        );
        assert_eq!(
            decide(SOCK_DGRAM, "/run/systemd/journal/socket", Program::Shell),
            Access::RefuseQuietly
        );
        assert_eq!(
            decide(SOCK_STREAM, "/var/run/nscd/socket", Program::Shell),
            Access::RefuseQuietly
        );
    }
}
