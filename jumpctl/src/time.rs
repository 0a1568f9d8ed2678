//! Instants as the operator writes and reads them.

use crate::error::Error;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};

/// Reads `--at`: an instant with its offset or zone, or a civil time of the host.
///
/// # Errors
/// [`Error::Usage`] with the forms that are understood.
pub(crate) fn parse(text: &str, now: &Zoned) -> Result<Timestamp, Error> {
    let zone = now.time_zone();
    let text = text.trim();
    if text == "now" {
        return Ok(now.timestamp());
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    if let Ok(zoned) = text.parse::<Zoned>() {
        return Ok(zoned.timestamp());
    }
    // A bare hour ("08:00") is today's.
    let civil = match text.parse::<Time>() {
        Ok(time) if !text.contains('-') => Ok(now.date().to_datetime(time)),
        _ => text.parse::<DateTime>(),
    };
    civil
        .and_then(|civil| civil.to_zoned(zone.clone()))
        .map(|zoned| zoned.timestamp())
        .map_err(|_| {
            Error::Usage(format!(
                "{text:?} is no time; write 2026-11-23T08:00:00+01:00, or 2026-11-23 08:00 or 08:00 in the host's time zone"
            ))
        })
}

/// Reads `--since` and `--until`: also `today`, `yesterday`, and `-2h` or `-7d` before now.
///
/// # Errors
/// As [`parse`].
pub(crate) fn past(text: &str, now: &Zoned) -> Result<Timestamp, Error> {
    let before = |span: jiff::Span| now.checked_sub(span);
    let seconds = text.strip_prefix('-').and_then(jump_policy::seconds);
    let day = |zoned: Result<Zoned, jiff::Error>| zoned.and_then(|zoned| zoned.start_of_day());
    let found = match (text, seconds.map(i64::try_from)) {
        ("today", _) => day(Ok(now.clone())),
        ("yesterday", _) => day(before(1.days())),
        (_, Some(Ok(seconds))) => jiff::Span::new().try_seconds(seconds).and_then(before),
        _ => return parse(text, now),
    };
    found
        .map(|zoned| zoned.timestamp())
        .map_err(|_| Error::Usage(format!("{text:?} is further away than any calendar goes")))
}

/// An instant of a message, for people: `Mon 2026-11-23 08:00:00 CET`.
#[must_use]
pub(crate) fn show(ms: i64, zone: &TimeZone) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(instant) => instant
            .to_zoned(zone.clone())
            .strftime("%a %Y-%m-%d %H:%M:%S %Z")
            .to_string(),
        Err(_) => "never".to_owned(),
    }
}

/// A length of time, for people: the two largest units.
#[must_use]
pub(crate) fn length(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
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

    fn now() -> Zoned {
        "2026-11-22T12:00:00+01:00[Europe/Paris]".parse().unwrap()
    }

    #[test]
    fn every_way_to_write_the_same_instant() {
        let wanted: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        for text in [
            "2026-11-22T08:00:00+01:00",
            "2026-11-22T07:00:00Z",
            "2026-11-22 08:00:00+01:00",
            "2026-11-22T08:00:00[Europe/Paris]",
            "2026-11-22 08:00",
            "2026-11-22T08:00:00",
            "08:00",
        ] {
            assert_eq!(parse(text, &now()).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn a_day_is_its_first_instant() {
        let wanted: Timestamp = "2026-11-22T23:00:00Z".parse().unwrap();
        assert_eq!(parse("2026-11-23", &now()).unwrap(), wanted);
    }

    #[test]
    fn nonsense_is_refused_with_the_forms_that_work() {
        for text in ["", "tomorrow", "25:00", "2026-13-01"] {
            assert!(
                matches!(parse(text, &now()), Err(Error::Usage(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn the_past_has_short_names() {
        for (text, wanted) in [
            ("today", "2026-11-21T23:00:00Z"),
            ("yesterday", "2026-11-20T23:00:00Z"),
            ("-2h", "2026-11-22T09:00:00Z"),
            ("-1d12h", "2026-11-20T23:00:00Z"),
            ("now", "2026-11-22T11:00:00Z"),
            ("2026-03-01", "2026-02-28T23:00:00Z"),
        ] {
            let wanted: Timestamp = wanted.parse().unwrap();
            assert_eq!(past(text, &now()).unwrap(), wanted, "{text}");
        }
        for text in ["-", "-2", "-h", "tomorrow", "-9999999999999999h"] {
            assert!(matches!(past(text, &now()), Err(Error::Usage(_))), "{text}");
        }
    }

    #[test]
    fn lengths_show_two_units() {
        assert_eq!(length(59_000), "59 s");
        assert_eq!(length(61_000), "1 min");
        assert_eq!(length(3_660_000), "1 h 1 min");
        assert_eq!(length(90_000_000), "1 d 1 h");
        assert_eq!(length(-5), "0 s");
    }
}
