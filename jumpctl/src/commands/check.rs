//! `jumpctl check`: what is wrong with a policy file, told without touching anything.
//!
//! The same parser and the same tests as jumpd's `apply`, in this process: it
//! works with jumpd stopped, on another machine, and in a pre-commit hook.

use crate::error::{Answer, Outcome};
use crate::output::{Output, printable_lines};
use crate::policy_file;
use jump_policy::{Policy, PolicyError};
use serde::Serialize;
use std::path::Path;

/// The answer under `--json`.
#[derive(Debug, Default, Serialize)]
struct Report {
    file: String,
    ok: bool,
    policy: Option<String>,
    errors: Vec<Finding>,
    failed_tests: Vec<String>,
    conflicts: Vec<String>,
    warnings: Vec<Finding>,
    automation: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Finding {
    line: usize,
    column: usize,
    message: String,
    help: Option<String>,
}

impl From<&PolicyError> for Finding {
    fn from(e: &PolicyError) -> Self {
        Self {
            line: e.line,
            column: e.column,
            message: e.message.clone(),
            help: e.help.clone(),
        }
    }
}

pub(super) fn run(path: &Path, out: &mut Output) -> Answer {
    let text = policy_file::read(path)?;
    let file = path.display().to_string();
    let mut report = Report {
        file: file.clone(),
        ..Report::default()
    };
    match Policy::parse(&text, &file, &policy_file::host_timezone()) {
        Err(errors) => {
            report.errors = errors.iter().map(Finding::from).collect();
            out.line(printable_lines(&errors.to_string()))?;
            let count = errors.iter().len();
            out.line(format_args!(
                "{file}: {count} {}",
                if count == 1 { "error" } else { "errors" }
            ))?;
        }
        Ok(policy) => {
            judge(&policy, &mut report, out)?;
            report.ok = report.failed_tests.is_empty() && report.conflicts.is_empty();
            if report.ok {
                sum_up(&policy, &report, out)?;
            }
        }
    }
    out.json(&report)?;
    Ok(Outcome::from_bool(report.ok))
}

fn judge(policy: &Policy, report: &mut Report, out: &mut Output) -> Result<(), crate::Error> {
    report.policy = Some(policy.hash().to_owned());
    report.automation = policy_file::scope(policy).1;
    for warning in policy.warnings() {
        out.line(printable_lines(&warning.to_string()))?;
        report.warnings.push(Finding::from(warning.details()));
    }
    for failure in policy.run_tests().err().unwrap_or_default() {
        out.line(printable_lines(&failure.to_string()))?;
        report.failed_tests.push(failure.to_string());
    }
    for conflict in policy.conflicts(&policy_file::host_facts()?) {
        out.line(printable_lines(&conflict.to_string()))?;
        report.conflicts.push(conflict.to_string());
    }
    Ok(())
}

fn sum_up(policy: &Policy, report: &Report, out: &mut Output) -> Result<(), crate::Error> {
    out.line(format_args!(
        "{}: in order ({} users, {} targets, {} rules; policy {})",
        report.file,
        policy.users().count(),
        policy.targets().count(),
        policy.rules().count(),
        policy.hash(),
    ))?;
    if !report.automation.is_empty() {
        out.line(format_args!(
            "Without second factor: {}",
            report.automation.join(", ")
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_no_answer() {
        let mut out = Output::to(false, Box::new(Vec::new()));
        let answer = run(Path::new("/nonexistent/policy.toml"), &mut out);
        assert_eq!(answer.unwrap_err().exit_code(), 2);
    }

    #[test]
    fn a_broken_file_is_red() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("policy.toml");
        std::fs::write(&path, "version = 1\nfoo = 3\n").unwrap();
        let mut out = Output::to(true, Box::new(Vec::new()));
        assert_eq!(run(&path, &mut out).unwrap(), Outcome::No);
    }
}
