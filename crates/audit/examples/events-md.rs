//! Prints the reference of all events: `cargo run -p jump-audit --example events-md > docs/events.md`.

#![forbid(unsafe_code)]

use std::io::Write;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(jump_audit::events_md().as_bytes())
}
