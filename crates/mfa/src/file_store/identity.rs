//! The host's own file: who it is, and whether everything on it is sealed.

use super::files::{Dir, Others};
use crate::host_id::HostId;
use crate::record::RecordError;
use crate::store::StoreError;
use serde::{Deserialize, Serialize};
use std::path::Path;

const VERSION: u32 = 1;
const NAME: &str = "identity";
const FRESH: &str = "identity.new";
const LOCK: &str = "identity.lock";
const MAX_BYTES: usize = 512;

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    version: u32,
    /// Random, made with the file.
    pub(super) host: HostId,
    /// Nothing that is not sealed is read any more.
    pub(super) sealed: bool,
}

impl Identity {
    /// Reads the file in the state's directory, or makes it.
    pub(super) fn of(state: &Path) -> Result<Self, StoreError> {
        let dir = Dir::open(state, Others::MayRead)?;
        if let Some(identity) = Self::read(&dir)? {
            return Ok(identity);
        }
        let _held = dir.lock(LOCK)?;
        if let Some(identity) = Self::read(&dir)? {
            return Ok(identity);
        }
        let identity = Self {
            version: VERSION,
            host: HostId::random()?,
            sealed: false,
        };
        identity.write(&dir)?;
        Ok(identity)
    }

    /// Writes `changed` of what the file says now.
    pub(super) fn change(
        state: &Path,
        changed: impl FnOnce(&mut Self),
    ) -> Result<Self, StoreError> {
        let dir = Dir::open(state, Others::MayRead)?;
        let _held = dir.lock(LOCK)?;
        let before = Self::read(&dir)?;
        let mut identity = before.ok_or_else(|| StoreError::Untrusted {
            path: dir.path_of(NAME),
            problem: "is gone".to_owned(),
        })?;
        changed(&mut identity);
        if before != Some(identity) {
            identity.write(&dir)?;
        }
        Ok(identity)
    }

    fn read(dir: &Dir) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = dir.read(NAME, MAX_BYTES)? else {
            return Ok(None);
        };
        let identity: Self =
            serde_json::from_slice(&bytes).map_err(|e| dir.bad(NAME, RecordError::Malformed(e)))?;
        if identity.version != VERSION {
            let other = RecordError::Damaged("it is of another release (version)");
            return Err(dir.bad(NAME, other));
        }
        Ok(Some(identity))
    }

    fn write(&self, dir: &Dir) -> Result<(), StoreError> {
        let mut bytes =
            serde_json::to_vec(self).map_err(|e| dir.bad(NAME, RecordError::Malformed(e)))?;
        bytes.push(b'\n');
        dir.prepare(FRESH, &bytes)?;
        dir.put(FRESH, NAME)
    }
}
