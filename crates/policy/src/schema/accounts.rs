//! `[users]` and `[groups]`: who there is.

use super::{Kind, Reader, distinct, mfa};
use crate::diagnostics::{Problems, quoted};
use crate::document::{Node, Section, integer, string};
use crate::ids;
use crate::keys::PublicKey;
use crate::model::{Group, User};
use crate::names::account_name;
use crate::values::{DayEdge, instant};
use std::collections::BTreeMap;

/// The longest full name, in characters.
const FULL_NAME: usize = 128;

/// Names that stay the host's own, whatever its files say.
const HOST_NAMES: &[&str] = &[
    "root",
    "nobody",
    "nogroup",
    "jumpd",
    "jump-guard",
    "jump-keys",
];

/// A uid or gid that a policy may give.
pub(super) fn id(node: Node<'_>, problems: &mut Problems) -> Option<u32> {
    let id = integer(node, 0..=u32::MAX, problems)?;
    if let Some(why) = ids::taken(id) {
        problems.add_help(
            &node.span(),
            format!("the id {id} cannot be used: {why}"),
            "take ids from 65536 up that no directory of yours gives out, e.g. 70001",
        );
        return None;
    }
    Some(id)
}

fn name_is_free(name: &str, section: &Section<'_>, problems: &mut Problems) -> bool {
    if HOST_NAMES.contains(&name) {
        problems.add_help(
            section.span(),
            format!("{} is an account of the host itself", quoted(name)),
            "choose another name",
        );
        return false;
    }
    account_name(name, section.span(), problems)
}

pub(super) fn groups(reader: &mut Reader, node: Option<Node<'_>>) -> BTreeMap<String, Group> {
    let mut out = BTreeMap::new();
    for (name, section) in reader.named_tables("groups", node) {
        let problems = &mut reader.problems;
        name_is_free(name, &section, problems);
        let gid = section.required("gid", problems).and_then(|node| {
            reader.places.gids.insert(name.to_owned(), node.span());
            id(node, problems)
        });
        let mfa = section
            .optional("mfa")
            .map(|node| mfa::methods(node, "mfa", problems));
        let group = Group {
            name: name.to_owned(),
            mfa,
            // A faulty one never leaves the schema; it stays so that references to it are found.
            gid: gid.unwrap_or(u32::MAX),
            span: section.span().clone(),
        };
        section.finish(problems);
        out.insert(name.to_owned(), group);
    }
    out
}

pub(super) fn users(reader: &mut Reader, node: Option<Node<'_>>) -> BTreeMap<String, User> {
    let mut out = BTreeMap::new();
    for (name, section) in reader.named_tables("users", node) {
        let user = user(reader, name, section);
        out.insert(name.to_owned(), user);
    }
    out
}

fn user(reader: &mut Reader, name: &str, section: Section<'_>) -> User {
    name_is_free(name, &section, &mut reader.problems);
    let groups = match section.optional("groups") {
        Some(node) => reader.references(Kind::Group, "groups", node),
        None => Vec::new(),
    };
    let timezone = reader.timezone.clone();
    let problems = &mut reader.problems;
    let uid = section.required("uid", problems).and_then(|node| {
        reader.places.uids.insert(name.to_owned(), node.span());
        id(node, problems)
    });
    let full_name = section
        .optional("name")
        .and_then(|node| full_name(node, problems));
    let keys = section
        .required("keys", problems)
        .map(|node| distinct(node, "keys", problems, key))
        .unwrap_or_default();
    let valid_from = section
        .optional("valid_from")
        .and_then(|node| instant(node, &timezone, Some(DayEdge::Start), problems));
    let until_node = section.optional("valid_until");
    let valid_until =
        until_node.and_then(|node| instant(node, &timezone, Some(DayEdge::End), problems));
    if let (Some(from), Some(until), Some(node)) = (valid_from, valid_until, until_node)
        && until <= from
    {
        problems.add_help(
            &node.span(),
            "`valid_until` is not after `valid_from`",
            "exchange the two, or remove one",
        );
    }
    let mfa = section
        .optional("mfa")
        .and_then(|node| mfa::of_user(node, problems));
    let user = User {
        name: name.to_owned(),
        uid: uid.unwrap_or(u32::MAX),
        full_name,
        groups,
        keys,
        valid_from,
        valid_until,
        mfa,
        span: section.span().clone(),
    };
    section.finish(problems);
    user
}

/// A person's name; it becomes the gecos field of passwd(5), so it has no colon and nothing unprintable.
fn full_name(node: Node<'_>, problems: &mut Problems) -> Option<String> {
    let text = string(node, problems)?;
    let unfit = |c: char| c == ':' || c.is_control() || crate::diagnostics::is_format_character(c);
    if text.chars().any(unfit) || text.chars().count() > FULL_NAME {
        problems.add_help(
            &node.span(),
            format!("{} cannot be a person's name", quoted(text)),
            "one line without a colon, up to 128 characters",
        );
        return None;
    }
    Some(text.to_owned())
}

/// One public key line.
pub(super) fn key(node: Node<'_>, problems: &mut Problems) -> Option<PublicKey> {
    match PublicKey::parse(string(node, problems)?) {
        Ok(key) => Some(key),
        Err(error) => {
            match error.help {
                Some(help) => problems.add_help(&node.span(), error.message, help),
                None => problems.add(&node.span(), error.message),
            }
            None
        }
    }
}
