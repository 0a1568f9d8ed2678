//! `html`: one page with the session's facts, a player and the transcript.
//!
//! It is opened in a browser that has other things in it, and what is on the
//! screen is chosen by whoever was recorded. So nothing recorded ever becomes
//! markup: the screen is drawn here, by our own emulator, and the page is given
//! plain runs of text, in JSON that has no `<`; its script puts them in as
//! text. Should that fail one day, the page's policy runs no script and no
//! style but these two, known by their hashes, and loads nothing from anywhere.

use super::{clock, facts, frames};
use crate::fault::Fault;
use crate::frame::{Frame, Kind};
use crate::reader::Reader;
use crate::screen::{Run, Screen};
use crate::transcript::{Line, Transcript};
use data_encoding::BASE64;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io::{self, Read, Seek, Write};

const SCRIPT: &str = include_str!("player.js");
const STYLE: &str = include_str!("player.css");

/// Pictures are at least so far apart, in microseconds: no eye sees more.
const PICTURE: u64 = 40_000;

/// Writes the page. The recording is read twice: for the player, and for the
/// transcript.
///
/// # Errors
/// When it cannot be written. The fault at which reading ended comes back as a value.
pub fn html<R: Read + Seek>(reader: Reader<R>, out: &mut impl Write) -> io::Result<Option<Fault>> {
    let mut reader = reader;
    let header = reader.header().clone();
    let title = escape(&format!("{} on {}", header.facts.user, header.facts.target));
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<dl>",
        source(SCRIPT),
        source(STYLE),
    )?;
    for (name, value) in facts(&header) {
        writeln!(out, "<dt>{name}</dt><dd>{}</dd>", escape(&value))?;
    }
    writeln!(out, "</dl>\n<div id=\"player\"></div>")?;
    write!(out, "<script type=\"application/json\" id=\"pictures\">[")?;
    let fault = pictures(&mut reader, out)?;
    writeln!(out, "]</script>")?;
    if let Some(fault) = &fault {
        writeln!(
            out,
            "<p class=\"fault\">It ends {}</p>",
            escape(&fault.to_string())
        )?;
    }
    writeln!(out, "<h2>Transcript</h2>\n<pre id=\"transcript\">")?;
    match reader.rewind() {
        Ok(mut again) => transcript(&mut again, out)?,
        Err(fault) => return Ok(Some(fault)),
    }
    writeln!(out, "</pre>\n<script>{SCRIPT}</script>\n</body>\n</html>")?;
    Ok(fault)
}

/// What the page's policy knows a script or a style by.
fn source(text: &str) -> String {
    format!("sha256-{}", BASE64.encode(&Sha256::digest(text)))
}

/// Text, wherever in the markup it stands. Characters that turn the direction
/// of writing would show something else than stood on the screen.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => safe.push('\u{fffd}'),
            c if c.is_control() && c != '\n' => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

fn transcript<R: Read>(reader: &mut Reader<R>, out: &mut impl Write) -> io::Result<()> {
    let mut transcript = Transcript::new(&reader.header().term);
    let mut put = |lines: Vec<Line>| -> io::Result<()> {
        for line in lines {
            let (at, text) = (clock(line.micros), escape(&line.text));
            writeln!(out, "<i data-at=\"{}\">{at}</i>  {text}", line.micros)?;
        }
        Ok(())
    };
    // The fault is known from the first time.
    let _ = frames(reader, |frame| put(transcript.show(&frame)))?;
    put(transcript.finish())
}

/// What changed on the screen.
#[derive(Serialize)]
struct Picture<'a> {
    /// When, in microseconds.
    at: u64,
    /// Columns and rows.
    size: (usize, usize),
    cursor: Option<(usize, usize)>,
    /// Rows that are not as in the picture before, by number.
    rows: Vec<(usize, Vec<Piece<'a>>)>,
    /// Markers and gaps.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
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
    note: Option<String>,
}

fn pictures<R: Read>(reader: &mut Reader<R>, out: &mut impl Write) -> io::Result<Option<Fault>> {
    let mut film = Film {
        out,
        screen: Screen::new(&reader.header().term),
        shown: Vec::new(),
        last: None,
        pending: Some(0),
        note: None,
    };
    let fault = frames(reader, |frame| film.frame(&frame))?;
    film.picture()?;
    Ok(fault)
}

impl<W: Write> Film<'_, W> {
    fn frame(&mut self, frame: &Frame) -> io::Result<()> {
        let due = self.last.map_or(0, |last| last + PICTURE);
        let noted = matches!(frame.kind, Kind::Marker | Kind::Gap | Kind::Exit);
        if noted || frame.micros >= due {
            self.picture()?;
        }
        match frame.kind {
            Kind::Output | Kind::Resize => self.screen.show(frame, |_, _| {}),
            Kind::Marker | Kind::Gap | Kind::Exit => {
                let what = match frame.kind {
                    Kind::Gap => "not recorded: ",
                    Kind::Exit => "exit status ",
                    _ => "",
                };
                self.note = Some(format!("{what}{}", String::from_utf8_lossy(&frame.data)));
            }
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
            cursor: self.screen.cursor(),
            rows: changed,
            note: self.note.as_deref(),
        };
        let json = serde_json::to_string(&picture)?;
        if self.last.is_some() {
            self.out.write_all(b",")?;
        }
        self.out.write_all(b"\n")?;
        self.out.write_all(harmless(&json).as_bytes())?;
        self.shown = rows;
        self.last = Some(at);
        self.note = None;
        Ok(())
    }
}

/// JSON that no parser of markup stops at: these characters are in strings only.
fn harmless(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\'' | '\u{2028}' | '\u{2029}' | '\u{7f}'..='\u{9f}' => {
                safe.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}
