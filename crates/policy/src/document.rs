//! Reads a TOML document by hand, so that every refusal knows exactly which bytes it is about.
//!
//! A derived deserialiser stops at its first error and places errors of
//! content at the whole value. This reader takes each known key of a table
//! once, with its place; what nobody took is unknown and refused.

use crate::diagnostics::{Problems, quoted, suggestion};
use crate::model::Span;
use std::cell::RefCell;
use std::collections::BTreeSet;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and where it stands.
pub(crate) type Node<'t> = &'t Spanned<DeValue<'t>>;

/// A table while its keys are being taken.
pub(crate) struct Section<'t> {
    table: &'t DeTable<'t>,
    /// What a missing key is reported at.
    span: Span,
    /// How messages call it, e.g. `[session]`.
    title: String,
    known: RefCell<Vec<&'static str>>,
}

impl<'t> Section<'t> {
    pub(crate) fn new(table: &'t DeTable<'t>, span: Span, title: impl Into<String>) -> Self {
        Self {
            table,
            span,
            title: title.into(),
            known: RefCell::default(),
        }
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// The value of a key that may be absent.
    pub(crate) fn optional(&self, key: &'static str) -> Option<Node<'t>> {
        self.known.borrow_mut().push(key);
        self.table.get(key)
    }

    /// The value of a key that must be there.
    pub(crate) fn required(&self, key: &'static str, problems: &mut Problems) -> Option<Node<'t>> {
        let value = self.optional(key);
        if value.is_none() {
            problems.add(&self.span, format!("{} needs `{key}`", self.title));
        }
        value
    }

    /// Refuses every key that was not asked for.
    pub(crate) fn finish(self, problems: &mut Problems) {
        let known = self.known.into_inner();
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let message = format!("unknown key {} in {}", quoted(name), self.title);
                match suggestion(name, known.iter().copied()) {
                    Some(help) => problems.add_help(&key.span(), message, help),
                    None => problems.add(&key.span(), message),
                }
            }
        }
    }
}

/// What a value is, in words.
pub(crate) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn wrong_type(node: Node<'_>, expected: &str, problems: &mut Problems) {
    problems.add(
        &node.span(),
        format!("expected {expected}, found {}", type_name(node.get_ref())),
    );
}

/// The text of a string.
pub(crate) fn string<'t>(node: Node<'t>, problems: &mut Problems) -> Option<&'t str> {
    match node.get_ref() {
        DeValue::String(text) => Some(text),
        _ => {
            wrong_type(node, "a string", problems);
            None
        }
    }
}

/// `true` or `false`.
pub(crate) fn boolean(node: Node<'_>, problems: &mut Problems) -> Option<bool> {
    match node.get_ref() {
        DeValue::Boolean(value) => Some(*value),
        _ => {
            wrong_type(node, "true or false", problems);
            None
        }
    }
}

/// A number in a range.
pub(crate) fn integer<T>(
    node: Node<'_>,
    range: std::ops::RangeInclusive<T>,
    problems: &mut Problems,
) -> Option<T>
where
    T: TryFrom<i64> + PartialOrd + std::fmt::Display,
{
    let DeValue::Integer(written) = node.get_ref() else {
        wrong_type(node, "an integer", problems);
        return None;
    };
    let value = i64::from_str_radix(written.as_str(), written.radix())
        .ok()
        .and_then(|value| T::try_from(value).ok())
        .filter(|value| range.contains(value));
    if value.is_none() {
        problems.add(
            &node.span(),
            format!(
                "expected a number from {} to {}, found {}",
                range.start(),
                range.end(),
                quoted(&written.to_string())
            ),
        );
    }
    value
}

/// The entries of a list.
pub(crate) fn list<'t>(node: Node<'t>, problems: &mut Problems) -> Option<Vec<Node<'t>>> {
    match node.get_ref() {
        DeValue::Array(entries) => Some(entries.iter().collect()),
        _ => {
            wrong_type(node, "a list", problems);
            None
        }
    }
}

/// The entries of a list that must have some: an empty list could be read as "nobody" and as "everybody".
pub(crate) fn filled_list<'t>(
    node: Node<'t>,
    key: &str,
    problems: &mut Problems,
) -> Option<Vec<Node<'t>>> {
    let entries = list(node, problems)?;
    if entries.is_empty() {
        problems.add_help(
            &node.span(),
            format!("`{key}` is an empty list"),
            "name at least one entry, or remove the line",
        );
        return None;
    }
    Some(entries)
}

/// A non-empty list of distinct strings, with their places.
pub(crate) fn strings<'t>(
    node: Node<'t>,
    key: &str,
    problems: &mut Problems,
) -> Option<Vec<(&'t str, Span)>> {
    let mut out: Vec<(&str, Span)> = Vec::new();
    let mut seen = BTreeSet::new();
    for entry in filled_list(node, key, problems)? {
        let Some(text) = string(entry, problems) else {
            continue;
        };
        if !seen.insert(text) {
            problems.add(&entry.span(), format!("{} is listed twice", quoted(text)));
            continue;
        }
        out.push((text, entry.span()));
    }
    Some(out)
}

/// A table.
pub(crate) fn table<'t>(node: Node<'t>, problems: &mut Problems) -> Option<&'t DeTable<'t>> {
    match node.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => {
            wrong_type(node, "a table", problems);
            None
        }
    }
}
