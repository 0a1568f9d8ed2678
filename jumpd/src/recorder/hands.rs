//! Who has which recording in hand.
//!
//! One lock says it for all threads: a recording is written by one or finished
//! by one, and never both. Once the hands are closed nobody takes anything any
//! more. What is in hand then is waited for, and is brought to a place from
//! where the next jumpd goes on; whoever comes later asks that one.

use super::{Live, MOST, Unfinished, lock, order};
use jump_proto::HopId;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// All recordings that somebody has in hand.
#[derive(Debug, Default)]
pub(super) struct Hands(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Being written.
    live: HashMap<HopId, Arc<Live>>,
    /// Over, and could not be given their end yet.
    unfinished: Vec<Unfinished>,
    /// Being given their end by a housekeeper.
    finishing: HashSet<HopId>,
    /// This jumpd is being stopped.
    closed: bool,
}

impl Inner {
    fn have(&self, hop: &HopId) -> bool {
        let is_it = |unfinished: &Unfinished| unfinished.facts.hop.id == *hop;
        self.live.contains_key(hop)
            || self.finishing.contains(hop)
            || self.unfinished.iter().any(is_it)
    }
}

/// Why a recording is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// This jumpd is being stopped; the next one is to be asked.
    Closed,
    /// Somebody else has it.
    Elsewhere,
    /// There are too many.
    TooMany,
}

/// A recording that a housekeeper has, until this is dropped.
#[derive(Debug)]
pub(super) struct Finishing<'h> {
    hands: &'h Hands,
    hop: HopId,
}

impl Drop for Finishing<'_> {
    fn drop(&mut self) {
        lock(&self.hands.0).finishing.remove(&self.hop);
    }
}

impl Hands {
    /// Takes a recording to write it.
    pub(super) fn take(&self, live: &Arc<Live>) -> Result<(), NotTaken> {
        let hop = &live.facts.hop.id;
        let mut inner = lock(&self.0);
        if inner.closed {
            return Err(NotTaken::Closed);
        }
        if inner.have(hop) {
            return Err(NotTaken::Elsewhere);
        }
        if inner.live.len() >= MOST {
            return Err(NotTaken::TooMany);
        }
        inner.live.insert(hop.clone(), Arc::clone(live));
        Ok(())
    }

    /// It is not written any more, if it was.
    pub(super) fn put_back(&self, live: &Arc<Live>) {
        let hop = &live.facts.hop.id;
        let mut inner = lock(&self.0);
        // Who did not get it does not put it back.
        if inner
            .live
            .get(hop)
            .is_some_and(|has| Arc::ptr_eq(has, live))
        {
            inner.live.remove(hop);
        }
    }

    /// Leaves a recording that is over and has no end to the housekeeper.
    pub(super) fn put_aside(&self, unfinished: Unfinished) {
        let mut inner = lock(&self.0);
        if inner.unfinished.len() < MOST {
            inner.unfinished.push(unfinished);
        }
    }

    /// Takes a recording to finish it, if nobody has it and nobody is being stopped.
    pub(super) fn finish(&self, hop: &HopId) -> Option<Finishing<'_>> {
        let mut inner = lock(&self.0);
        if inner.closed || inner.have(hop) {
            return None;
        }
        inner.finishing.insert(hop.clone());
        Some(self.finishing(hop))
    }

    /// The recording that has waited longest for its end.
    pub(super) fn next_unfinished(&self) -> Option<(Unfinished, Finishing<'_>)> {
        let mut inner = lock(&self.0);
        if inner.closed || inner.unfinished.is_empty() {
            return None;
        }
        let unfinished = inner.unfinished.remove(0);
        let hop = &unfinished.facts.hop.id;
        inner.finishing.insert(hop.clone());
        let finishing = self.finishing(hop);
        Some((unfinished, finishing))
    }

    fn finishing(&self, hop: &HopId) -> Finishing<'_> {
        Finishing {
            hands: self,
            hop: hop.clone(),
        }
    }

    /// How many recordings wait for their end.
    pub(super) fn unfinished(&self) -> usize {
        lock(&self.0).unfinished.len()
    }

    /// Takes everything that waits for its end.
    pub(super) fn take_unfinished(&self) -> Vec<Unfinished> {
        std::mem::take(&mut lock(&self.0).unfinished)
    }

    /// Takes nothing any more, and tells those who write to hand over.
    pub(super) fn close(&self) {
        let mut inner = lock(&self.0);
        inner.closed = true;
        for live in inner.live.values() {
            live.orders.fetch_or(order::HAND_OVER, Ordering::SeqCst);
        }
    }

    /// Whether this jumpd is being stopped.
    pub(super) fn are_closed(&self) -> bool {
        lock(&self.0).closed
    }

    /// Whether nothing is being written or finished.
    pub(super) fn are_empty(&self) -> bool {
        let inner = lock(&self.0);
        inner.live.is_empty() && inner.finishing.is_empty()
    }

    /// Whether anybody has this recording.
    pub(super) fn have(&self, hop: &HopId) -> bool {
        lock(&self.0).have(hop)
    }

    /// The recording of this hop while it is written.
    pub(super) fn live(&self, hop: &HopId) -> Option<Arc<Live>> {
        lock(&self.0).live.get(hop).cloned()
    }

    /// All that are being written.
    pub(super) fn all_live(&self) -> Vec<Arc<Live>> {
        lock(&self.0).live.values().cloned().collect()
    }
}
