//! The recorder: what jump-shell is about to show of a hop is in a file before it is shown.
//!
//! A recording has a connection of its own, and the thread of that connection
//! does everything that a keystroke waits for: it reads a packet, writes a
//! frame, acknowledges, and asks once in a mebibyte how much of the disk is
//! free, which takes no longer than a write. Whatever may take longer (the
//! journal, fdatasync) is done by threads for all recordings ([`watch`]),
//! which give the others orders.
//!
//! A recorded hop exists only while it is recorded. Whichever way the thread
//! ends, the books are told ([`Held`]), and the hop's connection is cut.

mod begin;
mod bookmark;
mod hands;
mod leftovers;
mod prune;
mod shelf;
mod talk;
mod tape;
#[cfg(test)]
mod tests;
mod watch;

use crate::hops::HopFacts;
use crate::state::Jumpd;
use hands::{Hands, NotTaken};
use jump_audit::{Event, Kind};
use jump_proto::{HopId, Reason, SessionId};
use jump_recording::Head;
use shelf::{Place, Shelf};
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tape::Tape;

pub(crate) use leftovers::look_through;
pub(crate) use watch::watch;

/// Recordings that are written at once; beyond, a hop that must be recorded is refused. Each takes less than 1 MiB of memory.
const MOST: usize = 2048;
/// How long recordings that are brought to a stop may take for it.
const STOPPING: Duration = Duration::from_secs(5);

const NO_HOP: &str = "There is no such hop to record.";
const BEING_ENDED: &str = "The recording of this hop has ended, and cannot go on.";
const TOO_MANY: &str = "Too many hops are being recorded now. Please try again later.";

/// Orders to the thread of a recording, a bit each.
mod order {
    /// The disk is nearly full; say so.
    pub(super) const WARN: u8 = 1;
    /// The disk is nearly full, and the grace is over.
    pub(super) const FULL: u8 = 2;
    /// The disk has room again.
    pub(super) const ROOM: u8 = 4;
    /// Another jumpd goes on.
    pub(super) const HAND_OVER: u8 = 8;
    /// Somebody else has changed the file.
    pub(super) const MEDDLED: u8 = 16;
}

/// Everything about recordings that threads share.
#[derive(Debug)]
pub(crate) struct Recorder {
    shelf: Shelf,
    hands: Hands,
    /// Whether less of the disk is free than is to be left.
    low: AtomicBool,
    /// One look through the shelf for what is too old at a time.
    pruning: Mutex<()>,
}

/// A recording that is being written, as other threads know it.
#[derive(Debug)]
struct Live {
    facts: HopFacts,
    orders: AtomicU8,
    progress: Mutex<Option<Progress>>,
}

/// How far it has come.
#[derive(Debug)]
struct Progress {
    place: Place,
    file: Arc<File>,
    head: Head,
    bytes: u64,
    /// The last frame that the journal knows of, and since when.
    told: u64,
    told_at: Instant,
}

/// A recording that is over and has no end.
#[derive(Debug)]
struct Unfinished {
    tape: Tape,
    facts: HopFacts,
    reason: Reason,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recorder {
    /// Keeps recordings in this directory, and in the other what a restarted jumpd must know of those that have no room there.
    pub(crate) fn new(root: &Path, state: &Path) -> Self {
        Self {
            shelf: Shelf::new(root, state),
            hands: Hands::default(),
            low: AtomicBool::new(false),
            pruning: Mutex::default(),
        }
    }

    /// The recording of a hop, if there is one: bytes of its file so far.
    pub(crate) fn bytes_of(&self, hop: &HopId) -> Option<u64> {
        let live = self.hands.live(hop)?;
        let progress = lock(&live.progress);
        Some(progress.as_ref().map_or(0, |progress| progress.bytes))
    }

    /// Whether so much of the disk is free that recordings may grow.
    fn has_room(&self, reserve: u64) -> bool {
        // A disk that cannot be asked has none.
        let room = self.shelf.free().is_ok_and(|free| free >= reserve);
        self.low.store(!room, Ordering::SeqCst);
        room
    }

    /// Whether so little of the disk is free that nobody's grace can wait: less than half of the reserve.
    fn is_at_floor(&self, reserve: u64) -> bool {
        let at_floor = !self.shelf.free().is_ok_and(|free| free >= reserve / 2);
        if at_floor {
            // Whoever goes on unrecorded does not try again until the housekeeper has seen room.
            self.low.store(true, Ordering::SeqCst);
        }
        at_floor
    }

    fn order_all(&self, order: u8) {
        for live in self.hands.all_live() {
            live.orders.fetch_or(order, Ordering::SeqCst);
        }
    }

    /// Brings every recording to a place from where the next jumpd goes on, and waits for that.
    pub(crate) fn hand_over(&self) {
        self.hands.close();
        let begun = Instant::now();
        while !self.hands.are_empty() && begun.elapsed() < STOPPING {
            std::thread::sleep(Duration::from_millis(10));
        }
        for unfinished in self.hands.take_unfinished() {
            // What cannot be left is found without an end at the next start.
            let _left = unfinished.tape.leave(unfinished.facts.asker.id());
        }
    }
}

/// A recording that this thread has. Dropped, in a panic too, nobody has it, and the hop's connection goes.
struct Held<'a> {
    jumpd: &'a Jumpd,
    session: SessionId,
    live: Arc<Live>,
    /// Why nobody has it any more; nothing where the next jumpd will.
    over: Option<Reason>,
}

/// Why a hop is not recorded.
enum NotHeld {
    /// Whoever asks gets no answer, and asks the next jumpd.
    Stopping,
    /// Why, and in words for the user.
    Refused(Reason, &'static str),
}

impl<'a> Held<'a> {
    /// Takes a hop of this session's to record it.
    ///
    /// # Errors
    /// Why not.
    fn take(jumpd: &'a Jumpd, session: &SessionId, hop: &HopId) -> Result<Self, NotHeld> {
        let facts = jumpd
            .recording_begins(session, hop)
            .ok_or(NotHeld::Refused(Reason::NoSession, NO_HOP))?;
        let mut held = Self {
            jumpd,
            session: session.clone(),
            live: Arc::new(Live {
                facts,
                orders: AtomicU8::new(0),
                progress: Mutex::new(None),
            }),
            over: Some(Reason::RecorderLost),
        };
        match jumpd.recorder.hands.take(&held.live) {
            Ok(()) => Ok(held),
            Err(NotTaken::Closed) => {
                held.over = None;
                Err(NotHeld::Stopping)
            }
            Err(NotTaken::Elsewhere) => Err(NotHeld::Refused(Reason::RecorderLost, BEING_ENDED)),
            Err(NotTaken::TooMany) => {
                held.over = Some(Reason::Busy);
                Err(NotHeld::Refused(Reason::Busy, TOO_MANY))
            }
        }
    }

    fn facts(&self) -> &HopFacts {
        &self.live.facts
    }

    fn event(&self, kind: Kind) -> Event {
        event(kind, self.facts())
    }

    /// Whether this user goes on where recording fails.
    fn breaks_glass(&self) -> bool {
        let subject = self.facts().asker.subject();
        let policy = self.jumpd.policy();
        policy.is_some_and(|policy| policy.breaks_glass(&subject))
    }

    /// Lets the other threads know how far it has come.
    fn tell(&self, tape: &Tape) {
        let Some((position, file)) = tape.progress() else {
            return;
        };
        let mut progress = lock(&self.live.progress);
        match progress.as_mut() {
            Some(known) => {
                known.head = position.head;
                known.bytes = position.bytes;
            }
            None => {
                *progress = Some(Progress {
                    place: tape.place().clone(),
                    file: Arc::clone(file),
                    head: position.head,
                    bytes: position.bytes,
                    told: position.head.sequence,
                    told_at: Instant::now(),
                });
            }
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let hop = &self.live.facts.hop.id;
        match self.over {
            Some(reason) => self.jumpd.recording_over(&self.session, hop, reason),
            None => self.jumpd.recording_left(&self.session, hop),
        }
        // Last: a jumpd that is being stopped waits for this.
        self.jumpd.recorder.hands.put_back(&self.live);
    }
}

/// An event about the recording of a hop.
fn event(kind: Kind, facts: &HopFacts) -> Event {
    let hop = &facts.hop;
    let event = facts
        .asker
        .event(kind)
        .destination(hop.address)
        .rule(&hop.rule)
        .text("recording", &hop.id);
    match &hop.name {
        Some(name) => event.destination_name(name),
        None => event,
    }
}

/// The same, with how far it has come.
fn with_head(event: Event, head: Head, bytes: u64) -> Event {
    event
        .text("sequence", head.sequence)
        .text("head", head.hash)
        .text("size", bytes)
}

/// `recording.sealed`, with why it ended.
fn sealed_event(facts: &HopFacts, sealed: &tape::Sealed, reason: Reason) -> Event {
    with_head(
        event(Kind::RecordingSealed, facts),
        sealed.head,
        sealed.bytes,
    )
    .reason(reason)
}

/// The reason of a write that failed.
fn reason_of(error: &jump_recording::WriteError) -> Reason {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match error {
        jump_recording::WriteError::Io(e)
            if matches!(e.kind(), StorageFull | QuotaExceeded | FileTooLarge) =>
        {
            Reason::DiskFull
        }
        _ => Reason::NotPersisted,
    }
}
