//! Where recordings lie: one directory per day, in it one file per hop.
//!
//! `YYYY-MM-DD/HOP.jrec` is the recording. Beside it lie, for a while or for
//! ever: `HOP.position`, from where a stopped recorder goes on, and
//! `HOP.torn`, which says that a recording without an end was told of.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use jump_proto::HopId;
use jump_recording::Position;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

const RECORDING: &str = "jrec";
const POSITION: &str = "position";
const TORN: &str = "torn";
/// The longest note of a position; it has a few hundred bytes.
const MOST_NOTE: u64 = 64 * 1024;

/// The directory of all recordings.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    root: PathBuf,
}

/// The place of one recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) hop: HopId,
    directory: PathBuf,
}

/// What a recorder that is stopped leaves for the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bookmark {
    /// Where the file ends.
    #[serde(flatten)]
    pub(crate) position: Position,
    /// Whose it is; nobody else goes on with it.
    pub(crate) session: jump_proto::SessionId,
    /// When the recording began, in microseconds since the host was booted.
    pub(crate) began_boot_us: i64,
    /// What is missing behind the position, where something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gap: Option<String>,
}

/// A file of the shelf, as a list needs it.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) place: Place,
    pub(crate) bytes: u64,
    /// When it was last written to, in seconds since the Unix epoch.
    pub(crate) ended: i64,
    /// Whether a stopped recorder means to go on with it.
    pub(crate) bookmarked: bool,
    /// Whether it was told of as torn.
    pub(crate) torn: bool,
}

impl Shelf {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Bytes that are free for us on its disk.
    pub(crate) fn free(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.root)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// The place of a recording that begins now.
    pub(crate) fn place(&self, hop: &HopId, begins: Timestamp) -> Place {
        let day = begins.to_zoned(TimeZone::UTC).date();
        Place {
            hop: hop.clone(),
            directory: self.root.join(day.to_string()),
        }
    }

    /// The place where a stopped recorder left this recording.
    pub(crate) fn bookmarked(&self, hop: &HopId) -> Option<Place> {
        let mut days = self.days().ok()?;
        days.reverse();
        days.into_iter()
            .map(|directory| Place {
                hop: hop.clone(),
                directory,
            })
            .find(|place| place.path(POSITION).exists())
    }

    /// Every recording, day by day.
    pub(crate) fn all(&self) -> io::Result<Vec<Kept>> {
        let mut all = Vec::new();
        for directory in self.days()? {
            for entry in std::fs::read_dir(&directory)? {
                let entry = entry?;
                let path = entry.path();
                let Some(hop) = hop_of(&path, RECORDING) else {
                    continue;
                };
                // One that is deleted meanwhile is none.
                let Ok(file) = entry.metadata() else {
                    continue;
                };
                let place = Place {
                    hop,
                    directory: directory.clone(),
                };
                all.push(Kept {
                    bytes: file.len(),
                    ended: file.mtime(),
                    bookmarked: place.path(POSITION).exists(),
                    torn: place.path(TORN).exists(),
                    place,
                });
            }
        }
        Ok(all)
    }

    /// Directories of days, oldest first; whatever else lies there is not ours.
    fn days(&self) -> io::Result<Vec<PathBuf>> {
        let mut days = Vec::new();
        for entry in std::fs::read_dir(&self.root)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_day = name
                .to_str()
                .is_some_and(|name| name.len() == 10 && name.parse::<jiff::civil::Date>().is_ok());
            if is_day && entry.file_type()?.is_dir() {
                days.push(entry.path());
            }
        }
        days.sort_unstable();
        Ok(days)
    }

    /// Removes directories of days with nothing in them, but for `today`.
    pub(crate) fn tidy(&self, today: Timestamp) {
        let today = self
            .root
            .join(today.to_zoned(TimeZone::UTC).date().to_string());
        for day in self.days().unwrap_or_default() {
            if day != today {
                // One that is not empty stays.
                let _gone = std::fs::remove_dir(day);
            }
        }
    }
}

fn hop_of(path: &Path, extension: &str) -> Option<HopId> {
    if path.extension()? != extension {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

impl Place {
    fn path(&self, extension: &str) -> PathBuf {
        self.directory.join(format!("{}.{extension}", self.hop))
    }

    /// The recording's file.
    pub(crate) fn file(&self) -> PathBuf {
        self.path(RECORDING)
    }

    /// Makes the file, which must not be there, so that it survives a crash of the host.
    pub(crate) fn create(&self) -> io::Result<File> {
        let made = DirBuilder::new().mode(0o700).create(&self.directory);
        match made {
            Ok(()) => sync(self.directory.parent())?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(self.file())?;
        sync(Some(&self.directory))?;
        hold(&file);
        Ok(file)
    }

    /// Opens the file to go on with it at `position`.
    ///
    /// # Errors
    /// Also when the file does not end there, with the last frame that is meant.
    pub(crate) fn open_again(&self, position: &Position) -> io::Result<File> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(self.file())?;
        let length = file.metadata()?.len();
        if length != position.bytes {
            return Err(io::Error::other(format!(
                "the file has {length} bytes and should have {}",
                position.bytes
            )));
        }
        let mut link = [0; 32];
        let at = length.saturating_sub(32);
        file.read_exact_at(&mut link, at)?;
        if link != position.head.hash.0 {
            return Err(io::Error::other(
                "the file does not end with the frame that it should",
            ));
        }
        hold(&file);
        Ok(file)
    }

    /// Opens the file to read it.
    pub(crate) fn read(&self) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(self.file())
    }

    /// The file's last bytes, at most so many.
    pub(crate) fn tail(&self, most: usize) -> io::Result<Vec<u8>> {
        let mut file = self.read()?;
        let length = file.metadata()?.len();
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        file.seek(io::SeekFrom::Start(length.saturating_sub(most)))?;
        let mut tail = Vec::new();
        file.take(most).read_to_end(&mut tail)?;
        Ok(tail)
    }

    /// Whether `file` still is the file of this place, and has at least so many bytes.
    pub(crate) fn still_is(&self, file: &File, bytes: u64) -> io::Result<bool> {
        let (ours, there) = (file.metadata()?, std::fs::symlink_metadata(self.file()));
        let there = match there {
            Ok(there) => there,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(e),
        };
        Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()) && ours.len() >= bytes)
    }

    /// Leaves word of where to go on, in one step.
    pub(crate) fn leave(&self, bookmark: &Bookmark) -> io::Result<()> {
        self.put(POSITION, &serde_json::to_vec(bookmark)?)
    }

    /// Takes that word away: whoever has it is the only one who goes on.
    ///
    /// # Errors
    /// When there is none, or it cannot be read or removed.
    pub(crate) fn take(&self) -> io::Result<Bookmark> {
        let path = self.path(POSITION);
        let mut text = Vec::new();
        File::open(&path)?.take(MOST_NOTE).read_to_end(&mut text)?;
        let bookmark = serde_json::from_slice(&text)?;
        std::fs::remove_file(&path)?;
        sync(Some(&self.directory))?;
        Ok(bookmark)
    }

    /// Remembers that this recording was told of as torn.
    pub(crate) fn note_torn(&self, what: &str) -> io::Result<()> {
        self.put(TORN, format!("{what}\n").as_bytes())
    }

    fn put(&self, extension: &str, content: &[u8]) -> io::Result<()> {
        let temporary = self.path(&format!("{extension}.new"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(temporary, self.path(extension))?;
        sync(Some(&self.directory))
    }

    /// Deletes the recording and what lies beside it.
    pub(crate) fn delete(&self) -> io::Result<()> {
        std::fs::remove_file(self.file())?;
        for beside in [POSITION, TORN] {
            // Mostly there is none, and none that was never finished.
            let _gone = std::fs::remove_file(self.path(beside));
            let _gone = std::fs::remove_file(self.path(&format!("{beside}.new")));
        }
        Ok(())
    }
}

/// Shows readers that somebody writes this file, for as long as it is open. A reader that looks just now is gone in an
/// instant; and whoever is in the way for longer only makes a list wrong, so that is no reason to refuse a hop.
fn hold(file: &File) {
    for _ in 0..20 {
        match rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            _ => return,
        }
    }
}

fn sync(directory: Option<&Path>) -> io::Result<()> {
    directory.map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jump_recording::{Hash, Head, Trailer};

    #[test]
    fn readers_see_which_file_is_being_written() {
        let directory = tempfile::tempdir().unwrap();
        let hop = HopId::from_bytes([1; 16]);
        let place = Shelf::new(directory.path()).place(&hop, Timestamp::UNIX_EPOCH);
        let written = || {
            let file = place.read().unwrap();
            let free = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared);
            free == Err(rustix::io::Errno::WOULDBLOCK)
        };
        let mut file = place.create().unwrap();
        file.write_all(&[7; 40]).unwrap();
        assert!(written());
        drop(file);
        assert!(!written());
        let hash = Hash([7; 32]);
        let position = Position {
            bytes: 40,
            head: Head { sequence: 1, hash },
            counts: Trailer::default(),
            recording: hash,
            sealed: false,
        };
        let _again = place.open_again(&position).unwrap();
        assert!(written());
    }
}
