//! Finds the instant at which an answer changes.
//!
//! An answer depends on time only through windows and through fixed instants
//! such as `valid_until`. Between two of their boundaries it is constant, so it
//! is enough to walk from boundary to boundary and ask again at each: what is
//! found is exact, and never a moment early or late.
//!
//! A walk that finds nothing must end. Windows repeat: once every combination
//! of weekdays and summer times has come by, only `except` dates and fixed
//! instants can bring anything new, so the walk then goes from one of those to
//! the next.

use crate::window::Window;
use jiff::{SignedDuration, Timestamp};

/// After this long every combination of weekdays and summer times has come by.
const YEAR: SignedDuration = SignedDuration::from_hours(400 * 24);

/// How long an `except` date can be felt, beginning two days before it.
const EXCEPTION: SignedDuration = SignedDuration::from_hours(6 * 24);

/// The most window boundaries that are looked at, against a policy made to be slow.
const STEPS: usize = 20_000;

/// The boundaries after an instant, in order.
struct Boundaries<'p> {
    windows: Vec<(&'p Window, Option<Timestamp>)>,
    /// Latest first.
    instants: Vec<Timestamp>,
    /// Until when windows are followed.
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
                distinct.push((window, None));
            }
        }
        let mut instants: Vec<Timestamp> = instants.filter(|at| *at > after).collect();
        instants.sort_unstable_by(|a, b| b.cmp(a));
        let mut boundaries = Self {
            windows: distinct,
            instants,
            horizon: after,
            steps: 0,
        };
        boundaries.follow(after, YEAR);
        boundaries
    }

    /// Follows every window from `from` for so long.
    fn follow(&mut self, from: Timestamp, long: SignedDuration) {
        self.horizon = from.checked_add(long).unwrap_or(Timestamp::MAX);
        for (window, next) in &mut self.windows {
            *next = window.next_change(from);
        }
    }

    fn next_of_windows(&self) -> Option<Timestamp> {
        self.windows
            .iter()
            .filter_map(|(_, next)| *next)
            .min()
            .filter(|at| *at <= self.horizon)
    }

    fn next_of_exceptions(&self) -> Option<Timestamp> {
        self.windows
            .iter()
            .filter_map(|(window, _)| window.next_exception(self.horizon))
            .min()
    }
}

impl Iterator for Boundaries<'_> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        loop {
            self.steps += 1;
            if self.steps > STEPS {
                return self.instants.pop();
            }
            let instant = self.instants.last().copied();
            let due = |at: Timestamp| instant.is_none_or(|instant| at < instant);
            if let Some(next) = self.next_of_windows().filter(|at| due(*at)) {
                for (window, change) in &mut self.windows {
                    if *change == Some(next) {
                        *change = window.next_change(next);
                    }
                }
                return Some(next);
            }
            if let Some(resume) = self.next_of_exceptions().filter(|at| due(*at)) {
                self.follow(resume, EXCEPTION);
                continue;
            }
            // After a fixed instant everything may mean something new.
            let next = self.instants.pop()?;
            self.follow(next, YEAR);
            return Some(next);
        }
    }
}

/// The first instant after `after`, and not after `limit`, at which `found`
/// holds, given that it can only begin at a boundary.
pub(crate) fn first<'p>(
    windows: impl Iterator<Item = &'p Window>,
    instants: impl Iterator<Item = Timestamp>,
    after: Timestamp,
    limit: Timestamp,
    found: impl Fn(Timestamp) -> bool,
) -> Option<Timestamp> {
    Boundaries::new(windows, instants, after)
        .take_while(|at| *at <= limit)
        .find(|at| found(*at))
}
