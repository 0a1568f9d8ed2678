//! Prints the journal's message catalogue: `cargo run -p jump-audit --example catalog > packaging/jump.catalog`.

#![forbid(unsafe_code)]

use std::io::Write;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(jump_audit::catalog().as_bytes())
}
