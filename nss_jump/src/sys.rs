//! The system calls of this library, as safe types.
//!
//! Not std's: its file functions are cancellation points inside somebody
//! else's threads, and its errors and buffers bring more code into every
//! process of the host than the ten lines needed.

use std::ffi::CStr;
use std::ptr::NonNull;

use libc::{c_int, c_long};

/// The errno of a call that has just failed.
fn errno() -> c_int {
    // SAFETY: takes nothing, answers where the calling thread's errno is.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: glibc's location of errno is always valid.
    unsafe { *place }
}

/// What tells one state of a file from another: renaming, rewriting and
/// truncating it each change this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    dev: libc::dev_t,
    ino: libc::ino_t,
    size: libc::off_t,
    mtime: (libc::time_t, c_long),
    ctime: (libc::time_t, c_long),
    mode: libc::mode_t,
}

impl Stamp {
    fn of(stat: &libc::stat) -> Self {
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: stat.st_size,
            mtime: (stat.st_mtime, stat.st_mtime_nsec),
            ctime: (stat.st_ctime, stat.st_ctime_nsec),
            mode: stat.st_mode,
        }
    }

    /// Size in bytes.
    pub(crate) fn size(&self) -> u64 {
        u64::try_from(self.size).unwrap_or(0)
    }

    /// A plain file: not a link, pipe, device or directory.
    pub(crate) fn is_regular(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }

    /// Group or others may write it.
    pub(crate) fn is_shared_writable(&self) -> bool {
        self.mode & (libc::S_IWGRP | libc::S_IWOTH) != 0
    }

    /// The stamp of what `path` names; of a link itself if `!follow`.
    pub(crate) fn at(path: &CStr, follow: bool) -> Result<Self, c_int> {
        let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
        let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: `path` is NUL-terminated, `stat` is big enough for the answer.
        let answer =
            unsafe { libc::fstatat(libc::AT_FDCWD, path.as_ptr(), stat.as_mut_ptr(), flags) };
        if answer != 0 {
            return Err(errno());
        }
        // SAFETY: fstatat succeeded, so it has filled `stat`.
        Ok(Self::of(unsafe { stat.assume_init_ref() }))
    }
}

/// A descriptor of ours, open for the length of one function: daemons that
/// close everything they did not open cannot break it, and none is leaked.
pub(crate) struct File(c_int);

impl File {
    /// Opens `path` for reading. Never waits (a pipe without a writer opens
    /// at once), never becomes the controlling terminal, never is inherited.
    pub(crate) fn open(path: &CStr, follow: bool) -> Result<Self, c_int> {
        let mut flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
        if !follow {
            flags |= libc::O_NOFOLLOW;
        }
        // SAFETY: `path` is NUL-terminated; the other arguments are numbers.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_openat,
                c_long::from(libc::AT_FDCWD),
                path.as_ptr(),
                c_long::from(flags),
                0 as c_long,
            )
        };
        match c_int::try_from(fd) {
            Ok(fd) if fd >= 0 => Ok(Self(fd)),
            _ => Err(errno()),
        }
    }

    pub(crate) fn stamp(&self) -> Result<Stamp, c_int> {
        let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the descriptor is ours, `stat` is big enough for the answer.
        if unsafe { libc::fstat(self.0, stat.as_mut_ptr()) } != 0 {
            return Err(errno());
        }
        // SAFETY: fstat succeeded, so it has filled `stat`.
        Ok(Stamp::of(unsafe { stat.assume_init_ref() }))
    }

    /// Reads at `offset` into `buffer`; 0 is the end of the file.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, c_int> {
        let offset = c_long::try_from(offset).map_err(|_| libc::EOVERFLOW)?;
        loop {
            // SAFETY: the kernel writes at most `buffer.len()` bytes into `buffer`.
            let count = unsafe {
                libc::syscall(
                    libc::SYS_pread64,
                    c_long::from(self.0),
                    buffer.as_mut_ptr(),
                    buffer.len(),
                    offset,
                )
            };
            match usize::try_from(count) {
                Ok(count) => return Ok(count),
                Err(_) if errno() == libc::EINTR => {}
                Err(_) => return Err(errno()),
            }
        }
    }

    /// Maps the first `length` bytes.
    pub(crate) fn map(&self, length: usize) -> Result<Region, c_int> {
        Region::mmap(length, libc::PROT_READ, libc::MAP_PRIVATE, self.0)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours and nobody uses it after this.
        unsafe { libc::syscall(libc::SYS_close, c_long::from(self.0)) };
    }
}

/// Memory of our own, outside the host program's heap.
pub(crate) struct Region {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a region is plain memory owned by this value alone; shared
// references to it only read.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Zeroed memory.
    pub(crate) fn zeroed(length: usize) -> Result<Self, c_int> {
        Self::mmap(
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
        )
    }

    /// Fills zeroed memory and makes it read-only: a stray write of the host
    /// program cannot change who is who.
    pub(crate) fn filled<E: From<c_int>>(
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let region = Self::zeroed(length)?;
        // SAFETY: the mapping is writable, `length` long, zeroed, and known to
        // nobody else yet.
        fill(unsafe { std::slice::from_raw_parts_mut(region.start.as_ptr(), length) })?;
        // SAFETY: changes the protection of our own mapping; nobody writes it
        // from here on. A refusal only leaves it writable.
        unsafe { libc::mprotect(region.start.as_ptr().cast(), length, libc::PROT_READ) };
        Ok(region)
    }

    fn mmap(length: usize, protection: c_int, flags: c_int, fd: c_int) -> Result<Self, c_int> {
        // SAFETY: a new mapping at an address of the kernel's choice changes no
        // memory in use.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(errno());
        }
        let start = NonNull::new(start.cast()).ok_or(libc::ENOMEM)?;
        Ok(Self { start, length })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is readable and `length` long while `self` lives.
        // A mapped index may be changed by who owns it, but jumpd replaces it
        // by rename, and whoever truncates it in place is noticed by its stamp
        // before the next read; every byte is checked wherever it is used.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no reference to it is left.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}
