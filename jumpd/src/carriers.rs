//! Which process carried which hop of a session: one process carries one hop, as long as it lives.
//!
//! ssh of a hop speaks to a target that may be hostile. One that was taken
//! over must not connect for another hop, and not be given its certificate.

use crate::sessions::{Flow, Session};
use jump_proto::HopId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

/// The process of the session whose socket this is the other end of; none where its guard did not say
/// ([`jump_proto::asker_name`]), as guards of earlier releases do not of a shell's.
///
/// # Errors
/// When the kernel does not tell.
pub(crate) fn asking_process(connection: BorrowedFd<'_>) -> rustix::io::Result<Option<i32>> {
    let Some(peer) = rustix::net::getpeername(connection)? else {
        return Ok(None);
    };
    let peer = rustix::net::SocketAddrUnix::try_from(peer)?;
    Ok(peer.abstract_name().and_then(jump_proto::asking_process))
}

/// A process; one that has its number later is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pid: i32,
    /// When it was started, in clock ticks since boot; absent where that could not be read.
    started: Option<u64>,
}

impl Process {
    /// The process that has this number now.
    pub(crate) fn of(pid: i32) -> Self {
        let stat = std::fs::read(format!("/proc/{pid}/stat"));
        Self {
            pid,
            started: stat.ok().and_then(|stat| started(&stat)),
        }
    }

    /// Its number.
    #[cfg(test)]
    pub(crate) fn pid(self) -> i32 {
        self.pid
    }

    /// Another one that has the same number a tick later.
    #[cfg(test)]
    pub(crate) fn started_later(self) -> Self {
        Self {
            started: self.started.map(|ticks| ticks + 1),
            ..self
        }
    }
}

/// When the process was started whose `/proc/PID/stat` (proc(5)) this is.
fn started(stat: &[u8]) -> Option<u64> {
    // The name is in brackets, and may have brackets in it.
    let bracket = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(bracket + 1..)?).ok()?;
    // Field 22, and the first behind the name is the third.
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// A process that carried a hop, or carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Carrier {
    process: Process,
    hop: HopId,
}

impl Carrier {
    /// Whether it is this process. Without a start to compare, it is while its connection is in the books.
    fn is(&self, process: &Process, flows: &BTreeMap<u64, Flow>) -> bool {
        let mut flows = flows.values();
        self.process.pid == process.pid
            && match (self.process.started, process.started) {
                (Some(then), Some(now)) => then == now,
                _ => flows
                    .any(|flow| flow.pid == process.pid && flow.hop.as_ref() == Some(&self.hop)),
            }
    }
}

impl Session {
    /// The hop that this process carried, or carries.
    pub(crate) fn carried_by(&self, process: &Process) -> Option<&HopId> {
        let mut carriers = self.carriers.iter();
        let found = carriers.find(|known| known.is(process, &self.flows))?;
        Some(&found.hop)
    }

    /// This process carries this hop, and none but it. Processes that are gone are forgotten.
    pub(crate) fn carries(&mut self, process: Process, hop: &HopId) {
        let flows = &self.flows;
        self.carriers
            .retain(|known| known.is(&Process::of(known.process.pid), flows));
        let carrier = Carrier {
            process,
            hop: hop.clone(),
        };
        if !self.carriers.contains(&carrier) {
            self.carriers.push(carrier);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::{Sessions, tests::session};
    use jump_proto::SessionId;

    fn me() -> Process {
        Process::of(i32::try_from(std::process::id()).unwrap())
    }

    fn hop(id: u8) -> HopId {
        HopId::from_bytes([id; 16])
    }

    #[test]
    fn a_process_is_known_by_its_start_whatever_its_name() {
        let fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        for name in ["ssh", "a b", ") S 1 2 3", "\u{e9})("] {
            let stat = format!("4711 ({name}) {}\n", fields.join(" "));
            assert_eq!(started(stat.as_bytes()), Some(22), "{name}");
        }
        assert_eq!(started(b"4711 (ssh) S 1"), None);
        assert_eq!(started(b""), None);
        assert!(me().started.is_some_and(|ticks| ticks > 0));
        assert_eq!(Process::of(i32::MAX).started, None);
    }

    #[test]
    fn a_number_that_is_used_again_is_another_process() {
        let mut one = session(1);
        one.carries(me(), &hop(7));
        assert_eq!(one.carried_by(&me()), Some(&hop(7)));
        assert_eq!(one.carried_by(&me().started_later()), None);
    }

    #[test]
    fn what_is_gone_is_forgotten_and_what_lives_is_not() {
        let mut one = session(1);
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let its = Process::of(i32::try_from(child.id()).unwrap());
        one.carries(me(), &hop(7));
        one.carries(its, &hop(8));
        child.kill().unwrap();
        child.wait().unwrap();
        one.carries(me(), &hop(7));
        let left: Vec<_> = one.carriers.iter().map(|known| known.process).collect();
        assert_eq!(left, [me()]);
    }

    #[test]
    fn a_restarted_jumpd_knows_who_carried_what() {
        let state = tempfile::tempdir().unwrap();
        let mut before = Sessions::load(state.path()).unwrap();
        let mut one = session(1);
        one.carries(me(), &hop(7));
        before.insert(one).unwrap();
        let after = Sessions::load(state.path()).unwrap();
        let one = after.get(&SessionId::from_bytes([1; 16])).unwrap();
        assert_eq!(one.carried_by(&me()), Some(&hop(7)));
    }
}
