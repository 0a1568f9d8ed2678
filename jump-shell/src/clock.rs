//! Times as people say them, in the host's time zone.
//!
//! The zone is read once, before the file system is closed to this process,
//! and from the file itself: `TZ` is the user's and may name any path.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::path::Path;
use std::time::Duration;

/// Where the host keeps its zone (localtime(5)).
const LOCALTIME: &str = "/etc/localtime";

/// Larger than any compiled zone.
const ZONE_MAX: u64 = 1 << 20;

/// A wall clock in one time zone.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    zone: TimeZone,
}

impl Clock {
    /// The host's clock; UTC where the host has no zone or a broken one.
    pub(crate) fn of_host() -> Self {
        Self {
            zone: host_zone().unwrap_or(TimeZone::UTC),
        }
    }

    /// `Mon 2026-11-23 18:00 CET`; a question mark for an instant outside the calendar.
    pub(crate) fn say(&self, at_ms: i64) -> String {
        self.at(at_ms).map_or_else(
            || "?".to_owned(),
            |at| at.strftime("%a %Y-%m-%d %H:%M %Z").to_string(),
        )
    }

    /// How long until `at_ms`, as `2 h 13 min`.
    pub(crate) fn left(at_ms: i64, now: Timestamp) -> String {
        let left = at_ms.saturating_sub(now.as_millisecond());
        say_duration(Duration::from_millis(left.try_into().unwrap_or(0)))
    }

    fn at(&self, at_ms: i64) -> Option<Zoned> {
        let at = Timestamp::from_millisecond(at_ms).ok()?;
        Some(at.to_zoned(self.zone.clone()))
    }
}

fn host_zone() -> Option<TimeZone> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(LOCALTIME)
        .ok()?
        .take(ZONE_MAX)
        .read_to_end(&mut bytes)
        .ok()?;
    let link = std::fs::read_link(LOCALTIME).unwrap_or_default();
    TimeZone::tzif(zone_name(&link), &bytes).ok()
}

/// `Europe/Paris` of `/usr/share/zoneinfo/Europe/Paris`.
fn zone_name(link: &Path) -> &str {
    link.to_str()
        .and_then(|path| path.split_once("zoneinfo/"))
        .map_or("Local", |(_, name)| name)
}

/// `3 d 4 h`, `2 h 13 min`, `13 min` or `40 s`: the two largest units, rounded down.
fn say_duration(left: Duration) -> String {
    let seconds = left.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_said_in_the_zone() {
        let clock = Clock {
            zone: TimeZone::UTC,
        };
        assert_eq!(clock.say(1_795_424_400_000), "Mon 2026-11-23 09:00 UTC");
        assert_eq!(clock.say(i64::MAX), "?");
    }

    #[test]
    fn the_zone_is_named_by_its_link() {
        assert_eq!(
            zone_name(Path::new("/usr/share/zoneinfo/Europe/Paris")),
            "Europe/Paris"
        );
        assert_eq!(zone_name(Path::new("../usr/share/zoneinfo/UTC")), "UTC");
        assert_eq!(zone_name(Path::new("")), "Local");
    }

    #[test]
    fn a_duration_has_two_units() {
        for (seconds, said) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (8000, "2 h 13 min"),
            (273_700, "3 d 4 h"),
        ] {
            assert_eq!(say_duration(Duration::from_secs(seconds)), said);
        }
    }

    #[test]
    fn nothing_is_left_of_the_past() {
        assert_eq!(Clock::left(0, Timestamp::from_second(10).unwrap()), "0 s");
    }
}
