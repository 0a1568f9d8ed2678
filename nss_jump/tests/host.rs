//! The library inside real processes, asked through glibc: `nsswitch.conf`
//! says `files jump`, `/etc/passwd` and the index are the trial's own.
//!
//! Each trial is this program run once more, with the library in its search
//! path, in a mount namespace of its own; so a trial may break its host, its
//! descriptors and its threads as it likes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test program, trials and helpers"
)]

mod support;

#[path = "host/answers.rs"]
mod answers;
#[path = "host/broken.rs"]
mod broken;
#[path = "host/buffers.rs"]
mod buffers;
#[path = "host/direct.rs"]
mod direct;
#[path = "host/process.rs"]
mod process;

use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

/// Which trial this process is to be.
const TRIAL: &str = "NSS_TRIAL";

type Body = fn();

fn trials() -> Vec<(&'static str, Body)> {
    [
        answers::TRIALS,
        broken::TRIALS,
        buffers::TRIALS,
        process::TRIALS,
    ]
    .concat()
}

fn main() -> ExitCode {
    if let Ok(wanted) = std::env::var(TRIAL) {
        support::enter_private_host();
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
        .arg("60")
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
