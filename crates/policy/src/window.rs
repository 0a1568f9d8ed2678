//! Time windows: sets of local wall-clock intervals.
//!
//! An instant is inside a window iff the wall clock of the window's time zone,
//! read at that instant, stands inside one of its intervals. From this one
//! sentence follows the behaviour at the changes of summer time: an interval
//! in the hour that the clock skips contains nothing, an interval in the hour
//! that the clock passes twice is inside both times.
//!
//! An interval belongs to the local day on which it starts: `22:00-06:00` on
//! `fri` ends on Saturday morning, and an `except` date removes the intervals
//! that start on it.

use crate::model::Span;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};

/// Minutes in a day.
const DAY: i16 = 24 * 60;

/// Names of days, Monday first, as `days` writes them.
pub(crate) const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// A stretch that shows a window's whole weekly pattern and more: a week, the
/// days a change of zone rules may disturb, and a reserve.
const PATTERN: SignedDuration = SignedDuration::from_hours(36 * 24);

/// One entry of `hours`: half-open, in minutes since local midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// 0 to 1439.
    pub(crate) start: i16,
    /// 0 to 1440; not after `start`: it means the next day.
    pub(crate) end: i16,
}

impl Hours {
    /// First and first-no-longer wall-clock time of the interval that starts on `day`.
    fn on(self, day: Date) -> Option<(DateTime, DateTime)> {
        let at = |day: Date, minute: i16| -> Option<DateTime> {
            if minute == DAY {
                return Some(day.tomorrow().ok()?.to_datetime(Time::midnight()));
            }
            let hour = i8::try_from(minute / 60).ok()?;
            let minute = i8::try_from(minute % 60).ok()?;
            Some(day.to_datetime(Time::new(hour, minute, 0, 0).ok()?))
        };
        let end_day = if self.end <= self.start {
            day.tomorrow().ok()?
        } else {
            day
        };
        Some((at(day, self.start)?, at(end_day, self.end)?))
    }
}

impl std::fmt::Display for Hours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let clock = |minute: i16| (minute / 60, minute % 60);
        let (from, to) = (clock(self.start), clock(self.end));
        write!(f, "{:02}:{:02}-{:02}:{:02}", from.0, from.1, to.0, to.1)
    }
}

/// `[windows.NAME]`.
#[derive(Debug, Clone)]
pub struct Window {
    /// The name.
    pub name: String,
    /// Days on which intervals start, Monday first.
    pub days: Vec<Weekday>,
    /// The intervals of each such day; never empty.
    pub hours: Vec<Hours>,
    /// Dates on which no interval starts, sorted.
    pub except: Vec<Date>,
    /// Whose wall clock.
    pub timezone: TimeZone,
    pub(crate) span: Span,
}

/// `mon tue wed 08:00-12:30 13:30-18:00 Europe/Paris`.
impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, day) in DAYS {
            if self.days.contains(&day) {
                write!(f, "{name} ")?;
            }
        }
        for hours in &self.hours {
            write!(f, "{hours} ")?;
        }
        f.write_str(self.timezone.iana_name().unwrap_or("UTC"))
    }
}

impl Window {
    /// Whether the window is open at `at`.
    #[must_use]
    pub fn is_open(&self, at: Timestamp) -> bool {
        let wall = self.timezone.to_datetime(at);
        let today = wall.date();
        let yesterday = today.yesterday().ok();
        std::iter::once(today).chain(yesterday).any(|day| {
            self.intervals(day)
                .any(|(start, end)| start <= wall && wall < end)
        })
    }

    /// The intervals that start on a local day.
    fn intervals(&self, day: Date) -> impl Iterator<Item = (DateTime, DateTime)> + '_ {
        let counts = self.days.contains(&day.weekday()) && self.except.binary_search(&day).is_err();
        self.hours
            .iter()
            .filter(move |_| counts)
            .filter_map(move |hours| hours.on(day))
    }

    /// The first instant after `after` at which the window opens or closes; `None`: never.
    #[must_use]
    pub fn next_change(&self, after: Timestamp) -> Option<Timestamp> {
        let open = self.is_open(after);
        let mut from = after;
        loop {
            // Most windows change within a day or two; look there first.
            let near = from.checked_add(SignedDuration::from_hours(50)).ok()?;
            let far = from.checked_add(PATTERN).ok()?;
            for (start, end) in [(from, near), (near, far)] {
                if let Some(change) = self.change_between(open, start, end) {
                    return Some(change);
                }
            }
            // The weekly pattern alone never changes it: only a date in `except` can.
            let seen = self.timezone.to_datetime(far).date();
            let next = self
                .except
                .iter()
                .copied()
                .find(|date| date.tomorrow().is_ok_and(|next| next >= seen))?;
            let before = next.checked_sub(3.days()).ok()?;
            let resume = before.to_zoned(self.timezone.clone()).ok()?.timestamp();
            from = far.max(resume);
        }
    }

    /// An instant, `after` or later, from which the next `except` date is felt
    /// that is still to be felt after `after`: two days before it.
    pub(crate) fn next_exception(&self, after: Timestamp) -> Option<Timestamp> {
        let seen = self.timezone.to_datetime(after).date();
        let next = self
            .except
            .iter()
            .find(|date| date.checked_add(3.days()).is_ok_and(|felt| felt > seen))?;
        let before = next.checked_sub(2.days()).ok()?;
        let start = before.to_zoned(self.timezone.clone()).ok()?.timestamp();
        Some(after.max(start))
    }

    /// The first instant in `(from, to]` at which being open is no longer `open`.
    fn change_between(&self, open: bool, from: Timestamp, to: Timestamp) -> Option<Timestamp> {
        let first = self.timezone.to_datetime(from).date();
        let last = self.timezone.to_datetime(to).date();
        // The day before: one of its intervals may end today. Two days: a zone may repeat a whole day.
        let mut day = first.checked_sub(2.days()).unwrap_or(first);
        let mut candidates: Vec<Timestamp> = self
            .timezone
            .following(from)
            .map(|transition| transition.timestamp())
            .take_while(|at| *at <= to)
            .collect();
        while day <= last {
            for (start, end) in self.intervals(day) {
                for wall in [start, end] {
                    self.instants(wall, &mut candidates);
                }
            }
            match day.tomorrow() {
                Ok(next) => day = next,
                Err(_) => break,
            }
        }
        candidates.retain(|at| from < *at && *at <= to);
        candidates.sort_unstable();
        candidates.dedup();
        candidates.into_iter().find(|at| self.is_open(*at) != open)
    }

    /// The instants at which the wall clock shows `wall`: none, one or two.
    fn instants(&self, wall: DateTime, out: &mut Vec<Timestamp>) {
        let offsets = match self.timezone.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => [Some(offset), None],
            AmbiguousOffset::Gap { .. } => [None, None],
            AmbiguousOffset::Fold { before, after } => [Some(before), Some(after)],
        };
        out.extend(
            offsets
                .into_iter()
                .flatten()
                .filter_map(|offset| offset.to_timestamp(wall).ok()),
        );
    }
}
