//! OpenSSH's own regression tests against sshd with the product's PAM stack.
//!
//! `cargo xtask regress` runs this. Two hosts are booted with Debian's
//! `openssh-tests` and with the product installed and set up. On one the tests
//! run as a user the policy does not speak of, unchanged: nothing may be
//! different from a host without us. On the other they run as a user of the
//! policy, so that every login goes through `account`, the session and its
//! guard: what needs something a guarded session refuses must fail, and at
//! exactly the places that [`cases`] lists. [`kbdint`] then tries the prompt.
//!
//! The end is a table, and a red exit code if anything was not as expected.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a person at a terminal"
)]

mod cases;
mod host;
mod kbdint;
mod suite;

use anyhow::{Context, Result, bail};
use cases::CASES;
use host::{GUARDED, Host, ORDINARY};
use jump_lab::base::{self, Kind};
use jump_lab::ground::{self, Ground};
use jump_lab::{lab, network};
use std::process::ExitCode;
use suite::{Verdict, run_all};

fn main() -> ExitCode {
    let suite = std::env::var("JUMP_LAB_SUITE").unwrap_or_else(|_| "bookworm".into());
    let filter: Vec<String> = std::env::args().skip(1).collect();
    ground::stand_on(
        || base::tree_of(&suite, Kind::Regress).map(drop),
        |ground| run(ground, &suite, &filter),
    )
}

fn run(ground: &Ground, suite: &str, filter: &[String]) -> Result<ExitCode> {
    let chosen = |name: &str| filter.is_empty() || filter.iter().any(|word| name.contains(word));
    let cases: Vec<_> = CASES.iter().filter(|case| chosen(case.name)).collect();
    let base = base::tree_of(suite, Kind::Regress)?;
    let package = lab::package()?;
    network::lay()?;
    // The tests mostly sleep: both hosts at once.
    let (ordinary, guarded) = std::thread::scope(|scope| -> Result<_> {
        let begin = |seat| {
            let (base, package, cases) = (&base, &package, &cases);
            scope.spawn(move || {
                let host = Host::boot(ground, base, package, seat)?;
                let verdicts = run_all(&host, cases)?;
                let prompt = if seat.guarded && chosen("kbdint") {
                    Some(kbdint::run(&host))
                } else {
                    None
                };
                anyhow::Ok((verdicts, prompt))
            })
        };
        let (ordinary, guarded) = (begin(&ORDINARY), begin(&GUARDED));
        let Ok(ordinary) = ordinary.join() else {
            bail!("the ordinary host's thread panicked")
        };
        let Ok(guarded) = guarded.join() else {
            bail!("the guarded host's thread panicked")
        };
        Ok((
            ordinary.context("as an ordinary user")?,
            guarded.context("as a guarded user")?,
        ))
    })?;
    let (ordinary, _) = ordinary;
    let (guarded, prompt) = guarded;

    println!("\nOpenSSH's regression tests on {suite}:\n");
    println!(
        "{:<20} {:<16} {:<32} {:>8} {:>8} {:>7}",
        "test", "ordinary user", "guarded user", "sessions", "forwards", "refused"
    );
    let mut red = 0;
    for ((case, plain), inside) in cases.iter().zip(&ordinary).zip(&guarded) {
        red += usize::from(plain.is_red()) + usize::from(inside.is_red());
        println!(
            "{:<20} {:<16} {:<32} {:>8} {:>8} {:>7}",
            case.name,
            plain.word(),
            inside.word(),
            inside.sessions,
            inside.allowed,
            inside.refusals.values().sum::<usize>()
        );
    }
    for (case, verdict) in cases.iter().zip(&guarded) {
        if let (Verdict::Refused, Some(refusal)) = (&verdict.verdict, &case.refusal) {
            println!("{}: {}", case.name, refusal.why);
        }
    }
    if let Some(prompt) = prompt {
        match prompt {
            Ok(lines) => println!("\nkbdint: {}", lines.join(", ")),
            Err(trouble) => {
                red += 1;
                println!("\nkbdint: RED\n{trouble:#}");
            }
        }
    }
    for (case, verdict) in cases
        .iter()
        .zip(&ordinary)
        .chain(cases.iter().zip(&guarded))
    {
        if let Verdict::Red(trouble) = &verdict.verdict {
            println!("\n=== {} ({})\n{trouble}", case.name, verdict.who);
        }
    }
    println!("\n{}", if red == 0 { "all as expected" } else { "RED" });
    Ok(if red == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
