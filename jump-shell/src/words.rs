//! A command line becomes words at its spaces, and nothing else happens to it.
//!
//! No quoting, no expansion, no separators: a line that would mean more than
//! its words to a real shell is refused whole, so that there is nothing to
//! escape from. Every command of this shell can be written this way.

/// The longest command line, in bytes.
pub const LINE_MAX: usize = 4096;

/// Longest host name that DNS can hold (RFC 1035 section 2.3.4).
const HOST_MAX: usize = 255;

/// Whether `text` can name a host: a name, or an address literal.
pub(crate) fn is_host(text: &str) -> bool {
    (1..=HOST_MAX).contains(&text.len())
        && !text.starts_with('-')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':'))
}

/// Why a line is not a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// Longer than [`LINE_MAX`].
    #[error("it is longer than {LINE_MAX} bytes")]
    TooLong,
    /// No word in it.
    #[error("it is empty")]
    Empty,
    /// A byte that no command of this shell contains.
    #[error("it contains a character that no command here contains")]
    Character(u8),
}

/// Splits `line` at spaces and tabs into one or more words.
///
/// # Errors
/// When the line is too long, empty, or has a byte other than letters, digits
/// and `- . _ : / @ % + = ,`.
pub fn split(line: &[u8]) -> Result<Vec<&str>, WordsError> {
    if line.len() > LINE_MAX {
        return Err(WordsError::TooLong);
    }
    if let Some(bad) = line.iter().find(|b| !is_blank(**b) && !is_plain(**b)) {
        return Err(WordsError::Character(*bad));
    }
    let words: Vec<&str> = line
        .split(|b| is_blank(*b))
        .filter(|word| !word.is_empty())
        .filter_map(|word| std::str::from_utf8(word).ok())
        .collect();
    if words.is_empty() {
        Err(WordsError::Empty)
    } else {
        Ok(words)
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'_' | b':' | b'/' | b'@' | b'%' | b'+' | b'=' | b','
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_stand_between_blanks() {
        assert_eq!(split(b"connect db1 22"), Ok(vec!["connect", "db1", "22"]));
        assert_eq!(split(b" \twhoami  --json\t "), Ok(vec!["whoami", "--json"]));
    }

    #[test]
    fn a_line_without_words_is_refused() {
        for line in ["", " ", "\t \t"] {
            assert_eq!(split(line.as_bytes()), Err(WordsError::Empty));
        }
    }

    #[test]
    fn nothing_that_means_more_to_a_real_shell_gets_through() {
        for c in "'\"`$;&|<>(){}[]*?!#~\\^\n\r\0\x1b\x7f".bytes() {
            assert_eq!(split(&[b'a', c, b'b']), Err(WordsError::Character(c)));
        }
        assert!(matches!(
            split("cönnect".as_bytes()),
            Err(WordsError::Character(_))
        ));
    }

    #[test]
    fn the_longest_line_is_the_limit() {
        assert!(split(&[b'a'; LINE_MAX]).is_ok());
        assert_eq!(split(&[b'a'; LINE_MAX + 1]), Err(WordsError::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_split_or_refused(line in proptest::collection::vec(any::<u8>(), 0..5000)) {
            if let Ok(words) = split(&line) {
                prop_assert!(!words.is_empty());
                for word in words {
                    prop_assert!(!word.is_empty());
                    prop_assert!(word.bytes().all(is_plain));
                }
            }
        }

        #[test]
        fn words_that_are_joined_come_apart_again(
            words in proptest::collection::vec("[A-Za-z0-9._:/@%+=,-]{1,20}", 1..20),
            gap in "[ \t]{1,3}",
        ) {
            let line = words.join(&gap);
            prop_assert_eq!(split(line.as_bytes()).unwrap(), words);
        }

        #[test]
        fn one_bad_byte_refuses_the_whole_line(
            before in "[a-z ]{0,20}",
            bad in any::<u8>().prop_filter("plain or blank", |b| !is_plain(*b) && !is_blank(*b)),
            after in "[a-z ]{0,20}",
        ) {
            let line = [before.as_bytes(), &[bad], after.as_bytes()].concat();
            prop_assert_eq!(split(&line), Err(WordsError::Character(bad)));
        }
    }
}
