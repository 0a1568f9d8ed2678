//! Documents that are written from the code.

use crate::{Outcome, lab, root};
use std::path::PathBuf;

/// The lists of the lab whose every row names its tests; the documents have the same names.
const LISTS: [&str; 2] = ["known-attacks", "mfa-hazards"];

fn document(list: &str) -> PathBuf {
    root().join(format!("docs/{list}.md"))
}

/// A list as the tests have it.
fn printed(list: &str) -> Result<String, String> {
    let mut command = lab::stories(&["--", "--document", list]);
    let output = command.stderr(std::process::Stdio::inherit()).output();
    let output = output.map_err(|e| format!("{command:?}: {e}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|e| e.to_string())
}

/// Writes them.
pub(crate) fn write() -> Outcome {
    LISTS.iter().try_for_each(|list| {
        let path = document(list);
        std::fs::write(&path, printed(list)?).map_err(|e| format!("{}: {e}", path.display()))
    })
}

/// Compares what is there with what would be written.
pub(crate) fn compare() -> Outcome {
    LISTS.iter().try_for_each(|list| {
        let path = document(list);
        let there =
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        if there == printed(list)? {
            return Ok(());
        }
        Err(format!(
            "docs/{list}.md is not what the tests say; run `cargo xtask docs`"
        ))
    })
}
