//! Prints `docs/session-filter.md`.

#![allow(clippy::print_stdout, reason = "that is what it is for")]

fn main() {
    print!("{}", jump_sys::attacks::table());
}
