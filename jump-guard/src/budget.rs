//! How often a session may make the guard say something.

use std::time::{Duration, Instant};

/// A store of permissions that fills up again with time.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u32,
    most: u32,
    every: Duration,
    filled: Instant,
}

impl Budget {
    /// `most` at once, and one more after each `every`.
    pub(crate) fn new(most: u32, every: Duration, now: Instant) -> Self {
        Self {
            left: most,
            most,
            every,
            filled: now,
        }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled);
        let more = u32::try_from(passed.as_nanos() / self.every.as_nanos()).unwrap_or(u32::MAX);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(self.most);
            self.filled = if self.left == self.most {
                now
            } else {
                self.filled + self.every * more
            };
        }
        self.left
            .checked_sub(1)
            .inspect(|left| self.left = *left)
            .is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_for_each_while() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut budget = Budget::new(3, Duration::from_secs(1), begin);
        let mut taken = |ms| (0..10).filter(|_| budget.take(at(ms))).count();
        assert_eq!(taken(0), 3);
        assert_eq!(taken(999), 0);
        assert_eq!(taken(1000), 1);
        // The half second is not lost.
        assert_eq!(taken(2500), 1);
        assert_eq!(taken(3000), 1);
        assert_eq!(taken(3_600_000), 3);
        assert_eq!(taken(3_600_900), 0);
    }
}
