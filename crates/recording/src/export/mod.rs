//! A recording in other people's formats.
//!
//! Each export reads up to the end or to the first fault, says in its own way
//! that it ends there, and hands the fault back: half a recording is better
//! than none, as long as nobody takes it for a whole one.

mod cast;
mod html;
mod text;

pub use cast::cast;
pub use html::html;
pub use text::text;

use crate::fault::Fault;
use crate::frame::Frame;
use crate::header::Header;
use crate::reader::Reader;
use std::io::{self, Read};

/// Gives every frame to `each`, up to the end or the first fault.
fn frames<R: Read>(
    reader: &mut Reader<R>,
    mut each: impl FnMut(Frame) -> io::Result<()>,
) -> io::Result<Option<Fault>> {
    for frame in reader.frames() {
        match frame {
            Ok(frame) => each(frame)?,
            Err(fault) => return Ok(Some(fault)),
        }
    }
    Ok(reader.unfinished())
}

/// The session's facts, by name.
fn facts(header: &Header) -> Vec<(&'static str, String)> {
    let facts = &header.facts;
    let mut all = vec![
        ("recording", facts.recording.clone()),
        ("session", facts.session.clone()),
        ("user", format!("{} (uid {})", facts.user, facts.uid)),
        ("from", facts.source.to_string()),
        ("key", facts.key.clone().unwrap_or_default()),
        ("target", format!("{} ({})", facts.target, facts.address)),
        ("login", facts.login.clone().unwrap_or_default()),
        ("rule", facts.rule.clone()),
        ("policy", facts.policy.clone()),
        ("began", began(header.timestamp)),
        (
            "terminal",
            format!("{}x{}", header.term.cols, header.term.rows),
        ),
        ("jump-server", facts.version.clone()),
    ];
    all.retain(|(_, value)| !value.is_empty());
    all
}

/// In UTC, as RFC 3339 has it.
fn began(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds);
    time.map_or_else(
        |_| format!("{seconds} s after 1970"),
        |time| time.to_string(),
    )
}

/// A moment of a recording, as `1:02:03.456`.
fn clock(micros: u64) -> String {
    let millis = micros / 1000;
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours}:{minutes:02}:{:02}.{millis:03}", seconds % 60)
}

/// JSON with nothing in it that a terminal or a parser of markup would act on.
/// All of these stand in strings only, where an escape means the same.
fn harmless(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<'
            | '>'
            | '&'
            | '\''
            | '\u{7f}'..='\u{9f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                safe.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => safe.push(c),
        }
    }
    safe
}
