//! What scenarios use to wait and to say what they expect.

use anyhow::Result;
use std::thread;
use std::time::{Duration, Instant};

/// How long a story waits for something that is bound to come: generous,
/// because the machine may be busy; never spent when it does come.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at something that cannot wake us.
const GLANCE: Duration = Duration::from_millis(10);

/// Waits until `look` returns something, `None` when it has not after `patience`.
///
/// # Errors
/// The first error of `look`.
pub fn until<T>(
    patience: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(GLANCE);
    }
}

/// Waits until `holds`.
///
/// # Errors
/// When it does not after [`PATIENCE`]: `what` says what was waited for.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let held = until(PATIENCE, || Ok(holds()?.then_some(())))?;
    anyhow::ensure!(held.is_some(), "waited {PATIENCE:?} in vain for {what}");
    Ok(())
}
