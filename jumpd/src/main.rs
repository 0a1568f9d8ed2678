//! `jumpd`: the decision point. Started by `jumpd.socket`; see jumpd(8).
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    jumpd::run()
}
