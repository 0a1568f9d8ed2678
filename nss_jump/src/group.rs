//! The group database, and who is in which group at login.

use std::mem::MaybeUninit;

use jump_accounts::{GroupRef, is_reserved_id};
use libc::{c_char, c_int, c_long, gid_t, group, size_t};

use crate::enumerate::Cursor;
use crate::reply::{Room, name_asked};
use crate::visible::View;
use crate::{Failure, Status, guarded, index};

static CURSOR: Cursor = Cursor::new();

/// Puts `found` into the caller's buffer and `result`.
///
/// # Safety
///
/// `result` is writable; `buffer` and `length` are as for [`Room::new`].
unsafe fn reply(
    view: &View<'_>,
    found: &GroupRef<'_>,
    result: *mut group,
    buffer: *mut c_char,
    length: size_t,
) -> Result<(), Failure> {
    // SAFETY: by contract.
    let mut room = unsafe { Room::new(buffer, length) };
    let entry = group {
        gr_name: room.string(found.name)?,
        gr_passwd: room.string("*")?,
        gr_gid: found.gid,
        gr_mem: room.strings(view.members(found))?,
    };
    if result.is_null() {
        return Err(Failure::NotFound);
    }
    // SAFETY: by contract; only written once everything fits.
    unsafe { result.write(entry) };
    Ok(())
}

/// `getgrnam_r(3)`.
///
/// # Safety
///
/// As glibc calls it: `name` is a string, `result` and `errnop` are writable,
/// `buffer` has `buflen` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _nss_jump_getgrnam_r(
    name: *const c_char,
    result: *mut group,
    buffer: *mut c_char,
    buflen: size_t,
    errnop: *mut c_int,
) -> c_int {
    let entry = || {
        // SAFETY: by contract.
        let name = unsafe { name_asked(name) }?;
        index::ask(|view| {
            let group = view.group(name)?;
            // SAFETY: by contract.
            unsafe { reply(view, &group, result, buffer, buflen) }
        })
    };
    // SAFETY: by contract.
    unsafe { guarded(errnop, entry) }
}

/// `getgrgid_r(3)`.
///
/// # Safety
///
/// As [`_nss_jump_getgrnam_r`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _nss_jump_getgrgid_r(
    gid: gid_t,
    result: *mut group,
    buffer: *mut c_char,
    buflen: size_t,
    errnop: *mut c_int,
) -> c_int {
    let entry = || {
        if is_reserved_id(gid) {
            return Err(Failure::NotFound);
        }
        index::ask(|view| {
            let group = view.gid(gid)?;
            // SAFETY: by contract.
            unsafe { reply(view, &group, result, buffer, buflen) }
        })
    };
    // SAFETY: by contract.
    unsafe { guarded(errnop, entry) }
}

/// `setgrent(3)`: the next `getgrent` starts again.
#[unsafe(no_mangle)]
pub extern "C" fn _nss_jump_setgrent(_stay_open: c_int) -> c_int {
    CURSOR.rewind();
    Status::Success as c_int
}

/// `endgrent(3)`.
#[unsafe(no_mangle)]
pub extern "C" fn _nss_jump_endgrent() -> c_int {
    CURSOR.rewind();
    Status::Success as c_int
}

/// `getgrent_r(3)`: the next group, by gid.
///
/// # Safety
///
/// As [`_nss_jump_getgrnam_r`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _nss_jump_getgrent_r(
    result: *mut group,
    buffer: *mut c_char,
    buflen: size_t,
    errnop: *mut c_int,
) -> c_int {
    let entry = || {
        let from = CURSOR.next()?;
        let given = index::ask(|view| {
            let group = view.next_group(from)?;
            // SAFETY: by contract.
            unsafe { reply(view, &group, result, buffer, buflen) }?;
            Ok(group.gid)
        })?;
        CURSOR.passed(given);
        Ok(())
    };
    // SAFETY: by contract.
    unsafe { guarded(errnop, entry) }
}

/// `initgroups(3)`, `getgrouplist(3)`: without this entry point glibc walks
/// the whole group list at each login.
///
/// # Safety
///
/// As glibc calls it: `user` is a string; `*groupsp` is an array from
/// malloc(3) with room for `*size` ids, `*start` of them in use; `errnop` is
/// writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _nss_jump_initgroups_dyn(
    user: *const c_char,
    skipgroup: gid_t,
    start: *mut c_long,
    size: *mut c_long,
    groupsp: *mut *mut gid_t,
    limit: c_long,
    errnop: *mut c_int,
) -> c_int {
    let entry = || {
        // SAFETY: by contract.
        let name = unsafe { name_asked(user) }?;
        // SAFETY: by contract.
        let mut array = unsafe { GroupArray::new(start, size, groupsp, limit) }?;
        let before = *array.used;
        index::ask(|view| {
            // A second look at the index begins again where the first began.
            *array.used = before;
            for gid in view.user(name)?.groups() {
                if gid != skipgroup && view.gid(gid).is_ok() && !array.push(gid)? {
                    break;
                }
            }
            Ok(())
        })
    };
    // SAFETY: by contract.
    unsafe { guarded(errnop, entry) }
}

/// The caller's array of group ids. It grows as glibc's own modules let it
/// grow: doubled, up to `limit` where that is positive.
struct GroupArray<'a> {
    used: &'a mut c_long,
    room: &'a mut c_long,
    array: &'a mut *mut gid_t,
    limit: c_long,
}

impl<'a> GroupArray<'a> {
    /// # Safety
    ///
    /// The pointers are as for [`_nss_jump_initgroups_dyn`].
    unsafe fn new(
        used: *mut c_long,
        room: *mut c_long,
        array: *mut *mut gid_t,
        limit: c_long,
    ) -> Result<Self, Failure> {
        // SAFETY: by contract.
        let used = unsafe { used.as_mut() };
        // SAFETY: by contract.
        let room = unsafe { room.as_mut() };
        // SAFETY: by contract.
        let array = unsafe { array.as_mut() };
        match (used, room, array) {
            (Some(used), Some(room), Some(array)) => Ok(Self {
                used,
                room,
                array,
                limit,
            }),
            _ => Err(Failure::Unavailable),
        }
    }

    /// Adds `gid`; false if the array is full.
    fn push(&mut self, gid: gid_t) -> Result<bool, Failure> {
        if *self.used >= *self.room && !self.grow()? {
            return Ok(false);
        }
        let room = usize::try_from(*self.room).map_err(|_| Failure::Unavailable)?;
        let used = usize::try_from(*self.used).map_err(|_| Failure::Unavailable)?;
        // SAFETY: by contract the array has room for that many ids, and is the
        // caller's alone during the call.
        let ids = unsafe {
            std::slice::from_raw_parts_mut((*self.array).cast::<MaybeUninit<gid_t>>(), room)
        };
        ids.get_mut(used).ok_or(Failure::Unavailable)?.write(gid);
        *self.used = self.used.saturating_add(1);
        Ok(true)
    }

    fn grow(&mut self) -> Result<bool, Failure> {
        let mut wanted = (*self.room).max(*self.used).max(1).saturating_mul(2);
        if self.limit > 0 {
            wanted = wanted.min(self.limit);
        }
        if wanted <= *self.used {
            return Ok(false);
        }
        let bytes = usize::try_from(wanted)
            .ok()
            .and_then(|wanted| wanted.checked_mul(size_of::<gid_t>()))
            .ok_or(Failure::Temporary(libc::ENOMEM))?;
        // SAFETY: by contract the array is from malloc; it stays as it is if
        // this fails.
        let array = unsafe { libc::realloc((*self.array).cast(), bytes) };
        if array.is_null() {
            return Err(Failure::Temporary(libc::ENOMEM));
        }
        *self.array = array.cast();
        *self.room = wanted;
        Ok(true)
    }
}
