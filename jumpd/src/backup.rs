//! Records of second factors for `jumpctl backup`, and back from one.
//!
//! Only root's socket leads here. That all second factors were handed out is
//! written down before it is done.

use crate::mfa::reason;
use crate::state::{Jumpd, complain, refused};
use jump_audit::{Event, Kind};
use jump_mfa::{Restored, StoreError, Terms};
use jump_proto::{Channel, ChannelError, MfaImport, Reason, Reply, Secret};

/// Records per message: well below the size limit.
const PAGE: usize = 16;

impl Jumpd {
    /// Every second factor, a page per message.
    pub(crate) fn mfa_export(&self, operator: &Channel) -> Result<(), ChannelError> {
        let (records, bad) = match jump_mfa::export(&self.second_factors) {
            Ok(found) => found,
            Err(e) => return operator.send(&refused(Reason::NotPersisted, e.to_string())),
        };
        let detail = format!("a backup of {} second factors", records.len());
        let said = Event::new(Kind::PostureChanged).success().detail(&detail);
        if !self.announce(said) {
            return operator.send(&refused(
                Reason::AuditFailed,
                "the event cannot be written, so nothing is handed out; see journalctl -u jumpd",
            ));
        }
        let host = self.second_factors.host().to_string();
        let mut refused: Vec<String> = bad.iter().map(ToString::to_string).collect();
        let mut records = records.into_iter().peekable();
        loop {
            let page: Vec<Secret> = records.by_ref().take(PAGE).collect();
            let more = records.peek().is_some();
            operator.send(&Reply::MfaRecords {
                host: host.clone(),
                records: page,
                refused: std::mem::take(&mut refused),
                more,
            })?;
            if !more {
                return Ok(());
            }
        }
    }

    /// The identity of the host whose backup is restored.
    pub(crate) fn mfa_adopt(&self, host: &str) -> Reply {
        let Ok(host) = host.parse() else {
            return refused(Reason::Internal, "the backup names no host");
        };
        match self.second_factors.adopt(host) {
            Ok(taken) => Reply::Adopted { taken },
            Err(e) => refused(Reason::NotPersisted, e.to_string()),
        }
    }

    /// One record of a backup.
    pub(crate) fn mfa_import(
        &self,
        record: &Secret,
        recovery_codes: bool,
        replace: &[String],
    ) -> Reply {
        let now = self.now().as_second();
        let terms = Terms {
            recovery_codes,
            replace,
        };
        let outcome = jump_mfa::restore(&self.second_factors, record, now, terms);
        let (who, done) = match outcome {
            Ok(done) => done,
            // This host's own record is refused: that is for the operator to mend first.
            Err(e @ StoreError::Record { .. }) => {
                return Reply::Imported {
                    user: e.to_string(),
                    outcome: MfaImport::Kept,
                    why: "--replace USER puts the one of the backup in its place".to_owned(),
                };
            }
            Err(e) => {
                complain(&format!("restore: {e}"));
                return refused(reason(&e), e.to_string());
            }
        };
        let (outcome, why) = match done {
            Restored::InForce => (MfaImport::Restored, ""),
            Restored::Merged => (MfaImport::Merged, ""),
            Restored::Kept(why) => (MfaImport::Kept, why),
        };
        if outcome != MfaImport::Kept {
            let detail = if replace.contains(&who.user) {
                "restored from a backup in place of what was here; codes of before are used up"
            } else {
                "restored from a backup; codes of before are used up"
            };
            self.note(
                Event::new(Kind::MfaEnrolled)
                    .success()
                    .user(&who.user)
                    .uid(who.uid)
                    .detail(detail),
            );
        }
        Reply::Imported {
            user: who.user,
            outcome,
            why: why.to_owned(),
        }
    }
}
