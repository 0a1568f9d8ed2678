//! The scenarios, told one after the other in a lab that is booted once.
//!
//! `cargo xtask lab bookworm [FILTER]` runs them. Scenarios run side by side,
//! each with admins of its own; one that stops or breaks something on the
//! bastion runs alone.

use jump_lab::base;
use jump_lab::ground::{self, Ground};
use jump_lab::journal::Mark;
use jump_lab::lab::{self, Lab};
use libtest_mimic::{Arguments, Failed, Trial};
use scenarios::{SCENARIOS, Scenario};
use std::process::ExitCode;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

mod scenarios;

/// How many scenarios run side by side unless `--test-threads` says otherwise: most of them wait most of the time.
const SIDE_BY_SIDE: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(SIDE_BY_SIDE);
    if arguments.list {
        let trials = SCENARIOS
            .iter()
            .map(|scenario| Trial::test(scenario.name, || Ok(())))
            .collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let suite = std::env::var("JUMP_LAB_SUITE").unwrap_or_else(|_| "bookworm".into());
    ground::stand_on(
        || base::tree(&suite).map(drop),
        |ground| {
            let lab = Arc::new(open(ground, &suite)?);
            let trials = SCENARIOS
                .iter()
                .map(|scenario| trial(&lab, *scenario))
                .collect();
            Ok(libtest_mimic::run(&arguments, trials).exit_code())
        },
    )
}

#[expect(clippy::print_stderr, reason = "long work shows progress")]
fn open(ground: &Ground, suite: &str) -> anyhow::Result<Lab> {
    let package = lab::package()?;
    let begin = Instant::now();
    let lab = Lab::boot(ground, &base::tree(suite)?)?;
    eprintln!(
        "lab: bastion, client, db1, db2 ({suite}) are up after {:.1} s",
        begin.elapsed().as_secs_f32()
    );
    lab.install(&package)
        .map_err(|trouble| anyhow::anyhow!("{trouble:#}\n{}", meanwhile(&lab, Mark::default())))?;
    eprintln!(
        "lab: {} is installed after {:.1} s",
        package.display(),
        begin.elapsed().as_secs_f32()
    );
    Ok(lab)
}

fn trial(lab: &Arc<Lab>, scenario: Scenario) -> Trial {
    let lab = Arc::clone(lab);
    Trial::test(scenario.name, move || {
        let (_shared, _alone);
        if scenario.alone {
            _alone = lab.peace.write().unwrap_or_else(PoisonError::into_inner);
        } else {
            _shared = lab.peace.read().unwrap_or_else(PoisonError::into_inner);
        }
        let mark = lab.journal.mark();
        (scenario.tell)(&lab)
            .map_err(|trouble| Failed::from(format!("{trouble:#}\n{}", meanwhile(&lab, mark))))
    })
}

/// What the bastion wrote down since `mark`, for the reader of a failure.
fn meanwhile(lab: &Lab, mark: Mark) -> String {
    let journal: Vec<_> = lab
        .journal
        .since(mark, |_| true)
        .iter()
        .map(ToString::to_string)
        .collect();
    format!(
        "--- the bastion's journal meanwhile\n{}",
        journal.join("\n")
    )
}
