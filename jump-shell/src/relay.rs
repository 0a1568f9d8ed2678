//! Bytes between the user and a connected target, until both sides have said all.
//!
//! Two flows run side by side, each with its own end: the end of the user's
//! input becomes the end of what the target hears (shutdown(2)), the end of
//! the target's output closes standard output, and the relay is over when both
//! have happened. A pipe is spliced, so that its bytes never pass through this
//! process; a terminal or a socket is copied. Nothing but these bytes is ever
//! written to standard output.
//!
//! The loop remembers which ends are known to be ready and waits only for the
//! others: a level-triggered poll would otherwise spin while one end is
//! readable and the other is full.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown};
use rustix::pipe::SpliceFlags;

/// How many bytes one step moves at most.
const CHUNK: usize = 64 * 1024;

/// How many bytes go to a terminal at once: it blocks when it is full, so it
/// gets no more than it has room for whenever poll(2) calls it writable.
const TERMINAL_CHUNK: usize = 1024;

const BROKEN: PollFlags = PollFlags::HUP.union(PollFlags::ERR);

/// Why a relay ended before both sides had said all. Displayed as the end of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RelayError {
    /// The target broke the connection off.
    #[error("the target broke the connection off")]
    Target,
    /// Nobody reads standard output any more.
    #[error("nobody reads the answer any more")]
    Reader,
    /// The system failed.
    #[error("{}", std::io::Error::from(*.0))]
    System(#[from] Errno),
}

/// What kind of file standard input or output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A pipe or fifo: it can be spliced.
    Pipe,
    /// A socket: it can be half-closed.
    Socket,
    /// A terminal or a file.
    Other,
}

/// The user's two ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User<'a> {
    /// What the user sends.
    pub(crate) input: (BorrowedFd<'a>, Kind),
    /// Where the user reads: the process's standard output.
    pub(crate) output: (BorrowedFd<'a>, Kind),
    /// A file that takes nothing, to stand where standard output was once that is closed.
    pub(crate) parked: BorrowedFd<'a>,
}

/// Both flows, with all memory they will ever need.
#[derive(Debug)]
pub(crate) struct Relay<'a> {
    user: User<'a>,
    target: BorrowedFd<'a>,
    up: Flow<'a>,
    down: Flow<'a>,
}

/// One direction.
#[derive(Debug)]
struct Flow<'a> {
    from: BorrowedFd<'a>,
    to: BorrowedFd<'a>,
    splices: bool,
    /// Whether `to` is a socket.
    sends: bool,
    /// Bytes that were read and are not yet written: from `start` to `end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    readable: bool,
    writable: bool,
    ended: bool,
}

/// How one step of a flow went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Moved,
    /// Something must become ready first.
    Stuck,
    /// `from` has said all, and all of it is at `to`.
    End,
    Failed(Side),
}

/// Which end of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    From,
    To,
}

impl<'a> Flow<'a> {
    fn new(from: (BorrowedFd<'a>, Kind), to: (BorrowedFd<'a>, Kind), held: Vec<u8>) -> Self {
        let splices = from.1 == Kind::Pipe || to.1 == Kind::Pipe;
        let end = held.len();
        let mut buffer = held;
        if !splices {
            buffer.resize(end.max(CHUNK), 0);
        }
        Self {
            from: from.0,
            to: to.0,
            splices,
            sends: to.1 == Kind::Socket,
            buffer,
            start: 0,
            end,
            readable: false,
            writable: false,
            ended: false,
        }
    }

    fn holds(&self) -> bool {
        self.start < self.end
    }

    /// Whether the next step must know that `from` can be read.
    fn awaits_input(&self) -> bool {
        !self.ended && !self.readable && !self.holds()
    }

    /// Whether the next step must know that `to` can be written.
    fn awaits_output(&self) -> bool {
        !self.ended && !self.writable && (self.holds() || (self.splices && self.readable))
    }

    fn step(&mut self) -> Step {
        match (self.holds(), self.splices) {
            _ if self.ended => Step::Stuck,
            (true, _) if self.writable => self.write(),
            (false, true) if self.readable && self.writable => self.splice(),
            (false, false) if self.readable => self.read(),
            _ => Step::Stuck,
        }
    }

    fn splice(&mut self) -> Step {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        match rustix::pipe::splice(self.from, None, self.to, None, CHUNK, flags) {
            Ok(0) => Step::End,
            Ok(_) | Err(Errno::INTR) => Step::Moved,
            Err(Errno::AGAIN) => {
                // Which of the two is not ready cannot be told.
                self.readable = false;
                self.writable = false;
                Step::Stuck
            }
            // Only writing gives EPIPE; any other failure is the socket's, whichever end it is.
            Err(Errno::PIPE) => Step::Failed(Side::To),
            Err(_) => Step::Failed(if self.sends { Side::To } else { Side::From }),
        }
    }

    fn read(&mut self) -> Step {
        // One read for each poll: what does not say EAGAIN would block.
        self.readable = false;
        match rustix::io::read(self.from, &mut self.buffer[..]) {
            Ok(0) => Step::End,
            Ok(count) => {
                self.start = 0;
                self.end = count;
                Step::Moved
            }
            Err(Errno::INTR | Errno::AGAIN) => Step::Stuck,
            Err(_) => Step::Failed(Side::From),
        }
    }

    fn write(&mut self) -> Step {
        self.writable = false;
        let held = &self.buffer[self.start..self.end];
        let wrote = if self.sends {
            rustix::net::send(self.to, held, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
        } else {
            rustix::io::write(self.to, &held[..held.len().min(TERMINAL_CHUNK)])
        };
        match wrote {
            Ok(count) => {
                self.start += count;
                Step::Moved
            }
            Err(Errno::INTR | Errno::AGAIN) => Step::Stuck,
            Err(_) => Step::Failed(Side::To),
        }
    }
}

impl<'a> Relay<'a> {
    /// A relay between `user` and `target`, a TCP socket that does not block;
    /// `typed` was read from the user before.
    pub(crate) fn new(user: User<'a>, target: &'a OwnedFd, typed: Vec<u8>) -> Self {
        let target = target.as_fd();
        let socket = (target, Kind::Socket);
        Self {
            user,
            target,
            up: Flow::new(user.input, socket, typed),
            down: Flow::new(socket, user.output, Vec::new()),
        }
    }

    /// Relays until both sides have said all. Standard output is closed afterwards.
    ///
    /// # Errors
    /// When one side broke off, or the system failed.
    pub(crate) fn run(mut self) -> Result<(), RelayError> {
        let mut waiting = Vec::with_capacity(3);
        let mut outcome = Ok(());
        loop {
            match self.up.step() {
                Step::Moved => continue,
                Step::Stuck => {}
                // A terminal that is hung up ends like one that is closed.
                Step::End | Step::Failed(Side::From) => {
                    self.up.ended = true;
                    // Fails only where the connection is broken, which reading shows.
                    let _ = rustix::net::shutdown(self.target, Shutdown::Write);
                }
                // The target takes no more, but what it said before may still be on its way.
                Step::Failed(Side::To) => {
                    self.up.ended = true;
                    outcome = Err(RelayError::Target);
                }
            }
            match self.down.step() {
                Step::Moved => continue,
                Step::Stuck => {}
                Step::End => {
                    self.down.ended = true;
                    self.close_output()?;
                }
                Step::Failed(Side::From) => return Err(RelayError::Target),
                Step::Failed(Side::To) => return Err(RelayError::Reader),
            }
            if self.up.ended && self.down.ended {
                return outcome;
            }
            self.wait(&mut waiting)?;
        }
    }

    /// Waits until a flow can go on; an end that broke ends the relay.
    fn wait(&mut self, waiting: &mut Vec<PollFd<'a>>) -> Result<(), RelayError> {
        let mut at_target = PollFlags::empty();
        at_target.set(PollFlags::IN, self.down.awaits_input());
        at_target.set(PollFlags::OUT, self.up.awaits_output());
        let at_output = if self.down.awaits_output() {
            PollFlags::OUT
        } else {
            PollFlags::empty()
        };
        waiting.clear();
        let mut add = |wanted: bool, fd, events| {
            wanted.then(|| {
                waiting.push(PollFd::from_borrowed_fd(fd, events));
                waiting.len() - 1
            })
        };
        let input = add(self.up.awaits_input(), self.user.input.0, PollFlags::IN);
        // Once the target has said all, only its breaking off is news.
        let target = add(
            !at_target.is_empty() || self.down.ended,
            self.target,
            at_target,
        );
        // Even when nothing is to be written: a reader that left is news.
        let output = add(!self.down.ended, self.user.output.0, at_output);
        match poll(waiting, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let came = |at: Option<usize>| at.map_or(PollFlags::empty(), |at| waiting[at].revents());
        let (input, target, output) = (came(input), came(target), came(output));
        self.up.readable |= !input.is_empty();
        self.down.readable |= target.intersects(PollFlags::IN | BROKEN);
        self.up.writable |= target.intersects(PollFlags::OUT | BROKEN);
        self.down.writable |= output.contains(PollFlags::OUT);
        if output.intersects(BROKEN) {
            return Err(RelayError::Reader);
        }
        if self.down.ended && target.intersects(BROKEN) {
            return Err(RelayError::Target);
        }
        Ok(())
    }

    /// The target has said all: so says standard output.
    fn close_output(&self) -> Result<(), RelayError> {
        let (output, kind) = self.user.output;
        if kind == Kind::Socket {
            // Standard input may be the same socket, which closing would leave open.
            let _ = rustix::net::shutdown(output, Shutdown::Write);
        }
        Ok(rustix::stdio::dup2_stdout(self.user.parked)?)
    }
}
