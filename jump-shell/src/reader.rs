//! Standard input, cut into lines or into keys, while signals and the clock are watched as well.

use crate::keys::{self, Key};
use crate::words::LINE_MAX;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::time::{Duration, Instant};

/// The number of the signal that tells of another size.
const RESIZED: u32 = Signal::SIGWINCH as u32;

/// What the user did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A line, without its end and without what keys other than letters send.
    Line(Vec<u8>),
    /// A line longer than any command; all of it is gone.
    TooLong,
    /// Ctrl-C: the line so far is gone.
    Interrupted,
    /// There will be no more.
    End,
    /// Nothing, for as long as was to be waited.
    Nothing,
}

/// What the user did at a terminal that passes on every key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stroke {
    Key(Key),
    Interrupted,
    /// The window has another size now.
    Resized,
    End,
    Nothing,
}

/// Standard input, as far as it was read.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// Read, and not yet a line or a key.
    waiting: Vec<u8>,
    /// Inside a line that is too long.
    skipping: bool,
    /// The last line has come, with its end of line or without.
    ended: bool,
}

impl Reader {
    /// The next line.
    pub(crate) fn next(&mut self, signals: Option<&SignalFd>, pause: Duration) -> Input {
        let begun = Instant::now();
        loop {
            if let Some(input) = self.cut() {
                return input;
            }
            if self.ended {
                return Input::End;
            }
            match self.wait(signals, begun, pause) {
                Some(News::Interrupt) => return Input::Interrupted,
                Some(News::Nothing) => return Input::Nothing,
                _ => {}
            }
        }
    }

    /// The next key.
    pub(crate) fn next_key(&mut self, signals: Option<&SignalFd>, pause: Duration) -> Stroke {
        let begun = Instant::now();
        loop {
            if let Some(key) = keys::take(&mut self.waiting) {
                return Stroke::Key(key);
            }
            if self.ended {
                return Stroke::End;
            }
            match self.wait(signals, begun, pause) {
                Some(News::Interrupt) => return Stroke::Interrupted,
                Some(News::Resize) => return Stroke::Resized,
                Some(News::Nothing) => return Stroke::Nothing,
                _ => {}
            }
        }
    }

    /// What was read and is nobody's yet, for whoever reads on.
    pub(crate) fn take_waiting(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.waiting)
    }

    /// The next key, where it has come already.
    pub(crate) fn peek_key(&mut self) -> Option<Key> {
        keys::peek(&mut self.waiting)
    }

    /// Waits for news and reads what came; none where that is all there is to it.
    fn wait(
        &mut self,
        signals: Option<&SignalFd>,
        begun: Instant,
        pause: Duration,
    ) -> Option<News> {
        match news(signals, pause.saturating_sub(begun.elapsed())) {
            News::Input => {
                self.fill();
                None
            }
            News::Interrupt => {
                self.waiting.clear();
                self.skipping = false;
                Some(News::Interrupt)
            }
            News::Resize => Some(News::Resize),
            News::Nothing => (begun.elapsed() >= pause).then_some(News::Nothing),
        }
    }

    /// The next line of what was read, if there is a whole one.
    fn cut(&mut self) -> Option<Input> {
        let end = self.waiting.iter().position(|b| *b == b'\n');
        let Some(end) =
            end.or_else(|| (self.ended && !self.waiting.is_empty()).then_some(self.waiting.len()))
        else {
            if self.waiting.len() > LINE_MAX {
                self.waiting.clear();
                self.skipping = true;
            }
            return None;
        };
        let rest = self.waiting.split_off((end + 1).min(self.waiting.len()));
        let mut line = std::mem::replace(&mut self.waiting, rest);
        line.truncate(end);
        if std::mem::take(&mut self.skipping) || line.len() > LINE_MAX {
            return Some(Input::TooLong);
        }
        Some(Input::Line(without_keys(&line)))
    }

    fn fill(&mut self) {
        let mut bytes = [0; 1024];
        match rustix::io::read(rustix::stdio::stdin(), &mut bytes) {
            Ok(count) if count > 0 => self.waiting.extend_from_slice(&bytes[..count]),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Ok(_) | Err(_) => self.ended = true,
        }
    }
}

/// What a wait for the user brought.
enum News {
    Input,
    Interrupt,
    Resize,
    Nothing,
}

/// Waits for the user, whatever mode the input is in, at most so long.
fn news(signals: Option<&SignalFd>, pause: Duration) -> News {
    let input = PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN);
    let mut fds = vec![input];
    fds.extend(signals.map(|signals| PollFd::new(signals, PollFlags::IN)));
    let pause = Timespec {
        tv_sec: i64::try_from(pause.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: pause.subsec_nanos().into(),
    };
    if poll(&mut fds, Some(&pause)).is_err() {
        return News::Nothing;
    }
    let mut news = if fds[0].revents().is_empty() {
        News::Nothing
    } else {
        News::Input
    };
    while let Some(Ok(Some(signal))) = signals.map(SignalFd::read_signal) {
        news = match (signal.ssi_signo, news) {
            (RESIZED, News::Nothing) => News::Resize,
            // What was typed is read first, and the line then drawn for the new size.
            (RESIZED, news) => news,
            // Ctrl-\ and Ctrl-Z come this way too, and begin a new line as well.
            _ => News::Interrupt,
        };
    }
    news
}

/// `line` without escape sequences (ECMA-48 section 5.4) and control characters.
fn without_keys(line: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(line.len());
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            0x1b => {
                if bytes.next_if(|b| matches!(b, b'[' | b'O')).is_some() {
                    // Parameters and intermediates, then one final byte.
                    while bytes.next().is_some_and(|b| (0x20..0x40).contains(&b)) {}
                }
            }
            b'\t' => kept.push(byte),
            0..0x20 | 0x7f => {}
            _ => kept.push(byte),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<Input> {
        let mut reader = Reader {
            waiting: text.to_vec(),
            ended: true,
            ..Reader::default()
        };
        std::iter::from_fn(|| reader.cut()).collect()
    }

    fn line(text: &str) -> Input {
        Input::Line(text.as_bytes().to_vec())
    }

    #[test]
    fn input_is_cut_at_its_line_ends() {
        assert_eq!(
            lines(b"a\nb\r\n\nc"),
            vec![line("a"), line("b"), line(""), line("c")]
        );
        assert_eq!(lines(b""), vec![]);
    }

    #[test]
    fn a_line_that_is_too_long_is_dropped_whole() {
        let long = [vec![b'x'; LINE_MAX + 1], b"\nhelp\n".to_vec()].concat();
        assert_eq!(lines(&long), vec![Input::TooLong, line("help")]);

        let mut reader = Reader {
            waiting: vec![b'x'; LINE_MAX + 1],
            ..Reader::default()
        };
        assert_eq!(reader.cut(), None);
        reader.waiting.extend_from_slice(b"exit\nhelp\n");
        assert_eq!(reader.cut(), Some(Input::TooLong));
        assert_eq!(reader.cut(), Some(line("help")));
    }

    #[test]
    fn keys_that_are_no_text_leave_nothing() {
        for (typed, kept) in [
            (&b"wh\x1b[Aoami"[..], &b"whoami"[..]),
            (b"\x1b[1;5Chelp\x1bOP", b"help"),
            (b"he\x07l\x7fp\x1b", b"help"),
            (b"a\tb", b"a\tb"),
        ] {
            assert_eq!(without_keys(typed), kept);
        }
    }
}
