//! A moment of a recording, as an auditor writes it.

use crate::error::Error;
use crate::time;
use jiff::Zoned;

/// `1:02:03.5`, `2:03`, `75`, `90s` or `1h2m`: microseconds from the beginning; `None` for anything else.
pub(super) fn offset(text: &str) -> Option<u64> {
    if let Some(seconds) = jump_policy::seconds(text) {
        return seconds.checked_mul(1_000_000);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mut parts = whole.split(':');
    let mut seconds: u64 = 0;
    for part in parts.by_ref().take(3) {
        if part.is_empty() || !digits(part) {
            return None;
        }
        seconds = seconds.checked_mul(60)?.checked_add(part.parse().ok()?)?;
    }
    if parts.next().is_some() || !digits(fraction) || fraction.len() > 6 {
        return None;
    }
    let micros: u64 = format!("{fraction:0<6}").parse().ok()?;
    seconds.checked_mul(1_000_000)?.checked_add(micros)
}

/// What `--at` says: an offset, or a time of day at which the recording, which
/// began so many milliseconds after 1970, had come that far.
pub(super) fn at(text: &str, began_ms: i64, now: &Zoned) -> Result<u64, Error> {
    if let Some(offset) = offset(text) {
        return Ok(offset);
    }
    if !text.contains('-') {
        return Err(Error::Usage(format!(
            "{text:?} is no moment of a recording; write 1:02:03 or 90s from its beginning, or 2026-03-02 14:05:00"
        )));
    }
    let ms = time::parse(text, now)?
        .as_millisecond()
        .saturating_sub(began_ms);
    u64::try_from(ms)
        .map(|ms| ms.saturating_mul(1000))
        .map_err(|_| Error::Usage(format!("the recording began after {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_many_ways() {
        for (text, ms) in [
            ("0", 0),
            ("75", 75_000),
            ("1:15", 75_000),
            ("01:02:03", 3_723_000),
            ("1:02:03.456", 3_723_456),
            ("0.5", 500),
            ("90s", 90_000),
            ("1h2m", 3_720_000),
        ] {
            assert_eq!(offset(text), Some(ms * 1000), "{text}");
        }
        for text in [
            "",
            ":",
            "1:",
            "1:2:3:4",
            "1.2.3",
            "x",
            "-5",
            "1.1234567",
            "99999999999999999999",
        ] {
            assert_eq!(offset(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_of_day_is_counted_from_the_beginning() {
        let now: Zoned = "2026-11-22T12:00:00+01:00[Europe/Paris]".parse().unwrap();
        let began = 1_772_460_000_000;
        assert_eq!(at("2026-03-02 15:00:10", began, &now).unwrap(), 10_000_000);
        assert_eq!(at("2026-03-02T14:00:10Z", began, &now).unwrap(), 10_000_000);
        assert_eq!(at("1:00", began, &now).unwrap(), 60_000_000);
        assert!(at("2026-03-02 14:00:10", began, &now).is_err(), "before");
        assert!(at("noon", began, &now).is_err());
    }
}
