//! The small notations of the policy: durations, days, hours, ports, dates.
//!
//! Each reads one value, and says at that value what is wrong with it.

use crate::diagnostics::{Problems, quoted};
use crate::document::{Node, integer, string, type_name};
use crate::model::Ports;
use crate::window::{DAYS, Hours};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{Offset, TimeZone};
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::de::DeValue;

/// The longest duration taken, a year.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// `8h`, `30m`, `1h30m`, `0s`: numbers with a unit, largest unit first.
pub(crate) fn duration(
    node: Node<'_>,
    at_least: Duration,
    problems: &mut Problems,
) -> Option<Duration> {
    duration_up_to(node, at_least, LONGEST, problems)
}

/// As [`duration`], where another length than a year is the longest.
pub(crate) fn duration_up_to(
    node: Node<'_>,
    at_least: Duration,
    longest: Duration,
    problems: &mut Problems,
) -> Option<Duration> {
    let text = string(node, problems)?;
    let Some(seconds) = seconds(text) else {
        problems.add_help(
            &node.span(),
            format!("{} is not a duration", quoted(text)),
            "write it as \"8h\", \"30m\", \"1h30m\", \"90s\" or \"1d\"",
        );
        return None;
    };
    let duration = Duration::from_secs(seconds);
    if duration > longest {
        let longest = match longest {
            LONGEST => "a year".to_owned(),
            other => spelled(other),
        };
        problems.add(
            &node.span(),
            format!("{} is longer than {longest}", quoted(text)),
        );
        return None;
    }
    if duration < at_least {
        problems.add(
            &node.span(),
            format!(
                "{} is too short; at least {}s is needed",
                quoted(text),
                at_least.as_secs()
            ),
        );
        return None;
    }
    Some(duration)
}

/// A whole number of days, hours or seconds, for a message.
fn spelled(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds % 86_400, seconds % 3600) {
        (0, _) => format!("{} days", seconds / 86_400),
        (_, 0) => format!("{} h", seconds / 3600),
        _ => format!("{seconds} s"),
    }
}

/// Seconds in a length of time as policy.toml writes it: `8h`, `1h30m`, `90s`, `1d`; `None` for anything else.
#[must_use]
pub fn seconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last_unit = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        let unit = match rest.as_bytes().get(digits)? {
            b'd' => 86_400,
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        if unit >= last_unit {
            return None;
        }
        last_unit = unit;
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = rest.get(digits + 1..)?;
    }
    (last_unit != u64::MAX).then_some(total)
}

/// `mon`, `mon-fri`, `fri-mon`: the days meant, or what is wrong and what to write.
pub(crate) fn days(text: &str) -> Result<Vec<Weekday>, (String, String)> {
    let position = |name: &str| DAYS.iter().position(|(known, _)| *known == name);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (Some(from), Some(to)) = (position(first), position(last)) else {
        let shorter = |part: &str| -> Option<&str> {
            let lower = part.trim().to_ascii_lowercase();
            DAYS.iter()
                .map(|(name, _)| *name)
                .find(|name| lower.starts_with(name))
        };
        let help = match (shorter(first), shorter(last)) {
            (Some(a), Some(_)) if !text.contains('-') => format!("write \"{a}\""),
            (Some(a), Some(b)) => format!("write \"{a}-{b}\""),
            _ => "write days as \"mon\", ranges as \"mon-fri\"; a range may wrap, as \"fri-mon\""
                .to_owned(),
        };
        return Err((
            format!("{} is not a day or a range of days", quoted(text)),
            help,
        ));
    };
    if text.contains('-') && from == to {
        return Err((
            format!("{} could mean one day or all", quoted(text)),
            format!("write \"{first}\" for the one day, \"mon-sun\" for all"),
        ));
    }
    let count = (to + 7 - from) % 7 + 1;
    Ok(DAYS
        .iter()
        .cycle()
        .skip(from)
        .take(count)
        .map(|(_, day)| *day)
        .collect())
}

/// `HH:MM-HH:MM`: the interval meant, or what is wrong and what to write.
pub(crate) fn hours(text: &str) -> Result<Hours, (String, String)> {
    let form = || {
        (
            format!("{} is not a range of hours", quoted(text)),
            "write it as \"08:00-18:00\"; the end may be \"24:00\", and a range may span midnight"
                .to_owned(),
        )
    };
    let (start, end) = text.split_once('-').ok_or_else(form)?;
    let start = clock(start).ok_or_else(form)?;
    let end = clock(end).ok_or_else(form)?;
    if start == 24 * 60 {
        return Err((
            "a range cannot start at 24:00".to_owned(),
            "start it at \"00:00\" on the next day".to_owned(),
        ));
    }
    if start == end {
        return Err((
            format!("{} is empty: its end is its start", quoted(text)),
            "write \"00:00-24:00\" for the whole day".to_owned(),
        ));
    }
    Ok(Hours { start, end })
}

/// `HH:MM` in minutes, `24:00` included.
fn clock(text: &str) -> Option<i16> {
    let &[h1, h2, b':', m1, m2] = text.as_bytes() else {
        return None;
    };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i16::from(byte - b'0'));
    let hour = digit(h1)? * 10 + digit(h2)?;
    let minute = digit(m1)? * 10 + digit(m2)?;
    let total = hour * 60 + minute;
    (minute < 60 && total <= 24 * 60).then_some(total)
}

/// One entry of `ports`: a number or `"first-last"`.
pub(crate) fn ports(node: Node<'_>, problems: &mut Problems) -> Option<Ports> {
    let DeValue::String(text) = node.get_ref() else {
        if matches!(node.get_ref(), DeValue::Integer(_)) {
            return integer(node, 1..=u16::MAX, problems).map(|port| Ports(port..=port));
        }
        problems.add_help(
            &node.span(),
            format!("expected a port, found {}", type_name(node.get_ref())),
            "write a port as 22, a range as \"9000-9010\"",
        );
        return None;
    };
    match port_range(text) {
        Ok(range) => Some(Ports(range)),
        Err((message, help)) => {
            problems.add_help(&node.span(), message, help);
            None
        }
    }
}

fn port_range(text: &str) -> Result<RangeInclusive<u16>, (String, String)> {
    let number = |part: &str| -> Option<u16> {
        let plain = part.bytes().all(|b| b.is_ascii_digit()) && !part.starts_with('0');
        part.parse().ok().filter(|_| plain)
    };
    let bad = || {
        (
            format!("{} is not a range of ports", quoted(text)),
            "write a port as 22, a range as \"9000-9010\"; ports are 1 to 65535".to_owned(),
        )
    };
    let Some((first, last)) = text.split_once('-') else {
        return match number(text) {
            Some(port) => Err((
                format!("{} is a port in quotes", quoted(text)),
                format!("write {port} without quotes"),
            )),
            None => Err(bad()),
        };
    };
    let (Some(first), Some(last)) = (number(first), number(last)) else {
        return Err(bad());
    };
    if first > last {
        return Err((
            format!("{} ends before it starts", quoted(text)),
            format!("write \"{last}-{first}\""),
        ));
    }
    Ok(first..=last)
}

/// Which end of a bare date is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DayEdge {
    /// The first instant of the day.
    Start,
    /// The first instant after the day.
    End,
}

/// A date or date-time. Without an offset it is local to `tz`; a bare date means the given edge of that day.
pub(crate) fn instant(
    node: Node<'_>,
    tz: &TimeZone,
    bare_date: Option<DayEdge>,
    problems: &mut Problems,
) -> Option<Timestamp> {
    const FORMS: &str = "write it as 2027-06-30, 2027-06-30T18:00:00 (time of the host's zone) or 2027-06-30T18:00:00+02:00, without quotes";
    const FULL_FORMS: &str = "write it as 2027-06-30T18:00:00+02:00, without quotes";
    let help = if bare_date.is_some() {
        FORMS
    } else {
        FULL_FORMS
    };
    let DeValue::Datetime(written) = node.get_ref() else {
        problems.add_help(
            &node.span(),
            format!("expected a date, found {}", type_name(node.get_ref())),
            help,
        );
        return None;
    };
    let Some(date) = written.date.and_then(civil_date) else {
        problems.add_help(&node.span(), "a time without a date", help);
        return None;
    };
    let at = match (written.time, bare_date) {
        (None, None) => {
            problems.add_help(&node.span(), "a time of day is needed too", help);
            return None;
        }
        (None, Some(DayEdge::Start)) => date_start(date, tz),
        (None, Some(DayEdge::End)) => date.tomorrow().ok().and_then(|next| date_start(next, tz)),
        (Some(time), _) => civil_time(time)
            .map(|time| date.to_datetime(time))
            .and_then(|wall| at_offset(wall, written.offset, tz)),
    };
    if at.is_none() {
        problems.add(
            &node.span(),
            "this instant does not exist or is out of range",
        );
    }
    at
}

fn civil_date(date: toml::value::Date) -> Option<Date> {
    let year = i16::try_from(date.year).ok()?;
    Date::new(
        year,
        i8::try_from(date.month).ok()?,
        i8::try_from(date.day).ok()?,
    )
    .ok()
}

fn civil_time(time: toml::value::Time) -> Option<Time> {
    Time::new(
        i8::try_from(time.hour).ok()?,
        i8::try_from(time.minute).ok()?,
        i8::try_from(time.second).ok()?,
        i32::try_from(time.nanosecond).ok()?,
    )
    .ok()
}

/// The first instant of a local day.
fn date_start(date: Date, tz: &TimeZone) -> Option<Timestamp> {
    Some(date.to_zoned(tz.clone()).ok()?.timestamp())
}

fn at_offset(
    wall: DateTime,
    offset: Option<toml::value::Offset>,
    tz: &TimeZone,
) -> Option<Timestamp> {
    match offset {
        None => Some(wall.to_zoned(tz.clone()).ok()?.timestamp()),
        Some(toml::value::Offset::Z) => Offset::UTC.to_timestamp(wall).ok(),
        Some(toml::value::Offset::Custom { minutes }) => {
            Offset::from_seconds(i32::from(minutes) * 60)
                .ok()?
                .to_timestamp(wall)
                .ok()
        }
    }
}

/// A bare date.
pub(crate) fn date(node: Node<'_>, problems: &mut Problems) -> Option<Date> {
    let date = match node.get_ref() {
        DeValue::Datetime(written) if written.time.is_none() => written.date.and_then(civil_date),
        _ => None,
    };
    if date.is_none() {
        problems.add_help(
            &node.span(),
            "expected a date",
            "write it as 2026-12-25, without quotes and without a time",
        );
    }
    date
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, expected) in [
            ("8h", 28_800),
            ("30m", 1800),
            ("0s", 0),
            ("1d", 86_400),
            ("1h30m", 5400),
            ("1d2h3m4s", 93_784),
            ("90m", 5400),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for bad in [
            "",
            "8",
            "h",
            "8 h",
            "-8h",
            "+8h",
            "8H",
            "1.5h",
            "30m1h",
            "1h1h",
            "8h ",
            "99999999999999999999h",
            "1w",
            "٣h",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn days_are_names_and_ranges_that_may_wrap() {
        let names = |text: &str| {
            days(text)
                .unwrap()
                .iter()
                .map(|d| d.to_monday_one_offset())
                .collect::<Vec<_>>()
        };
        assert_eq!(names("sat"), [6]);
        assert_eq!(names("mon-fri"), [1, 2, 3, 4, 5]);
        assert_eq!(names("fri-mon"), [5, 6, 7, 1]);
        assert_eq!(names("mon-sun").len(), 7);
        assert_eq!(names("tue-mon").len(), 7);
        assert_eq!(days("Mon").unwrap_err().1, "write \"mon\"");
        assert_eq!(days("Monday - Friday").unwrap_err().1, "write \"mon-fri\"");
        assert!(days("mon-mon").unwrap_err().1.contains("mon-sun"));
        for bad in [
            "",
            "-",
            "mon-",
            "-fri",
            "mon,fri",
            "mon-fri-sun",
            "Wk",
            "xx",
        ] {
            assert!(days(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hours_are_strict_and_never_empty() {
        assert_eq!(
            hours("08:00-12:30"),
            Ok(Hours {
                start: 480,
                end: 750
            })
        );
        assert_eq!(
            hours("00:00-24:00"),
            Ok(Hours {
                start: 0,
                end: 1440
            })
        );
        assert_eq!(
            hours("22:00-06:00"),
            Ok(Hours {
                start: 1320,
                end: 360
            })
        );
        assert_eq!(
            hours("22:00-00:00"),
            Ok(Hours {
                start: 1320,
                end: 0
            })
        );
        assert!(hours("08:00-08:00").unwrap_err().1.contains("00:00-24:00"));
        for bad in [
            "",
            "8:00-12:00",
            "0800-1200",
            "08:00",
            "08:00-25:00",
            "08:60-09:00",
            "24:00-06:00",
            "08:00-24:01",
            "08:00 - 09:00",
            "08:00-12:00-13:00",
            "+8:00-09:00",
        ] {
            assert!(hours(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn port_ranges_are_ordered_and_in_range() {
        assert_eq!(port_range("9000-9010"), Ok(9000..=9010));
        assert_eq!(port_range("22-22"), Ok(22..=22));
        assert!(port_range("22").unwrap_err().1.contains("without quotes"));
        assert!(port_range("20-10").unwrap_err().1.contains("10-20"));
        for bad in [
            "", "-", "0-10", "1-65536", "1-", "-1", "a-b", "+1-2", "01-2", "ssh",
        ] {
            assert!(port_range(bad).is_err(), "{bad}");
        }
    }
}
