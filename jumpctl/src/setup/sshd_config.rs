//! What stands in `sshd_config` before our drop-in is read.
//!
//! Two things can keep the drop-in from meaning what it says: it is not
//! included, or it is included after (then it is part of) somebody's `Match`
//! block; and a `Match` block of an earlier file may set one of its keywords
//! first. Measured: a `Match` before the `Include` line makes sshd treat all
//! included files as conditional.

use super::drop_in;
use std::fmt;

const DIRECTORY: &str = "/etc/ssh/sshd_config.d/";
const FILE: &str = "10-jump.conf";

/// What is wrong with the way to the drop-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// No `Include` line covers the drop-in.
    NotIncluded,
    /// The `Include` line stands inside a `Match` block.
    InsideMatch {
        /// Line of the `Match`, from 1.
        line: usize,
    },
    /// A file that sshd reads earlier sets one of our keywords in a `Match` block.
    Earlier {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The keyword as written there.
        keyword: String,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotIncluded => write!(
                f,
                "/etc/ssh/sshd_config does not read {DIRECTORY}{FILE}; put the line `Include {DIRECTORY}*.conf` at its top and run setup again"
            ),
            Self::InsideMatch { line } => write!(
                f,
                "/etc/ssh/sshd_config:{line}: a Match block begins before the Include line, which makes every included file conditional; move `Include {DIRECTORY}*.conf` to the top of the file"
            ),
            Self::Earlier {
                file,
                line,
                keyword,
            } => write!(
                f,
                "{file}:{line}: a Match block sets {keyword} before {DIRECTORY}{FILE} is read, and the first one wins; give that file a name that sorts later"
            ),
        }
    }
}

/// Whether `sshd_config` reads the drop-in, and unconditionally.
///
/// # Errors
/// The [`Obstacle`].
pub fn check_include(sshd_config: &str) -> Result<(), Obstacle> {
    let mut match_line = None;
    for (line, keyword, value) in settings(sshd_config) {
        if keyword.eq_ignore_ascii_case("match") {
            match_line.get_or_insert(line);
        }
        if keyword.eq_ignore_ascii_case("include") && value.split_whitespace().any(covers) {
            return match match_line {
                None => Ok(()),
                Some(line) => Err(Obstacle::InsideMatch { line }),
            };
        }
    }
    Err(Obstacle::NotIncluded)
}

/// Keywords of ours that a drop-in set in a `Match` block; `files` are those that sort before ours.
#[must_use]
pub fn earlier_matches(file: &str, text: &str) -> Vec<Obstacle> {
    let ours: Vec<String> = drop_in::keywords().collect();
    let mut inside = false;
    let mut found = Vec::new();
    for (line, keyword, _) in settings(text) {
        if keyword.eq_ignore_ascii_case("match") {
            inside = true;
        } else if inside && ours.contains(&keyword.to_ascii_lowercase()) {
            found.push(Obstacle::Earlier {
                file: file.to_owned(),
                line,
                keyword: keyword.to_owned(),
            });
        }
    }
    found
}

/// Whether a file of `sshd_config.d` is read before ours.
#[must_use]
pub fn sorts_before_ours(name: &str) -> bool {
    name.ends_with(".conf") && name < FILE
}

/// Line number, keyword and value of every setting.
fn settings(text: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let end = line
            .find(|c: char| c.is_whitespace() || c == '=')
            .unwrap_or(line.len());
        let (keyword, value) = line.split_at(end);
        Some((
            index + 1,
            keyword,
            value.trim_start_matches(|c: char| c.is_whitespace() || c == '='),
        ))
    })
}

/// Whether an argument of `Include` covers our file. Relative ones are in `/etc/ssh`.
fn covers(argument: &str) -> bool {
    let argument = argument.trim_matches('"');
    let name = argument
        .strip_prefix(DIRECTORY)
        .or_else(|| argument.strip_prefix("sshd_config.d/"));
    matches!(name, Some("*.conf" | "*" | FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_red_hat_include_it() {
        for text in [
            "# comment\n\nInclude /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n",
            "Port 22\ninclude=\"/etc/ssh/sshd_config.d/*.conf\"\n",
            "Include /etc/other/*.conf sshd_config.d/*.conf\n",
        ] {
            assert_eq!(check_include(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_missing_or_conditional_include_is_told() {
        assert_eq!(check_include("UsePAM yes\n"), Err(Obstacle::NotIncluded));
        assert_eq!(
            check_include("#Include /etc/ssh/sshd_config.d/*.conf\n"),
            Err(Obstacle::NotIncluded)
        );
        assert_eq!(
            check_include(
                "Port 22\nMatch User x\n X11Forwarding no\nInclude /etc/ssh/sshd_config.d/*.conf\n"
            ),
            Err(Obstacle::InsideMatch { line: 2 })
        );
    }

    #[test]
    fn only_our_keywords_in_an_earlier_match_are_in_the_way() {
        let text = "PasswordAuthentication yes\nMatch Address 10.0.0.0/8\n  LogLevel VERBOSE\n  passwordauthentication yes\n";
        let found = earlier_matches("00-site.conf", text);
        assert_eq!(found.len(), 1);
        assert!(matches!(&found[0], Obstacle::Earlier { line: 4, .. }));
    }

    #[test]
    fn files_are_read_in_the_order_of_their_names() {
        assert!(sorts_before_ours("05-site.conf"));
        assert!(!sorts_before_ours("50-cloud-init.conf"));
        assert!(!sorts_before_ours("05-site.conf.bak"));
    }
}
