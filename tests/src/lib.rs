//! The lab: real Debian hosts with systemd, journald, logind and the stock
//! sshd, booted in about a second, in which the whole product is tried with
//! unmodified OpenSSH clients.
//!
//! From the ground up:
//!
//! - [`ground`]: the process runs in namespaces of its own, so that nothing it
//!   makes (mounts, bridges, processes) can outlive it, whatever kills it.
//! - [`base`]: one Debian tree per release, made once by mmdebstrap.
//! - [`machine`]: a host booted from the base with systemd-nspawn; [`process`]
//!   runs programs in it, [`journal`] follows what it writes down.
//! - [`network`]: who has which address, and which services listen; [`dns`]:
//!   what names stand for.
//! - [`seat`]: an admin at the client machine, with ssh, key and authenticator.
//! - [`bastion`]: a machine with the product installed and its policy;
//!   [`stock`]: a jump host without us; [`fragile`]: bastions to be broken.
//! - [`lab`]: bastion, two targets and a client; [`admin`]: who is hired there.
//! - [`weak`]: a bastion of which layers can be left out.
//! - [`clock`]: a clock of their own for services of a host.
//! - [`example`]: programs that are in no package, among them [`attack`] and the client of [`pam`].
//! - [`story`]: what the scenarios use to say what they expect.
//!
//! The scenarios stand in `tests/tests/scenarios`, the attacks, by number, in
//! `tests/tests/attacks`.
#![forbid(unsafe_code)]

pub mod admin;
pub mod attack;
pub mod authenticator;
pub mod base;
pub mod bastion;
pub mod clock;
pub mod dns;
pub mod example;
pub mod fragile;
pub mod ground;
pub mod hops;
pub mod journal;
pub mod lab;
pub mod machine;
pub mod network;
pub mod pam;
pub mod peculiar;
pub mod policy;
pub mod process;
pub mod seat;
mod sshd;
pub mod stock;
pub mod story;
pub mod weak;
