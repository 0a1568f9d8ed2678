//! `cargo xtask fuzz`: bytes that nobody thought of, for everything that reads what a stranger wrote.
//!
//! cargo-fuzz on the stable toolchain: LLVM's coverage counters need no nightly,
//! only the address sanitizer does, and there is no `unsafe` in what is fuzzed.

use crate::tools::{self, For};
use crate::{Outcome, cargo, root, run, target};
use std::fs::{self, File};
use std::path::Path;
use std::thread;

/// For each target, unless `--seconds` says otherwise.
const SECONDS: u64 = 600;
/// One input may take this long, in seconds; longer is a finding.
const PATIENCE: u64 = 10;
/// Lines of libFuzzer's report that are shown of a finding.
const SHOWN: usize = 30;

/// Runs one target, or all, for some time each.
pub(crate) fn fuzz(words: &[&str]) -> Outcome {
    let (seconds, words) = match words {
        ["--seconds", number, rest @ ..] => {
            let seconds = number
                .parse()
                .map_err(|_| format!("{number} is no number of seconds"))?;
            (seconds, rest)
        }
        rest => (SECONDS, rest),
    };
    let known = targets()?;
    let chosen = match words {
        [] => known,
        [name] if known.iter().any(|known| known == name) => vec![(*name).to_owned()],
        _ => return Err(format!("the targets are: {}", known.join(", "))),
    };
    tools::install(For::Fuzz)?;
    tools::cargo_tool("cargo-fuzz", "0.13.2")?;
    eprintln!("xtask: building {}", chosen.join(", "));
    run(&mut cargo_fuzz("build", &[]))?;
    let mut failed = Vec::new();
    // As many at once as there are processors.
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    for few in chosen.chunks(at_once) {
        let outcomes = thread::scope(|fuzzers| {
            let running: Vec<_> = few
                .iter()
                .map(|name| (name, fuzzers.spawn(move || one(name, seconds))))
                .collect();
            let ended = running.into_iter();
            ended
                .map(|(name, fuzzer)| {
                    let outcome = fuzzer.join();
                    (name, outcome.unwrap_or_else(|_| Err("a panic".to_owned())))
                })
                .collect::<Vec<_>>()
        });
        for (name, outcome) in outcomes {
            if let Err(why) = outcome {
                eprintln!("xtask: {why}");
                failed.push(name.as_str());
            }
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("findings in: {}", failed.join(", ")))
    }
}

/// Every file of `fuzz/fuzz_targets`.
fn targets() -> Result<Vec<String>, String> {
    let directory = root().join("fuzz/fuzz_targets");
    let mut names: Vec<String> = fs::read_dir(&directory)
        .map_err(|e| format!("{}: {e}", directory.display()))?
        .flatten()
        .filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

fn cargo_fuzz(what: &str, words: &[&str]) -> std::process::Command {
    let mut command = cargo(&["fuzz", what, "--sanitizer", "none", "--target-dir"]);
    command
        .arg(target().join("fuzz"))
        .args(words)
        // The stable toolchain's own flags, whatever the caller builds with.
        .env_remove("RUSTFLAGS");
    command
}

fn one(name: &str, seconds: u64) -> Outcome {
    let directory = root().join("fuzz");
    let corpus = directory.join("corpus").join(name);
    fs::create_dir_all(&corpus).map_err(|e| format!("{}: {e}", corpus.display()))?;
    let log = target().join("fuzz").join(format!("{name}.log"));
    let file = File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
    let mut command = cargo_fuzz("run", &[name]);
    command
        .arg(&corpus)
        .arg(directory.join("seeds").join(name))
        .arg("--")
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={PATIENCE}"))
        .arg("-print_final_stats=1")
        .stdout(file.try_clone().map_err(|e| e.to_string())?)
        .stderr(file);
    let status = command.status().map_err(|e| format!("cargo fuzz: {e}"))?;
    let report = fs::read(&log).unwrap_or_default();
    let report = String::from_utf8_lossy(&report);
    println!(
        "{name:>12}  {:>10} inputs  {:>6} edges covered  {}",
        executions(&report).unwrap_or("no"),
        coverage(&report).unwrap_or("no"),
        if status.success() { "ok" } else { "FAILED" },
    );
    if status.success() {
        return Ok(());
    }
    Err(finding(name, &report, &log))
}

fn executions(report: &str) -> Option<&str> {
    let line = "stat::number_of_executed_units:";
    Some(report.lines().find_map(|l| l.strip_prefix(line))?.trim())
}

fn coverage(report: &str) -> Option<&str> {
    let mut words = report
        .lines()
        .rfind(|line| line.contains(" cov: "))?
        .split_whitespace();
    words.find(|word| *word == "cov:")?;
    words.next()
}

/// What a person needs to go on: the end of the report, the input, and how to try it again.
fn finding(name: &str, report: &str, log: &Path) -> String {
    let lines: Vec<&str> = report.lines().collect();
    let end = lines
        .get(lines.len().saturating_sub(SHOWN)..)
        .unwrap_or_default()
        .join("\n");
    let artifact = report
        .lines()
        .find_map(|line| {
            line.split_once("Test unit written to ")
                .map(|(_, path)| path)
        })
        .unwrap_or("none was written; see the report");
    format!(
        "{name} found something\n{end}\n\nreport:   {}\nartifact: {artifact}\n\
         to try it again: target/fuzz/*/release/{name} ARTIFACT\n\
         once it is mended: cp ARTIFACT fuzz/seeds/{name}/",
        log.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "#2\tINITED cov: 318 ft: 900 corp: 5/6Kb\n#704745\tREDUCE cov: 324 ft: 1094 corp: 298/628Kb lim: 4096\n\
        Done 704745 runs in 131 second(s)\nstat::number_of_executed_units: 704745\nstat::average_exec_per_sec:     5379\n";

    #[test]
    fn a_report_is_read() {
        assert_eq!(executions(REPORT), Some("704745"));
        assert_eq!(coverage(REPORT), Some("324"));
        assert_eq!(coverage("error: no such target"), None);
    }

    #[test]
    fn a_finding_names_its_artifact() {
        let report = "panicked at x\nartifact_prefix='a/'; Test unit written to a/crash-1\n";
        let text = finding("policy", report, Path::new("policy.log"));
        assert!(text.contains("artifact: a/crash-1\n") && text.contains("fuzz/seeds/policy/"));
    }

    #[test]
    fn every_target_is_known() {
        assert!(targets().unwrap().iter().any(|name| name == "policy"));
    }
}
