//! What the shell gives up before it reads a single byte of its user's.
//!
//! In this order, because each step needs what the next takes away: every
//! inherited file, core dumps and tracing, resources, capabilities, new
//! privileges, the file system (Landlock), and last every system call that
//! is not on a list ([`calls`]). What must be read from the host, its time
//! zone, is read in between. The runner of hops, where there may be hops, is started before all
//! that and confines itself (`runner`). The session's own confinement, set by the PAM
//! session, lies beneath all this and stays in force whatever happens here.
//!
//! A kernel without Landlock gives one layer less, and `whoami` says so; any
//! other step that fails, fails the shell.

pub mod calls;
mod files;
pub mod filter;
pub mod hop_calls;
mod landlock;
mod privileges;
mod runner;

use crate::clock::Clock;
use crate::environment::Environment;
use crate::hop::Hops;
use crate::places::Places;
use crate::relay::{Kind, Relay, RelayError, User};
use crate::terminal::Terminal;
use landlock::{Open, close_file_system};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
pub(crate) use runner::RunnerLists;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use seccompiler::BpfProgram;

/// A step of the confinement that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SandboxError {
    /// The kernel refused a call.
    #[error("{what}: {source}")]
    Call {
        /// What was to be done.
        what: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// After everything was dropped, `/proc/self/status` shows otherwise.
    #[error("{0}")]
    NotDropped(String),
    /// The system call filter could not be made or set.
    #[error("system call filter: {0}")]
    Filter(#[from] filter::FilterError),
}

impl SandboxError {
    fn call(what: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::Call {
            what,
            source: errno.into(),
        }
    }
}

/// What was taken from the host before it was closed.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The host's wall clock.
    pub(crate) clock: Clock,
    /// Layers in force, as `seccomp+landlock7`.
    pub(crate) layers: String,
    /// The terminal, where a person sits at both ends.
    pub(crate) terminal: Option<Terminal>,
    /// Whether answers go to a terminal.
    pub(crate) output_is_terminal: bool,
    /// Where Ctrl-C and a new size of the window arrive, in an interactive session on a terminal.
    pub(crate) signals: Option<SignalFd>,
    /// What runs hops; none where this host cannot.
    pub(crate) hops: Option<Hops>,
    input: Kind,
    output: Kind,
    /// The reading end of a pipe without a writer: always at its end, never writable.
    parked: OwnedFd,
    relay: BpfProgram,
}

/// What the shell will be asked to do, as far as its confinement depends on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    /// Commands are read from the terminal.
    pub(crate) interactive: bool,
    /// A hop may be asked for.
    pub(crate) hops: bool,
}

/// Confines the process for good. jumpd's socket is the one path it may still connect to.
pub(crate) fn enter(
    places: &Places,
    needs: Needs,
    environment: &Environment,
) -> Result<Prepared, SandboxError> {
    files::close_inherited()?;
    privileges::forbid_tracing()?;
    // The name that ps(1) shows; a start from /proc/self/exe would show "exe".
    rustix::thread::set_name(c"jump-shell").map_err(SandboxError::call("name"))?;
    let terminal = Terminal::of_user();
    let signals = if (needs.interactive || needs.hops) && terminal.is_some() {
        Some(keyboard_signals()?)
    } else {
        None
    };
    let (parked, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(SandboxError::call("pipe"))?;
    drop(writer);
    let term = environment.term.as_deref();
    let start = || runner::start(places, terminal.as_ref(), term).ok();
    let hops = needs.hops.then(start).flatten();
    let mut prepared = Prepared {
        hops,
        clock: Clock::of_host(),
        layers: String::new(),
        terminal,
        output_is_terminal: rustix::termios::isatty(rustix::stdio::stdout()),
        signals,
        input: files::kind(rustix::stdio::stdin()),
        output: files::kind(rustix::stdio::stdout()),
        parked,
        relay: filter::compile(calls::RELAY)?,
    };
    let shell = filter::compile(calls::SHELL)?;
    privileges::limit_resources()?;
    privileges::drop_all()?;
    let reach: Vec<Open<'_>> = places
        .socket
        .parent()
        .map(Open::sockets)
        .into_iter()
        .collect();
    prepared.layers = format!("seccomp{}", close_file_system(&reach));
    filter::install(&shell)?;
    Ok(prepared)
}

/// The terminal's signals become something to read: Ctrl-C begins a new line instead
/// of ending the session, another size draws the line anew, and no signal handler runs.
fn keyboard_signals() -> Result<SignalFd, SandboxError> {
    let failed = |errno: nix::Error| SandboxError::Call {
        what: "signalfd",
        source: errno.into(),
    };
    let keyboard = keyboard();
    keyboard.thread_block().map_err(failed)?;
    SignalFd::with_flags(&keyboard, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(failed)
}

fn keyboard() -> SigSet {
    [
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTSTP,
        Signal::SIGWINCH,
    ]
    .into_iter()
    .collect()
}

impl Prepared {
    /// Gives up everything that relaying does not need, then relays between the user and `target`.
    pub(crate) fn relay(&self, target: &OwnedFd, typed: Vec<u8>) -> Result<(), RelayFailure> {
        if self.signals.is_some() {
            // From here on Ctrl-C ends the shell, and the connection with it.
            let _ = keyboard().thread_unblock();
        }
        let user = User {
            input: (rustix::stdio::stdin(), self.input),
            output: (rustix::stdio::stdout(), self.output),
            parked: self.parked.as_fd(),
        };
        let relay = Relay::new(user, target, typed);
        filter::install(&self.relay)?;
        Ok(relay.run()?)
    }
}

/// Why a relay did not end well. Displayed as the end of a sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayFailure {
    /// It could not be confined, so it did not begin.
    #[error("the connection could not be confined ({0})")]
    Filter(#[from] filter::FilterError),
    /// It broke off.
    #[error(transparent)]
    Relay(#[from] RelayError),
}
