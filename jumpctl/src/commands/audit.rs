//! `jumpctl audit`: what the journal has from jumpd.
//!
//! Selected by `_SYSTEMD_UNIT`, which journald sets and nobody can forge, and
//! shown line by line as jumpd wrote it; under `--json` the fields as they are.

use crate::error::{Answer, Error, Outcome};
use crate::output::{Output, printable};
use crate::time;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

/// Which events.
pub(super) struct Filter {
    pub(super) since: String,
    pub(super) user: Option<String>,
    pub(super) event: Option<String>,
    pub(super) session: Option<String>,
}

impl Filter {
    /// Arguments of journalctl(1): matches of different fields are all demanded.
    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "--quiet".to_owned(),
            "--no-pager".to_owned(),
            "--output=json".to_owned(),
        ];
        arguments.push(format!("--since={}", self.since));
        arguments.push("_SYSTEMD_UNIT=jumpd.service".to_owned());
        let fields = [
            ("JUMP_USER", &self.user),
            ("JUMP_EVENT", &self.event),
            ("JUMP_SESSION", &self.session),
        ];
        for (field, value) in fields {
            if let Some(value) = value {
                arguments.push(format!("{field}={value}"));
            }
        }
        arguments
    }
}

pub(super) fn run(filter: &Filter, out: &mut Output) -> Answer {
    let mut journalctl = Command::new("journalctl")
        .args(filter.arguments())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| Error::failed(format!("cannot run journalctl: {e}")))?;
    let mut events = Vec::new();
    let mut count = 0usize;
    if let Some(stdout) = journalctl.stdout.take() {
        let zone = TimeZone::system();
        for line in BufReader::new(stdout).lines() {
            let line = line.map_err(Error::Output)?;
            let Ok(entry) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            if entry.get("JUMP_EVENT").is_none() {
                continue;
            }
            count += 1;
            if out.is_json() {
                events.push(entry);
            } else {
                out.line(sentence(&entry, &zone))?;
            }
        }
    }
    let status = journalctl.wait().map_err(Error::Output)?;
    // journalctl answers 1 when nothing fits.
    if !status.success() && count == 0 && status.code() != Some(1) {
        return Err(Error::failed(format!("journalctl failed: {status}")));
    }
    out.json(&events)?;
    Ok(Outcome::from_bool(count > 0))
}

fn sentence(entry: &Value, zone: &TimeZone) -> String {
    let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
    let at = text("__REALTIME_TIMESTAMP")
        .parse::<i64>()
        .unwrap_or_default()
        / 1000;
    format!("{} {}", time::show(at, zone), printable(text("MESSAGE")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_jumpd_itself_wrote_is_asked_for() {
        let filter = Filter {
            since: "today".into(),
            user: Some("alice".into()),
            event: None,
            session: None,
        };
        let arguments = filter.arguments();
        assert!(arguments.contains(&"_SYSTEMD_UNIT=jumpd.service".to_owned()));
        assert_eq!(
            arguments.last().map(String::as_str),
            Some("JUMP_USER=alice")
        );
    }

    #[test]
    fn an_event_is_one_line_that_no_terminal_acts_on() {
        let entry = serde_json::json!({
            "__REALTIME_TIMESTAMP": "1795417200000000", "MESSAGE": "event=x user=a\u{1b}[2J",
        });
        assert_eq!(
            sentence(&entry, &TimeZone::UTC),
            "Mon 2026-11-23 07:00:00 UTC event=x user=a\\u{1b}[2J"
        );
    }
}
