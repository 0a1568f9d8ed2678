//! What hops need beside a policy: a user CA on the bastion, targets that trust it, and host keys that the bastion knows.

use crate::bastion::Bastion;
use crate::lab::Lab;
use crate::machine::Machine;
use crate::seat::{self, append};
use anyhow::{Context, Result};
use serde_json::Value;
use std::sync::{Mutex, PoisonError};

/// The CAs that a target trusts, one line each.
const TRUSTED: &str = "/etc/ssh/jump-ca.pub";
/// How it is told so.
const TRUSTS: &str = "TrustedUserCAKeys /etc/ssh/jump-ca.pub\n";
/// The host keys that the bastion's hops accept.
pub const KNOWN_HOSTS: &str = "/etc/jump/known_hosts";

/// Lets hops of `bastion` in at a target, from the beginning of its life.
///
/// # Errors
/// When sshd does not take it.
pub(crate) fn prepare_target(target: &Machine) -> Result<()> {
    target.write(TRUSTED, "")?;
    target.write("/etc/ssh/sshd_config.d/jump-ca.conf", TRUSTS)?;
    // Not up yet: it reads its files when it comes up.
    target
        .shell("systemctl reload-or-restart ssh.service")
        .run()?
        .success()?;
    Ok(())
}

/// Makes the bastion's CA, has both targets trust it, and the bastion know their host keys.
///
/// # Errors
/// When `jumpctl ca` fails or a file cannot be written.
pub fn prepare(lab: &Lab, bastion: &Bastion) -> Result<()> {
    // Several stories come at once.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let shown = bastion.jumpctl("ca show --json")?.success()?.text();
    if key(&shown, "current").is_ok() {
        return Ok(());
    }
    let made = bastion.jumpctl("ca init --json")?.success()?.text();
    let line = key(&made, "current")?;
    for target in [&lab.db1, &lab.db2] {
        append(target, TRUSTED, &line)?;
    }
    bastion.write(KNOWN_HOSTS, seat::known_hosts(&[&lab.db1, &lab.db2])?)
}

/// A public key that `jumpctl ca` tells.
///
/// # Errors
/// When there is none.
pub fn key(json: &str, which: &str) -> Result<String> {
    let keys: Value = serde_json::from_str(json).with_context(|| json.to_owned())?;
    let key = keys.get(which).and_then(Value::as_str);
    Ok(key
        .with_context(|| format!("no {which} in {json}"))?
        .to_owned())
}

/// A rule by which an admin hops to the databases as the targets' common account.
#[must_use]
pub fn rule(admin: &str, more: &str) -> String {
    format!(
        "[[rules]]\nname = \"{admin}-hops\"\neffect = \"allow\"\nusers = [\"{admin}\"]\ntargets = [\"databases\"]\n\
         via = [\"shell\"]\nprincipals = [\"{}\"]\n{more}\n",
        seat::TARGET_ACCOUNT
    )
}
