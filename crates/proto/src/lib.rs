//! Messages between `pam_jump`, `jump-guard`, `jump-shell`, `jumpctl` and `jumpd`.
//!
//! One message is one `SOCK_SEQPACKET` datagram holding one JSON value: the
//! kernel keeps the boundaries, and a guard started before a package upgrade
//! still understands a jumpd started after it (new fields are optional).
//! Nothing here decides anything; this crate only says what can be said.

#![forbid(unsafe_code)]

mod channel;
mod egress;
mod factor;
pub mod handshake;
pub mod hop;
mod message;
pub mod paths;
pub mod policy_file;
mod secret;
mod words;

pub use channel::{Channel, ChannelError, MAX_MESSAGE, PeerCredentials, TIMEOUT};
pub use egress::{Egress, EgressReach};
pub use factor::{Method, TotpAlgorithm, TotpChoice, TotpParams};
pub use hop::{HopId, HopIdError, asker_name, asking_process};
pub use message::*;
pub use secret::Secret;
pub use words::{Reason, SessionId, SessionIdError, Via};
