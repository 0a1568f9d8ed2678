//! What `/proc` says about tasks (proc_pid_status(5), proc_pid_stat(5)).
//!
//! A number may name another task by the time the answer is used: hold a
//! pidfd, or ask the listener whether the call still waits, after reading.

use std::collections::HashSet;
use std::fs;
use std::io;

/// One task's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskStatus {
    /// The process it belongs to.
    pub tgid: i32,
    /// Its parent process.
    pub ppid: i32,
    /// Real, effective, saved and file-system uid.
    pub uids: [u32; 4],
}

impl TaskStatus {
    /// Reads `/proc/<tid>/status`.
    ///
    /// # Errors
    /// When there is no such task, or the file does not say what it must.
    pub fn read(tid: i32) -> io::Result<Self> {
        Self::parse(&fs::read(format!("/proc/{tid}/status"))?)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unreadable /proc status"))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        // The kernel escapes newlines in the task's name, so a line of ours is a line of ours.
        let field = |name: &[u8]| {
            text.split(|b| *b == b'\n')
                .find_map(|line| line.strip_prefix(name))
                .and_then(|rest| std::str::from_utf8(rest).ok())
        };
        let mut uids = field(b"Uid:")?.split_ascii_whitespace().map(str::parse);
        let mut uid = || uids.next()?.ok();
        Some(Self {
            tgid: field(b"Tgid:")?.trim().parse().ok()?,
            ppid: field(b"PPid:")?.trim().parse().ok()?,
            uids: [uid()?, uid()?, uid()?, uid()?],
        })
    }

    /// Whether all four uids are root's.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.uids == [0; 4]
    }
}

/// When the process started, in clock ticks since boot: with the pid, a name that is never reused.
///
/// # Errors
/// When there is no such process.
pub fn start_time(pid: i32) -> io::Result<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; the fields follow the last one.
    let after = stat.iter().rposition(|b| *b == b')').map_or(0, |at| at + 1);
    std::str::from_utf8(stat.get(after..).unwrap_or_default())
        .ok()
        // starttime is field 22, the 20th after the name.
        .and_then(|rest| rest.split_ascii_whitespace().nth(19)?.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unreadable /proc stat"))
}

/// Every process on the host that `/proc` shows.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn processes() -> io::Result<Vec<i32>> {
    Ok(fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect())
}

/// The processes whose parent is `pid`.
///
/// Reads `/proc/<pid>/task/*/children`, which costs the same however many
/// processes the host has; a kernel without that file (`CONFIG_PROC_CHILDREN`)
/// makes it look at every process.
///
/// # Errors
/// When there is no such process.
pub fn children(pid: i32) -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        match fs::read_to_string(task.join("children")) {
            Ok(text) => found.extend(
                text.split_ascii_whitespace()
                    .filter_map(|child| child.parse::<i32>().ok()),
            ),
            // A thread that has just ended, unless the others have no such file either.
            Err(_) if !task.exists() => {}
            Err(_) => return children_among_all(pid),
        }
    }
    Ok(found)
}

fn children_among_all(pid: i32) -> io::Result<Vec<i32>> {
    Ok(processes()?
        .into_iter()
        .filter(|child| TaskStatus::read(*child).is_ok_and(|status| status.ppid == pid))
        .collect())
}

/// Every process that descends from one of `roots`, without these.
#[must_use]
pub fn descendants(roots: &[i32]) -> Vec<i32> {
    let mut known: HashSet<i32> = roots.iter().copied().collect();
    let mut found = Vec::new();
    let mut unseen = roots.to_vec();
    while let Some(parent) = unseen.pop() {
        // One that has ended meanwhile has no children any more.
        for child in children(parent).unwrap_or_default() {
            if known.insert(child) {
                found.push(child);
                unseen.push(child);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_parsed() {
        let text = b"Name:\tUid:\\n0\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t12\nNgid:\t0\nPid:\t13\nPPid:\t7\nUid:\t1\t2\t3\t4\nGid:\t0\t0\t0\t0\n";
        assert_eq!(
            TaskStatus::parse(text),
            Some(TaskStatus {
                tgid: 12,
                ppid: 7,
                uids: [1, 2, 3, 4]
            })
        );
        assert_eq!(
            TaskStatus::parse(b"Tgid:\t1\nPPid:\t1\nUid:\t0\t0\t0\n"),
            None
        );
    }

    #[test]
    fn this_process_is_found_among_its_parents_children() {
        let own = i32::try_from(std::process::id()).unwrap();
        let parent = TaskStatus::read(own).unwrap().ppid;
        assert!(children(parent).unwrap().contains(&own));
        assert!(children_among_all(parent).unwrap().contains(&own));
        assert!(descendants(&[parent]).contains(&own));
        assert!(children(i32::MAX).is_err());
        assert!(start_time(own).unwrap() > 0);
    }
}
