//! The user's terminal: its modes, as it came and as they are needed here, and its width.
//!
//! Its modes are read before the confinement; afterwards they can be set but not
//! read, and nothing can be typed into the terminal on the user's behalf (TIOCSTI).

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, Winsize};

/// A terminal at both ends of the shell.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// As sshd set it up: whole lines, which the kernel edits.
    came: Termios,
}

impl Terminal {
    /// The terminal, where standard input and output both are one.
    pub(crate) fn of_user() -> Option<Self> {
        if !rustix::termios::isatty(rustix::stdio::stdout()) {
            return None;
        }
        let came = rustix::termios::tcgetattr(rustix::stdio::stdin()).ok()?;
        Some(Self { came })
    }

    /// From now on every key is read by itself and shown by nobody; keyboard signals stay signals.
    pub(crate) fn read_keys(&self) {
        let mut modes = self.came.clone();
        modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        set(&modes);
    }

    /// From now on whole lines are read, and shown by nobody.
    pub(crate) fn read_hidden(&self) {
        let mut modes = self.came.clone();
        modes.local_modes |= LocalModes::ICANON;
        modes.local_modes -= LocalModes::ECHO;
        set(&modes);
    }

    /// From now on every byte passes as it is, both ways: another terminal does the rest.
    pub(crate) fn pass_on(&self) {
        let mut modes = self.came.clone();
        modes.make_raw();
        set(&modes);
    }

    /// Its modes when it came.
    pub(crate) fn came(&self) -> &Termios {
        &self.came
    }

    /// As it came.
    pub(crate) fn restore(&self) {
        set(&self.came);
    }

    /// How many columns it has; 0 where nobody knows.
    pub(crate) fn width(&self) -> usize {
        self.size().map_or(0, |size| usize::from(size.ws_col))
    }

    /// Its size, where it tells.
    pub(crate) fn size(&self) -> Option<Winsize> {
        rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()
    }
}

/// A terminal that is gone says so to the next read.
fn set(modes: &Termios) {
    let stdin = rustix::stdio::stdin();
    let _gone = rustix::termios::tcsetattr(stdin, OptionalActions::Now, modes);
}
