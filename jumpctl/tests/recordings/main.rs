//! `jumpctl recordings`, run as an auditor runs it, on recordings that the library made.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod export;
mod grep;
mod list;
mod play;
mod shelf;
mod verify;
