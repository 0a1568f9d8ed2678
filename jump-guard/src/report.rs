//! The guard's own words, for the journal of its unit; events are jumpd's.

use std::fmt::Display;
use std::io::Write;

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
