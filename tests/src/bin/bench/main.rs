//! `cargo xtask bench`: what a hop, its recording and `connect` cost, beside what one would use without them.
//!
//! Everything is measured from the client's side of real ssh connections, so
//! both ways of a comparison have the same path but for the part in question,
//! and their rounds alternate: what else the machine does hits both.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a report for a person at a terminal"
)]

mod echo;
mod figures;
mod output;
mod ways;

use anyhow::Result;
use figures::Report;
use jump_lab::base;
use jump_lab::ground::{self, Ground};
use jump_lab::lab::{self, Lab};
use std::process::ExitCode;
use ways::Ways;

/// What is asked for on the command line.
struct Asked {
    /// How many keystrokes each way echoes.
    keystrokes: usize,
    /// How many bytes each way carries.
    bytes: u64,
    json: bool,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(asked) = asked(&words) else {
        eprintln!("usage: cargo xtask bench [--keystrokes N] [--megabytes N] [--json]");
        return ExitCode::from(2);
    };
    let suite = std::env::var("JUMP_LAB_SUITE").unwrap_or_else(|_| "bookworm".into());
    ground::stand_on(
        || base::tree(&suite).map(drop),
        |ground| bench(ground, &suite, &asked),
    )
}

fn asked(words: &[String]) -> Option<Asked> {
    let mut asked = Asked {
        keystrokes: 1500,
        bytes: 4 << 30,
        json: false,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => asked.json = true,
            "--keystrokes" => asked.keystrokes = words.next()?.parse().ok()?,
            "--megabytes" => asked.bytes = words.next()?.parse::<u64>().ok()? << 20,
            _ => return None,
        }
    }
    Some(asked)
}

fn bench(ground: &Ground, suite: &str, asked: &Asked) -> Result<ExitCode> {
    let lab = Lab::boot(ground, &base::tree(suite)?)?;
    lab.install(&lab::package()?)?;
    let ways = Ways::open(&lab)?;
    let mut report = Report::new(suite);
    eprintln!("bench: {} keystrokes each way", asked.keystrokes);
    echo::measure(&ways, asked.keystrokes, &mut report)?;
    eprintln!("bench: {} MiB of output each way", asked.bytes >> 20);
    output::recorded(&ways, asked.bytes, &mut report)?;
    eprintln!("bench: {} MiB by connect and by nc", asked.bytes >> 20);
    output::connect(&ways, asked.bytes, &mut report)?;
    report.print(asked.json);
    Ok(if report.is_kept() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
