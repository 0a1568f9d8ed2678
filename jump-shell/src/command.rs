//! The commands of this shell, and the refusal of everything else.

use crate::hop::Wish;
use crate::words::{self, WordsError};

/// Digits of a session's name.
const SESSION_MAX: usize = 32;

/// What the user may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// List the commands.
    Help,
    /// Where may I go now?
    Targets {
        /// For a program.
        json: bool,
    },
    /// Who am I, until when?
    Whoami {
        /// For a program.
        json: bool,
    },
    /// Which sessions do I have?
    Sessions {
        /// For a program.
        json: bool,
    },
    /// End one of mine.
    EndSession {
        /// Its name, or the beginning of it.
        session: String,
    },
    /// What second factor do I have?
    Mfa {
        /// For a program.
        json: bool,
    },
    /// New recovery codes, the old ones void.
    RecoveryCodes,
    /// Relay standard input and output to a target.
    Connect {
        /// Name or address literal; jumpd resolves it.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// Run ssh to a target.
    Hop(Wish),
    /// Leave.
    Exit,
}

/// A line that is not a command of this shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotACommand {
    /// What the user can do instead, where that can be told: the end of a sentence.
    pub(crate) hint: Option<&'static str>,
}

impl Command {
    /// Reads one command line, as it came.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, NotACommand> {
        if let Some(wish) = Wish::read(line) {
            let refused = |hint| NotACommand { hint: Some(hint) };
            return wish.map(Self::Hop).map_err(refused);
        }
        let words = words::split(line).map_err(|error| NotACommand {
            hint: hint(line, Some(error)),
        })?;
        let command = match words.as_slice() {
            ["help"] => Some(Self::Help),
            ["exit"] => Some(Self::Exit),
            ["targets"] => Some(Self::Targets { json: false }),
            ["targets", "--json"] => Some(Self::Targets { json: true }),
            ["whoami"] => Some(Self::Whoami { json: false }),
            ["whoami", "--json"] => Some(Self::Whoami { json: true }),
            ["sessions"] => Some(Self::Sessions { json: false }),
            ["sessions", "--json"] => Some(Self::Sessions { json: true }),
            ["sessions", "end", name] => end_session(name),
            ["mfa"] => Some(Self::Mfa { json: false }),
            ["mfa", "--json"] => Some(Self::Mfa { json: true }),
            ["mfa", "recovery-codes"] => Some(Self::RecoveryCodes),
            ["connect", host, port] => connect(host, port),
            _ => None,
        };
        command.ok_or_else(|| NotACommand {
            hint: hint(line, None),
        })
    }
}

fn end_session(name: &str) -> Option<Command> {
    let digits = name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    ((1..=SESSION_MAX).contains(&name.len()) && digits).then(|| Command::EndSession {
        session: name.to_owned(),
    })
}

fn connect(host: &str, port: &str) -> Option<Command> {
    let decimal = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
    let port = port.parse().ok().filter(|_| decimal)?;
    words::is_host(host).then(|| Command::Connect {
        host: host.to_owned(),
        port,
    })
}

/// What to do instead. The first word only chooses the advice; the line is refused whatever it is.
fn hint(line: &[u8], error: Option<WordsError>) -> Option<&'static str> {
    let line = String::from_utf8_lossy(line);
    let first = line.split_ascii_whitespace().next().unwrap_or("");
    let program = first.rsplit('/').next().unwrap_or(first);
    match program {
        "scp" | "sftp-server" | "internal-sftp" | "sftp" => {
            Some("to copy files go through the jump server, as in: scp -J BASTION FILE TARGET:")
        }
        "rsync" => Some(
            "to copy files go through the jump server, as in: rsync -e 'ssh -J BASTION' FILE TARGET:",
        ),
        "git" | "git-upload-pack" | "git-receive-pack" | "git-upload-archive" => Some(
            "to reach a repository go through the jump server, as in: GIT_SSH_COMMAND='ssh -J BASTION' git clone TARGET:REPOSITORY",
        ),
        "connect" => Some("it is written: connect HOST PORT"),
        "sessions" => Some(
            "it is written: sessions, sessions --json, or sessions end SESSION with the beginning of a name of that list",
        ),
        "mfa" => Some("it is written: mfa, mfa --json, or mfa recovery-codes"),
        "whoami" | "targets" => Some("it takes no argument but --json"),
        "help" | "exit" => Some("it takes no argument"),
        _ if error == Some(WordsError::TooLong) => Some("it is longer than any command here"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_commands_are_known() {
        let connect = Command::Connect {
            host: "db1.example.internal".into(),
            port: 22,
        };
        for (line, command) in [
            ("help", Command::Help),
            ("exit", Command::Exit),
            ("whoami", Command::Whoami { json: false }),
            (" targets  --json ", Command::Targets { json: true }),
            ("sessions", Command::Sessions { json: false }),
            (
                "sessions end 07070707070707070707070707070707",
                Command::EndSession {
                    session: "07070707070707070707070707070707".into(),
                },
            ),
            (
                "sessions end 07",
                Command::EndSession {
                    session: "07".into(),
                },
            ),
            ("mfa", Command::Mfa { json: false }),
            ("mfa recovery-codes", Command::RecoveryCodes),
            ("connect db1.example.internal 22", connect),
            (
                "connect 2001:db8::1 443",
                Command::Connect {
                    host: "2001:db8::1".into(),
                    port: 443,
                },
            ),
            (
                "ssh root@db1 uptime; id",
                Command::Hop(Wish {
                    host: "db1".into(),
                    port: None,
                    login: Some("root".into()),
                    command: Some(b"uptime; id".to_vec()),
                }),
            ),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), Ok(command), "{line}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for line in REFUSED {
            assert!(Command::parse(line.as_bytes()).is_err(), "{line:?}");
        }
    }

    #[test]
    fn who_copies_files_is_told_how() {
        for line in [
            "scp -t /tmp/x",
            "internal-sftp",
            "/usr/lib/openssh/sftp-server",
            "rsync --server -e.LsfxCIvu . x",
            "git-upload-pack '/x'",
            "git-receive-pack x.git",
        ] {
            let hint = Command::parse(line.as_bytes()).unwrap_err().hint.unwrap();
            assert!(hint.contains("-J BASTION"), "{hint}");
            assert!(!hint.contains('\n'), "{hint}");
        }
        let scp = Command::parse(b"scp -t x; sh").unwrap_err().hint.unwrap();
        assert!(scp.contains("-J BASTION"), "{scp}");
    }

    /// Attacks A12, A13 and A45, and slips of the pen.
    const REFUSED: &[&str] = &[
        "",
        " ",
        "sh",
        "/bin/sh -i",
        "/bin/sh -c id",
        "bash --norc",
        "-c help",
        "--",
        "help; sh",
        "help && sh",
        "help\nsh",
        "$(sh)",
        "`sh`",
        "whoami | sh",
        "whoami > /tmp/x",
        "'whoami'",
        "WHOAMI",
        "./whoami",
        "whoami --help",
        "whoami --json --json",
        "targets x",
        "sessions end",
        "sessions end xyz",
        "sessions end 07070707070707070707070707070707 x",
        "sessions end 070707070707070707070707070707070",
        "sessions kill 07070707070707070707070707070707",
        "mfa enroll",
        "mfa recovery-codes 123456",
        "mfa --json recovery-codes",
        "help me",
        "exit 0",
        "scp -t /tmp/x",
        "scp -f /etc/passwd",
        "scp -t x; sh",
        "rsync --server -vlogDtpre.iLsfxCIvu . /tmp",
        "rsync --server . ; sh",
        "internal-sftp",
        "/usr/lib/openssh/sftp-server",
        "/usr/lib/openssh/sftp-server; sh",
        "git-upload-pack 'x.git'",
        "git-receive-pack x.git",
        "mosh-server new -s",
        "connect",
        "connect db1",
        "connect db1 22 23",
        "connect db1 0",
        "connect db1 022",
        "connect db1 +22",
        "connect db1 -1",
        "connect db1 65536",
        "connect db1 ssh",
        "connect db1:22",
        "connect -oProxyCommand=sh 22",
        "ssh",
        "ssh -oProxyCommand=sh db1",
        "ssh -t db1",
        "ssh -- db1",
        "/usr/bin/ssh db1",
        "connect /run/jump/jumpd.sock 22",
        "connect db1%lo 22",
        "connect $HOST 22",
        "env",
        "exec sh",
        "nc db1 22",
    ];
}
