//! How long lookups take: `cargo run --release -p nss_jump --example nss_speed`.
//!
//! Builds the library, loads it as glibc does and asks it directly, so the
//! numbers are the library's own, without glibc's walk through `files`.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example, which prints what it measured"
)]

#[path = "../tests/host/direct.rs"]
#[allow(dead_code, reason = "shared with the trials")]
mod direct;
#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Instant;

use support::{crowd, local_users, publish};

fn main() {
    const STARTED: &str = "NSS_SPEED";
    if std::env::var_os(STARTED).is_none() {
        // The search path has to be known before the program starts.
        let me = std::env::current_exe().unwrap();
        let library = support::library(me.parent().unwrap());
        let error = Command::new(me)
            .env(STARTED, "1")
            .env("LD_LIBRARY_PATH", library)
            .exec();
        println!("{error}");
        return;
    }
    support::enter_private_host();
    println!(
        "{:>8} {:>12} {:>12} {:>12} {:>12}",
        "users", "first, us", "name, ns", "unknown, ns", "changed, us"
    );
    for users in [100, 1_000, 10_000, 100_000] {
        publish(&crowd(users).build().unwrap());
        let started = Instant::now();
        find("user1");
        let first = started.elapsed();

        let names: Vec<_> = (0..100u64)
            .map(|n| format!("user{}", n * 7_919 % u64::from(users)))
            .collect();
        let known = time(|| names.iter().for_each(|name| find(name)));
        let unknown = time(|| names.iter().for_each(|_| find("userx")));

        let lines: Vec<_> = (0..40)
            .map(|n| format!("local{n}:x:{}:1::/:/bin/sh", 1000 + n))
            .collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        local_users(&lines);
        let started = Instant::now();
        find("user1");
        let changed = started.elapsed();
        println!(
            "{users:>8} {:>12} {:>12} {:>12} {:>12}",
            first.as_micros(),
            known / 100,
            unknown / 100,
            changed.as_micros()
        );
    }
}

fn find(name: &str) {
    black_box(direct::getpwnam_status(black_box(name)));
}

/// Nanoseconds of the fastest of many short rounds: the one that the
/// scheduler left alone.
fn time(round: impl Fn()) -> u128 {
    (0..200)
        .map(|_| {
            let started = Instant::now();
            round();
            started.elapsed().as_nanos()
        })
        .min()
        .unwrap_or_default()
}
