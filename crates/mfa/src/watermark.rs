//! How far a user's record has come, kept apart from the record.
//!
//! A record alone cannot tell that it is an old copy. So each write gives it
//! the next serial number, and the number of the last write is kept in a file
//! of its own, elsewhere. The record is put in place first and its number
//! follows, before the verdict is told: a crash between the two leaves a
//! record that is one ahead, which is sound, because what it changed was told
//! nobody. Anything else than equal or one ahead is a copy of another time.
//!
//! Where a record goes for good (`mfa reset`), its number is raised first: a
//! crash then leaves a record that is refused, and another reset removes it.

use crate::record::RecordError;
use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;
/// A watermark is a line.
pub(crate) const MAX_BYTES: usize = 512;

/// Added where a watermark cannot be read any more: beyond every number that was ever given.
const BEYOND: u64 = 1 << 32;

/// The number of the last write of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Watermark {
    version: u32,
    uid: u32,
    /// Serial number of the last write.
    pub(crate) serial: u64,
    /// Where the last accepted step begins, in seconds since the Unix epoch, if the authenticator has accepted one.
    pub(crate) accepted_s: Option<u64>,
}

impl Watermark {
    pub(crate) fn new(uid: u32, serial: u64, accepted_s: Option<u64>) -> Self {
        Self {
            version: VERSION,
            uid,
            serial,
            accepted_s,
        }
    }

    pub(crate) fn parse(bytes: &[u8], uid: u32) -> Result<Self, RecordError> {
        let mark: Self = serde_json::from_slice(bytes)?;
        if mark.version != VERSION || mark.uid != uid {
            return Err(RecordError::Damaged("it is not this user's watermark"));
        }
        Ok(mark)
    }

    pub(crate) fn to_bytes(self) -> Result<Vec<u8>, RecordError> {
        let mut bytes = serde_json::to_vec(&self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Whether a record of this serial number, with this last accepted step, is the one that was written last.
    pub(crate) fn admits(
        this: Option<Self>,
        serial: u64,
        accepted_s: Option<u64>,
    ) -> Result<(), RecordError> {
        let last = this.map_or(0, |mark| mark.serial);
        let same = this.is_none_or(|mark| mark.accepted_s == accepted_s);
        if serial < last || (serial == last && !same) {
            Err(RecordError::Restored { serial, last })
        } else if serial > last.saturating_add(1) {
            Err(RecordError::Ahead { serial, last })
        } else {
            Ok(())
        }
    }
}

/// The number that no copy of a record has: after both, or beyond all where one cannot be read.
pub(crate) fn after(mark: Option<u64>, record: Option<u64>) -> u64 {
    let base = if mark.is_none() { BEYOND } else { 0 };
    let known = mark.unwrap_or(0).max(record.unwrap_or(0));
    known.saturating_add(base).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_write_and_one_that_a_crash_left_ahead_are_admitted() {
        let mark = Some(Watermark::new(1, 7, Some(30)));
        assert!(Watermark::admits(mark, 7, Some(30)).is_ok());
        assert!(Watermark::admits(mark, 8, Some(60)).is_ok());
        assert!(Watermark::admits(mark, 8, None).is_ok());
        for (serial, accepted_s) in [(0, None), (6, Some(30)), (7, Some(0)), (7, None)] {
            let answer = Watermark::admits(mark, serial, accepted_s);
            assert!(matches!(answer, Err(RecordError::Restored { .. })));
        }
        let answer = Watermark::admits(mark, 9, Some(60));
        assert!(matches!(answer, Err(RecordError::Ahead { .. })));
        assert!(Watermark::admits(None, 0, Some(30)).is_ok());
        assert!(Watermark::admits(None, 1, Some(30)).is_ok());
        assert!(Watermark::admits(None, 2, None).is_err());
    }

    #[test]
    fn the_next_number_is_one_that_no_copy_has() {
        assert_eq!(after(Some(7), Some(8)), 9);
        assert_eq!(after(Some(7), None), 8);
        assert!(after(None, Some(8)) > 1 << 32);
    }
}
