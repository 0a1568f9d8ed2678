//! The housekeepers of all recordings: one for the checkpoints and the ends that could not be written, one for the disk's room.
//!
//! They wait for the journal and for the disk, so that no keystroke does. How
//! much is free is asked by a thread that waits for no fdatasync: on a disk
//! that is being filled, that takes longest.

use super::{lock, order, sealed_event, with_head};
use crate::state::{Jumpd, complain};
use jump_audit::{Event, Kind};
use jump_proto::Reason;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often it is looked at what was written.
const TICK: Duration = Duration::from_secs(1);
/// How often the disk is asked how much is free, and ends are tried again.
const LOOK: Duration = Duration::from_secs(2);
/// How often a recording that goes on is in the journal.
pub(super) const CHECKPOINT: Duration = Duration::from_secs(5);

/// How long the disk has had too little room.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    since: Option<Instant>,
    over: bool,
}

/// Looks after the recordings on threads of its own.
///
/// # Errors
/// When a thread cannot be started.
pub(crate) fn watch(jumpd: Arc<Jumpd>) -> std::io::Result<()> {
    let mut shortage = Shortage::default();
    every(LOOK, "recordings-disk", Arc::clone(&jumpd), move |jumpd| {
        jumpd.look_at_disk(&mut shortage);
    })?;
    let mut tried = Instant::now();
    every(TICK, "recordings", jumpd, move |jumpd| {
        jumpd.write_checkpoints(CHECKPOINT);
        if tried.elapsed() >= LOOK {
            tried = Instant::now();
            jumpd.finish_unfinished();
        }
    })
}

/// Does something again and again, on a thread of its own, until jumpd is being stopped.
fn every(
    pause: Duration,
    name: &str,
    jumpd: Arc<Jumpd>,
    mut work: impl FnMut(&Jumpd) + Send + 'static,
) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            loop {
                std::thread::sleep(pause);
                if jumpd.recorder.hands.are_closed() {
                    return;
                }
                work(&jumpd);
            }
        })?;
    Ok(())
}

impl Jumpd {
    /// Tells recordings that are being written of a disk that has too little room for them.
    pub(super) fn look_at_disk(&self, shortage: &mut Shortage) {
        let settings = self.recording_settings();
        if self.recorder.has_room(settings.reserve) {
            if shortage.since.take().is_some() {
                shortage.over = false;
                self.note(
                    Event::new(Kind::PostureChanged)
                        .success()
                        .detail("the disk has room for recordings again"),
                );
                self.recorder.order_all(order::ROOM);
            }
            return;
        }
        match shortage.since {
            None => {
                shortage.since = Some(Instant::now());
                let what = format!(
                    "less than the reserve of {} MiB is free for recordings: recorded hops are refused, and running ones end in {} s",
                    settings.reserve >> 20,
                    settings.grace.as_secs()
                );
                let event = Event::new(Kind::PostureChanged).failure();
                self.note(event.reason(Reason::DiskFull).detail(&what));
                self.recorder.order_all(order::WARN);
            }
            Some(since) if !shortage.over && since.elapsed() >= settings.grace => {
                shortage.over = true;
                self.recorder.order_all(order::FULL);
            }
            Some(_) => {}
        }
    }

    /// Makes what was recorded durable, and lets the journal know of it, where that was last done `at_least` ago.
    pub(super) fn write_checkpoints(&self, at_least: Duration) {
        for live in self.recorder.hands.all_live() {
            let (place, file, head, bytes) = {
                let mut progress = lock(&live.progress);
                let Some(known) = progress.as_mut() else {
                    continue;
                };
                if known.told == known.head.sequence || known.told_at.elapsed() < at_least {
                    continue;
                }
                known.told = known.head.sequence;
                known.told_at = Instant::now();
                (
                    known.place.clone(),
                    Arc::clone(&known.file),
                    known.head,
                    known.bytes,
                )
            };
            if !place.still_is(&file, bytes).unwrap_or(true) {
                live.orders.fetch_or(order::MEDDLED, Ordering::SeqCst);
                continue;
            }
            if let Err(e) = file.sync_data() {
                complain(&format!("a recording may not survive a power failure: {e}"));
            }
            let event = super::event(Kind::RecordingCheckpoint, &live.facts);
            self.note(with_head(event, head, bytes));
        }
    }

    /// Tries once more to give recordings their end.
    pub(super) fn finish_unfinished(&self) {
        let hands = &self.recorder.hands;
        for _ in 0..hands.unfinished() {
            let Some((mut unfinished, _finishing)) = hands.next_unfinished() else {
                return;
            };
            match unfinished.tape.end(None) {
                Ok(sealed) => {
                    // What is not durable now is so at the latest when the disk can write again.
                    let _synced = sealed.file.sync_all();
                    let event = sealed_event(&unfinished.facts, &sealed, unfinished.reason);
                    self.note(event);
                }
                Err(_) => hands.put_aside(unfinished),
            }
        }
    }
}
