//! A42: a thread with a table of files of its own.

use super::a18::{all_refused, unlisted};
use anyhow::{Result, ensure};
use jump_lab::attack::{inside, outside};
use jump_lab::lab::Lab;

/// Given a thread that would part with its process's files, then it cannot, so the socket of a number is the same for both.
pub(crate) fn a42_no_thread_has_files_of_its_own(lab: &Lab) -> Result<()> {
    let open = lab.open_bastion()?;
    let beadine = lab
        .admin("beadine")
        .at(open)
        .may_reach_databases()
        .arrive()?;
    let unlisted = unlisted();
    let words = [
        "lines",
        &unlisted,
        &unlisted,
        "unshare",
        "clone",
        "clone3",
        "close_range",
    ];
    let free = outside(open, beadine.uid, &words)?;
    for works in [
        "unshare(CLONE_FILES)",
        "unshare(CLONE_NEWUSER)",
        "clone3()",
        "close_range(CLOSE_RANGE_UNSHARE)",
    ] {
        ensure!(
            free.get(works).is_some_and(|how| how.starts_with("ran")),
            "{works}: {free:?}"
        );
    }
    all_refused(&beadine, &inside(&beadine, &words)?)
}
