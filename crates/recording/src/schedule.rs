//! When each frame is shown in a replay, as plain numbers: whoever plays it waits, pauses and steps.

use crate::fault::Fault;
use crate::frame::Frame;
use std::time::Duration;

/// How fast: a finite number above zero.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Speed(f64);

impl Speed {
    /// As fast as it was.
    pub const REAL: Self = Self(1.0);

    /// 2.0 is twice as fast as it was; between 1/1000 and 1000.
    #[must_use]
    pub fn new(factor: f64) -> Option<Self> {
        (0.001..=1000.0).contains(&factor).then_some(Self(factor))
    }

    /// 2.0 is twice as fast as it was.
    #[must_use]
    pub fn factor(self) -> f64 {
        self.0
    }
}

/// How a recording is played.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How fast.
    pub speed: Speed,
    /// The longest wait, before the speed is applied; `None`: as long as it was.
    pub idle_limit: Option<Duration>,
    /// From where: all before is shown at once, so that the screen is right.
    pub start: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            speed: Speed::REAL,
            idle_limit: None,
            start: Duration::ZERO,
        }
    }
}

/// A frame and how long to wait before it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// After the step before.
    pub wait: Duration,
    /// What to show.
    pub frame: Frame,
}

impl Pace {
    /// Puts a wait before each frame.
    pub fn steps<I>(self, frames: I) -> impl Iterator<Item = Result<Step, Fault>>
    where
        I: IntoIterator<Item = Result<Frame, Fault>>,
    {
        let mut shown = self.start;
        frames.into_iter().map(move |frame| {
            let frame = frame?;
            let at = Duration::from_micros(frame.micros);
            let wait = at.saturating_sub(shown);
            shown = shown.max(at);
            let wait = self.idle_limit.map_or(wait, |limit| wait.min(limit));
            let seconds = wait.as_secs_f64() / self.speed.0;
            let wait = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
            Ok(Step { wait, frame })
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::frame::Kind;

    fn waits(pace: Pace) -> Vec<u128> {
        let frames = [0, 1_000, 5_000, 5_000, 65_000].map(|millis: u64| {
            Ok(Frame {
                sequence: 0,
                micros: millis * 1000,
                kind: Kind::Output,
                data: Vec::new(),
            })
        });
        let steps = pace.steps(frames);
        steps.map(|step| step.unwrap().wait.as_millis()).collect()
    }

    #[test]
    fn frames_come_as_they_came() {
        assert_eq!(waits(Pace::default()), [0, 1000, 4000, 0, 60_000]);
    }

    #[test]
    fn twice_as_fast_is_half_as_long() {
        let speed = Speed::new(2.0).unwrap();
        let pace = Pace {
            speed,
            ..Pace::default()
        };
        assert_eq!(waits(pace), [0, 500, 2000, 0, 30_000]);
    }

    #[test]
    fn a_long_wait_is_cut_before_the_speed_is_applied() {
        let pace = Pace {
            idle_limit: Some(Duration::from_secs(2)),
            speed: Speed::new(0.5).unwrap(),
            ..Pace::default()
        };
        assert_eq!(waits(pace), [0, 2000, 4000, 0, 4000]);
    }

    #[test]
    fn what_is_before_the_start_is_shown_at_once() {
        let pace = Pace {
            start: Duration::from_secs(4),
            ..Pace::default()
        };
        assert_eq!(waits(pace), [0, 0, 1000, 0, 60_000]);
    }

    #[test]
    fn a_speed_that_stands_still_or_goes_back_is_none() {
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-9] {
            assert_eq!(Speed::new(wrong), None, "{wrong}");
        }
    }
}
