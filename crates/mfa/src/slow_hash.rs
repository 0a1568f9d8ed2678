//! Argon2id, in memory of our own.
//!
//! Each hash takes 4 MiB. An allocator keeps what threads give back, once for
//! each of its arenas: a hundred MiB after one busy minute. So the memory is
//! kept here, for as many hashes as there are at a time, and it is wiped after
//! each, which the library leaves to its caller.

use crate::recovery::HASH;
use crate::store::StoreError;
use crate::turns;
use argon2::{Argon2, Block, Version};
use std::sync::{Mutex, PoisonError};
use zeroize::{Zeroize, Zeroizing};

static SPARE: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());

#[cfg(test)]
thread_local! {
    /// How many this thread has made.
    pub(crate) static SLOW_HASHES: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// Memory for one hash, wiped and kept for the next when dropped.
struct Memory(Vec<Block>);

impl Memory {
    fn of(blocks: usize) -> Self {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memory = spare.pop().unwrap_or_default();
        drop(spare);
        memory.resize(blocks, Block::new());
        Self(memory)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < turns::MOST {
            spare.push(std::mem::take(&mut self.0));
        }
    }
}

/// Argon2id with these costs: memory in KiB, passes, lanes.
pub(crate) fn slow_hash(
    (memory_kib, passes, lanes): (u32, u32, u32),
    salt: &[u8],
    text: &[u8],
) -> Result<Zeroizing<[u8; HASH]>, StoreError> {
    #[cfg(test)]
    SLOW_HASHES.set(SLOW_HASHES.get() + 1);
    let params = argon2::Params::new(memory_kib, passes, lanes, Some(HASH))?;
    let mut memory = Memory::of(params.block_count());
    let argon = Argon2::new(argon2::Algorithm::Argon2id, Version::V0x13, params);
    let mut hash = Zeroizing::new([0u8; HASH]);
    argon.hash_password_into_with_memory(text, salt, hash.as_mut(), &mut memory.0)?;
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_wiped_and_no_more_than_may_be_used_at_a_time() {
        let hash = |memory| slow_hash((memory, 1, 1), &[7; 16], b"text").unwrap();
        let alone = hash(64);
        std::thread::scope(|threads| {
            for memory in [64, 128, 8].into_iter().cycle().take(24) {
                threads.spawn(move || hash(memory));
            }
        });
        // Whatever the memory was used for before.
        assert_eq!(hash(64), alone);
        let spare = SPARE.lock().unwrap();
        assert!((1..=turns::MOST).contains(&spare.len()), "{}", spare.len());
        let blank = Block::new();
        let is_blank = |block: &Block| block.as_ref() == blank.as_ref();
        assert!(spare.iter().flatten().all(is_blank));
    }
}
