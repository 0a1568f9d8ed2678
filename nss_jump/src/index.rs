//! The index in memory: loaded once per process, renewed when the file or
//! one of the local files changes.
//!
//! Each lookup costs one `stat` of the index and, only for what it found, one
//! each of `/etc/passwd` and `/etc/group`; these two are read when they changed.
//! That is where the time goes: the rest of a lookup takes well under a
//! microsecond (`examples/nss_speed.rs`).
//!
//! A small index is copied into memory of our own: it can then neither be
//! truncated nor rewritten under us (a mapped file that shrinks kills the
//! process that reads it). A large one is mapped, so that processes share it;
//! where mapping is refused (SELinux's `domain_can_mmap_files` off) it is
//! copied too.

use jump_accounts::{Index, Layout, format::MAX_LEN};
use libc::c_int;

use crate::slots::Slots;
use crate::sys::{File, Region, Stamp};
use crate::visible::{Compared, View};
use crate::{Failure, GROUP, INDEX, PASSWD};

/// An index of up to this many bytes (about 10 000 users) is copied.
const COPIED: u64 = 1 << 20;

/// The last index loaded. Four slots: one current, one being loaded by each
/// of a few threads that notice a new file at the same time.
static LOADED: Slots<Loaded, 4> = Slots::new();

/// One state of the index file.
struct Loaded {
    stamp: Stamp,
    /// `None`: this state of the file is not a usable index. Remembered, so
    /// that a broken file is not read again at every lookup.
    body: Option<Body>,
}

struct Body {
    region: Region,
    layout: Layout,
    compared: Compared,
}

impl From<c_int> for Failure {
    /// Of everything that can go wrong with a file only a lack of means is
    /// worth another try.
    fn from(errno: c_int) -> Self {
        match errno {
            libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR => Self::Temporary(errno),
            _ => Self::Unavailable,
        }
    }
}

/// Asks the index in force. `find` may be called twice: what it found, or
/// found hidden, counts only if the local files are still those the index was
/// compared with.
pub(crate) fn ask<T>(mut find: impl FnMut(&View<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
    let stamp = Stamp::at(INDEX, false)?;
    if !stamp.is_regular() {
        return Err(Failure::Unavailable);
    }
    // An outdated one is let go here, so that `keep` can give it back.
    let loaded = match LOADED.get().filter(|loaded| loaded.stamp == stamp) {
        Some(loaded) => loaded,
        None => LOADED.keep(Loaded::load()?),
    };
    let body = loaded.body.as_ref().ok_or(Failure::Unavailable)?;
    let answer = find(&body.view()?);
    if matches!(answer, Err(Failure::NotFound)) || body.is_compared_with_present()? {
        return answer;
    }
    drop(loaded);
    let loaded = LOADED.keep(Loaded::load()?);
    find(&loaded.body.as_ref().ok_or(Failure::Unavailable)?.view()?)
}

impl Loaded {
    fn load() -> Result<Self, Failure> {
        let file = File::open(INDEX, false)?;
        let stamp = file.stamp()?;
        let usable = stamp.is_regular() && !stamp.is_shared_writable() && stamp.size() <= MAX_LEN;
        let body = if usable {
            Body::read(&file, stamp)?
        } else {
            None
        };
        Ok(Self { stamp, body })
    }
}

impl Body {
    /// `None` if the file is not an index.
    fn read(file: &File, stamp: Stamp) -> Result<Option<Self>, Failure> {
        let Some(region) = contents(file, stamp.size())? else {
            return Ok(None);
        };
        let Ok(layout) = Layout::of(region.bytes()) else {
            return Ok(None);
        };
        let Some(index) = Index::with_layout(&layout, region.bytes()) else {
            return Ok(None);
        };
        let compared = Compared::new(&index)?;
        Ok(Some(Self {
            region,
            layout,
            compared,
        }))
    }

    fn view(&self) -> Result<View<'_>, Failure> {
        let index = Index::with_layout(&self.layout, self.region.bytes());
        let index = index.ok_or(Failure::Unavailable)?;
        Ok(View::new(index, self.compared.marks.bytes()))
    }

    fn is_compared_with_present(&self) -> Result<bool, Failure> {
        Ok(state(PASSWD)? == self.compared.passwd && state(GROUP)? == self.compared.group)
    }
}

fn state(path: &std::ffi::CStr) -> Result<Option<Stamp>, Failure> {
    match Stamp::at(path, true) {
        Ok(stamp) => Ok(Some(stamp)),
        Err(libc::ENOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The bytes of the file; `None` if it is empty or shrinks meanwhile.
fn contents(file: &File, size: u64) -> Result<Option<Region>, Failure> {
    let Some(length) = usize::try_from(size).ok().filter(|length| *length > 0) else {
        return Ok(None);
    };
    if size > COPIED
        && let Ok(region) = file.map(length)
    {
        return Ok(Some(region));
    }
    let mut complete = true;
    let region = Region::filled(length, |mut rest| {
        let mut offset = 0u64;
        while !rest.is_empty() {
            let count = file.read_at(rest, offset)?;
            if count == 0 {
                complete = false;
                break;
            }
            offset = offset.saturating_add(count as u64);
            rest = rest.get_mut(count..).unwrap_or_default();
        }
        Ok::<(), Failure>(())
    })?;
    Ok(complete.then_some(region))
}
