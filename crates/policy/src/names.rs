//! What may be a name, of whom and of what.
//!
//! Names reach shells, paths, sshd_config and the log; each kind is kept to
//! characters that mean nothing there.

use crate::diagnostics::{Problems, quoted};
use crate::model::Span;

/// A name of a user or group: `[a-z_][a-z0-9_-]{0,31}`, what useradd(8) takes and nothing that a shell, a path or a log could misread.
pub(crate) fn account_name(name: &str, span: &Span, problems: &mut Problems) -> bool {
    let mut bytes = name.bytes();
    let first_ok = bytes
        .next()
        .is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    let rest_ok =
        bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
    let ok = first_ok && rest_ok && name.len() <= 32;
    if !ok {
        problems.add_help(
            span,
            format!("{} cannot be the name of a user or group", quoted(name)),
            "up to 32 lower-case letters, digits, `_` and `-`; the first is a letter or `_`",
        );
    }
    ok
}

/// A login name at a target. It is typed before an `@`, and stands in ssh's arguments and in certificates, where `-`, `,` and `*` would mean something.
pub(crate) fn principal(name: &str, span: &Span, problems: &mut Problems) -> bool {
    let ok = is_login_name(name);
    if !ok {
        problems.add_help(
            span,
            format!("{} cannot be a login name at a target", quoted(name)),
            if name.contains(['@', '+']) {
                "`@` and `+` cannot be in it, for the restricted shell takes them in no login name: up to 64 letters, digits and `_-.`; the first is a letter, a digit or `_`"
            } else {
                "up to 64 letters, digits and `_-.`; the first is a letter, a digit or `_`"
            },
        );
    }
    ok
}

/// Whether hops can log in by this name.
#[must_use]
pub fn is_login_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    name.bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().all(plain)
        && name.len() <= 64
}

/// A name of a target, window or rule: it stands in events, so it is one plain word.
pub(crate) fn label(name: &str, span: &Span, problems: &mut Problems) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let ok = name
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().all(plain)
        && name.len() <= 64;
    if !ok {
        problems.add_help(
            span,
            format!("{} cannot be a name here", quoted(name)),
            "up to 64 letters, digits, `_`, `-` and `.`; the first is a letter or digit",
        );
    }
    ok
}

/// A name of a group of another NSS source. It is written into `Match Group` of sshd_config(5), where these characters have a meaning.
pub(crate) fn system_group_name(name: &str, span: &Span, problems: &mut Problems) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'@' | b'+');
    let ok = name
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().all(plain)
        && name.len() <= 255;
    if !ok {
        problems.add_help(
            span,
            format!("{} cannot be used as a system group", quoted(name)),
            "letters, digits and `_-.@+`; let the source map other names (sssd.conf: override_space, re_expression)",
        );
    } else if name == "root" {
        problems.add_help(
            span,
            "the group `root` stays outside of this policy",
            "root logs in as before, whatever the policy says; name another group",
        );
        return false;
    }
    ok
}
