//! The shell as its users and its attackers meet it: whole processes, confined
//! for real, with a jumpd of the test's own.
//!
//! The confinement is for good and for one thread, so every test starts this
//! very program again as a child that plays the shell (or makes one system
//! call), and looks at it from outside. The socket of jumpd is an argument of
//! the library; the installed program knows only the one path.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test without the usual harness; it fails by panicking like any other"
)]

mod answers;
mod broken;
mod calls;
mod confinement;
mod editing;
mod fake;
mod guarded;
mod hop;
mod hop_calls;
mod hop_kernel;
mod recorded;
mod recorder;
mod relay;
mod shell;
mod target;
mod terminal;

use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;

/// A test by name.
pub(crate) type Tests = Vec<(String, Box<dyn FnOnce() + Send>)>;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(|role| role.to_str()) {
        Some(shell::ROLE) => return shell::child(arguments),
        Some(calls::ROLE) => return calls::child(arguments),
        Some(confinement::ROLE) => return confinement::child(arguments),
        Some(guarded::ROLE) => return guarded::child(arguments),
        Some(hop_kernel::ROLE) => return hop_kernel::child(arguments),
        _ => {}
    }
    let tests = [
        answers::tests(),
        broken::tests(),
        calls::tests(),
        confinement::tests(),
        editing::tests(),
        guarded::tests(),
        hop::tests(),
        hop_calls::tests(),
        hop_kernel::tests(),
        recorded::tests(),
        relay::tests(),
        terminal::tests(),
    ];
    let trials = tests
        .into_iter()
        .flatten()
        .map(|(name, test)| trial(name, test))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: String, test: Box<dyn FnOnce() + Send>) -> Trial {
    Trial::test(name, move || {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(test)).map_err(|panic| {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            Failed::from(
                said.or(panic.downcast_ref::<&str>().copied())
                    .unwrap_or("it panicked")
                    .to_owned(),
            )
        })
    })
}

/// Names tests by their functions.
#[macro_export]
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        vec![$((
            concat!(module_path!(), "::", stringify!($test)).replace("confined::", ""),
            Box::new($test) as Box<dyn FnOnce() + Send>,
        )),*]
    };
}
