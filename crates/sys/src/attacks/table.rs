//! The session filter for people to read: `docs/session-filter.md`.
//!
//! Every cell is what the compiled filter answers in the interpreter, and where
//! it sends the call to the guard, what the guard makes of it.

use super::foreign::Abi;
use super::lines::probes;
use super::probe::Probe;
use crate::seccomp::{ARCH, Call, interpret, row_of, rows, session_filter};
use libc::seccomp_data;
use std::fmt::Write;

const HEAD: &str = "\
# The session filter

<!-- Written by: cargo run -p jump-sys --example session-filter-md > docs/session-filter.md -->

Every process of a jump session, sshd's own included, runs under this filter. It is a list of refusals, in
`crates/sys/src/seccomp/rows.rs`: a call that no rule speaks of runs. Below is every rule with every flag that it names and
those it is there to catch, by the tables (and numbers) of four architectures on an x86-64 host. Each line is run in an interpreter of the filter's
program (`crates/sys/tests/filter.rs`) and for real in a guarded session (`jump-guard/tests/session/table.rs`).

| answer | meaning |
|---|---|
| runs | the call runs |
| *errno* | it fails with this error, from the kernel and without an event: the C library tries it by itself and does without |
| *errno*, event | the guard answers with this error and has `forward.denied`, reason `forbidden_call`, written, with the reason below |
| *errno* but root | sshd's monitor, root in all its uids, may; everybody else gets the error, with an event where it says so |
| *errno* but agent | the guard makes the call itself for the socket that sshd listens on for a forwarded agent, where jumpd says that the user may take theirs along; every other socket gets the error, with an event |
| judged | the guard asks jumpd and connects the socket itself, or it fails with EACCES and an event |
| ended | a call by another architecture's table: whatever its number is, it does not run, the guard kills the process, and it is an event |

When the guard is gone, every call that would have gone to it fails with ENOSYS.

| call | x86-64 | i386 | x32 | aarch64 | why |
|---|---|---|---|---|---|
";

/// The name of an errno that the filter gives.
#[must_use]
pub fn errno_name(errno: i32) -> &'static str {
    match errno {
        libc::EPERM => "EPERM",
        libc::EACCES => "EACCES",
        libc::ENOSYS => "ENOSYS",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::EPROTONOSUPPORT => "EPROTONOSUPPORT",
        libc::EAFNOSUPPORT => "EAFNOSUPPORT",
        _ => "an errno without a name here",
    }
}

/// What becomes of a call, in words.
fn answer(arch: u32, number: i32, args: [u64; 6]) -> String {
    let data = seccomp_data {
        nr: number,
        arch,
        instruction_pointer: 0,
        args,
    };
    let answer = interpret(&session_filter(), &data);
    match answer & libc::SECCOMP_RET_ACTION_FULL {
        libc::SECCOMP_RET_ALLOW => "runs".to_owned(),
        libc::SECCOMP_RET_ERRNO => errno_name((answer & libc::SECCOMP_RET_DATA) as i32).to_owned(),
        libc::SECCOMP_RET_USER_NOTIF => match Call::of(arch, number, &args) {
            Call::Foreign(_) => "ended".to_owned(),
            Call::Forbidden { errno, .. } => format!("{}, event", errno_name(errno)),
            Call::RootOnly { errno, told, .. } => {
                let event = if told { ", event" } else { "" };
                format!("{} but root{event}", errno_name(errno))
            }
            Call::Bind { errno, .. } => format!("{} but root and agent, event", errno_name(errno)),
            Call::Listen { errno, .. } => format!("{} but agent, event", errno_name(errno)),
            Call::Connect(_) => "judged".to_owned(),
            Call::Unknown => "stopped by no rule".to_owned(),
        },
        _ => "not an answer of this filter".to_owned(),
    }
}

fn line(probe: &Probe) -> String {
    let args = probe.seen();
    let mut line = format!("| `{probe}` | {}", answer(ARCH, probe.number as i32, args));
    for abi in Abi::ALL {
        let cell = probe.foreign_number(abi).map_or_else(
            || "no such call".to_owned(),
            |number| {
                let answer = answer(abi.arch(), number as i32, args);
                format!("{}: {answer}", number & 0x3fff_ffff)
            },
        );
        // Writing to a String does not fail.
        let _ = write!(line, " | {cell}");
    }
    let why = row_of(rows(), probe.number, &args).map_or("no rule", |row| row.why);
    let _ = writeln!(line, " | {why} |");
    line
}

/// The whole page.
#[must_use]
pub fn table() -> String {
    probes()
        .iter()
        .fold(HEAD.to_owned(), |page, probe| page + &line(probe))
}
