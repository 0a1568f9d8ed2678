//! The scenarios and the attacks, tried in a lab that is booted once.
//!
//! `cargo xtask lab bookworm [FILTER]` runs them. They run side by side, each
//! with admins of its own, in [`turns`]. With `--document known-attacks` no host is booted: the list of
//! that name is checked and printed as `docs/known-attacks.md`.

use jump_lab::base::{self, Kind};
use jump_lab::ground::{self, Ground};
use jump_lab::journal::{Journal, Mark};
use jump_lab::lab::{self, Lab};
use libtest_mimic::{Arguments, Failed, Trial};
use list::{LISTS, List};
use scenarios::{SCENARIOS, Scenario, clients, factors};
use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use turns::Turns;

mod attacks;
mod hazards;
mod list;
mod scenarios;
mod turns;

/// Asks for a list as a document instead of a run.
const DOCUMENT: &str = "--document";
/// Parts of the names of those that are to run, separated by spaces.
const FILTERS: &str = "JUMP_LAB_FILTERS";
/// A file to which the names of those that fail are added.
const RED: &str = "JUMP_LAB_RED";
/// How many scenarios run side by side unless `--test-threads` says otherwise: most of them wait most of the time.
const SIDE_BY_SIDE: usize = 4;

fn main() -> ExitCode {
    let mut words = std::env::args().skip_while(|word| word != DOCUMENT);
    if words.next().is_some() {
        return document(&words.next().unwrap_or_default());
    }
    let mut arguments = Arguments::from_args();
    if arguments.list {
        let trials = all()
            .map(|scenario| Trial::test(scenario.name, || Ok(())))
            .collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let suite = std::env::var("JUMP_LAB_SUITE").unwrap_or_else(|_| "bookworm".into());
    let chosen: Vec<_> = all()
        .filter(|scenario| is_chosen(scenario.name, &arguments))
        .collect();
    let at_once = arguments.test_threads.unwrap_or(SIDE_BY_SIDE);
    // All of them wait for their turn, and none in the queue of the runner.
    arguments.test_threads.get_or_insert(chosen.len().max(1));
    ground::stand_on(
        || trees(&suite, &arguments),
        |ground| {
            LISTS.into_iter().try_for_each(List::check)?;
            let lab = Arc::new(open(ground, &suite)?);
            let turns = Arc::new(Turns::new(at_once, chosen.len()));
            let times = Arc::default();
            let trials = chosen
                .into_iter()
                .map(|scenario| trial(&lab, *scenario, &turns, &times))
                .collect();
            let conclusion = libtest_mimic::run(&arguments, trials);
            tell_slowest(&times);
            Ok(conclusion.exit_code())
        },
    )
}

/// Whether the runner's own words name a scenario.
fn is_chosen(name: &str, arguments: &Arguments) -> bool {
    let is_named = |filter: &String| {
        if arguments.exact {
            name == filter
        } else {
            name.contains(filter.as_str())
        }
    };
    arguments.filter.as_ref().is_none_or(is_named) && !arguments.skip.iter().any(is_named)
}

/// Makes the trees that the chosen scenarios boot machines from, while there is a way to a mirror.
fn trees(suite: &str, arguments: &Arguments) -> anyhow::Result<()> {
    base::tree(suite)?;
    let chosen =
        |name: &str| is_chosen(name, arguments) && all().any(|scenario| scenario.name == name);
    let mut need_workbench = clients::NEED_WORKBENCH
        .iter()
        .chain(factors::NEED_WORKBENCH);
    // Attacks and hazards are shown on a stock host first.
    let mut listed = LISTS.into_iter().flat_map(List::tests);
    if need_workbench.any(|name| chosen(name)) || listed.any(|test| chosen(test.name)) {
        base::tree_of(suite, Kind::Workbench)?;
    }
    Ok(())
}

/// What there is to run: the last scenario looks back at everything, so the lists come first.
fn all() -> impl Iterator<Item = &'static Scenario> {
    let listed = LISTS.into_iter().flat_map(List::tests);
    let wanted = std::env::var(FILTERS).unwrap_or_default();
    let is_wanted = move |scenario: &&Scenario| {
        let mut words = wanted.split_whitespace().peekable();
        words.peek().is_none() || words.any(|word| scenario.name.contains(word))
    };
    listed.chain(SCENARIOS).filter(is_wanted)
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the document, or why there is none"
)]
fn document(name: &str) -> ExitCode {
    let Some(list) = LISTS.into_iter().find(|list| list.name == name) else {
        eprintln!("there is no list {name:?}");
        return ExitCode::FAILURE;
    };
    match list.check() {
        Ok(()) => {
            print!("{}", list.document());
            ExitCode::SUCCESS
        }
        Err(trouble) => {
            eprintln!("tests/tests: {trouble:#}");
            ExitCode::FAILURE
        }
    }
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
        .map_err(|trouble| anyhow::anyhow!("{trouble:#}{}", meanwhile(&lab, [None; 3])))?;
    eprintln!(
        "lab: {} is installed after {:.1} s",
        package.display(),
        begin.elapsed().as_secs_f32()
    );
    Ok(lab)
}

/// How long each story took, without its wait for its turn.
type Times = Arc<Mutex<Vec<(Duration, &'static str)>>>;

/// What a run takes is what its slowest stories take: the dozen to look at first.
#[expect(clippy::print_stderr, reason = "for who wants the lab quicker")]
fn tell_slowest(times: &Times) {
    const DOZEN: usize = 12;
    let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
    times.sort_unstable_by(|one, other| other.cmp(one));
    for (time, name) in times.iter().take(DOZEN) {
        eprintln!("lab: {:>6.1} s  {name}", time.as_secs_f32());
    }
}

fn trial(lab: &Arc<Lab>, scenario: Scenario, turns: &Arc<Turns>, times: &Times) -> Trial {
    let (lab, turns, times) = (Arc::clone(lab), Arc::clone(turns), Arc::clone(times));
    Trial::test(scenario.name, move || {
        let _turn = turns
            .wait(scenario.how)
            .map_err(|trouble| format!("{trouble:#}"))?;
        let marks = journals(&lab).map(|(_, journal)| journal.map(Journal::mark));
        let begin = Instant::now();
        let told = (scenario.tell)(&lab);
        let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
        times.push((begin.elapsed(), scenario.name));
        drop(times);
        told.map_err(|trouble| {
            note_red(scenario.name);
            Failed::from(format!("{trouble:#}{}", meanwhile(&lab, marks)))
        })
    })
}

#[expect(clippy::print_stderr, reason = "nobody else can be told")]
/// Adds a name to the list of what failed, where somebody wants one.
fn note_red(name: &str) {
    let Some(list) = std::env::var_os(RED) else {
        return;
    };
    let noted = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(list)
        .and_then(|mut file| writeln!(file, "{name}"));
    if let Err(trouble) = noted {
        eprintln!("lab: the list of what failed: {trouble}");
    }
}

/// Every journal of the lab that is followed.
fn journals(lab: &Lab) -> [(&'static str, Option<&Journal>); 3] {
    [
        ("bastion", Some(&lab.journal)),
        (
            "open bastion",
            lab.open_bastion_so_far().map(|open| &open.journal),
        ),
        ("stock host", lab.stock_so_far().map(|stock| &stock.journal)),
    ]
}

/// What the hosts wrote down since `marks`, for the reader of a failure.
fn meanwhile(lab: &Lab, marks: [Option<Mark>; 3]) -> String {
    let mut told = String::new();
    for ((host, journal), mark) in journals(lab).into_iter().zip(marks) {
        let Some(journal) = journal else { continue };
        told.push_str(&format!("\n--- the {host}'s journal meanwhile"));
        for entry in journal.since(mark.unwrap_or_default(), |_| true) {
            told.push_str(&format!("\n{entry}"));
        }
    }
    told
}
