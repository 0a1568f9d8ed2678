//! Which recordings are meant: by user, target, session and time.

use super::item::Item;
use crate::cli::recordings::Which;
use crate::error::Error;
use crate::time;
use jiff::Zoned;
use jump_recording::Facts;

/// What they must fit; times in milliseconds since the Unix epoch.
pub(super) struct Filter {
    user: Option<String>,
    target: Option<String>,
    session: Option<String>,
    since: Option<i64>,
    until: Option<i64>,
}

impl Filter {
    pub(super) fn new(which: Which, now: &Zoned) -> Result<Self, Error> {
        let instant = |text: Option<String>| -> Result<Option<i64>, Error> {
            let instant = text.map(|text| time::past(&text, now)).transpose()?;
            Ok(instant.map(|instant| instant.as_millisecond()))
        };
        Ok(Self {
            user: which.user,
            target: which.target.map(|target| target.to_lowercase()),
            session: which.session.map(|session| session.to_lowercase()),
            since: instant(which.since)?,
            until: instant(which.until)?,
        })
    }

    /// Whether every recording fits.
    pub(super) fn is_empty(&self) -> bool {
        let texts = [&self.user, &self.target, &self.session];
        let times = [self.since, self.until];
        texts.iter().all(|text| text.is_none()) && times.iter().all(Option::is_none)
    }

    /// Whether this one does: some of it was shown in the time asked for.
    pub(super) fn fits(&self, item: &Item) -> bool {
        let facts = &item.header.facts;
        let is =
            |wanted: &Option<String>, has: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(has);
        is(&self.user, &|user| facts.user == user)
            && is(&self.session, &|start| facts.session.starts_with(start))
            && is(&self.target, &|target| is_target(facts, target))
            && self.since.is_none_or(|since| item.ended_ms() >= since)
            && self.until.is_none_or(|until| item.began_ms() < until)
    }

    /// Whether a moment, in milliseconds since the Unix epoch, is in the time asked for.
    pub(super) fn at(&self, ms: i64) -> bool {
        self.since.is_none_or(|since| ms >= since) && self.until.is_none_or(|until| ms < until)
    }
}

fn is_target(facts: &Facts, wanted: &str) -> bool {
    let address = facts.address;
    let port = address.port();
    let target = facts.target.to_lowercase();
    [
        format!("{target}:{port}"),
        target,
        address.ip().to_string(),
        address.to_string(),
    ]
    .iter()
    .any(|name| like(name, wanted))
}

/// Whether a name is like a pattern in which `*` stands for anything.
fn like(name: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return name == pattern;
    };
    let Some(mut name) = name.strip_prefix(start) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match name.find(part) {
            Some(at) => name = name.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (name, pattern) in [
            ("db1", "db1"),
            ("db1", "db*"),
            ("db1.example", "*.example"),
            ("db1.example", "d*1*ex*e"),
            ("db1", "*"),
            ("", "*"),
        ] {
            assert!(like(name, pattern), "{name} {pattern}");
        }
        for (name, pattern) in [
            ("db1", "db"),
            ("db1", "b*"),
            ("db1", "*2"),
            ("ab", "ab*b"),
            ("aXb", "a*X*X*b"),
            ("db1", ""),
        ] {
            assert!(!like(name, pattern), "{name} {pattern}");
        }
    }
}
