//! Commands that boot hosts.

use crate::packages::Build;
use crate::tools::{self, For};
use crate::{Outcome, cargo, packages, run, target};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// A program of the lab's.
fn program(name: &str) -> Command {
    cargo(&[
        "run",
        "--quiet",
        "--locked",
        "--package",
        "jump-lab",
        "--bin",
        name,
        "--",
    ])
}

/// Tells the story of the main job in a lab of its own.
pub(crate) fn demo() -> Outcome {
    tools::install(For::Lab)?;
    let package = packages::deb(Build::Lab)?;
    run(program("jump-lab-demo").env("JUMP_DEB", package))
}

/// Holds many sessions in a lab of its own.
pub(crate) fn soak(words: &[&str]) -> Outcome {
    tools::install(For::Lab)?;
    let package = packages::deb(Build::Lab)?;
    run(program("jump-lab-soak")
        .args(words)
        .env("JUMP_DEB", package))
}

/// Measures what hops, recordings and `connect` cost, in a lab of its own and with what is shipped.
pub(crate) fn bench(words: &[&str]) -> Outcome {
    tools::install(For::Lab)?;
    let package = packages::deb(Build::Hosts("release"))?;
    run(program("jump-lab-bench")
        .args(words)
        .env("JUMP_DEB", package))
}

/// Runs scenarios on hosts of one Debian release.
pub(crate) fn scenarios(suite: &str, filter: &[&str]) -> Outcome {
    run(&mut Parts::make()?.lab(suite, filter))
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

/// The trees being made beside other work.
static TREES: Mutex<Option<Child>> = Mutex::new(None);

/// Begins to make the trees that hosts are booted from: it takes a mirror longer than a processor.
pub(crate) fn begin_trees() -> Outcome {
    tools::install(For::Lab)?;
    run(&mut cargo(&[
        "build",
        "--quiet",
        "--locked",
        "--workspace",
        "--bin",
        "jump-lab-trees",
    ]))?;
    let child = Command::new("nice")
        .arg(target().join("debug/jump-lab-trees"))
        .args(RELEASES)
        .spawn()
        .map_err(|e| format!("jump-lab-trees: {e}"))?;
    *TREES.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
    Ok(())
}

/// Waits for the trees that were begun. What is missing then, the lab makes itself, and says why it cannot.
pub(crate) fn trees_made() {
    let begun = TREES.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(mut child) = begun {
        match child.wait() {
            Ok(status) if status.success() => {}
            Ok(status) => eprintln!("xtask: jump-lab-trees: {status}"),
            Err(e) => eprintln!("xtask: jump-lab-trees: {e}"),
        }
    }
}

/// What a lab installs and attacks with, built.
struct Parts {
    package: PathBuf,
    weakened: packages::Weakened,
}

impl Parts {
    fn make() -> Result<Self, String> {
        let_them_watch();
        tools::install(For::Lab)?;
        // The package comes after what is weakened.
        let weakened = packages::weakened()?;
        let package = packages::deb(Build::Lab)?;
        examples()?;
        Ok(Self { package, weakened })
    }

    /// The scenarios whose name holds one of the filters.
    fn lab(&self, suite: &str, filter: &[&str]) -> Command {
        let mut command = stories(&["--"]);
        // Options are the runner's but for ours; several filters it would refuse.
        let (options, words): (Vec<&str>, Vec<&str>) =
            filter.iter().partition(|word| word.starts_with('-'));
        if options.contains(&FULL) {
            command.env("JUMP_LAB_FULL", "1");
        }
        command
            .args(options.iter().filter(|option| **option != FULL))
            .env("JUMP_DEB", &self.package)
            .env("JUMP_WEAK_PAM", &self.weakened.module)
            .env("JUMP_PROBE", &self.weakened.probe)
            .env("JUMP_LAB_FILTERS", words.join(" "))
            .env("JUMP_LAB_SUITE", suite);
        command
    }
}

/// The program that tells the scenarios and the attacks, built as with the unit tests: with `--package`
/// its libraries would be compiled once more, because other features are asked of them.
pub(crate) fn stories(words: &[&str]) -> Command {
    let mut command = cargo(&["test", "--quiet", "--locked", "--workspace"]);
    command.args(["--test", "lab"]).args(words);
    command
}

/// Asks for the long form of stories that have one.
const FULL: &str = "--full";

/// More red stories than this are no matter of a busy machine.
const FEW: usize = 8;

/// Runs every scenario on both releases, side by side: each waits most of the
/// time. The stories measure seconds on hosts that share a machine: a few that
/// fail are told once more, one by one, on fresh hosts, and only what fails
/// twice is red. Both runs are printed.
pub(crate) fn whole() -> Outcome {
    let parts = Parts::make()?;
    trees_made();
    // Built before, so that the two do not wait for each other.
    run(&mut stories(&["--no-run"]))?;
    let lists = RELEASES.map(|suite| target().join(format!("lab-red-{suite}")));
    let first = std::thread::scope(|both| {
        let runs: Vec<_> = RELEASES
            .iter()
            .zip(&lists)
            .map(|(suite, list)| {
                // It is there only if an earlier run left it.
                let _old = std::fs::remove_file(list);
                let mut command = parts.lab(suite, &[]);
                command.env("JUMP_LAB_RED", list);
                both.spawn(move || told(suite, &mut command))
            })
            .collect();
        runs.into_iter()
            .map(|run| run.join().unwrap_or_else(|_| Err("a panic".to_owned())))
            .collect::<Vec<_>>()
    });
    let mut wrong = Vec::new();
    for ((suite, list), outcome) in RELEASES.iter().zip(&lists).zip(first) {
        if let Err(why) = outcome
            && let Err(why) = once_more(&parts, suite, list, why)
        {
            wrong.push(format!("{suite}: {why}"));
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("; "))
    }
}

/// Tells the red stories on the list again, one by one, when they are few.
fn once_more(parts: &Parts, suite: &str, list: &Path, why: String) -> Outcome {
    let red = std::fs::read_to_string(list).unwrap_or_default();
    let red: Vec<&str> = red.lines().collect();
    if red.is_empty() || red.len() > FEW {
        return Err(why);
    }
    eprintln!(
        "xtask: {suite}: told once more, one by one: {}",
        red.join(" ")
    );
    let mut again = vec!["--test-threads=1"];
    again.extend(&red);
    run(&mut parts.lab(suite, &again))?;
    eprintln!(
        "xtask: {suite}: red once and green alone: {}",
        red.join(" ")
    );
    Ok(())
}

/// Runs a command whose every line is printed with a name before it.
fn told(name: &str, command: &mut Command) -> Outcome {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{command:?}: {e}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|lines| {
        if let Some(pipe) = stdout {
            lines.spawn(move || retell(name, pipe));
        }
        if let Some(pipe) = stderr {
            lines.spawn(move || retell(name, pipe));
        }
    });
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?}: {status}")),
        Err(e) => Err(format!("{command:?}: {e}")),
    }
}

fn retell(name: &str, pipe: impl Read) {
    let mut lines = BufReader::new(pipe);
    let mut line = Vec::new();
    while lines
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        println!("{name} | {}", String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
}

/// Builds the programs with which the lab attacks and logs in without sshd, which are in no package;
/// the lab finds them where cargo puts them.
fn examples() -> Outcome {
    run(
        cargo(&["build", "--quiet", "--locked", "--workspace"]).args([
            "--example",
            "attack",
            "--example",
            "pam-client",
        ]),
    )
}

/// The releases that everything is shown on.
const RELEASES: [&str; 2] = ["bookworm", "trixie"];

/// Runs OpenSSH's regression tests against sshd with our PAM stack: every release, even when one is red.
pub(crate) fn regress(words: &[&str]) -> Outcome {
    tools::install(For::Lab)?;
    let package = packages::deb(Build::Lab)?;
    let (suites, filter): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| RELEASES.contains(word));
    let suites = if suites.is_empty() {
        RELEASES.to_vec()
    } else {
        suites
    };
    let mut red = Vec::new();
    for suite in suites {
        let mut command = program("jump-lab-regress");
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
