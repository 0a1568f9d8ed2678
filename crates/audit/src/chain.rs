//! The chain: every event carries its number since boot and a hash of the one before it.
//!
//! It lets a reader without any key notice that an event is missing, changed or
//! out of place between two that are there. It does not keep someone who can
//! write the whole journal from writing a whole new chain; shipping events off
//! the host does.
//!
//! The chain's end is remembered on a file system that a reboot empties,
//! together with the boot it belongs to, so that a restarted jumpd goes on
//! where it stopped. It is written after the event: were jumpd killed between
//! the two, the next event would bear the same number, which the verifier
//! shows. A jumpd that cannot remember still writes events; only the restart
//! after it then shows as a gap.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// `JUMP_PREV` of the first event after boot.
pub const FIRST_PREV: &str = "00000000000000000000000000000000";

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Digits of the hash that are kept: 128 bits.
const DIGITS: usize = 32;

/// Larger than any state file.
const MAX_STATE: u64 = 4096;

/// What `JUMP_PREV` of the next event is: the first 32 hexadecimal digits of the SHA-256 of the whole `MESSAGE`.
pub(crate) fn hash(message: &str) -> String {
    Sha256::digest(message.as_bytes())
        .iter()
        .take(DIGITS / 2)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The end of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    boot_id: String,
    /// Number of the last event, written or lost.
    pub(crate) seq: u64,
    /// Hash of the last event written.
    pub(crate) prev: String,
}

/// Where the end of the chain is remembered.
#[derive(Debug)]
pub(crate) struct Memory {
    path: PathBuf,
}

impl Memory {
    pub(crate) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Where the chain goes on, and what kept it from being known, if something did.
    pub(crate) fn recall(&self) -> (End, Option<String>) {
        let boot_id = match std::fs::read_to_string(BOOT_ID) {
            Ok(id) => id.trim().to_owned(),
            Err(e) => return (End::first(String::new()), Some(format!("{BOOT_ID}: {e}"))),
        };
        let found = match self.load() {
            Ok(Some(end)) if end.boot_id == boot_id => return (end, None),
            // The first of this boot.
            Ok(_) => None,
            Err(e) => Some(format!("{}: {e}", self.path.display())),
        };
        (End::first(boot_id), found)
    }

    fn load(&self) -> std::io::Result<Option<End>> {
        let file = match careful().read(true).open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("is not a regular file"));
        }
        let mut text = Vec::new();
        file.take(MAX_STATE).read_to_end(&mut text)?;
        Ok(Some(serde_json::from_slice(&text)?))
    }

    /// Remembers the end. No fsync: the file lives in memory and dies with the boot it speaks of.
    pub(crate) fn remember(&self, end: &End) -> std::io::Result<()> {
        let fresh = self.path.with_extension("new");
        match std::fs::remove_file(&fresh) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file: File = careful()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(&serde_json::to_vec(end)?)?;
        std::fs::rename(&fresh, &self.path)
    }
}

fn careful() -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    options.custom_flags(flags.bits().cast_signed());
    options
}

impl End {
    fn first(boot_id: String) -> Self {
        Self {
            boot_id,
            seq: 0,
            prev: FIRST_PREV.to_owned(),
        }
    }
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    /// The message has no place in a chain.
    #[error("message {at} ends in no sequence number and hash: it is not an event of this suite")]
    NotAnEvent {
        /// Which message, counted from 0.
        at: usize,
    },
    /// Numbers are missing: events were removed, or could not be written (`audit.failed` then says so).
    #[error("{missing} event(s) missing between number {after} and number {found}")]
    Missing {
        /// The last number before the gap.
        after: u64,
        /// The first number behind it.
        found: u64,
        /// How many are missing.
        missing: u64,
    },
    /// The number does not rise: events are out of order, or the chain was begun anew.
    #[error("number {found} follows number {after}")]
    NotRising {
        /// The number before.
        after: u64,
        /// The number that follows it.
        found: u64,
    },
    /// The numbers fit, the hash does not: one of the two was changed.
    #[error("number {seq} does not carry the hash of number {}: one of them was changed", seq - 1)]
    Changed {
        /// The number of the second.
        seq: u64,
    },
}

/// Checks that the `MESSAGE`s of one boot, oldest first, are an unbroken part of a chain.
///
/// The first may be any: what was before it may have been rotated away. The
/// last may be followed by others that are not there; nothing can show that.
///
/// # Errors
/// The first gap.
pub fn verify_chain<'a>(messages: impl IntoIterator<Item = &'a str>) -> Result<(), Gap> {
    let mut last: Option<(u64, String)> = None;
    for (at, message) in messages.into_iter().enumerate() {
        let (seq, prev) = place(message).ok_or(Gap::NotAnEvent { at })?;
        if let Some((after, hash)) = last {
            if seq <= after {
                return Err(Gap::NotRising { after, found: seq });
            }
            if seq > after + 1 {
                return Err(Gap::Missing {
                    after,
                    found: seq,
                    missing: seq - after - 1,
                });
            }
            if prev != hash {
                return Err(Gap::Changed { seq });
            }
        }
        last = Some((seq, hash(message)));
    }
    Ok(())
}

/// The number and the hash that a message ends in.
fn place(message: &str) -> Option<(u64, &str)> {
    let (rest, prev) = message.rsplit_once(" prev=")?;
    let (_, seq) = rest.rsplit_once(" seq=")?;
    let hex = prev.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (prev.len() == DIGITS && hex).then_some(())?;
    Some((seq.parse().ok()?, prev))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Kind};
    use proptest::prelude::*;

    fn chain(length: u64) -> Vec<String> {
        let mut prev = FIRST_PREV.to_owned();
        (1..=length)
            .map(|seq| {
                let event = Event::new(Kind::AccessAllowed).detail(" seq=9 prev=x");
                let message = event.render(seq, &prev).message;
                prev = hash(&message);
                message
            })
            .collect()
    }

    fn check(messages: &[String]) -> Result<(), Gap> {
        verify_chain(messages.iter().map(String::as_str))
    }

    #[test]
    fn a_whole_chain_and_any_part_of_it_are_good() {
        let whole = chain(10);
        assert_eq!(check(&whole), Ok(()));
        assert_eq!(check(&whole[3..8]), Ok(()));
        assert_eq!(check(&[]), Ok(()));
    }

    #[test]
    fn a_removed_event_is_missed() {
        let mut messages = chain(10);
        messages.drain(4..6);
        let gap = Gap::Missing {
            after: 4,
            found: 7,
            missing: 2,
        };
        assert_eq!(check(&messages), Err(gap));
    }

    #[test]
    fn a_changed_event_is_noticed() {
        let mut messages = chain(10);
        messages[4] = messages[4].replace("success", "failure");
        assert_eq!(check(&messages), Err(Gap::Changed { seq: 6 }));
    }

    #[test]
    fn a_chain_begun_anew_is_noticed() {
        let mut messages = chain(3);
        messages.extend(chain(2));
        assert_eq!(check(&messages), Err(Gap::NotRising { after: 3, found: 1 }));
    }

    #[test]
    fn what_is_no_event_is_told() {
        for bad in [
            "",
            "hello",
            "x seq=1 prev=",
            "x seq=a prev=00000000000000000000000000000000",
        ] {
            assert_eq!(verify_chain([bad]), Err(Gap::NotAnEvent { at: 0 }), "{bad}");
        }
    }

    #[test]
    fn the_end_is_remembered_within_a_boot_and_forgotten_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::at(&dir.path().join("audit.chain"));
        let (mut end, trouble) = memory.recall();
        assert_eq!((end.seq, end.prev.as_str(), trouble), (0, FIRST_PREV, None));
        end.seq = 7;
        end.prev = hash("x");
        memory.remember(&end).unwrap();
        assert_eq!(memory.recall(), (end.clone(), None));
        end.boot_id = "another".to_owned();
        memory.remember(&end).unwrap();
        assert_eq!(memory.recall().0.seq, 0);
    }

    #[test]
    fn a_damaged_memory_is_told_and_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.chain");
        std::fs::write(&path, "{").unwrap();
        let (end, trouble) = Memory::at(&path).recall();
        assert_eq!(end.seq, 0);
        assert!(trouble.unwrap().contains("audit.chain"));
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(Memory::at(&path).recall().1.is_some());
    }

    proptest! {
        #[test]
        fn verifying_never_panics(messages in proptest::collection::vec(".*( seq=[0-9]{1,21} prev=[0-9a-f]{32})?", 0..5)) {
            let _ = verify_chain(messages.iter().map(String::as_str));
        }
    }
}
