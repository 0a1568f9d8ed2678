//! Loading an index file for programs that read it once: pam_jump per
//! login, jumpd and jumpctl per command. (`libnss_jump` keeps its own mapping,
//! because it is asked thousands of times by processes that live for months.)

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::format::{Damaged, Layout, MAX_LEN};
use crate::read::Index;

/// An index read into memory and verified entry by entry.
#[derive(Clone, Debug)]
pub struct OwnedIndex {
    bytes: Vec<u8>,
    layout: Layout,
}

/// Why an index file was not used.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The file could not be opened or read.
    Io(io::Error),
    /// It is not a regular file (a link, a pipe, a device).
    NotRegular,
    /// Others than its owner may write it.
    Writable,
    /// It is larger than any index.
    TooLarge,
    /// Its content is not a sound index.
    Damaged(Damaged),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "account index cannot be read: {error}"),
            Self::NotRegular => f.write_str(
                "account index is not a regular file; remove it and run \"jumpctl apply\"",
            ),
            Self::Writable => f.write_str(
                "account index is writable by group or others; remove it and run \"jumpctl apply\"",
            ),
            Self::TooLarge => write!(
                f,
                "account index is larger than {} MiB; remove it and run \"jumpctl apply\"",
                MAX_LEN >> 20
            ),
            Self::Damaged(damaged) => damaged.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        // O_NOFOLLOW answers ELOOP at a symbolic link.
        if error.raw_os_error() == Some(libc::ELOOP) {
            Self::NotRegular
        } else {
            Self::Io(error)
        }
    }
}

impl From<Damaged> for OpenError {
    fn from(damaged: Damaged) -> Self {
        Self::Damaged(damaged)
    }
}

impl OwnedIndex {
    /// Reads and verifies the index at `path`. Never follows a link in the
    /// last component, never waits for a writer of a pipe.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(OpenError::NotRegular);
        }
        if meta.mode() & 0o022 != 0 {
            return Err(OpenError::Writable);
        }
        if meta.len() > MAX_LEN {
            return Err(OpenError::TooLarge);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
        file.take(MAX_LEN.saturating_add(1))
            .read_to_end(&mut bytes)?;
        Ok(Self::from_bytes(bytes)?)
    }

    /// Verifies an index that is already in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Damaged> {
        let layout = Layout::of(&bytes)?;
        Index::with_layout(&layout, &bytes)
            .ok_or(Damaged::Sections)?
            .verify()?;
        Ok(Self { bytes, layout })
    }

    /// The index, ready to be searched.
    pub fn index(&self) -> Index<'_> {
        // The layout was made for these very bytes, so the fallback is
        // never taken; it has no scope, which its readers refuse.
        Index::with_layout(&self.layout, &self.bytes).unwrap_or(Index::EMPTY)
    }
}
