//! The keys that second factors are sealed with, kept by systemd for jumpd (systemd-creds(1)).
//!
//! They lie in one file that only this host can open: sealed with its TPM2
//! where there is one, and with its own key otherwise. systemd opens it when
//! it starts jumpd. The file is replaced whole, so there is always one that
//! opens every record.

use crate::error::Error;
use crate::output::remark;
use crate::setup::host::Host;
use jump_mfa::KeyRing;
use jump_proto::paths;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// One jumpctl at a time writes the file; free again when what this returns is dropped.
///
/// # Errors
/// When its directory cannot be made or locked.
pub(crate) fn lock(host: &dyn Host) -> Result<Flock<File>, Error> {
    let path = host.path(paths::MFA_KEYS);
    let directory = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|e| Error::file("create", directory, e))?;
    let file = File::open(directory).map_err(|e| Error::file("open", directory, e))?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| Error::file("lock", directory, errno.into()))
}

/// Makes the first key unless there is one; whether it was made. jumpd gets it at its start.
///
/// It stays when setup is undone: without it every record is void.
///
/// # Errors
/// When systemd-creds fails, the file cannot be written or jumpd does not start again.
pub(crate) fn ensure(host: &dyn Host) -> Result<bool, Error> {
    if !host.has_systemd() {
        remark(
            "systemd does not run here; run `jumpctl setup` again where it does, for the key of second factors",
        );
        return Ok(false);
    }
    let _alone = lock(host)?;
    let path = host.path(paths::MFA_KEYS);
    if path.symlink_metadata().is_ok() {
        return Ok(false);
    }
    let keys = KeyRing::generate().map_err(|e| Error::failed(format!("no random bytes: {e}")))?;
    write(host, &keys)?;
    host.systemctl(&["restart", "jumpd.service"])
        .map_err(Error::Failed)?;
    Ok(true)
}

/// Moves a file aside that this host cannot open, for jumpd does not start with it; where it is then.
///
/// # Errors
/// When jumpd runs, which then may be the only one to have the keys, or the file cannot be moved.
pub(crate) fn set_aside_unreadable(host: &dyn Host) -> Result<Option<PathBuf>, Error> {
    let path = host.path(paths::MFA_KEYS);
    let Some(why) = problem(host) else {
        return Ok(None);
    };
    let _alone = lock(host)?;
    if host
        .systemctl(&["is-active", "--quiet", "jumpd.service"])
        .is_ok()
    {
        return Err(Error::failed(format!(
            "{why}. jumpd runs and may still have the keys of it: `jumpctl backup` first, then `systemctl stop jumpd`, `jumpctl setup` for a new key, and `jumpctl restore` with --replace for each user"
        )));
    }
    // Not by a name that a service could ask for.
    let aside = path.with_file_name(format!(".{}.{}", paths::MFA_KEYS_NAME, host.stamp()));
    fs::rename(&path, &aside).map_err(|e| Error::file("move", &path, e))?;
    remark(format_args!(
        "{why}; it is moved to {}, and a new key is made. If it can be opened again, put it back; otherwise second factors are to be restored from a backup with --replace, or reset and enrolled anew",
        aside.display()
    ));
    Ok(Some(aside))
}

/// Why the file is there and cannot be opened, if so.
pub(crate) fn problem(host: &dyn Host) -> Option<Error> {
    let is_there = host.path(paths::MFA_KEYS).symlink_metadata().is_ok();
    (host.has_systemd() && is_there).then(|| read(host).err())?
}

/// The keys in the file.
///
/// # Errors
/// When there is no file, or this host cannot open it.
pub(crate) fn read(host: &dyn Host) -> Result<KeyRing, Error> {
    let path = host.path(paths::MFA_KEYS);
    let text = host
        .unseal(paths::MFA_KEYS_NAME, &path)
        .map_err(|said| Error::failed(format!("cannot open {}: {said}", path.display())))?;
    KeyRing::parse(text.expose())
        .map_err(|e| Error::failed(format!("what is in {} {e}", path.display())))
}

/// Replaces the file, durably. The caller holds the [`lock`].
///
/// # Errors
/// When systemd-creds fails or the file cannot be written; the old one is then still there.
pub(crate) fn write(host: &dyn Host, keys: &KeyRing) -> Result<(), Error> {
    let path = host.path(paths::MFA_KEYS);
    let directory = path.parent().unwrap_or(Path::new("/"));
    // Not in the store itself, where a service could ask for it by name.
    let new = directory.join(format!(".{}.new", paths::MFA_KEYS_NAME));
    let _left_by_a_crash = fs::remove_file(&new);
    let sealed = host
        .seal(paths::MFA_KEYS_NAME, &keys.to_text(), &new)
        .map_err(|said| Error::failed(format!("cannot seal {}: {said}", path.display())));
    let placed = sealed.and_then(|()| place(&new, &path, directory));
    if placed.is_err() {
        let _wanted_no_more = fs::remove_file(&new);
    }
    placed
}

fn place(new: &Path, path: &Path, directory: &Path) -> Result<(), Error> {
    let flushed = File::open(new).and_then(|file| {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.sync_all()
    });
    flushed
        .and_then(|()| fs::rename(new, path))
        .and_then(|()| File::open(directory)?.sync_all())
        .map_err(|e| Error::file("write", path, e))
}
