//! A recording whose frames are about to be read.

use super::Desk;
use super::item::{Item, wrong};
use crate::error::Error;
use crate::output::printable;
use jump_recording::{Fault, Keys, Problem, Reader};
use std::fs::File;
use std::io::BufReader;

/// A recording, at its first frame.
pub(super) struct Opened {
    pub(super) item: Item,
    pub(super) reader: Reader<BufReader<File>>,
}

/// Opens the one that is meant; a missing or wrong key is told now, not halfway.
pub(super) fn open(desk: &Desk, which: &str, keys: &Keys) -> Result<Opened, Error> {
    let item = Item::read(desk.shelf.find(which)?, desk.now_ms())?;
    let failed = |fault: Fault| explained(&item, &fault);
    let file = BufReader::with_capacity(64 * 1024, item.place.open()?);
    let mut reader = Reader::open(file, keys).map_err(failed)?;
    if let Err(fault) = reader.next_frame()
        && matches!(fault.problem, Problem::NoKey | Problem::WrongKey)
    {
        return Err(failed(fault));
    }
    let reader = reader.rewind().map_err(failed)?;
    Ok(Opened { item, reader })
}

fn explained(item: &Item, fault: &Fault) -> Error {
    let to = || printable(&item.header.facts.sealed_to.join(", "));
    let name = printable(item.id());
    match fault.problem {
        Problem::NoKey => Error::failed(format!(
            "{name} is encrypted; --identity names a file with the age key of an auditor, one of: {}",
            to()
        )),
        Problem::WrongKey => Error::failed(format!(
            "{name} is encrypted to none of the keys given with --identity, but to: {}",
            to()
        )),
        _ => wrong(&item.place.path, fault),
    }
}
