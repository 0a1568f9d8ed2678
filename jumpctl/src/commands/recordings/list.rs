//! `jumpctl recordings list`: which there are.

use super::item::{Item, State};
use super::shelf::short;
use super::text::{self, Read};
use super::which::Filter;
use super::{Desk, clock};
use crate::cli::recordings::Which;
use crate::error::{Answer, Error, Outcome};
use crate::output::{Output, bytes, printable, remark};
use crate::time;
use jiff::Timestamp;
use jump_recording::Keys;
use serde::Serialize;
use std::ops::ControlFlow;

/// A recording in a list.
#[derive(Serialize)]
pub(super) struct Listed<'a> {
    recording: &'a str,
    path: String,
    /// RFC 3339.
    began: String,
    began_ms: i64,
    duration_ms: u64,
    user: &'a str,
    uid: u32,
    source: String,
    session: &'a str,
    target: &'a str,
    address: String,
    /// At the target; absent in recordings of releases that did not write it down there.
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<&'a str>,
    rule: &'a str,
    size: u64,
    state: State,
    sealed: bool,
    sealed_to: &'a [String],
    exit: Option<i32>,
    /// How often something was not recorded; unknown before the end.
    gaps: Option<u64>,
}

impl<'a> Listed<'a> {
    pub(super) fn of(item: &'a Item) -> Self {
        let facts = &item.header.facts;
        let trailer = item.trailer.as_ref();
        Self {
            recording: item.id(),
            path: item.place.path.display().to_string(),
            began: Timestamp::from_millisecond(item.began_ms())
                .map_or_else(|_| String::new(), |began| began.to_string()),
            began_ms: item.began_ms(),
            duration_ms: item.micros / 1000,
            user: &facts.user,
            uid: facts.uid,
            source: facts.source.to_string(),
            session: &facts.session,
            target: &facts.target,
            address: facts.address.to_string(),
            login: facts.login.as_deref(),
            rule: &facts.rule,
            size: item.size,
            state: item.state,
            sealed: item.header.sealed(),
            sealed_to: &facts.sealed_to,
            exit: trailer.and_then(|trailer| trailer.exit),
            gaps: trailer.map(|trailer| trailer.gaps),
        }
    }
}

/// A recording in a list, and whether its text was looked into.
#[derive(Serialize)]
struct Found<'a> {
    #[serde(flatten)]
    listed: Listed<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    searched: Option<bool>,
}

/// What is there, by time; and how many files are no recordings, each remarked on.
pub(super) fn items(desk: &Desk, filter: &Filter) -> Result<(Vec<Item>, usize), Error> {
    let (mut items, mut unreadable) = (Vec::new(), 0);
    for place in desk.shelf.all()? {
        match Item::read(place, desk.now_ms()) {
            Ok(item) if filter.fits(&item) => items.push(item),
            Ok(_) => {}
            Err(Error::NotRoot) => return Err(Error::NotRoot),
            Err(e) => {
                unreadable += 1;
                remark(printable(&e.to_string()));
            }
        }
    }
    items.sort_by(|a, b| (a.began_ms(), a.name()).cmp(&(b.began_ms(), b.name())));
    Ok((items, unreadable))
}

pub(super) fn run(
    desk: &Desk,
    which: Which,
    wanted: Option<&str>,
    keys: &Keys,
    out: &mut Output,
) -> Answer {
    let filter = Filter::new(which, &desk.now)?;
    let all = filter.is_empty() && wanted.is_none();
    let mut found = Vec::new();
    let (items, _) = items(desk, &filter)?;
    for item in items {
        match wanted {
            None => found.push((item, None)),
            Some(text) => match stood(&item, keys, text, &filter)? {
                Some(true) => found.push((item, Some(true))),
                Some(false) => {}
                None => found.push((item, Some(false))),
            },
        }
    }
    show(desk, &found, out)?;
    let sealed = found
        .iter()
        .filter(|(_, searched)| *searched == Some(false));
    let sealed = sealed.count();
    if sealed > 0 {
        remark(not_searched(sealed));
    }
    Ok(Outcome::from_bool(all || found.len() > sealed))
}

/// What is said of recordings that no key opened.
pub(super) fn not_searched(count: usize) -> String {
    let (what, are) = match count {
        1 => ("one encrypted recording".to_owned(), "was"),
        count => (format!("{count} encrypted recordings"), "were"),
    };
    format!(
        "{what} {are} not searched; --identity names the key of an auditor they are encrypted to"
    )
}

/// Whether this text stood on the screen in the time asked for; `None` if nobody can know without a key.
fn stood(item: &Item, keys: &Keys, wanted: &str, filter: &Filter) -> Result<Option<bool>, Error> {
    let wanted = wanted.to_lowercase();
    let mut stood = false;
    let read = text::lines(item, keys, |line| {
        let fits = line.text.to_lowercase().contains(&wanted);
        stood = fits && filter.at(item.at_ms(line.micros));
        Ok(if stood {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    if let Read::Broken(fault) = &read {
        remark(format_args!("{}: {fault}", printable(item.name())));
    }
    Ok((read != Read::Sealed).then_some(stood))
}

fn show(desk: &Desk, found: &[(Item, Option<bool>)], out: &mut Output) -> Result<(), Error> {
    if found.is_empty() {
        out.line("No recordings.")?;
    } else {
        let names: Vec<&str> = found.iter().map(|(item, _)| item.name()).collect();
        let digits = short(&names);
        let rows: Vec<_> = found
            .iter()
            .map(|(item, searched)| row(item, *searched, digits, desk))
            .collect();
        out.table(
            &[
                "RECORDING",
                "BEGAN",
                "LENGTH",
                "USER",
                "TARGET",
                "SIZE",
                "STATE",
                "",
            ],
            &rows,
        )?;
    }
    let listed: Vec<_> = found
        .iter()
        .map(|(item, searched)| Found {
            listed: Listed::of(item),
            searched: *searched,
        })
        .collect();
    out.json(&listed)
}

fn row(item: &Item, searched: Option<bool>, digits: usize, desk: &Desk) -> Vec<String> {
    let facts = &item.header.facts;
    let least = item.state == State::BrokenOff && item.header.sealed();
    let mut remarks = Vec::new();
    if item.header.sealed() {
        remarks.push("encrypted");
    }
    if searched == Some(false) {
        remarks.push("not searched");
    }
    let id: String = item.name().chars().take(digits).collect();
    vec![
        printable(&id),
        time::show(item.began_ms(), &desk.zone),
        format!("{}{}", clock(item.micros), if least { "+" } else { "" }),
        printable(&facts.user),
        printable(&facts.target),
        bytes(item.size),
        item.state.words().to_owned(),
        remarks.join(", "),
    ]
}
