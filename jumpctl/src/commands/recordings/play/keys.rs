//! Keys of a terminal, out of the bytes it sends.

/// A key that means something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Left,
    Right,
    Up,
    Down,
    Enter,
    Backspace,
    Escape,
    /// Ctrl-C, Ctrl-D.
    Quit,
    /// Ctrl-Z.
    Suspend,
}

/// The keys in what was read at once. A sequence is sent at once, so an ESC at the end is the key.
pub(super) fn keys(bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = bytes;
    while let [first, more @ ..] = rest {
        let (key, after) = match first {
            0x1b => escape(more),
            0x03 | 0x04 => (Some(Key::Quit), more),
            0x1a => (Some(Key::Suspend), more),
            b'\r' | b'\n' => (Some(Key::Enter), more),
            0x08 | 0x7f => (Some(Key::Backspace), more),
            b' '..=b'~' => (Some(Key::Char(char::from(*first))), more),
            _ => (None, more),
        };
        keys.extend(key);
        rest = after;
    }
    keys
}

/// What follows an ESC: one of the arrows, or another key's sequence, which means nothing.
fn escape(bytes: &[u8]) -> (Option<Key>, &[u8]) {
    let (b'[' | b'O', rest) = (match bytes.split_first() {
        Some((first, rest)) => (*first, rest),
        None => return (Some(Key::Escape), bytes),
    }) else {
        return (Some(Key::Escape), bytes);
    };
    let end = rest.iter().position(|byte| (b'@'..=b'~').contains(byte));
    let Some(end) = end else {
        return (None, &[]);
    };
    let after = rest.get(end + 1..).unwrap_or_default();
    let key = match rest.get(..=end) {
        Some(b"A") => Some(Key::Up),
        Some(b"B") => Some(Key::Down),
        Some(b"C") => Some(Key::Right),
        Some(b"D") => Some(Key::Left),
        _ => None,
    };
    (key, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_one_by_one() {
        assert_eq!(
            keys(b" .\x1b[C\x1bOD\x1b[A\x1b[B\r\x7f\x03\x1a\x1b"),
            [
                Key::Char(' '),
                Key::Char('.'),
                Key::Right,
                Key::Left,
                Key::Up,
                Key::Down,
                Key::Enter,
                Key::Backspace,
                Key::Quit,
                Key::Suspend,
                Key::Escape
            ]
        );
    }

    #[test]
    fn other_sequences_are_no_keys_and_swallow_nothing_behind_them() {
        assert_eq!(
            keys(b"\x1b[1;5Cq\x1b[200~g\xc3\xa9h"),
            [Key::Char('q'), Key::Char('g'), Key::Char('h')]
        );
        assert_eq!(keys(b"\x1b[1;5"), []);
    }
}
