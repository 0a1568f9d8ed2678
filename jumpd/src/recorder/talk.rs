//! The conversation with jump-shell while a hop is recorded.
//!
//! A packet is a frame in the file before it is acknowledged, and no lock, no
//! event and no fdatasync stands between the two. Acknowledgements say how
//! many packets are kept in all, so one may stand for several, and one for
//! which there is no room is made good by the next: nothing here waits for a
//! shell that does not read.

use super::tape::Tape;
use super::{Held, Unfinished, order, reason_of, sealed_event};
use crate::state::complain;
use jump_audit::Kind;
use jump_proto::hop::{FromRecorder, FromShell, RECORD_DATA};
use jump_proto::{Channel, ChannelError, Reason};
use jump_recording::{Kind as FrameKind, WriteError};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// So many bytes are written before the packets so far are acknowledged, though more wait.
const BEFORE_ACK: usize = RECORD_DATA;
/// A sign of life is written down when nothing else was for so long, in microseconds.
const SIGN_OF_LIFE: u64 = 30_000_000;
/// So many bytes a recording grows by until the disk is asked whether there is room for more.
pub(super) const LOOK_AFTER: u64 = 1024 * 1024;
/// How long the other side may take to close after it was told to.
const GOOD_BYE: Duration = Duration::from_secs(1);

const DISK_LOW: &str = "The disk of the jump server is nearly full, so this hop will be ended soon. Please tell its administrators.";
const DISK_FULL: &str = "This hop is ended: it must be recorded, and the disk of the jump server is nearly full. Please tell its administrators.";
const DISK_ROOM: &str = "The disk of the jump server has room again. This hop goes on.";
const NOT_WRITTEN: &str = "This hop is ended: it must be recorded, and the jump server cannot write recordings now. Please tell its administrators.";
const MEDDLED: &str = "This hop is ended: it must be recorded, and its recording was changed by somebody else. Please tell the administrators of the jump server.";
const NO_PACKET: &str =
    "This hop is ended: its recording was spoken to in a way that is not known.";
const UNRECORDED: &str = "This hop is not recorded any more and goes on all the same, because you are in a break-glass group. The administrators have been alerted.";
const RECORDED_AGAIN: &str = "This hop is recorded again.";

/// Why a conversation is over.
enum Ending {
    /// The hop is over, and the shell said so.
    Over,
    /// The shell is gone.
    Gone,
    /// The next jumpd goes on.
    HandOver,
    /// It must not go on: why, what the user is told, what the file says.
    Stop(Reason, &'static str, &'static str),
    /// It could not be written.
    Failed(WriteError),
    /// Somebody changed the file.
    Meddled,
}

/// A conversation with the shell of one hop.
pub(super) struct Talk<'a> {
    held: Held<'a>,
    channel: &'a Channel,
    tape: Tape,
    /// Packets that were kept, and how many of them the shell knows of.
    kept: u64,
    told: u64,
    /// Bytes since the last acknowledgement.
    since_ack: usize,
    packet: Vec<u8>,
    /// The length of the file at which the disk is asked.
    look_at: u64,
}

impl<'a> Talk<'a> {
    pub(super) fn new(held: Held<'a>, channel: &'a Channel, tape: Tape) -> Self {
        let length = tape.progress().map_or(0, |(position, _)| position.bytes);
        Self {
            look_at: length.saturating_add(LOOK_AFTER),
            held,
            channel,
            tape,
            kept: 0,
            told: 0,
            since_ack: 0,
            packet: Vec::new(),
        }
    }

    /// Records until the hop is over, or must be.
    pub(super) fn run(mut self) {
        if self.tape.is_interrupted() {
            self.say(&FromRecorder::Notice(UNRECORDED.to_owned()));
        }
        let ending = self.listen().unwrap_or_else(Ending::Failed);
        self.finish(ending);
    }

    /// Writes what comes, until something ends it.
    fn listen(&mut self) -> Result<Ending, WriteError> {
        // One byte says what a packet is.
        let mut buffer = vec![0; RECORD_DATA + 1];
        let mut crowded = false;
        loop {
            let orders = self.held.live.orders.swap(0, Ordering::SeqCst);
            if orders != 0
                && let Some(ending) = self.obey(orders)
            {
                return Ok(ending);
            }
            let nothing_owed = self.kept == self.told;
            match self
                .channel
                .recv_bytes(&mut buffer, nothing_owed || crowded)
            {
                Ok(Some(length)) => {
                    let packet = buffer.get(..length).unwrap_or_default();
                    match FromShell::get(packet) {
                        Ok(from) => {
                            if self.keep(from)? {
                                return Ok(Ending::Over);
                            }
                            if let Some(ending) = self.look_at_disk() {
                                return Ok(ending);
                            }
                        }
                        Err(_) => return Ok(no_packet()),
                    }
                    self.since_ack += length;
                    if self.since_ack >= BEFORE_ACK {
                        crowded = !self.acknowledge();
                    }
                }
                Ok(None) => return Ok(Ending::Gone),
                // Nothing more is waiting.
                Err(ChannelError::TimedOut) => crowded = !self.acknowledge(),
                Err(ChannelError::TooLarge(_)) => return Ok(no_packet()),
                Err(e) => {
                    complain(&format!("a recording's connection: {e}"));
                    return Ok(Ending::Gone);
                }
            }
        }
    }

    /// Writes one packet; whether it was the last.
    fn keep(&mut self, from: FromShell<'_>) -> Result<bool, WriteError> {
        if self.tape.may_try_again() && !self.held.jumpd.recorder.low.load(Ordering::SeqCst) {
            self.try_again();
        }
        let (kind, text);
        let data = match from {
            FromShell::Output(data) => {
                kind = FrameKind::Output;
                data
            }
            FromShell::Size { cols, rows } => {
                kind = FrameKind::Resize;
                text = format!("{cols}x{rows}");
                text.as_bytes()
            }
            FromShell::Marker(label) => {
                kind = FrameKind::Marker;
                label.as_bytes()
            }
            FromShell::Alive => {
                kind = FrameKind::Keepalive;
                &[]
            }
            FromShell::Over { status } => {
                kind = FrameKind::Exit;
                text = status.to_string();
                text.as_bytes()
            }
        };
        if kind != FrameKind::Keepalive || self.tape.silent_for(SIGN_OF_LIFE) {
            let kept = self.tape.keep(kind, data);
            if let Err(e) = kept
                && !(self.held.breaks_glass() && self.interrupt(&e.to_string(), data.len()))
            {
                return Err(e);
            }
        }
        self.kept += 1;
        Ok(kind == FrameKind::Exit)
    }

    /// Asks the disk, where this recording has grown so much since it was last asked: what fills a disk
    /// faster than a grace lasts must not wait for one.
    fn look_at_disk(&mut self) -> Option<Ending> {
        let (position, _) = self.tape.progress()?;
        if position.bytes < self.look_at {
            return None;
        }
        self.look_at = position.bytes.saturating_add(LOOK_AFTER);
        let jumpd = self.held.jumpd;
        let reserve = jumpd.recording_settings().reserve;
        if !jumpd.recorder.is_at_floor(reserve) {
            return None;
        }
        self.obey(order::FULL)
    }

    /// Goes on unrecorded from here; false if that cannot be said.
    fn interrupt(&mut self, why: &str, lost: usize) -> bool {
        if !self.held.raise_alert(why) {
            return false;
        }
        self.tape.open_gap(why);
        self.tape.lose(lost);
        self.say(&FromRecorder::Notice(UNRECORDED.to_owned()));
        true
    }

    /// Goes on with the recording after an interruption, if that can be.
    fn try_again(&mut self) {
        // Else a while later.
        if self.tape.close_gap().is_ok() {
            self.say(&FromRecorder::Notice(RECORDED_AGAIN.to_owned()));
        }
    }

    /// Tells the shell how much is kept, and the other threads how far it has come; false if there is no room for it now.
    fn acknowledge(&mut self) -> bool {
        if self.kept == self.told {
            return true;
        }
        self.held.tell(&self.tape);
        self.since_ack = 0;
        let told = self.say(&FromRecorder::Kept(self.kept));
        if told {
            self.told = self.kept;
        }
        told
    }

    /// Tells the shell something if it reads.
    fn say(&mut self, what: &FromRecorder) -> bool {
        what.put(&mut self.packet);
        self.channel.send_bytes(&self.packet, false).is_ok()
    }

    /// Tells the shell something, and waits a little for it to read.
    fn insist(&mut self, what: &FromRecorder) {
        what.put(&mut self.packet);
        let begun = Instant::now();
        while begun.elapsed() < GOOD_BYE {
            match self.channel.send_bytes(&self.packet, true) {
                Err(ChannelError::TimedOut) => {}
                // Said, or nobody is there.
                _ => return,
            }
        }
    }

    fn obey(&mut self, orders: u8) -> Option<Ending> {
        if orders & order::MEDDLED != 0 {
            return Some(Ending::Meddled);
        }
        if orders & order::HAND_OVER != 0 {
            return Some(Ending::HandOver);
        }
        if self.tape.is_interrupted() {
            return None;
        }
        if orders & order::ROOM != 0 {
            self.say(&FromRecorder::Notice(DISK_ROOM.to_owned()));
        } else if orders & order::FULL != 0 {
            const WHY: &str = "the disk is nearly full";
            if self.held.breaks_glass() && self.interrupt(WHY, 0) {
                return None;
            }
            return Some(Ending::Stop(
                Reason::DiskFull,
                DISK_FULL,
                "ended by the jump server: the disk is nearly full",
            ));
        } else if orders & order::WARN != 0 {
            self.say(&FromRecorder::Notice(DISK_LOW.to_owned()));
        }
        None
    }

    /// Ends the recording as well as can be, and says so to everybody. What has no end yet is left to the housekeeper.
    fn finish(mut self, ending: Ending) {
        let ended = match ending {
            Ending::HandOver => self.hand_over(),
            Ending::Over => {
                let why = self.held.must_end().unwrap_or(Reason::ClosedByPeer);
                let sealed = self.seal(None, why, "");
                if sealed {
                    until_the_other_side_closes(self.channel);
                } else {
                    self.part(NOT_WRITTEN);
                }
                sealed
            }
            Ending::Gone => {
                let why = self.held.must_end().unwrap_or(Reason::ShellLost);
                self.seal(
                    Some("the end was not seen: jump-shell is gone"),
                    why,
                    "jump-shell is gone without a word of how the hop ended",
                )
            }
            Ending::Stop(reason, sentence, note) => {
                let sealed = self.seal(Some(note), reason, note);
                self.part(sentence);
                sealed
            }
            Ending::Failed(error) => {
                self.failed(reason_of(&error), &error.to_string());
                self.part(NOT_WRITTEN);
                false
            }
            Ending::Meddled => {
                self.failed(
                    Reason::RecorderLost,
                    "the file was cut, moved or removed by somebody else while it was written",
                );
                self.part(MEDDLED);
                // If it is only elsewhere, it has its end all the same.
                let _ended = self.tape.end(Some("the file was changed by somebody else"));
                true
            }
        };
        if !ended {
            self.put_aside();
        }
    }

    /// Gives the recording its end; false if it could not be given.
    fn seal(&mut self, note: Option<&str>, reason: Reason, detail: &str) -> bool {
        self.held.over = Some(reason);
        match self.tape.end(note) {
            Ok(sealed) => {
                // For the shell it is over with this; the disk may take its time.
                self.insist(&FromRecorder::Kept(self.kept));
                if let Err(e) = sealed.file.sync_all() {
                    complain(&format!("a recording may not survive a power failure: {e}"));
                }
                let event = sealed_event(self.held.facts(), &sealed, reason);
                self.held.jumpd.note(event.detail(detail));
                true
            }
            Err(e) => {
                self.failed(reason_of(&e), &format!("it has no end yet: {e}"));
                false
            }
        }
    }

    fn failed(&mut self, reason: Reason, detail: &str) {
        self.held.over = Some(reason);
        let event = self.held.event(Kind::RecordingFailed).reason(reason);
        self.held.jumpd.note(event.detail(detail));
    }

    /// Leaves a recording without an end to the housekeeper.
    fn put_aside(self) {
        let hands = &self.held.jumpd.recorder.hands;
        hands.put_aside(Unfinished {
            tape: self.tape,
            facts: self.held.facts().clone(),
            reason: self.held.over.unwrap_or(Reason::RecorderLost),
        });
    }

    /// The hop must end now: its connection is cut, and the user told why.
    fn part(&mut self, sentence: &str) {
        self.acknowledge();
        let (session, hop) = (&self.held.session, &self.held.facts().hop.id);
        let reason = self.held.over.unwrap_or(Reason::RecorderLost);
        self.held.jumpd.recording_over(session, hop, reason);
        self.insist(&FromRecorder::End(sentence.to_owned()));
        until_the_other_side_closes(self.channel);
    }

    /// Leaves the recording to the next jumpd; false if that could not be.
    fn hand_over(&mut self) -> bool {
        match self.tape.leave(&self.held.session) {
            Ok(()) => {
                self.insist(&FromRecorder::Kept(self.kept));
                self.insist(&FromRecorder::ComeAgain);
                self.held.over = None;
                until_the_other_side_closes(self.channel);
                true
            }
            Err(e) => {
                self.failed(
                    Reason::NotPersisted,
                    &format!("it cannot be handed over: {e}"),
                );
                self.part(NOT_WRITTEN);
                false
            }
        }
    }
}

impl Held<'_> {
    /// Why the hop must end, or its session, if it must.
    fn must_end(&self) -> Option<Reason> {
        let sessions = self.jumpd.sessions();
        let session = sessions.get(&self.session)?;
        session.ends_hop_for(&self.facts().hop.id)
    }
}

fn no_packet() -> Ending {
    Ending::Stop(
        Reason::Internal,
        NO_PACKET,
        "ended by the jump server: what came was no packet of a recording",
    )
}

/// Reads and forgets until the other side closes, for a while: a connection
/// that is closed with something unread in it loses what was said last (unix(7) does not say so; the kernel does it).
pub(super) fn until_the_other_side_closes(channel: &Channel) {
    let mut buffer = vec![0; RECORD_DATA + 1];
    let begun = Instant::now();
    while begun.elapsed() < GOOD_BYE {
        match channel.recv_bytes(&mut buffer, true) {
            Ok(Some(_)) | Err(ChannelError::TimedOut | ChannelError::TooLarge(_)) => {}
            _ => return,
        }
    }
}
