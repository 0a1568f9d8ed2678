//! How the shell was started, and with it: what its user wants.
//!
//! sshd starts a login shell as `-jump-shell` for a terminal and as
//! `jump-shell -c STRING` for a command. With `ForceCommand /usr/bin/jump-shell`
//! the string is always the shell's own path and the wish of the user is in
//! `SSH_ORIGINAL_COMMAND`, for commands and subsystems alike; it is absent for
//! a plain login. Every other form is refused: there is no option to find.

use crate::hop::Wish;
use jump_proto::paths;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Invocation {
    /// A session that reads commands from its input.
    Interactive,
    /// One command line, as it came.
    Command(Vec<u8>),
    /// Arguments that no login gives.
    Refused(Vec<OsString>),
}

impl Invocation {
    /// Reads the arguments after the program's own name. That name says nothing
    /// new: a leading dash marks a login shell (login(1)), which without
    /// arguments is interactive like any other.
    pub(crate) fn new(arguments: &[OsString], original_command: Option<&OsStr>) -> Self {
        match arguments {
            [] => Self::Interactive,
            [dash_c, line] if dash_c == "-c" => {
                let wish = if line == paths::SHELL {
                    original_command
                } else {
                    Some(line.as_os_str())
                };
                match wish {
                    Some(wish) if wish != paths::SHELL => Self::Command(wish.as_bytes().to_vec()),
                    // Whoever asks for the shell gets it.
                    _ => Self::Interactive,
                }
            }
            other => Self::Refused(other.to_vec()),
        }
    }

    /// Whether it is one command, and that a hop.
    pub(crate) fn is_hop(&self) -> bool {
        matches!(self, Self::Command(line) if matches!(Wish::read(line), Some(Ok(_))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(arguments: &[&str], original: Option<&str>) -> Invocation {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        Invocation::new(&arguments, original.map(OsStr::new))
    }

    fn command(line: &str) -> Invocation {
        Invocation::Command(line.as_bytes().to_vec())
    }

    #[test]
    fn a_login_is_interactive() {
        assert_eq!(started(&[], None), Invocation::Interactive);
        assert_eq!(started(&[], Some("targets")), Invocation::Interactive);
    }

    #[test]
    fn force_command_hides_the_wish_in_the_environment() {
        assert_eq!(
            started(&["-c", paths::SHELL], None),
            Invocation::Interactive
        );
        assert_eq!(
            started(&["-c", paths::SHELL], Some(paths::SHELL)),
            Invocation::Interactive
        );
        for wish in ["targets", "internal-sftp", "", "  "] {
            assert_eq!(started(&["-c", paths::SHELL], Some(wish)), command(wish));
        }
    }

    #[test]
    fn without_force_command_the_string_is_the_wish() {
        assert_eq!(
            started(&["-c", "whoami"], Some("targets")),
            command("whoami")
        );
        assert_eq!(started(&["-c", ""], None), command(""));
    }

    #[test]
    fn any_other_form_is_refused() {
        let forms: &[&[&str]] = &[
            &["-c"],
            &["--"],
            &["-i"],
            &["-l"],
            &["-c", "targets", "x"],
            &["-c", "--", "targets"],
            &["-ic", "targets"],
            &["targets"],
            &["--rcfile", "x"],
            &[""],
        ];
        for form in forms {
            assert!(
                matches!(started(form, Some("targets")), Invocation::Refused(_)),
                "{form:?}"
            );
        }
    }
}
