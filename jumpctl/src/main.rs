//! The operator's command; see `lib.rs`.
fn main() -> std::process::ExitCode {
    jumpctl::run()
}
