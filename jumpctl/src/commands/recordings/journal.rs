//! What the journal knows of recordings: when they began, how far they had come, that they were deleted.
//!
//! Whoever can write a recording's file can write a new one whose chain holds.
//! What jumpd told the journal meanwhile, and the journal sent elsewhere, is
//! the witness. Only entries of jumpd's own unit count: journald sets that
//! field, and nobody can forge it.

use crate::error::Error;
use jump_recording::{Hash, Head};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The unit whose entries count.
const UNIT: &str = "jumpd.service";
/// And its name in the journal.
const IDENTIFIER: &str = "jumpd";
/// The events that are about recordings.
const EVENTS: [&str; 5] = [
    "recording.started",
    "recording.checkpoint",
    "recording.sealed",
    "recording.failed",
    "recording.deleted",
];

/// What is read of an entry.
const FIELDS: [&str; 7] = [
    "_SYSTEMD_UNIT",
    "SYSLOG_IDENTIFIER",
    "JUMP_EVENT",
    "JUMP_RECORDING",
    "JUMP_REASON",
    "JUMP_SEQUENCE",
    "JUMP_HEAD",
];

/// Which journal is asked.
pub(super) enum Witness {
    /// None.
    Nobody,
    /// This host's.
    Host,
    /// An export.
    File(PathBuf),
}

/// What a journal says.
#[derive(Debug, Default)]
pub(super) struct Testimony {
    /// By recording.
    known: BTreeMap<String, Known>,
    /// The oldest entry of jumpd's, in microseconds since the Unix epoch.
    since: Option<u64>,
    /// Entries about recordings that are not jumpd's own.
    pub(super) foreign: usize,
}

/// What it says of one recording.
#[derive(Debug, Default, Clone)]
pub(super) struct Known {
    /// In the order of the journal.
    pub(super) checkpoints: Vec<Head>,
    /// Whether it ended in good order.
    pub(super) sealed: bool,
    /// Why it broke off, in jumpd's word.
    pub(super) failed: Option<String>,
    /// When it was deleted: microseconds since the Unix epoch.
    pub(super) deleted: Option<u64>,
    /// Checkpoints that cannot be read.
    pub(super) illegible: usize,
    /// When the journal last spoke of it: microseconds since the Unix epoch.
    pub(super) last: u64,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "__REALTIME_TIMESTAMP", default)]
    at: Value,
    #[serde(rename = "_SYSTEMD_UNIT", default)]
    unit: Value,
    #[serde(rename = "SYSLOG_IDENTIFIER", default)]
    identifier: Value,
    #[serde(rename = "JUMP_EVENT", default)]
    event: Value,
    #[serde(rename = "JUMP_RECORDING", default)]
    recording: Value,
    #[serde(rename = "JUMP_REASON", default)]
    reason: Value,
    #[serde(rename = "JUMP_SEQUENCE", default)]
    sequence: Value,
    #[serde(rename = "JUMP_HEAD", default)]
    head: Value,
}

impl Witness {
    pub(super) fn of(file: Option<PathBuf>, nobody: bool) -> Self {
        match (file, nobody) {
            (Some(file), _) => Self::File(file),
            (None, true) => Self::Nobody,
            (None, false) => Self::Host,
        }
    }

    /// What it says of these recordings, or of all if there is none.
    pub(super) fn hear(&self, recordings: &[&str]) -> Result<Testimony, Error> {
        let mut testimony = Testimony::default();
        match self {
            Self::Nobody => {}
            Self::File(path) => {
                let failed = |e| Error::file("read", path, e);
                let file = File::open(path).map_err(failed)?;
                testimony
                    .read(BufReader::new(file), false)
                    .map_err(failed)?;
            }
            Self::Host => {
                // The oldest of all events tells how far back the journal goes.
                journalctl(&[], true, &mut testimony)?;
                let ids: Vec<_> = recordings.iter().copied().map(Some).collect();
                for id in if ids.is_empty() { vec![None] } else { ids } {
                    journalctl(&arguments(id), false, &mut testimony)?;
                }
            }
        }
        Ok(testimony)
    }
}

/// Matches of journalctl(1): those of one field are alternatives, different fields are all demanded.
fn arguments(recording: Option<&str>) -> Vec<String> {
    let mut arguments: Vec<_> = EVENTS
        .iter()
        .map(|event| format!("JUMP_EVENT={event}"))
        .collect();
    arguments.extend(recording.map(|id| format!("JUMP_RECORDING={id}")));
    arguments
}

/// What journalctl(1) has for these, the oldest first; only the first, if that is enough.
fn journalctl(matches: &[String], first: bool, testimony: &mut Testimony) -> Result<(), Error> {
    let failed = |why: String| {
        Error::failed(format!(
            "{why}; --journal FILE compares with an export, --no-journal with nothing"
        ))
    };
    let mut journalctl = Command::new("journalctl")
        .args(["--quiet", "--no-pager", "--output=json", "--all"])
        .arg(format!("--output-fields={}", FIELDS.join(",")))
        .arg(format!("_SYSTEMD_UNIT={UNIT}"))
        .arg(format!("SYSLOG_IDENTIFIER={IDENTIFIER}"))
        .args(matches)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| failed(format!("cannot run journalctl: {e}")))?;
    if let Some(stdout) = journalctl.stdout.take() {
        testimony
            .read(BufReader::new(stdout), first)
            .map_err(|e| failed(format!("cannot read what journalctl says: {e}")))?;
    }
    if first {
        let _ended_by_itself = journalctl.kill();
    }
    let status = journalctl.wait().map_err(Error::Output)?;
    // It answers 1 when nothing fits.
    if !first && !status.success() && status.code() != Some(1) {
        return Err(failed(format!("journalctl failed: {status}")));
    }
    Ok(())
}

impl Testimony {
    fn read(&mut self, mut lines: impl BufRead, first: bool) -> std::io::Result<()> {
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            // What is no entry is none of jumpd's.
            if let Ok(entry) = serde_json::from_slice(&line) {
                self.take(&entry);
            }
            line.clear();
            if first {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, entry: &Entry) {
        let event = entry.event.as_str().unwrap_or_default();
        let ours = entry.unit == UNIT && entry.identifier == IDENTIFIER;
        if !ours {
            self.foreign += usize::from(EVENTS.contains(&event));
            return;
        }
        let at = number(&entry.at).unwrap_or(0);
        if at > 0 {
            self.since = Some(self.since.map_or(at, |since| since.min(at)));
        }
        let (Some(id), true) = (entry.recording.as_str(), EVENTS.contains(&event)) else {
            return;
        };
        let known = self.known.entry(id.to_owned()).or_default();
        known.last = known.last.max(at);
        match event {
            "recording.checkpoint" | "recording.sealed" => {
                known.sealed |= event == "recording.sealed";
                match head(entry) {
                    Some(head) => known.checkpoints.push(head),
                    None => known.illegible += 1,
                }
            }
            "recording.failed" => {
                let reason = entry.reason.as_str().unwrap_or("unknown");
                known.failed = Some(reason.to_owned());
                // Of one that was found without an end: up to where it was good then.
                known.checkpoints.extend(head(entry));
            }
            "recording.deleted" => known.deleted = Some(at),
            _ => {}
        }
    }

    /// What is known of one recording.
    pub(super) fn of(&self, recording: &str) -> Option<&Known> {
        self.known.get(recording)
    }

    /// Every recording it speaks of.
    pub(super) fn recordings(&self) -> impl Iterator<Item = (&str, &Known)> {
        self.known.iter().map(|(id, known)| (id.as_str(), known))
    }

    /// Since when it speaks, in milliseconds since the Unix epoch.
    pub(super) fn since_ms(&self) -> Option<i64> {
        self.since
            .and_then(|micros| i64::try_from(micros / 1000).ok())
    }
}

fn head(entry: &Entry) -> Option<Head> {
    let sequence = number(&entry.sequence)?;
    let hash: Hash = entry.head.as_str()?.parse().ok()?;
    Some(Head { sequence, hash })
}

/// The journal writes numbers as text; a SIEM may have made numbers of them.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(lines: &[Value]) -> Testimony {
        let text: Vec<String> = lines.iter().map(Value::to_string).collect();
        let mut testimony = Testimony::default();
        testimony.read(text.join("\n").as_bytes(), false).unwrap();
        testimony
    }

    fn entry(event: &str, at: u64, more: &Value) -> Value {
        let mut entry = serde_json::json!({
            "__REALTIME_TIMESTAMP": at.to_string(), "_SYSTEMD_UNIT": UNIT, "SYSLOG_IDENTIFIER": IDENTIFIER,
            "JUMP_EVENT": event, "JUMP_RECORDING": "ab",
        });
        for (key, value) in more.as_object().unwrap() {
            entry[key] = value.clone();
        }
        entry
    }

    #[test]
    fn checkpoints_are_read_from_jumpds_own_entries_alone() {
        let point = |sequence: u64| serde_json::json!({ "JUMP_SEQUENCE": sequence.to_string(), "JUMP_HEAD": "00".repeat(32) });
        let with = |sequence: u64, key: &str, value: Value| {
            let mut entry = entry("recording.checkpoint", 5, &point(sequence));
            entry[key] = value;
            entry
        };
        let testimony = heard(&[
            entry("session.opened", 3, &serde_json::json!({})),
            entry("recording.started", 4, &serde_json::json!({})),
            entry("recording.checkpoint", 5, &point(7)),
            with(8, "_SYSTEMD_UNIT", "evil.service".into()),
            with(8, "_SYSTEMD_UNIT", Value::Null),
            with(
                8,
                "_SYSTEMD_UNIT",
                serde_json::json!([UNIT, "evil.service"]),
            ),
            with(8, "SYSLOG_IDENTIFIER", "sudo".into()),
            with(8, "JUMP_HEAD", "xyz".into()),
            with(9, "JUMP_SEQUENCE", 9.into()),
            entry("recording.sealed", 6, &point(10)),
            entry("recording.failed", 6, &point(5)),
            entry("recording.failed", 6, &serde_json::json!({})),
        ]);
        let known = testimony.of("ab").unwrap();
        let sequences: Vec<u64> = known.checkpoints.iter().map(|head| head.sequence).collect();
        assert_eq!(sequences, [7, 9, 10, 5]);
        assert_eq!(known.failed.as_deref(), Some("unknown"));
        assert!(known.sealed && known.illegible == 1 && known.last == 6);
        assert_eq!(testimony.foreign, 4);
        assert_eq!(testimony.since_ms(), Some(0));
        assert_eq!(testimony.since, Some(3));
    }

    #[test]
    fn lines_that_are_no_entries_are_passed_over() {
        let mut testimony = Testimony::default();
        let lines = &b"-- Boot --\n\xff\xfe\n[1]\n\n{}"[..];
        testimony.read(lines, false).unwrap();
        assert_eq!(testimony.recordings().count(), 0);
    }

    #[test]
    fn one_recording_or_all_are_asked_for() {
        let one = arguments(Some("ab"));
        assert!(one.contains(&"JUMP_EVENT=recording.deleted".to_owned()));
        assert_eq!(one.last().map(String::as_str), Some("JUMP_RECORDING=ab"));
        assert!(
            !arguments(None)
                .iter()
                .any(|m| m.starts_with("JUMP_RECORDING"))
        );
    }
}
