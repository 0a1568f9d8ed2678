//! How many slow hashes there are at a time: each takes 19 MiB, and whoever has a key can ask for one.

use crate::invitation::TypedInvitation;
use crate::recovery::TypedCode;
use crate::store::StoreError;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// So many typed texts are hashed at a time; the others wait for their turn.
pub(crate) const MOST: usize = 4;
/// For so long, in less than the three seconds that a login waits for an answer: who has gone shall not
/// have used up a code.
const PATIENCE: Duration = Duration::from_secs(2);

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

/// A turn to hash, given back when dropped.
pub(crate) struct Turn(());

impl Turn {
    /// Waits for a turn if looking at `typed` takes one. What is typed alone decides, so waiting tells
    /// nothing of the user. Taken before a record is locked: nobody waits for it with a record in hand.
    ///
    /// # Errors
    /// When it does not come in time.
    pub(crate) fn to_look_at(typed: &str) -> Result<Option<Self>, StoreError> {
        is_slow(typed).then(|| Self::take(PATIENCE)).transpose()
    }

    fn take(patience: Duration) -> Result<Self, StoreError> {
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = FREED.wait_timeout_while(taken, patience, |taken| *taken >= MOST);
        let (mut taken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(StoreError::Crowded { waited: patience });
        }
        *taken += 1;
        Ok(Self(()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        *taken = taken.saturating_sub(1);
        FREED.notify_one();
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
    use std::time::Duration;

    #[test]
    fn only_what_has_a_slow_form_takes_a_turn() {
        for quick in ["", "123456", "nonsense", "abcd-efgh-jkmn"] {
            assert!(Turn::to_look_at(quick).unwrap().is_none(), "{quick:?}");
        }
        for slow in [
            "abcd-efgh-jkmn-pqrs",
            "ABCD-efgh-jkmn-pqrs\r\n",
            "abcd-efgh-jkmn-pqrs-tuvw",
        ] {
            assert!(Turn::to_look_at(slow).unwrap().is_some(), "{slow:?}");
        }
    }

    #[test]
    fn no_more_than_so_many_at_a_time() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 * MOST {
                scope.spawn(|| {
                    let turn = Turn::to_look_at("abcd-efgh-jkmn-pqrs").unwrap();
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(20));
                    now.fetch_sub(1, Ordering::SeqCst);
                    drop(turn);
                });
            }
        });
        let most = most.into_inner();
        assert!((1..=MOST).contains(&most), "{most} at a time");
    }
    #[test]
    fn nobody_waits_longer_than_a_login_does() {
        let taken: Vec<_> = (0..MOST)
            .map(|_| Turn::take(Duration::from_secs(60)))
            .collect();
        assert!(matches!(
            Turn::take(Duration::from_millis(20)),
            Err(StoreError::Crowded { .. })
        ));
        drop(taken);
        Turn::take(Duration::from_secs(60)).unwrap();
    }
}
