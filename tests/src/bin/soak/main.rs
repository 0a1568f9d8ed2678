//! `cargo xtask soak`: many sessions with open forwards, held for a while,
//! while the policy is applied again and again and jumpd is restarted.
//!
//! At the end nothing may be left over: no descriptor, memory, thread, guard
//! or sshd of a session that is gone; and the journal must have every session
//! and every forward exactly once, opened and closed, with the bytes that went
//! through.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a report for a person at a terminal"
)]

mod books;
mod echo;
mod fleet;
mod forwards;
mod watch;

use anyhow::{Context, Result};
use fleet::Fleet;
use forwards::Forwards;
use jump_lab::base;
use jump_lab::ground::{self, Ground};
use jump_lab::lab::{self, Lab};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use watch::Watch;

/// Forwards that each session holds open.
const FORWARDS: usize = 4;
/// Between two applications of the policy.
const APPLY: Duration = Duration::from_secs(5);
/// Between two restarts of jumpd.
const RESTART: Duration = Duration::from_secs(60);
/// Between two samples.
const SAMPLE: Duration = Duration::from_secs(10);
/// Between two rounds of traffic; in each, one forward is closed and opened anew.
const ROUND: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((sessions, minutes)) = asked(&words) else {
        eprintln!("usage: cargo xtask soak [--sessions N] [--minutes M]");
        return ExitCode::from(2);
    };
    let suite = std::env::var("JUMP_LAB_SUITE").unwrap_or_else(|_| "bookworm".into());
    ground::stand_on(
        || base::tree(&suite).map(drop),
        |ground| soak(ground, &suite, sessions, Duration::from_secs(60) * minutes),
    )
}

fn asked(words: &[String]) -> Option<(usize, u32)> {
    let (mut sessions, mut minutes) = (1000, 10);
    for pair in words.chunks(2) {
        match pair {
            [what, number] if what == "--sessions" => sessions = number.parse().ok()?,
            [what, number] if what == "--minutes" => minutes = number.parse().ok()?,
            _ => return None,
        }
    }
    Some((sessions, minutes))
}

fn say(begin: Instant, text: &str) {
    println!("{:>6.0} s  {text}", begin.elapsed().as_secs_f32());
}

fn soak(ground: &Ground, suite: &str, sessions: usize, length: Duration) -> Result<ExitCode> {
    let begin = Instant::now();
    let lab = Lab::boot(ground, &base::tree(suite)?)?;
    lab.install(&lab::package()?)?;
    echo::serve(&lab.db1)?;
    let fleet = Fleet::hire(&lab, sessions)?;
    say(
        begin,
        &format!(
            "{suite}: the hosts are up, {} users are in the policy",
            fleet.users()
        ),
    );

    // One session comes and goes first, so that what is made once is there at the start.
    let mark = lab.journal.mark();
    let mut watch = Watch::new(&lab.bastion);
    fleet.log_in(0..1)?;
    fleet.log_out(0..1)?;
    books::wait_for_ends(&lab, mark, 1)?;
    let before = watch.settle()?;
    say(begin, &format!("at rest:  {before}"));

    let mark = lab.journal.mark();
    let logins = Instant::now();
    fleet.log_in(0..sessions)?;
    let took = logins.elapsed().as_secs_f32();
    say(
        begin,
        &format!("{sessions} sessions are open, after {took:.0} s"),
    );
    let mut forwards = Forwards::open(&fleet, sessions, FORWARDS)?;
    say(begin, &format!("{} forwards are open", forwards.count()));

    let begun = watch.sample()?;
    let held = Instant::now();
    let (mut applied, mut restarted, mut sampled) = (held, held, held);
    let (mut applies, mut restarts) = (0, 0);
    while held.elapsed() < length {
        let round = Instant::now();
        if restarted.elapsed() >= RESTART {
            restarted = round;
            restarts += 1;
            lab.bastion
                .shell("systemctl restart jumpd.service")
                .run()?
                .success()?;
        }
        if applied.elapsed() >= APPLY {
            applied = round;
            applies += 1;
            fleet.edit(&lab, applies).context("a saved policy")?;
        }
        if sampled.elapsed() >= SAMPLE {
            sampled = round;
            say(begin, &format!("{}; {forwards}", watch.sample()?));
        }
        forwards.round()?;
        std::thread::sleep(ROUND.saturating_sub(round.elapsed()));
    }
    let full = watch.sample()?;
    say(
        begin,
        &format!(
            "held for {} s: the policy was applied {applies} times, jumpd restarted {restarts} times",
            length.as_secs()
        ),
    );

    let sent = forwards.close()?;
    fleet.log_out(0..sessions)?;
    books::wait_for_ends(&lab, mark, sessions)?;
    let after = watch.settle()?;
    say(begin, "all sessions are closed");

    println!(
        "\n{:>12}  {:>10}  {:>10}  {:>10}",
        "", "at rest", "full", "after"
    );
    for ((name, before), ((_, full), (_, after))) in before
        .figures()
        .into_iter()
        .zip(full.figures().into_iter().zip(after.figures()))
    {
        println!("{name:>12}  {before:>10}  {full:>10}  {after:>10}");
    }
    let mut wrong = before.leaks(&after);
    wrong.extend(begun.growth(&full));
    wrong.extend(books::check(&lab, mark, sessions, &sent));
    wrong.extend(forwards.trouble());
    for trouble in wrong.iter().take(30) {
        println!("WRONG: {trouble}");
    }
    println!(
        "\n{}",
        if wrong.is_empty() {
            "nothing leaks, nothing is missing".to_owned()
        } else {
            format!("{} things are wrong", wrong.len())
        }
    );
    Ok(if wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
