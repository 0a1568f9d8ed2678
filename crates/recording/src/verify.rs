//! Whether a recording is what was written.

use crate::chain::Head;
use crate::fault::{Fault, Problem};
use crate::header::Header;
use crate::reader::{Entry, Reader};
use crate::seal::Keys;
use crate::trailer::Trailer;
use std::io::Read;

/// What a look at every byte of a recording found.
#[derive(Debug)]
pub struct Report {
    /// What it is of; `None` if even that cannot be read.
    pub header: Option<Header>,
    /// The last place up to which everything holds, to compare with the journal.
    pub head: Option<Head>,
    /// Frames up to there.
    pub frames: u64,
    /// Segments that began up to there.
    pub segments: u64,
    /// Whether the frames were decrypted and looked into as well.
    pub opened: bool,
    /// How many of the journal's checkpoints it agrees with.
    pub checkpoints: usize,
    /// The trailer; `None` if it was not closed in good order, or not up to there.
    pub trailer: Option<Trailer>,
    /// The first thing that is wrong.
    pub fault: Option<Fault>,
}

impl Report {
    /// Whether it is whole and unchanged.
    #[must_use]
    pub fn good(&self) -> bool {
        self.fault.is_none()
    }

    /// Whether nothing is wrong, except that no trailer is there (yet).
    #[must_use]
    pub fn unfinished(&self) -> bool {
        matches!(&self.fault, Some(fault) if matches!(fault.problem, Problem::Unfinished))
    }
}

/// Reads a whole recording and checks every link, without the keys of an
/// encrypted one too, and with them every frame. `checkpoints` are what the
/// journal knows of this recording, in any order: without them, an end that was
/// cut off cannot be told from a recorder that was killed, and a recording
/// that was written anew by somebody else not from the true one.
pub fn verify<R: Read>(input: R, keys: &Keys, checkpoints: &[Head]) -> Report {
    let mut report = Report {
        header: None,
        head: None,
        frames: 0,
        segments: 0,
        opened: false,
        checkpoints: 0,
        trailer: None,
        fault: None,
    };
    match Reader::open(input, keys) {
        Ok(mut reader) => {
            report.header = Some(reader.header().clone());
            report.opened = reader.readable();
            report.fault = look(&mut reader, checkpoints, &mut report).err();
        }
        Err(fault) => report.fault = Some(fault),
    }
    report
}

fn look<R: Read>(
    reader: &mut Reader<R>,
    checkpoints: &[Head],
    report: &mut Report,
) -> Result<(), Fault> {
    let mut known = checkpoints.to_vec();
    known.sort_by_key(|head| head.sequence);
    let mut known = known.into_iter().peekable();
    let mut counts = Trailer::default();
    loop {
        let place = reader.blocks().place();
        let head = reader.head();
        while let Some(checkpoint) = known.next_if(|known| known.sequence <= head.sequence) {
            // A segment's head is a link of its own and no frame: checkpoints
            // are taken right after a frame, so they are compared there.
            if checkpoint != head {
                let known = checkpoint.sequence;
                let problem = Problem::Checkpoint { known };
                return Err(Fault { place, problem });
            }
            report.checkpoints += 1;
        }
        report.head = Some(head);
        report.segments = reader.blocks().segments();
        let entry = match reader.next_entry() {
            Ok(None) if reader.blocks().ended() && known.peek().is_none() => return Ok(()),
            Ok(None) => Err(reader.blocks().fault(Problem::Unfinished)),
            Ok(Some(entry)) => Ok(entry),
            Err(fault) => Err(fault),
        };
        match entry {
            Ok(Entry::Segment) => counts.segments += 1,
            Ok(Entry::Frame(frame)) => {
                match &frame {
                    Some(frame) => counts.count(frame.micros, frame.kind, &frame.data),
                    None => counts.frames += 1,
                }
                report.frames = counts.frames;
            }
            Ok(Entry::Trailer(trailer)) => {
                if !agrees(&trailer, &counts, report.opened) {
                    let problem = Problem::Forged("the trailer's counts are wrong");
                    return Err(Fault { place, problem });
                }
                report.trailer = Some(trailer);
            }
            Err(fault) => return Err(with_tail(fault, known.last())),
        }
    }
}

/// Where the file ends too early, the journal may know how much is missing.
fn with_tail(mut fault: Fault, last: Option<Head>) -> Fault {
    if let (Problem::Cut | Problem::Unfinished, Some(last)) = (&fault.problem, last) {
        fault.problem = Problem::TailMissing {
            known: last.sequence,
        };
    }
    fault
}

fn agrees(trailer: &Trailer, counts: &Trailer, opened: bool) -> bool {
    if !opened {
        return (trailer.frames, trailer.segments) == (counts.frames, counts.segments);
    }
    // It may end later than its last frame.
    let micros = trailer.micros;
    micros >= counts.micros
        && *trailer
            == Trailer {
                micros,
                ..counts.clone()
            }
}
