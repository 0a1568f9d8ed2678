//! One user's session: runs commands, one after the other, and says how each ended.

use crate::command::{Command, NotACommand};
use crate::connect;
use crate::hop::{self, Around, Wish};
use crate::jumpd::Jumpd;
use crate::mine;
use crate::print;
use crate::reader::{Input, Reader};
use crate::sandbox::Prepared;
use crate::style::{self, Style};
use crate::text::{shown, shown_bytes};
use crate::warning::Warnings;
use crate::whoami;
use jiff::Timestamp;
use jump_proto::{MfaUser, Reach, Reply, Request, Secret, SessionId, SessionInfo};
use std::time::Duration;

/// How much of a refused command goes into the audit trail, in bytes.
const REFUSED_MAX: usize = 1024;

/// How much of a refused command is shown, in characters.
const SHOWN_MAX: usize = 120;

/// Where jumpd, or the way to it, gives no usable answer.
pub(crate) const UNANSWERED: &str =
    "The jump server cannot answer now; please try again in a moment.";

/// Nobody types at a prompt for longer (the same as at a login).
const TYPING: Duration = Duration::from_secs(150);

/// How long new recovery codes may take: each is hashed slowly on purpose, and on a busy host slower still.
const SLOW_HASHES: Duration = Duration::from_secs(30);

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did what was asked.
    Done,
    /// It could not; the user was told why.
    Failed,
    /// It is not a command of this shell.
    Refused,
    /// It needs a person at a terminal.
    NeedsTerminal,
    /// It was the last: `exit`, or a relay that has ended.
    Left {
        /// Whether it ended well.
        well: bool,
    },
    /// A hop is over.
    Hop {
        /// The exit status of its command at the target, or ssh's own (255).
        status: u8,
        /// Whether the shell ends with it: without a terminal it took all input along.
        is_last: bool,
    },
}

impl Outcome {
    /// The exit status (126: "cannot execute", POSIX shell).
    pub(crate) fn status(self) -> u8 {
        match self {
            Self::Done | Self::Left { well: true } => 0,
            Self::Failed | Self::Left { well: false } => 1,
            Self::NeedsTerminal => 2,
            Self::Refused => 126,
            Self::Hop { status, .. } => status,
        }
    }

    /// Whether nothing can follow.
    pub(crate) fn is_last(self) -> bool {
        matches!(self, Self::Left { .. } | Self::Hop { is_last: true, .. })
    }
}

/// What a session needs to run commands.
#[derive(Debug)]
pub(crate) struct Session {
    jumpd: Jumpd,
    prepared: Prepared,
    style: Style,
    /// Whether the terminal lets a line be edited.
    edits: bool,
    /// The terminal's name.
    term: Option<String>,
    /// What the user was told of the session's end.
    pub(crate) warnings: Warnings,
}

impl Session {
    /// A session that asks `jumpd` and has all else it needs in `prepared`.
    pub(crate) fn new(jumpd: Jumpd, prepared: Prepared, style: Style, term: Option<&str>) -> Self {
        let edits = style::is_capable(term) && prepared.terminal.is_some();
        Self {
            jumpd,
            prepared,
            style,
            edits,
            term: term.map(str::to_owned),
            warnings: Warnings::default(),
        }
    }

    /// How answers look.
    pub(crate) fn style(&self) -> Style {
        self.style
    }

    /// Whether lines are edited here, and not by the kernel.
    pub(crate) fn edits(&self) -> bool {
        self.edits
    }

    /// Columns of the terminal; 0 where nobody knows.
    pub(crate) fn width(&self) -> usize {
        let terminal = self.prepared.terminal.as_ref();
        terminal.map_or(0, |terminal| terminal.width())
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
            Some(info) => self.run(&command, Some(&info), &mut Reader::default()),
            None => Outcome::Failed,
        }
    }

    /// Runs one line of an interactive session; `reader` has what came after it: a relay takes it along.
    pub(crate) fn line(&mut self, line: &[u8], reader: &mut Reader) -> Outcome {
        match Command::parse(line) {
            Ok(command) => self.run(&command, None, reader),
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

    /// The same, for Tab: no word to the user where there is no answer.
    pub(crate) fn reach_if_told(&mut self) -> Vec<Reach> {
        match self.jumpd.ask(&Request::Targets) {
            Ok(Reply::Targets { targets }) => targets,
            _ => Vec::new(),
        }
    }

    /// The names of the user's sessions, for Tab.
    pub(crate) fn own_sessions_if_told(&mut self) -> Vec<String> {
        match self.jumpd.ask(&Request::OwnSessions) {
            Ok(Reply::OwnSessions { sessions, .. }) => {
                sessions.into_iter().map(|s| s.session.into()).collect()
            }
            _ => Vec::new(),
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
        reader: &mut Reader,
    ) -> Outcome {
        match command {
            Command::Help => answered(Some(crate::help::TEXT.to_owned())),
            Command::Exit => Outcome::Left { well: true },
            Command::Targets { json } => {
                let (clock, style) = (self.prepared.clock.clone(), self.style);
                answered(self.reach().map(|reach| {
                    if *json {
                        whoami::as_json(&reach)
                    } else {
                        whoami::targets(&reach, &clock, style)
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
                        whoami::card(&info, &self.prepared, Timestamp::now(), self.style)
                    }
                }))
            }
            Command::Sessions { json } => answered(self.sessions(*json)),
            Command::EndSession { session } => self.end_session(session),
            Command::Mfa { json } => {
                let answer = self.second_factor().map(|user| {
                    if *json {
                        whoami::as_json(&user)
                    } else {
                        let clock = &self.prepared.clock;
                        mine::second_factor(&user, clock, Timestamp::now(), self.style)
                    }
                });
                answered(answer)
            }
            Command::RecoveryCodes => self.recovery_codes(reader),
            Command::Connect { host, port } => self.connect(host, *port, reader),
            Command::Hop(wish) => self.hop(wish, reader),
        }
    }

    /// The user's own sessions, laid out.
    fn sessions(&mut self, json: bool) -> Option<String> {
        match self.ask(&Request::OwnSessions)? {
            Reply::OwnSessions { sessions, .. } if json => Some(whoami::as_json(&sessions)),
            Reply::OwnSessions {
                this,
                sessions,
                more,
            } => {
                let clock = &self.prepared.clock;
                Some(mine::sessions(&sessions, &this, more, clock, self.style))
            }
            other => complain_of(&other),
        }
    }

    fn end_session(&mut self, name: &str) -> Outcome {
        let Some(session) = self.named(name) else {
            return Outcome::Failed;
        };
        let question = Request::EndOwnSession {
            session: session.clone(),
        };
        match self.ask(&question) {
            Some(Reply::Done) => answered(Some(format!("Session {session} is being ended.\n"))),
            Some(other) => answered(complain_of(&other)),
            None => Outcome::Failed,
        }
    }

    /// The one session of the user's whose name begins so; the user is told where there is none, or several.
    fn named(&mut self, beginning: &str) -> Option<SessionId> {
        // A whole name is for jumpd to know or not.
        if let Ok(session) = beginning.parse() {
            return Some(session);
        }
        let mut fitting = match self.ask(&Request::OwnSessions)? {
            Reply::OwnSessions { sessions, .. } => sessions
                .into_iter()
                .map(|session| session.session)
                .filter(|name| name.as_str().starts_with(beginning)),
            other => return complain_of(&other),
        };
        match (fitting.next(), fitting.next()) {
            (Some(one), None) => Some(one),
            (None, _) => {
                print::complain(&format!(
                    "No session of yours begins with {beginning}; \"sessions\" lists yours."
                ));
                None
            }
            (Some(_), Some(_)) => {
                print::complain(&format!(
                    "More than one session of yours begins with {beginning}; please write more of its name."
                ));
                None
            }
        }
    }

    fn second_factor(&mut self) -> Option<MfaUser> {
        match self.ask(&Request::OwnMfa)? {
            Reply::MfaStatus { users } => users.into_iter().next(),
            other => complain_of(&other),
        }
    }

    /// New recovery codes, for whoever is at the terminal and has the authenticator.
    fn recovery_codes(&mut self, reader: &mut Reader) -> Outcome {
        if self.prepared.terminal.is_none() {
            print::complain(
                "New recovery codes are shown at a terminal only: ssh -t BASTION mfa recovery-codes",
            );
            return Outcome::NeedsTerminal;
        }
        let Some(code) = self.typed_code(reader) else {
            print::complain("No code was typed, so nothing has changed.");
            return Outcome::Failed;
        };
        // The old ones are void before the answer comes: it must not come too late.
        let question = Request::OwnRecoveryCodes { code };
        match self.jumpd.ask_patiently(&question, SLOW_HASHES) {
            Ok(Some(Reply::RecoveryCodes { codes })) => {
                answered(Some(mine::recovery_codes(&codes, self.style)))
            }
            Ok(Some(other)) => answered(complain_of(&other)),
            Err(_) => {
                print::complain(UNANSWERED);
                Outcome::Failed
            }
            Ok(None) => {
                print::complain(
                    "The jump server did not answer. Your recovery codes may be void; \
                     please ask for new ones with the next code of your authenticator.",
                );
                Outcome::Failed
            }
        }
    }

    /// Asks for a code of the authenticator, which is not shown; none where nothing is typed.
    fn typed_code(&mut self, reader: &mut Reader) -> Option<Secret> {
        let terminal = self.prepared.terminal.as_ref()?;
        terminal.read_hidden();
        print::answer("Code of your authenticator now: ");
        let input = reader.next(self.prepared.signals.as_ref(), TYPING);
        terminal.restore();
        print::answer("\n");
        let Input::Line(line) = input else {
            return None;
        };
        let typed = String::from_utf8(line).ok()?;
        let typed = Secret::new(typed.trim().to_owned());
        (!typed.expose().is_empty()).then_some(typed)
    }

    fn connect(&mut self, host: &str, port: u16, reader: &mut Reader) -> Outcome {
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
        match self.prepared.relay(&socket, reader.take_waiting()) {
            Ok(()) => Outcome::Left { well: true },
            Err(error) => {
                print::complain(&format!("{} port {port}: {error}.", shown(host)));
                Outcome::Left { well: false }
            }
        }
    }

    fn hop(&mut self, wish: &Wish, reader: &mut Reader) -> Outcome {
        let Prepared {
            hops,
            terminal,
            signals,
            clock,
            ..
        } = &mut self.prepared;
        let around = Around {
            jumpd: &mut self.jumpd,
            hops: hops.as_mut(),
            terminal: terminal.as_ref(),
            signals: signals.as_ref(),
            warnings: &mut self.warnings,
            clock,
            term: self.term.as_deref(),
            typed: reader.take_waiting(),
        };
        hop::conduct(wish, around)
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
