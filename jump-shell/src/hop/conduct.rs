//! A hop from its question to its last word.

use super::desk::Desk;
use super::finish::Finish;
use super::own_words::Failure;
use super::recorder::{Lost, Recorder, Screen};
use super::relay::{Parties, Relay};
use super::runner::{Order, Start};
use super::{Hops, ShellEnds, Wish};
use crate::clock::Clock;
use crate::jumpd::Jumpd;
use crate::print;
use crate::session::{Outcome, UNANSWERED};
use crate::terminal::Terminal;
use crate::text::shown;
use crate::warning::Warnings;
use jump_proto::{HopOpened, HopRequest, Reason, Reply, Request};
use nix::sys::signalfd::SignalFd;

/// What ssh itself ends with when there is no connection, or none any more (ssh(1)).
const FAILED: u8 = 255;

/// The size of a screen that nobody looks at.
const NO_SCREEN: (u16, u16) = (80, 24);

/// What a hop needs of the session.
#[derive(Debug)]
pub(crate) struct Around<'a> {
    pub(crate) jumpd: &'a mut Jumpd,
    pub(crate) hops: Option<&'a mut Hops>,
    pub(crate) terminal: Option<&'a Terminal>,
    pub(crate) signals: Option<&'a SignalFd>,
    pub(crate) warnings: &'a mut Warnings,
    pub(crate) clock: &'a Clock,
    pub(crate) term: Option<&'a str>,
    /// What was typed after the command.
    pub(crate) typed: Vec<u8>,
}

/// Asks for the hop, runs it, and tells jumpd and the user how it ended.
pub(crate) fn conduct(wish: &Wish, mut around: Around<'_>) -> Outcome {
    let Some(hops) = around.hops.take().filter(|hops| !hops.is_lost) else {
        print::complain("This jump server cannot run ssh now; please tell the administrators.");
        return Outcome::Failed;
    };
    let question = Request::HopOpen(HopRequest {
        host: wish.host.clone(),
        port: wish.port,
        login: wish.login.clone(),
    });
    let opened = match around.jumpd.ask(&question) {
        Ok(Reply::Hop(opened)) => opened,
        Ok(Reply::Refused { message, .. }) => {
            print::complain(&shown(&message));
            return Outcome::Failed;
        }
        _ => {
            print::complain(UNANSWERED);
            return Outcome::Failed;
        }
    };
    let is_last = around.terminal.is_none();
    let (status, end) = run(wish, &opened, &mut around, hops);
    let (reason, sentence) = end.map_or((None, None), |end| end.told(wish, &opened));
    let over = Request::HopEnded {
        hop: opened.hop.clone(),
        status,
        reason,
    };
    // A jumpd that is away learns of it by the connection's end.
    if reason != Some(Reason::Unavailable) {
        let _told = around.jumpd.ask(&over);
    }
    if let Some(sentence) = sentence {
        print::complain(&sentence);
    }
    let status = status.unwrap_or(FAILED);
    Outcome::Hop { status, is_last }
}

/// Why a hop did not end by ssh's own end, or did not come about.
enum End {
    Finish(Finish),
    NotRecorded(Lost),
    Failure(Failure),
}

fn run(
    wish: &Wish,
    opened: &HopOpened,
    around: &mut Around<'_>,
    hops: &mut Hops,
) -> (Option<u8>, Option<End>) {
    let recorder = match opened
        .record
        .then(|| record(wish, opened, around))
        .transpose()
    {
        Ok(recorder) => recorder,
        Err(lost) => return (None, Some(End::NotRecorded(lost))),
    };
    if !hops.start(wish, opened) {
        return (None, Some(End::Finish(Finish::RunnerGone)));
    }
    let mut desk = Desk::new(around.jumpd);
    if around.terminal.is_some() {
        desk = desk.with_person(around.warnings, around.clock);
    }
    // Of a recorded hop, the recorder is noticed.
    if recorder.is_none() {
        desk = desk.with_login();
    }
    let parties = Parties {
        terminal: around.terminal,
        signals: around.signals,
        desk,
        recorder,
        typed: std::mem::take(&mut around.typed),
    };
    let passing = around.terminal.map(Passing::begin);
    let finish = Relay::new(hops, parties).run();
    let has_line = matches!(finish, Finish::Ended { failure: None, .. });
    if passing.is_some() && !has_line {
        // Whatever comes next is a sentence, on a line of its own.
        print::answer("\r\n");
    }
    drop(passing);
    hops.is_lost = matches!(finish, Finish::RunnerGone);
    match finish {
        Finish::Ended { failure, status } if failure.is_some() || status.is_some() => {
            (status, failure.map(End::Failure))
        }
        other => (None, Some(End::Finish(other))),
    }
}

fn record(wish: &Wish, opened: &HopOpened, around: &Around<'_>) -> Result<Recorder, Lost> {
    let size = around.terminal.and_then(Terminal::size);
    let (cols, rows) = size.map_or(NO_SCREEN, |size| (size.ws_col, size.ws_row));
    let term = around.term;
    Recorder::begin(
        around.jumpd.socket(),
        &opened.hop,
        Screen { cols, rows, term },
        asked(wish, opened),
    )
}

/// What ssh is asked for, as one would type it.
fn asked(wish: &Wish, opened: &HopOpened) -> String {
    let command = String::from_utf8_lossy(wish.command.as_deref().unwrap_or_default());
    let line = format!("ssh {}@{} {command}", opened.login, wish.host);
    line.trim_end().chars().take(ASKED_MAX).collect()
}

/// So much of a command is kept as a marker, in characters; no command of the shell's is longer.
const ASKED_MAX: usize = 8 * 1024;

/// The user's terminal while it passes every byte on; as it came when this is dropped.
struct Passing<'t>(&'t Terminal);

impl<'t> Passing<'t> {
    fn begin(terminal: &'t Terminal) -> Self {
        terminal.pass_on();
        Self(terminal)
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        self.0.restore();
    }
}

impl Hops {
    /// Has ssh started; false where the runner is gone.
    fn start(&mut self, wish: &Wish, opened: &HopOpened) -> bool {
        self.drain();
        let start = Start {
            address: opened.address,
            login: opened.login.clone(),
            host_key_alias: opened.host_key_alias.clone(),
            known_hosts: opened.known_hosts.clone(),
            forwarded_agent: opened.forwarded_agent,
            command: wish.command.clone(),
        };
        self.runner.set_timeout(None).is_ok() && self.runner.send(&Order::Start(start)).is_ok()
    }

    /// What a hop before left is nobody's.
    fn drain(&self) {
        if let ShellEnds::Terminal { master, errors } = &self.ends {
            let mut bytes = [0; 4096];
            for left in [master, errors] {
                while let Ok(1..) = rustix::io::read(left, &mut bytes) {}
            }
        }
    }
}

impl End {
    /// The word for jumpd and the sentence for the user.
    fn told(self, wish: &Wish, opened: &HopOpened) -> (Option<Reason>, Option<String>) {
        let host = &wish.host;
        let file = shown(&opened.known_hosts);
        let alias = shown(&opened.host_key_alias);
        match self {
            Self::Failure(failure) => {
                let sentence = match &failure {
                    Failure::UnknownKey => format!(
                        "{host}: this jump server does not know the target's host key, so nothing was sent there; \
                         please tell the administrators (it belongs into {file}, as {alias})."
                    ),
                    Failure::ChangedKey => format!(
                        "{host}: the target has ANOTHER host key than this jump server knows, so nothing was sent there. \
                         It may be an impostor: please tell the administrators ({file} has {alias})."
                    ),
                    Failure::Login => format!(
                        "{host}: the target does not let {} in; please tell the administrators.",
                        shown(&opened.login)
                    ),
                    Failure::Connection(said) => {
                        format!("{host}: there is no connection ({}).", shown(said))
                    }
                };
                (Some(failure.reason()), Some(sentence))
            }
            Self::NotRecorded(lost) => {
                let sentence = match lost {
                    Lost::Told(text) => shown(&text),
                    Lost::Silent => format!(
                        "{host}: it may be reached only while it is recorded, and the recorder does not answer now."
                    ),
                };
                (Some(Reason::RecorderLost), Some(sentence))
            }
            Self::Finish(finish) => finish.told(host),
        }
    }
}
