//! A test build only: each layer can be left out, so that the lab sees what the others do alone, and each hook can panic.
//!
//! The packages are built without this, and a test looks that they are.

use jump_sys::files::secure_open;
use jump_sys::seccomp::{self, InstallError, SessionFilter};
use std::io::{self, Read as _};
use std::path::Path;

/// Words of root's that name the layers to leave out, `no-seccomp`, `no-landlock`, or a hook that is to panic, `panic-account`.
const WORDS: &str = "/etc/jump/weaken";

fn says(word: &str) -> bool {
    let mut text = String::new();
    let read = secure_open(Path::new(WORDS), 0).and_then(|mut file| file.read_to_string(&mut text));
    read.is_ok() && text.split_whitespace().any(|said| said == word)
}

/// Landlock, unless it is to be left out.
pub(crate) fn restrict_session() -> io::Result<u32> {
    if says("no-landlock") {
        return Ok(0);
    }
    jump_sys::landlock::restrict_session()
}

/// The session filter, or one that refuses nothing: the guard needs a listener.
pub(crate) fn install_session_filter() -> Result<SessionFilter, InstallError> {
    if says("no-seccomp") {
        return seccomp::install_open_filter();
    }
    seccomp::install_session_filter()
}

/// Panics if the hook of this name is to.
#[expect(
    clippy::panic,
    reason = "what becomes of a panic is what the lab looks at"
)]
pub(crate) fn panic_where_told(hook: &str) {
    if says(&format!("panic-{hook}")) {
        panic!("as /etc/jump/weaken says");
    }
}
