//! Opening a file that decides something, without being led elsewhere.

use crate::check;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Opens `path` for reading, if nobody but root and `owner` can have written it.
///
/// No component may be a symbolic link (openat2(2), Linux 5.6; before, only
/// the last one is checked), it must be a regular file, owned by root or
/// `owner`, and writable by no group and no others.
///
/// # Errors
/// `PermissionDenied` with the reason, or what the kernel says.
pub fn secure_open(path: &Path, owner: u32) -> io::Result<File> {
    let file = open_no_links(path)?;
    let meta = file.metadata()?;
    let refuse = |why: &str| {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} {why}", path.display()),
        ))
    };
    if !meta.is_file() {
        return refuse("is not a regular file");
    }
    if meta.uid() != 0 && meta.uid() != owner {
        return refuse("belongs to someone else");
    }
    if meta.mode() & 0o022 != 0 {
        return refuse("can be written by its group or by others; chmod go-w");
    }
    Ok(file)
}

fn open_no_links(path: &Path) -> io::Result<File> {
    let c_path = CString::new(path.as_os_str().as_bytes())?;
    let flags =
        libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    // SAFETY: all-zero is a value of open_how.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = u64::from(flags.unsigned_abs());
    how.resolve = libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
    // SAFETY: the path ends in NUL; the struct lives across the call and has the size given.
    let opened = check(unsafe {
        libc::syscall(
            libc::SYS_openat2,
            libc::AT_FDCWD,
            c_path.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        )
    });
    let fd = match opened {
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOSYS)) => {
            // SAFETY: the path ends in NUL.
            crate::check_int(unsafe { libc::open(c_path.as_ptr(), flags) })?
        }
        other => other? as libc::c_int,
    };
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { File::from_raw_fd(fd) })
}
