//! What stood on the screen, line by line, without playing it.

use super::item::{Item, wrong};
use crate::error::Error;
use jump_recording::{Keys, Line, Problem, Reader, Transcript};
use std::io::BufReader;
use std::ops::ControlFlow;

/// How much of a recording was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Read {
    /// All that there is, or as much as was wanted.
    Whole,
    /// Nothing: it is encrypted, and no key fits.
    Sealed,
    /// Up to where it is not as it was written.
    Broken(String),
}

/// Gives each line to `each`, until that has enough.
///
/// # Errors
/// When the file cannot be opened, or `each` fails.
pub(super) fn lines(
    item: &Item,
    keys: &Keys,
    mut each: impl FnMut(Line) -> Result<ControlFlow<()>, Error>,
) -> Result<Read, Error> {
    let file = BufReader::with_capacity(64 * 1024, item.place.open()?);
    let mut reader = Reader::open(file, keys).map_err(|fault| wrong(&item.place.path, &fault))?;
    let mut transcript = Transcript::new(&item.header.term);
    let read = loop {
        let over = match reader.next_frame() {
            Ok(Some(frame)) => transcript.show(&frame),
            Ok(None) => break Read::Whole,
            Err(fault) => match fault.problem {
                Problem::NoKey | Problem::WrongKey => return Ok(Read::Sealed),
                // How the last frame of a recorder that was killed looks, and a frame that is being written.
                Problem::Cut => break Read::Whole,
                _ => break Read::Broken(fault.to_string()),
            },
        };
        for line in over {
            if each(line)?.is_break() {
                return Ok(Read::Whole);
            }
        }
    };
    for line in transcript.finish() {
        if each(line)?.is_break() {
            break;
        }
    }
    Ok(read)
}
