//! The recorded screen, drawn on the auditor's terminal.
//!
//! Drawn cell by cell from our own emulator, so the size of the terminal does
//! not matter, and nothing recorded is obeyed by it: out goes text, its look,
//! and where it stands.

use jump_recording::{Run, Screen, Style};
use std::fmt::Write as _;
use unicode_width::UnicodeWidthChar as _;

/// What is on the terminal, to write only what changes.
#[derive(Default)]
pub(super) struct Canvas {
    lines: Vec<String>,
    /// Columns and rows of the terminal.
    size: (usize, usize),
    /// Whether text has no colour here.
    plain: bool,
}

impl Canvas {
    pub(super) fn new(size: (usize, usize), plain: bool) -> Self {
        Self {
            lines: Vec::new(),
            size,
            plain,
        }
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> (usize, usize) {
        self.size
    }

    /// The terminal has another size now, or something else was written on it.
    pub(super) fn anew(&mut self, size: (usize, usize)) {
        self.size = size;
        self.lines.clear();
    }

    /// What to write so that the terminal shows this screen, and below, or over its last row, the status.
    pub(super) fn draw(&mut self, screen: &Screen, status: Option<&str>) -> String {
        let (cols, rows) = self.size;
        let looks = screen.looks();
        // Where there is room for both, the status hides nothing.
        let room = rows.saturating_sub(usize::from(status.is_some())).max(1);
        let cursor = screen.cursor();
        let needed = cursor.map_or(0, |(_, row)| (row + 1).saturating_sub(room));
        let top = needed.min(looks.len().saturating_sub(room));
        let mut lines: Vec<String> = looks
            .iter()
            .skip(top)
            .take(room)
            .map(|runs| self.line(runs, cols))
            .collect();
        if let Some(status) = status {
            lines.resize(room, String::new());
            let (text, _) = clip(status, cols);
            lines.push(format!("\u{1b}[7m{text}\u{1b}[0m"));
        }
        let mut out = String::from("\u{1b}[?25l");
        if self.lines.is_empty() {
            out.push_str("\u{1b}[0m\u{1b}[2J");
        }
        for row in 0..lines.len().max(self.lines.len()) {
            let (new, old) = (lines.get(row), self.lines.get(row));
            if new != old {
                let text = new.map_or("", String::as_str);
                let _ = write!(out, "\u{1b}[{};1H\u{1b}[0m\u{1b}[2K{text}", row + 1);
            }
        }
        if let Some((col, row)) = cursor
            && let Some(row) = row.checked_sub(top).filter(|row| *row < room)
            && col < cols
        {
            let _ = write!(out, "\u{1b}[{};{}H\u{1b}[?25h", row + 1, col + 1);
        }
        self.lines = lines;
        out
    }

    fn line(&self, runs: &[Run], cols: usize) -> String {
        let mut line = String::new();
        let mut left = cols;
        for run in runs {
            let (text, width) = clip(&run.text, left);
            if run.style == Style::default() {
                line.push_str(&text);
            } else {
                let look = look(&run.style, self.plain);
                let _ = write!(line, "\u{1b}[{look}m{text}\u{1b}[0m");
            }
            left -= width;
        }
        line
    }
}

/// As much of a text as fits into so many columns, and how many it takes.
fn clip(text: &str, cols: usize) -> (String, usize) {
    let (mut clipped, mut width) = (String::new(), 0);
    for c in text.chars().map(harmless) {
        let wide = c.width().unwrap_or(0);
        if width + wide > cols {
            break;
        }
        width += wide;
        clipped.push(c);
    }
    (clipped, width)
}

/// No control character comes out of the emulator; and none that turns the direction of writing goes on.
fn harmless(c: char) -> char {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if turns || c.is_control() {
        char::REPLACEMENT_CHARACTER
    } else {
        c
    }
}

/// As the parameters of SGR (ECMA-48, 8.3.117).
fn look(style: &Style, plain: bool) -> String {
    let mut look = String::from("0");
    let letters = [
        (style.bold, ";1"),
        (style.faint, ";2"),
        (style.italic, ";3"),
        (style.underline, ";4"),
        (style.inverse, ";7"),
        (style.struck, ";9"),
    ];
    for (_, parameter) in letters.iter().filter(|(on, _)| *on) {
        look.push_str(parameter);
    }
    for (which, colour) in [(38, style.foreground), (48, style.background)] {
        if let Some([r, g, b]) = colour.filter(|_| !plain) {
            let _ = write!(look, ";{which};2;{r};{g};{b}");
        }
    }
    look
}

#[cfg(test)]
mod tests {
    use super::*;
    use jump_recording::{Frame, Kind, Terminal};

    fn screen(cols: u16, rows: u16, text: &str) -> Screen {
        let mut screen = Screen::new(&Terminal {
            cols,
            rows,
            kind: None,
        });
        screen.feed(&Frame {
            sequence: 0,
            micros: 0,
            kind: Kind::Output,
            data: text.as_bytes().to_vec(),
        });
        screen
    }

    #[test]
    fn only_what_changed_is_drawn_again() {
        let mut canvas = Canvas::new((80, 24), false);
        let first = canvas.draw(&screen(20, 3, "one\r\ntwo"), None);
        assert!(
            first.contains("\u{1b}[2J") && first.contains("one"),
            "{first:?}"
        );
        let second = canvas.draw(&screen(20, 3, "one\r\nTWO"), None);
        assert!(
            !second.contains("one") && second.contains("\u{1b}[2;1H"),
            "{second:?}"
        );
        assert!(second.ends_with("\u{1b}[2;4H\u{1b}[?25h"), "{second:?}");
    }

    #[test]
    fn a_small_terminal_shows_the_part_with_the_cursor() {
        let text: Vec<String> = (0..30)
            .map(|row| format!("row {row}, a long one"))
            .collect();
        let mut canvas = Canvas::new((8, 10), false);
        let drawn = canvas.draw(&screen(40, 30, &text.join("\r\n")), Some("status of this"));
        assert!(
            drawn.contains("row 29, ") && !drawn.contains("row 20,"),
            "{drawn:?}"
        );
        assert!(!drawn.contains("a long one"), "{drawn:?}");
        assert!(
            drawn.contains("\u{1b}[10;1H\u{1b}[0m\u{1b}[2K\u{1b}[7mstatus o\u{1b}[0m"),
            "{drawn:?}"
        );
        assert!(
            !drawn.contains("\u{1b}[?25h"),
            "the cursor is further to the right"
        );
    }

    #[test]
    fn wide_characters_are_never_cut_in_half() {
        let mut canvas = Canvas::new((5, 2), false);
        let drawn = canvas.draw(&screen(20, 2, "日本語"), None);
        assert!(drawn.contains("日本") && !drawn.contains('語'), "{drawn:?}");
    }

    #[test]
    fn looks_are_drawn_and_hostile_text_is_not_obeyed() {
        let hostile = "\u{1b}]0;title\u{7}\u{1b}[6n\u{9b}5i\u{202e}x\u{1b}[1;4;31mred";
        let drawn = Canvas::new((80, 2), false).draw(&screen(40, 2, hostile), Some("a\u{1b}b"));
        assert!(
            drawn.contains("\u{1b}[0;1;4;38;2;205;49;49mred\u{1b}[0m"),
            "{drawn:?}"
        );
        for acts in ["title", "[6n", "\u{9b}", "\u{202e}", "\u{1b}b", "\u{7}"] {
            assert!(!drawn.contains(acts), "{acts:?} in {drawn:?}");
        }
        let plain = Canvas::new((80, 2), true).draw(&screen(40, 2, hostile), None);
        assert!(plain.contains("\u{1b}[0;1;4mred"), "{plain:?}");
    }
}
