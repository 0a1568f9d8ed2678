//! `html`: one page with the session's facts, a player and the transcript.
//!
//! It is opened in a browser that has other things in it, and what is on the
//! screen is chosen by whoever was recorded. So nothing recorded ever becomes
//! markup: the screen is drawn here, by our own emulator, and the page is given
//! plain runs of text, in JSON that has no `<`; its script puts them in as
//! text. Should that fail one day, the page's policy runs no script and no
//! style but these two, known by their hashes, and loads nothing from anywhere.

mod pictures;

use super::{began, clock, facts, frames, harmless};
use crate::fault::Fault;
use crate::header::Header;
use crate::reader::Reader;
use crate::text::straight;
use crate::trailer::Trailer;
use crate::transcript::{Line, Transcript};
use data_encoding::BASE64;
use pictures::{Shown, pictures};
use sha2::{Digest, Sha256};
use std::io::{self, Read, Seek, Write};

const SCRIPT: &str = include_str!("player.js");
const STYLE: &str = include_str!("player.css");
const PLAYER: &str = include_str!("player.html");
const SEARCH: &str = include_str!("search.html");

/// A browser lays out only those parts of the transcript that are seen; a part has so many lines.
const CHUNK: usize = 200;

/// Writes the page. The recording is read twice: for the player, and for the
/// transcript.
///
/// # Errors
/// When it cannot be written. The fault at which reading ended comes back as a value.
pub fn html<R: Read + Seek>(reader: Reader<R>, out: &mut impl Write) -> io::Result<Option<Fault>> {
    let mut reader = reader;
    let header = reader.header().clone();
    let title = title(&header);
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
        source(SCRIPT),
        source(STYLE),
    )?;
    write!(
        out,
        "<script type=\"application/json\" id=\"pictures\">{{\"pictures\":["
    )?;
    let shown = pictures(&mut reader, out)?;
    writeln!(out, "],\"end\":{}}}</script>", shown.end)?;
    top(&header, reader.trailer(), &shown, out)?;
    writeln!(
        out,
        "<main>\n<div class=\"left\">\n{PLAYER}<section id=\"facts\" class=\"card\" aria-labelledby=\"f\">\n<h2 id=\"f\">Facts</h2>\n<dl>"
    )?;
    for (name, value) in facts(&header) {
        writeln!(out, "<dt>{name}</dt><dd>{}</dd>", escape(&value))?;
    }
    writeln!(
        out,
        "</dl>\n</section>\n</div>\n<section id=\"words\" class=\"card\" aria-labelledby=\"t\">\n\
         <div class=\"head\"><h2 id=\"t\">Transcript</h2>\n{SEARCH}</div>\n<div id=\"transcript\">"
    )?;
    match reader.rewind() {
        Ok(mut again) => transcript(&mut again, out)?,
        Err(fault) => return Ok(Some(fault)),
    }
    writeln!(
        out,
        "</div>\n</section>\n</main>\n<footer>Recorded by jump-server {}. This page is one file and loads nothing.</footer>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>",
        escape(&header.facts.version)
    )?;
    Ok(shown.fault)
}

fn title(header: &Header) -> String {
    escape(&format!(
        "{} on {}",
        header.facts.user,
        header.facts.place()
    ))
}

/// Who did it where and when, how it ended, and what is wrong with it.
fn top(
    header: &Header,
    trailer: Option<&Trailer>,
    shown: &Shown,
    out: &mut impl Write,
) -> io::Result<()> {
    let (title, began) = (title(header), began(header.timestamp));
    let length = clock(shown.end);
    let length = length.split('.').next().unwrap_or_default();
    let exit = trailer.and_then(|trailer| trailer.exit);
    let exit = exit.map_or_else(String::new, |exit| format!(" · exit status {exit}"));
    writeln!(
        out,
        "<header>\n<h1>{title}</h1>\n<p class=\"sub\">{began} · {length}{exit}</p>"
    )?;
    if let Some(fault) = &shown.fault {
        let fault = escape(&fault.to_string());
        writeln!(out, "<p class=\"fault\">It ends {fault}</p>")?;
    }
    let gaps = trailer.map_or(0, |trailer| trailer.gaps);
    if gaps > 0 {
        let times = match gaps {
            1 => "once".to_owned(),
            gaps => format!("{gaps} times"),
        };
        writeln!(
            out,
            "<p class=\"fault\">Something was not recorded, {times}: see the markers.</p>"
        )?;
    }
    writeln!(out, "</header>")
}

/// What the page's policy knows a script or a style by.
fn source(text: &str) -> String {
    format!("sha256-{}", BASE64.encode(&Sha256::digest(text)))
}

/// Text, wherever in the markup it stands.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars().map(straight) {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() && c != '\n' => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

fn transcript<R: Read>(reader: &mut Reader<R>, out: &mut impl Write) -> io::Result<()> {
    let mut transcript = Transcript::new(&reader.header().term);
    let mut count = 0_usize;
    let mut put = |lines: Vec<Line>| -> io::Result<()> {
        for line in lines {
            if count.is_multiple_of(CHUNK) {
                let before = if count > 0 { "</div>\n" } else { "" };
                writeln!(out, "{before}<div class=\"chunk\">")?;
            }
            count += 1;
            let (micros, at, text) = (line.micros, clock(line.micros), escape(&line.text));
            writeln!(out, "<p data-at=\"{micros}\"><time>{at}</time>{text}</p>")?;
        }
        Ok(())
    };
    // The fault is known from the first time.
    let _ = frames(reader, |frame| put(transcript.show(&frame)))?;
    put(transcript.finish())?;
    let last = if count > 0 {
        "</div>"
    } else {
        "<p>Nothing was shown.</p>"
    };
    writeln!(out, "{last}")
}
