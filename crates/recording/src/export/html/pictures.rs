//! What the page's player shows: the screen as it changes, drawn already.

use super::{frames, harmless};
use crate::fault::Fault;
use crate::frame::{Frame, Kind};
use crate::reader::Reader;
use crate::screen::{Run, Screen};
use crate::text::straight;
use serde::Serialize;
use std::io::{self, Read, Write};

/// Pictures are at least so far apart, in microseconds: no eye sees more.
const PICTURE: u64 = 40_000;

/// What changed on the screen.
#[derive(Serialize)]
struct Picture<'a> {
    /// When, in microseconds.
    at: u64,
    /// Columns and rows.
    size: (usize, usize),
    /// Characters before the cursor, and its row.
    cursor: Option<(usize, usize)>,
    /// Rows that are not as in the picture before, by number.
    rows: Vec<(usize, Vec<Piece<'a>>)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a Note>,
}

/// A marker, a gap or the end.
#[derive(Serialize)]
struct Note {
    kind: &'static str,
    text: String,
}

impl Note {
    fn of(frame: &Frame) -> Option<Self> {
        let (kind, before) = match frame.kind {
            Kind::Marker => ("marker", ""),
            Kind::Gap => ("gap", "not recorded: "),
            Kind::Exit => ("exit", "exit status "),
            Kind::Output | Kind::Resize | Kind::Input | Kind::Keepalive => return None,
        };
        let text = String::from_utf8_lossy(&frame.data);
        let visible = |c: char| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        };
        let text = text.chars().map(visible).collect::<String>();
        Some(Self {
            kind,
            text: format!("{before}{text}"),
        })
    }
}

/// Text, foreground, background, and letters for the rest.
#[derive(Serialize)]
struct Piece<'a>(&'a str, Option<String>, Option<String>, String);

impl<'a> Piece<'a> {
    fn of(run: &'a Run) -> Self {
        let style = &run.style;
        let colour = |c: [u8; 3]| {
            let [r, g, b] = c;
            format!("#{r:02x}{g:02x}{b:02x}")
        };
        let letters = [
            (style.bold, 'b'),
            (style.faint, 'f'),
            (style.italic, 'i'),
            (style.underline, 'u'),
            (style.struck, 's'),
            (style.inverse, 'v'),
        ];
        let letters = letters
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, letter)| *letter);
        Self(
            &run.text,
            style.foreground.map(colour),
            style.background.map(colour),
            letters.collect(),
        )
    }
}

struct Film<'a, W> {
    out: &'a mut W,
    screen: Screen,
    shown: Vec<Vec<Run>>,
    /// When the last picture was, and what happened since.
    last: Option<u64>,
    pending: Option<u64>,
    note: Option<Note>,
    /// When the last frame was.
    end: u64,
}

/// What the player needs to know of a recording beside its pictures.
pub(super) struct Shown {
    /// When the last frame was.
    pub(super) end: u64,
    /// The fault at which reading ended.
    pub(super) fault: Option<Fault>,
}

/// Writes them, the elements of a JSON array.
pub(super) fn pictures<R: Read>(reader: &mut Reader<R>, out: &mut impl Write) -> io::Result<Shown> {
    let mut film = Film {
        out,
        screen: Screen::new(&reader.header().term),
        shown: Vec::new(),
        last: None,
        pending: Some(0),
        note: None,
        end: 0,
    };
    let fault = frames(reader, |frame| film.frame(&frame))?;
    film.picture()?;
    let trailer = reader.trailer().map_or(0, |trailer| trailer.micros);
    Ok(Shown {
        end: film.end.max(trailer),
        fault,
    })
}

impl<W: Write> Film<'_, W> {
    fn frame(&mut self, frame: &Frame) -> io::Result<()> {
        self.end = frame.micros;
        let due = self.last.map_or(0, |last| last + PICTURE);
        let note = Note::of(frame);
        let noted = note.is_some();
        if noted || frame.micros >= due {
            self.picture()?;
        }
        match frame.kind {
            Kind::Output | Kind::Resize => self.screen.feed(frame),
            Kind::Marker | Kind::Gap | Kind::Exit => self.note = note,
            Kind::Input | Kind::Keepalive => return Ok(()),
        }
        self.pending = Some(frame.micros);
        if noted { self.picture() } else { Ok(()) }
    }

    fn picture(&mut self) -> io::Result<()> {
        let Some(at) = self.pending.take() else {
            return Ok(());
        };
        let rows = self.screen.looks();
        let mut changed = Vec::new();
        for (i, row) in (0..).zip(&rows) {
            if self.shown.get(i) != Some(row) {
                changed.push((i, row.iter().map(Piece::of).collect()));
            }
        }
        let picture = Picture {
            at,
            size: self.screen.size(),
            cursor: self.screen.cursor_character(),
            rows: changed,
            note: self.note.as_ref(),
        };
        let json = serde_json::to_string(&picture)?;
        if self.last.is_some() {
            self.out.write_all(b",")?;
        }
        self.out.write_all(b"\n")?;
        let json: String = json.chars().map(straight).collect();
        self.out.write_all(harmless(&json).as_bytes())?;
        self.shown = rows;
        self.last = Some(at);
        self.note = None;
        Ok(())
    }
}
