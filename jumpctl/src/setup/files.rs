//! Changes to files of the host: shown first, written whole or not at all, taken back on failure.
//!
//! A file is replaced by writing a new one beside it and renaming that over
//! it, so that sshd and every login at that moment read the old text or the
//! new one. A change is written only if the file is still what the plan was
//! made from. Every file that is replaced or removed is kept under
//! `/etc/jump/backup` first.

use crate::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

/// One file and what becomes of it; `None` is a file that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// The file.
    pub path: PathBuf,
    /// Its bytes when the plan was made.
    pub before: Option<Vec<u8>>,
    /// Its bytes when the plan is done.
    pub after: Option<Vec<u8>>,
}

impl Change {
    /// Whether there is anything to do.
    #[must_use]
    pub(super) fn is_needed(&self) -> bool {
        self.before != self.after
    }

    /// A unified diff for the admin to read.
    #[must_use]
    pub(super) fn diff(&self) -> String {
        let text = |bytes: &Option<Vec<u8>>| {
            String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned()
        };
        let name = |bytes: &Option<Vec<u8>>| match bytes {
            Some(_) => self.path.display().to_string(),
            None => "/dev/null".to_owned(),
        };
        similar::TextDiff::from_lines(text(&self.before).as_str(), text(&self.after).as_str())
            .unified_diff()
            .context_radius(2)
            .header(&name(&self.before), &name(&self.after))
            .to_string()
    }

    /// Writes the new state.
    ///
    /// # Errors
    /// When the file has changed since the plan was made, or cannot be written.
    pub(super) fn write(&self) -> Result<(), Error> {
        if read(&self.path)? != self.before {
            return Err(Error::failed(format!(
                "{} was changed by somebody else just now; run the command again",
                self.path.display()
            )));
        }
        put(&self.path, self.after.as_deref())
    }

    /// Puts the old state back.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn revert(&self) -> Result<(), Error> {
        put(&self.path, self.before.as_deref())
    }
}

/// The bytes of a file, `None` if it is not there.
///
/// # Errors
/// Any other reason why it cannot be read.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::file("read", path, e)),
    }
}

/// Keeps a copy of `bytes` as `<directory>/<name of path>.<stamp>`, readable by root alone.
///
/// # Errors
/// When it cannot be written; nothing should then be changed.
pub(super) fn back_up(
    directory: &Path,
    path: &Path,
    bytes: &[u8],
    stamp: &str,
) -> Result<PathBuf, Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|e| Error::file("create", directory, e))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut copy = directory.join(format!("{name}.{stamp}"));
    let mut number = 1;
    loop {
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&copy)
        {
            Ok(mut file) => {
                file.write_all(bytes)
                    .and_then(|()| file.sync_all())
                    .map_err(|e| Error::file("write", &copy, e))?;
                return Ok(copy);
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && number < 100 => {
                copy = directory.join(format!("{name}.{stamp}.{number}"));
                number += 1;
            }
            Err(e) => return Err(Error::file("create", &copy, e)),
        }
    }
}

/// Makes `path` hold exactly these bytes, or not exist.
///
/// # Errors
/// When it cannot be written; the old file is then still there.
pub(super) fn put(path: &Path, bytes: Option<&[u8]>) -> Result<(), Error> {
    // Through a link, so that the link stays one.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let Some(bytes) = bytes else {
        return match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", &path, e)),
            _ => sync_parent(&path),
        };
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.jumpctl-{}", std::process::id()));
    let result = write_like(&new, &path, bytes).and_then(|()| fs::rename(&new, &path));
    if let Err(e) = result {
        let _ = fs::remove_file(&new);
        return Err(Error::file("write", &path, e));
    }
    sync_parent(&path)
}

/// Writes `new` with the owner and mode of `model`, or 0644 if there is none.
fn write_like(new: &Path, model: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)?;
    file.write_all(bytes)?;
    match fs::metadata(model) {
        Ok(old) => {
            // Only where it differs: the unit that runs `apply` may not chown at all.
            let made = file.metadata()?;
            if (made.uid(), made.gid()) != (old.uid(), old.gid()) {
                std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
            file.set_permissions(old.permissions())?;
        }
        Err(_) => file.set_permissions(fs::Permissions::from_mode(0o644))?,
    }
    file.sync_all()
}

fn sync_parent(path: &Path) -> Result<(), Error> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|e| Error::file("sync", parent, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_keeps_the_mode_and_reverts_to_the_same_bytes() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("sshd");
        fs::write(&path, b"old\xff\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let change = Change {
            path: path.clone(),
            before: Some(b"old\xff\n".to_vec()),
            after: Some(b"new\n".to_vec()),
        };
        change.write().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new\n");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
        change.revert().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old\xff\n");
        assert_eq!(
            fs::read_dir(room.path()).unwrap().count(),
            1,
            "nothing is left behind"
        );
    }

    #[test]
    fn a_file_that_changed_meanwhile_is_left_alone() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("sshd");
        fs::write(&path, b"edited").unwrap();
        let change = Change {
            path: path.clone(),
            before: Some(b"old".to_vec()),
            after: Some(b"new".to_vec()),
        };
        assert!(change.write().is_err());
        assert_eq!(fs::read(&path).unwrap(), b"edited");
    }

    #[test]
    fn a_new_file_appears_and_goes() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("10-jump.conf");
        let change = Change {
            path: path.clone(),
            before: None,
            after: Some(b"x\n".to_vec()),
        };
        change.write().unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o644
        );
        change.revert().unwrap();
        assert!(!path.exists());
        assert!(change.diff().contains("--- /dev/null"));
    }

    #[test]
    fn a_link_stays_a_link() {
        let room = tempfile::tempdir().unwrap();
        let (real, link) = (room.path().join("real"), room.path().join("link"));
        fs::write(&real, b"a").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        put(&link, Some(b"b")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"b");
    }

    #[test]
    fn backups_never_overwrite_each_other() {
        let room = tempfile::tempdir().unwrap();
        let directory = room.path().join("backup");
        let one = back_up(&directory, Path::new("/etc/pam.d/sshd"), b"1", "T").unwrap();
        let two = back_up(&directory, Path::new("/etc/pam.d/sshd"), b"2", "T").unwrap();
        assert_ne!(one, two);
        assert_eq!(fs::read(one).unwrap(), b"1");
    }
}
