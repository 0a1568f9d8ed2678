//! What the shell takes of its environment, and how it loses the rest.
//!
//! The environment is the user's (`SendEnv` and `AcceptEnv`, pam_env): nothing
//! in it may steer this program. Two words of it say how a terminal wants to be
//! written to, and one carries the command past `ForceCommand` (sshd_config(5)).
//! Where an agent came along is not asked here: `SSH_AUTH_SOCK` leads nowhere.
//!
//! A process cannot take its environment out of its own memory, where
//! `/proc/PID/environ` shows it and any library may still look. So the shell
//! starts itself over, once, with nothing but the words it keeps and with the
//! command as its argument.

use crate::invocation::Invocation;
use crate::words::LINE_MAX;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The longest `TERM` that is believed; terminfo(5) names are far shorter.
const TERM_MAX: usize = 64;

/// This very program, also while a package upgrade replaces its file.
const MYSELF: &str = "/proc/self/exe";

/// The environment, reduced to what this shell understands.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    /// What the client asked to run, where `ForceCommand` put this shell in its place.
    pub(crate) original_command: Option<OsString>,
    /// `TERM`, when it is a plain name.
    pub(crate) term: Option<String>,
    /// `NO_COLOR` is set.
    pub(crate) no_color: bool,
    /// There is nothing else.
    reduced: bool,
}

impl Environment {
    /// Reads the process's environment.
    pub(crate) fn read() -> Self {
        Self::of(std::env::vars_os())
    }

    fn of(variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let mut taken = Self {
            reduced: true,
            ..Self::default()
        };
        for (name, value) in variables {
            match (name.to_str(), plain_name(&value)) {
                (Some("TERM"), Some(term)) if taken.term.is_none() => taken.term = Some(term),
                (Some("NO_COLOR"), _) if !value.is_empty() => taken.no_color = true,
                (Some("SSH_ORIGINAL_COMMAND"), _) => {
                    taken.reduced = false;
                    taken.original_command.get_or_insert(value);
                }
                _ => taken.reduced = false,
            }
        }
        taken
    }

    /// Whether the process has no variable but those it keeps.
    pub(crate) fn is_reduced(&self) -> bool {
        self.reduced
    }

    /// Starts the program over for the same `invocation` with a reduced environment.
    ///
    /// Returns only when that fails.
    pub(crate) fn start_over(&self, name: &OsStr, invocation: &Invocation) -> io::Error {
        let mut myself = Command::new(MYSELF);
        myself.arg0(name).env_clear();
        if let Some(term) = &self.term {
            myself.env("TERM", term);
        }
        if self.no_color {
            myself.env("NO_COLOR", "1");
        }
        match invocation {
            Invocation::Interactive => {}
            Invocation::Command(line) => {
                // One byte more than a command line may have keeps it refused.
                let line = &line[..line.len().min(LINE_MAX + 1)];
                myself.arg("-c").arg(OsStr::from_bytes(line));
            }
            Invocation::Refused(arguments) => {
                myself.args(arguments);
            }
        }
        myself.exec()
    }
}

/// A name that can be neither a path nor an escape sequence.
fn plain_name(value: &OsStr) -> Option<String> {
    let bytes = value.as_bytes();
    let plain = (1..=TERM_MAX).contains(&bytes.len())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if plain {
        value.to_str().map(str::to_owned)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Environment {
        Environment::of(
            pairs
                .iter()
                .map(|(n, v)| (OsString::from(n), OsString::from(v))),
        )
    }

    #[test]
    fn only_a_plain_terminal_name_is_believed() {
        assert_eq!(
            of(&[("TERM", "xterm-256color")]).term.as_deref(),
            Some("xterm-256color")
        );
        let long = "x".repeat(TERM_MAX + 1);
        for bad in ["", "../../etc/passwd", "a b", "\u{1b}[2J", "é", &long] {
            let taken = of(&[("TERM", bad)]);
            assert_eq!((taken.term, taken.reduced), (None, false), "{bad:?}");
        }
    }

    #[test]
    fn nothing_else_is_taken() {
        for other in [
            "LD_PRELOAD",
            "TZ",
            "LC_ALL",
            "LANG",
            "BASH_ENV",
            "SSH_CONNECTION",
            "SSH_AUTH_SOCK",
        ] {
            assert_eq!(of(&[(other, "x")]), Environment::default(), "{other}");
        }
    }

    #[test]
    fn what_is_kept_needs_no_second_start() {
        assert!(of(&[]).is_reduced());
        assert!(of(&[("TERM", "xterm"), ("NO_COLOR", "1")]).is_reduced());
        assert!(!of(&[("TERM", "xterm"), ("TERM", "xterm")]).is_reduced());
        assert!(!of(&[("SSH_ORIGINAL_COMMAND", "help")]).is_reduced());
    }

    #[test]
    fn an_empty_no_color_is_no_wish() {
        assert!(of(&[("NO_COLOR", "1")]).no_color);
        assert!(!of(&[("NO_COLOR", "")]).no_color);
    }
}
