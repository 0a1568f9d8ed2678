//! `[mfa]`: which second factors there are, and what they are made of.

use super::{Reader, unknown_word};
use crate::diagnostics::{Problems, quoted};
use crate::document::{Node, Section, boolean, integer, string, strings, table};
use crate::model::{MfaSettings, Span, UserMfa};
use crate::values::duration;
use jump_proto::{Method, TotpAlgorithm, TotpParams};
use std::collections::BTreeSet;
use std::time::Duration;
use toml::de::DeValue;

pub(super) fn settings(reader: &mut Reader, node: Option<Node<'_>>) -> MfaSettings {
    let problems = &mut reader.problems;
    let mut settings = MfaSettings::default();
    let Some((keys, span)) = node.and_then(|node| Some((table(node, problems)?, node.span())))
    else {
        return settings;
    };
    let section = Section::new(keys, span, "[mfa]");
    if let Some(node) = section.optional("methods") {
        settings.methods = methods(node, "methods", problems);
        if settings.methods.contains(&Method::Totp) {
            // Given with every authenticator; a list that narrows can leave them out.
            settings.methods.insert(Method::Recovery);
        } else if settings.methods.contains(&Method::Recovery) {
            problems.add_help(
                &node.span(),
                "recovery codes are given with an authenticator",
                "add \"totp\", or remove \"recovery\"",
            );
        }
    }
    if let Some(node) = section.optional("attempts") {
        settings.attempts = integer(node, 1..=100, problems).unwrap_or(settings.attempts);
    }
    let second = Duration::from_secs(1);
    if let Some(node) = section.optional("lockout") {
        settings.lockout = duration(node, second, problems).unwrap_or(settings.lockout);
    }
    if let Some(node) = section.optional("remember") {
        settings.remember = duration(node, Duration::ZERO, problems).unwrap_or(settings.remember);
    }
    if let Some(node) = section.optional("totp") {
        settings.totp = totp(node, problems).unwrap_or(settings.totp);
    }
    if let Some(node) = section.optional("security_key") {
        settings.verify_required = verify_required(node, problems).unwrap_or_default();
    }
    section.finish(problems);
    settings
}

/// `[mfa.security_key]`: what a security key must have done.
fn verify_required(node: Node<'_>, problems: &mut Problems) -> Option<bool> {
    let section = Section::new(table(node, problems)?, node.span(), "[mfa.security_key]");
    let required = section
        .optional("verify_required")
        .and_then(|node| boolean(node, problems));
    section.finish(problems);
    required
}

fn known(word: &str, span: &Span, problems: &mut Problems) -> Option<Method> {
    let known = word.parse().ok();
    if known.is_none() {
        let words = Method::ALL.map(Method::as_str);
        unknown_word(word, span, "a second factor", words, problems);
    }
    known
}

/// One second factor.
pub(super) fn method(node: Node<'_>, problems: &mut Problems) -> Option<Method> {
    known(string(node, problems)?, &node.span(), problems)
}

/// A list of second factors.
pub(super) fn methods(node: Node<'_>, key: &str, problems: &mut Problems) -> BTreeSet<Method> {
    let words = strings(node, key, problems).unwrap_or_default();
    words
        .into_iter()
        .filter_map(|(word, span)| known(word, &span, problems))
        .collect()
}

/// `mfa` of a user: a list that narrows, or `"none"`.
pub(super) fn of_user(node: Node<'_>, problems: &mut Problems) -> Option<UserMfa> {
    if matches!(node.get_ref(), DeValue::Array(_)) {
        return Some(UserMfa::OneOf(methods(node, "mfa", problems)));
    }
    let word = string(node, problems)?;
    if word == "none" {
        return Some(UserMfa::Automation);
    }
    match word.parse::<Method>() {
        Ok(method) => problems.add_help(
            &node.span(),
            format!("{} stands without brackets", quoted(word)),
            format!("write mfa = [\"{method}\"]"),
        ),
        Err(()) => unknown_word(word, &node.span(), "a value of `mfa`", ["none"], problems),
    }
    None
}

/// `[mfa.totp]`: what new authenticators are made with.
fn totp(node: Node<'_>, problems: &mut Problems) -> Option<TotpParams> {
    let mut params = TotpParams::default();
    let section = Section::new(table(node, problems)?, node.span(), "[mfa.totp]");
    if let Some(node) = section.optional("digits") {
        params.digits = integer(node, 6..=8, problems).unwrap_or(params.digits);
        if params.digits == 7 {
            problems.add_help(
                &node.span(),
                "codes of 7 digits are not known to authenticator apps",
                "write 6 or 8",
            );
        }
    }
    if let Some(node) = section.optional("algorithm") {
        params.algorithm = algorithm(node, problems).unwrap_or(params.algorithm);
    }
    if let Some(node) = section.optional("period") {
        params.period_s = period_s(node, problems).unwrap_or(params.period_s);
    }
    section.finish(problems);
    Some(params)
}

fn algorithm(node: Node<'_>, problems: &mut Problems) -> Option<TotpAlgorithm> {
    let text = string(node, problems)?;
    let known = text.parse().ok();
    if known.is_none() {
        let names = TotpAlgorithm::ALL.map(TotpAlgorithm::as_str);
        unknown_word(
            text,
            &node.span(),
            "a hash of one-time codes",
            names,
            problems,
        );
    }
    known
}

fn period_s(node: Node<'_>, problems: &mut Problems) -> Option<u32> {
    let step = duration(node, Duration::from_secs(1), problems)?;
    let known = [30, 60]
        .into_iter()
        .find(|seconds| step == Duration::from_secs(u64::from(*seconds)));
    if known.is_none() {
        problems.add_help(
            &node.span(),
            "codes change every 30 or 60 seconds",
            "write \"30s\" or \"60s\"",
        );
    }
    known
}
