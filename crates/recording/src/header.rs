//! The header: asciicast v3's, with the session's facts in an object of their own.
//!
//! It is never encrypted: who went where and when is in the journal anyway,
//! and recordings are listed by it.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// First bytes of every recording; the digit is the version of the framing.
pub(crate) const MAGIC: &[u8; 8] = b"JUMPREC1";
/// The longest header, in bytes of JSON.
pub const MAX_HEADER: usize = 64 * 1024;

/// The terminal as it was when the hop began (asciicast v3, `term`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
    /// `TERM`, where it is known.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// Whose session it was, and what let it happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The recording's own name.
    pub recording: String,
    /// The SSH connection.
    pub session: String,
    /// The user.
    pub user: String,
    /// The user's number.
    pub uid: u32,
    /// Where the user came from.
    pub source: IpAddr,
    /// Fingerprint of the login key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The target as it was asked for.
    pub target: String,
    /// The target as it was connected to.
    pub address: SocketAddr,
    /// The login name at the target; absent in recordings of releases that did not write it here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The rule that allowed it.
    pub rule: String,
    /// The policy's hash.
    pub policy: String,
    /// Version of the jump server that wrote this.
    pub version: String,
    /// The age recipients that it is encrypted to; none: it is not. [`crate::Writer::begin`] fills it in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed_to: Vec<String>,
}

/// What a recording is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// asciicast version: 3.
    pub version: u8,
    /// The terminal.
    pub term: Terminal,
    /// When the hop began, in seconds since the Unix epoch.
    pub timestamp: i64,
    /// The jump server's own facts.
    #[serde(rename = "jump")]
    pub facts: Facts,
}

impl Facts {
    /// As whom it was where, as one types it: `admin@db1`.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.login {
            Some(login) => format!("{login}@{}", self.target),
            None => self.target.clone(),
        }
    }
}

impl Header {
    /// Whether a key is needed to read the frames.
    #[must_use]
    pub fn sealed(&self) -> bool {
        !self.facts.sealed_to.is_empty()
    }

    /// Magic, length (32 bits) and JSON: what the chain begins with.
    pub(crate) fn preamble(&self) -> Result<Vec<u8>, serde_json::Error> {
        let json = serde_json::to_vec(self)?;
        let mut preamble = MAGIC.to_vec();
        preamble.extend_from_slice(&crate::wire::length(json.len()));
        preamble.extend_from_slice(&json);
        Ok(preamble)
    }
}
