//! Where recordings lie: one directory per day, in it one file per hop.
//!
//! `YYYY-MM-DD/HOP.jrec` is the recording. Beside it lie, for a while or for
//! ever: `HOP.position`, from where a stopped recorder goes on ([`super::bookmark`]), and
//! `HOP.torn`, which says that a recording without an end was told of.

use super::bookmark::{POSITION, day_told_afar, told_afar};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use jump_proto::HopId;
use jump_recording::Position;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

const RECORDING: &str = "jrec";
const TORN: &str = "torn";

/// The directory of all recordings.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    root: PathBuf,
    /// Where a stopped recorder leaves word if this disk is full.
    state: PathBuf,
}

/// The place of one recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) hop: HopId,
    directory: PathBuf,
    pub(super) state: PathBuf,
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
    pub(crate) fn new(root: &Path, state: &Path) -> Self {
        Self {
            root: root.to_owned(),
            state: state.to_owned(),
        }
    }

    fn at(&self, hop: &HopId, directory: PathBuf) -> Place {
        Place {
            hop: hop.clone(),
            directory,
            state: self.state.clone(),
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
        self.at(hop, self.root.join(day.to_string()))
    }

    /// The place where a stopped recorder left this recording.
    pub(crate) fn bookmarked(&self, hop: &HopId) -> Option<Place> {
        let mut days = self.days().ok()?;
        days.reverse();
        days.into_iter()
            .map(|directory| self.at(hop, directory))
            .find(|place| place.path(POSITION).exists())
            .or_else(|| self.told_afar(hop))
    }

    /// The place of a recording of which word lies in the runtime state.
    fn told_afar(&self, hop: &HopId) -> Option<Place> {
        let day = day_told_afar(&self.state, hop)?;
        Some(self.at(hop, self.root.join(day)))
    }

    /// Recordings that a stopped recorder left before there was a file of them.
    pub(crate) fn blank(&self) -> Vec<Place> {
        let told = told_afar(&self.state);
        let places = told.iter().filter_map(|hop| self.told_afar(hop));
        places.filter(|place| !place.file().exists()).collect()
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
                let place = self.at(&hop, directory.clone());
                // One that is deleted meanwhile is none.
                if let Ok(kept) = place.look() {
                    all.push(kept);
                }
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
            if name.to_str().is_some_and(is_day) && entry.file_type()?.is_dir() {
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

/// Whether it is the name of a day's directory.
pub(super) fn is_day(name: &str) -> bool {
    name.len() == 10 && name.parse::<jiff::civil::Date>().is_ok()
}

pub(super) fn hop_of(path: &Path, extension: &str) -> Option<HopId> {
    if path.extension()? != extension {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

impl Place {
    pub(super) fn path(&self, extension: &str) -> PathBuf {
        self.directory.join(format!("{}.{extension}", self.hop))
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The day that it is of.
    pub(super) fn day(&self) -> String {
        let name = self.directory.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// What lies there.
    ///
    /// # Errors
    /// When there is no recording.
    pub(crate) fn look(&self) -> io::Result<Kept> {
        let file = std::fs::symlink_metadata(self.file())?;
        Ok(Kept {
            bytes: file.len(),
            ended: file.mtime(),
            bookmarked: self.is_bookmarked(),
            torn: self.path(TORN).exists(),
            place: self.clone(),
        })
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

    /// Remembers that this recording was told of as torn.
    pub(crate) fn note_torn(&self, what: &str) -> io::Result<()> {
        self.put(TORN, format!("{what}\n").as_bytes())
    }

    pub(super) fn put(&self, extension: &str, content: &[u8]) -> io::Result<()> {
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

pub(super) fn sync(directory: Option<&Path>) -> io::Result<()> {
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
        let place =
            Shelf::new(directory.path(), directory.path()).place(&hop, Timestamp::UNIX_EPOCH);
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
