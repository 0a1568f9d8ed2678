//! Guards that somebody stopped (SIGSTOP).
//!
//! A stopped guard answers no call, so its session would hang, and could not
//! be ended by jumpd either. It is continued; one that is stopped again at the
//! next look is killed, and the kernel ends its session with it.

use crate::report::complain;
use jump_sys::process::PidFd;
use nix::libc;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the unified cgroup hierarchy is mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// What the last look found.
#[derive(Debug, Default)]
pub(crate) struct Stopped {
    continued: HashSet<i32>,
}

impl Stopped {
    /// Looks at every process of this service.
    pub(crate) fn look(&mut self) {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let stopped: HashSet<i32> = members()
            .into_iter()
            .filter(|pid| *pid != own && is_stopped(*pid))
            .collect();
        for pid in &stopped {
            let again = self.continued.contains(pid);
            let (signal, word) = if again {
                (libc::SIGKILL, "stopped again, and killed with its session")
            } else {
                (libc::SIGCONT, "stopped, and continued")
            };
            let done = PidFd::open_process(*pid).and_then(|process| process.send_signal(signal));
            complain(format_args!(
                "jump-guard: the guard of a session (process {pid}) was {word}{}",
                done.err().map_or_else(String::new, |e| format!(": {e}"))
            ));
        }
        self.continued = stopped;
    }
}

/// The processes of this service's cgroup: the guards of earlier listeners are among them.
fn members() -> Vec<i32> {
    let Some(path) = own_cgroup() else {
        return Vec::new();
    };
    fs::read_to_string(path.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

fn own_cgroup() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // The root of the hierarchy holds everybody.
    (!path.is_empty()).then(|| Path::new(CGROUPS).join(path))
}

/// Whether it is in state T (stopped), proc_pid_stat(5); one under a debugger is the debugger's.
fn is_stopped(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| state(&stat) == Some('T'))
}

/// The state follows the name, which is in parentheses and may hold any.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(") ")?.1.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_found_behind_any_name() {
        assert_eq!(state("12 (guard-session) T 1 12"), Some('T'));
        assert_eq!(state("12 (a) T ) (b) S 1 12"), Some('S'));
        assert_eq!(state(""), None);
    }

    #[test]
    fn a_stopped_process_is_seen() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(!is_stopped(pid));
        let process = PidFd::open_process(pid).unwrap();
        process.send_signal(libc::SIGSTOP).unwrap();
        let begun = std::time::Instant::now();
        while !is_stopped(pid) {
            assert!(begun.elapsed().as_secs() < 5);
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
