//! The connection of a hop: ssh alone makes it, only to where a hop of its session is open, and only
//! while somebody records that hop where a rule says so.

#[cfg(test)]
mod tests;

use crate::carriers::Process;
use crate::hops::Hop;
use crate::judge::recorded_only;
use crate::sessions::{Asker, Flow, Session};
use crate::state::Jumpd;
use jump_policy::{Decision, Destination, Policy};
use jump_proto::{HopId, JudgeRequest, Reason, Via};
use std::net::SocketAddr;

/// Of so many of the processes that an ssh descends from a guard may tell.
const MOST_ANCESTORS: usize = 4;

/// What a connection is for, as far as decisions tell it apart.
#[derive(Debug, Clone)]
pub(crate) enum Purpose {
    /// A connection of the user's own program.
    Plain(Via),
    /// A hop of jump-shell's.
    Hop(Carried),
}

/// The hop that a connection is for.
#[derive(Debug, Clone)]
pub(crate) struct Carried {
    id: HopId,
    login: String,
    /// Whether what a rule says of recording is kept.
    recorded: bool,
}

impl Purpose {
    /// Which way.
    pub(crate) fn via(&self) -> Via {
        match self {
            Self::Plain(via) => *via,
            Self::Hop(_) => Via::Shell,
        }
    }

    /// The hop, if it is one.
    pub(crate) fn hop(&self) -> Option<&HopId> {
        match self {
            Self::Plain(_) => None,
            Self::Hop(carried) => Some(&carried.id),
        }
    }

    /// What a connection in the books is for; `None` when its hop is over.
    pub(crate) fn of(flow: &Flow, session: &Session) -> Option<Self> {
        let Some(id) = &flow.hop else {
            return Some(Self::Plain(flow.via));
        };
        let hop = session.hops.get(id)?;
        Some(Self::Hop(Carried {
            id: id.clone(),
            login: hop.login.clone(),
            // One that was begun as recorded is cut when its recorder is gone, and not before.
            recorded: hop.recorded || hop.record,
        }))
    }
}

/// Whether the hop may have this connection: it has no other.
fn is_free(session: &Session, hop: &HopId, cookie: u64) -> bool {
    let theirs = |(known, flow): (&u64, &Flow)| *known != cookie && flow.hop.as_ref() == Some(hop);
    !session.flows.iter().any(theirs)
}

/// Whether this process may carry the hop: it never carried another.
fn may_be_of(session: &Session, hop: &HopId, process: &Process) -> bool {
    session.carried_by(process).is_none_or(|known| known == hop)
}

/// Whether this process may carry the hop: the shell that asked for it is among those that it descends from.
fn is_of(hop: &Hop, family: &[Process]) -> bool {
    hop.shell.is_some_and(|shell| family.contains(&shell))
}

/// Why a connection is of no hop, and the rule of the hop that it could be of.
pub(crate) type NoHop = (Reason, Option<String>);

/// The open hop to this place that still waits for its connection, or whose connection asks once more: one of the shell that
/// started this ssh. A shell has one hop at a time, so of several the last is meant, and the others were left behind.
///
/// # Errors
/// Why there is none: nothing waits for this process, or what waits must be recorded and is not.
pub(crate) fn waiting_hop(
    session: &Session,
    destination: SocketAddr,
    request: &JudgeRequest,
) -> Result<Purpose, NoHop> {
    let process = Process::of(request.pid);
    let family = request.ancestors.iter().take(MOST_ANCESTORS);
    let family: Vec<Process> = family.map(|pid| Process::of(*pid)).collect();
    let fits = |hop: &&Hop| {
        hop.address == destination
            && is_of(hop, &family)
            && is_free(session, &hop.id, request.cookie)
            && may_be_of(session, &hop.id, &process)
    };
    let known = session.flows.get(&request.cookie);
    let asked_before = known.and_then(|flow| flow.hop.as_ref());
    let mut open: Vec<&Hop> = session.hops.values().filter(fits).collect();
    open.sort_by_key(|hop| {
        (
            asked_before != Some(&hop.id),
            std::cmp::Reverse(hop.started_boot_ms),
        )
    });
    match open.iter().find(|hop| hop.may_connect()) {
        Some(hop) => Ok(Purpose::Hop(Carried {
            id: hop.id.clone(),
            login: hop.login.clone(),
            recorded: hop.recorded,
        })),
        None => Err(match open.first() {
            Some(hop) => (Reason::RecordRequired, Some(hop.rule.clone())),
            None => (Reason::WrongVia, None),
        }),
    }
}

/// Whether a connection for this purpose may be written into the books now; if so, its process carries its hop, and no other ever.
///
/// # Errors
/// Why not: its hop is over, has another connection, or is recorded no more; or its process carried another.
pub(crate) fn carry(
    session: &mut Session,
    purpose: &Purpose,
    request: &JudgeRequest,
    record: bool,
) -> Result<(), Reason> {
    let Some(id) = purpose.hop() else {
        return Ok(());
    };
    let process = Process::of(request.pid);
    let free = is_free(session, id, request.cookie) && may_be_of(session, id, &process);
    match session.hops.get(id).filter(|_| free) {
        None => Err(Reason::WrongVia),
        Some(hop) if (record || hop.record) && !hop.recorded => Err(Reason::RecordRequired),
        Some(_) => {
            session.carries(process, id);
            Ok(())
        }
    }
}

impl Jumpd {
    /// May the asker's session hop there as `login` or, with none, as anybody? A rule that records grants it, and says so.
    pub(crate) fn hop_decision(
        &self,
        policy: &Policy,
        asker: &Asker,
        to: &Destination,
        login: Option<&str>,
    ) -> Decision {
        let now = self.now();
        policy.judge_hop(
            &asker.subject(),
            asker.source.ip(),
            to,
            login,
            Some(asker.opened_at(now)),
            now,
            self.names.as_ref(),
        )
    }

    /// May the asker's session have a connection there for this purpose?
    pub(crate) fn purpose_decision(
        &self,
        policy: &Policy,
        asker: &Asker,
        to: &Destination,
        purpose: &Purpose,
    ) -> Decision {
        match purpose {
            Purpose::Plain(via) => self.session_decision(policy, asker, to, *via),
            Purpose::Hop(carried) => {
                let decision = self.hop_decision(policy, asker, to, Some(&carried.login));
                if carried.recorded {
                    decision
                } else {
                    recorded_only(decision)
                }
            }
        }
    }
}
