//! The keys that second factors are sealed with, kept by systemd for jumpd (systemd-creds(1)).
//!
//! They lie in one file that only this host can open: sealed with its TPM2
//! where there is one, and with its own key otherwise. systemd opens it when
//! it starts jumpd. The file is replaced whole, so there is always one that
//! opens every record.

use crate::error::Error;
use crate::setup::host::Host;
use jump_mfa::KeyRing;
use jump_proto::paths;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

/// Makes the first key unless there is one; whether it was made.
///
/// # Errors
/// When systemd-creds fails or the file cannot be written.
pub(crate) fn ensure(host: &dyn Host) -> Result<bool, Error> {
    let path = host.path(paths::MFA_KEYS);
    if path.symlink_metadata().is_ok() {
        return Ok(false);
    }
    let keys = KeyRing::generate().map_err(|e| Error::failed(format!("no random bytes: {e}")))?;
    write(host, &keys)?;
    Ok(true)
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

/// Replaces the file, durably.
///
/// # Errors
/// When systemd-creds fails or the file cannot be written; the old one is then still there.
pub(crate) fn write(host: &dyn Host, keys: &KeyRing) -> Result<(), Error> {
    let path = host.path(paths::MFA_KEYS);
    let directory = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|e| Error::file("create", directory, e))?;
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
