//! Where the guard's counterparts are; the tests put theirs elsewhere.

use jump_proto::paths;
use std::path::PathBuf;

/// The paths that a session's guard knows.
#[derive(Debug, Clone)]
pub struct Places {
    /// jumpd's socket.
    pub jumpd: PathBuf,
    /// The socket on which jumpd serves jump-shell.
    pub shell_socket: PathBuf,
    /// The socket on which jumpd serves the ssh of a hop.
    pub agent_socket: PathBuf,
    /// By which name ssh of a hop asks for the user's own agent; there is no such file.
    pub own_agent: PathBuf,
    /// A folder that nobody but the guard may enter, where sockets of forwarded agents are bound.
    pub agents: PathBuf,
    /// The program whose connections count as `via = "shell"`.
    pub shell: PathBuf,
    /// The OpenSSH client that hops run.
    pub ssh: PathBuf,
    /// syslog's socket by every name it is connected to by; the first is the one connected.
    pub log: Vec<PathBuf>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            jumpd: paths::JUMPD_SOCKET.into(),
            shell_socket: paths::SHELL_SOCKET.into(),
            agent_socket: paths::AGENT_SOCKET.into(),
            own_agent: paths::FORWARDED_AGENT.into(),
            agents: paths::GUARD_RUNTIME.into(),
            shell: paths::SHELL.into(),
            ssh: paths::SSH.into(),
            // The first is where systemd's link /dev/log leads: it is there also
            // when the guard has a /dev of its own.
            log: vec!["/run/systemd/journal/dev-log".into(), "/dev/log".into()],
        }
    }
}
