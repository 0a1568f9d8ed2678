//! `jumpctl recordings verify`: whether a recording is what was written, and all of it.
//!
//! The chain shows what was changed inside of a file, and the journal what is
//! missing at its end, or of the whole. In this order: which files there are,
//! what the journal says, what is in the files. A recording that runs has then
//! come at least as far as the journal says.

use super::item::Item;
use super::journal::{Known, Testimony, Witness};
use super::shelf::{Place, no_such};
use super::verdict::{Verdict, Word};
use super::{Desk, precise};
use crate::error::{Answer, Error, Outcome};
use crate::output::{Output, printable, remark};
use crate::time;
use jump_recording::{Keys, Problem, Reader, Report, segments, verify};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;

/// A recording begins so long before the journal has it, in milliseconds, at most.
const JUST_NOW: i64 = 60_000;

pub(super) fn run(
    desk: &Desk,
    wanted: &[String],
    witness: &Witness,
    keys: &Keys,
    out: &mut Output,
) -> Answer {
    let (places, lost) = find(desk, wanted)?;
    let ids: Vec<String> = places.iter().map(id).collect::<Result<_, _>>()?;
    // All of the journal, where somebody is looked for whom no file names.
    let asked: Vec<&str> = if wanted.is_empty() || !lost.is_empty() {
        Vec::new()
    } else {
        ids.iter().map(String::as_str).collect()
    };
    let testimony = witness.hear(&asked)?;
    let examiner = Examiner {
        desk,
        testimony: &testimony,
        keys,
        alone: matches!(witness, Witness::Nobody),
    };
    let mut verdicts = Vec::new();
    for (place, id) in places.iter().zip(&ids) {
        let verdict = examiner.examine(place, id)?;
        show(&verdict, out)?;
        verdicts.push(verdict);
    }
    for verdict in missing(desk, witness, &testimony, wanted, &lost, &ids)? {
        show(&verdict, out)?;
        verdicts.push(verdict);
    }
    finish(&testimony, &verdicts, out)
}

/// The files, and what was asked for and has none.
fn find<'a>(desk: &Desk, wanted: &'a [String]) -> Result<(Vec<Place>, Vec<&'a str>), Error> {
    if wanted.is_empty() {
        return Ok((desk.shelf.all()?, Vec::new()));
    }
    let (mut places, mut lost) = (Vec::new(), Vec::new());
    for which in wanted {
        match desk.shelf.look_up(which)? {
            Some(place) => places.push(place),
            None => lost.push(which.as_str()),
        }
    }
    Ok((places, lost))
}

/// Which recording a file is of: what it says itself, as long as it can be read.
fn id(place: &Place) -> Result<String, Error> {
    let file = match place.open() {
        Ok(file) => file,
        Err(Error::NotRoot) => return Err(Error::NotRoot),
        Err(e) if place.named => return Err(e),
        Err(_) => return Ok(place.name.clone()),
    };
    let reader = Reader::open(BufReader::new(file), &Keys::none());
    Ok(reader.map_or_else(
        |_| place.name.clone(),
        |reader| reader.header().facts.recording.clone(),
    ))
}

struct Examiner<'a> {
    desk: &'a Desk,
    testimony: &'a Testimony,
    keys: &'a Keys,
    /// Nothing is compared with any journal.
    alone: bool,
}

impl Examiner<'_> {
    fn examine(&self, place: &Place, id: &str) -> Result<Verdict, Error> {
        let mut verdict = Verdict::new(id, Some(&place.path));
        let file = match place.open() {
            Ok(file) => file,
            Err(e) => return Ok(verdict.end(Word::Wrong, e.to_string())),
        };
        let item = Item::read(place.clone(), self.desk.now_ms()).ok();
        let known = self.testimony.of(id);
        let points = known.map_or(&[][..], |known| &known.checkpoints);
        verdict.checkpoints = points.len();
        let report = self.report(file, place, points)?;
        verdict.take(&report);
        if let Some(fault) = &report.fault {
            verdict.place = Some(fault.place);
            verdict.at_ms = self.moment(place, &report).map(|micros| micros / 1000);
        }
        let (word, sentence) = match &item {
            None => (Word::Wrong, fault(&report)),
            Some(item) => self.judge(item, known, &report),
        };
        Ok(verdict.end(word, sentence))
    }

    /// What the library says; without the keys, if they are not the ones.
    fn report(
        &self,
        file: File,
        place: &Place,
        points: &[jump_recording::Head],
    ) -> Result<Report, Error> {
        let input = |file| BufReader::with_capacity(64 * 1024, file);
        let report = verify(input(file), self.keys, points);
        let locked = |report: &Report| {
            let fault = report.fault.as_ref();
            fault.is_some_and(|fault| matches!(fault.problem, Problem::WrongKey))
        };
        if !locked(&report) {
            return Ok(report);
        }
        let name = printable(&place.name);
        remark(format_args!(
            "{name}: it is encrypted to none of the identities given; only its chain is checked"
        ));
        Ok(verify(input(place.open()?), &Keys::none(), points))
    }

    fn judge(&self, item: &Item, known: Option<&Known>, report: &Report) -> (Word, String) {
        let running = item.state == super::item::State::Running;
        let so_far = so_far(report);
        if let Some(fault) = &report.fault {
            let ends = matches!(fault.problem, Problem::Unfinished | Problem::Cut);
            match known.and_then(|known| known.failed.as_deref()) {
                _ if !ends => return (Word::Wrong, fault.problem.to_string()),
                _ if running => {}
                Some(reason) => {
                    let said = format!("{so_far}; the journal says that it broke off: {reason}");
                    return (Word::BrokenOff, said);
                }
                None => return (Word::Wrong, format!("{so_far}; {}", fault.problem)),
            }
        }
        if !item.place.named && is_id(item.name()) && item.name() != item.id() {
            let other = format!(
                "the file has the name of another recording than {}",
                item.id()
            );
            return (Word::Wrong, other);
        }
        let word = if running { Word::Running } else { Word::Whole };
        match self.compared(item, known, report, running) {
            Ok(compared) => (word, format!("{so_far}; {compared}")),
            Err(wrong) => (Word::Wrong, wrong),
        }
    }

    /// What the journal has to say, or why it should and does not.
    fn compared(
        &self,
        item: &Item,
        known: Option<&Known>,
        report: &Report,
        running: bool,
    ) -> Result<String, String> {
        let began = item.began_ms();
        match known {
            _ if self.alone => Ok("compared with no journal".to_owned()),
            Some(known) if known.illegible > 0 => Err(format!(
                "{} of the journal's checkpoints cannot be read",
                known.illegible
            )),
            Some(_) if report.checkpoints > 0 => Ok(format!(
                "agrees with {} of the journal's checkpoints",
                report.checkpoints
            )),
            Some(_) => Ok("the journal has no checkpoint of it".to_owned()),
            None if running && self.desk.now_ms() - began < JUST_NOW => {
                Ok("it began just now".to_owned())
            }
            None => match self.testimony.since_ms() {
                None => Ok("compared with nothing: the journal has no entry of jumpd's".to_owned()),
                Some(since) if began < since + JUST_NOW => Ok(format!(
                    "compared with nothing: the journal begins on {}, after it",
                    time::show(since, &self.desk.zone)
                )),
                Some(since) => Err(format!(
                    "the journal, which goes back to {}, knows of no such recording: somebody else wrote it",
                    time::show(since, &self.desk.zone)
                )),
            },
        }
    }

    /// When that was: the last frame before the fault, or without a key the beginning of its segment.
    fn moment(&self, place: &Place, report: &Report) -> Option<u64> {
        let fault = report.fault.as_ref()?;
        if report.opened {
            let mut reader = Reader::open(BufReader::new(place.open().ok()?), self.keys).ok()?;
            let before = |frame: &jump_recording::Frame| frame.sequence < fault.place.sequence;
            let frames = reader.frames().map_while(Result::ok).take_while(before);
            return frames.last().map(|frame| frame.micros);
        }
        let number = fault.place.segment?;
        let starts = segments(BufReader::new(place.open().ok()?)).ok()?;
        let start = starts.into_iter().find(|start| start.number == number)?;
        Some(start.micros)
    }
}

fn fault(report: &Report) -> String {
    let fault = report.fault.as_ref();
    fault.map_or_else(
        || "it cannot be read".to_owned(),
        |fault| fault.problem.to_string(),
    )
}

fn so_far(report: &Report) -> String {
    let frames = match report.frames {
        1 => "one frame".to_owned(),
        frames => format!("{frames} frames"),
    };
    let gaps = report.trailer.as_ref().map_or(0, |trailer| trailer.gaps);
    match gaps {
        0 => frames,
        1 => format!("{frames}, one of them a gap: something was not recorded there"),
        gaps => format!("{frames}, {gaps} of them gaps: something was not recorded there"),
    }
}

/// Whether this is how jumpd names recordings.
fn is_id(name: &str) -> bool {
    name.parse::<jump_proto::HopId>().is_ok()
}

/// Verdicts on what the journal knows and no file is of.
fn missing(
    desk: &Desk,
    witness: &Witness,
    testimony: &Testimony,
    wanted: &[String],
    lost: &[&str],
    there: &[String],
) -> Result<Vec<Verdict>, Error> {
    let there: BTreeSet<&str> = there.iter().map(String::as_str).collect();
    let mut verdicts = Vec::new();
    for (id, known) in testimony.recordings() {
        let asked = wanted.is_empty() || lost.iter().any(|which| id.starts_with(which));
        // One that failed before its first checkpoint may never have been a file.
        let never = known.failed.is_some() && known.checkpoints.is_empty();
        if !asked || there.contains(id) || (never && wanted.is_empty()) {
            continue;
        }
        // It may have been deleted since.
        let again = match (known.deleted, witness) {
            (None, Witness::Host) => Some(witness.hear(&[id])?),
            _ => None,
        };
        let known = again.as_ref().and_then(|t| t.of(id)).unwrap_or(known);
        match known.deleted {
            Some(_) if wanted.is_empty() => {}
            Some(at) => verdicts.push(Verdict::new(id, None).end(
                Word::Deleted,
                format!("by the policy, on {}", show_micros(at, desk)),
            )),
            None => verdicts.push(Verdict::new(id, None).end(
                Word::Missing,
                format!(
                    "there is no file; the journal spoke of it last on {}, and of no deletion",
                    show_micros(known.last, desk)
                ),
            )),
        }
    }
    for which in lost {
        if !verdicts.iter().any(|verdict| verdict.is_of(which)) {
            return Err(Error::failed(no_such(which)));
        }
    }
    Ok(verdicts)
}

fn show_micros(micros: u64, desk: &Desk) -> String {
    let ms = i64::try_from(micros / 1000).unwrap_or(i64::MAX);
    time::show(ms, &desk.zone)
}

fn show(verdict: &Verdict, out: &mut Output) -> Result<(), Error> {
    let mut place = String::new();
    if let (Word::Wrong, Some(at)) = (verdict.word(), verdict.place) {
        place = format!(" {at}");
        if let Some(ms) = verdict.at_ms {
            place = format!("{place}, time {}", precise(ms * 1000));
        }
    }
    out.line(format_args!(
        "{}  {}{place}: {}",
        printable(verdict.recording()),
        verdict.word().words(),
        printable(verdict.sentence())
    ))
}

fn finish(testimony: &Testimony, verdicts: &[Verdict], out: &mut Output) -> Answer {
    if testimony.foreign > 0 {
        remark(format_args!(
            "{} entries of the journal speak of recordings and are not jumpd's own: they are ignored",
            testimony.foreign
        ));
    }
    let wrong = verdicts.iter().filter(|verdict| !verdict.good()).count();
    match verdicts.len() {
        0 => out.line("No recordings.")?,
        1 => {}
        all => out.line(format_args!(
            "{all} recordings: {} as they should be, {wrong} not.",
            all - wrong
        ))?,
    }
    out.json(&verdicts)?;
    Ok(Outcome::from_bool(wrong == 0))
}
