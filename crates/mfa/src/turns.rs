//! How many slow hashes there are at a time: each takes 4 MiB, and whoever has a key can ask for one.
//!
//! No user has more than one of the turns: somebody who asks for many waits for
//! their own, and the others' stay free.

use crate::file_store::LOCK_WAIT;
use crate::invitation::TypedInvitation;
use crate::recovery::TypedCode;
use crate::store::StoreError;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// So many typed texts are hashed at a time; the others wait for their turn.
pub(crate) const MOST: usize = 4;
/// For so long.
const PATIENCE: Duration = Duration::from_secs(1);
// Whoever waited for a turn and for a record still has a second before pam_jump gives up: who has gone
// shall not use up a code.
const _: () = assert!(
    PATIENCE.as_millis() + LOCK_WAIT.as_millis() + 1_000 <= jump_proto::TIMEOUT.as_millis()
);

/// The users who have a turn.
static TAKEN: Mutex<Vec<u32>> = Mutex::new(Vec::new());
static FREED: Condvar = Condvar::new();

/// A user's turn to hash, given back when dropped.
pub(crate) struct Turn(u32);

impl Turn {
    /// Waits for a turn of the user `uid` if looking at `typed` takes one. What is typed alone decides, so
    /// waiting tells nothing of the user. Taken before a record is locked: nobody waits for it with a record
    /// in hand.
    ///
    /// # Errors
    /// When it does not come in time.
    pub(crate) fn to_look_at(typed: &str, uid: u32) -> Result<Option<Self>, StoreError> {
        is_slow(typed).then(|| Self::of(uid)).transpose()
    }

    /// Waits for a turn of the user `uid`.
    ///
    /// # Errors
    /// When it does not come in time.
    pub(crate) fn of(uid: u32) -> Result<Self, StoreError> {
        Self::within(PATIENCE, uid)
    }

    fn within(patience: Duration, uid: u32) -> Result<Self, StoreError> {
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let must_wait = |taken: &mut Vec<u32>| taken.len() >= MOST || taken.contains(&uid);
        let waited = FREED.wait_timeout_while(taken, patience, must_wait);
        let (mut taken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(StoreError::Crowded { waited: patience });
        }
        taken.push(uid);
        Ok(Self(uid))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = taken.iter().position(|uid| *uid == self.0) {
            taken.swap_remove(place);
        }
        // Not each of those who wait may have it.
        FREED.notify_all();
    }
}

/// Whether a typed text has the form of a recovery code or of an invitation.
pub(crate) fn is_slow(typed: &str) -> bool {
    let typed = typed.trim_end_matches(['\r', '\n']);
    TypedCode::parse(typed).is_some() || TypedInvitation::parse(typed).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn only_what_has_a_slow_form_takes_a_turn() {
        for quick in ["", "123456", "nonsense", "abcd-efgh-jkmn"] {
            assert!(Turn::to_look_at(quick, 1).unwrap().is_none(), "{quick:?}");
        }
        for slow in [
            "abcd-efgh-jkmn-pqrs",
            "ABCD-efgh-jkmn-pqrs\r\n",
            "abcd-efgh-jkmn-pqrs-tuvw",
        ] {
            assert!(Turn::to_look_at(slow, 1).unwrap().is_some(), "{slow:?}");
        }
    }

    /// How many have a turn at a time, of so many who ask.
    fn most_at_a_time(uids: impl Iterator<Item = u32>) -> usize {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for uid in uids {
                let (now, most) = (&now, &most);
                scope.spawn(move || {
                    let turn = Turn::within(Duration::from_secs(60), uid).unwrap();
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(20));
                    now.fetch_sub(1, Ordering::SeqCst);
                    drop(turn);
                });
            }
        });
        most.into_inner()
    }

    #[test]
    fn no_more_than_so_many_at_a_time_and_one_of_each_user() {
        let most = most_at_a_time((100..).take(4 * MOST));
        assert!((1..=MOST).contains(&most), "{most} at a time");
        assert_eq!(most_at_a_time([200; 2 * MOST].into_iter()), 1);
    }

    #[test]
    fn nobody_waits_longer_than_a_login_does_and_who_asks_for_many_keeps_nobody_waiting() {
        let crowded = |uid| {
            let turn = Turn::within(Duration::from_millis(20), uid);
            matches!(turn, Err(StoreError::Crowded { .. }))
        };
        let long = Duration::from_secs(60);
        let one = Turn::within(long, 300).unwrap();
        assert!(crowded(300));
        assert!(!crowded(301));
        let others: Vec<_> = (301..)
            .take(MOST - 1)
            .map(|uid| Turn::within(long, uid).unwrap())
            .collect();
        assert!(crowded(399));
        drop((one, others));
        assert!(!crowded(300));
    }
}
