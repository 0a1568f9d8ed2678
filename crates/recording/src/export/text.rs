//! `txt`: what stood on the screen, to read and to search.

use super::{clock, facts, frames};
use crate::fault::Fault;
use crate::reader::Reader;
use crate::text::straight;
use crate::transcript::{Line, Transcript};
use std::io::{self, Read, Write};

/// Writes the transcript: the facts, then each line with its time.
///
/// # Errors
/// When it cannot be written. The fault at which reading ended comes back as a value.
pub fn text<R: Read>(reader: &mut Reader<R>, out: &mut impl Write) -> io::Result<Option<Fault>> {
    for (name, value) in facts(reader.header()) {
        writeln!(out, "# {name}: {}", printable(&value))?;
    }
    writeln!(out)?;
    let mut transcript = Transcript::new(&reader.header().term);
    let mut put = |lines: Vec<Line>| -> io::Result<()> {
        for line in lines {
            writeln!(out, "{}  {}", clock(line.micros), printable(&line.text))?;
        }
        Ok(())
    };
    let fault = frames(reader, |frame| put(transcript.show(&frame)))?;
    put(transcript.finish())?;
    if let Some(fault) = &fault {
        writeln!(out, "\n# it ends here, {fault}")?;
    }
    Ok(fault)
}

/// On one line, whatever it is.
fn printable(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(visible).map(straight).collect()
}
