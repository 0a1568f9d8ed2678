//! Finds the instant at which an answer changes.
//!
//! An answer depends on time only through windows and through fixed instants
//! such as `valid_until`. Between two of their boundaries it is constant, so it
//! is enough to walk from boundary to boundary and ask again at each: what is
//! found is exact, and never a moment early or late.

use crate::window::Window;
use jiff::{SignedDuration, Timestamp};

/// How far windows are followed when the answer does not follow them. Beyond a
/// year they only repeat: every combination of weekdays and summer times has come by.
const HORIZON: SignedDuration = SignedDuration::from_hours(400 * 24);

/// The most window boundaries that are looked at, against a policy made to be slow.
const STEPS: usize = 20_000;

/// The boundaries after an instant, in order.
struct Boundaries<'p> {
    windows: Vec<(&'p Window, Option<Timestamp>)>,
    instants: Vec<Timestamp>,
    horizon: Timestamp,
    steps: usize,
}

impl<'p> Boundaries<'p> {
    fn new(
        windows: impl Iterator<Item = &'p Window>,
        instants: impl Iterator<Item = Timestamp>,
        after: Timestamp,
    ) -> Self {
        let mut distinct: Vec<(&Window, Option<Timestamp>)> = Vec::new();
        for window in windows {
            if !distinct.iter().any(|(known, _)| known.name == window.name) {
                distinct.push((window, window.next_change(after)));
            }
        }
        let mut instants: Vec<Timestamp> = instants.filter(|at| *at > after).collect();
        instants.sort_unstable_by(|a, b| b.cmp(a));
        Self {
            windows: distinct,
            instants,
            horizon: after.checked_add(HORIZON).unwrap_or(Timestamp::MAX),
            steps: 0,
        }
    }
}

impl Iterator for Boundaries<'_> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        let horizon = self.horizon;
        let next_window = self
            .windows
            .iter()
            .filter_map(|(_, next)| *next)
            .min()
            .filter(|at| *at <= horizon && self.steps < STEPS);
        let next_instant = self.instants.last().copied();
        let next = match (next_window, next_instant) {
            (Some(a), Some(b)) => a.min(b),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => return None,
        };
        self.steps += 1;
        for (window, change) in &mut self.windows {
            if *change == Some(next) {
                *change = window.next_change(next);
            }
        }
        while self.instants.last() == Some(&next) {
            self.instants.pop();
        }
        Some(next)
    }
}

/// The first instant after `after` at which `found` holds, given that it can only begin at a boundary.
pub(crate) fn first<'p>(
    windows: impl Iterator<Item = &'p Window>,
    instants: impl Iterator<Item = Timestamp>,
    after: Timestamp,
    found: impl Fn(Timestamp) -> bool,
) -> Option<Timestamp> {
    Boundaries::new(windows, instants, after).find(|at| found(*at))
}
