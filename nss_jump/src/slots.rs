//! Keeping the loaded index without ever holding a lock.
//!
//! A host program may fork at any moment, with another of its threads in the
//! middle of a lookup: in the child that thread is gone, and a lock it held
//! stays locked for ever. So nothing here waits. A slot counts who is reading
//! it; whoever finds an outdated one loads the file into a slot that nobody
//! reads, and if there is none, for itself alone. What a fork leaves counted
//! costs one slot of four in that child, never an answer.

use std::cell::UnsafeCell;
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Set in a slot's count while its content is replaced.
const CLAIMED: u32 = 1 << 31;

/// Shared places for values that are expensive to make.
pub(crate) struct Slots<T, const N: usize> {
    slots: [Slot<T>; N],
    /// The slot filled last.
    current: AtomicUsize,
}

struct Slot<T> {
    /// How many read the content, or [`CLAIMED`].
    readers: AtomicU32,
    content: UnsafeCell<Option<T>>,
}

// SAFETY: the content is changed only between a successful change of `readers`
// from 0 to CLAIMED and its release, and read only while counted in `readers`;
// these two exclude each other.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

/// A value that stays as it is while this is held.
pub(crate) enum Held<'a, T> {
    /// In a slot, with others.
    Shared(Counted<'a, T>),
    /// No slot was free.
    Own(T),
}

/// A reader of a slot.
pub(crate) struct Counted<'a, T> {
    slot: &'a Slot<T>,
    content: &'a T,
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Shared(counted) => counted.content,
            Self::Own(value) => value,
        }
    }
}

impl<T> Drop for Counted<'_, T> {
    fn drop(&mut self) {
        self.slot.readers.fetch_sub(1, Ordering::Release);
    }
}

impl<T, const N: usize> Slots<T, N> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: [const {
                Slot {
                    readers: AtomicU32::new(0),
                    content: UnsafeCell::new(None),
                }
            }; N],
            current: AtomicUsize::new(0),
        }
    }

    /// The value kept last, if there is one.
    pub(crate) fn get(&self) -> Option<Held<'_, T>> {
        let slot = self.slots.get(self.current.load(Ordering::Acquire))?;
        slot.share().map(Held::Shared)
    }

    /// Keeps `value` for later calls if a slot is free, and forgets those
    /// that nobody reads any more.
    pub(crate) fn keep(&self, value: T) -> Held<'_, T> {
        let current = self.current.load(Ordering::Relaxed);
        let claimed = self
            .slots
            .iter()
            .enumerate()
            .find(|(at, slot)| *at != current && slot.claim());
        let Some((at, slot)) = claimed else {
            return Held::Own(value);
        };
        let counted = slot.fill(value);
        self.current.store(at, Ordering::Release);
        for (other, slot) in self.slots.iter().enumerate() {
            if other != at && slot.claim() {
                slot.empty();
            }
        }
        Held::Shared(counted)
    }
}

impl<T> Slot<T> {
    /// Counts the caller as a reader, unless the content is being replaced.
    fn share(&self) -> Option<Counted<'_, T>> {
        let mut readers = self.readers.load(Ordering::Relaxed);
        loop {
            // One short of CLAIMED: not even 2^31 readers run into the flag.
            if readers >= CLAIMED - 1 {
                return None;
            }
            match self.readers.compare_exchange_weak(
                readers,
                readers + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => readers = now,
            }
        }
        // SAFETY: counted as a reader, so nobody claims the slot until the
        // count goes down again.
        match unsafe { &*self.content.get() } {
            Some(content) => Some(Counted {
                slot: self,
                content,
            }),
            None => {
                self.readers.fetch_sub(1, Ordering::Release);
                None
            }
        }
    }

    /// Reserves the slot for replacing its content, if nobody reads it.
    fn claim(&self) -> bool {
        self.readers
            .compare_exchange(0, CLAIMED, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Fills a claimed slot; the caller becomes its first reader.
    fn fill(&self, value: T) -> Counted<'_, T> {
        // SAFETY: the slot is claimed by the caller: no other reference exists.
        let content = unsafe { &mut *self.content.get() };
        let content = content.insert(value);
        // From here on only shared references exist.
        self.readers.store(1, Ordering::Release);
        Counted {
            slot: self,
            content,
        }
    }

    /// Drops the content of a claimed slot.
    fn empty(&self) {
        // SAFETY: the slot is claimed by the caller: no other reference exists.
        unsafe { *self.content.get() = None };
        self.readers.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    /// Two words that must always be equal.
    struct Pair(u64, u64);

    #[test]
    fn nothing_is_there_before_the_first() {
        let slots: Slots<u32, 4> = Slots::new();
        assert!(slots.get().is_none());
        assert_eq!(*slots.keep(7), 7);
        assert_eq!(slots.get().map(|held| *held), Some(7));
    }

    #[test]
    fn a_value_that_is_read_outlives_its_successors() {
        let slots: Slots<u32, 4> = Slots::new();
        drop(slots.keep(0));
        let first = slots.get().unwrap();
        for n in 1..20 {
            assert_eq!(*slots.keep(n), n);
            assert_eq!(slots.get().map(|held| *held), Some(n));
        }
        assert_eq!(*first, 0);
    }

    #[test]
    fn values_nobody_reads_are_dropped() {
        let slots: Slots<Arc<()>, 4> = Slots::new();
        let value = Arc::new(());
        for _ in 0..100 {
            drop(slots.keep(value.clone()));
            assert_eq!(Arc::strong_count(&value), 2);
        }
    }

    /// What a fork leaves behind: readers that will never finish.
    #[test]
    fn slots_lost_to_a_fork_cost_no_answer() {
        let slots: Slots<u32, 4> = Slots::new();
        for n in 0..50 {
            let held = slots.keep(n);
            assert_eq!(*held, n);
            std::mem::forget(held);
        }
        assert!(matches!(slots.keep(50), Held::Own(50)));
    }

    #[test]
    fn readers_never_see_a_value_half_made() {
        let slots: Slots<Box<Pair>, 4> = Slots::new();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        if let Some(pair) = slots.get() {
                            assert_eq!(pair.0, pair.1);
                        }
                    }
                });
                scope.spawn(|| {
                    for n in 0..20_000 {
                        let pair = slots.keep(Box::new(Pair(n, n)));
                        assert_eq!((pair.0, pair.1), (n, n));
                    }
                    done.store(true, Ordering::Relaxed);
                });
            }
        });
    }
}
