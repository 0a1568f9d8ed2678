//! One line on a terminal, edited with the keys of emacs and the arrows.
//!
//! A program that reads lines for others takes the terminal, signals, files and
//! the environment into its own hands; here all of those are taken away or
//! watched by somebody else. So this is a line, a cursor and a memory of earlier
//! lines, and nothing more: keys go in, text for the terminal comes out. The
//! history lives and dies with the session; nothing is written anywhere.

use crate::keys::Key;
use crate::words::LINE_MAX;
use unicode_width::UnicodeWidthChar;

/// Lines that are remembered.
const HISTORY_MAX: usize = 200;

/// A terminal that does not know its width has this one; below the other, nothing can be edited.
const WIDTH: (usize, usize) = (80, 20);

/// What a key led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pressed {
    /// The line may look different now.
    Edited,
    /// This line is to be run.
    Line(String),
    /// More was typed than a line may hold; all of it is gone.
    TooLong,
    /// The word before the cursor is to be completed.
    Complete,
    /// The screen is to be cleared.
    ClearScreen,
    /// The line is given up.
    Interrupted,
    /// There will be no more.
    End,
}

/// The line, and the lines before it.
#[derive(Debug, Default)]
pub(crate) struct Editor {
    text: String,
    /// A byte position in `text`, between two characters.
    cursor: usize,
    /// What was typed did not fit.
    too_long: bool,
    /// What was last cut out.
    cut: String,
    history: Vec<String>,
    /// Which line of the history is shown; past its end, the new one.
    shown: usize,
    /// The new line, while another is shown.
    draft: String,
}

impl Editor {
    /// The line up to the cursor.
    pub(crate) fn before_cursor(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or_default()
    }

    fn after_cursor(&self) -> &str {
        self.text.get(self.cursor..).unwrap_or_default()
    }

    /// Does what `key` says.
    pub(crate) fn press(&mut self, key: Key) -> Pressed {
        match key {
            Key::Char(c) => self.insert(c.encode_utf8(&mut [0; 4])),
            Key::Enter => return self.enter(),
            Key::Tab => return Pressed::Complete,
            Key::ClearScreen => return Pressed::ClearScreen,
            Key::Interrupt => {
                self.clear();
                return Pressed::Interrupted;
            }
            Key::DeleteOrEnd if self.text.is_empty() => return Pressed::End,
            Key::Left => self.cursor = self.left(),
            Key::Right => self.cursor = self.right(),
            Key::WordLeft => self.cursor = self.word_left(),
            Key::WordRight => self.cursor = self.word_right(),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.text.len(),
            Key::Up => self.show(self.shown.saturating_sub(1)),
            Key::Down => self.show(self.shown.saturating_add(1)),
            Key::Backspace => drop(self.remove(self.left(), self.cursor)),
            Key::Delete | Key::DeleteOrEnd => drop(self.remove(self.cursor, self.right())),
            Key::KillWord => self.kill(self.word_left(), self.cursor),
            Key::KillWordAhead => self.kill(self.cursor, self.word_right()),
            Key::KillToStart => self.kill(0, self.cursor),
            Key::KillToEnd => self.kill(self.cursor, self.text.len()),
            Key::Yank => {
                let cut = std::mem::take(&mut self.cut);
                self.insert(&cut);
                self.cut = cut;
            }
            Key::Swap => self.swap(),
        }
        Pressed::Edited
    }

    /// Gives the line up; the history stays.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.draft.clear();
        self.cursor = 0;
        self.shown = self.history.len();
        self.too_long = false;
    }

    /// Inserts `text` at the cursor, or notes that the line is too long for it.
    pub(crate) fn insert(&mut self, text: &str) {
        if self.text.len().saturating_add(text.len()) > LINE_MAX {
            self.too_long = true;
        } else {
            self.text.insert_str(self.cursor, text);
            self.cursor += text.len();
        }
    }

    fn enter(&mut self) -> Pressed {
        let too_long = self.too_long;
        let line = std::mem::take(&mut self.text);
        let again = self.history.last() == Some(&line);
        if !too_long && !again && !line.trim().is_empty() {
            if self.history.len() >= HISTORY_MAX {
                self.history.remove(0);
            }
            self.history.push(line.clone());
        }
        self.clear();
        if too_long {
            Pressed::TooLong
        } else {
            Pressed::Line(line)
        }
    }

    /// Shows a line of the history, or the new one behind it.
    fn show(&mut self, at: usize) {
        let at = at.min(self.history.len());
        if self.shown == self.history.len() && at != self.shown {
            self.draft = std::mem::take(&mut self.text);
        }
        if at != self.shown {
            let new = self.history.get(at).cloned();
            self.text = new.unwrap_or_else(|| std::mem::take(&mut self.draft));
            self.shown = at;
            self.too_long = false;
        }
        self.cursor = self.text.len();
    }

    fn remove(&mut self, from: usize, to: usize) -> String {
        self.cursor = from;
        self.text.drain(from..to).collect()
    }

    fn kill(&mut self, from: usize, to: usize) {
        let cut = self.remove(from, to);
        if !cut.is_empty() {
            self.cut = cut;
        }
    }

    /// Swaps the characters around the cursor, or the last two.
    fn swap(&mut self) {
        if self.cursor == self.text.len() {
            self.cursor = self.left();
        }
        let (start, end) = (self.left(), self.right());
        let before = self.remove(start, self.cursor);
        self.cursor = end - before.len();
        let behind = self.cursor;
        self.text.insert_str(behind, &before);
        self.cursor = behind + before.len();
    }

    /// Where the character before the cursor begins; what combines with it belongs to it.
    fn left(&self) -> usize {
        let mut before = self.before_cursor().char_indices().rev();
        before
            .find(|(_, c)| columns(*c) > 0)
            .map_or(0, |(at, _)| at)
    }

    /// Where the character at the cursor ends.
    fn right(&self) -> usize {
        let mut after = self.after_cursor().char_indices().skip(1);
        let next = after.find(|(_, c)| columns(*c) > 0);
        next.map_or(self.text.len(), |(at, _)| self.cursor + at)
    }

    fn word_left(&self) -> usize {
        let before = self.before_cursor().trim_end();
        before.rfind(char::is_whitespace).map_or(0, |blank| {
            before.get(blank..).map_or(0, |rest| {
                blank + rest.chars().next().map_or(0, char::len_utf8)
            })
        })
    }

    fn word_right(&self) -> usize {
        let after = self.after_cursor();
        let blanks = after.len() - after.trim_start().len();
        let word = after.trim_start().find(char::is_whitespace);
        word.map_or(self.text.len(), |word| self.cursor + blanks + word)
    }

    /// Completes the word that ends at the cursor as far as all of `candidates` agree. When that is
    /// no step further, they are to be shown.
    pub(crate) fn complete(&mut self, word: &str, candidates: &[String]) -> bool {
        let is_inside = !matches!(self.after_cursor().chars().next(), None | Some(' '));
        let Some(first) = candidates.first().filter(|_| !is_inside) else {
            return false;
        };
        let common = candidates.iter().fold(first.as_str(), |common, other| {
            let same = common
                .chars()
                .zip(other.chars())
                .take_while(|(a, b)| a == b);
            let length: usize = same.map(|(c, _)| c.len_utf8()).sum();
            common.get(..length).unwrap_or_default()
        });
        let rest = common.strip_prefix(word).unwrap_or_default().to_owned();
        self.insert(&rest);
        if candidates.len() == 1 && !self.after_cursor().starts_with(' ') {
            self.insert(" ");
        }
        candidates.len() > 1 && rest.is_empty()
    }

    /// What draws the line anew in the row of the cursor, with `prompt`, which takes `taken`
    /// columns, on a terminal of `width` columns. A line that is wider is shown in part.
    pub(crate) fn view(&self, prompt: &str, taken: usize, width: usize) -> String {
        let width = if width == 0 {
            WIDTH.0
        } else {
            width.max(WIDTH.1)
        };
        // The last column stays free: a cursor behind it would be in the next row.
        let room = width.saturating_sub(taken + 1);
        let (before, after) = (self.before_cursor(), self.after_cursor());
        let mut at = 0;
        // From the cursor on to either side, so that a long line costs no more than a short one.
        let outside = before.char_indices().rev().find(|(_, c)| {
            let fits = at + columns(*c) <= room;
            at += if fits { columns(*c) } else { 0 };
            !fits
        });
        let start = outside.map_or(0, |(start, c)| start + c.len_utf8());
        let mut end = at;
        let outside = after.find(|c| {
            end += columns(c);
            end > room
        });
        let before = before.get(start..).unwrap_or_default();
        let after = outside.map_or(after, |end| after.get(..end).unwrap_or_default());
        format!("\r{prompt}{before}{after}\x1b[K\r\x1b[{}C", taken + at)
    }
}

fn columns(c: char) -> usize {
    c.width().unwrap_or(0)
}

#[cfg(test)]
mod tests;
