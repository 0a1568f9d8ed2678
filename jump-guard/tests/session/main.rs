//! Real sessions on this host's kernel: a monitor that installs the filter, a
//! user's child of it, a guard with the rights of its unit, and a jumpd that
//! is a thread of the test.
//!
//! This program is all of them but jumpd: it starts itself again with a role.
//! The filter stays in force for the life of a process, so no test runs in the
//! test's own. Needs root; says so and does nothing otherwise.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking, and its processes talk to each other on stdout"
)]

mod agents;
mod attacks;
mod ends;
mod faults;
mod forwards;
mod handshakes;
mod hostile;
mod jumpd;
mod lab;
mod probes;
mod roles;
mod table;

use libtest_mimic::{Arguments, Trial};

fn main() -> std::process::ExitCode {
    if let Some(status) = roles::play() {
        return status;
    }
    let arguments = Arguments::from_args();
    if !nix::unistd::geteuid().is_root() {
        eprintln!(
            "skipped: a session filter without no_new_privs, and a user to confine, need root"
        );
        return libtest_mimic::run(&arguments, Vec::new()).exit_code();
    }
    let trials = [
        forwards::TRIALS,
        attacks::TRIALS,
        agents::TRIALS,
        table::TRIALS,
        handshakes::TRIALS,
        ends::TRIALS,
        faults::TRIALS,
    ]
    .concat()
    .into_iter()
    .map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    })
    .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
