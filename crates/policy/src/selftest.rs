//! The `[[tests]]` of a policy: questions with the answer the author expects.

use std::fmt;

/// A red entry of `[[tests]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestFailure {
    /// Line of the entry, from 1.
    pub line: usize,
    pub(crate) rendered: String,
}

impl fmt::Display for TestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered)
    }
}
