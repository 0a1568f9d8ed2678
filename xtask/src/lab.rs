//! Commands that boot hosts.

use crate::tools::{self, For};
use crate::{Outcome, cargo, packages, run, target};
use std::path::Path;

/// The profile of what the lab installs: quick to build, the same code paths as a release.
const PROFILE: &str = "lab";

/// Tells the story of the main job in a lab of its own.
pub(crate) fn demo() -> Outcome {
    tools::install(For::Lab)?;
    let package = packages::deb(PROFILE)?;
    run(cargo(&[
        "run",
        "--quiet",
        "--locked",
        "--package",
        "jump-lab",
        "--bin",
        "jump-lab-demo",
    ])
    .env("JUMP_DEB", package))
}

/// Holds many sessions in a lab of its own.
pub(crate) fn soak(words: &[&str]) -> Outcome {
    tools::install(For::Lab)?;
    let package = packages::deb(PROFILE)?;
    let mut command = cargo(&[
        "run",
        "--quiet",
        "--locked",
        "--package",
        "jump-lab",
        "--bin",
        "jump-lab-soak",
        "--",
    ]);
    run(command.args(words).env("JUMP_DEB", package))
}

/// Runs scenarios on hosts of one Debian release.
pub(crate) fn scenarios(suite: &str, filter: &[&str]) -> Outcome {
    in_lab(suite, filter, None)
}

/// A dozen booted hosts watch more files than a kernel lets one user watch by default.
fn let_them_watch() {
    const LIMIT: &str = "/proc/sys/fs/inotify/max_user_instances";
    let now = std::fs::read_to_string(LIMIT).unwrap_or_default();
    if now.trim().parse().is_ok_and(|limit: u32| limit < 1024) {
        // Where it cannot be raised, hosts say themselves what they miss.
        let _raised = std::fs::write(LIMIT, "1024");
    }
}

fn in_lab(suite: &str, filter: &[&str], red: Option<&Path>) -> Outcome {
    let_them_watch();
    tools::install(For::Lab)?;
    let package = packages::deb(PROFILE)?;
    attacks()?;
    let weakened = packages::weakened(PROFILE)?;
    let mut command = cargo(&[
        "test",
        "--quiet",
        "--locked",
        "--package",
        "jump-lab",
        "--test",
        "lab",
        "--",
    ]);
    // Options are the runner's; several filters it would refuse.
    let (options, words): (Vec<&str>, Vec<&str>) =
        filter.iter().partition(|word| word.starts_with('-'));
    command
        .args(options)
        .env("JUMP_DEB", package)
        .env("JUMP_WEAK_PAM", weakened.module)
        .env("JUMP_PROBE", weakened.probe)
        .env("JUMP_LAB_FILTERS", words.join(" "))
        .env("JUMP_LAB_SUITE", suite);
    if let Some(red) = red {
        command.env("JUMP_LAB_RED", red);
    }
    run(&mut command)
}

/// More red stories than this are no matter of a busy machine.
const FEW: usize = 8;

/// Runs every scenario on one release. The stories measure seconds on hosts
/// that share a machine: a few that fail are told once more, one by one, on
/// fresh hosts, and only what fails twice is red. Both runs are printed.
pub(crate) fn whole(suite: &str) -> Outcome {
    let list = target().join(format!("lab-red-{suite}"));
    // It is there only if an earlier run left it.
    let _old = std::fs::remove_file(&list);
    let first = in_lab(suite, &[], Some(&list));
    let Err(why) = first else {
        return first;
    };
    let red = std::fs::read_to_string(&list).unwrap_or_default();
    let red: Vec<&str> = red.lines().collect();
    if red.is_empty() || red.len() > FEW {
        return Err(why);
    }
    eprintln!("xtask: told once more, one by one: {}", red.join(" "));
    let mut again = vec!["--test-threads=1"];
    again.extend(&red);
    in_lab(suite, &again, None)?;
    eprintln!("xtask: red once and green alone: {}", red.join(" "));
    Ok(())
}

/// Builds the program with which the lab attacks, which is in no package; the lab finds it where cargo puts it.
fn attacks() -> Outcome {
    run(&mut cargo(&[
        "build",
        "--quiet",
        "--locked",
        "--package",
        "jump-sys",
        "--example",
        "attack",
    ]))
}

/// The releases that `regress` runs on when it is told none.
const RELEASES: [&str; 2] = ["bookworm", "trixie"];

/// Runs OpenSSH's regression tests against sshd with our PAM stack: every release, even when one is red.
pub(crate) fn regress(words: &[&str]) -> Outcome {
    tools::install(For::Lab)?;
    let package = packages::deb(PROFILE)?;
    let (suites, filter): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| RELEASES.contains(word));
    let suites = if suites.is_empty() {
        RELEASES.to_vec()
    } else {
        suites
    };
    let mut red = Vec::new();
    for suite in suites {
        let mut command = cargo(&[
            "run",
            "--quiet",
            "--locked",
            "--package",
            "jump-lab",
            "--bin",
            "jump-lab-regress",
            "--",
        ]);
        command
            .args(&filter)
            .env("JUMP_DEB", &package)
            .env("JUMP_LAB_SUITE", suite);
        if let Err(why) = run(&mut command) {
            eprintln!("xtask: {why}");
            red.push(suite);
        }
    }
    if red.is_empty() {
        Ok(())
    } else {
        Err(format!("red: {}", red.join(", ")))
    }
}
