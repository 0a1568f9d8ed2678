//! The keys that records of second factors are sealed with: from systemd at the start, and new ones from `jumpctl mfa rekey`.
//!
//! Without a key nobody is enrolled and nothing that is sealed is opened; what
//! stands otherwise stays, so that the operator can say `jumpctl setup`.

use crate::state::{Jumpd, complain, refused};
use jump_audit::{Event, Kind};
use jump_mfa::{FileStore, KeyRing, StoreError};
use jump_proto::{Reason, Reply, Sealing, Secret, paths};
use std::path::PathBuf;

/// Where systemd puts a service's credentials (systemd.exec(5)).
const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// The keys that systemd handed over.
pub(crate) fn keys() -> KeyRing {
    std::env::var_os(DIRECTORY)
        .map(|directory| PathBuf::from(directory).join(paths::MFA_KEYS_NAME))
        .map_or_else(KeyRing::none, |file| read(&file))
}

/// The store of second factors in `state`, with the keys that systemd handed over.
pub(crate) fn open(state: &str) -> Result<FileStore, StoreError> {
    let keys = keys();
    let sealed = !keys.is_empty();
    let store = FileStore::open(state, keys)?;
    if !sealed {
        complain(
            "there is no key to seal second factors with, so nobody can be enrolled and sealed records are refused: run `jumpctl setup`",
        );
        return Ok(store);
    }
    match store.seal_all() {
        Ok(done) => {
            if done.sealed > 0 {
                complain(&format!(
                    "{} records of second factors sealed anew",
                    done.sealed
                ));
            }
            for (uid, e) in done.refused {
                complain(&format!("the record of uid {uid} is refused: {e}"));
            }
        }
        // They are used as they are; the next start tries again.
        Err(e) => complain(&format!("not every record could be sealed: {e}")),
    }
    Ok(store)
}

fn read(file: &PathBuf) -> KeyRing {
    // At most a few lines; read at once, so that the text is wiped as one.
    let text = match std::fs::read_to_string(file) {
        Ok(text) => Secret::new(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return KeyRing::none(),
        Err(e) => {
            complain(&format!("cannot read {}: {e}", file.display()));
            return KeyRing::none();
        }
    };
    KeyRing::parse(text.expose()).unwrap_or_else(|e| {
        complain(&format!("{} {e}", file.display()));
        KeyRing::none()
    })
}

impl Jumpd {
    pub(crate) fn sealing(&self) -> Sealing {
        let now = self.second_factors.sealing();
        Sealing {
            keys: now.keys.len(),
            names: now.keys,
            only_sealed: now.only_sealed,
        }
    }

    /// Seals every record with the first of these keys. Whoever logs in meanwhile notices nothing.
    pub(crate) fn mfa_rekey(&self, keys: &Secret) -> Reply {
        let read = || KeyRing::parse(keys.expose());
        let (keys, for_the_ca) = match (read(), read()) {
            (Ok(keys), Ok(again)) => (keys, again),
            (Err(e), _) | (_, Err(e)) => {
                return refused(Reason::Internal, format!("what was sent {e}"));
            }
        };
        // First, since the old key goes once every second factor is sealed anew.
        if let Err(e) = self.ca.rekey(for_the_ca) {
            complain(&format!("rekey: the user CA: {e}"));
            return refused(
                e.reason(),
                format!("the user CA could not be sealed anew: {e}; nothing has a new key"),
            );
        }
        match self.second_factors.rekey(keys) {
            Ok(done) => {
                if !done.unfinished {
                    self.ca.keep_newest_key();
                }
                let detail = format!("records of second factors have a new key: {}", done.sealed);
                self.note(Event::new(Kind::PostureChanged).success().detail(&detail));
                Reply::Rekeyed {
                    sealed: done.sealed,
                    refused: done.refused.iter().map(|(_, e)| e.to_string()).collect(),
                    unfinished: done.unfinished,
                }
            }
            Err(e @ StoreError::KeysMissing) => refused(
                Reason::SealingKeyMissing,
                format!(
                    "{e}: jumpd has a key that is not in {}. Do not restart jumpd, which may be the only one to have it: `jumpctl backup` first, then put the right file back",
                    paths::MFA_KEYS
                ),
            ),
            Err(e) => {
                complain(&format!("rekey: {e}"));
                refused(
                    Reason::NotPersisted,
                    format!(
                        "{e}; the old key and the new one are both in use, so nobody is locked out: mend that, then again"
                    ),
                )
            }
        }
    }
}
