//! The list as a document, and what must hold of it.

use super::{ATTACKS, Attack, NOT_TESTED};
use crate::scenarios::SCENARIOS;
use anyhow::{Context, Result, ensure};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The highest number.
const LAST: u8 = 47;
/// The lab's own folder, which readers know by its other name.
const LAB: &str = "tests";

const INTRODUCTION: &str = "\
# Known attacks

Attacks on jump servers, by number. The number stays. \"What stops it\" says where to look in the source. \"Test\" names the folder and the tests
that try the attack, or the part of it that this folder must stop. The lab's (`cargo xtask lab bookworm a05`) try it for real, first where the
defence is absent, where it works, then on the bastion; the others run with `cargo test -p` and the crate's name, and all of them with
`cargo xtask test`. This file is written by `cargo xtask docs`, from the tests.

| # | attack | what stops it | test |
|---|---|---|---|
";

/// `docs/known-attacks.md`.
pub(crate) fn document() -> String {
    ATTACKS
        .iter()
        .fold(INTRODUCTION.to_owned(), |mut text, attack| {
            let _infallible = writeln!(
                text,
                "| A{} | {} | {} | {} |",
                attack.number,
                attack.attack,
                attack.stopped_by,
                tests(attack)
            );
            text
        })
}

/// The last column: `lab: a, b; jump-guard: c`, or why there is none.
fn tests(attack: &Attack) -> String {
    if let Some(why) = reason(attack) {
        return why.to_owned();
    }
    let of_lab = attack.tests.iter().map(|test| test.name);
    let others = |lab: bool| {
        attack
            .also
            .iter()
            .filter(move |(folder, _)| (*folder == LAB) == lab)
    };
    let of_lab: Vec<_> = of_lab
        .chain(others(true).flat_map(|(_, names)| names.iter().copied()))
        .collect();
    let mut parts = vec![("lab", of_lab)];
    parts.extend(others(false).map(|(folder, names)| (*folder, names.to_vec())));
    let parts = parts.iter().filter(|(_, names)| !names.is_empty());
    let told = parts.map(|(folder, names)| format!("{folder}: `{}`", names.join("`, `")));
    told.collect::<Vec<_>>().join("; ")
}

fn reason(attack: &Attack) -> Option<&'static str> {
    let mut reasons = NOT_TESTED.iter();
    reasons
        .find(|(number, _)| *number == attack.number)
        .map(|(_, why)| *why)
}

/// Whether the list is whole: each number once, each with a test or a reason, each test there.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check() -> Result<()> {
    let numbers: Vec<_> = ATTACKS.iter().map(|attack| attack.number).collect();
    ensure!(
        numbers.iter().copied().eq(1..=LAST),
        "the list is not A1 to A{LAST}, each once and in order: {numbers:?}"
    );
    for attack in ATTACKS {
        let number = attack.number;
        let tested = !attack.tests.is_empty() || !attack.also.is_empty();
        ensure!(
            tested != reason(attack).is_some(),
            "A{number} must have either tests or a line in NOT_TESTED"
        );
        for test in attack.tests {
            ensure!(
                test.name.starts_with(&format!("a{number:02}_")),
                "{} is a test of A{number}: its name begins with a{number:02}_",
                test.name
            );
        }
        for (folder, names) in attack.also {
            let there = words(folder)?;
            for name in *names {
                ensure!(
                    there.contains(*name),
                    "A{number} names {name}, which {folder} does not have"
                );
            }
        }
    }
    Ok(())
}

/// Every word of a folder's source, among them the names of its tests; of the lab, those that are run.
fn words(folder: &str) -> Result<HashSet<String>> {
    if folder == LAB {
        let attacks = ATTACKS.iter().flat_map(|attack| attack.tests);
        let all = SCENARIOS.iter().chain(attacks);
        return Ok(all.map(|scenario| scenario.name.to_owned()).collect());
    }
    let mut words = HashSet::new();
    let top = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(folder);
    collect(&top, &mut words).with_context(|| top.display().to_string())?;
    Ok(words)
}

fn collect(directory: &Path, into: &mut HashSet<String>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)?;
            let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
            into.extend(words.map(str::to_owned));
        }
    }
    Ok(())
}
