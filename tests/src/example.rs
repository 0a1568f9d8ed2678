//! Programs of ours that are in no package, put onto a host: examples of the
//! workspace, where cargo builds them.

use crate::machine::Machine;
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Puts an example onto a host, once; where it is there.
///
/// # Errors
/// When it has not been built or cannot be copied.
pub fn put(host: &Machine, package: &str, name: &str) -> Result<String> {
    let inside = format!("/usr/local/bin/{name}");
    let there = host.path(&inside);
    if there.exists() {
        return Ok(inside);
    }
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug/examples");
    let built = built.join(name);
    // Another story may be doing the same: each writes a file of its own, and the last name wins.
    let mine = there.with_extension(format!("{:?}", std::thread::current().id()));
    fs::copy(&built, &mine).with_context(|| {
        format!(
            "{}: run `cargo xtask lab`, or `cargo build -p {package} --example {name}`",
            built.display()
        )
    })?;
    fs::set_permissions(&mine, fs::Permissions::from_mode(0o755))?;
    fs::rename(mine, there)?;
    Ok(inside)
}
