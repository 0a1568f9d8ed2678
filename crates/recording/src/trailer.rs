//! The trailer: what a recording that was closed in good order says of itself.

use crate::frame::Kind;
use serde::{Deserialize, Serialize};

/// The longest trailer, in bytes.
pub const MAX_TRAILER: usize = 4096;

/// Counts of a whole recording; readable without a key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trailer {
    /// Frames, the trailer not counted.
    pub frames: u64,
    /// Segments.
    pub segments: u64,
    /// How long it is, in microseconds.
    pub micros: u64,
    /// Bytes sent to the screen.
    pub output: u64,
    /// Bytes typed.
    pub input: u64,
    /// Frames that say that something was not recorded.
    pub gaps: u64,
    /// Exit status of the hop, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
}

impl Trailer {
    /// Counts one more frame.
    pub(crate) fn count(&mut self, micros: u64, kind: Kind, data: &[u8]) {
        let bytes = data.len() as u64;
        self.frames += 1;
        self.micros = self.micros.max(micros);
        match kind {
            Kind::Output => self.output += bytes,
            Kind::Input => self.input += bytes,
            Kind::Gap => self.gaps += 1,
            Kind::Exit => {
                self.exit = std::str::from_utf8(data).ok().and_then(|t| t.parse().ok());
            }
            Kind::Resize | Kind::Marker | Kind::Keepalive => {}
        }
    }

    /// JSON and its length (32 bits), so that it can be found from the end.
    pub(crate) fn payload(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut payload = serde_json::to_vec(self)?;
        payload.extend_from_slice(&crate::wire::length(payload.len()));
        Ok(payload)
    }

    pub(crate) fn from_payload(payload: &[u8]) -> Option<Self> {
        let (json, length) = payload.split_last_chunk()?;
        if usize::try_from(u32::from_le_bytes(*length)).ok()? != json.len() {
            return None;
        }
        serde_json::from_slice(json).ok()
    }

    /// What the last bytes of a file say, for a list: nothing of it is
    /// verified. `tail` is the file's last [`MAX_TRAILER`] bytes or more.
    #[must_use]
    pub fn at_end(tail: &[u8]) -> Option<Self> {
        let (rest, _hash) = tail.split_last_chunk::<32>()?;
        let (rest, length) = rest.split_last_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (head, json) = rest.split_at_checked(rest.len().checked_sub(length)?)?;
        let (_, head) = head.split_last_chunk::<{ crate::block::HEAD }>()?;
        (head.first() == Some(&crate::block::TRAILER))
            .then(|| serde_json::from_slice(json).ok())
            .flatten()
    }
}
