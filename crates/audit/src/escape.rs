//! What a value may look like by the time it is in an event: printable ASCII, at most 1 KiB.
//!
//! Names and texts come from whoever tries to log in. A newline would forge an
//! event, an escape sequence would play on the reader's terminal, a long one
//! would push the rest out of a collector's line.

use std::fmt::Write;

/// The longest value, in bytes, after escaping and without [`CUT`].
pub const MAX_VALUE: usize = 1024;

/// Ends a value that was cut.
pub const CUT: &str = "[cut]";

/// Makes `text` printable ASCII: every other byte becomes `\xNN`, a backslash `\\`.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_VALUE));
    for byte in text.bytes() {
        let length = match byte {
            b'\\' => 2,
            b' '..=b'~' => 1,
            _ => 4,
        };
        if out.len() + length > MAX_VALUE {
            out.push_str(CUT);
            break;
        }
        match length {
            1 => out.push(char::from(byte)),
            2 => out.push_str("\\\\"),
            // Writing to a String does not fail.
            _ => drop(write!(out, "\\x{byte:02x}")),
        }
    }
    out
}

/// Appends ` key=value` to a line of logfmt; `printable` text is quoted where it must be.
pub(crate) fn push_logfmt(line: &mut String, key: &str, printable: &str) {
    line.push(' ');
    line.push_str(key);
    line.push('=');
    let bare = !printable.is_empty()
        && !printable
            .bytes()
            .any(|b| matches!(b, b' ' | b'"' | b'=' | b'\\'));
    if bare {
        line.push_str(printable);
    } else {
        line.push('"');
        line.push_str(&printable.replace('"', "\\\""));
        line.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn logfmt(key: &str, value: &str) -> String {
        let mut line = String::new();
        push_logfmt(&mut line, key, &printable(value));
        line
    }

    #[test]
    fn plain_words_stand_bare() {
        assert_eq!(logfmt("user", "alice"), " user=alice");
        assert_eq!(logfmt("dst", "[2001:db8::1]:22"), " dst=[2001:db8::1]:22");
    }

    #[test]
    fn nothing_breaks_out_of_its_value() {
        assert_eq!(logfmt("user", ""), " user=\"\"");
        assert_eq!(logfmt("user", "a b=c"), " user=\"a b=c\"");
        assert_eq!(logfmt("user", "a\" uid=0"), " user=\"a\\\" uid=0\"");
        assert_eq!(logfmt("user", "a\\"), " user=\"a\\\\\"");
        assert_eq!(
            logfmt("user", "a\n\u{1b}[2Jé\u{202e}\0"),
            " user=\"a\\x0a\\x1b[2J\\xc3\\xa9\\xe2\\x80\\xae\\x00\""
        );
    }

    #[test]
    fn a_long_value_is_cut_and_says_so() {
        let cut = printable(&"x".repeat(10_000));
        assert_eq!(cut.len(), MAX_VALUE + CUT.len());
        assert!(cut.ends_with(CUT));
        assert_eq!(printable(&"x".repeat(MAX_VALUE)).len(), MAX_VALUE);
        // Never in the middle of an escape.
        let cut = printable(&"\n".repeat(10_000));
        assert_eq!(cut, format!("{}{CUT}", "\\x0a".repeat(MAX_VALUE / 4)));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_one_bounded_line_of_printable_ascii(value in ".*") {
            let line = logfmt("k", &value);
            prop_assert!(line.bytes().all(|b| matches!(b, b' '..=b'~')));
            prop_assert!(line.len() <= 2 * (MAX_VALUE + CUT.len()) + 5);
        }
    }
}
