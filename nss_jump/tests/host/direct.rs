//! The library's entry points without glibc in between, and glibc's
//! enumeration, which no safe crate offers.

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_void};
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use libc::{gid_t, group, passwd, size_t};

pub(crate) const TRYAGAIN: c_int = -2;
pub(crate) const UNAVAIL: c_int = -1;
pub(crate) const NOTFOUND: c_int = 0;
pub(crate) const SUCCESS: c_int = 1;

type ByName<T> =
    unsafe extern "C" fn(*const c_char, *mut T, *mut c_char, size_t, *mut c_int) -> c_int;
type Next<T> = unsafe extern "C" fn(*mut T, *mut c_char, size_t, *mut c_int) -> c_int;
type Rewind = unsafe extern "C" fn(c_int) -> c_int;
type Initgroups = unsafe extern "C" fn(
    *const c_char,
    gid_t,
    *mut c_long,
    *mut c_long,
    *mut *mut gid_t,
    c_long,
    *mut c_int,
) -> c_int;

fn symbol(name: &str) -> *mut c_void {
    // SAFETY: a NUL-terminated name; loading runs no code of the library.
    let library = unsafe { libc::dlopen(c"libnss_jump.so.2".as_ptr(), libc::RTLD_NOW) };
    assert!(!library.is_null(), "the library loads");
    let name = CString::new(format!("_nss_jump_{name}")).unwrap();
    // SAFETY: the handle is valid, the name NUL-terminated.
    let symbol = unsafe { libc::dlsym(library, name.as_ptr()) };
    assert!(!symbol.is_null(), "{name:?}");
    symbol
}

/// Status, errno, and the entry as passwd(5) or group(5) would have it.
pub(crate) type Answer = (c_int, c_int, String);

fn text(pointer: *const c_char) -> String {
    // SAFETY: the library answered SUCCESS, so this is a string in the buffer.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().unwrap().to_owned()
}

fn passwd_line(entry: &passwd) -> String {
    let fields = [entry.pw_name, entry.pw_passwd].map(|field| text(field.cast_const()));
    let rest = [entry.pw_gecos, entry.pw_dir, entry.pw_shell].map(|field| text(field.cast_const()));
    let ids = format!("{}:{}", entry.pw_uid, entry.pw_gid);
    format!("{}:{ids}:{}", fields.join(":"), rest.join(":"))
}

fn group_line(entry: &group) -> String {
    let mut members = Vec::new();
    let mut member = entry.gr_mem;
    assert!(member.is_aligned(), "members are aligned");
    loop {
        // SAFETY: the array of members ends with a null pointer.
        let name = unsafe { *member };
        if name.is_null() {
            break;
        }
        members.push(text(name));
        // SAFETY: not beyond the null pointer that ends the array.
        member = unsafe { member.add(1) };
    }
    let (name, password) = (text(entry.gr_name), text(entry.gr_passwd));
    format!("{name}:{password}:{}:{}", entry.gr_gid, members.join(","))
}

fn answer<T>(
    buffer: &mut [u8],
    line: fn(&T) -> String,
    call: impl FnOnce(*mut T, *mut c_char, size_t, *mut c_int) -> c_int,
) -> Answer {
    let mut entry = MaybeUninit::<T>::uninit();
    let mut errno = 0;
    let place = buffer.as_mut_ptr().cast();
    let status = call(entry.as_mut_ptr(), place, buffer.len(), &raw mut errno);
    if status != SUCCESS {
        return (status, errno, String::new());
    }
    // SAFETY: the library answered SUCCESS, so it has filled the entry.
    (status, errno, line(unsafe { entry.assume_init_ref() }))
}

pub(crate) fn getpwnam(name: &str, buffer: &mut [u8]) -> Answer {
    // SAFETY: the entry point has this type.
    let function: ByName<passwd> = unsafe { std::mem::transmute(symbol("getpwnam_r")) };
    let name = CString::new(name).unwrap();
    answer(buffer, passwd_line, |entry, buffer, length, errno| {
        // SAFETY: called as glibc calls it.
        unsafe { function(name.as_ptr(), entry, buffer, length, errno) }
    })
}

/// The status alone, with the entry point looked up once: for measuring.
pub(crate) fn getpwnam_status(name: &str) -> c_int {
    static ENTRY: OnceLock<ByName<passwd>> = OnceLock::new();
    // SAFETY: the entry point has this type.
    let function = ENTRY.get_or_init(|| unsafe { std::mem::transmute(symbol("getpwnam_r")) });
    let name = CString::new(name).unwrap();
    let mut buffer = [0u8; 512];
    let call = |entry, buffer, length, errno| {
        // SAFETY: called as glibc calls it.
        unsafe { function(name.as_ptr(), entry, buffer, length, errno) }
    };
    answer(&mut buffer, |_| String::new(), call).0
}

pub(crate) fn getgrnam(name: &str, buffer: &mut [u8]) -> Answer {
    // SAFETY: the entry point has this type.
    let function: ByName<group> = unsafe { std::mem::transmute(symbol("getgrnam_r")) };
    let name = CString::new(name).unwrap();
    answer(buffer, group_line, |entry, buffer, length, errno| {
        // SAFETY: called as glibc calls it.
        unsafe { function(name.as_ptr(), entry, buffer, length, errno) }
    })
}

pub(crate) fn setpwent() {
    // SAFETY: the entry point has this type.
    let function: Rewind = unsafe { std::mem::transmute(symbol("setpwent")) };
    // SAFETY: takes a number.
    assert_eq!(unsafe { function(0) }, SUCCESS);
}

pub(crate) fn getpwent(buffer: &mut [u8]) -> Answer {
    // SAFETY: the entry point has this type.
    let function: Next<passwd> = unsafe { std::mem::transmute(symbol("getpwent_r")) };
    answer(buffer, passwd_line, |entry, buffer, length, errno| {
        // SAFETY: called as glibc calls it.
        unsafe { function(entry, buffer, length, errno) }
    })
}

/// Calls initgroups_dyn with room for `room` ids, of which the first `used`
/// are taken. Answers the status and what is in the array afterwards.
pub(crate) fn initgroups(
    user: &str,
    skip: gid_t,
    used: usize,
    room: usize,
    limit: c_long,
) -> (c_int, Vec<gid_t>) {
    // SAFETY: the entry point has this type.
    let function: Initgroups = unsafe { std::mem::transmute(symbol("initgroups_dyn")) };
    let user = CString::new(user).unwrap();
    // SAFETY: a plain allocation, freed below.
    let mut array = unsafe { libc::calloc(room.max(1), size_of::<gid_t>()) }.cast::<gid_t>();
    let mut start = c_long::try_from(used).unwrap();
    let mut size = c_long::try_from(room).unwrap();
    let mut errno = 0;
    // SAFETY: called as glibc calls it.
    let status = unsafe {
        function(
            user.as_ptr(),
            skip,
            &raw mut start,
            &raw mut size,
            &raw mut array,
            limit,
            &raw mut errno,
        )
    };
    assert!(start <= size, "{start} of {size}");
    // SAFETY: the array has at least `start` ids.
    let ids =
        unsafe { std::slice::from_raw_parts(array, usize::try_from(start).unwrap()) }.to_vec();
    // SAFETY: from malloc, and not used after this.
    unsafe { libc::free(array.cast()) };
    (status, ids)
}

/// All users as `getpwent(3)` gives them; `between` sees each name first.
pub(crate) fn enumerate_users(between: impl Fn(&str)) -> Vec<String> {
    let mut names = Vec::new();
    // SAFETY: no arguments; one thread enumerates.
    unsafe { libc::setpwent() };
    loop {
        // SAFETY: as above; the answer is read before the next call.
        let entry = unsafe { libc::getpwent() };
        // SAFETY: null or an entry in glibc's buffer.
        let Some(entry) = (unsafe { entry.as_ref() }) else {
            break;
        };
        let name = text(entry.pw_name);
        between(&name);
        names.push(name);
    }
    // SAFETY: no arguments.
    unsafe { libc::endpwent() };
    names
}

/// All groups as `getgrent(3)` gives them.
pub(crate) fn enumerate_groups(between: impl Fn(&str)) -> Vec<String> {
    let mut names = Vec::new();
    // SAFETY: no arguments; one thread enumerates.
    unsafe { libc::setgrent() };
    loop {
        // SAFETY: as above; the answer is read before the next call.
        let entry = unsafe { libc::getgrent() };
        // SAFETY: null or an entry in glibc's buffer.
        let Some(entry) = (unsafe { entry.as_ref() }) else {
            break;
        };
        let name = text(entry.gr_name);
        between(&name);
        names.push(name);
    }
    // SAFETY: no arguments.
    unsafe { libc::endgrent() };
    names
}
