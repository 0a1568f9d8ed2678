//! Text of others, made safe to print on a terminal.
//!
//! Names, rules and messages come from the policy, and refused commands from
//! the client; a terminal would obey what is written in them (attack A30).

use std::fmt::Write;

/// `text` with everything that moves a cursor, hides or reorders made visible as `\u{…}`.
#[must_use]
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            // Writing to a String cannot fail.
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// [`shown`] of bytes that may not be UTF-8, cut to `limit` characters.
#[must_use]
pub(crate) fn shown_bytes(bytes: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut cut: String = text.chars().take(limit).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    shown(&cut)
}

/// JSON with every character outside printable ASCII escaped, so that it too can go to a terminal.
///
/// Such characters stand only inside strings (RFC 8259), where `\uXXXX` means the same.
#[must_use]
pub(crate) fn ascii_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && c != '\u{7f}' {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// Whether a terminal would obey `c`, hide it, or put it elsewhere.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{00ad}'
                | '\u{061c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_stay_readable() {
        assert_eq!(
            shown("db1.example.internal Ağrı 東京"),
            "db1.example.internal Ağrı 東京"
        );
    }

    #[test]
    fn a_terminal_is_told_nothing() {
        assert_eq!(shown("a\u{1b}]52;c;x\u{7}b"), "a\\u{1b}]52;c;x\\u{7}b");
        assert_eq!(
            shown("a\r\nb\u{9b}c\u{202e}d"),
            "a\\u{d}\\u{a}b\\u{9b}c\\u{202e}d"
        );
    }

    #[test]
    fn bytes_that_are_not_text_are_cut_and_shown() {
        assert_eq!(shown_bytes(b"\xff\x1bx", 10), "\u{fffd}\\u{1b}x");
        assert_eq!(shown_bytes(b"abcdef", 3), "abc…");
    }

    proptest! {
        #[test]
        fn no_control_character_survives(text in any::<String>()) {
            prop_assert!(!shown(&text).chars().any(is_unsafe));
        }

        #[test]
        fn escaped_json_says_the_same(text in any::<String>()) {
            let json = ascii_json(&serde_json::to_string(&text).unwrap());
            prop_assert!(json.bytes().all(|b| (0x20..0x7f).contains(&b)));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
