//! How much guessing is borne, as `[mfa]` of the policy says.

use std::time::Duration;

/// How many wrong codes are borne from one place, and for how long it is locked out after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wrong codes in a row before a lock-out; 0 counts as 1.
    pub attempts: u32,
    /// How long the first lock-out lasts; fractions of a second are dropped.
    pub lockout: Duration,
}

impl Limits {
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts.max(1)
    }

    pub(crate) fn lockout_s(&self) -> i64 {
        i64::try_from(self.lockout.as_secs()).unwrap_or(i64::MAX)
    }
}
