//! What an earlier jumpd left: recordings to go on with, and recordings without an end.
//!
//! Whoever was stopped in good order left a position. If nobody comes for it,
//! the recording gets its end here, and says that the hop's was not seen.
//! Whoever was killed left a file that ends where it ends. Nothing is added to
//! that one: an event says up to where it is good, once.

use super::shelf::{Kept, Place};
use super::tape::Tape;
use super::{reason_of, with_head};
use crate::state::{Jumpd, complain};
use jump_audit::{Event, Kind};
use jump_proto::hop::RECORDER_UPGRADE;
use jump_proto::{Reason, SessionId};
use jump_recording::{Header, Keys, MAX_TRAILER, Trailer, verify};
use std::io::BufReader;
use std::sync::Arc;
use std::time::Duration;

/// How long after the start nobody comes any more.
const NOBODY_COMES: Duration = RECORDER_UPGRADE.saturating_add(Duration::from_secs(5));

const NOBODY_CAME: &str = "the end was not seen: nobody came back after the recorder was stopped";

/// Looks through the shelf once, on a thread of its own, when nobody will come for what lies there.
///
/// # Errors
/// When the thread cannot be started.
pub(crate) fn look_through(jumpd: Arc<Jumpd>) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("leftovers".to_owned())
        .spawn(move || {
            std::thread::sleep(NOBODY_COMES);
            jumpd.finish_leftovers();
        })?;
    Ok(())
}

/// An event about a recording of which only the header is known.
pub(super) fn event_by_header(kind: Kind, place: &Place, header: Option<&Header>) -> Event {
    let event = Event::new(kind).text("recording", &place.hop);
    let Some(Header { facts, .. }) = header else {
        return event;
    };
    let event = event
        .user(&facts.user)
        .uid(facts.uid)
        .source_ip(facts.source)
        .destination_name(&facts.target)
        .destination(facts.address)
        .rule(&facts.rule);
    match facts.session.parse::<SessionId>() {
        Ok(session) => event.session(&session),
        Err(_) => event,
    }
}

impl Jumpd {
    /// Finishes what can be finished, and tells of the rest.
    pub(super) fn finish_leftovers(&self) {
        let all = match self.recorder.shelf.all() {
            Ok(all) => all,
            Err(e) => {
                return complain(&format!("recordings cannot be looked through: {e}"));
            }
        };
        for kept in all {
            self.finish_leftover(&kept.place);
        }
        for place in self.recorder.shelf.blank() {
            self.finish_leftover(&place);
        }
    }

    fn finish_leftover(&self, place: &Place) {
        // From here on nobody comes back to it: not even one who is late.
        let Some(_finishing) = self.recorder.hands.finish(&place.hop) else {
            return;
        };
        // Whoever had it meanwhile may be through with it.
        if place.is_bookmarked() {
            self.finish_bookmarked(place);
        } else if place.look().is_ok_and(|kept| !kept.torn && !has_end(&kept)) {
            self.tell_of_torn(place);
        }
    }

    /// Gives a recording its end that nobody goes on with.
    fn finish_bookmarked(&self, place: &Place) {
        let resumed = place
            .take()
            .map_err(jump_recording::WriteError::from)
            .and_then(|bookmark| Tape::resume(place.clone(), bookmark));
        let mut tape = match resumed {
            Ok(tape) => tape,
            Err(e) => {
                complain(&format!("recording {}: {e}", place.hop));
                return self.tell_of_torn(place);
            }
        };
        let header = tape.header().clone();
        match tape.end(Some(NOBODY_CAME)) {
            Ok(sealed) => {
                let event = event_by_header(Kind::RecordingSealed, place, Some(&header));
                self.note(
                    with_head(event, sealed.head, sealed.bytes)
                        .reason(Reason::RecorderLost)
                        .detail("nobody came back to it after the recorder was stopped"),
                );
            }
            Err(e) if tape.progress().is_none() => {
                let event = event_by_header(Kind::RecordingFailed, place, Some(&header));
                let detail = format!("nothing of it was written: {e}");
                self.note(event.reason(reason_of(&e)).detail(&detail));
            }
            Err(e) => {
                complain(&format!("recording {}: {e}", place.hop));
                self.tell_of_torn(place);
            }
        }
    }

    /// Says once up to where a recording without an end is good.
    fn tell_of_torn(&self, place: &Place) {
        let file = match place.read() {
            Ok(file) => BufReader::new(file),
            Err(e) => return complain(&format!("recording {}: {e}", place.hop)),
        };
        let report = verify(file, &Keys::none(), &[]);
        let what = report
            .fault
            .map_or_else(|| "it is whole".to_owned(), |fault| fault.to_string());
        let event = event_by_header(Kind::RecordingFailed, place, report.header.as_ref());
        let event = match report.head {
            Some(head) => event
                .text("sequence", head.sequence)
                .text("head", head.hash),
            None => event,
        };
        let detail = format!("found without an end, as after a crash; good up to there: {what}");
        let said = self.announce(event.reason(Reason::RecorderLost).detail(&detail));
        // What was not said is said at the next start.
        if said && let Err(e) = place.note_torn(&what) {
            complain(&format!("recording {}: {e}", place.hop));
        }
    }
}

/// Whether a recording was ended in good order, by its last bytes.
fn has_end(kept: &Kept) -> bool {
    // One that cannot be read is told of when it can be.
    kept.place
        .tail(MAX_TRAILER)
        .is_ok_and(|tail| Trailer::at_end(&tail).is_some())
}
