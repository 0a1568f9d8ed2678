//! One user's session: runs commands, one after the other, and says how each ended.

use crate::command::{Command, NotACommand};
use crate::connect;
use crate::jumpd::Jumpd;
use crate::print;
use crate::sandbox::Prepared;
use crate::text::{shown, shown_bytes};
use crate::whoami;
use jiff::Timestamp;
use jump_proto::{Reach, Reply, Request, SessionInfo};

/// How much of a refused command goes into the audit trail, in bytes.
const REFUSED_MAX: usize = 1024;

/// How much of a refused command is shown, in characters.
const SHOWN_MAX: usize = 120;

/// Where jumpd, or the way to it, gives no usable answer.
const UNANSWERED: &str = "The jump server cannot answer now; please try again in a moment.";

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did what was asked.
    Done,
    /// It could not; the user was told why.
    Failed,
    /// It is not a command of this shell.
    Refused,
    /// It was the last: `exit`, or a relay that has ended.
    Left {
        /// Whether it ended well.
        well: bool,
    },
}

impl Outcome {
    /// The exit status (126: "cannot execute", POSIX shell).
    pub(crate) fn status(self) -> u8 {
        match self {
            Self::Done | Self::Left { well: true } => 0,
            Self::Failed | Self::Left { well: false } => 1,
            Self::Refused => 126,
        }
    }
}

/// What a session needs to run commands.
#[derive(Debug)]
pub(crate) struct Session {
    jumpd: Jumpd,
    prepared: Prepared,
}

impl Session {
    /// A session that asks `jumpd` and has all else it needs in `prepared`.
    pub(crate) fn new(jumpd: Jumpd, prepared: Prepared) -> Self {
        Self { jumpd, prepared }
    }

    /// Open files and facts that were taken before the confinement.
    pub(crate) fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// Runs the one command of `ssh BASTION COMMAND`.
    pub(crate) fn once(&mut self, line: &[u8]) -> Outcome {
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(NotACommand { hint }) => return self.refuse(line, hint),
        };
        // The first question opens the shell's trail in the journal; without
        // it nothing is done (an event is written before the thing happens).
        let text = String::from_utf8_lossy(line).into_owned();
        match self.info(Some(text)) {
            Some(info) => self.run(&command, Some(&info), &mut Vec::new()),
            None => Outcome::Failed,
        }
    }

    /// Runs one line of an interactive session; `typed` is what came after it: a relay takes it along.
    pub(crate) fn line(&mut self, line: &[u8], typed: &mut Vec<u8>) -> Outcome {
        match Command::parse(line) {
            Ok(command) => self.run(&command, None, typed),
            Err(NotACommand { hint }) => self.refuse(line, hint),
        }
    }

    /// Who is here, as the beginning of the shell's trail; the user is told when there is no answer.
    pub(crate) fn info(&mut self, command: Option<String>) -> Option<SessionInfo> {
        match self.ask(&Request::Whoami { command })? {
            Reply::Whoami(info) => Some(info),
            other => complain_of(&other),
        }
    }

    /// Where the session may go now; the user is told when there is no answer.
    pub(crate) fn reach(&mut self) -> Option<Vec<Reach>> {
        match self.ask(&Request::Targets)? {
            Reply::Targets { targets } => Some(targets),
            other => complain_of(&other),
        }
    }

    /// Tells jumpd that the user is typing; a jumpd that is away counts that otherwise.
    pub(crate) fn is_active(&mut self) {
        let _told = self.jumpd.ask(&Request::Active);
    }

    /// When the session ends, as jumpd sees it now; no word to the user where it does not answer.
    pub(crate) fn ends(&mut self) -> Option<Reply> {
        self.jumpd.ask(&Request::Ends).ok()
    }

    fn run(
        &mut self,
        command: &Command,
        info: Option<&SessionInfo>,
        typed: &mut Vec<u8>,
    ) -> Outcome {
        match command {
            Command::Help => answered(Some(crate::help::TEXT.to_owned())),
            Command::Exit => Outcome::Left { well: true },
            Command::Targets { json } => {
                let clock = self.prepared.clock.clone();
                answered(self.reach().map(|reach| {
                    if *json {
                        whoami::as_json(&reach)
                    } else {
                        whoami::targets(&reach, &clock)
                    }
                }))
            }
            Command::Whoami { json } => {
                let info = match info {
                    Some(info) => Some(info.clone()),
                    None => self.info(Some("whoami".to_owned())),
                };
                answered(info.map(|info| {
                    if *json {
                        whoami::as_json(&info)
                    } else {
                        whoami::card(&info, &self.prepared, Timestamp::now())
                    }
                }))
            }
            Command::Connect { host, port } => self.connect(host, *port, typed),
        }
    }

    fn connect(&mut self, host: &str, port: u16, typed: &mut Vec<u8>) -> Outcome {
        let question = Request::Resolve {
            host: host.to_owned(),
            port,
        };
        let addresses = match self.ask(&question) {
            Some(Reply::Addresses { addresses }) => addresses,
            Some(other) => {
                complain_of::<()>(&other);
                return Outcome::Failed;
            }
            None => return Outcome::Failed,
        };
        let socket = match connect::dial(&addresses, port) {
            Ok(socket) => socket,
            Err(error) => {
                print::complain(&format!("{} port {port}: {error}.", shown(host)));
                return Outcome::Failed;
            }
        };
        self.jumpd.hang_up();
        match self.prepared.relay(&socket, std::mem::take(typed)) {
            Ok(()) => Outcome::Left { well: true },
            Err(error) => {
                print::complain(&format!("{} port {port}: {error}.", shown(host)));
                Outcome::Left { well: false }
            }
        }
    }

    /// Refuses `line`: first to the audit trail, then to the user, in one sentence.
    pub(crate) fn refuse(&mut self, line: &[u8], hint: Option<&str>) -> Outcome {
        // Refused it is, whether jumpd can write it down or not.
        let _ = self.jumpd.ask(&Request::ShellRefused {
            command: bounded(line),
        });
        let hint = hint.unwrap_or(
            "the jump server runs no programs, but ssh -J BASTION TARGET goes through it",
        );
        print::complain(&format!(
            "\"{}\" is not a command here; {hint} (\"help\" lists the commands).",
            shown_bytes(line, SHOWN_MAX)
        ));
        Outcome::Refused
    }

    fn ask(&mut self, question: &Request) -> Option<Reply> {
        let reply = self.jumpd.ask(question);
        if reply.is_err() {
            print::complain(UNANSWERED);
        }
        reply.ok()
    }
}

/// Says why there is no answer, and gives none.
fn complain_of<T>(reply: &Reply) -> Option<T> {
    match reply {
        Reply::Refused { message, .. } => print::complain(&shown(message)),
        _ => print::complain(UNANSWERED),
    }
    None
}

fn answered(text: Option<String>) -> Outcome {
    match text {
        Some(text) if print::answer(&text) => Outcome::Done,
        _ => Outcome::Failed,
    }
}

/// `line` as text of at most [`REFUSED_MAX`] bytes.
fn bounded(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(&line[..line.len().min(REFUSED_MAX)]);
    let mut end = text.len().min(REFUSED_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_command_is_bounded_in_the_trail() {
        assert_eq!(bounded(b"sh"), "sh");
        assert!(bounded(&[0xff; 5000]).len() <= REFUSED_MAX);
        assert!(bounded("é".repeat(2000).as_bytes()).len() <= REFUSED_MAX);
    }
}
