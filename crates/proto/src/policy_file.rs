//! The policy file as a file: read whole or refused with the cure, never waited for.
//!
//! jumpd reads it without a privilege, `jumpctl` as root; both must say the
//! same about a file that is in nobody's way but wrong: a link, a pipe, a
//! directory, or one that jumpd may not read.

use crate::paths;
use rustix::fs::OFlags;
use std::fs::{Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The largest policy that is read, in bytes.
const MAX: u64 = 4 * 1024 * 1024;

/// Why there is no text to check. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Nothing of that name.
    #[error("there is no such file")]
    Missing,
    /// The kernel forbids it to this program.
    #[error("{program} may not read it: {cure}", cure = cure())]
    Forbidden {
        /// Which program.
        program: &'static str,
    },
    /// A symbolic link: what it points to is not watched, and may not be visible to jumpd.
    #[error(
        "it is a symbolic link; put the file itself there (`cp --remove-destination`), with {}",
        cure()
    )]
    Link,
    /// A directory, pipe, socket or device.
    #[error("it is a {0}, not a regular file; move it away and put the policy there")]
    NotAFile(&'static str),
    /// More than any policy.
    #[error("it is larger than 4 MiB")]
    TooLarge,
    /// Bytes that are no text.
    #[error("it is not UTF-8 text")]
    NotText,
    /// Anything else.
    #[error("{0}")]
    Io(io::Error),
}

/// What makes the file readable to jumpd and to nobody else.
fn cure() -> String {
    let (file, user) = (paths::POLICY, paths::JUMPD_USER);
    let directory = Path::new(file).parent().unwrap_or(Path::new("/"));
    format!(
        "`chown root:{user} {directory} {file} && chmod 0751 {directory} && chmod 0640 {file}`",
        directory = directory.display()
    )
}

/// What becomes of a symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// It is refused: in the place where jumpd looks.
    Refuse,
    /// It is followed: for a draft somewhere else.
    Follow,
}

/// The text of a policy file. `program` is who reads, for the message.
///
/// # Errors
/// [`Unreadable`]; at once, whatever stands in its place.
pub fn read(path: &Path, program: &'static str, links: Links) -> Result<String, Unreadable> {
    // Without O_NONBLOCK, opening a pipe waits for a writer.
    let mut flags = OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    if links == Links::Refuse {
        flags |= OFlags::NOFOLLOW;
    }
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|e| why(e, path, program))?;
    let metadata = file.metadata().map_err(Unreadable::Io)?;
    if let Some(kind) = other_kind(&metadata) {
        return Err(Unreadable::NotAFile(kind));
    }
    let mut bytes = Vec::new();
    file.take(MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(Unreadable::Io)?;
    if bytes.len() as u64 > MAX {
        return Err(Unreadable::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| Unreadable::NotText)
}

fn why(error: io::Error, path: &Path, program: &'static str) -> Unreadable {
    // A socket cannot be opened at all, and a link not with O_NOFOLLOW: the errno alone does not say so.
    let found = std::fs::symlink_metadata(path).ok();
    if found.as_ref().is_some_and(Metadata::is_symlink)
        && error.kind() != io::ErrorKind::PermissionDenied
    {
        return Unreadable::Link;
    }
    if let Some(kind) = found.as_ref().and_then(other_kind) {
        return Unreadable::NotAFile(kind);
    }
    match error.kind() {
        io::ErrorKind::NotFound => Unreadable::Missing,
        io::ErrorKind::PermissionDenied => Unreadable::Forbidden { program },
        _ => Unreadable::Io(error),
    }
}

fn other_kind(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    if kind.is_dir() {
        Some("directory")
    } else if kind.is_fifo() {
        Some("named pipe")
    } else if kind.is_socket() {
        Some("socket")
    } else if kind.is_file() || kind.is_symlink() {
        None
    } else {
        Some("device")
    }
}

/// Whether jumpd, with this uid and these groups, may read `path`, a regular file, and look into its directory.
///
/// For root, who may read everything and would otherwise find nothing wrong.
///
/// # Errors
/// [`Unreadable`], with the cure.
pub fn readable_by_jumpd(path: &Path, uid: u32, groups: &[u32]) -> Result<(), Unreadable> {
    const READ: u32 = 0o4;
    const SEARCH: u32 = 0o1;
    let directory = path.parent().unwrap_or(Path::new("/"));
    for (path, wanted) in [(directory, SEARCH), (path, READ)] {
        let metadata = std::fs::metadata(path).map_err(|e| why(e, path, "jumpctl"))?;
        // The first class that fits decides (path_resolution(7)).
        let shift = if metadata.uid() == uid {
            6
        } else if groups.contains(&metadata.gid()) {
            3
        } else {
            0
        };
        if metadata.mode() >> shift & wanted == 0 {
            return Err(Unreadable::Forbidden {
                program: paths::JUMPD_USER,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a test that cannot go on should stop there"
    )]
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    fn room(name: &str) -> std::path::PathBuf {
        let room = std::env::temp_dir().join(format!("jump-policy-{name}-{}", std::process::id()));
        let _left = fs::remove_dir_all(&room);
        fs::create_dir(&room).unwrap();
        room
    }

    fn said(path: &Path) -> String {
        read(path, "jumpd", Links::Refuse).unwrap_err().to_string()
    }

    #[test]
    fn whatever_is_no_file_is_named_at_once() {
        let room = room("kinds");
        let path = room.join("policy.toml");
        assert_eq!(said(&path), "there is no such file");

        fs::create_dir(&path).unwrap();
        assert!(said(&path).contains("directory"));
        fs::remove_dir(&path).unwrap();

        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(said(&path).contains("named pipe"));
        fs::remove_file(&path).unwrap();

        let _socket = UnixListener::bind(&path).unwrap();
        assert!(said(&path).contains("socket"));
        fs::remove_file(&path).unwrap();

        std::os::unix::fs::symlink("/nonexistent", &path).unwrap();
        assert!(said(&path).contains("symbolic link"));
        fs::remove_file(&path).unwrap();

        fs::write(room.join("draft"), "version = 1\n").unwrap();
        std::os::unix::fs::symlink(room.join("draft"), &path).unwrap();
        assert!(said(&path).contains("symbolic link"));
        assert_eq!(
            read(&path, "jumpctl", Links::Follow).unwrap(),
            "version = 1\n"
        );
        fs::remove_file(&path).unwrap();

        fs::write(&path, b"\xff").unwrap();
        assert!(said(&path).contains("UTF-8"));
        fs::remove_dir_all(room).unwrap();
    }

    #[test]
    fn a_file_that_jumpd_may_not_read_names_the_cure() {
        let room = room("modes");
        let path = room.join("policy.toml");
        fs::write(&path, "version = 1\n").unwrap();
        let own = fs::metadata(&path).unwrap();
        let (stranger, gid) = (own.uid() + 1, own.gid());
        let set = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        let check = |uid, groups: &[u32]| readable_by_jumpd(&path, uid, groups);
        set(&room, 0o750);
        for (mode, group_may) in [(0o600, false), (0o640, true), (0o004, false)] {
            set(&path, mode);
            assert_eq!(check(stranger, &[gid]).is_ok(), group_may, "{mode:o}");
        }
        set(&path, 0o640);
        assert!(check(own.uid(), &[]).is_ok());
        let refused = check(stranger, &[]).unwrap_err().to_string();
        assert!(refused.contains("chown root:jumpd"), "{refused}");
        assert!(refused.contains("chmod 0640"), "{refused}");
        set(&room, 0o700);
        assert!(check(stranger, &[gid]).is_err(), "the directory counts");
        fs::remove_dir_all(room).unwrap();
    }
}
