//! The session of a person, or of a program that writes commands: one per line.
//!
//! The terminal stays in its own line mode, so the kernel edits the line. What
//! it passes on beyond printable text (arrow keys) means nothing here and is
//! left out. Ctrl-C begins a new line, the end of input ends the session.

use crate::print;
use crate::session::{Outcome, Session};
use crate::warning::Warnings;
use crate::whoami;
use crate::words::LINE_MAX;
use jiff::Timestamp;
use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::time::{Duration, Instant};

const PROMPT: &str = "jump> ";

/// Reads and runs commands until the user leaves.
pub(crate) fn run(session: &mut Session) -> Outcome {
    let terminal = session.prepared().terminal;
    let mut outcome = begin(session, terminal);
    let mut reader = Reader::default();
    let mut warnings = Warnings::default();
    loop {
        if terminal && !print::answer(PROMPT) {
            return outcome;
        }
        let input = loop {
            match reader.next(session.prepared().signals.as_ref(), warnings.pause()) {
                Input::Nothing => {}
                input => break input,
            }
            if let Some(sentence) = news_of_the_end(session, &mut warnings) {
                print::answer(&format!("\n{sentence}\n{PROMPT}"));
            }
        };
        if let Input::Line(_) = input {
            session.is_active();
        }
        match input {
            Input::Nothing => {}
            Input::Line(line) if line.iter().all(u8::is_ascii_whitespace) => {}
            Input::Line(line) => {
                outcome = session.line(&line, &mut reader.waiting);
                if matches!(outcome, Outcome::Left { .. }) {
                    return outcome;
                }
            }
            Input::TooLong => {
                print::complain(&format!(
                    "A line of more than {LINE_MAX} bytes is no command here."
                ));
                outcome = Outcome::Refused;
            }
            Input::Interrupted => {
                print::answer("\n");
            }
            Input::End => {
                if terminal {
                    print::answer("\n");
                }
                return outcome;
            }
        }
    }
}

/// Opens the session's trail and greets a person. A jumpd that does not answer
/// now may answer the next command.
fn begin(session: &mut Session, terminal: bool) -> Outcome {
    let Some(info) = session.info(None) else {
        return Outcome::Failed;
    };
    if !terminal {
        return Outcome::Done;
    }
    let Some(reach) = session.reach() else {
        return Outcome::Failed;
    };
    let greeting = whoami::greeting(&info, &reach, &session.prepared().clock, Timestamp::now());
    print::answer(&greeting);
    Outcome::Done
}

/// A sentence about the end of the session, for a person only.
fn news_of_the_end(session: &mut Session, warnings: &mut Warnings) -> Option<String> {
    let reply = session.ends();
    let clock = session.prepared().clock.clone();
    let sentence = warnings.hear(reply.as_ref(), &clock, Timestamp::now());
    sentence.filter(|_| session.prepared().terminal)
}

/// What the user did.
#[derive(Debug, PartialEq, Eq)]
enum Input {
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

/// Standard input, cut into lines.
#[derive(Debug, Default)]
struct Reader {
    /// Read, and not yet a line.
    waiting: Vec<u8>,
    /// Inside a line that is too long.
    skipping: bool,
    /// The last line has come, with its end of line or without.
    ended: bool,
}

impl Reader {
    fn next(&mut self, signals: Option<&SignalFd>, pause: Duration) -> Input {
        let begun = Instant::now();
        loop {
            if let Some(input) = self.cut() {
                return input;
            }
            if self.ended {
                return Input::End;
            }
            let left = pause.saturating_sub(begun.elapsed());
            match news(signals, left) {
                News::Input => self.fill(),
                News::Interrupt => {
                    self.waiting.clear();
                    self.skipping = false;
                    return Input::Interrupted;
                }
                News::Nothing if begun.elapsed() >= pause => return Input::Nothing,
                News::Nothing => {}
            }
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
    // Ctrl-\ and Ctrl-Z come this way too, and begin a new line as well.
    while let Some(Ok(Some(_))) = signals.map(SignalFd::read_signal) {
        news = News::Interrupt;
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
