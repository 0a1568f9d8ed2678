//! The decision point: it alone holds the policy, the second factors and the
//! live sessions, and it alone writes audit events.
//!
//! Threads and blocking I/O: one thread per connection, one for the ends of
//! sockets, one for the clock. Whatever fails on the way to an answer, the
//! answer is a denial, and an event says why. An allowed thing is in the
//! journal before it is allowed.

#![forbid(unsafe_code)]

pub mod accounts;
mod activity;
mod agent;
#[cfg(test)]
mod agreement;
pub mod asked;
mod backup;
mod ca;
mod carriers;
mod connection;
mod egress;
mod endings;
mod factor;
mod flows;
mod generation;
mod hop_judge;
mod hop_open;
mod hops;
mod host;
mod judge;
pub mod keys;
mod known_hosts;
mod limits;
mod login;
mod methods;
mod mfa;
mod names;
mod operator;
mod own;
mod own_agent;
mod recorder;
mod rejudge;
mod remember;
mod sealing;
mod server;
mod sessions;
mod shell;
mod state;
mod stop;

pub use server::run;
