//! Lists whose every row names the tests that try it: the attacks, and the
//! mistakes of a second factor. A list is a document, and something must hold of it.

use crate::attacks::ATTACKS;
use crate::hazards::HAZARDS;
use crate::scenarios::{SCENARIOS, Scenario};
use anyhow::{Context, Result, ensure};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The lab's own folder, which readers know by its other name.
const LAB: &str = "tests";

/// A row.
pub(crate) struct Row {
    /// Its number, for ever.
    pub(crate) number: u8,
    /// What happens, in one line.
    pub(crate) what: &'static str,
    /// Where to look in the source.
    pub(crate) stopped_by: &'static str,
    /// The tests of this lab that try it; their names begin with the number.
    pub(crate) tests: &'static [Scenario],
    /// Further tests: folder, names.
    pub(crate) also: &'static [(&'static str, &'static [&'static str])],
}

/// A list.
pub(crate) struct List {
    /// The name of its document in `docs`, without `.md`.
    pub(crate) name: &'static str,
    /// What stands before every number.
    pub(crate) letter: char,
    /// The highest number.
    pub(crate) last: u8,
    /// What the document says before the rows.
    pub(crate) introduction: &'static str,
    /// The rows.
    pub(crate) rows: &'static [Row],
    /// Those that no test tries, and why.
    pub(crate) not_tested: &'static [(u8, &'static str)],
}

/// The lists that there are.
pub(crate) const LISTS: [&List; 2] = [&ATTACKS, &HAZARDS];

/// Rows from what reads like them; `how` is how a test bears others ([`crate::turns::How`]).
macro_rules! rows {
    ($($number:literal: $what:literal,
        stopped by $stopped_by:literal,
        tried by [$($how:ident $module:ident :: $name:ident,)*],
        also by [$($folder:literal: $($other:ident)+,)*];
    )*) => {
        &[$($crate::list::Row {
            number: $number,
            what: $what,
            stopped_by: $stopped_by,
            tests: &[$($crate::scenarios::Scenario {
                name: stringify!($name),
                how: $crate::turns::how!($how),
                tell: $module::$name,
            },)*],
            also: &[$(($folder, &[$(stringify!($other)),+]),)*],
        },)*]
    };
}
pub(crate) use rows;

impl List {
    /// Its tests in this lab.
    pub(crate) fn tests(&self) -> impl Iterator<Item = &'static Scenario> + use<> {
        self.rows.iter().flat_map(|row| row.tests)
    }

    /// The document.
    pub(crate) fn document(&self) -> String {
        self.rows
            .iter()
            .fold(self.introduction.to_owned(), |mut text, row| {
                let _infallible = writeln!(
                    text,
                    "| {}{} | {} | {} | {} |",
                    self.letter,
                    row.number,
                    row.what,
                    row.stopped_by,
                    self.tests_of(row)
                );
                text
            })
    }

    /// The last column: `lab: a, b; jump-guard: c`, or why there is none.
    fn tests_of(&self, row: &Row) -> String {
        if let Some(why) = self.reason(row) {
            return why.to_owned();
        }
        let of_lab = row.tests.iter().map(|test| test.name);
        let others = |lab: bool| {
            row.also
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

    fn reason(&self, row: &Row) -> Option<&'static str> {
        let mut reasons = self.not_tested.iter();
        reasons
            .find(|(number, _)| *number == row.number)
            .map(|(_, why)| *why)
    }

    /// Whether the list is whole: each number once, each with a test or a reason, each test there.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check(&self) -> Result<()> {
        let letter = self.letter;
        let numbers: Vec<_> = self.rows.iter().map(|row| row.number).collect();
        ensure!(
            numbers.iter().copied().eq(1..=self.last),
            "the list is not {letter}1 to {letter}{}, each once and in order: {numbers:?}",
            self.last
        );
        for row in self.rows {
            let number = row.number;
            let tested = !row.tests.is_empty() || !row.also.is_empty();
            ensure!(
                tested != self.reason(row).is_some(),
                "{letter}{number} must have either tests or a line among those without"
            );
            let begins = format!("{}{number:02}_", letter.to_ascii_lowercase());
            for test in row.tests {
                ensure!(
                    test.name.starts_with(&begins),
                    "{} is a test of {letter}{number}: its name begins with {begins}",
                    test.name
                );
            }
            for (folder, names) in row.also {
                let there = words(folder)?;
                for name in *names {
                    ensure!(
                        there.contains(*name),
                        "{letter}{number} names {name}, which {folder} does not have"
                    );
                }
            }
        }
        Ok(())
    }
}

/// Every word of a folder's source, among them the names of its tests; of the lab, those that are run.
fn words(folder: &str) -> Result<HashSet<String>> {
    if folder == LAB {
        let all = SCENARIOS
            .iter()
            .chain(LISTS.into_iter().flat_map(List::tests));
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
