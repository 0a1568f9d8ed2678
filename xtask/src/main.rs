//! `cargo xtask`: everything a developer does, one command each.
//!
//! Standard library only, so that it is there in seconds on a fresh machine;
//! what the commands need beyond Rust they install themselves ([`tools`]).

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a person at a terminal"
)]

mod docs;
mod fuzz;
mod lab;
mod packages;
mod stages;
mod tools;

use packages::Build;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What a command ends with: nothing, or what went wrong in one sentence.
pub(crate) type Outcome = Result<(), String>;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo              boot a bastion, two targets and a client; show the main job with real ssh
  test              everything: formatting, lints, licences, docs, unit tests, the lab
  test --fast       the same without the lab
  lab               the lab's scenarios on Debian 12 and 13, side by side, as `test` runs them
  lab SUITE [--full] [FILTER...]
                    the lab's scenarios on Debian SUITE (bookworm, trixie), all or those whose name holds FILTER;
                    --full: with ten times the rounds where a story has a long form
  docs              write docs/known-attacks.md and docs/mfa-hazards.md anew, from the tests
  fuzz [--seconds N] [TARGET]
                    every fuzzer, or one, for ten minutes each or N seconds
  soak [--sessions N] [--minutes M]
                    holds 1,000 sessions with four forwards each for ten minutes; counts what is left
  bench [--keystrokes N] [--megabytes N] [--json]
                    what a hop, its recording and `connect` cost, beside script(1) and nc(1); four gigabytes each way
  regress [SUITE...] [FILTER...]
                    OpenSSH's own regression tests against sshd with our PAM stack, on Debian 12 and 13
  deb [--profile P] target/packages/jump-server_<version>_amd64.deb
  rpm [--profile P] target/packages/jump-server-<version>-1.x86_64.rpm
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["demo"] => lab::demo(),
        ["test"] => stages::all(true),
        ["test", "--fast"] => stages::all(false),
        ["lab"] => lab::whole(),
        ["lab", suite, filter @ ..] => lab::scenarios(suite, filter),
        ["docs"] => docs::write(),
        ["soak", words @ ..] => lab::soak(words),
        ["bench", words @ ..] => lab::bench(words),
        ["fuzz", words @ ..] => fuzz::fuzz(words),
        ["regress", words @ ..] => lab::regress(words),
        ["deb"] => {
            packages::deb(Build::Hosts("release")).map(|path| println!("{}", path.display()))
        }
        ["deb", "--profile", profile] => {
            packages::deb(Build::Hosts(profile)).map(|path| println!("{}", path.display()))
        }
        ["rpm"] => {
            packages::rpm(Build::Hosts("release")).map(|path| println!("{}", path.display()))
        }
        ["rpm", "--profile", profile] => {
            packages::rpm(Build::Hosts(profile)).map(|path| println!("{}", path.display()))
        }
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The top of the checkout.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Cargo's build directory.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// `cargo` in the checkout, with the installed tools in its path.
pub(crate) fn cargo(words: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(words)
        .current_dir(root())
        .env("PATH", tools::path());
    cargo
}

/// Runs a command and waits.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let name = format!("{command:?}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name}: {status}")),
        Err(e) => Err(format!("{name}: {e}")),
    }
}
