//! `cargo xtask test`: stage by stage, each with its time, all of them even when one fails.

use crate::tools::{self, For};
use crate::{Outcome, cargo, docs, lab, packages, run};
use std::time::Instant;

/// A part of the whole test.
struct Stage {
    name: &'static str,
    /// Only in the full run.
    slow: bool,
    run: fn() -> Outcome,
}

const STAGES: &[Stage] = &[
    Stage {
        name: "formatting",
        slow: false,
        run: formatting,
    },
    Stage {
        name: "lints",
        slow: false,
        run: lints,
    },
    Stage {
        name: "licences and sources",
        slow: false,
        run: licences,
    },
    Stage {
        name: "documentation",
        slow: false,
        run: documentation,
    },
    Stage {
        name: "tests, built",
        slow: false,
        run: || nextest(&["--no-run"]),
    },
    // They are made beside what follows.
    Stage {
        name: "the lab's trees, begun",
        slow: true,
        run: lab::begin_trees,
    },
    Stage {
        name: "unit and C-edge tests",
        slow: false,
        run: || nextest(&["--no-fail-fast"]),
    },
    Stage {
        name: "known attacks and hazards",
        slow: false,
        run: docs::compare,
    },
    Stage {
        name: "rpm",
        slow: true,
        run: packages::look_at_rpm,
    },
    Stage {
        name: "lab, Debian 12 and 13",
        slow: true,
        run: lab::whole,
    },
];

/// Runs every stage; says at the end which failed.
pub(crate) fn all(slow: bool) -> Outcome {
    tools::install(For::Test)?;
    let begin = Instant::now();
    let mut report = String::new();
    let mut failed = Vec::new();
    for stage in STAGES.iter().filter(|stage| slow || !stage.slow) {
        eprintln!("\n=== {}", stage.name);
        let started = Instant::now();
        let outcome = (stage.run)();
        let seconds = started.elapsed().as_secs();
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        report.push_str(&format!("{word:>7}  {seconds:>4} s  {}\n", stage.name));
        if let Err(why) = outcome {
            eprintln!("xtask: {why}");
            failed.push(stage.name);
        }
    }
    // Where the lab did not come to it: nothing outlives the run.
    lab::trees_made();
    println!("\n{report}{:>13} s  in all", begin.elapsed().as_secs());
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed: {}", failed.join(", ")))
    }
}

fn formatting() -> Outcome {
    run(&mut cargo(&["fmt", "--all", "--check"]))
}

fn lints() -> Outcome {
    run(&mut cargo(&[
        "clippy",
        "--quiet",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

fn licences() -> Outcome {
    tools::cargo_tool("cargo-deny", "0.20.2")?;
    // Advisories need a database from the network: `cargo deny check advisories` where it can be had.
    run(&mut cargo(&[
        "deny",
        "--locked",
        "--offline",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))
}

fn documentation() -> Outcome {
    run(
        cargo(&["doc", "--quiet", "--locked", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// All but the lab's scenarios, which boot hosts and have a stage of their own.
fn nextest(words: &[&str]) -> Outcome {
    tools::cargo_tool("cargo-nextest", "0.9.143")?;
    let mut command = cargo(&["nextest", "run", "--locked", "--workspace"]);
    command.args(["-E", "not (package(jump-lab) & binary(lab))"]);
    run(command.args(words))
}
