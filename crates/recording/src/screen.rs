//! What stood on the screen: a terminal emulator that is fed frames.
//!
//! The one place that knows the emulator (`avt`, asciinema's own). It has no
//! side effects, answers nothing, and its memory is bounded here: sizes that no
//! terminal has are clamped, and long output is fed in small pieces.

use crate::frame::{Frame, Kind};
use crate::header::Terminal;
use crate::text::Decoder;
use avt::util::TextUnwrapper;
use avt::{Color, Line, Vt};

/// No narrower: the emulator has no room for a wide character in one column, and panics.
const MIN_COLS: u16 = 2;
/// The widest terminal.
const MAX_COLS: u16 = 500;
/// The highest terminal.
const MAX_ROWS: u16 = 200;
/// So many characters at a time: what scrolls away meanwhile is held.
const PIECE: usize = 1024;

/// One row of the screen, or one that has scrolled away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) text: String,
    /// The line goes on in the next row.
    pub(crate) wrapped: bool,
}

impl Row {
    fn of(line: &Line) -> Self {
        Self {
            text: line.text(),
            // The emulator says so to its own unwrapper only.
            wrapped: TextUnwrapper::new().push(line).is_none(),
        }
    }
}

/// Text of one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The text: no control characters.
    pub text: String,
    /// The look.
    pub style: Style,
}

/// How text looks. Colours are red, green and blue; without one it is the terminal's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    /// Colour of the text.
    pub foreground: Option<[u8; 3]>,
    /// Colour behind it.
    pub background: Option<[u8; 3]>,
    /// Heavier.
    pub bold: bool,
    /// Paler.
    pub faint: bool,
    /// Slanted.
    pub italic: bool,
    /// A line below.
    pub underline: bool,
    /// A line through it.
    pub struck: bool,
    /// Colours exchanged.
    pub inverse: bool,
}

/// A screen that follows a recording: feed it the frames, and draw what it shows.
///
/// Nothing of what was recorded is obeyed by anybody but this: a drawing of it
/// is safe to look at on a terminal of any size, and in a browser.
pub struct Screen {
    vt: Vt,
    decoder: Decoder,
}

/// A screen that can be had again.
#[derive(Debug, Clone)]
pub struct KeptScreen {
    size: (usize, usize),
    drawn: String,
    decoder: Decoder,
}

impl Screen {
    /// An empty one. Sizes that no terminal has are clamped.
    #[must_use]
    pub fn new(term: &Terminal) -> Self {
        let (cols, rows) = clamp(term.cols, term.rows);
        Self {
            vt: Vt::builder().size(cols, rows).scrollback_limit(0).build(),
            decoder: Decoder::default(),
        }
    }

    /// Shows a frame.
    pub fn feed(&mut self, frame: &Frame) {
        self.show(frame, |_, _| {});
    }

    /// As it is now.
    #[must_use]
    pub fn keep(&self) -> KeptScreen {
        KeptScreen {
            size: self.vt.size(),
            drawn: self.vt.dump(),
            decoder: self.decoder.clone(),
        }
    }

    /// As it was.
    #[must_use]
    pub fn again(kept: &KeptScreen) -> Self {
        let (cols, rows) = kept.size;
        let mut vt = Vt::builder().size(cols, rows).scrollback_limit(0).build();
        drop(vt.feed_str(&kept.drawn));
        Self {
            vt,
            decoder: kept.decoder.clone(),
        }
    }

    /// Shows a frame, piece by piece; `after` sees the rows that scrolled away
    /// and the screen, after each.
    pub(crate) fn show(&mut self, frame: &Frame, mut after: impl FnMut(Vec<Row>, &Self)) {
        if let Some((cols, rows)) = frame.size() {
            let (cols, rows) = clamp(cols, rows);
            let gone = self.vt.resize(cols, rows).scrollback;
            let gone = gone.map(|line| Row::of(&line)).collect();
            after(gone, self);
        }
        if frame.kind != Kind::Output {
            return;
        }
        // A terminal ignores DEL; the emulator prints it.
        let text = self.decoder.push(&frame.data).replace('\u{7f}', "");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let end = rest
                .char_indices()
                .nth(PIECE)
                .map_or(rest.len(), |(at, _)| at);
            let (piece, more) = rest.split_at(end);
            let gone = self.vt.feed_str(piece).scrollback;
            let gone = gone.map(|line| Row::of(&line)).collect();
            after(gone, self);
            rest = more;
        }
    }

    /// The rows as text.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.vt.view().map(Row::of).collect()
    }

    /// The rows as they look, each without blank space at its end.
    #[must_use]
    pub fn looks(&self) -> Vec<Vec<Run>> {
        self.vt.view().map(runs).collect()
    }

    /// Columns and rows.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        self.vt.size()
    }

    /// Column and row of the cursor, where it is shown.
    #[must_use]
    pub fn cursor(&self) -> Option<(usize, usize)> {
        let cursor = self.vt.cursor();
        cursor.visible.then_some((cursor.col, cursor.row))
    }
}

impl Screen {
    /// How many characters stand before the cursor, and its row: a wide character takes two columns.
    pub(crate) fn cursor_character(&self) -> Option<(usize, usize)> {
        let (col, row) = self.cursor()?;
        let cells = self.vt.view().nth(row).map_or(&[][..], Line::cells);
        let before = cells.iter().take(col).filter(|cell| cell.width() > 0);
        Some((before.count(), row))
    }
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").finish_non_exhaustive()
    }
}

fn clamp(cols: u16, rows: u16) -> (usize, usize) {
    (
        cols.clamp(MIN_COLS, MAX_COLS).into(),
        rows.clamp(1, MAX_ROWS).into(),
    )
}

fn runs(line: &Line) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for cell in line.cells().iter().filter(|cell| cell.width() > 0) {
        let pen = cell.pen();
        let style = Style {
            foreground: pen.foreground().map(rgb),
            background: pen.background().map(rgb),
            bold: pen.is_bold(),
            faint: pen.is_faint(),
            italic: pen.is_italic(),
            underline: pen.is_underline(),
            struck: pen.is_strikethrough(),
            inverse: pen.is_inverse(),
        };
        match runs.last_mut() {
            Some(run) if run.style == style => run.text.push(cell.char()),
            _ => runs.push(Run {
                text: cell.char().to_string(),
                style,
            }),
        }
    }
    // Blank space at the end looks like nothing.
    if let Some(last) = runs.last_mut()
        && last.style == Style::default()
    {
        last.text.truncate(last.text.trim_end_matches(' ').len());
    }
    runs.retain(|run| !run.text.is_empty());
    runs
}

/// xterm's palette.
fn rgb(colour: Color) -> [u8; 3] {
    const BASIC: [[u8; 3]; 16] = [
        [0, 0, 0],
        [205, 49, 49],
        [13, 188, 121],
        [229, 229, 16],
        [36, 114, 200],
        [188, 63, 188],
        [17, 168, 205],
        [229, 229, 229],
        [102, 102, 102],
        [241, 76, 76],
        [35, 209, 139],
        [245, 245, 67],
        [59, 142, 234],
        [214, 112, 214],
        [41, 184, 219],
        [255, 255, 255],
    ];
    let index = match colour {
        Color::RGB(rgb) => return [rgb.r, rgb.g, rgb.b],
        Color::Indexed(index) => index,
    };
    match (BASIC.get(usize::from(index)), index) {
        (Some(basic), _) => *basic,
        (None, 16..=231) => {
            let cube = index - 16;
            let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            [level(cube / 36), level(cube / 6 % 6), level(cube % 6)]
        }
        (None, _) => [8 + 10 * (index.saturating_sub(232)); 3],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(bytes: &[u8]) -> Frame {
        Frame {
            sequence: 0,
            micros: 0,
            kind: Kind::Output,
            data: bytes.to_vec(),
        }
    }

    #[test]
    fn a_screen_that_was_kept_goes_on_as_the_first_does() {
        let term = Terminal {
            cols: 20,
            rows: 5,
            kind: None,
        };
        let before: &[u8] =
            b"$ ls\r\n\x1b[1;31mred\x1b[0m\r\n\x1b[2;4r\x1b[?1049h\x1b[3;3Hvi \x1b[?25l\xe2\x82";
        let after: &[u8] = b"\xac!\r\n\n\n\x1b[?1049l\x1b[32mgreen";
        let mut first = Screen::new(&term);
        first.feed(&output(before));
        let mut second = Screen::again(&first.keep());
        for screen in [&mut first, &mut second] {
            screen.feed(&output(after));
        }
        assert_eq!(first.looks(), second.looks());
        assert_eq!(first.cursor(), second.cursor());
        let text: String = first.rows().iter().map(|row| row.text.clone()).collect();
        assert!(text.contains("green"), "{text}");
    }
}
