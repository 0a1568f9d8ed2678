//! The user CA of hops: keys, certificates, and the agent protocol by which ssh gets them.
//!
//! A hop has a key of its own, which lives as long as ssh asks for it, and a
//! certificate ([`Terms::certify`]) by which targets that trust the CA take it.
//! ssh asks as it asks every agent ([`agent`]); what it wants signed is read to
//! its last byte ([`Login::is_asked_for`]), so that the key signs this login and nothing else.
//!
//! Nothing here opens a file or a socket, reads a clock, or draws random
//! bytes: they come in as arguments.

#![forbid(unsafe_code)]

pub mod agent;
mod certificate;
mod key;
mod login;
mod wire;

pub use certificate::{Terms, TermsError};
pub use key::{NotAKey, PrivateKey, PublicKey, SEED};
pub use login::Login;
