//! What the users of the policy may reach at all, for the host's packet filter.
//!
//! The union of every allow rule's targets, whoever it serves and whenever: an
//! outer bound, not a decision. Addresses and ports only; whoever makes a
//! ruleset of it takes no text from here.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The bound that follows from the policy in force, or a part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Egress {
    /// Hash of the policy.
    pub policy: String,
    /// Primary group of every policy user: it also marks the processes of a user who was just removed.
    pub gid: u32,
    /// Uids of the policy's users.
    pub uids: Vec<u32>,
    /// The host's resolvers.
    pub resolvers: Vec<IpAddr>,
    /// What rules allow.
    pub reach: Vec<EgressReach>,
}

/// One destination of an allow rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressReach {
    /// The network's first address.
    pub address: IpAddr,
    /// Its prefix length; 32 or 128 for one host.
    pub prefix: u8,
    /// First and last TCP port.
    pub ports: (u16, u16),
    /// Whether a target lists exactly this address: only then may it be one of the host's own.
    pub listed: bool,
}

impl Egress {
    /// Takes in a further part.
    pub fn extend(&mut self, more: Self) {
        self.policy = more.policy;
        self.gid = more.gid;
        self.uids.extend(more.uids);
        self.resolvers.extend(more.resolvers);
        self.reach.extend(more.reach);
    }
}
