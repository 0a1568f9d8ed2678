//! Why a command could not answer, and what the operator can do about it.

use jump_proto::{ChannelError, Reason, paths};
use std::io;
use std::path::Path;

/// Exit codes of every command: 0 yes, 1 no, 2 error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done, allowed, green.
    Yes,
    /// Refused, denied, red.
    No,
}

impl Outcome {
    /// [`Outcome::Yes`] if `yes`.
    #[must_use]
    pub fn from_bool(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Only root may ask.
    #[error("this needs root; run it with sudo")]
    NotRoot,
    /// jumpd did not answer.
    #[error(
        "jumpd does not answer ({0}); look at `systemctl status jumpd.socket jumpd` and `journalctl -u jumpd`"
    )]
    NoAnswer(ChannelError),
    /// jumpd answered something else than was asked; versions differ.
    #[error(
        "jumpd gave an answer that does not fit the question; restart it if the package was just upgraded: `systemctl restart jumpd`"
    )]
    WrongAnswer,
    /// jumpd refused; exit code 1.
    #[error("{message}")]
    Refused {
        /// In one word.
        reason: Reason,
        /// For the operator.
        message: String,
    },
    /// A file could not be read or written.
    #[error("cannot {verb} {path}: {source}")]
    File {
        /// What was tried.
        verb: &'static str,
        /// On which file.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Anything else, in one sentence that says what to do.
    #[error("{0}")]
    Failed(String),
    /// The terminal or pipe is gone.
    #[error("cannot write the answer: {0}")]
    Output(io::Error),
}

impl Error {
    /// A sentence as an error.
    pub fn failed(sentence: impl Into<String>) -> Self {
        Self::Failed(sentence.into())
    }

    /// What was tried on which file, and why it did not work.
    pub fn file(verb: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File {
            verb,
            path: path.display().to_string(),
            source,
        }
    }

    /// 1 for a refusal, 2 for an error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { .. } => 1,
            _ => 2,
        }
    }
}

impl From<ChannelError> for Error {
    fn from(e: ChannelError) -> Self {
        Self::NoAnswer(e)
    }
}

/// What every command returns.
pub type Answer = Result<Outcome, Error>;

/// Ends the command unless it runs as root: jumpd's socket and sshd's files are root's.
///
/// # Errors
/// [`Error::NotRoot`].
pub(crate) fn need_root() -> Result<(), Error> {
    if nix::unistd::geteuid().is_root() {
        Ok(())
    } else {
        Err(Error::NotRoot)
    }
}

/// The policy file unless the operator named another.
#[must_use]
pub(crate) fn policy_path(file: Option<&Path>) -> &Path {
    file.unwrap_or(Path::new(paths::POLICY))
}
