//! The session of a person, or of a program that writes commands: one per line.
//!
//! On a terminal that understands escape sequences the line is edited here; on
//! any other the terminal stays in its own line mode and the kernel does it. What
//! that passes on beyond printable text (arrow keys) means nothing then and is
//! left out. Ctrl-C begins a new line, the end of input ends the session.

use crate::complete::{self, Known};
use crate::editor::{Editor, Pressed};
use crate::keys::Key;
use crate::print;
use crate::reader::{Input, Reader, Stroke};
use crate::session::{Outcome, Session};
use crate::whoami;
use crate::words::LINE_MAX;
use jiff::Timestamp;
use jump_proto::Reach;

const PROMPT: &str = "jump> ";

/// Takes the cursor's row away.
const ERASED: &str = "\r\x1b[K";

/// Reads and runs commands until the user leaves.
pub(crate) fn run(session: &mut Session) -> Outcome {
    let terminal = session.prepared().terminal.is_some();
    let mut outcome = begin(session, terminal);
    let mut desk = Desk::default();
    loop {
        let input = if session.edits() {
            desk.edited(session)
        } else {
            desk.lined(session, terminal)
        };
        if let Input::Line(_) = input {
            session.is_active();
        }
        match input {
            Input::Line(line) if line.iter().all(u8::is_ascii_whitespace) => {}
            Input::Line(line) => {
                outcome = session.line(&line, &mut desk.reader);
                if outcome.is_last() {
                    return outcome;
                }
            }
            Input::TooLong => {
                print::complain(&format!(
                    "A line of more than {LINE_MAX} bytes is no command here."
                ));
                outcome = Outcome::Refused;
            }
            Input::Interrupted | Input::Nothing => {}
            Input::End => return outcome,
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
    let clock = &session.prepared().clock;
    let greeting = whoami::greeting(&info, &reach, clock, Timestamp::now(), session.style());
    print::answer(&greeting);
    Outcome::Done
}

/// Where a person or a program writes.
#[derive(Debug, Default)]
struct Desk {
    reader: Reader,
    editor: Editor,
}

impl Desk {
    /// A line as the terminal, or a program, gives it.
    fn lined(&mut self, session: &mut Session, terminal: bool) -> Input {
        if terminal && !print::answer(PROMPT) {
            return Input::End;
        }
        loop {
            let pause = session.warnings.pause();
            let input = self.reader.next(session.prepared().signals.as_ref(), pause);
            if input == Input::Nothing {
                if let Some(sentence) = self.news_of_the_end(session) {
                    print::answer(&format!("\n{sentence}\n{PROMPT}"));
                }
                continue;
            }
            if input == Input::Interrupted || (input == Input::End && terminal) {
                print::answer("\n");
            }
            return input;
        }
    }

    /// A line that is edited here, key by key.
    fn edited(&mut self, session: &mut Session) -> Input {
        if let Some(terminal) = &session.prepared().terminal {
            terminal.read_keys();
        }
        let input = self.keys(session);
        print::answer("\n");
        if let Some(terminal) = &session.prepared().terminal {
            terminal.restore();
        }
        input
    }

    fn keys(&mut self, session: &mut Session) -> Input {
        self.editor.clear();
        let mut is_drawn = false;
        loop {
            // Of what comes at once, a paste say, each line is drawn once.
            let is_due = matches!(self.reader.peek_key(), None | Some(Key::Enter));
            if is_due && !is_drawn && !self.draw(session) {
                return Input::End;
            }
            is_drawn = false;
            let pause = session.warnings.pause();
            let signals = session.prepared().signals.as_ref();
            match self.reader.next_key(signals, pause) {
                Stroke::Key(key) => match self.editor.press(key) {
                    Pressed::Edited => {}
                    Pressed::Line(line) => return Input::Line(line.into_bytes()),
                    Pressed::TooLong => return Input::TooLong,
                    Pressed::Complete => self.complete(session),
                    Pressed::ClearScreen => {
                        print::answer("\x1b[H\x1b[2J");
                    }
                    Pressed::Interrupted => return Input::Interrupted,
                    Pressed::End => return Input::End,
                },
                Stroke::Interrupted => return Input::Interrupted,
                Stroke::Resized => {}
                Stroke::End => return Input::End,
                Stroke::Nothing => match self.news_of_the_end(session) {
                    Some(sentence) => {
                        print::answer(&format!("{ERASED}{sentence}\n"));
                    }
                    None => is_drawn = true,
                },
            }
        }
    }

    /// Draws the line; false when there is no terminal any more.
    fn draw(&self, session: &Session) -> bool {
        let prompt = session.style().strong(PROMPT);
        print::answer(&self.editor.view(&prompt, PROMPT.len(), session.width()))
    }

    /// Completes the word before the cursor, or shows what it may become.
    fn complete(&mut self, session: &mut Session) {
        let before = self.editor.before_cursor().to_owned();
        let (word, candidates) = complete::candidates(&before, session);
        if self.editor.complete(word, &candidates) {
            let rows = complete::rows(&candidates, session.width());
            print::answer(&format!("\n{rows}\n"));
        }
    }

    /// A sentence about the end of the session, for a person only.
    fn news_of_the_end(&mut self, session: &mut Session) -> Option<String> {
        let reply = session.ends();
        let clock = session.prepared().clock.clone();
        let sentence = session
            .warnings
            .hear(reply.as_ref(), &clock, Timestamp::now());
        let sentence = sentence.filter(|_| session.prepared().terminal.is_some())?;
        Some(session.style().warning(&sentence))
    }
}

impl Known for Session {
    fn reach(&mut self) -> Vec<Reach> {
        self.reach_if_told()
    }

    fn sessions(&mut self) -> Vec<String> {
        self.own_sessions_if_told()
    }
}
