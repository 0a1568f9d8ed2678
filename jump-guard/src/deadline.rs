//! The latest end of a session, which holds with jumpd dead.
//!
//! It is told by the wall clock and kept by two: that one, and the time since
//! boot, which nobody steps. Whichever is reached first ends the session; a
//! jumpd that lives sets it anew after a step.

use nix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicI64, Ordering};

/// Stands for "no end".
const NEVER: i64 = i64::MAX;

#[derive(Debug)]
pub(crate) struct Deadline {
    /// Milliseconds since the Unix epoch.
    wall: AtomicI64,
    /// Milliseconds since boot.
    boot: AtomicI64,
    /// Since when the wall clock alone says that it is over, milliseconds since boot.
    stepped: AtomicI64,
}

/// How long a jumpd that lives may take to set the end anew after a step of the clock, in milliseconds.
const GRACE: i64 = 700;

impl Deadline {
    /// At this time of the wall clock, or never.
    pub(crate) fn at(ends_ms: Option<i64>) -> Self {
        let deadline = Self {
            wall: AtomicI64::new(NEVER),
            boot: AtomicI64::new(NEVER),
            stepped: AtomicI64::new(NEVER),
        };
        deadline.set(ends_ms);
        deadline
    }

    /// As [`Deadline::at`], from now on.
    pub(crate) fn set(&self, ends_ms: Option<i64>) {
        let left = ends_ms.map(|at| at.saturating_sub(now(ClockId::CLOCK_REALTIME)));
        let boot = left.map_or(NEVER, |left| {
            now(ClockId::CLOCK_BOOTTIME).saturating_add(left)
        });
        self.wall.store(ends_ms.unwrap_or(NEVER), Ordering::Relaxed);
        self.boot.store(boot, Ordering::Relaxed);
        self.stepped.store(NEVER, Ordering::Relaxed);
    }

    /// Whether it is reached by either clock.
    pub(crate) fn is_over(&self) -> bool {
        let boot = now(ClockId::CLOCK_BOOTTIME);
        if self.boot.load(Ordering::Relaxed) <= boot {
            return true;
        }
        if self.wall.load(Ordering::Relaxed) > now(ClockId::CLOCK_REALTIME) {
            self.stepped.store(NEVER, Ordering::Relaxed);
            return false;
        }
        // Without a step both are over at once.
        let since = self.stepped.fetch_min(boot, Ordering::Relaxed).min(boot);
        boot.saturating_sub(since) >= GRACE
    }
}

/// A clock that cannot be read ends nothing that should go on.
fn now(clock: ClockId) -> i64 {
    clock_gettime(clock).map_or(0, |time| {
        time.tv_sec()
            .saturating_mul(1000)
            .saturating_add(time.tv_nsec() / 1_000_000)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_reached_once_its_time_is_there_and_not_before() {
        let soon = now(ClockId::CLOCK_REALTIME) + 30;
        let deadline = Deadline::at(Some(soon));
        assert!(!deadline.is_over());
        std::thread::sleep(std::time::Duration::from_millis(40));
        assert!(deadline.is_over());
        deadline.set(None);
        assert!(!deadline.is_over());
    }

    #[test]
    fn a_wall_clock_that_was_stepped_forward_ends_it_after_a_grace() {
        let deadline = Deadline::at(Some(now(ClockId::CLOCK_REALTIME) + 3_600_000));
        // As after a step of two hours.
        deadline.wall.fetch_sub(7_200_000, Ordering::Relaxed);
        assert!(!deadline.is_over());
        std::thread::sleep(std::time::Duration::from_millis(720));
        assert!(deadline.is_over());
        deadline.set(Some(now(ClockId::CLOCK_REALTIME) + 3_600_000));
        assert!(!deadline.is_over());
    }

    #[test]
    fn a_wall_clock_that_was_stepped_back_does_not_put_it_off() {
        let deadline = Deadline::at(Some(now(ClockId::CLOCK_REALTIME) + 20));
        // As after a step of an hour back.
        deadline.wall.fetch_add(3_600_000, Ordering::Relaxed);
        std::thread::sleep(std::time::Duration::from_millis(30));
        assert!(deadline.is_over());
    }
}
