//! The module as sshd has it: loaded by libpam into a process as root, with
//! the account index, the name service library and a jumpd that does what a
//! trial says.
//!
//! Each trial is this program run once more, in a mount namespace of its own
//! whose `/etc`, `/run` and `/var/lib` nobody else sees. The mistakes that
//! trials are named after (h06 …) stand in docs/mfa-hazards.md.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test program, trials and helpers"
)]

#[path = "edge/answers.rs"]
mod answers;
#[path = "support/application.rs"]
mod application;
#[path = "edge/artifact.rs"]
mod artifact;
#[path = "edge/faults.rs"]
mod faults;
#[path = "edge/host.rs"]
mod host;
#[path = "edge/jumpd.rs"]
mod jumpd;
#[path = "edge/process.rs"]
mod process;
#[path = "../../nss_jump/tests/support/mod.rs"]
mod support;

use libtest_mimic::{Arguments, Failed, Trial};
use std::path::Path;
use std::process::{Command, ExitCode};

/// Which trial this process is to be.
const TRIAL: &str = "PAM_TRIAL";

type Body = fn();

fn trials() -> Vec<(&'static str, Body)> {
    [
        answers::TRIALS,
        artifact::TRIALS,
        faults::TRIALS,
        process::TRIALS,
    ]
    .concat()
}

fn main() -> ExitCode {
    if let Some(hook) = std::env::var_os(faults::HOOK) {
        return faults::call(&hook.to_string_lossy());
    }
    if let Ok(wanted) = std::env::var(TRIAL) {
        host::enter();
        return match trials().into_iter().find(|(name, _)| *name == wanted) {
            Some((_, body)) => {
                body();
                ExitCode::SUCCESS
            }
            None => ExitCode::FAILURE,
        };
    }
    let trials = trials()
        .into_iter()
        .map(|(name, _)| Trial::test(name, move || run(name)))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn run(name: &str) -> Result<(), Failed> {
    let library = support::library(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let output = Command::new("timeout")
        .args(["--kill-after=5", "100"])
        .arg(std::env::current_exe()?)
        .env(TRIAL, name)
        .env("LD_LIBRARY_PATH", library)
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}\n{said}", output.status).into())
}
