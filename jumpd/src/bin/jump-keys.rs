//! `jump-keys USER`: sshd's `AuthorizedKeysCommand`, run as the user `jump-keys`.
//!
//! Prints the `authorized_keys` lines of one policy user from the file that
//! jumpd publishes. It asks nobody, so keys are there with jumpd dead; with
//! no file there are no keys, and none for an sshd that would not ask pam_jump.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(user), None) = (words.next(), words.next()) else {
        return fail(
            "usage: jump-keys USER (run by sshd, see sshd_config(5), AuthorizedKeysCommand)",
        );
    };
    if let Err(why) = jumpd::asked::by_sshd(std::path::Path::new("/")) {
        return fail(&why);
    }
    let file = match std::fs::read_to_string(jump_proto::paths::KEYS) {
        Ok(file) => file,
        Err(e) => return fail(&format!("cannot read {}: {e}", jump_proto::paths::KEYS)),
    };
    let mut out = std::io::stdout().lock();
    for line in jumpd::keys::lines_of(&file, &user) {
        if writeln!(out, "{line}").is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn fail(why: &str) -> ExitCode {
    // sshd logs what the command says on standard error.
    let _told = writeln!(std::io::stderr(), "jump-keys: {why}");
    ExitCode::FAILURE
}
