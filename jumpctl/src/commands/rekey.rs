//! `jumpctl mfa rekey`: a new key for all records of second factors.
//!
//! First the file gets the new key before the old one, then jumpd seals every
//! record with the new key, then the file loses the old one. Wherever this
//! ends, the keys in the file open every record, and the next rekey goes on.

use crate::client::Jumpd;
use crate::credential;
use crate::error::{Answer, Error, Outcome};
use crate::output::{Output, printable};
use crate::setup::host::Host;
use jump_mfa::KeyRing;
use jump_proto::{Reply, Request, paths};

pub(super) fn run(host: &dyn Host, jumpd: &Jumpd, out: &mut Output) -> Answer {
    if !host.path(paths::MFA_KEYS).exists() {
        return Err(Error::failed(format!(
            "there is no key yet ({} is missing); run `jumpctl setup`",
            paths::MFA_KEYS
        )));
    }
    // One at a time, and not while setup makes a key.
    let _alone = credential::lock(host)?;
    // Asked first: without jumpd nothing is changed.
    let status = jumpd.status()?;
    let old = credential::read(host)?;
    let in_use = status.sealing.map(|sealing| sealing.names);
    if !old.has(&in_use.unwrap_or_default()) {
        return Err(Error::failed(format!(
            "nothing is changed: jumpd has a key that is not in {}, so that file is an older one. Do not restart jumpd, which may be the only one to have that key: `jumpctl backup` first, then put the newer file back",
            paths::MFA_KEYS
        )));
    }
    let mut keys = KeyRing::generate_before(old)
        .map_err(|e| Error::failed(format!("no random bytes: {e}")))?;
    credential::write(host, &keys)?;
    let request = Request::MfaRekey {
        keys: keys.to_text(),
    };
    let Reply::Rekeyed {
        sealed,
        refused,
        unfinished,
    } = jumpd.ask(&request)?
    else {
        return Err(Error::WrongAnswer);
    };
    if unfinished {
        out.line(format_args!(
            "{sealed} records have a new key. The old one stays in {}, because a record below may still need it: mend or reset it, then again.",
            paths::MFA_KEYS
        ))?;
    } else {
        keys.keep_newest();
        credential::write(host, &keys)?;
        out.line(format_args!(
            "{sealed} records have a new key; the old one is gone from {}.",
            paths::MFA_KEYS
        ))?;
    }
    for why in &refused {
        out.line(format_args!(
            "Refused, and left as it is: {}",
            printable(why)
        ))?;
    }
    out.json(
        &serde_json::json!({ "sealed": sealed, "refused": refused, "unfinished": unfinished }),
    )?;
    Ok(Outcome::from_bool(refused.is_empty()))
}
