//! The two ways out: an answer on standard output, a sentence on standard error.

use std::io::Write;

/// Writes an answer; false when nobody reads it any more.
pub(crate) fn answer(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_ok()
}

/// Writes one sentence to the user. A reader that is gone cannot be told so.
pub(crate) fn complain(sentence: &str) {
    let _ = std::io::stderr()
        .lock()
        .write_all(self::sentence(sentence).as_bytes());
}

/// One sentence as it is written to standard error.
pub(crate) fn sentence(sentence: &str) -> String {
    format!("jump-shell: {sentence}\n")
}
