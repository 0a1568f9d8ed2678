//! The auditor's terminal while something is played: its keys one by one, and everything as it was afterwards.
//!
//! Whatever ends the playing, a signal included, the terminal is put back:
//! signals are not obeyed but read, beside the keys.

use crate::error::Error;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{self, SetArg, Termios};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

/// Another screen, no line breaks of the terminal's own.
const BEGIN: &str = "\u{1b}[?1049h\u{1b}[?7l\u{1b}[2J";
/// The screen, colours, cursor and line breaks as they were.
const END: &str = "\u{1b}[0m\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";
/// After --raw: all that a recording may have switched on is off.
const END_RAW: &str = "\u{1b}[!p\u{1b}[?9l\u{1b}[?1000l\u{1b}[?1002l\u{1b}[?1003l\u{1b}[?1004l\u{1b}[?1006l\u{1b}[?2004l\u{1b}[?1049l\u{1b}[r\u{1b}[0m\u{1b}[?25h\u{1b}[?7h\r\n";

/// What happened at the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Happened {
    /// Nothing, for as long as was waited.
    Nothing,
    /// These bytes were typed.
    Typed(Vec<u8>),
    /// It may have another size.
    Resized,
    /// The program shall stop for a while.
    Suspend,
    /// The program shall end, or the terminal is gone.
    End,
}

/// A terminal that is lent.
pub(super) struct Terminal {
    came: Termios,
    signals: SignalFd,
    raw: bool,
}

/// Whether keys can be read and something be shown.
pub(super) fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

impl Terminal {
    /// Takes it. `raw`: the recording is shown as it is, so no screen is set up.
    pub(super) fn take(raw: bool) -> Result<Self, Error> {
        let failed = |e: Errno| Error::Output(e.into());
        let came = termios::tcgetattr(io::stdin()).map_err(failed)?;
        let mut mask = SigSet::empty();
        for signal in [
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGQUIT,
            Signal::SIGTSTP,
            Signal::SIGWINCH,
        ] {
            mask.add(signal);
        }
        mask.thread_block().map_err(failed)?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let signals = SignalFd::with_flags(&mask, flags).map_err(failed)?;
        let terminal = Self { came, signals, raw };
        terminal.set_up();
        Ok(terminal)
    }

    fn set_up(&self) {
        let mut modes = self.came.clone();
        termios::cfmakeraw(&mut modes);
        let _gone = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &modes);
        if !self.raw {
            tell(BEGIN);
        }
    }

    fn restore(&self) {
        tell(if self.raw { END_RAW } else { END });
        let _gone = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.came);
    }

    /// Columns and rows; as most terminals have, where nobody knows.
    pub(super) fn size(&self) -> (usize, usize) {
        match terminal_size() {
            Some((cols, rows)) if cols > 0 && rows > 0 => (cols.into(), rows.into()),
            _ => (80, 24),
        }
    }

    /// Waits for something to happen, so long at most.
    pub(super) fn wait(&mut self, most: Option<Duration>) -> Happened {
        let millis = most.map(|most| i32::try_from(most.as_millis()).unwrap_or(i32::MAX));
        let timeout = millis.map_or(PollTimeout::NONE, |millis| {
            PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
        });
        let stdin = io::stdin();
        let mut fds = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, timeout) {
            Ok(0) | Err(Errno::EINTR) => return Happened::Nothing,
            Ok(_) => {}
            Err(_) => return Happened::End,
        }
        let typed = fds[1].any().unwrap_or(false);
        if let Ok(Some(signal)) = self.signals.read_signal() {
            return match Signal::try_from(signal.ssi_signo.cast_signed()) {
                Ok(Signal::SIGWINCH) => Happened::Resized,
                Ok(Signal::SIGTSTP) => Happened::Suspend,
                _ => Happened::End,
            };
        }
        if !typed {
            return Happened::Nothing;
        }
        let mut bytes = vec![0; 256];
        match stdin.lock().read(&mut bytes) {
            Ok(count @ 1..) => {
                bytes.truncate(count);
                Happened::Typed(bytes)
            }
            _ => Happened::End,
        }
    }

    /// Whether something is to be read that has not been.
    pub(super) fn calls(&self) -> bool {
        let stdin = io::stdin();
        let mut fds = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Stops, as Ctrl-Z does elsewhere, with the terminal as it was meanwhile.
    pub(super) fn suspend(&self) {
        self.restore();
        let _continued = raise(Signal::SIGSTOP);
        self.set_up();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.restore();
    }
}

/// Nobody is left to be told if this fails.
fn tell(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn terminal_size() -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some((size.ws_col, size.ws_row))
}
