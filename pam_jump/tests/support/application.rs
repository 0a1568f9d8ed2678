//! A PAM application, as sshd is one: it starts a login, carries the
//! conversation, and calls the hooks of a service one by one.

#![allow(
    dead_code,
    reason = "shared by programs each of which uses a part of it"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

/// `PAM_SUCCESS` (`_pam_types.h`), as the numbers below.
pub(crate) const SUCCESS: c_int = 0;
/// The conversation cannot take place.
pub(crate) const CONV_ERR: c_int = 19;
/// The module has nothing to say.
pub(crate) const IGNORE: c_int = 25;

const ITEM_USER: c_int = 2;
const ITEM_RHOST: c_int = 4;

/// What a module shows: a prompt whose answer is not echoed, or is, an error, a line of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Hidden,
    Shown,
    Error,
    Text,
}

impl Style {
    fn of(style: c_int) -> Option<Self> {
        Some(match style {
            1 => Self::Hidden,
            2 => Self::Shown,
            3 => Self::Error,
            4 => Self::Text,
            _ => return None,
        })
    }

    /// Whether it waits for an answer.
    pub(crate) fn asks(self) -> bool {
        matches!(self, Self::Hidden | Self::Shown)
    }
}

/// The hooks in the order in which sshd calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Authenticate,
    Account,
    Establish,
    Open,
    Close,
    Delete,
}

impl Phase {
    pub(crate) const ALL: [Self; 6] = [
        Self::Authenticate,
        Self::Account,
        Self::Establish,
        Self::Open,
        Self::Close,
        Self::Delete,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Account => "account",
            Self::Establish => "establish",
            Self::Open => "open",
            Self::Close => "close",
            Self::Delete => "delete",
        }
    }

    pub(crate) fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.word() == word)
    }
}

/// Answers a message; `None` ends the conversation with `PAM_CONV_ERR`.
pub(crate) type Answer = Box<dyn FnMut(Style, &str) -> Option<String>>;

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

#[repr(C)]
struct Conversation {
    talk: extern "C" fn(c_int, *mut *const Message, *mut *mut Response, *mut c_void) -> c_int,
    answer: *mut c_void,
}

#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

#[link(name = "pam")]
unsafe extern "C" {
    fn pam_start(
        service: *const c_char,
        user: *const c_char,
        conversation: *const Conversation,
        handle: *mut *mut Handle,
    ) -> c_int;
    fn pam_end(handle: *mut Handle, status: c_int) -> c_int;
    fn pam_putenv(handle: *mut Handle, setting: *const c_char) -> c_int;
    fn pam_getenvlist(handle: *mut Handle) -> *mut *mut c_char;
    fn pam_set_item(handle: *mut Handle, item: c_int, value: *const c_void) -> c_int;
    fn pam_get_item(handle: *const Handle, item: c_int, value: *mut *const c_void) -> c_int;
    fn pam_authenticate(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_acct_mgmt(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_setcred(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_open_session(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_close_session(handle: *mut Handle, flags: c_int) -> c_int;
}

/// Carries messages to the [`Answer`] behind `answer` and its words back.
extern "C" fn talk(
    count: c_int,
    messages: *mut *const Message,
    responses: *mut *mut Response,
    answer: *mut c_void,
) -> c_int {
    let Ok(count) = usize::try_from(count) else {
        return CONV_ERR;
    };
    // SAFETY: `Login::start` put a pointer to an `Answer` there, which lives as long as the handle.
    let answer = unsafe { &mut *answer.cast::<Answer>() };
    // SAFETY: calloc has no preconditions; libpam frees with free(3) what it is given.
    let given = unsafe { libc::calloc(count, size_of::<Response>()) }.cast::<Response>();
    if given.is_null() {
        return CONV_ERR;
    }
    // SAFETY: libpam passes `count` pointers (pam_conv(3)).
    let messages = unsafe { std::slice::from_raw_parts(messages, count) };
    // SAFETY: as many, from calloc above.
    let room = unsafe { std::slice::from_raw_parts_mut(given, count) };
    for (message, response) in messages.iter().zip(room) {
        // SAFETY: each to a message.
        let message = unsafe { &**message };
        // SAFETY: the text is NUL-terminated.
        let text = unsafe { CStr::from_ptr(message.text) }.to_string_lossy();
        let said = Style::of(message.style).and_then(|style| answer(style, &text));
        let Some(said) = said.and_then(|said| CString::new(said).ok()) else {
            // SAFETY: from calloc above; texts of earlier messages are lost, which ends with the process.
            unsafe { libc::free(given.cast()) };
            return CONV_ERR;
        };
        // SAFETY: a NUL-terminated text, copied.
        response.text = unsafe { libc::strdup(said.as_ptr()) };
    }
    // SAFETY: where libpam wants them.
    unsafe { *responses = given };
    SUCCESS
}

/// A login in progress.
pub(crate) struct Login {
    handle: *mut Handle,
    /// Boxed twice: libpam keeps a thin pointer to the inner box.
    answer: *mut Answer,
}

impl Login {
    /// Begins one (pam_start(3)).
    ///
    /// # Errors
    /// PAM's code.
    pub(crate) fn start(service: &str, user: &str, answer: Answer) -> Result<Self, c_int> {
        let (Ok(service), Ok(user)) = (CString::new(service), CString::new(user)) else {
            return Err(CONV_ERR);
        };
        let mut login = Self {
            handle: ptr::null_mut(),
            answer: Box::into_raw(Box::new(answer)),
        };
        let conversation = Conversation {
            talk,
            answer: login.answer.cast(),
        };
        // SAFETY: libpam copies texts and conversation; `answer` lives as long as the handle.
        let code = unsafe {
            pam_start(
                service.as_ptr(),
                user.as_ptr(),
                &raw const conversation,
                &raw mut login.handle,
            )
        };
        if code == SUCCESS {
            Ok(login)
        } else {
            Err(code)
        }
    }

    /// `NAME=VALUE` into the PAM environment; PAM's code.
    pub(crate) fn putenv(&mut self, setting: &str) -> c_int {
        let Ok(setting) = CString::new(setting) else {
            return CONV_ERR;
        };
        // SAFETY: the handle is live; libpam copies the text.
        unsafe { pam_putenv(self.handle, setting.as_ptr()) }
    }

    /// The PAM environment.
    pub(crate) fn environment(&mut self) -> Vec<String> {
        // SAFETY: the handle is live.
        let list = unsafe { pam_getenvlist(self.handle) };
        let mut settings = Vec::new();
        if list.is_null() {
            return settings;
        }
        for at in 0.. {
            // SAFETY: the list ends with a null pointer, at which this ends.
            let place = unsafe { list.add(at) };
            // SAFETY: a place of the list.
            let setting = unsafe { *place };
            if setting.is_null() {
                break;
            }
            // SAFETY: a NUL-terminated text.
            let text = unsafe { CStr::from_ptr(setting) };
            settings.push(text.to_string_lossy().into_owned());
            // SAFETY: pam_getenvlist(3) leaves it to the caller to free each text.
            unsafe { libc::free(setting.cast()) };
        }
        // SAFETY: and the list.
        unsafe { libc::free(list.cast()) };
        settings
    }

    /// Sets `PAM_RHOST`, which is a host name where sshd has `UseDNS yes`; PAM's code.
    pub(crate) fn set_host(&mut self, name: &str) -> c_int {
        let Ok(name) = CString::new(name) else {
            return CONV_ERR;
        };
        // SAFETY: the handle is live; libpam copies the text.
        unsafe { pam_set_item(self.handle, ITEM_RHOST, name.as_ptr().cast()) }
    }

    /// `PAM_USER`.
    pub(crate) fn user(&self) -> Option<String> {
        let mut user = ptr::null();
        // SAFETY: the handle is live.
        let code = unsafe { pam_get_item(self.handle, ITEM_USER, &raw mut user) };
        if code != SUCCESS || user.is_null() {
            return None;
        }
        // SAFETY: PAM_USER is a NUL-terminated text of libpam's.
        let user = unsafe { CStr::from_ptr(user.cast()) };
        Some(user.to_string_lossy().into_owned())
    }

    /// Calls a hook with the flags that sshd gives it; PAM's code.
    pub(crate) fn call(&mut self, phase: Phase) -> c_int {
        const DISALLOW_NULL_AUTHTOK: c_int = 1;
        const ESTABLISH_CRED: c_int = 2;
        const DELETE_CRED: c_int = 4;
        const SILENT: c_int = 0x8000;
        type Hook = unsafe extern "C" fn(*mut Handle, c_int) -> c_int;
        let (hook, flags): (Hook, c_int) = match phase {
            Phase::Authenticate => (pam_authenticate, DISALLOW_NULL_AUTHTOK),
            Phase::Account => (pam_acct_mgmt, 0),
            Phase::Establish => (pam_setcred, ESTABLISH_CRED),
            Phase::Open => (pam_open_session, 0),
            Phase::Close => (pam_close_session, SILENT),
            Phase::Delete => (pam_setcred, DELETE_CRED),
        };
        // SAFETY: the handle is live.
        unsafe { hook(self.handle, flags) }
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: ends the handle, once.
            unsafe { pam_end(self.handle, SUCCESS) };
        }
        // SAFETY: made by `start`; with the handle gone nobody else has it.
        drop(unsafe { Box::from_raw(self.answer) });
    }
}
