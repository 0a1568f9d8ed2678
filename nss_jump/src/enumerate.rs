//! Where `getpwent(3)` and `getgrent(3)` are in the index.
//!
//! The position is the lowest id not yet given, not a place in a file: the
//! file may be renamed between two calls, and each entry that is there all
//! the while still comes exactly once. One atomic number, so there is nothing
//! to lock, to leak at a fork, or to free at `endpwent`. (glibc itself lets
//! one thread at a time enumerate.)

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Failure;

/// The progress of one enumeration. 64 bits: one past the greatest id fits.
pub(crate) struct Cursor(AtomicU64);

impl Cursor {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn rewind(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// The lowest id to give next.
    pub(crate) fn next(&self) -> Result<u32, Failure> {
        u32::try_from(self.0.load(Ordering::Relaxed)).map_err(|_| Failure::NotFound)
    }

    /// Notes that `id` was given. Not called when the caller's buffer was too
    /// small: it asks again.
    pub(crate) fn passed(&self, id: u32) {
        self.0
            .store(u64::from(id).saturating_add(1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_after_the_last_id_and_ends_after_the_greatest() {
        let cursor = Cursor::new();
        assert_eq!(cursor.next(), Ok(0));
        cursor.passed(70_001);
        assert_eq!(cursor.next(), Ok(70_002));
        cursor.passed(u32::MAX);
        assert_eq!(cursor.next(), Err(Failure::NotFound));
        cursor.rewind();
        assert_eq!(cursor.next(), Ok(0));
    }
}
