//! `jumpctl recordings`: what was on the screen of a hop, for auditors.
//!
//! Recordings are files, read here without asking jumpd: whoever has a copy
//! and no jump server reads it just the same. What was recorded was chosen by
//! the person recorded, so none of it reaches a terminal, or a page, as
//! anything but text.

mod export;
mod grep;
mod item;
mod journal;
mod list;
mod opened;
mod play;
mod prune;
mod shelf;
mod text;
mod verdict;
mod verify;
mod which;

use crate::cli::recordings::{Action, Identity, Recordings, Which};
use crate::client::Jumpd;
use crate::error::{Answer, Error};
use crate::output::Output;
use jiff::Zoned;
use jiff::tz::TimeZone;
use jump_proto::paths;
use jump_recording::Keys;
use shelf::Shelf;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use zeroize::Zeroizing;

/// No file of keys is nearly this large, in bytes.
const KEY_FILE: u64 = 64 * 1024;

/// What every action needs.
struct Desk {
    shelf: Shelf,
    now: Zoned,
    zone: TimeZone,
}

/// Does what the command line says.
pub(super) fn run(jumpd: &Jumpd, recordings: Recordings, out: &mut Output) -> Answer {
    let now = Zoned::now();
    let copies = recordings.dir != Path::new(paths::RECORDINGS);
    let desk = Desk {
        shelf: Shelf::new(recordings.dir),
        zone: now.time_zone().clone(),
        now,
    };
    let action = recordings.action.unwrap_or(Action::List {
        which: Which::default(),
        text: None,
        identity: Identity::default(),
    });
    match action {
        Action::List {
            which,
            text,
            identity,
        } => list::run(&desk, which, text.as_deref(), &keys(&identity)?, out),
        Action::Play(wanted) => play::run(&desk, &wanted, &keys(&wanted.identity)?, out),
        Action::Grep {
            pattern,
            which,
            identity,
        } => grep::run(&desk, &pattern, which, &keys(&identity)?, out),
        Action::Export {
            recording,
            format,
            output,
            identity,
        } => export::run(
            &desk,
            &recording,
            format,
            output.as_deref(),
            &keys(&identity)?,
            out,
        ),
        Action::Verify {
            recordings,
            all: _,
            journal,
            no_journal,
            identity,
        } => {
            let witness = journal::Witness::of(journal, no_journal);
            verify::run(&desk, &recordings, &witness, &keys(&identity)?, out)
        }
        Action::Prune { .. } if copies => Err(Error::Usage(
            "prune deletes this host's own recordings; copies are yours to delete".into(),
        )),
        Action::Prune { dry_run } => prune::run(jumpd, dry_run, out),
    }
}

impl Desk {
    fn now_ms(&self) -> i64 {
        self.now.timestamp().as_millisecond()
    }
}

/// The auditor's keys, if there are any.
fn keys(identity: &Identity) -> Result<Keys, Error> {
    let Some(path) = &identity.identity else {
        return Ok(Keys::none());
    };
    let failed = |e| Error::file("read", path, e);
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path).map_err(failed)?;
    file.take(KEY_FILE)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Keys::parse(&text).map_err(|e| Error::failed(format!("{}: {e}", path.display())))
}

/// A moment of a recording, as `1:02:03`.
fn clock(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours}:{minutes:02}:{:02}", seconds % 60)
}

/// The same, as `1:02:03.456`.
fn precise(micros: u64) -> String {
    format!("{}.{:03}", clock(micros), micros / 1000 % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_hours_minutes_and_seconds() {
        assert_eq!(clock(0), "0:00:00");
        assert_eq!(clock(3_723_456_789), "1:02:03");
        assert_eq!(precise(3_723_456_789), "1:02:03.456");
        assert_eq!(precise(u64::MAX), "5124095576:01:49.551");
    }

    #[test]
    fn a_file_of_keys_is_named_when_it_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let keys = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let identity = Some(path.clone());
            keys(&Identity { identity })
        };
        let said = keys("AGE-SECRET-KEY-1NOT\n").unwrap_err().to_string();
        assert!(
            said.contains("key: line 1 is no age identity") && !said.contains("NOT"),
            "{said}"
        );
        assert!(keys("# none\n").is_err());
        let key = age::x25519::Identity::generate();
        use age::secrecy::ExposeSecret as _;
        assert!(keys(key.to_string().expose_secret()).is_ok());
    }
}
