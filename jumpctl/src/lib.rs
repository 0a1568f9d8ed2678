//! `jumpctl`: everything a sysadmin or auditor does with a jump server is one command of it.
//!
//! The program decides nothing. It edits files of the host (`setup`), asks
//! jumpd, which decides, and shows the answer; `check` reads a policy with the
//! same code as jumpd. Every command takes `--json`; the exit code is 0 for
//! yes, 1 for no, 2 for "no answer", so that scripts need not read text.

#![forbid(unsafe_code)]

mod cli;
mod client;
mod commands;
mod credential;
pub mod egress;
mod error;
mod nss;
mod output;
mod policy_file;
pub mod setup;
mod time;

pub use cli::Cli;
pub use client::Jumpd;
pub use error::{Answer, Error, Outcome};
pub use output::Output;

use clap::Parser as _;
use output::{printable_lines, remark};
use std::process::ExitCode;

/// Enrolments, backups and keys pass through this process and through what it starts.
fn leave_no_core() -> nix::Result<()> {
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0)?;
    nix::sys::prctl::set_dumpable(false)
}

/// Reads the command line, does what it says, and turns the answer into an exit code.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    if let Err(e) = leave_no_core() {
        remark(format!(
            "a core dump of this command cannot be ruled out: {e}"
        ));
    }
    let mut out = Output::new(cli.json);
    match commands::run(cli.command, &Jumpd::default(), &mut out) {
        Ok(Outcome::Yes) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        Err(e) => {
            let code = e.exit_code();
            let sentence = printable_lines(&e.to_string());
            let reason = match &e {
                Error::Refused { reason, .. } => Some(*reason),
                _ => None,
            };
            let _ = out.json(&serde_json::json!({ "error": sentence, "reason": reason }));
            if !out.is_json() {
                remark(sentence);
            }
            ExitCode::from(code)
        }
    }
}
