//! Retention: what the policy keeps no longer is deleted, the oldest first.
//!
//! A deletion is in the journal before the file is gone. A recording that is
//! being written, or that a stopped recorder means to go on with, stays.

use super::leftovers::event_by_header;
use super::lock;
use super::shelf::Kept;
use super::tape::header;
use crate::state::{Jumpd, refused};
use jiff::Timestamp;
use jump_audit::Kind;
use jump_policy::{Keep, RecordingSettings};
use jump_proto::{HopId, Reason, Reply};

/// Recordings that one request deletes: their names fit into the answer, and it comes in time.
const AT_ONCE: usize = 1000;

/// Why a recording goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It is older than `keep`.
    Age,
    /// All are more than `keep_size`.
    Size,
}

impl Jumpd {
    /// Deletes what is kept no longer, or says what would be.
    pub(crate) fn prune_recordings(&self, dry_run: bool) -> Reply {
        let _one_at_a_time = lock(&self.recorder.pruning);
        let mut all = match self.recorder.shelf.all() {
            Ok(all) => all,
            Err(e) => {
                return refused(
                    Reason::Internal,
                    format!("the recordings cannot be listed: {e}"),
                );
            }
        };
        let total: u64 = all.iter().map(|kept| kept.bytes).sum();
        all.retain(|kept| !kept.bookmarked && !self.recorder.hands.have(&kept.place.hop));
        let now = self.now();
        let mut old = too_old(all, total, &self.recording_settings(), now);
        let more = old.len() > AT_ONCE;
        old.truncate(AT_ONCE);
        let mut gone: Vec<HopId> = Vec::new();
        let mut bytes = 0;
        for (kept, why) in old {
            if !dry_run && let Err((reason, why)) = self.delete_recording(&kept, why) {
                return refused(reason, why);
            }
            bytes += kept.bytes;
            gone.push(kept.place.hop);
        }
        if !dry_run {
            self.recorder.shelf.tidy(now);
        }
        Reply::Pruned {
            recordings: gone,
            bytes,
            more,
        }
    }

    fn delete_recording(&self, kept: &Kept, why: Why) -> Result<(), (Reason, String)> {
        let header = header(&kept.place).ok();
        let rule = match why {
            Why::Age => "it is older than `keep`",
            Why::Size => "all are more than `keep_size`, and it is the oldest",
        };
        let ended =
            Timestamp::from_second(kept.ended).map_or_else(|_| "?".into(), |t| t.to_string());
        let event = event_by_header(Kind::RecordingDeleted, &kept.place, header.as_ref())
            .reason(Reason::Retention)
            .text("size", kept.bytes)
            .detail(&format!("{rule}; it ended {ended}"));
        if !self.announce(event) {
            return Err((
                Reason::AuditFailed,
                "the deletion cannot be written to the journal, so nothing more was deleted".into(),
            ));
        }
        kept.place.delete().map_err(|e| {
            let hop = &kept.place.hop;
            (
                Reason::Internal,
                format!("recording {hop} cannot be deleted: {e}"),
            )
        })
    }
}

/// What goes of `closed`, the oldest first, where all recordings have `total` bytes.
pub(super) fn too_old(
    mut closed: Vec<Kept>,
    mut total: u64,
    settings: &RecordingSettings,
    now: Timestamp,
) -> Vec<(Kept, Why)> {
    closed.sort_by(|a, b| (a.ended, &a.place.hop).cmp(&(b.ended, &b.place.hop)));
    let oldest = match settings.keep {
        Some(Keep::For(keep)) => {
            let keep = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
            Some(now.as_second().saturating_sub(keep))
        }
        Some(Keep::Forever) | None => None,
    };
    let most = settings.keep_size.unwrap_or(u64::MAX);
    let mut old = Vec::new();
    for kept in closed {
        let why = if oldest.is_some_and(|oldest| kept.ended < oldest) {
            Why::Age
        } else if total > most {
            Why::Size
        } else {
            // Whatever follows is younger, and there is room for it.
            break;
        };
        total = total.saturating_sub(kept.bytes);
        old.push((kept, why));
    }
    old
}
