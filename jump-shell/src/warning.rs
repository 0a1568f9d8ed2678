//! Telling a person before their session ends.
//!
//! jumpd knows when: the end may move with every edit of the policy, and with
//! every byte that is forwarded. It is asked while nothing else happens.

use crate::clock::Clock;
use jiff::Timestamp;
use jump_proto::{Reason, Reply};
use std::time::{Duration, Instant};

/// How often jumpd is asked, at the most and at the least.
const PACE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// An end that moved less than this is the same.
const SAME_MS: i64 = 2_000;

/// What was said of the end, and when to ask again.
#[derive(Debug)]
pub(crate) struct Warnings {
    ask_at: Instant,
    /// The end that the user was told of.
    said: Option<i64>,
}

impl Default for Warnings {
    fn default() -> Self {
        Self {
            ask_at: Instant::now() + PACE.0,
            said: None,
        }
    }
}

impl Warnings {
    /// How long there is nothing to ask.
    pub(crate) fn pause(&self) -> Duration {
        self.ask_at.saturating_duration_since(Instant::now())
    }

    /// Until when there is nothing to ask.
    pub(crate) fn ask_at(&self) -> Instant {
        self.ask_at
    }

    /// What jumpd says of the end; a sentence for the user, where it is news.
    pub(crate) fn hear(
        &mut self,
        reply: Option<&Reply>,
        clock: &Clock,
        now: Timestamp,
    ) -> Option<String> {
        self.ask_at = Instant::now() + PACE.1;
        let Some(Reply::Ends {
            ends_ms: Some(ends),
            reason,
            warn_ms: Some(warn),
        }) = reply
        else {
            return None;
        };
        let until_told = ends
            .saturating_sub(*warn)
            .saturating_sub(now.as_millisecond());
        if until_told > 0 {
            let pause = Duration::from_millis(u64::try_from(until_told).unwrap_or(0));
            self.ask_at = Instant::now() + pause.clamp(PACE.0, PACE.1);
            return None;
        }
        if self.said.is_some_and(|said| (said - ends).abs() < SAME_MS) {
            return None;
        }
        self.said = Some(*ends);
        Some(format!(
            "This session ends in {} ({}), because {}.",
            Clock::left(*ends, now),
            clock.say(*ends),
            because(*reason)
        ))
    }
}

fn because(reason: Option<Reason>) -> &'static str {
    match reason {
        Some(Reason::Idle) => "nothing is typed or forwarded",
        Some(Reason::WindowClosed) => "the time window of your access closes",
        Some(Reason::MaxSession) => "it has then lasted as long as it may",
        Some(Reason::Expired) => "your access expires",
        _ => "the policy says so",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(at: i64, reason: Reason) -> Reply {
        Reply::Ends {
            ends_ms: Some(at),
            reason: Some(reason),
            warn_ms: Some(60_000),
        }
    }

    #[test]
    fn an_end_is_said_once_and_a_moved_one_again() {
        let clock = Clock::of_host();
        let now = Timestamp::from_second(1_795_424_400).unwrap();
        let at = |seconds: i64| now.as_millisecond() + seconds * 1000;
        let mut warnings = Warnings::default();
        let mut hear = |reply| warnings.hear(Some(&reply), &clock, now);
        assert_eq!(hear(ends(at(61), Reason::Idle)), None);
        let said = hear(ends(at(60), Reason::Idle)).unwrap();
        assert!(said.starts_with("This session ends in 1 min ("), "{said}");
        assert!(
            said.ends_with("because nothing is typed or forwarded."),
            "{said}"
        );
        assert_eq!(hear(ends(at(59), Reason::Idle)), None);
        let moved = hear(ends(at(30), Reason::WindowClosed)).unwrap();
        assert!(
            moved.ends_with("the time window of your access closes."),
            "{moved}"
        );
    }

    #[test]
    fn without_an_answer_it_is_asked_again_later() {
        let mut warnings = Warnings::default();
        assert_eq!(
            warnings.hear(None, &Clock::of_host(), Timestamp::UNIX_EPOCH),
            None
        );
        assert!(warnings.pause() > PACE.0 && warnings.pause() <= PACE.1);
    }
}
