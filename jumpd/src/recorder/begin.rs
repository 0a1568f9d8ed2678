//! How a recording begins, or goes on in a jumpd that was started anew.

use super::talk::{Talk, until_the_other_side_closes};
use super::tape::Tape;
use super::{Held, NotHeld, Unfinished, reason_of};
use crate::state::{Jumpd, complain, refused};
use jump_audit::Kind;
use jump_policy::RecordingSettings;
use jump_proto::{Channel, ChannelError, HopId, Reason, Reply, Request, SessionId};
use jump_recording::{Facts, Header, Terminal};
use std::time::Duration;

/// How long a recording's thread waits for a packet before it looks at its orders, and for room to send.
const WAIT: Duration = Duration::from_millis(100);
/// The longest `TERM` that is written down; terminfo(5) knows none as long.
const MOST_TERM: usize = 64;

const FULL: &str = "This hop must be recorded, and the jump server has no room for recordings now. Please tell its administrators: the disk of /var/lib/jump is nearly full.";
const FAILED: &str = "This hop must be recorded, and the jump server cannot write recordings now. Please tell its administrators.";
const NO_EVENTS: &str =
    "The jump server cannot keep its records now; please tell its administrators.";

/// A refusal: why, in words for the user, and in words for the admin.
struct Refusal {
    reason: Reason,
    sentence: &'static str,
    detail: String,
}

impl Refusal {
    fn new(reason: Reason, sentence: &'static str, detail: impl Into<String>) -> Self {
        Self {
            reason,
            sentence,
            detail: detail.into(),
        }
    }
}

impl Jumpd {
    /// Serves a connection of the shell that began with [`Request::Record`] or [`Request::RecordAgain`], to its end.
    pub(crate) fn record(
        &self,
        channel: &Channel,
        session: &SessionId,
        request: &Request,
    ) -> Result<(), ChannelError> {
        let (hop, begins) = match request {
            Request::Record { hop, .. } => (hop, true),
            Request::RecordAgain { hop } => (hop, false),
            _ => return channel.send(&refused(Reason::Internal, "This is no recording.")),
        };
        channel.set_timeout(Some(WAIT))?;
        let held = match Held::take(self, session, hop) {
            Ok(held) => held,
            // No answer: the next jumpd is asked again.
            Err(NotHeld::Stopping) => return Ok(()),
            Err(NotHeld::Refused(reason, sentence)) => {
                return channel.send(&refused(reason, sentence));
            }
        };
        let begun = if begins {
            held.begin(request)
        } else {
            held.go_on(hop)
        };
        match begun {
            Ok(tape) => {
                held.tell(&tape);
                channel.send(&Reply::Recording)?;
                Talk::new(held, channel, tape).run();
                Ok(())
            }
            Err(refusal) => {
                self.note(
                    held.event(Kind::RecordingFailed)
                        .reason(refusal.reason)
                        .detail(&refusal.detail),
                );
                let mut held = held;
                held.over = Some(refusal.reason);
                // Nobody has the hop any more when the shell hears of it.
                drop(held);
                channel.send(&refused(refusal.reason, refusal.sentence))?;
                until_the_other_side_closes(channel);
                Ok(())
            }
        }
    }

    /// `[recording]` of the policy in force.
    pub(super) fn recording_settings(&self) -> RecordingSettings {
        self.policy()
            .map(|policy| policy.recording().clone())
            .unwrap_or_default()
    }
}

impl Held<'_> {
    /// Begins a recording; the event is written before anything can be shown.
    fn begin(&self, request: &Request) -> Result<Tape, Refusal> {
        let jumpd = self.jumpd;
        if !self.facts().hop.record {
            let detail = "the hop was not opened to be recorded";
            return Err(Refusal::new(
                Reason::Internal,
                "This hop is not to be recorded.",
                detail,
            ));
        }
        let settings = jumpd.recording_settings();
        let place = jumpd
            .recorder
            .shelf
            .place(&self.facts().hop.id, jumpd.now());
        if place.file().exists() {
            let detail = "it was recorded before, and a recording is begun once";
            return Err(Refusal::new(
                Reason::Internal,
                "This hop has been recorded already.",
                detail,
            ));
        }
        let header = self.header(request);
        let recipients = settings.recipients;
        if !jumpd.recorder.has_room(settings.reserve) {
            let why = no_room(settings.reserve);
            if !self.breaks_glass() {
                return Err(Refusal::new(Reason::DiskFull, FULL, why));
            }
            return self.begin_without(
                Tape::begin_interrupted(place, header, recipients, &why),
                &why,
            );
        }
        match Tape::begin(place.clone(), header.clone(), recipients.clone()) {
            Ok(tape) => self.announce(tape),
            Err(e) if self.breaks_glass() => {
                let why = e.to_string();
                self.begin_without(
                    Tape::begin_interrupted(place, header, recipients, &why),
                    &why,
                )
            }
            Err(e) => Err(Refusal::new(reason_of(&e), FAILED, e.to_string())),
        }
    }

    fn announce(&self, tape: Tape) -> Result<Tape, Refusal> {
        if self.jumpd.announce(self.event(Kind::RecordingStarted)) {
            return Ok(tape);
        }
        // Nothing was recorded, and nothing tells of it.
        if let Err(e) = tape.place().delete() {
            complain(&format!("a recording that never began stays: {e}"));
        }
        Err(Refusal::new(Reason::AuditFailed, NO_EVENTS, ""))
    }

    /// Begins with a gap, for somebody who may go on unrecorded.
    fn begin_without(&self, tape: Tape, why: &str) -> Result<Tape, Refusal> {
        if self.raise_alert(why) {
            Ok(tape)
        } else {
            Err(Refusal::new(Reason::AuditFailed, NO_EVENTS, ""))
        }
    }

    /// Says that somebody goes on unrecorded; if it cannot be said, nobody does.
    pub(super) fn raise_alert(&self, why: &str) -> bool {
        self.jumpd.announce(
            self.event(Kind::AlertRaised)
                .reason(Reason::BreakGlass)
                .detail(&format!(
                    "the hop goes on and is not recorded, because its user is in break_glass: {why}"
                )),
        )
    }

    /// Goes on with a recording that the jumpd before this one left for it.
    fn go_on(&self, hop: &HopId) -> Result<Tape, Refusal> {
        let failed = |detail: String| Refusal::new(Reason::RecorderLost, FAILED, detail);
        let Some(place) = self.jumpd.recorder.shelf.bookmarked(hop) else {
            return Err(failed(
                "the recorder was not stopped in good order, so the recording cannot go on".into(),
            ));
        };
        let bookmark = place.take();
        let bookmark = bookmark.map_err(|e| failed(format!("its position: {e}")))?;
        if bookmark.session != self.session {
            return Err(failed("it belongs to another session".into()));
        }
        let tape = Tape::resume(place, bookmark);
        self.go_on_unrecorded(tape.map_err(|e| failed(format!("it cannot go on: {e}")))?)
    }

    /// Of a recording that was interrupted, tries to go on with it; if that cannot be, only somebody who may goes on without.
    fn go_on_unrecorded(&self, mut tape: Tape) -> Result<Tape, Refusal> {
        if !tape.is_interrupted() {
            return Ok(tape);
        }
        let recorder = &self.jumpd.recorder;
        let reserve = self.jumpd.recording_settings().reserve;
        let why = if recorder.has_room(reserve) {
            match tape.close_gap() {
                Ok(()) => return Ok(tape),
                Err(e) => e.to_string(),
            }
        } else {
            no_room(reserve)
        };
        let refusal = if !self.breaks_glass() {
            Refusal::new(Reason::DiskFull, FULL, why)
        } else if self.raise_alert(&why) {
            return Ok(tape);
        } else {
            Refusal::new(Reason::AuditFailed, NO_EVENTS, "")
        };
        // What there is of it gets its end when there is room for one.
        recorder.hands.put_aside(Unfinished {
            tape,
            facts: self.facts().clone(),
            reason: refusal.reason,
        });
        Err(refusal)
    }

    fn header(&self, request: &Request) -> Header {
        let (mut cols, mut rows, mut kind) = (0, 0, None);
        if let Request::Record {
            cols: c,
            rows: r,
            term,
            ..
        } = request
        {
            (cols, rows) = (*c, *r);
            kind = term
                .as_deref()
                .filter(|term| is_plain(term))
                .map(str::to_owned);
        }
        let (asker, hop) = (&self.facts().asker, &self.facts().hop);
        let person = asker.person();
        let policy = self.jumpd.policy();
        Header {
            version: 3,
            term: Terminal { cols, rows, kind },
            timestamp: self.jumpd.now().as_second(),
            facts: Facts {
                recording: hop.id.to_string(),
                session: asker.id().to_string(),
                user: person.user,
                uid: person.uid,
                source: asker.source.ip().to_canonical(),
                key: asker.key_fingerprint().map(str::to_owned),
                target: hop.asked.clone(),
                address: hop.address,
                login: Some(hop.login.clone()),
                rule: hop.rule.clone(),
                policy: policy.map_or_else(String::new, |policy| policy.hash().to_owned()),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                sealed_to: Vec::new(),
            },
        }
    }
}

fn no_room(reserve: u64) -> String {
    format!(
        "less than the reserve of {} MiB is free on the disk of {}",
        reserve >> 20,
        jump_proto::paths::RECORDINGS
    )
}

/// Whether a `TERM` is one that some terminal has: it is shown to auditors.
fn is_plain(term: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+');
    !term.is_empty() && term.len() <= MOST_TERM && term.bytes().all(plain)
}
