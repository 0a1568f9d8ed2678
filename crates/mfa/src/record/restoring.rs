//! Records that go into a backup, and come out of one.

use super::{Factor, Record};
use crate::backup::Restored;
use crate::totp;
use jump_proto::Secret;

impl Record {
    /// The authenticator in force, and nothing else.
    pub(crate) fn into_active(self) -> Option<Factor> {
        self.body.active
    }

    /// Puts an authenticator of a backup in force, unless this record is the newer one.
    ///
    /// `serial` is the number of the last write of the saved record or of the one here; `admit` says what of it is good again.
    pub(crate) fn restore(
        &mut self,
        saved: &Factor,
        serial: u64,
        is_newer_here: bool,
        admit: impl Fn(&mut Factor),
    ) -> Restored {
        match &mut self.body.active {
            Some(own) if own.secret.expose() == saved.secret.expose() => {
                own.last_step = own.last_step.max(saved.last_step);
                own.recovery.join(&saved.recovery);
                Restored::Merged
            }
            Some(own) if is_newer_here || own.enrolled_s >= saved.enrolled_s => {
                Restored::Kept("another authenticator was enrolled here after the backup was made")
            }
            active => {
                admit(active.insert(saved.copy()));
                self.body.pending = None;
                self.after = serial;
                // Each lock-out was a write: no standing of before is ever that of this authenticator again.
                self.body
                    .throttle
                    .no_fewer_lockouts_than(serial.saturating_add(1));
                Restored::InForce
            }
        }
    }
}

impl Factor {
    /// Uses up every step whose code could have been accepted by now.
    pub(crate) fn use_up(&mut self, now_s: u64) {
        let last = totp::step_at(&self.params, now_s).saturating_add(totp::SKEW);
        self.last_step = self.last_step.max(Some(last));
    }

    pub(crate) fn void_recovery_codes(&mut self, now_s: i64) {
        self.recovery.void(now_s);
    }

    fn copy(&self) -> Self {
        Self {
            params: self.params,
            secret: Secret::new(self.secret.expose().to_owned()),
            enrolled_s: self.enrolled_s,
            last_step: self.last_step,
            recovery: self.recovery.clone(),
        }
    }
}
