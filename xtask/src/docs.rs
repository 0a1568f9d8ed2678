//! Documents that are written from the code.

use crate::{Outcome, cargo, root};
use std::path::PathBuf;

fn known_attacks() -> PathBuf {
    root().join("docs/known-attacks.md")
}

/// The list of attacks as the tests have it.
fn printed() -> Result<String, String> {
    let mut command = cargo(&["test", "--quiet", "--locked", "--package", "jump-lab"]);
    command.args(["--test", "lab", "--", "--known-attacks"]);
    let output = command.stderr(std::process::Stdio::inherit()).output();
    let output = output.map_err(|e| format!("{command:?}: {e}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|e| e.to_string())
}

/// Writes them.
pub(crate) fn write() -> Outcome {
    let path = known_attacks();
    std::fs::write(&path, printed()?).map_err(|e| format!("{}: {e}", path.display()))
}

/// Compares what is there with what would be written.
pub(crate) fn compare() -> Outcome {
    let path = known_attacks();
    let there = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    if there == printed()? {
        return Ok(());
    }
    Err("docs/known-attacks.md is not what the tests say; run `cargo xtask docs`".to_owned())
}
