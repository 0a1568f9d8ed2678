//! The connection of a hop: ssh alone makes it, only to where a hop of its session is open, and only
//! while somebody records that hop where a rule says so.

use crate::hops::Hop;
use crate::judge::recorded_only;
use crate::sessions::{Asker, Flow, Session};
use crate::state::Jumpd;
use jump_policy::{Decision, Destination, Policy};
use jump_proto::{HopId, JudgeRequest, Reason, Via};
use std::net::SocketAddr;

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

/// The open hop to this place that still waits for its connection, or whose connection asks once more.
pub(crate) fn waiting_hop(
    session: &Session,
    destination: SocketAddr,
    request: &JudgeRequest,
) -> Option<Purpose> {
    let fits = |hop: &&Hop| hop.address == destination && is_free(session, &hop.id, request.cookie);
    let known = session.flows.get(&request.cookie);
    let asked_before = known.and_then(|flow| session.hops.get(flow.hop.as_ref()?));
    let hop = asked_before
        .filter(fits)
        .or_else(|| session.hops.values().find(fits))?;
    Some(Purpose::Hop(Carried {
        id: hop.id.clone(),
        login: hop.login.clone(),
        recorded: hop.recorded,
    }))
}

/// Whether a connection for this purpose may be written into the books now.
///
/// # Errors
/// Why not: its hop is over, has another connection, or is recorded no more.
pub(crate) fn may_carry(
    session: &Session,
    purpose: &Purpose,
    cookie: u64,
    record: bool,
) -> Result<(), Reason> {
    let Some(id) = purpose.hop() else {
        return Ok(());
    };
    let hop = session
        .hops
        .get(id)
        .filter(|_| is_free(session, id, cookie));
    match hop {
        None => Err(Reason::WrongVia),
        Some(hop) if (record || hop.record) && !hop.recorded => Err(Reason::RecordRequired),
        Some(_) => Ok(()),
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
