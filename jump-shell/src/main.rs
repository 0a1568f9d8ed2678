//! The restricted login shell of a jump server; everything is in the library.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    jump_shell::run(std::env::args_os(), &jump_shell::Places::installed())
}
