//! One recording being written: its file, its clock, and what it had to leave out.
//!
//! A write that fails leaves a torn frame at the most. Whoever may go on all
//! the same ([`Tape::open_gap`]) has the file cut back to the last whole
//! frame once it can be written again, and the first frame then says what is
//! missing.

use super::bookmark::{Bookmark, Left, Missing};
use super::shelf::Place;
use jump_proto::SessionId;
use jump_recording::{Head, Header, Kind, Position, Sealing, WriteError, Writer};
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a recording that is interrupted tries to go on.
const AGAIN: Duration = Duration::from_secs(1);

/// A file that is written here and synchronised elsewhere.
#[derive(Debug, Clone)]
pub(super) struct Shared(pub(super) Arc<File>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is not being recorded.
#[derive(Debug)]
struct Gap {
    missing: Missing,
    tried: Instant,
}

/// What there is of it on disk.
#[derive(Debug)]
struct Paper {
    file: Arc<File>,
    writer: Writer<Shared>,
}

/// A recording being written.
#[derive(Debug)]
pub(super) struct Tape {
    place: Place,
    header: Header,
    recipients: Vec<String>,
    began_boot_us: i64,
    /// Nothing where even the file could not be made.
    paper: Option<Paper>,
    gap: Option<Gap>,
    /// Whether a write failed: the file may end in the middle of a frame.
    broken: bool,
    last: u64,
}

/// Microseconds since the host was booted, time asleep included.
pub(super) fn boot_us() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec
        .saturating_mul(1_000_000)
        .saturating_add(now.tv_nsec / 1000)
}

fn sealing(recipients: &[String]) -> io::Result<Option<Sealing>> {
    if recipients.is_empty() {
        return Ok(None);
    }
    let random = |bytes: &mut [u8]| getrandom::fill(bytes).map_err(io::Error::other);
    Sealing::to(recipients, random)
        .map(Some)
        .map_err(io::Error::other)
}

impl Paper {
    fn begin(place: &Place, header: &Header, recipients: &[String]) -> Result<Self, WriteError> {
        let sealing = sealing(recipients)?;
        let file = Arc::new(place.create()?);
        let begun = Writer::begin(Shared(Arc::clone(&file)), header, sealing);
        let writer = begun.inspect_err(|_| {
            // Nothing was recorded, and a file that is no recording helps nobody.
            let _gone = place.delete();
        })?;
        Ok(Self { file, writer })
    }

    /// Cuts the file to its last whole frame, and goes on there.
    fn mend(&mut self, recipients: &[String]) -> Result<(), WriteError> {
        let position = self.writer.position().clone();
        self.file.set_len(position.bytes)?;
        let shared = Shared(Arc::clone(&self.file));
        self.writer = Writer::resume(shared, position, sealing(recipients)?)?;
        Ok(())
    }
}

impl Tape {
    /// Begins a recording: its file, and the header in it.
    ///
    /// # Errors
    /// When they cannot be written; then there is no file.
    pub(super) fn begin(
        place: Place,
        header: Header,
        recipients: Vec<String>,
    ) -> Result<Self, WriteError> {
        let paper = Paper::begin(&place, &header, &recipients)?;
        Ok(Self {
            paper: Some(paper),
            ..Self::without_paper(place, header, recipients)
        })
    }

    /// Begins a recording of nothing, which tries to become one.
    pub(super) fn begin_interrupted(
        place: Place,
        header: Header,
        recipients: Vec<String>,
        why: &str,
    ) -> Self {
        let mut tape = Self::without_paper(place, header, recipients);
        tape.open_gap(why);
        tape
    }

    fn without_paper(place: Place, header: Header, recipients: Vec<String>) -> Self {
        Self {
            place,
            header,
            recipients,
            began_boot_us: boot_us(),
            paper: None,
            gap: None,
            broken: false,
            last: 0,
        }
    }

    /// Goes on with a recording that a stopped recorder left; interrupted, if it was. What it is encrypted to stays.
    ///
    /// # Errors
    /// When the file is not as it was left.
    pub(super) fn resume(place: Place, bookmark: Bookmark) -> Result<Self, WriteError> {
        let (header, recipients, paper) = match bookmark.left {
            Left::Nothing { header, recipients } => (*header, recipients, None),
            Left::File(position) => {
                let file = Arc::new(place.open_again(&position)?);
                let header = header(&place)?;
                let recipients = header.facts.sealed_to.clone();
                let sealing = sealing(&recipients)?;
                let writer = Writer::resume(Shared(Arc::clone(&file)), position, sealing)?;
                (header, recipients, Some(Paper { file, writer }))
            }
        };
        let position = paper.as_ref().map(|paper| paper.writer.position());
        let last = position.map_or(0, |position| position.counts.micros);
        // After a boot the clock began anew; then nothing happened since the last frame.
        let began = bookmark.began_boot_us;
        let elapsed = i64::try_from(last).unwrap_or(i64::MAX);
        let began_boot_us = if boot_us().saturating_sub(began) >= elapsed {
            began
        } else {
            boot_us().saturating_sub(elapsed)
        };
        let tried = Instant::now();
        let mut tape = Self {
            began_boot_us,
            paper,
            gap: bookmark.missing.map(|missing| Gap { missing, tried }),
            last,
            ..Self::without_paper(place, header, recipients)
        };
        if tape.paper.is_none() {
            tape.open_gap("there was no file of it");
        }
        Ok(tape)
    }

    /// Microseconds since it began.
    fn micros(&self) -> u64 {
        u64::try_from(boot_us().saturating_sub(self.began_boot_us)).unwrap_or(0)
    }

    /// Keeps something, or counts it as missing while the recording is interrupted.
    ///
    /// # Errors
    /// When it is not interrupted, and cannot be written.
    pub(super) fn keep(&mut self, kind: Kind, data: &[u8]) -> Result<(), WriteError> {
        match self.gap {
            None => self.write(kind, data),
            Some(_) => {
                self.lose(data.len());
                Ok(())
            }
        }
    }

    fn write(&mut self, kind: Kind, data: &[u8]) -> Result<(), WriteError> {
        let micros = self.micros();
        let paper = self.paper.as_mut().ok_or(WriteError::Ended)?;
        let written = paper.writer.write(micros, kind, data);
        self.broken = written.is_err();
        self.last = micros;
        written.map(drop)
    }

    /// Whether nothing was written for so long.
    pub(super) fn silent_for(&self, micros: u64) -> bool {
        self.micros().saturating_sub(self.last) >= micros
    }

    /// From now on nothing is kept.
    pub(super) fn open_gap(&mut self, why: &str) {
        self.gap.get_or_insert_with(|| Gap {
            missing: Missing {
                why: why.to_owned(),
                bytes: 0,
            },
            tried: Instant::now(),
        });
    }

    /// So many bytes more are missing.
    pub(super) fn lose(&mut self, bytes: usize) {
        if let Some(gap) = &mut self.gap {
            let missing = &mut gap.missing;
            missing.bytes = missing.bytes.saturating_add(bytes as u64);
        }
    }

    /// Whether nothing is kept at the moment.
    pub(super) fn is_interrupted(&self) -> bool {
        self.gap.is_some()
    }

    /// Whether it is interrupted, and a while has passed since it last tried to go on.
    pub(super) fn may_try_again(&self) -> bool {
        let gap = self.gap.as_ref();
        gap.is_some_and(|gap| gap.tried.elapsed() >= AGAIN)
    }

    /// Tries to keep things again; the first frame says what is missing.
    ///
    /// # Errors
    /// When it still cannot be written.
    pub(super) fn close_gap(&mut self) -> Result<(), WriteError> {
        let Some(gap) = &mut self.gap else {
            return Ok(());
        };
        gap.tried = Instant::now();
        let missing = gap.missing.to_string();
        match &mut self.paper {
            Some(paper) => paper.mend(&self.recipients)?,
            None => {
                let paper = Paper::begin(&self.place, &self.header, &self.recipients)?;
                self.paper = Some(paper);
            }
        }
        self.broken = false;
        self.write(Kind::Gap, missing.as_bytes())?;
        self.gap = None;
        Ok(())
    }

    /// Ends it in good order: nothing is missing, or a frame says what.
    ///
    /// # Errors
    /// When the end cannot be written; trying again is no harm.
    pub(super) fn end(&mut self, note: Option<&str>) -> Result<Sealed, WriteError> {
        // After a write that failed, the torn frame goes first.
        if self.broken {
            self.open_gap("it could not be written");
        }
        self.close_gap()?;
        if let Some(note) = note {
            self.write(Kind::Marker, note.as_bytes())?;
        }
        let micros = self.micros();
        let paper = self.paper.take().ok_or(WriteError::Ended)?;
        let position = paper.writer.position().clone();
        match paper.writer.end(micros) {
            Ok((shared, head)) => {
                let bytes = shared.0.metadata()?.len();
                Ok(Sealed {
                    file: shared.0,
                    head,
                    bytes,
                })
            }
            Err(e) => {
                // As before, so that it can be tried again.
                let cut = paper.file.set_len(position.bytes);
                let sealing = sealing(&self.recipients)?;
                let shared = Shared(Arc::clone(&paper.file));
                let writer = Writer::resume(shared, position, sealing)?;
                self.paper = Some(Paper {
                    file: paper.file,
                    writer,
                });
                cut?;
                Err(e)
            }
        }
    }

    /// Brings it to a place from where another recorder goes on, and leaves word of it.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(super) fn leave(&self, session: &SessionId) -> io::Result<()> {
        let left = match &self.paper {
            Some(paper) => {
                let position = paper.writer.position().clone();
                if self.broken {
                    paper.file.set_len(position.bytes)?;
                }
                paper.file.sync_data()?;
                Left::File(position)
            }
            None => Left::Nothing {
                header: Box::new(self.header.clone()),
                recipients: self.recipients.clone(),
            },
        };
        self.place.leave(&Bookmark {
            left,
            session: session.clone(),
            began_boot_us: self.began_boot_us,
            missing: self.gap.as_ref().map(|gap| gap.missing.clone()),
        })
    }

    /// How far it has come, and the file; nothing where there is none.
    pub(super) fn progress(&self) -> Option<(&Position, &Arc<File>)> {
        let paper = self.paper.as_ref()?;
        Some((paper.writer.position(), &paper.file))
    }

    /// Whose it is.
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Where it lies.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }
}

/// A recording that has its end.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) file: Arc<File>,
    pub(super) head: Head,
    pub(super) bytes: u64,
}

/// The header of a recording on the shelf.
pub(super) fn header(place: &Place) -> io::Result<Header> {
    let file = io::BufReader::new(place.read()?);
    let reader = jump_recording::Reader::open(file, &jump_recording::Keys::none());
    reader
        .map(|reader| reader.header().clone())
        .map_err(io::Error::other)
}
