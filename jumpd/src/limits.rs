//! How many connections one session may have, open or in the making.
//!
//! Each refusal has a reason of its own, so that whoever scans or loops is
//! told apart from whoever needs a higher number in `[session]`.

use crate::sessions::Session;
use jump_policy::SessionSettings;
use jump_proto::Reason;
use std::time::Instant;

/// A bucket of one second's worth of connections, filled evenly.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rate {
    /// Spent of the bucket, and when that was so.
    spent: f64,
    at: Option<Instant>,
}

impl Rate {
    /// Takes one of `per_second`; false when none is left.
    pub(crate) fn take(&mut self, per_second: u32, now: Instant) -> bool {
        let most = f64::from(per_second);
        let refilled = self.at.map_or(0.0, |at| {
            now.saturating_duration_since(at).as_secs_f64() * most
        });
        self.spent = (self.spent - refilled).max(0.0);
        self.at = Some(now);
        let fits = self.spent + 1.0 <= most;
        if fits {
            self.spent += 1.0;
        }
        fits
    }
}

/// Whether the session may open one connection more; takes it from its rate if so.
///
/// # Errors
/// The limit that is reached.
pub(crate) fn may_open(session: &mut Session, limits: &SessionSettings) -> Result<(), Reason> {
    let most = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
    if session.flows.len() >= most(limits.forwards) {
        return Err(Reason::TooManyForwards);
    }
    let connecting = session.flows.values().filter(|f| !f.established).count();
    if connecting >= most(limits.connecting) {
        return Err(Reason::TooManyConnecting);
    }
    if !session.rate.take(limits.forward_rate, Instant::now()) {
        return Err(Reason::ForwardRate);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_second_holds_as_many_as_the_rate_and_fills_evenly() {
        let mut rate = Rate::default();
        let begin = Instant::now();
        let taken = |rate: &mut Rate, at| (0..20).filter(|_| rate.take(10, at)).count();
        assert_eq!(taken(&mut rate, begin), 10);
        assert_eq!(taken(&mut rate, begin + Duration::from_millis(310)), 3);
        assert_eq!(taken(&mut rate, begin + Duration::from_secs(60)), 10);
    }

    #[test]
    fn a_clock_that_seems_to_go_back_gives_nothing() {
        let mut rate = Rate::default();
        let begin = Instant::now() + Duration::from_secs(10);
        while rate.take(3, begin) {}
        assert!(!rate.take(3, begin - Duration::from_secs(5)));
    }
}
