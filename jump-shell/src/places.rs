//! Paths of the host that the shell depends on; tests have others.

use jump_proto::paths;
use std::path::{Path, PathBuf};

/// Where things are.
#[derive(Debug, Clone)]
pub struct Places {
    /// jumpd, for the shell.
    pub socket: PathBuf,
    /// jumpd, for ssh.
    pub agent: PathBuf,
    /// The user's own agent, for ssh: what the guard knows by this name.
    pub own_agent: PathBuf,
    /// Folders and files with the host keys of targets.
    pub known_hosts: Vec<PathBuf>,
}

impl Places {
    /// Of an installed jump server.
    #[must_use]
    pub fn installed() -> Self {
        // The folder, so that an edit, which makes a new file, is seen; what else is in it is not the user's to read.
        let folder = Path::new(paths::KNOWN_HOSTS).parent();
        Self {
            socket: paths::SHELL_SOCKET.into(),
            agent: paths::AGENT_SOCKET.into(),
            own_agent: paths::FORWARDED_AGENT.into(),
            known_hosts: folder.map(Path::to_owned).into_iter().collect(),
        }
    }
}
