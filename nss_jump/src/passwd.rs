//! The passwd database: the entry points that glibc looks up by name.

use jump_accounts::{AccountRef, is_reserved_id};
use libc::{c_char, c_int, passwd, size_t, uid_t};

use crate::enumerate::Cursor;
use crate::reply::{Room, name_asked};
use crate::{Failure, Status, guarded, index};

static CURSOR: Cursor = Cursor::new();

/// Puts `user` into the caller's buffer and `result`.
///
/// # Safety
///
/// `result` is writable; `buffer` and `length` are as for [`Room::new`].
unsafe fn reply(
    user: &AccountRef<'_>,
    result: *mut passwd,
    buffer: *mut c_char,
    length: size_t,
) -> Result<(), Failure> {
    // SAFETY: by contract.
    let mut room = unsafe { Room::new(buffer, length) };
    let entry = passwd {
        pw_name: room.string(user.name)?,
        // With "x" pam_unix looks for a shadow line and refuses the account.
        pw_passwd: room.string("*")?,
        pw_uid: user.uid,
        pw_gid: user.gid,
        pw_gecos: room.string(user.gecos)?,
        pw_dir: room.string(user.home)?,
        pw_shell: room.string(user.shell)?,
    };
    if result.is_null() {
        return Err(Failure::NotFound);
    }
    // SAFETY: by contract; only written once everything fits.
    unsafe { result.write(entry) };
    Ok(())
}

/// `getpwnam_r(3)`.
///
/// # Safety
///
/// As glibc calls it: `name` is a string, `result` and `errnop` are writable,
/// `buffer` has `buflen` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _nss_jump_getpwnam_r(
    name: *const c_char,
    result: *mut passwd,
    buffer: *mut c_char,
    buflen: size_t,
    errnop: *mut c_int,
) -> c_int {
    let entry = || {
        // SAFETY: by contract.
        let name = unsafe { name_asked(name) }?;
        index::ask(|view| {
            let user = view.user(name)?;
            // SAFETY: by contract.
            unsafe { reply(&user, result, buffer, buflen) }
        })
    };
    // SAFETY: by contract.
    unsafe { guarded(errnop, entry) }
}

/// `getpwuid_r(3)`.
///
/// # Safety
///
/// As [`_nss_jump_getpwnam_r`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _nss_jump_getpwuid_r(
    uid: uid_t,
    result: *mut passwd,
    buffer: *mut c_char,
    buflen: size_t,
    errnop: *mut c_int,
) -> c_int {
    let entry = || {
        if is_reserved_id(uid) {
            return Err(Failure::NotFound);
        }
        index::ask(|view| {
            let user = view.uid(uid)?;
            // SAFETY: by contract.
            unsafe { reply(&user, result, buffer, buflen) }
        })
    };
    // SAFETY: by contract.
    unsafe { guarded(errnop, entry) }
}

/// `setpwent(3)`: the next `getpwent` starts again.
#[unsafe(no_mangle)]
pub extern "C" fn _nss_jump_setpwent(_stay_open: c_int) -> c_int {
    CURSOR.rewind();
    Status::Success as c_int
}

/// `endpwent(3)`.
#[unsafe(no_mangle)]
pub extern "C" fn _nss_jump_endpwent() -> c_int {
    CURSOR.rewind();
    Status::Success as c_int
}

/// `getpwent_r(3)`: the next user, by uid.
///
/// # Safety
///
/// As [`_nss_jump_getpwnam_r`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _nss_jump_getpwent_r(
    result: *mut passwd,
    buffer: *mut c_char,
    buflen: size_t,
    errnop: *mut c_int,
) -> c_int {
    let entry = || {
        let from = CURSOR.next()?;
        let given = index::ask(|view| {
            let user = view.next_user(from)?;
            // SAFETY: by contract.
            unsafe { reply(&user, result, buffer, buflen) }?;
            Ok(user.uid)
        })?;
        CURSOR.passed(given);
        Ok(())
    };
    // SAFETY: by contract.
    unsafe { guarded(errnop, entry) }
}
