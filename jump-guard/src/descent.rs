//! From whom a process descends.

use jump_sys::process::TaskStatus;

/// ssh's parent is the runner of hops, and the runner's is the jump-shell.
const MOST: usize = 2;

/// The processes that this one descends from, the nearest first; none where that changes while it is looked at.
///
/// Read twice: whoever is the parent both times was there in between, so its number named nobody else.
pub(crate) fn ancestors(pid: i32) -> Vec<i32> {
    let known = chain(pid);
    if known == chain(pid) {
        known
    } else {
        Vec::new()
    }
}

fn chain(pid: i32) -> Vec<i32> {
    std::iter::successors(Some(pid), |pid| parent(*pid))
        .skip(1)
        .take(MOST)
        .collect()
}

fn parent(pid: i32) -> Option<i32> {
    let status = TaskStatus::read(pid).ok()?;
    // Whom init has is nobody's.
    (status.ppid > 1).then_some(status.ppid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_descends_from_its_parent_and_from_whom_that_descends() {
        let me = i32::try_from(std::process::id()).unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let found = ancestors(i32::try_from(child.id()).unwrap());
        let mine = parent(me);
        child.kill().unwrap();
        child.wait().unwrap();
        let expected = std::iter::once(me).chain(mine);
        assert!(found.iter().copied().eq(expected), "{found:?}");
    }

    #[test]
    fn nobody_descends_from_init_and_the_gone_from_nobody() {
        assert!(ancestors(1).is_empty());
        assert!(ancestors(i32::MAX).is_empty());
    }
}
