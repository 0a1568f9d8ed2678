//! A hop: one ssh from the jump server to a target, shown and relayed, and recorded where the rule says so.
//!
//! The user's line is read by [`wish`], jumpd decides, [`runner`] starts ssh with
//! [`arguments`] of this program's making, and [`relay`] passes bytes between the user
//! and ssh. What ssh says goes through [`output`]: a recorded hop shows nothing that
//! [`recorder`] has not kept. [`conduct`] is the whole of it, from question to last word.

mod arguments;
mod conduct;
mod desk;
mod finish;
mod output;
mod own_words;
mod recorder;
mod relay;
mod runner;
mod watch;
mod wish;

pub(crate) use conduct::{Around, conduct};
pub(crate) use runner::{Order, Report, Runner, SshEnds};
pub(crate) use wish::Wish;

use jump_proto::Channel;
use output::Sink;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

/// The shell's ends of a hop.
#[derive(Debug)]
pub(crate) enum ShellEnds {
    /// Where the user has a terminal, ssh has one, too, and its standard error is a pipe beside it.
    Terminal {
        /// The other side of ssh's terminal.
        master: OwnedFd,
        /// What ssh says by standard error.
        errors: OwnedFd,
    },
    /// Bytes as they are, for one hop.
    Pipes {
        /// What ssh reads; closed when the user has said all.
        input: Option<OwnedFd>,
        /// What the target says.
        output: OwnedFd,
        /// What it says by standard error.
        errors: OwnedFd,
    },
}

/// What ssh reads.
#[derive(Debug)]
enum Input<'a> {
    Terminal(BorrowedFd<'a>),
    Pipe(&'a mut Option<OwnedFd>),
}

impl Input<'_> {
    fn file(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Terminal(master) => Some(*master),
            Self::Pipe(pipe) => pipe.as_ref().map(AsFd::as_fd),
        }
    }
}

/// What the shell has of the runner, and of the user to whom it shows a hop.
#[derive(Debug)]
pub(crate) struct Hops {
    runner: Channel,
    ends: ShellEnds,
    out: Sink,
    errors: Sink,
    /// A runner that did not answer is not asked again.
    is_lost: bool,
}

impl Hops {
    /// With `runner` at the other end of a socket.
    pub(crate) fn new(runner: Channel, ends: ShellEnds) -> rustix::io::Result<Self> {
        Ok(Self {
            runner,
            ends,
            out: Sink::of(rustix::stdio::stdout(), "/proc/self/fd/1")?,
            errors: Sink::of(rustix::stdio::stderr(), "/proc/self/fd/2")?,
            is_lost: false,
        })
    }
}
