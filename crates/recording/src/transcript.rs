//! The text of a recording: each line that stood on the screen, and since when.
//!
//! A terminal's output is no text: lines are typed character by character,
//! edited, drawn over and scrolled away. So the screen is followed, and a line
//! is told once it is over: when it has scrolled away, or something else was
//! drawn in its place. What grew at its end or lost its end is still the same
//! line, in its longest form; what merely moved is, too. A full-screen program
//! is told line by line as it redraws, and the screen that comes back when it
//! ends is told again.

use crate::frame::Frame;
use crate::header::Terminal;
use crate::screen::{Row, Screen};
use std::collections::HashMap;

/// A line that never ends is told in pieces of about so many bytes.
const LONGEST: usize = 64 * 1024;

/// One line that stood on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When its first character appeared, in microseconds.
    pub micros: u64,
    /// The text: no control characters, wrapped rows joined, no space at its end.
    pub text: String,
}

/// A line that is on the screen.
#[derive(Debug, Clone)]
struct Seen {
    /// Its first row.
    row: usize,
    micros: u64,
    /// The longest that it was.
    text: String,
}

/// Follows a recording frame by frame.
pub struct Transcript {
    screen: Screen,
    lines: Lines,
}

impl Transcript {
    /// At the beginning of a recording.
    #[must_use]
    pub fn new(term: &Terminal) -> Self {
        Self {
            screen: Screen::new(term),
            lines: Lines::default(),
        }
    }

    /// The lines that are over with this frame.
    pub fn show(&mut self, frame: &Frame) -> Vec<Line> {
        let lines = &mut self.lines;
        let mut over = Vec::new();
        self.screen.show(frame, |gone, screen| {
            lines.follow(frame.micros, &gone, &screen.rows(), &mut over);
        });
        over
    }

    /// The lines that are still on the screen at the end, by their time.
    #[must_use]
    pub fn finish(self) -> Vec<Line> {
        let mut seen = self.lines.seen;
        seen.retain(|seen| !seen.text.is_empty());
        seen.sort_by_key(|seen| seen.micros);
        seen.into_iter().map(Seen::line).collect()
    }
}

impl std::fmt::Debug for Transcript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transcript").finish_non_exhaustive()
    }
}

impl Seen {
    fn line(self) -> Line {
        Line {
            micros: self.micros,
            text: self.text,
        }
    }
}

#[derive(Default)]
struct Lines {
    seen: Vec<Seen>,
    /// The scrolled part of a line whose end is still on the screen.
    begun: String,
}

impl Lines {
    fn follow(&mut self, now: u64, gone: &[Row], rows: &[Row], over: &mut Vec<Line>) {
        let (lines, begun) = self.join(gone, rows);
        let mut fresh = self.compare(now, &lines, over);
        let left = gone.len();
        let stays = lines.iter().position(|line| line.end >= left);
        let staying = fresh.split_off(stays.unwrap_or(lines.len()));
        over.extend(fresh.into_iter().map(Seen::line));
        self.seen = staying;
        for seen in &mut self.seen {
            seen.row = seen.row.saturating_sub(left);
        }
        self.begun = begun;
        if self.begun.len() > LONGEST {
            let micros = self.seen.first().map_or(now, |seen| seen.micros);
            let text = std::mem::take(&mut self.begun);
            over.push(Line { micros, text });
            // What was told is not the beginning of its line any more.
            if let Some(first) = self.seen.first_mut() {
                first.text.clear();
            }
        }
    }

    /// Rows joined to lines, from the first that scrolled away to the last of
    /// the screen; and what is begun afterwards.
    fn join(&self, gone: &[Row], rows: &[Row]) -> (Vec<Joined>, String) {
        let mut lines = Vec::new();
        let (mut row, mut text) = (0, self.begun.clone());
        let mut begun = String::new();
        let last = (gone.len() + rows.len()).saturating_sub(1);
        for (at, part) in gone.iter().chain(rows).enumerate() {
            text.push_str(&part.text);
            if part.wrapped && at < last {
                if at + 1 == gone.len() {
                    begun.clone_from(&text);
                }
                continue;
            }
            text.truncate(text.trim_end().len());
            let text = std::mem::take(&mut text);
            lines.push(Joined { row, end: at, text });
            row = at + 1;
        }
        if gone.is_empty() {
            begun.clone_from(&self.begun);
        }
        (lines, begun)
    }

    /// Which of the lines were there before; those that were and are not, are over.
    fn compare(&mut self, now: u64, lines: &[Joined], over: &mut Vec<Line>) -> Vec<Seen> {
        let fresh = |line: &Joined| Seen {
            row: line.row,
            micros: now,
            text: line.text.clone(),
        };
        let mut new: Vec<Seen> = lines.iter().map(fresh).collect();
        let place: HashMap<usize, usize> = (0..).zip(lines).map(|(i, l)| (l.row, i)).collect();
        let mut elsewhere: HashMap<&str, usize> = HashMap::new();
        for (i, line) in (0..).zip(lines) {
            elsewhere.entry(&line.text).or_insert(i);
        }
        for old in std::mem::take(&mut self.seen) {
            if old.text.is_empty() {
                continue;
            }
            let same = place.get(&old.row).and_then(|i| new.get_mut(*i));
            match same {
                Some(line) if line.text.starts_with(&old.text) => line.micros = old.micros,
                same => {
                    let moved = elsewhere.get(old.text.as_str()).and_then(|i| lines.get(*i));
                    if let Some(to) = moved.and_then(|line| place.get(&line.row)) {
                        if let Some(line) = new.get_mut(*to) {
                            line.micros = line.micros.min(old.micros);
                        }
                    } else if let Some(line) = same.filter(|l| old.text.starts_with(&l.text)) {
                        line.micros = old.micros;
                        line.text = old.text;
                    } else {
                        over.push(old.line());
                    }
                }
            }
        }
        new
    }
}

/// A line made of rows.
struct Joined {
    /// Its first row.
    row: usize,
    /// Its last row.
    end: usize,
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Kind;

    const TERM: Terminal = Terminal {
        cols: 20,
        rows: 4,
        kind: None,
    };

    fn frame(micros: u64, kind: Kind, text: &str) -> Frame {
        Frame {
            sequence: 0,
            micros,
            kind,
            data: text.as_bytes().to_vec(),
        }
    }

    /// The lines of these outputs, one a microsecond.
    fn told(outputs: &[&str]) -> Vec<(u64, String)> {
        let mut transcript = Transcript::new(&TERM);
        let mut lines = Vec::new();
        for (micros, text) in (1..).zip(outputs) {
            lines.extend(transcript.show(&frame(micros, Kind::Output, text)));
        }
        lines.extend(transcript.finish());
        lines
            .into_iter()
            .map(|line| (line.micros, line.text))
            .collect()
    }

    fn texts(outputs: &[&str]) -> Vec<String> {
        told(outputs).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn lines_come_in_order_with_the_time_of_their_first_character() {
        assert_eq!(
            told(&["$ l", "s\r\n", "a\r\nb\r\nc\r\n", "d\r\n", "$ "]),
            [
                (1, "$ ls"),
                (3, "a"),
                (3, "b"),
                (3, "c"),
                (4, "d"),
                (5, "$")
            ]
            .map(|(at, text)| (at, text.to_owned()))
        );
    }

    #[test]
    fn a_line_that_wraps_is_one_line_wherever_the_screen_ends() {
        let long = "0123456789".repeat(13);
        for pieces in [1, 7, 20, 200] {
            let text = format!("{long}\r\nend");
            let chars: Vec<_> = text.as_bytes().chunks(pieces).collect();
            let outputs: Vec<_> = chars
                .iter()
                .filter_map(|c| std::str::from_utf8(c).ok())
                .collect();
            assert_eq!(texts(&outputs), [&long, "end"], "{pieces}");
        }
    }

    #[test]
    fn colours_are_no_text_and_hostile_titles_neither() {
        assert_eq!(
            texts(&["\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7} end\u{5}"]),
            ["red end"]
        );
    }

    #[test]
    fn what_was_typed_and_erased_is_told_all_the_same() {
        let typed = [
            "$ rm -rf /",
            "\u{8}\u{1b}[K",
            "\u{8}\u{1b}[K",
            "\r\u{1b}[K$ ls",
        ];
        assert_eq!(texts(&typed), ["$ rm -rf /", "$ ls"]);
    }

    #[test]
    fn what_is_drawn_over_is_told() {
        assert_eq!(texts(&["10%", "\r20%", "\rdone"]), ["10%", "20%", "done"]);
        let cleared = ["one\r\ntwo", "\u{1b}[2J\u{1b}[H", "three"];
        assert_eq!(texts(&cleared), ["one", "two", "three"]);
    }

    #[test]
    fn what_moves_within_the_screen_is_told_once() {
        let scrolled = ["\u{1b}[2;4ra\u{1b}[2Hb\r\nc\r\nd", "\r\ne", "\r\nf"];
        let mut all = texts(&scrolled);
        all.sort();
        assert_eq!(all, ["a", "b", "c", "d", "e", "f"]);
    }

    #[test]
    fn a_full_screen_program_is_told_line_by_line() {
        let all = texts(&[
            "$ vi\r\n",
            "\u{1b}[?1049h\u{1b}[Hsecret file",
            "\u{1b}[?1049l",
            "$ ",
        ]);
        assert!(all.contains(&"secret file".to_owned()), "{all:?}");
    }

    #[test]
    fn a_new_size_breaks_no_line() {
        let mut transcript = Transcript::new(&TERM);
        let mut lines = transcript.show(&frame(1, Kind::Output, "abcdefghijklmnop\r\n$ "));
        for (micros, size) in [(2, "8x4"), (3, "65535x65535"), (4, "0x0"), (5, "no size")] {
            lines.extend(transcript.show(&frame(micros, Kind::Resize, size)));
        }
        lines.extend(transcript.finish());
        assert!(
            lines.iter().any(|line| line.text == "abcdefghijklmnop"),
            "{lines:?}"
        );
    }

    #[test]
    fn a_line_without_end_is_told_in_pieces() {
        let mut transcript = Transcript::new(&TERM);
        let mut bytes = 0;
        for _ in 0..40 {
            for line in transcript.show(&frame(1, Kind::Output, &"x".repeat(10_000))) {
                assert!(line.text.len() < 2 * LONGEST);
                bytes += line.text.len();
            }
        }
        bytes += transcript
            .finish()
            .iter()
            .map(|line| line.text.len())
            .sum::<usize>();
        assert_eq!(bytes, 400_000);
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(128))]
        #[test]
        fn no_bytes_make_it_panic_and_no_control_character_comes_out(
            bytes in proptest::collection::vec(proptest::prop_oneof![
                3 => proptest::sample::select(b"\x1b\x1b[[[]?;0123456789ABCDHJKLMPSTXmhlrsux7 8\r\n\tabc\xe2\x82\xac\xe6\x97\xa5".to_vec()),
                1 => proptest::num::u8::ANY,
            ], 0..600),
            size in proptest::sample::select(vec!["80x24", "1x1", "2x2", "3x2", "5x9", "500x2"]),
        ) {
            let mut transcript = Transcript::new(&TERM);
            let mut lines = Vec::new();
            for chunk in bytes.chunks(50) {
                let mut output = frame(1, Kind::Output, "");
                output.data = chunk.to_vec();
                lines.extend(transcript.show(&output));
                lines.extend(transcript.show(&frame(1, Kind::Resize, size)));
            }
            lines.extend(transcript.finish());
            for line in lines {
                assert!(!line.text.chars().any(char::is_control), "{:?}", line.text);
            }
        }
    }
}
