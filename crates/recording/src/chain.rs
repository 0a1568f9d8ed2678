//! The chain: SHA-256 (FIPS 180-4) over the hash before and the frame's own bytes.

use sha2::{Digest, Sha256};
use std::fmt;

/// A link of the chain; 32 bytes, shown as lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The first link: of the file's magic and header.
    pub(crate) fn first(preamble: &[u8]) -> Self {
        Self(Sha256::digest(preamble).into())
    }

    /// The link after this one.
    pub(crate) fn then(self, body: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update(body);
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}
