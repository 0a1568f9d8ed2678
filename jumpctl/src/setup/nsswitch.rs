//! The word `jump` in `/etc/nsswitch.conf`, right after `files`.
//!
//! Local files win: a name that `/etc/passwd` has is never ours. Where the
//! service is named anywhere already (the package's install script may have
//! added it), the line is left as it is. Bytes are kept one for one, whatever
//! their encoding.

/// What stands behind `files` where groups are merged (nsswitch.conf(5)): ours must merge on, too.
const MERGE: &str = "[SUCCESS=merge]";
const SERVICE: &str = "jump";

/// An edited file and what was edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The new text.
    pub text: Vec<u8>,
    /// Databases that had no `jump` and have it now.
    pub databases: Vec<String>,
}

/// The text with `jump` in `passwd`, `group` and, where that line exists, `initgroups`.
#[must_use]
pub fn insert(text: &[u8]) -> Edited {
    let mut lines: Vec<String> = latin1(text)
        .split_inclusive('\n')
        .map(str::to_owned)
        .collect();
    let mut databases = Vec::new();
    for database in ["passwd", "group", "initgroups"] {
        let mut found = false;
        for line in &mut lines {
            if line_database(line) == Some(database) {
                found = true;
                if let Some(edited) = with_service(line) {
                    *line = edited;
                    if !databases.iter().any(|d| d == database) {
                        databases.push(database.to_owned());
                    }
                }
            }
        }
        // Without a passwd or group line glibc uses `files`; without an
        // initgroups line it uses the one for group.
        if !found && database != "initgroups" {
            if let Some(last) = lines.last_mut().filter(|l| !l.ends_with('\n')) {
                last.push('\n');
            }
            lines.push(format!("{database}: files {SERVICE}\n"));
            databases.push(database.to_owned());
        }
    }
    Edited {
        text: bytes(&lines.concat()),
        databases,
    }
}

/// The text without `jump` in the databases named.
#[must_use]
pub fn remove(text: &[u8], databases: &[String]) -> Vec<u8> {
    let text = latin1(text);
    let edited: String = text
        .split_inclusive('\n')
        .map(|line| match line_database(line) {
            Some(database) if databases.iter().any(|d| d == database) => without_service(line),
            _ => line.to_owned(),
        })
        .collect();
    bytes(&edited)
}

/// Whether every database has `jump`, and after `files`.
#[must_use]
pub fn is_in_place(text: &[u8]) -> bool {
    let text = latin1(text);
    ["passwd", "group"].iter().all(|database| {
        text.lines()
            .filter(|line| line_database(line) == Some(database))
            .any(|line| {
                let services = tokens(line);
                let at = |name: &str| services.iter().position(|(_, word)| *word == name);
                match (at("files"), at(SERVICE)) {
                    (Some(files), Some(jump)) => files < jump,
                    (None, Some(_)) => true,
                    (_, None) => false,
                }
            })
    }) && text
        .lines()
        .filter(|line| line_database(line) == Some("initgroups"))
        .all(|line| tokens(line).iter().any(|(_, word)| *word == SERVICE))
}

/// `line` with the service added, or `None` when it has it.
fn with_service(line: &str) -> Option<String> {
    let services = tokens(line);
    if services.iter().any(|(_, word)| *word == SERVICE) {
        return None;
    }
    let end_of = |(start, word): &(usize, &str)| start + word.len();
    let files = services
        .iter()
        .position(|(_, word)| matches!(*word, "files" | "compat"));
    let (at, added) = match files {
        Some(index) => match services.get(index + 1) {
            Some(action) if action.1.to_ascii_lowercase().contains("merge") => {
                (end_of(action), format!(" {SERVICE} {MERGE}"))
            }
            _ => (end_of(&services[index]), format!(" {SERVICE}")),
        },
        None => match services.last() {
            Some(last) => (end_of(last), format!(" {SERVICE}")),
            None => (line.find(':')? + 1, format!(" files {SERVICE}")),
        },
    };
    let mut edited = line.to_owned();
    edited.insert_str(at, &added);
    Some(edited)
}

/// `line` without the service, its merge action and the one blank before it.
fn without_service(line: &str) -> String {
    let services = tokens(line);
    let Some(index) = services.iter().position(|(_, word)| *word == SERVICE) else {
        return line.to_owned();
    };
    let (start, word) = services[index];
    let end = match services.get(index + 1) {
        Some((action, text)) if *text == MERGE => action + text.len(),
        _ => start + word.len(),
    };
    let start = if line[..start].ends_with([' ', '\t']) {
        start - 1
    } else {
        start
    };
    format!("{}{}", &line[..start], &line[end..])
}

/// The database a line speaks of.
fn line_database(line: &str) -> Option<&str> {
    let (name, _) = code(line).split_once(':')?;
    Some(name.trim())
}

/// Services and `[actions]` of a line, with their byte offsets.
fn tokens(line: &str) -> Vec<(usize, &str)> {
    let code = code(line);
    let Some(colon) = code.find(':') else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut at = colon + 1;
    while at < code.len() {
        let rest = &code[at..];
        let skipped = rest.len() - rest.trim_start().len();
        if skipped > 0 {
            at += skipped;
            continue;
        }
        let length = if rest.starts_with('[') {
            rest.find(']').map_or(rest.len(), |close| close + 1)
        } else {
            rest.find(|c: char| c.is_whitespace() || c == '[')
                .unwrap_or(rest.len())
        };
        found.push((at, &rest[..length]));
        at += length;
    }
    found
}

/// The part of a line before its comment.
fn code(line: &str) -> &str {
    line.split('#').next().unwrap_or(line).trim_end()
}

/// One character per byte, so that any file survives the round trip.
fn latin1(text: &[u8]) -> String {
    text.iter().map(|b| char::from(*b)).collect()
}

fn bytes(text: &str) -> Vec<u8> {
    // Every character came from a byte or is ASCII of ours.
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn inserted(text: &str) -> String {
        String::from_utf8(insert(text.as_bytes()).text).unwrap()
    }

    #[test]
    fn jump_stands_right_after_files() {
        assert_eq!(
            inserted(
                "passwd:         files systemd\ngroup:          files systemd # mine\nhosts: files dns\n"
            ),
            "passwd:         files jump systemd\ngroup:          files jump systemd # mine\nhosts: files dns\n"
        );
    }

    #[test]
    fn a_merge_of_groups_goes_on_through_jump() {
        assert_eq!(
            inserted("passwd: files\ngroup: files [SUCCESS=merge] systemd\n"),
            "passwd: files jump\ngroup: files [SUCCESS=merge] jump [SUCCESS=merge] systemd\n"
        );
    }

    #[test]
    fn an_action_that_stops_after_files_stops_after_jump() {
        assert_eq!(
            inserted("passwd: files [NOTFOUND=return] sss\ngroup: files jump\n"),
            "passwd: files jump [NOTFOUND=return] sss\ngroup: files jump\n"
        );
    }

    #[test]
    fn missing_lines_are_added_and_a_line_for_initgroups_is_served() {
        let edited = insert(b"initgroups: files\ngroup: compat");
        assert_eq!(
            String::from_utf8(edited.text).unwrap(),
            "initgroups: files jump\ngroup: compat jump\npasswd: files jump\n"
        );
        assert_eq!(edited.databases, ["passwd", "group", "initgroups"]);
    }

    #[test]
    fn a_word_that_stands_anywhere_is_left_where_it_is() {
        let text = "passwd: files systemd jump\ngroup: files systemd jump # x\n";
        let edited = insert(text.as_bytes());
        assert_eq!(edited.text, text.as_bytes());
        assert!(edited.databases.is_empty());
        assert!(is_in_place(text.as_bytes()));
        assert!(!is_in_place(b"passwd: jump files\ngroup: files jump\n"));
        assert!(!is_in_place(b"passwd: files\ngroup: files jump\n"));
    }

    #[test]
    fn comments_are_no_services() {
        assert_eq!(
            inserted("passwd: files # jump\ngroup: files#jump\n"),
            "passwd: files jump # jump\ngroup: files jump#jump\n"
        );
    }

    proptest! {
        #[test]
        fn insertion_is_idempotent_and_undone_exactly(
            passwd in "passwd:[ \t]{0,3}(files|compat|sss|db)?( \\[NOTFOUND=return\\]| \\[SUCCESS=merge\\])?( systemd)?[ \t]{0,2}(#.{0,6})?",
            group in "group:[ \t]{1,9}files( \\[SUCCESS=merge\\])?( systemd| sss)?",
            tail in "[ -~\n]{0,30}",
        ) {
            prop_assume!(!tail.contains(':'));
            let text = format!("{passwd}\n{group}\n{tail}");
            let once = insert(text.as_bytes());
            prop_assert_eq!(&insert(&once.text).text, &once.text);
            // A bare `passwd:` gets `files` as well, which removal leaves.
            if passwd.contains("files") || passwd.contains("compat") || passwd.contains("sss") || passwd.contains("db") {
                prop_assert_eq!(remove(&once.text, &once.databases), text.as_bytes());
            }
        }

        #[test]
        fn any_bytes_survive(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let once = insert(&text);
            prop_assert_eq!(&insert(&once.text).text, &once.text);
            if once.databases.is_empty() {
                prop_assert_eq!(once.text, text);
            }
        }
    }
}
