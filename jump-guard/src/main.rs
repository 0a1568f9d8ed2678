//! The per-session enforcement point; see the library.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    jump_guard::run()
}
