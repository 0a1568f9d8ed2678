//! Who gave a code not long ago, so that the next login from there is not asked for one (`[mfa] remember`).
//!
//! One file per user in `/run/jump/state/remembered`, in memory: a restart of
//! jumpd forgets nobody, a reboot everybody, and the boot's id in the file says
//! so a second time. Ages are counted by the clock that nobody steps and by
//! the one on the wall, which goes on while a virtual machine is paused: the
//! greater counts. What is
//! remembered holds for one key and one network, and for one standing of the
//! user's record ([`jump_mfa::standing`]): a new authenticator, a reset and a
//! lock-out each end it, and so does a file that is not exactly what was
//! written here.

use jump_mfa::Place;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Places remembered of one user; the oldest is forgotten first.
const MOST: usize = 16;

/// A code of the authenticator that was given; nothing else is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    place: Place,
    standing: String,
    given: Moment,
}

/// A time by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Moment {
    /// Milliseconds since boot.
    pub(crate) boot_ms: i64,
    /// Milliseconds since the Unix epoch.
    pub(crate) wall_ms: i64,
}

impl Moment {
    /// How much later `now` is by the clock that says more; nothing where one says that it is earlier.
    fn age_at(self, now: Self) -> Option<Duration> {
        let since = |then: i64, now: i64| u64::try_from(now.checked_sub(then)?).ok();
        let boot_ms = since(self.boot_ms, now.boot_ms)?;
        let wall_ms = since(self.wall_ms, now.wall_ms)?;
        Some(Duration::from_millis(boot_ms.max(wall_ms)))
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfOneUser {
    boot_id: String,
    given: Vec<Given>,
}

/// What is remembered of everybody.
#[derive(Debug)]
pub(crate) struct Remembered {
    directory: PathBuf,
    boot_id: String,
    /// Held from reading a file to writing it.
    writing: Mutex<()>,
}

impl Remembered {
    /// Goes on with what an earlier jumpd left in `state`.
    ///
    /// # Errors
    /// When the directory cannot be made or the boot's id not be read.
    pub(crate) fn load(state: &Path) -> std::io::Result<Self> {
        let directory = state.join("remembered");
        std::fs::create_dir_all(&directory)?;
        Ok(Self {
            directory,
            boot_id: std::fs::read_to_string(BOOT_ID)?.trim().to_owned(),
            writing: Mutex::default(),
        })
    }

    /// How long before `now` a code was given at `place`, if that is
    /// less than `life` and the record still stands as it stood then.
    pub(crate) fn recall(
        &self,
        uid: u32,
        place: &Place,
        standing: &str,
        life: Duration,
        now: Moment,
    ) -> Option<Duration> {
        let given = self.read(uid);
        let same = given
            .iter()
            .find(|given| given.place == *place && given.standing == standing)?;
        // A time that is still to come is nobody's age.
        let age = same.given.age_at(now)?;
        (age < life).then_some(age)
    }

    /// Remembers a code that was given at `now`.
    ///
    /// # Errors
    /// When it cannot be written down; then the next login is asked.
    pub(crate) fn keep(
        &self,
        uid: u32,
        place: Place,
        standing: String,
        now: Moment,
    ) -> std::io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut given = self.read(uid);
        given.retain(|given| given.place != place && given.standing == standing);
        given.push(Given {
            place,
            standing,
            given: now,
        });
        let surplus = given.len().saturating_sub(MOST);
        given.drain(..surplus);
        let text = serde_json::to_vec(&OfOneUser {
            boot_id: self.boot_id.clone(),
            given,
        })?;
        let fresh = self.directory.join(format!("{uid}.new"));
        let mut file = std::fs::File::create(&fresh)?;
        file.write_all(&text)?;
        std::fs::rename(fresh, self.file(uid))
    }

    fn file(&self, uid: u32) -> PathBuf {
        self.directory.join(format!("{uid}.json"))
    }

    /// Nothing where there is no file, or one of another boot or release.
    fn read(&self, uid: u32) -> Vec<Given> {
        let text = std::fs::read(self.file(uid)).unwrap_or_default();
        match serde_json::from_slice::<OfOneUser>(&text) {
            Ok(found) if found.boot_id == self.boot_id => found.given,
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const NOW: i64 = 10 * 3_600_000;
    /// What the clock on the wall shows at boot.
    const BOOT: i64 = 1_795_000_000_000;

    /// A time so long after boot, by clocks that agree.
    fn at(boot_ms: i64) -> Moment {
        Moment {
            boot_ms,
            wall_ms: BOOT.saturating_add(boot_ms),
        }
    }

    fn place(key: &str, source: &str) -> Place {
        Place::new(key, source.parse().unwrap())
    }

    fn desk() -> Place {
        place("SHA256:desk", "192.0.2.10")
    }

    fn kept() -> (tempfile::TempDir, Remembered) {
        let state = tempfile::tempdir().unwrap();
        let remembered = Remembered::load(state.path()).unwrap();
        remembered
            .keep(70001, desk(), "s1".into(), at(NOW))
            .unwrap();
        (state, remembered)
    }

    fn recalled(of: &Remembered, place: &Place, now: i64) -> bool {
        of.recall(70001, place, "s1", HOUR, at(now)).is_some()
    }

    #[test]
    fn it_lasts_as_long_as_the_policy_says_now() {
        let (_state, it) = kept();
        let past = it
            .recall(70001, &desk(), "s1", HOUR, at(NOW + 60_000))
            .unwrap();
        assert_eq!(past, Duration::from_secs(60));
        assert!(recalled(&it, &desk(), NOW + 3_599_999));
        assert!(!recalled(&it, &desk(), NOW + 3_600_000));
        let shorter = Duration::from_secs(30);
        assert!(
            it.recall(70001, &desk(), "s1", shorter, at(NOW + 60_000))
                .is_none()
        );
        assert!(
            it.recall(70001, &desk(), "s1", Duration::ZERO, at(NOW))
                .is_none()
        );
    }

    #[test]
    fn h18_it_is_for_one_user_one_key_and_one_network() {
        let (_state, it) = kept();
        assert!(!recalled(&it, &place("SHA256:other", "192.0.2.10"), NOW));
        assert!(!recalled(&it, &place("SHA256:desk", "192.0.2.11"), NOW));
        assert!(it.recall(70002, &desk(), "s1", HOUR, at(NOW)).is_none());
        let six = |address: &str| place("SHA256:desk", address);
        it.keep(70001, six("2001:db8:0:1::7"), "s1".into(), at(NOW))
            .unwrap();
        assert!(recalled(&it, &six("2001:db8:0:1:ffff::1"), NOW));
        assert!(!recalled(&it, &six("2001:db8:0:2::7"), NOW));
    }

    #[test]
    fn h18_a_time_to_come_is_worth_nothing() {
        let (_state, it) = kept();
        for before in [1, 60_000, NOW, i64::MAX] {
            assert!(!recalled(&it, &desk(), NOW - before), "{before}");
        }
        it.keep(70001, desk(), "s1".into(), at(i64::MAX)).unwrap();
        assert!(!recalled(&it, &desk(), NOW));
    }

    #[test]
    fn h18_the_clock_that_says_more_counts() {
        let (_state, it) = kept();
        let (minute, life) = (60_000, 3_600_000);
        for (boot, wall, good) in [
            (minute, minute, true),
            // Paused, or brought back from a snapshot of its memory.
            (minute, life, false),
            // The clock on the wall was set back.
            (life, minute, false),
            (minute, -1, false),
        ] {
            let now = Moment {
                boot_ms: NOW + boot,
                wall_ms: at(NOW).wall_ms + wall,
            };
            let seen = it.recall(70001, &desk(), "s1", HOUR, now);
            assert_eq!(seen.is_some(), good, "{boot} {wall}");
        }
    }

    #[test]
    fn it_ends_with_the_record_as_it_stood() {
        let (_state, it) = kept();
        assert!(it.recall(70001, &desk(), "s2", HOUR, at(NOW)).is_none());
        // What another standing left is forgotten by the next code.
        it.keep(70001, place("k", "192.0.2.1"), "s2".into(), at(NOW))
            .unwrap();
        assert!(!recalled(&it, &desk(), NOW));
    }

    #[test]
    fn h18_a_restart_keeps_it_and_another_boot_does_not() {
        let (state, it) = kept();
        drop(it);
        let again = Remembered::load(state.path()).unwrap();
        assert!(recalled(&again, &desk(), NOW));
        let file = state.path().join("remembered/70001.json");
        let text = std::fs::read_to_string(&file).unwrap();
        let other = text.replace(&again.boot_id, "00000000-0000-4000-8000-000000000000");
        assert_ne!(text, other);
        std::fs::write(&file, other).unwrap();
        assert!(!recalled(&again, &desk(), NOW));
    }

    #[test]
    fn a_damaged_file_is_nothing() {
        let (state, it) = kept();
        let file = state.path().join("remembered/70001.json");
        let text = std::fs::read(&file).unwrap();
        for length in 0..text.len() {
            std::fs::write(&file, &text[..length]).unwrap();
            assert!(!recalled(&it, &desk(), NOW), "{length} bytes");
        }
    }

    #[test]
    fn the_latest_sixteen_places_are_kept() {
        let (_state, it) = kept();
        for n in 0..40 {
            let place = place("k", &format!("198.51.100.{n}"));
            it.keep(70001, place, "s1".into(), at(NOW)).unwrap();
        }
        assert!(!recalled(&it, &desk(), NOW));
        assert!(recalled(&it, &place("k", "198.51.100.39"), NOW));
        assert!(recalled(&it, &place("k", "198.51.100.24"), NOW));
        assert!(!recalled(&it, &place("k", "198.51.100.23"), NOW));
    }
}
