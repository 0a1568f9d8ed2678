//! Refusals that jumpd was not asked about, on their way into the journal.
//!
//! A session can have itself refused as often as it likes, and every refusal
//! must be in the journal: so some are told one by one, and what is beyond is
//! counted by what it was and told in sum. Noise hides nothing, fills nothing,
//! and nobody waits here: neither the calls of the session nor the guard's loop.
//! What jumpd does not take it is told again, and once more before the guard goes.

use crate::budget::Budget;
use crate::guard::lock;
use jump_proto::Reason;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Told one by one at once; then one for each second.
const BURST: u32 = 16;
const ONE_MORE: Duration = Duration::from_secs(1);
/// How long is counted before the sum is told.
const SUM: Duration = Duration::from_secs(5);
/// Refusals that wait for jumpd; what is beyond is counted.
const WAITING: usize = 64;
/// Before jumpd is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// What jumpd is to write down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) destination: Option<SocketAddr>,
    pub(crate) detail: Option<String>,
}

/// A session's refusals.
#[derive(Debug)]
pub(crate) struct Refusals {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug)]
struct State {
    budget: Budget,
    waiting: VecDeque<Refusal>,
    /// By reason and by what was refused, both from closed sets.
    counts: BTreeMap<(&'static str, &'static str), (Reason, u64)>,
    counted_since: Instant,
    /// From when on nothing is worth waiting for.
    until: Option<Instant>,
    done: bool,
}

impl State {
    /// Puts the sums in line, once enough time has passed.
    fn sum_up(&mut self, now: Instant) {
        let due = now.saturating_duration_since(self.counted_since) >= SUM || self.until.is_some();
        if self.counts.is_empty() || !due {
            return;
        }
        let mut sums: Vec<(Reason, String)> = Vec::new();
        for ((_, what), (reason, count)) in std::mem::take(&mut self.counts) {
            // The map is in the order of the reasons.
            if sums.last().is_none_or(|(last, _)| *last != reason) {
                sums.push((reason, "more, not written one by one:".to_owned()));
            }
            if let Some((_, text)) = sums.last_mut() {
                // Writing to a String does not fail.
                let _ = write!(text, " {what} {count} times,");
            }
        }
        for (reason, text) in sums {
            self.waiting.push_back(Refusal {
                reason,
                destination: None,
                detail: Some(text.trim_end_matches(',').to_owned()),
            });
        }
    }
}

impl Refusals {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            state: Mutex::new(State {
                budget: Budget::new(BURST, ONE_MORE, now),
                waiting: VecDeque::new(),
                counts: BTreeMap::new(),
                counted_since: now,
                until: None,
                done: false,
            }),
            news: Condvar::new(),
        }
    }

    /// Takes a refusal on; false when it will be told in sum only.
    pub(crate) fn note(&self, what: &'static str, refusal: Refusal, now: Instant) -> bool {
        let mut state = lock(&self.state);
        let singly = state.waiting.len() < WAITING && state.budget.take(now);
        if singly {
            state.waiting.push_back(refusal);
        } else {
            if state.counts.is_empty() {
                state.counted_since = now;
            }
            let reason = refusal.reason;
            let count = state
                .counts
                .entry((reason.as_str(), what))
                .or_insert((reason, 0));
            count.1 = count.1.saturating_add(1);
        }
        self.news.notify_all();
        singly
    }

    /// Tells, until nothing is left after [`Refusals::finish`]. `tell` says whether to go on to the next.
    pub(crate) fn tell(&self, mut tell: impl FnMut(&Refusal) -> bool) {
        while let Some(refusal) = self.first() {
            if tell(&refusal) {
                lock(&self.state).waiting.pop_front();
            } else if !self.try_again() {
                break;
            }
        }
        lock(&self.state).done = true;
        self.news.notify_all();
    }

    /// The refusal that is to be told next, when there is one; none: that was all.
    fn first(&self) -> Option<Refusal> {
        let mut state = lock(&self.state);
        loop {
            if state.waiting.is_empty() {
                state.sum_up(Instant::now());
            }
            if let Some(first) = state.waiting.front() {
                return Some(first.clone());
            }
            if state.until.is_some() {
                return None;
            }
            state = self.wait(state, SUM);
        }
    }

    /// Waits a little; false when there is no time left.
    fn try_again(&self) -> bool {
        let end = Instant::now() + AGAIN;
        let mut state = lock(&self.state);
        loop {
            let now = Instant::now();
            if state.until.is_some_and(|until| now >= until) {
                return false;
            }
            if now >= end {
                return true;
            }
            state = self.wait(state, end - now);
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, longest: Duration) -> MutexGuard<'a, State> {
        self.news
            .wait_timeout(state, longest)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// The session is over: waits until all is told, but no longer than
    /// `patience`, and gives back what jumpd has not taken.
    pub(crate) fn finish(&self, patience: Duration) -> Vec<Refusal> {
        let until = Instant::now() + patience;
        let mut state = lock(&self.state);
        state.until = Some(until);
        self.news.notify_all();
        while !state.done {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.sum_up(Instant::now());
                break;
            }
            state = self.wait(state, left);
        }
        state.waiting.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    fn refusal(detail: &str) -> Refusal {
        Refusal {
            reason: Reason::ForbiddenCall,
            destination: None,
            detail: Some(detail.to_owned()),
        }
    }

    /// What is told by the end.
    fn told(refusals: &Arc<Refusals>) -> Vec<Refusal> {
        let telling = Arc::clone(refusals);
        let teller = thread::spawn(move || {
            let mut told = Vec::new();
            telling.tell(|refusal| {
                told.push(refusal.clone());
                true
            });
            told
        });
        assert_eq!(refusals.finish(Duration::from_secs(5)), []);
        teller.join().unwrap()
    }

    #[test]
    fn a_flood_is_counted_by_what_it_was() {
        let refusals = Arc::new(Refusals::new());
        let now = Instant::now();
        for _ in 0..5000 {
            refusals.note("socket", refusal("socket"), now);
        }
        assert!(!refusals.note("ptrace", refusal("ptrace"), now));
        let overload = Refusal {
            reason: Reason::Unavailable,
            destination: None,
            detail: None,
        };
        refusals.note("connect", overload, now);
        let told = told(&refusals);
        assert_eq!(told.len(), BURST as usize + 2);
        assert_eq!(told[0], refusal("socket"));
        let sums: Vec<&Refusal> = told.iter().skip(BURST as usize).collect();
        assert_eq!(
            *sums[0],
            refusal("more, not written one by one: ptrace 1 times, socket 4984 times")
        );
        assert_eq!(sums[1].reason, Reason::Unavailable);
    }

    #[test]
    fn what_is_noted_last_is_told_before_the_end() {
        let refusals = Arc::new(Refusals::new());
        assert!(refusals.note("bind", refusal("bind"), Instant::now()));
        assert_eq!(told(&refusals), [refusal("bind")]);
    }

    #[test]
    fn what_is_not_taken_is_told_again_and_given_back_in_the_end() {
        let refusals = Arc::new(Refusals::new());
        refusals.note("bind", refusal("bind"), Instant::now());
        let telling = Arc::clone(&refusals);
        let teller = thread::spawn(move || {
            let mut tries = 0;
            telling.tell(|_| {
                tries += 1;
                false
            });
            tries
        });
        let left = refusals.finish(Duration::from_millis(700));
        assert_eq!(left, [refusal("bind")]);
        assert!(teller.join().unwrap() >= 2);
    }

    #[test]
    fn a_jumpd_that_is_away_makes_no_line_without_end() {
        let refusals = Refusals::new();
        let mut now = Instant::now();
        for _ in 0..1000 {
            now += ONE_MORE;
            refusals.note("bind", refusal("bind"), now);
        }
        assert_eq!(refusals.finish(Duration::ZERO).len(), WAITING + 1);
    }
}
