//! The few PAM calls that `pam-bindings` does not offer, each made safe here.

use ::pam::constants::{PAM_ERROR_MSG, PAM_TEXT_INFO};
use ::pam::conv::Conv;
use ::pam::module::PamHandle;
use std::ffi::{CStr, CString, c_char, c_int, c_void};

#[link(name = "pam")]
unsafe extern "C" {
    fn pam_getenv(pamh: *mut PamHandle, name: *const c_char) -> *const c_char;
    fn pam_putenv(pamh: *mut PamHandle, name_value: *const c_char) -> c_int;
    fn pam_set_data(
        pamh: *mut PamHandle,
        name: *const c_char,
        data: *mut c_void,
        cleanup: Option<unsafe extern "C" fn(*mut PamHandle, *mut c_void, c_int)>,
    ) -> c_int;
    fn pam_syslog(pamh: *const PamHandle, priority: c_int, format: *const c_char, ...);
}

/// The PAM environment variable that carries the mark of a second factor, and then names the session.
pub(crate) const MARK: &str = "JUMP_SESSION";

/// Priorities of what the module itself has to say in sshd's log (syslog(3)).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Priority {
    /// Something is broken; access was denied for it.
    Error,
}

/// A variable of the PAM environment (pam_getenv(3)).
pub(crate) fn getenv(pamh: &mut PamHandle, name: &str) -> Option<String> {
    let name = CString::new(name).ok()?;
    // SAFETY: the handle is the one PAM gave this hook; the name is NUL-terminated.
    let value = unsafe { pam_getenv(pamh, name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: pam_getenv returns a NUL-terminated string that lives until the next change of the environment.
    let value = unsafe { CStr::from_ptr(value) };
    value.to_str().ok().map(str::to_owned)
}

/// Sets a variable of the PAM environment, or removes it (pam_putenv(3)); false when PAM refuses.
pub(crate) fn putenv(pamh: &mut PamHandle, name: &str, value: Option<&str>) -> bool {
    let text = match value {
        Some(value) => format!("{name}={value}"),
        None => name.to_owned(),
    };
    let Ok(text) = CString::new(text) else {
        return false;
    };
    // SAFETY: the handle is the one PAM gave this hook; PAM copies the NUL-terminated text.
    unsafe { pam_putenv(pamh, text.as_ptr()) == 0 }
}

/// Leaves a text for another module of the same login (pam_set_data(3)); false when PAM refuses.
pub(crate) fn set_text(pamh: &mut PamHandle, name: &CStr, text: CString) -> bool {
    unsafe extern "C" fn forget(_: *mut PamHandle, text: *mut c_void, _: c_int) {
        // SAFETY: PAM gives back, once, the pointer that `set_text` gave it.
        drop(unsafe { CString::from_raw(text.cast()) });
    }
    let text = text.into_raw();
    // SAFETY: the handle is the one PAM gave this hook; PAM copies the name and owns the text from here on.
    let set = unsafe { pam_set_data(pamh, name.as_ptr(), text.cast(), Some(forget)) == 0 };
    if !set {
        // SAFETY: PAM did not take it, so it is still this function's.
        drop(unsafe { CString::from_raw(text) });
    }
    set
}

/// One line in sshd's log. pam_syslog(3) leaves sshd's openlog settings alone.
pub(crate) fn log(pamh: &PamHandle, priority: Priority, text: &str) {
    let Priority::Error = priority;
    // The text may quote a user name: no byte that could forge a second record.
    let line: String = text
        .chars()
        .map(|c| {
            if c.is_ascii() && !c.is_ascii_control() {
                c
            } else {
                '?'
            }
        })
        .collect();
    if let Ok(line) = CString::new(line) {
        // SAFETY: "%s" takes exactly one NUL-terminated string, which lives past the call.
        unsafe { pam_syslog(pamh, libc::LOG_ERR, c"%s".as_ptr(), line.as_ptr()) };
    }
}

/// Tells the user one sentence; a conversation that cannot is no reason to change the answer.
pub(crate) fn tell(pamh: &PamHandle, text: &str) {
    say(pamh, PAM_TEXT_INFO, text);
}

/// Tells the user why not.
pub(crate) fn tell_error(pamh: &PamHandle, text: &str) {
    say(pamh, PAM_ERROR_MSG, text);
}

fn say(pamh: &PamHandle, style: c_int, text: &str) {
    if let Ok(Some(conv)) = pamh.get_item::<Conv<'_>>() {
        // The messages are for people; what they answer is not asked for.
        let _told = conv.send(style, text);
    }
}
