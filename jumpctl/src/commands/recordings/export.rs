//! `jumpctl recordings export`: a recording for other programs, and for people without this one.

use super::Desk;
use super::opened::{Opened, open};
use crate::cli::recordings::Format;
use crate::error::{Answer, Error, Outcome};
use crate::output::{Output, printable, remark};
use jump_recording::{Fault, Keys, Problem, export};
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

pub(super) fn run(
    desk: &Desk,
    which: &str,
    format: Format,
    file: Option<&Path>,
    keys: &Keys,
    out: &mut Output,
) -> Answer {
    if out.is_json() && file.is_none() {
        return Err(Error::Usage(
            "--json tells what was exported, so the export itself needs --output FILE".to_owned(),
        ));
    }
    let recording = open(desk, which, keys)?;
    let name = recording.item.id().to_owned();
    let fault = match file {
        Some(path) => to_file(recording, format, path)?,
        None => {
            let mut page = BufWriter::new(out.writer());
            write(recording, format, &mut page)
                .and_then(|fault| page.flush().map(|()| fault))
                .or_else(gone)?
        }
    };
    let said = fault.as_ref().map(ToString::to_string);
    if let Some(path) = file {
        out.line(format_args!("Wrote {}.", path.display()))?;
    }
    if let Some(said) = &said {
        remark(format_args!("{}: it ends {said}", printable(&name)));
    }
    out.json(&serde_json::json!({
        "recording": name, "format": format, "output": file, "ends": said,
    }))?;
    let ends = |fault: &Fault| matches!(fault.problem, Problem::Unfinished | Problem::Cut);
    Ok(Outcome::from_bool(fault.as_ref().is_none_or(ends)))
}

/// Nobody reads any more: no error, as elsewhere.
fn gone(e: io::Error) -> Result<Option<Fault>, Error> {
    match e.kind() {
        io::ErrorKind::BrokenPipe => Ok(None),
        _ => Err(Error::Output(e)),
    }
}

/// Into a new file that is the auditor's alone; nothing is left of one that could not be finished.
fn to_file(recording: Opened, format: Format, path: &Path) -> Result<Option<Fault>, Error> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| Error::file("create", path, e))?;
    let mut page = BufWriter::new(file);
    let written = write(recording, format, &mut page).and_then(|fault| {
        page.flush()?;
        page.get_ref().sync_all()?;
        Ok(fault)
    });
    written.map_err(|e| {
        let _already_gone = fs::remove_file(path);
        Error::file("write", path, e)
    })
}

fn write(recording: Opened, format: Format, out: &mut impl Write) -> io::Result<Option<Fault>> {
    let mut reader = recording.reader;
    match format {
        Format::Cast => export::cast(&mut reader, out),
        Format::Txt => export::text(&mut reader, out),
        Format::Html => export::html(reader, out),
    }
}
