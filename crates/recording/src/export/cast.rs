//! `cast`: asciicast v3, for asciinema and its player.

use super::{frames, harmless};
use crate::fault::Fault;
use crate::frame::{Frame, Kind};
use crate::reader::Reader;
use crate::text::Decoder;
use serde::Serialize;
use std::io::{self, Read, Write};

/// Writes asciicast v3. Its text is UTF-8: here, and only here, bytes that are
/// none become U+FFFD. A gap becomes a marker; keepalives are left out.
///
/// # Errors
/// When it cannot be written. The fault at which reading ended comes back as a value.
pub fn cast<R: Read>(reader: &mut Reader<R>, out: &mut impl Write) -> io::Result<Option<Fault>> {
    writeln!(out, "{}", quoted(reader.header())?)?;
    let mut cast = Cast {
        out,
        at: 0,
        output: Decoder::default(),
        input: Decoder::default(),
    };
    let mut last = 0;
    let fault = frames(reader, |frame| {
        last = frame.micros;
        cast.frame(&frame)
    })?;
    cast.finish(last)?;
    if let Some(fault) = &fault {
        writeln!(cast.out, "# it ends here, {fault}")?;
    }
    Ok(fault)
}

struct Cast<'a, W> {
    out: &'a mut W,
    /// When the last event was, in microseconds.
    at: u64,
    output: Decoder,
    input: Decoder,
}

impl<W: Write> Cast<'_, W> {
    fn frame(&mut self, frame: &Frame) -> io::Result<()> {
        let lossy = || String::from_utf8_lossy(&frame.data);
        let (code, text) = match frame.kind {
            Kind::Output => ('o', self.output.push(&frame.data)),
            Kind::Input => ('i', self.input.push(&frame.data)),
            Kind::Resize => ('r', lossy().into_owned()),
            Kind::Marker => ('m', lossy().into_owned()),
            Kind::Exit => ('x', lossy().into_owned()),
            Kind::Gap => ('m', format!("not recorded: {}", lossy())),
            Kind::Keepalive => return Ok(()),
        };
        // The beginning of a character waits for its end.
        if text.is_empty() && matches!(frame.kind, Kind::Output | Kind::Input) {
            return Ok(());
        }
        self.event(frame.micros, code, &text)
    }

    fn finish(&mut self, micros: u64) -> io::Result<()> {
        for (code, rest) in [('o', self.output.finish()), ('i', self.input.finish())] {
            if !rest.is_empty() {
                self.event(micros, code, rest)?;
            }
        }
        Ok(())
    }

    /// v3 counts from the event before. Whole microseconds, so nothing adds up.
    fn event(&mut self, micros: u64, code: char, text: &str) -> io::Result<()> {
        let wait = micros.saturating_sub(self.at);
        self.at = micros;
        let (seconds, fraction) = (wait / 1_000_000, wait % 1_000_000);
        let text = quoted(text)?;
        writeln!(self.out, "[{seconds}.{fraction:06}, \"{code}\", {text}]")
    }
}

fn quoted<T: Serialize + ?Sized>(value: &T) -> io::Result<String> {
    Ok(harmless(&serde_json::to_string(value)?))
}
