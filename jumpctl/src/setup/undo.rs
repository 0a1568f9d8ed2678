//! `jumpctl setup --undo`: sshd, PAM and nsswitch as they were before.
//!
//! This is what an admin reaches for when something is broken, and what the
//! package runs before its PAM module disappears. So it asks neither jumpd nor
//! the policy, and it removes what setup put in rather than restoring old
//! copies: later edits of the admin stay. A file nobody touched since comes
//! out byte for byte as it was.

use super::files::{self, Change};
use super::host::Host;
use super::nsswitch::{self, Edited};
use super::{
    BACKUPS, NSSWITCH, Options, drop_in, file_report, lock, pam, reload_sshd, show_and_ask,
};
use super::{take_back, write_all};
use crate::egress;
use crate::error::{Answer, Error, Outcome};
use crate::output::{Output, remark};
use jump_proto::paths;
use serde::{Deserialize, Serialize};
use std::fs;

/// What setup did to nsswitch.conf; the file itself does not show who put a word there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NsswitchRecord {
    /// Databases that got the word from us.
    databases: Vec<String>,
    /// The text before and after, where it is UTF-8: undo of an untouched file is then exact.
    before: Option<String>,
    after: Option<String>,
}

const RECORD: &str = "nsswitch.json";

impl NsswitchRecord {
    pub(super) fn new(before: &[u8], edited: &Edited) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        Self {
            databases: edited.databases.clone(),
            before: text(before),
            after: text(&edited.text),
        }
    }

    pub(super) fn save(&self, host: &dyn Host) -> Result<(), Error> {
        let path = host.path(BACKUPS).join(RECORD);
        let json = serde_json::to_vec(self).map_err(|e| Error::failed(e.to_string()))?;
        files::put(&path, Some(&json))
    }

    fn load(host: &dyn Host) -> Option<Self> {
        let bytes = files::read(&host.path(BACKUPS).join(RECORD)).ok()??;
        serde_json::from_slice(&bytes).ok()
    }

    fn forget(host: &dyn Host) {
        // A record that stays is harmless: its words are gone.
        let _ = fs::remove_file(host.path(BACKUPS).join(RECORD));
    }

    fn undo(&self, text: &[u8]) -> Vec<u8> {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) if after.as_bytes() == text => before.clone().into_bytes(),
            _ => nsswitch::remove(text, &self.databases),
        }
    }
}

/// Takes back what setup did.
///
/// # Errors
/// When a file cannot be read or written; what was written is taken back then.
pub fn undo(host: &dyn Host, options: Options, out: &mut Output) -> Answer {
    let changes = plan(host)?;
    let filtered = egress::is_there(host);
    if filtered {
        out.line(format_args!(
            "The table {} of nftables and the units that keep it go.",
            egress::ruleset::TABLE
        ))?;
    }
    if changes.is_empty() && !filtered {
        out.line("Nothing to undo: sshd, PAM and nsswitch are not wired.")?;
    } else if !show_and_ask(&changes, options, out)? {
        out.json(&reports(&changes, false))?;
        return Ok(Outcome::from_bool(options.dry_run));
    }
    if options.dry_run || (changes.is_empty() && !filtered) {
        out.json(&reports(&changes, false))?;
        return Ok(Outcome::Yes);
    }
    let _lock = lock(host)?;
    let accepted_before = host.sshd_test().is_ok();
    write_all(host, &changes)?;
    if let Err(said) = host.sshd_test() {
        // An sshd_config that was broken already must not keep PAM wired.
        if accepted_before {
            take_back(&changes);
            return Err(Error::failed(format!(
                "sshd does not accept its configuration then: {said}; nothing is changed"
            )));
        }
        remark(format_args!(
            "sshd does not accept its configuration, as before: {said}"
        ));
    } else if let Err(e) = reload_sshd(host) {
        remark(format_args!(
            "the files are as before, but sshd was not reloaded: {e}"
        ));
    }
    NsswitchRecord::forget(host);
    // Last, and not in the way of the rest: a bound too many lets nobody in.
    if filtered && let Err(e) = egress::take_down(host) {
        remark(e);
    }
    for change in &changes {
        out.line(format_args!("Restored {}", change.path.display()))?;
    }
    out.line("This host is no jump server any more. The users of the policy cannot log in.")?;
    out.json(&reports(&changes, true))?;
    Ok(Outcome::Yes)
}

/// The opposite order of setup: sshd first, names last.
fn plan(host: &dyn Host) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();

    let path = host.path(paths::SSHD_DROP_IN);
    let before = files::read(&path)?;
    match &before {
        Some(text) if !drop_in::is_ours(text) => {
            remark(format_args!(
                "{} was not written by jumpctl and stays",
                path.display()
            ));
        }
        _ => changes.push(Change {
            path,
            before,
            after: None,
        }),
    }

    let path = host.path(paths::PAM_SERVICE);
    if let Some(before) = files::read(&path)? {
        let after =
            pam::remove(&before).map_err(|e| Error::failed(format!("{}: {e}", path.display())))?;
        changes.push(Change {
            path,
            before: Some(before),
            after: Some(after),
        });
    }

    let path = host.path(NSSWITCH);
    if let (Some(record), Some(before)) = (NsswitchRecord::load(host), files::read(&path)?) {
        let after = record.undo(&before);
        changes.push(Change {
            path,
            before: Some(before),
            after: Some(after),
        });
    }
    changes.retain(Change::is_needed);
    Ok(changes)
}

fn reports(changes: &[Change], written: bool) -> serde_json::Value {
    let files: Vec<_> = changes
        .iter()
        .map(|change| file_report(change, None))
        .collect();
    serde_json::json!({ "written": written, "files": files })
}
