//! Which processes belong to the session.
//!
//! The kernel tells the guard when the last one is gone, but not who they are.
//! They are found by descent from sshd's monitor, by every call that was
//! mediated, and, for those that cut their descent (setsid, double fork, a
//! killed monitor), by the marks that login leaves on a process and a user
//! cannot change: the audit session (pam_loginuid) and the cgroup of the login
//! (pam_systemd). A mark counts only if sshd's listener does not have it too.

use jump_sys::process::{TaskStatus, children, descendants, processes, start_time};
use std::collections::{HashMap, HashSet};
use std::fs;

/// What `/proc/<pid>/sessionid` says where there is no audit session.
const NO_SESSION: u32 = u32::MAX;

/// Marks that login leaves on every process of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Marks {
    audit: Option<u32>,
    cgroup: Option<String>,
}

impl Marks {
    fn of(pid: i32) -> Self {
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup"))
            .ok()
            .and_then(|text| session_scope(&text));
        Self {
            audit: audit_session(pid),
            cgroup,
        }
    }

    /// These marks without those that `other` has too.
    fn unlike(self, other: &Self) -> Self {
        Self {
            audit: self.audit.filter(|_| self.audit != other.audit),
            cgroup: self.cgroup.clone().filter(|_| self.cgroup != other.cgroup),
        }
    }
}

fn audit_session(pid: i32) -> Option<u32> {
    fs::read_to_string(format!("/proc/{pid}/sessionid"))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .filter(|session| *session != NO_SESSION)
}

/// The unified cgroup, if it is one that logind made for a login.
fn session_scope(text: &str) -> Option<String> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let name = path.rsplit('/').next()?;
    (name.starts_with("session-") && name.ends_with(".scope")).then(|| path.to_owned())
}

/// The processes of one session.
#[derive(Debug)]
pub(crate) struct Members {
    monitor: i32,
    monitor_started: Option<u64>,
    /// Marks of sshd's listener, which every session may have inherited.
    common: Marks,
    marks: Marks,
    /// Processes of the user, with their start times.
    known: HashMap<i32, u64>,
    uids: HashSet<u32>,
}

impl Members {
    /// The session of this monitor.
    pub(crate) fn of(monitor: i32) -> Self {
        let listener = TaskStatus::read(monitor).map_or(0, |status| status.ppid);
        Self {
            monitor,
            monitor_started: start_time(monitor).ok(),
            common: Marks::of(listener),
            marks: Marks::default(),
            known: HashMap::new(),
            uids: HashSet::new(),
        }
    }

    /// Notes a process of the session that does not run as root.
    pub(crate) fn note(&mut self, pid: i32) {
        if self.known.contains_key(&pid) {
            return;
        }
        let (Ok(started), Ok(status)) = (start_time(pid), TaskStatus::read(pid)) else {
            return;
        };
        self.known.insert(pid, started);
        self.uids.insert(status.uids[0]);
        let marks = Marks::of(pid).unlike(&self.common);
        self.marks.audit = self.marks.audit.or(marks.audit);
        self.marks.cgroup = self.marks.cgroup.take().or(marks.cgroup);
    }

    /// Looks for the user's sshd child, and forgets the dead.
    pub(crate) fn look(&mut self) {
        self.known
            .retain(|pid, started| start_time(*pid).ok() == Some(*started));
        if self.monitor_lives() {
            for child in children(self.monitor).unwrap_or_default() {
                if TaskStatus::read(child).is_ok_and(|status| status.uids[0] != 0) {
                    self.note(child);
                }
            }
        }
    }

    /// sshd's monitor, if it still lives.
    pub(crate) fn monitor(&self) -> Option<i32> {
        self.monitor_lives().then_some(self.monitor)
    }

    fn monitor_lives(&self) -> bool {
        self.monitor_started.is_some() && start_time(self.monitor).ok() == self.monitor_started
    }

    /// Every process of the session that can be found now, without the monitor.
    ///
    /// `thoroughly` looks at every process of the host, and is for those that
    /// descent and cgroup did not show: at the end of office hours hundreds of
    /// sessions end in the same second.
    pub(crate) fn all(&mut self, thoroughly: bool) -> Vec<i32> {
        self.look();
        let mut found: HashSet<i32> = self.known.keys().copied().collect();
        found.extend(
            self.in_cgroup()
                .into_iter()
                .filter(|pid| self.is_users(*pid)),
        );
        if thoroughly && self.marks.audit.is_some() {
            found.extend(
                processes()
                    .unwrap_or_default()
                    .into_iter()
                    .filter(|pid| self.is_users(*pid) && audit_session(*pid) == self.marks.audit),
            );
        }
        let mut roots: Vec<i32> = found.iter().copied().collect();
        roots.extend(self.monitor());
        found.extend(descendants(&roots));
        found.remove(&self.monitor);
        found.into_iter().collect()
    }

    fn in_cgroup(&self) -> Vec<i32> {
        let Some(scope) = &self.marks.cgroup else {
            return Vec::new();
        };
        fs::read_to_string(format!("/sys/fs/cgroup{scope}/cgroup.procs"))
            .unwrap_or_default()
            .lines()
            .filter_map(|pid| pid.parse().ok())
            .collect()
    }

    /// A mark alone never condemns a process of another user.
    fn is_users(&self, pid: i32) -> bool {
        TaskStatus::read(pid).is_ok_and(|status| self.uids.contains(&status.uids[0]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_login_scope_is_a_mark() {
        let scope = "0::/user.slice/user-70001.slice/session-5.scope\n";
        assert_eq!(
            session_scope(scope).unwrap(),
            "/user.slice/user-70001.slice/session-5.scope"
        );
        assert_eq!(session_scope("0::/system.slice/ssh.service\n"), None);
        assert_eq!(session_scope("12:pids:/session-5.scope\n0::/\n"), None);
    }

    #[test]
    fn a_mark_that_the_listener_has_too_is_none() {
        let common = Marks {
            audit: Some(3),
            cgroup: Some("/a/session-1.scope".into()),
        };
        assert_eq!(common.clone().unlike(&common), Marks::default());
        let own = Marks {
            audit: Some(4),
            cgroup: common.cgroup.clone(),
        };
        assert_eq!(
            own.unlike(&common),
            Marks {
                audit: Some(4),
                cgroup: None
            }
        );
    }
}
