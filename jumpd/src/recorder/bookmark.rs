//! Word of where a recording goes on, from a recorder that is stopped to the next one.
//!
//! It lies beside the recording, so that it outlives a reboot of the host:
//! then nobody goes on, but the recording gets its end. Where the disk takes
//! nothing any more it lies in jumpd's runtime state, which is in memory.

use super::shelf::{Place, is_day, sync};
use jump_proto::{HopId, SessionId};
use jump_recording::{Header, Position};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Of a bookmark beside its recording.
pub(super) const POSITION: &str = "position";
/// Of one in the runtime state.
const AFAR: &str = "json";
/// The longest bookmark: it may have a whole header in it.
const MOST: u64 = 256 * 1024;

/// What a recorder that is stopped leaves for the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bookmark {
    /// What there is of the recording.
    pub(crate) left: Left,
    /// Whose it is; nobody else goes on with it.
    pub(crate) session: SessionId,
    /// When the recording began, in microseconds since the host was booted.
    pub(crate) began_boot_us: i64,
    /// What is missing behind that, where something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) missing: Option<Missing>,
}

/// What there is of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Left {
    /// A file that ends there.
    File(Position),
    /// Not even a file could be made yet.
    Nothing {
        /// What it is to begin with.
        header: Box<Header>,
        /// To whom it is to be encrypted.
        recipients: Vec<String>,
    },
}

/// What is not in a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Missing {
    pub(crate) why: String,
    pub(crate) bytes: u64,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes were not recorded: {}", self.bytes, self.why)
    }
}

/// A bookmark that does not lie beside its recording.
#[derive(Debug, Serialize, Deserialize)]
struct Distant {
    day: String,
    bookmark: Bookmark,
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> io::Result<T> {
    let mut text = Vec::new();
    File::open(path)?.take(MOST).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

fn afar(state: &Path, hop: &HopId) -> PathBuf {
    state.join(format!("{hop}.{AFAR}"))
}

/// The day of a recording of which word lies in the runtime state.
pub(super) fn day_told_afar(state: &Path, hop: &HopId) -> Option<String> {
    let Distant { day, .. } = read(&afar(state, hop)).ok()?;
    is_day(&day).then_some(day)
}

/// Every recording of which word lies in the runtime state.
pub(super) fn told_afar(state: &Path) -> Vec<HopId> {
    // Mostly there is not even a directory.
    let entries = std::fs::read_dir(state).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| super::shelf::hop_of(&entry.path(), AFAR))
        .collect()
}

impl Place {
    /// Whether a stopped recorder left word of this recording.
    pub(crate) fn is_bookmarked(&self) -> bool {
        self.path(POSITION).exists() || afar(&self.state, &self.hop).exists()
    }

    /// Leaves word of where to go on, in one step.
    ///
    /// # Errors
    /// When it can be left nowhere.
    pub(crate) fn leave(&self, bookmark: &Bookmark) -> io::Result<()> {
        let near = match &bookmark.left {
            Left::File(_) => self.put(POSITION, &serde_json::to_vec(bookmark)?),
            // There is no room for a recording.
            Left::Nothing { .. } => Err(io::ErrorKind::StorageFull.into()),
        };
        near.or_else(|_| self.leave_afar(bookmark))
    }

    fn leave_afar(&self, bookmark: &Bookmark) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.state) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        let path = afar(&self.state, &self.hop);
        let temporary = path.with_extension("new");
        let distant = Distant {
            day: self.day(),
            bookmark: bookmark.clone(),
        };
        std::fs::write(&temporary, serde_json::to_vec(&distant)?)?;
        std::fs::rename(temporary, path)
    }

    /// Takes that word away: whoever has it is the only one who goes on.
    ///
    /// # Errors
    /// When there is none, or it cannot be read or removed.
    pub(crate) fn take(&self) -> io::Result<Bookmark> {
        let (near, afar) = (self.path(POSITION), afar(&self.state, &self.hop));
        match read(&near) {
            Ok(bookmark) => {
                std::fs::remove_file(&near)?;
                // Mostly there is none.
                let _gone = std::fs::remove_file(afar);
                sync(Some(self.directory()))?;
                Ok(bookmark)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let Distant { bookmark, .. } = read(&afar)?;
                std::fs::remove_file(&afar)?;
                Ok(bookmark)
            }
            Err(e) => Err(e),
        }
    }
}
