//! `jumpctl egress`: the host's packet filter follows the policy in force.
//!
//! A third layer beside the session filter and Landlock, where an admin wants
//! it (`jumpctl setup --nftables`). jumpd says which addresses and ports the
//! policy means, and nothing of what it says is given to nft as text: the
//! ruleset is made here. It is loaded in one transaction, read back, and both
//! are written down, so that `doctor` can tell whether the kernel still has
//! what was loaded and whether that is still what the policy says.

pub mod ruleset;

use crate::client::Jumpd;
use crate::error::{Answer, Error, Outcome};
use crate::output::{Output, remark};
use crate::setup::host::Host;
use jump_proto::Request;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

/// The unit that runs `jumpctl egress`. Enabled: this host has the third layer.
const SERVICE: &str = "jump-egress.service";
/// When it runs: before sshd at boot, when names change, and every half minute.
const UNITS: [&str; 3] = [SERVICE, "jump-egress.path", "jump-egress.timer"];
/// What was loaded; root's, gone with a reboot as the table is.
const STATE: &str = "/run/jump-egress";

/// What was given to the kernel, and how the kernel shows it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Loaded {
    script: String,
    listing: String,
}

/// `jumpctl egress`, as the unit runs it.
///
/// # Errors
/// When jumpd does not answer or nft refuses; the ruleset is then what it was.
pub fn run(host: &dyn Host, jumpd: &Jumpd, dry_run: bool, out: &mut Output) -> Answer {
    if dry_run {
        let script = ruleset::render(&jumpd.egress()?);
        out.line(script.trim_end())?;
        out.json(&serde_json::json!({ "ruleset": script }))?;
        return Ok(Outcome::Yes);
    }
    if !is_set_up(host) {
        return Err(Error::failed(
            "this host has no egress ruleset; `jumpctl setup --nftables` makes one",
        ));
    }
    let changed = load(host, jumpd)?;
    if changed {
        out.line("The egress ruleset follows the policy.")?;
    }
    out.json(&serde_json::json!({ "changed": changed }))?;
    Ok(Outcome::Yes)
}

/// Whether `setup --nftables` was done.
#[must_use]
pub fn is_set_up(host: &dyn Host) -> bool {
    host.has_systemd() && host.systemctl(&["is-enabled", "--quiet", SERVICE]).is_ok()
}

/// Puts the ruleset of the policy in force into the kernel; whether it was another before.
fn load(host: &dyn Host, jumpd: &Jumpd) -> Result<bool, Error> {
    let outcome = load_silently(host, jumpd);
    let error = outcome.as_ref().err().map(ToString::to_string);
    // Best effort: the outcome is told here in any case, and seen by doctor.
    if let Err(e) = jumpd.tell(&Request::EgressLoaded { error }) {
        remark(format_args!("jumpd is not told of the egress ruleset: {e}"));
    }
    outcome
}

fn load_silently(host: &dyn Host, jumpd: &Jumpd) -> Result<bool, Error> {
    let _lock = lock(host)?;
    // Asked under the lock: the later of two loads has the later answer.
    let script = ruleset::render(&jumpd.egress()?);
    let present = listing(host);
    if let (Ok(listing), Some(loaded)) = (&present, loaded(host))
        && *listing == loaded.listing
        && script == loaded.script
    {
        return Ok(false);
    }
    host.nft(&["-f", "-"], &script)
        .map_err(|said| Error::failed(format!("nft refuses the egress ruleset: {said}")))?;
    let listing = listing(host).map_err(Error::Failed)?;
    let text = serde_json::to_vec(&Loaded { script, listing })
        .map_err(|e| Error::failed(e.to_string()))?;
    let (new, path) = (host.path(STATE).join("loaded.new"), record(host));
    fs::write(&new, text)
        .and_then(|()| fs::rename(&new, &path))
        .map_err(|e| Error::file("write", &path, e))?;
    Ok(true)
}

fn record(host: &dyn Host) -> PathBuf {
    host.path(STATE).join("loaded")
}

fn loaded(host: &dyn Host) -> Option<Loaded> {
    serde_json::from_slice(&fs::read(record(host)).ok()?).ok()
}

/// The table as the kernel has it: numbers, no names, no counts.
fn listing(host: &dyn Host) -> Result<String, String> {
    let mut words = vec!["--numeric", "--stateless", "list", "table"];
    words.extend(ruleset::TABLE.split(' '));
    host.nft(&words, "")
}

fn lock(host: &dyn Host) -> Result<nix::fcntl::Flock<File>, Error> {
    let path = host.path(STATE);
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => {
            return Err(Error::file("create", &path, e));
        }
        _ => {}
    }
    let directory = File::open(&path).map_err(|e| Error::file("open", &path, e))?;
    nix::fcntl::Flock::lock(directory, nix::fcntl::FlockArg::LockExclusive)
        .map_err(|(_, errno)| Error::file("lock", &path, errno.into()))
}

/// After a policy came into force: the ruleset follows before this returns.
///
/// Through its unit, because the unit that applies has no privilege to filter packets.
///
/// # Errors
/// When it does not follow.
pub fn follow(host: &dyn Host) -> Result<bool, Error> {
    if !is_set_up(host) {
        return Ok(false);
    }
    // Not `start`, which would be content with a run that began before the policy changed.
    host.systemctl(&["restart", SERVICE]).map_err(|_| {
        Error::failed(
            "the policy is in force, but the egress ruleset does not follow it: \
             see `journalctl -u jump-egress -n 20`",
        )
    })?;
    Ok(true)
}

/// `setup --nftables`: the ruleset now and at every boot.
///
/// # Errors
/// When nft is missing or refuses; then the host has no such ruleset.
pub fn set_up(host: &dyn Host, jumpd: &Jumpd) -> Result<(), Error> {
    if !host.has_systemd() {
        return Err(Error::failed(
            "the egress ruleset follows the policy by systemd, which does not run here",
        ));
    }
    load(host, jumpd)?;
    let mut words = vec!["enable", "--now", "--quiet"];
    words.extend(UNITS);
    host.systemctl(&words).map_err(|said| {
        let left = take_down(host).err();
        Error::failed(match left {
            None => format!("the egress ruleset is not kept: {said}"),
            Some(left) => format!("the egress ruleset is not kept: {said}; {left}"),
        })
    })
}

/// Whether there is anything for [`take_down`] to do.
#[must_use]
pub fn is_there(host: &dyn Host) -> bool {
    is_set_up(host) || host.path(STATE).exists()
}

/// The table and everything that keeps it, gone.
///
/// # Errors
/// When a unit or the table stays.
pub fn take_down(host: &dyn Host) -> Result<(), Error> {
    if host.has_systemd() {
        let mut words = vec!["disable", "--now", "--quiet"];
        words.extend(UNITS);
        host.systemctl(&words).map_err(Error::Failed)?;
    }
    host.nft(&["-f", "-"], &ruleset::remove()).map_err(|said| {
        Error::failed(format!(
            "the table {} stays in the kernel: {said}",
            ruleset::TABLE
        ))
    })?;
    let path = host.path(STATE);
    match fs::remove_dir_all(&path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::file("remove", &path, e)),
        _ => Ok(()),
    }
}

/// Whether the kernel has what the policy says; otherwise what is wrong.
///
/// # Errors
/// The sentence for `doctor`.
pub fn compare(host: &dyn Host, jumpd: &Jumpd) -> Result<(), String> {
    let wanted = ruleset::render(&jumpd.egress().map_err(|e| e.to_string())?);
    let listing = listing(host).map_err(|said| {
        format!(
            "the table {} is not in the kernel ({said}); `systemctl restart {SERVICE}`",
            ruleset::TABLE
        )
    })?;
    let Some(loaded) = loaded(host) else {
        return Err(format!(
            "nobody knows what is in the table {}; `systemctl restart {SERVICE}`",
            ruleset::TABLE
        ));
    };
    if loaded.listing != listing {
        return Err(format!(
            "the table {} was changed by somebody else; `systemctl restart {SERVICE}`",
            ruleset::TABLE
        ));
    }
    if loaded.script != wanted {
        return Err(format!(
            "the egress ruleset is not what the policy in force says; `systemctl restart {SERVICE}`"
        ));
    }
    Ok(())
}
