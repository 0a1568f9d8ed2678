//! The guard's own words, for the journal of its unit; events are jumpd's.

use std::fmt::Display;
use std::io::Write;

/// Makes stderr lose lines rather than wait: journald may be stopped, and a session must not hang on that.
pub(crate) fn never_wait() {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let stderr = std::io::stderr();
    if let Ok(flags) = fcntl(&stderr, FcntlArg::F_GETFL) {
        let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
        // Where it cannot be set, lines may wait as they did.
        let _set = fcntl(&stderr, FcntlArg::F_SETFL(flags));
    }
}

/// Writes one line to stderr. Control characters are escaped: part of it may
/// come from a session.
pub(crate) fn complain(line: impl Display) {
    let mut text: String = line
        .to_string()
        .chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect();
    text.push('\n');
    // With stderr gone there is nobody left to tell.
    let _nobody_listens = std::io::stderr().lock().write_all(text.as_bytes());
}
