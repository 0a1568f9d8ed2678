//! A machine's journal, followed from the beginning by one `journalctl -f`.
//!
//! Entries arrive by themselves and wake whoever waits; a scenario takes a
//! [`Mark`] when it begins and sees nothing older.

use crate::ground::kill_below;
use crate::story::PATIENCE;
use anyhow::{Context, Result};
use serde_json::{Map, Value};
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// systemd's "startup finished". In a container it gives it the id that elsewhere is a user manager's
/// (`SD_MESSAGE_USER_STARTUP_FINISHED`; observed with systemd 252).
const STARTUP_FINISHED: &str = "eed00a68ffd84e31882105fd973abdd1";

/// One entry, with its fields as `journalctl -o json` gives them.
#[derive(Debug, Clone)]
pub struct Entry(Map<String, Value>);

impl Entry {
    /// An entry from a line of journalctl's JSON. A field that is not UTF-8 comes as an array of bytes there.
    fn parse(line: &str) -> Option<Self> {
        let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else {
            return None;
        };
        for value in fields.values_mut() {
            if let Value::Array(bytes) = value {
                let bytes: Vec<u8> = bytes
                    .iter()
                    .filter_map(Value::as_u64)
                    .filter_map(|byte| u8::try_from(byte).ok())
                    .collect();
                *value = Value::String(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        Some(Self(fields))
    }

    /// A field as text; empty when absent.
    #[must_use]
    pub fn get(&self, field: &str) -> &str {
        self.0
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A field as a number.
    #[must_use]
    pub fn number(&self, field: &str) -> Option<u64> {
        self.get(field).parse().ok()
    }

    /// Whether it is the audit event `kind` (`forward.allowed`, ...).
    #[must_use]
    pub fn is(&self, kind: &str) -> bool {
        self.get("JUMP_EVENT") == kind
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &str {
        self.get("MESSAGE")
    }

    /// Names of all fields.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros: u64 = self.number("__REALTIME_TIMESTAMP").unwrap_or_default();
        let at = i64::try_from(micros).unwrap_or_default();
        let at =
            jiff::Timestamp::from_microsecond(at).map(|at| at.strftime("%H:%M:%S%.3f").to_string());
        let from = [self.get("_SYSTEMD_UNIT"), self.get("SYSLOG_IDENTIFIER")]
            .into_iter()
            .find(|name| !name.is_empty());
        write!(
            f,
            "{} {}: {}",
            at.unwrap_or_default(),
            from.unwrap_or("kernel"),
            self.message()
        )
    }
}

/// A point in a journal.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mark(usize);

#[derive(Debug, Default)]
struct Shared {
    entries: Mutex<Vec<Entry>>,
    arrived: Condvar,
}

/// A journal being followed.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    journalctl: Child,
}

impl Journal {
    pub(crate) fn follow(leader: u32) -> Result<Self> {
        let mut journalctl = Command::new("nsenter")
            .args([
                "--target",
                &leader.to_string(),
                "--mount",
                "--uts",
                "--ipc",
                "--net",
                // journalctl watches its files through /proc/self, which is that of the pid namespace.
                "--pid",
                "--",
            ])
            .args([
                "journalctl",
                "--follow",
                "--no-tail",
                "--all",
                "--quiet",
                "--output=json",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot follow the journal")?;
        let output = journalctl
            .stdout
            .take()
            .context("journalctl has no output")?;
        let shared = Arc::new(Shared::default());
        let reader = Arc::clone(&shared);
        std::thread::spawn(move || read(output, &reader));
        let journal = Self { shared, journalctl };
        // The boot is told first: what comes later is news.
        let booted = |entry: &Entry| entry.get("MESSAGE_ID") == STARTUP_FINISHED;
        anyhow::ensure!(
            !journal.wait(Mark(0), 1, PATIENCE, booted).is_empty(),
            "the journal does not tell the boot"
        );
        Ok(journal)
    }

    /// Now: everything that arrives later is after it.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(
            self.shared
                .entries
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .len(),
        )
    }

    /// What has arrived since `mark` and fits.
    pub fn since(&self, mark: Mark, fits: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let entries = self
            .shared
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        entries
            .iter()
            .skip(mark.0)
            .filter(|entry| fits(entry))
            .cloned()
            .collect()
    }

    /// Waits until `count` entries since `mark` fit; returns those that do, perhaps fewer when `patience` is over.
    pub fn wait(
        &self,
        mark: Mark,
        count: usize,
        patience: Duration,
        fits: impl Fn(&Entry) -> bool,
    ) -> Vec<Entry> {
        let deadline = Instant::now() + patience;
        let mut entries = self
            .shared
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            let found: Vec<_> = entries
                .iter()
                .skip(mark.0)
                .filter(|entry| fits(entry))
                .cloned()
                .collect();
            let left = deadline.saturating_duration_since(Instant::now());
            if found.len() >= count || left.is_zero() {
                return found;
            }
            entries = self
                .shared
                .arrived
                .wait_timeout(entries, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        kill_below(&mut self.journalctl);
    }
}

fn read(output: impl Read, shared: &Shared) {
    for line in BufReader::new(output).lines() {
        let Ok(line) = line else { return };
        if let Some(entry) = Entry::parse(&line) {
            shared
                .entries
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(entry);
            shared.arrived.notify_all();
        }
    }
}
