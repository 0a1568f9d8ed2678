//! The system calls under the file store, each on a descriptor and none on a path that could change meanwhile.

use super::fault::before;
use crate::record::RecordError;
use crate::store::StoreError;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawMode, Stat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What every open of ours has: no link is followed, nothing is inherited, nothing is waited for.
const CAREFUL: OFlags = OFlags::NOFOLLOW
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Who else may look into a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// Nobody.
    Shut,
    /// Whoever likes, as long as they write nothing.
    MayRead,
}

/// A directory of the store, open and found to be ours.
pub(super) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    /// Makes the directory unless it is there.
    pub(super) fn make(path: &Path) -> Result<(), StoreError> {
        match before("mkdir").and_then(|()| rustix::fs::mkdir(path, Mode::RWXU)) {
            // It is there; whether it is a directory, and ours, is checked on opening it.
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(_) if path.exists() => Ok(()),
            Err(e) => Err(io("make", path.display().to_string(), e)),
        }
    }

    pub(super) fn open(path: &Path, others: Others) -> Result<Self, StoreError> {
        let name = || path.display().to_string();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | CAREFUL;
        let fd = before("openat")
            .and_then(|()| rustix::fs::openat(CWD, path, flags, Mode::empty()))
            .map_err(|e| io("open", name(), e))?;
        let stat = before("fstat")
            .and_then(|()| rustix::fs::fstat(&fd))
            .map_err(|e| io("stat", name(), e))?;
        let dir = Self {
            fd,
            path: path.to_owned(),
        };
        match not_ours(&stat, others) {
            Some(problem) => Err(StoreError::Untrusted {
                path: name(),
                problem,
            }),
            None => Ok(dir),
        }
    }

    /// The whole of a file, or `None` when it is not there.
    pub(super) fn read(
        &self,
        name: &str,
        limit: usize,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let fd = match self.open_at(name, OFlags::RDONLY, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(self.untrusted(name, "is a symbolic link")),
            Err(e) => return Err(self.io("open", name, e)),
        };
        self.check(name, &fd)?;
        // One byte more than may be, so that too much shows; sized beforehand,
        // because a buffer that grows leaves copies of the secret behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
        before("read")
            .map_err(std::io::Error::from)
            .and_then(|()| {
                File::from(fd)
                    .take(limit as u64 + 1)
                    .read_to_end(&mut bytes)
            })
            .map_err(|source| StoreError::Io {
                action: "read",
                path: self.path_of(name),
                source,
            })?;
        if bytes.len() > limit {
            return Err(self.untrusted(name, "is too large for a record"));
        }
        Ok(Some(bytes))
    }

    /// A lock file, made when it is not there.
    pub(super) fn open_lock(&self, name: &str) -> Result<OwnedFd, StoreError> {
        let fd = match self.open_at(name, OFlags::RDONLY | OFlags::CREATE, PRIVATE) {
            Ok(fd) => fd,
            Err(Errno::LOOP) => return Err(self.untrusted(name, "is a symbolic link")),
            Err(e) => return Err(self.io("open", name, e)),
        };
        self.check(name, &fd)?;
        Ok(fd)
    }

    /// Writes a new file beside those in use and flushes it; nothing is replaced yet. The caller holds the lock.
    pub(super) fn prepare(&self, fresh: &str, bytes: &[u8]) -> Result<(), StoreError> {
        // Left behind by a crash, if it is there.
        self.unlink(fresh)?;
        self.write_fresh(fresh, bytes)
            .inspect_err(|_| self.discard(fresh))
    }

    /// Puts what was prepared in its place, durably. The caller holds the lock.
    pub(super) fn put(&self, fresh: &str, name: &str) -> Result<(), StoreError> {
        before("renameat")
            .and_then(|()| rustix::fs::renameat(&self.fd, fresh, &self.fd, name))
            .map_err(|e| self.io("replace", name, e))?;
        self.sync()
    }

    /// Takes away what was prepared and is not wanted any more.
    pub(super) fn discard(&self, fresh: &str) {
        // The failure that led here is the one to tell; what stays is cleared away by the next write.
        let _ = self.unlink(fresh);
    }

    fn write_fresh(&self, fresh: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let fd = self
            .open_at(fresh, create, PRIVATE)
            .map_err(|e| self.io("create", fresh, e))?;
        let mut file = File::from(fd);
        let failed = |action| {
            move |source| StoreError::Io {
                action,
                path: self.path_of(fresh),
                source,
            }
        };
        write_in_two(&mut file, bytes).map_err(failed("write"))?;
        before("fsync")
            .map_err(std::io::Error::from)
            .and_then(|()| file.sync_all())
            .map_err(failed("flush"))
    }

    /// Removes a file, durably. The caller holds the lock.
    pub(super) fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.unlink(name)?;
        self.sync()
    }

    /// The uids that have a record or watermark here.
    pub(super) fn uids(&self) -> Result<Vec<u32>, StoreError> {
        let list = |e| io("list", self.path.display().to_string(), e);
        let mut uids = Vec::new();
        before("getdents64").map_err(list)?;
        for entry in rustix::fs::Dir::read_from(&self.fd).map_err(list)? {
            let entry = entry.map_err(list)?;
            let uid = entry
                .file_name()
                .to_str()
                .ok()
                .map(|name| name.strip_suffix(".json").unwrap_or(name))
                .and_then(|digits| {
                    digits
                        .parse::<u32>()
                        .ok()
                        .filter(|u| u.to_string() == digits)
                });
            uids.extend(uid);
        }
        uids.sort_unstable();
        Ok(uids)
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    pub(super) fn io(&self, action: &'static str, name: &str, e: Errno) -> StoreError {
        io(action, self.path_of(name), e)
    }

    pub(super) fn bad(&self, name: &str, source: RecordError) -> StoreError {
        StoreError::Record {
            path: self.path_of(name),
            source,
        }
    }

    fn open_at(&self, name: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        before("openat")?;
        rustix::fs::openat(&self.fd, name, flags | CAREFUL, mode)
    }

    fn unlink(&self, name: &str) -> Result<(), StoreError> {
        let gone = before("unlinkat")
            .and_then(|()| rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()));
        match gone {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(self.io("remove", name, e)),
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        before("fsync")
            .and_then(|()| rustix::fs::fsync(&self.fd))
            .map_err(|e| io("flush", self.path.display().to_string(), e))
    }

    fn check(&self, name: &str, fd: impl AsFd) -> Result<(), StoreError> {
        let stat = before("fstat")
            .and_then(|()| rustix::fs::fstat(fd))
            .map_err(|e| self.io("stat", name, e))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(self.untrusted(name, "is not a regular file"));
        }
        if stat.st_nlink > 1 {
            return Err(self.untrusted(name, "has a second name (hard link)"));
        }
        match not_ours(&stat, Others::Shut) {
            Some(problem) => Err(StoreError::Untrusted {
                path: self.path_of(name),
                problem,
            }),
            None => Ok(()),
        }
    }

    fn untrusted(&self, name: &str, problem: &str) -> StoreError {
        StoreError::Untrusted {
            path: self.path_of(name),
            problem: problem.to_owned(),
        }
    }
}

/// In two calls, so that a test can end between them what is not whole then.
fn write_in_two(file: &mut File, bytes: &[u8]) -> std::io::Result<()> {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    for part in [first, second] {
        before("write")?;
        file.write_all(part)?;
    }
    Ok(())
}

/// What keeps a file or directory from being this process's user's alone.
fn not_ours(stat: &Stat, others: Others) -> Option<String> {
    let us = rustix::process::geteuid().as_raw();
    let others: RawMode = match others {
        Others::Shut => Mode::RWXG | Mode::RWXO,
        Others::MayRead => Mode::WGRP | Mode::WOTH,
    }
    .as_raw_mode();
    if stat.st_uid != us {
        Some(format!("belongs to uid {}, not to uid {us}", stat.st_uid))
    } else if stat.st_mode & others != 0 {
        Some(format!(
            "can be used by others (mode {:04o})",
            stat.st_mode & 0o7777
        ))
    } else {
        None
    }
}

fn io(action: &'static str, path: String, e: Errno) -> StoreError {
    StoreError::Io {
        action,
        path,
        source: e.into(),
    }
}
