//! The header: asciicast v3's, with the session's facts in an object of their own.

use serde::{Deserialize, Serialize};

/// First bytes of every recording; the digit is the version of the framing.
pub(crate) const MAGIC: &[u8; 8] = b"JUMPREC1";

/// The terminal as it was when the hop began (asciicast v3, `term`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
    /// `TERM`, where it is known.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
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
    /// The jump server's own facts: session, user, target, rule, policy, recording id.
    #[serde(default)]
    pub jump: std::collections::BTreeMap<String, String>,
}

impl Header {
    /// Magic, length (32 bits, little-endian) and JSON: what the chain begins with.
    pub(crate) fn preamble(&self) -> Result<Vec<u8>, serde_json::Error> {
        let json = serde_json::to_vec(self)?;
        let mut preamble = MAGIC.to_vec();
        let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
        preamble.extend_from_slice(&length.to_le_bytes());
        preamble.extend_from_slice(&json);
        Ok(preamble)
    }
}
