//! The command line of jump-shell: any bytes become plain words or nothing,
//! and the words say exactly what the line said.

use jump_shell::words::{LINE_MAX, split};

/// The command line of jump-shell.
pub fn shell_words(line: &[u8]) {
    let Ok(words) = split(line) else {
        return;
    };
    assert!(line.len() <= LINE_MAX);
    assert!(!words.is_empty());
    for word in &words {
        assert!(!word.is_empty());
        assert!(
            !word
                .bytes()
                .any(|b| b" \t\n\r\0'\"`$;&|<>(){}[]*?!#~\\^".contains(&b))
        );
        assert!(word.is_ascii());
    }
    let spoken: Vec<u8> = line
        .iter()
        .copied()
        .filter(|b| !matches!(b, b' ' | b'\t'))
        .collect();
    assert_eq!(words.concat().as_bytes(), spoken);
    assert_eq!(split(words.join(" ").as_bytes()), Ok(words));
}
