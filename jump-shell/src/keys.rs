//! What a terminal sends, as keys.
//!
//! Text arrives as UTF-8, keys without a letter as control characters or escape
//! sequences (ECMA-48 section 5.4, xterm's ctlseqs). Whatever is neither a known
//! key nor a character that may be shown is left out here, so nothing behind this
//! module meets a control character.

use crate::text::is_unsafe;

/// The longest escape sequence that is waited for; keyboards send far shorter ones.
const SEQUENCE_MAX: usize = 16;

/// One key, by what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// A character to insert, safe to show.
    Char(char),
    Enter,
    Tab,
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    Up,
    Down,
    /// Ctrl-H and the key that sends DEL.
    Backspace,
    Delete,
    /// Ctrl-D: deletes, or ends an empty line.
    DeleteOrEnd,
    KillWord,
    KillWordAhead,
    KillToStart,
    KillToEnd,
    Yank,
    Swap,
    ClearScreen,
    /// Ctrl-C of a terminal that makes no signal of it.
    Interrupt,
}

/// Takes the first key off `waiting`; none while what is there may be the beginning of one.
pub(crate) fn take(waiting: &mut Vec<u8>) -> Option<Key> {
    loop {
        let (length, key) = first(waiting)?;
        waiting.drain(..length.min(waiting.len()));
        if key.is_some() {
            return key;
        }
    }
}

/// The key that [`take`] would take; what is none is taken off.
pub(crate) fn peek(waiting: &mut Vec<u8>) -> Option<Key> {
    loop {
        match first(waiting)? {
            (_, Some(key)) => return Some(key),
            (length, None) => drop(waiting.drain(..length.min(waiting.len()))),
        }
    }
}

/// How many bytes belong together, and the key they are, if they are one.
type Found = (usize, Option<Key>);

fn first(bytes: &[u8]) -> Option<Found> {
    match bytes {
        [] => None,
        [0x1b, rest @ ..] => escape(rest).map(|(length, key)| (length + 1, key)),
        [control @ (0..0x20 | 0x7f), ..] => Some((1, control_key(*control))),
        _ => character(bytes),
    }
}

fn control_key(byte: u8) -> Option<Key> {
    Some(match byte {
        0x01 => Key::Home,
        0x02 => Key::Left,
        0x03 => Key::Interrupt,
        0x04 => Key::DeleteOrEnd,
        0x05 => Key::End,
        0x06 => Key::Right,
        0x08 | 0x7f => Key::Backspace,
        b'\t' => Key::Tab,
        b'\n' | b'\r' => Key::Enter,
        0x0b => Key::KillToEnd,
        0x0c => Key::ClearScreen,
        0x0e => Key::Down,
        0x10 => Key::Up,
        0x14 => Key::Swap,
        0x15 => Key::KillToStart,
        0x17 => Key::KillWord,
        0x19 => Key::Yank,
        _ => return None,
    })
}

/// What follows an escape character.
fn escape(rest: &[u8]) -> Option<Found> {
    match rest {
        [] => None,
        [b'[' | b'O', rest @ ..] => sequence(rest).map(|(length, key)| (length + 1, key)),
        [b'b', ..] => Some((1, Some(Key::WordLeft))),
        [b'f', ..] => Some((1, Some(Key::WordRight))),
        [b'd', ..] => Some((1, Some(Key::KillWordAhead))),
        [0x08 | 0x7f, ..] => Some((1, Some(Key::KillWord))),
        // The Escape key by itself; what comes now is a key of its own.
        [0..0x20, ..] => Some((0, None)),
        // Any other key with Alt is none.
        _ => character(rest).map(|(length, _)| (length, None)),
    }
}

/// Parameters and intermediates, then one final byte.
fn sequence(rest: &[u8]) -> Option<Found> {
    let end = rest
        .iter()
        .take(SEQUENCE_MAX)
        .position(|b| !(0x20..0x40).contains(b));
    let Some((parameters, last)) = end.and_then(|end| Some((rest.get(..end)?, *rest.get(end)?)))
    else {
        return (rest.len() >= SEQUENCE_MAX).then_some((SEQUENCE_MAX, None));
    };
    if !(0x40..0x7f).contains(&last) {
        // Broken off by another key.
        return Some((parameters.len(), None));
    }
    let far = matches!(parameters, b"1;3" | b"1;5" | b"5");
    let key = match (last, parameters) {
        (b'A', _) => Some(Key::Up),
        (b'B', _) => Some(Key::Down),
        (b'C', _) if far => Some(Key::WordRight),
        (b'D', _) if far => Some(Key::WordLeft),
        (b'C', _) => Some(Key::Right),
        (b'D', _) => Some(Key::Left),
        (b'H', _) | (b'~', b"1" | b"7") => Some(Key::Home),
        (b'F', _) | (b'~', b"4" | b"8") => Some(Key::End),
        (b'~', b"3") => Some(Key::Delete),
        _ => None,
    };
    Some((parameters.len() + 1, key))
}

/// One character of UTF-8; a byte that belongs to none becomes U+FFFD.
fn character(bytes: &[u8]) -> Option<Found> {
    let head = bytes.get(..bytes.len().min(4)).unwrap_or(bytes);
    let (valid, bad) = match std::str::from_utf8(head) {
        Ok(text) => (text, None),
        Err(error) => {
            let valid = head.get(..error.valid_up_to()).unwrap_or_default();
            let valid = std::str::from_utf8(valid).unwrap_or_default();
            (valid, error.error_len())
        }
    };
    match (valid.chars().next(), bad) {
        (Some(c), _) => Some((c.len_utf8(), (!is_unsafe(c)).then_some(Key::Char(c)))),
        (None, Some(length)) => Some((length, Some(Key::Char(char::REPLACEMENT_CHARACTER)))),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut waiting = bytes.to_vec();
        std::iter::from_fn(|| take(&mut waiting)).collect()
    }

    #[test]
    fn text_is_text() {
        assert_eq!(
            keys("aé東\r".as_bytes()),
            [Key::Char('a'), Key::Char('é'), Key::Char('東'), Key::Enter]
        );
    }

    #[test]
    fn keyboards_of_every_kind_are_understood() {
        for (bytes, key) in [
            (&b"\x1b[A"[..], Key::Up),
            (b"\x1bOA", Key::Up),
            (b"\x1b[B", Key::Down),
            (b"\x1b[1;5C", Key::WordRight),
            (b"\x1b[1;3D", Key::WordLeft),
            (b"\x1bb", Key::WordLeft),
            (b"\x1b[H", Key::Home),
            (b"\x1b[1~", Key::Home),
            (b"\x1b[4~", Key::End),
            (b"\x1b[3~", Key::Delete),
            (b"\x7f", Key::Backspace),
            (b"\x1b\x7f", Key::KillWord),
        ] {
            assert_eq!(keys(bytes), [key], "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_left_out() {
        for nothing in [
            &b"\x1b[200~"[..],
            b"\x1b[1;2P",
            b"\x1bx",
            b"\x1b[<0;1;1M",
            b"\x00\x07\x1c",
            "\u{9b}\u{202e}\u{200b}".as_bytes(),
        ] {
            assert_eq!(keys(nothing), [], "{nothing:?}");
        }
        let mut waiting = b"\x07\x1b[200~".to_vec();
        assert_eq!((peek(&mut waiting), waiting.len()), (None, 0));
        // The key after the Escape key is itself.
        assert_eq!(keys(b"\x1b\r"), [Key::Enter]);
        assert_eq!(keys(b"\x1b[1\r"), [Key::Enter]);
        assert_eq!(
            keys(b"\xff\xfea"),
            [Key::Char('\u{fffd}'), Key::Char('\u{fffd}'), Key::Char('a')]
        );
    }

    #[test]
    fn a_key_that_comes_in_pieces_is_waited_for() {
        let mut waiting = Vec::new();
        for (byte, key) in [
            (0x1b, None),
            (b'[', None),
            (b'A', Some(Key::Up)),
            (0xc3, None),
            (0xa9, Some(Key::Char('é'))),
        ] {
            waiting.push(byte);
            assert_eq!(peek(&mut waiting), key, "{byte}");
            assert_eq!(take(&mut waiting), key, "{byte}");
        }
    }

    proptest! {
        #[test]
        fn nothing_unsafe_gets_through_and_nothing_stays_for_ever(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut waiting = bytes;
            while let Some(key) = take(&mut waiting) {
                if let Key::Char(c) = key {
                    prop_assert!(!is_unsafe(c));
                }
            }
            prop_assert!(waiting.len() <= SEQUENCE_MAX + 2, "{waiting:?}");
        }
    }
}
