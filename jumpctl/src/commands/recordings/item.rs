//! What a recording's first and last bytes say: quick to read among thousands, and not verified.

use super::shelf::Place;
use crate::error::Error;
use jump_recording::{Fault, Header, Keys, MAX_TRAILER, Reader, Trailer, segments};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// More than nearly every header, in bytes.
const HEADER: usize = 1024;

/// How a recording ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// In good order, with a trailer.
    Complete,
    /// Not yet.
    Running,
    /// Its recorder was killed, or the file was cut.
    BrokenOff,
}

impl State {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Running => "running",
            Self::BrokenOff => "broken off",
        }
    }
}

/// One recording, from its first and last bytes.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) place: Place,
    pub(super) header: Header,
    pub(super) trailer: Option<Trailer>,
    pub(super) state: State,
    /// Bytes of the file.
    pub(super) size: u64,
    /// How long it is, in microseconds; of one that broke off and cannot be read, how long at least.
    pub(super) micros: u64,
}

impl Item {
    /// Reads them. `now_ms` is the time, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// When this is no recording, or cannot be read.
    pub(super) fn read(place: Place, now_ms: i64) -> Result<Self, Error> {
        let file = place.open()?;
        let failed = |e| super::shelf::unreadable(&place.path, e);
        let size = file.metadata().map_err(failed)?.len();
        let mut input = BufReader::with_capacity(HEADER, &file);
        let header = Reader::open(&mut input, &Keys::none())
            .map_err(|fault| wrong(&place.path, &fault))?
            .header()
            .clone();
        let trailer = trailer(&file, size).map_err(failed)?;
        let state = match &trailer {
            Some(_) => State::Complete,
            None if running(&place.path, file).map_err(failed)? => State::Running,
            None => State::BrokenOff,
        };
        let mut item = Self {
            place,
            header,
            trailer,
            state,
            size,
            micros: 0,
        };
        item.micros = item.length(now_ms)?;
        Ok(item)
    }

    fn length(&self, now_ms: i64) -> Result<u64, Error> {
        match (self.state, &self.trailer) {
            (_, Some(trailer)) => Ok(trailer.micros),
            (State::Running, None) => {
                let ms = now_ms.saturating_sub(self.began_ms());
                Ok(u64::try_from(ms).unwrap_or(0).saturating_mul(1000))
            }
            (_, None) => self.last_frame(),
        }
    }

    /// When the last frame was; without a key, when the last segment began.
    fn last_frame(&self) -> Result<u64, Error> {
        let path = &self.place.path;
        let file = BufReader::new(self.place.open()?);
        let Some(last) = segments(file).map_err(|e| wrong(path, &e))?.pop() else {
            return Ok(0);
        };
        let mut micros = last.micros;
        if !self.header.sealed() {
            let reader = Reader::open(BufReader::new(self.place.open()?), &Keys::none());
            let reader = reader.and_then(|reader| reader.go_to(&last));
            let mut reader = reader.map_err(|e| wrong(path, &e))?;
            for frame in reader.frames().map_while(Result::ok) {
                micros = frame.micros;
            }
        }
        Ok(micros)
    }

    /// By which it is found: its id, unless somebody renamed the file.
    pub(super) fn name(&self) -> &str {
        &self.place.name
    }

    /// The recording's id, as it says itself.
    pub(super) fn id(&self) -> &str {
        &self.header.facts.recording
    }

    /// When it began, in milliseconds since the Unix epoch.
    pub(super) fn began_ms(&self) -> i64 {
        self.header.timestamp.saturating_mul(1000)
    }

    /// When it ended, or how far it has come: milliseconds since the Unix epoch.
    pub(super) fn ended_ms(&self) -> i64 {
        self.at_ms(self.micros)
    }

    /// A moment of it, in milliseconds since the Unix epoch.
    pub(super) fn at_ms(&self, micros: u64) -> i64 {
        let ms = i64::try_from(micros / 1000).unwrap_or(i64::MAX);
        self.began_ms().saturating_add(ms)
    }
}

/// A fault of this file, as a sentence.
pub(super) fn wrong(path: &Path, fault: &Fault) -> Error {
    Error::failed(format!("{}: {}", path.display(), fault.problem))
}

fn trailer(mut file: &File, size: u64) -> io::Result<Option<Trailer>> {
    let tail = size.min(MAX_TRAILER as u64);
    file.seek(SeekFrom::Start(size - tail))?;
    let mut bytes = Vec::new();
    file.take(tail).read_to_end(&mut bytes)?;
    Ok(Trailer::at_end(&bytes))
}

/// Whether somebody writes it: its recorder holds a lock on it, and while that
/// is replaced by a newer one, its position lies beside it.
fn running(path: &Path, file: File) -> io::Result<bool> {
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_free) => Ok(path.with_extension("position").exists()),
        Err((_, Errno::EWOULDBLOCK)) => Ok(true),
        Err((_, e)) => Err(e.into()),
    }
}
