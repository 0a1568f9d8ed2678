//! Our two marked blocks in `/etc/pam.d/sshd`: put in, taken out, never anything else touched.
//!
//! The `auth` and `account` lines open the file, so that nothing above them
//! can let a jump user past (`sufficient`, jumps, a lone `pam_permit`); the
//! `session` line closes it, because the filter it installs must come after
//! everything else that a session module wants to do. To users outside the
//! policy's scope the module answers `PAM_IGNORE`, and their stack is what it
//! was. The text is bytes: comments of old files need not be UTF-8.
//!
//! `remove(insert(text)) == text`, byte for byte, for every text that has no
//! block of ours yet.

use std::fmt;

const BEGIN: &[u8] = b"# >>> jump-server: written by jumpctl setup";
/// The same, where the file's last line had no line end and one had to be added.
const BEGIN_UNENDED: &[u8] =
    b"# >>> jump-server: written by jumpctl setup (the line above had no line end)";
const END: &[u8] = b"# <<< jump-server";

/// Root is led past the module, so that root logs in even where the module's file is gone;
/// anybody else is refused then. The last line of a phase does nothing: it is what root is led past
/// where somebody took the module's line out by hand, so that no line of others is.
const LOGIN_LINES: &[u8] = b"\
auth    [success=1 default=ignore] pam_succeed_if.so quiet user = root
auth    [success=done ignore=ignore default=die] pam_jump.so
auth    [default=ignore] pam_permit.so
account [success=1 default=ignore] pam_succeed_if.so quiet user = root
account [success=ok ignore=ignore default=die]   pam_jump.so
account [default=ignore] pam_permit.so
";
const SESSION_LINES: &[u8] = b"\
session [success=1 default=ignore] pam_succeed_if.so quiet user = root
session [success=ok ignore=ignore default=die]   pam_jump.so
session [default=ignore] pam_permit.so
";

/// Why the file was left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PamError {
    /// A begin marker without its end, or the other way round.
    Unbalanced {
        /// Line of the marker, from 1.
        line: usize,
    },
    /// The last line asks for a continuation, which would swallow ours.
    OpenEnd,
}

impl fmt::Display for PamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unbalanced { line } => write!(
                f,
                "line {line}: a jump-server marker without its partner; remove the lines of the damaged block by hand, or restore the file from /etc/jump/backup"
            ),
            Self::OpenEnd => f.write_str(
                "the last line ends in a backslash, which would swallow the line to be added; end it",
            ),
        }
    }
}

impl std::error::Error for PamError {}

/// The text with both blocks where they belong, whatever it had before.
///
/// # Errors
/// [`PamError`]; the file must then be left alone.
pub fn insert(text: &[u8]) -> Result<Vec<u8>, PamError> {
    let bare = remove(text)?;
    if bare.trim_ascii_end().ends_with(b"\\") {
        return Err(PamError::OpenEnd);
    }
    let (head, rest) = bare.split_at(header_length(&bare));
    let unended = !bare.is_empty() && !bare.ends_with(b"\n");
    let mut out = Vec::with_capacity(bare.len() + 512);
    out.extend_from_slice(head);
    push_block(&mut out, BEGIN, LOGIN_LINES);
    out.extend_from_slice(rest);
    if unended {
        out.push(b'\n');
    }
    push_block(
        &mut out,
        if unended { BEGIN_UNENDED } else { BEGIN },
        SESSION_LINES,
    );
    Ok(out)
}

/// The text without our blocks.
///
/// # Errors
/// [`PamError::Unbalanced`] when a block is damaged.
pub fn remove(text: &[u8]) -> Result<Vec<u8>, PamError> {
    let mut out = Vec::with_capacity(text.len());
    // Where the open block began, and whether it owes the line end before it.
    let mut open: Option<(usize, bool)> = None;
    // A line end of ours that goes again if nothing followed the block.
    let mut borrowed_end = false;
    for (index, line) in text.split_inclusive(|b| *b == b'\n').enumerate() {
        let number = index + 1;
        let marker = line.trim_ascii_end();
        match (marker, open) {
            (BEGIN | BEGIN_UNENDED, None) => open = Some((number, marker == BEGIN_UNENDED)),
            (BEGIN | BEGIN_UNENDED, Some(_)) | (END, None) => {
                return Err(PamError::Unbalanced { line: number });
            }
            (END, Some((_, unended))) => {
                borrowed_end |= unended;
                open = None;
            }
            (_, Some(_)) => {}
            (_, None) => {
                borrowed_end = false;
                out.extend_from_slice(line);
            }
        }
    }
    if let Some((line, _)) = open {
        return Err(PamError::Unbalanced { line });
    }
    if borrowed_end && out.last() == Some(&b'\n') {
        out.pop();
    }
    Ok(out)
}

/// Whether both blocks are there and where they belong.
#[must_use]
pub fn is_in_place(text: &[u8]) -> bool {
    insert(text).is_ok_and(|wanted| wanted == text)
}

/// Length of a leading `#%PAM-1.0` line, which stays the first one.
fn header_length(text: &[u8]) -> usize {
    match text.iter().position(|b| *b == b'\n') {
        Some(end) if text.starts_with(b"#%PAM") => end + 1,
        _ => 0,
    }
}

fn push_block(out: &mut Vec<u8>, begin: &[u8], lines: &[u8]) {
    out.extend_from_slice(begin);
    out.push(b'\n');
    out.extend_from_slice(lines);
    out.extend_from_slice(END);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEBIAN: &[u8] = b"# PAM configuration for the Secure Shell service\n\n@include common-auth\naccount required pam_nologin.so\n@include common-session\n";

    #[test]
    fn login_lines_come_first_and_the_session_line_last() {
        let text = String::from_utf8(insert(DEBIAN).unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
        let root_passes = |phase: &str| {
            format!("{phase} [success=1 default=ignore] pam_succeed_if.so quiet user = root")
        };
        assert_eq!(
            lines[..6],
            [
                root_passes("auth   ").as_str(),
                "auth    [success=done ignore=ignore default=die] pam_jump.so",
                "auth    [default=ignore] pam_permit.so",
                root_passes("account").as_str(),
                "account [success=ok ignore=ignore default=die]   pam_jump.so",
                "account [default=ignore] pam_permit.so",
            ]
        );
        assert_eq!(
            lines[lines.len() - 3..],
            [
                root_passes("session").as_str(),
                "session [success=ok ignore=ignore default=die]   pam_jump.so",
                "session [default=ignore] pam_permit.so",
            ]
        );
    }

    #[test]
    fn a_pam_header_stays_the_first_line() {
        let text = insert(b"#%PAM-1.0\nauth substack password-auth\n").unwrap();
        assert!(text.starts_with(b"#%PAM-1.0\n# >>> jump-server"));
        assert_eq!(
            remove(&text).unwrap(),
            b"#%PAM-1.0\nauth substack password-auth\n"
        );
    }

    #[test]
    fn lines_added_by_the_admin_survive_and_the_session_line_moves_to_the_end_again() {
        let mut text = insert(DEBIAN).unwrap();
        text.extend_from_slice(b"session optional pam_lastlog.so\n");
        assert!(!is_in_place(&text));
        let again = insert(&text).unwrap();
        assert!(is_in_place(&again));
        let mut wanted = DEBIAN.to_vec();
        wanted.extend_from_slice(b"session optional pam_lastlog.so\n");
        assert_eq!(remove(&again).unwrap(), wanted);
    }

    #[test]
    fn a_line_end_lent_to_the_last_line_is_taken_back() {
        let text = insert(b"@include common-session").unwrap();
        assert_eq!(remove(&text).unwrap(), b"@include common-session");
        let mut grown = text;
        grown.extend_from_slice(b"session optional pam_mail.so\n");
        assert_eq!(
            remove(&grown).unwrap(),
            b"@include common-session\nsession optional pam_mail.so\n"
        );
    }

    #[test]
    fn damaged_blocks_are_refused() {
        let whole = insert(DEBIAN).unwrap();
        let text = String::from_utf8(whole).unwrap();
        let without_end = text.replacen("# <<< jump-server\n", "", 1);
        assert!(matches!(
            insert(without_end.as_bytes()),
            Err(PamError::Unbalanced { .. })
        ));
        let stray = format!("# <<< jump-server\n{text}");
        assert_eq!(
            remove(stray.as_bytes()),
            Err(PamError::Unbalanced { line: 1 })
        );
    }

    #[test]
    fn an_open_continuation_is_refused() {
        assert_eq!(insert(b"session optional \\\n"), Err(PamError::OpenEnd));
    }

    proptest! {
        #[test]
        fn undo_is_byte_identical_on_any_file(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(with) = insert(&text) {
                prop_assert_eq!(remove(&with).unwrap(), text);
                prop_assert_eq!(insert(&with).unwrap(), with);
            }
        }

        #[test]
        fn undo_is_byte_identical_on_files_that_look_like_pam(
            lines in proptest::collection::vec("(#%PAM-1.0|@include common-auth|auth required x\\.so|#[a-z ]{0,5}| *|\r)", 0..8),
            ended: bool,
        ) {
            let mut text = lines.join("\n");
            if ended {
                text.push('\n');
            }
            let with = insert(text.as_bytes()).unwrap();
            prop_assert_eq!(remove(&with).unwrap(), text.as_bytes());
            prop_assert_eq!(insert(&with).unwrap(), with);
        }
    }
}
