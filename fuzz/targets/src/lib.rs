//! What each fuzzer does with its bytes.
//!
//! The fuzzers themselves (`fuzz/fuzz_targets`, run by `cargo xtask fuzz`) are
//! one line each and live outside the workspace. What they do stands here, so
//! that every build compiles it and the unit tests run it with every seed.
//! A target panics where something does not hold, and never otherwise.

#![forbid(unsafe_code)]

mod accounts;
mod agent;
mod messages;
mod policy;
mod shell_words;
mod sockaddr;

pub use accounts::accounts;
pub use agent::agent;
pub use messages::messages;
pub use policy::policy;
pub use shell_words::shell_words;
pub use sockaddr::sockaddr;

/// One fuzzer.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: of the function, of `fuzz/fuzz_targets/*.rs`, and of its seeds in `fuzz/seeds`.
    pub name: &'static str,
    /// What it does with its bytes.
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($name:ident,)*) => {
        /// All of them.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), run: $name },)*];
    };
}

targets! {
    accounts,
    agent,
    messages,
    policy,
    shell_words,
    sockaddr,
}
