//! `jumpctl recordings grep`: where a pattern stood on a screen, without playing anything.

use super::item::Item;
use super::shelf::short;
use super::text::{self, Read};
use super::which::Filter;
use super::{Desk, list, precise};
use crate::cli::recordings::{Pattern, Which};
use crate::error::{Answer, Error, Outcome};
use crate::output::{Output, printable, remark};
use jiff::Timestamp;
use jump_recording::{Keys, Line};
use regex::{Regex, RegexBuilder};
use serde::Serialize;
use std::ops::ControlFlow;

/// A line that fits.
#[derive(Serialize)]
struct Found {
    recording: String,
    user: String,
    target: String,
    /// When its first character appeared, in milliseconds since the recording began.
    at_ms: u64,
    /// The same instant, RFC 3339.
    time: String,
    line: String,
}

/// What could not be looked into.
#[derive(Default)]
struct Unread {
    sealed: usize,
    broken: usize,
}

pub(super) fn run(
    desk: &Desk,
    pattern: &Pattern,
    which: Which,
    keys: &Keys,
    out: &mut Output,
) -> Answer {
    let pattern = compile(pattern)?;
    let filter = Filter::new(which, &desk.now)?;
    let (items, unreadable) = list::items(desk, &filter)?;
    let names: Vec<&str> = items.iter().map(Item::name).collect();
    let digits = short(&names);
    let mut unread = Unread {
        broken: unreadable,
        ..Unread::default()
    };
    let (mut all, mut count) = (Vec::new(), 0_usize);
    for item in &items {
        let read = text::lines(item, keys, |line| {
            if filter.at(item.at_ms(line.micros)) && pattern.is_match(&line.text) {
                count += 1;
                if out.is_json() {
                    all.push(Found::of(item, line));
                } else {
                    show(item, &line, digits, out)?;
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        match read {
            Read::Whole => {}
            Read::Sealed => unread.sealed += 1,
            Read::Broken(fault) => {
                unread.broken += 1;
                remark(format_args!("{}: {fault}", printable(item.name())));
            }
        }
    }
    finish(count, &all, &unread, out)
}

fn finish(count: usize, all: &[Found], unread: &Unread, out: &mut Output) -> Answer {
    let sealed = (unread.sealed > 0).then(|| list::not_searched(unread.sealed));
    // "Nothing" would be a lie, if not everything was looked into.
    if count == 0 && (sealed.is_some() || unread.broken > 0) {
        let why =
            sealed.unwrap_or_else(|| "some recordings cannot be read to their end".to_owned());
        return Err(Error::failed(format!(
            "nothing was found in what could be read; {why}"
        )));
    }
    if let Some(sealed) = sealed {
        remark(sealed);
    }
    out.json(&all)?;
    Ok(Outcome::from_bool(count > 0))
}

fn compile(pattern: &Pattern) -> Result<Regex, Error> {
    let text = if pattern.fixed {
        regex::escape(&pattern.pattern)
    } else {
        pattern.pattern.clone()
    };
    RegexBuilder::new(&text)
        .case_insensitive(pattern.ignore_case)
        .build()
        .map_err(|e| Error::Usage(format!("{e}\n-F searches for the text as it is")))
}

impl Found {
    fn of(item: &Item, line: Line) -> Self {
        let facts = &item.header.facts;
        let time = Timestamp::from_millisecond(item.at_ms(line.micros));
        Self {
            recording: item.id().to_owned(),
            user: facts.user.clone(),
            target: facts.target.clone(),
            at_ms: line.micros / 1000,
            time: time.map_or_else(|_| String::new(), |time| time.to_string()),
            line: line.text,
        }
    }
}

/// As `play --at` takes it.
fn show(item: &Item, line: &Line, digits: usize, out: &mut Output) -> Result<(), Error> {
    let id: String = item.name().chars().take(digits).collect();
    let (id, text) = (printable(&id), printable(&line.text));
    out.line(format_args!("{id}  {}  {text}", precise(line.micros)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, fixed: bool, ignore_case: bool, line: &str) -> bool {
        let pattern = Pattern {
            pattern: pattern.to_owned(),
            fixed,
            ignore_case,
        };
        compile(&pattern).unwrap().is_match(line)
    }

    #[test]
    fn a_pattern_is_an_expression_unless_it_is_to_be_taken_as_it_is() {
        assert!(fits("dr.p (table|index)", false, false, "drop index"));
        assert!(!fits("dr.p", true, false, "drop"));
        assert!(fits("a.b(", true, false, "a.b(c"));
        assert!(fits("ÄRGER", false, true, "ärger"));
        assert!(!fits("DROP", false, false, "drop"));
    }

    #[test]
    fn what_is_no_expression_is_an_error_with_its_cure() {
        let pattern = Pattern {
            pattern: "a(".to_owned(),
            fixed: false,
            ignore_case: false,
        };
        let e = compile(&pattern).unwrap_err();
        assert!(e.exit_code() == 2 && e.to_string().contains("-F"), "{e}");
    }
}
