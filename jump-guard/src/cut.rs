//! Resetting connections that are no longer allowed, while the session goes on.
//!
//! jumpd names them by their sockets' cookies. A call that was allowed before
//! the cut and connects after it is cut as well: every such call compares the
//! turn in which it asked with the turn of the cut.

use crate::end::{collect_sockets, reset};
use crate::guard::{Guard, lock};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// When it is worth looking at every process of the host.
const THOROUGHLY: Duration = Duration::from_millis(100);
/// Longer than a connect(2) waits for its handshake.
const REMEMBERED: Duration = Duration::from_secs(900);
/// When a socket that nobody has is given up: jumpd then ends the session.
const GIVEN_UP: Duration = Duration::from_secs(2);

/// Which connections were taken back.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Counts the cuts.
    turn: u64,
    /// In which turn a socket was cut, and when.
    revoked: HashMap<u64, (u64, Instant)>,
    /// Sockets still to be found, and since when.
    wanted: HashMap<u64, Instant>,
}

impl Cuts {
    /// To be asked for before jumpd is asked about a connection.
    pub(crate) fn turn(&self) -> u64 {
        lock(&self.state).turn
    }

    /// Whether a socket was cut after `turn`.
    pub(crate) fn since(&self, turn: u64, cookie: u64) -> bool {
        lock(&self.state)
            .revoked
            .get(&cookie)
            .is_some_and(|(cut, _)| *cut > turn)
    }

    /// These must go.
    pub(crate) fn revoke(&self, cookies: &[u64]) {
        let mut state = lock(&self.state);
        state.turn += 1;
        let turn = state.turn;
        state.revoked.retain(|_, (_, at)| at.elapsed() < REMEMBERED);
        for cookie in cookies {
            state.revoked.insert(*cookie, (turn, Instant::now()));
            state.wanted.insert(*cookie, Instant::now());
        }
    }

    /// Whether any is still to be found.
    pub(crate) fn pending(&self) -> bool {
        !lock(&self.state).wanted.is_empty()
    }

    /// Cuts what can be found now.
    pub(crate) fn press(&self, guard: &Guard) {
        let wanted: HashMap<u64, Instant> = lock(&self.state).wanted.clone();
        let Some(longest) = wanted.values().map(Instant::elapsed).max() else {
            return;
        };
        let mut found = Vec::new();
        for pid in guard.members().all(longest > THOROUGHLY) {
            collect_sockets(pid, |cookie, _, fd| {
                if wanted.contains_key(&cookie) && !found.iter().any(|(known, _)| *known == cookie)
                {
                    found.push((cookie, fd));
                }
            });
        }
        reset(guard, &found);
        let mut state = lock(&self.state);
        for (cookie, _) in &found {
            state.wanted.remove(cookie);
        }
        state.wanted.retain(|cookie, since| {
            let keep = since.elapsed() < GIVEN_UP;
            if !keep {
                guard.complain(format_args!(
                    "no process has the socket {cookie} that is to be cut"
                ));
            }
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cut_after_the_question_undoes_its_answer() {
        let cuts = Cuts::default();
        cuts.revoke(&[7]);
        let asked = cuts.turn();
        assert!(!cuts.since(asked, 7));
        cuts.revoke(&[8]);
        assert!(!cuts.since(asked, 7));
        assert!(cuts.since(asked, 8));
        cuts.revoke(&[7]);
        assert!(cuts.since(asked, 7));
        assert!(cuts.pending());
    }
}
