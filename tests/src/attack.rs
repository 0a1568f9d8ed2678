//! The program with which the lab attacks from inside a host: each known way
//! out of a session, as one command (`crates/sys/examples/attack.rs`).

use crate::admin::Admin;
use crate::example;
use crate::machine::Machine;
use crate::process::Output;
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// Where it is on a host.
pub const ATTACK: &str = "/usr/local/bin/attack";

/// What it said: how each thing that it tried went, by name.
pub type Tried = BTreeMap<String, String>;

/// Puts it onto a host, once.
///
/// # Errors
/// When it has not been built or cannot be copied.
pub fn arm(host: &Machine) -> Result<()> {
    example::put(host, "jump-sys", "attack").map(drop)
}

/// As an admin's uid on a host of theirs, but in no session.
///
/// # Errors
/// When it cannot be run or fails as a whole.
pub fn outside(host: &Machine, uid: u32, words: &[&str]) -> Result<Tried> {
    arm(host)?;
    let attack = host.command(ATTACK).user(uid, "/");
    read(&attack.args(words.iter().copied()).run()?.success()?)
}

/// Inside the admin's guarded session on the open bastion.
///
/// # Errors
/// As [`outside`].
pub fn inside(admin: &Admin<'_>, words: &[&str]) -> Result<Tried> {
    arm(admin.bastion())?;
    let line = format!("{ATTACK} {}", words.join(" "));
    read(&admin.in_session(&line)?.run()?.success()?)
}

/// What it said.
///
/// # Errors
/// When that is something else.
pub fn read(output: &Output) -> Result<Tried> {
    output
        .text()
        .lines()
        .map(|line| {
            let (name, how) = line.split_once('\t').with_context(|| line.to_owned())?;
            Ok((name.to_owned(), how.to_owned()))
        })
        .collect()
}
