//! The demo is told by `jump_lab`.
fn main() {}
