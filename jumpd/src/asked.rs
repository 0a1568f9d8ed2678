//! Whether sshd, as it is configured, asks pam_jump before it serves a login.
//!
//! A key opens nothing by itself: the second factor, the account's right and
//! the guard all come through PAM. An sshd that was told `UsePAM no`, or whose
//! PAM stack has lost our lines, would serve a key without any of them, so
//! `jump-keys` gives it none. What cannot be read says nothing: where only
//! root may read sshd's configuration, `jumpctl doctor` looks instead.

use std::fs;
use std::path::{Path, PathBuf};

/// The phases in which pam_jump must be asked, and the module.
const PHASES: [&str; 3] = ["auth", "account", "session"];
const MODULE: &str = "pam_jump.so";
/// As deep as one configuration file may include another here.
const DEPTH: u8 = 8;

/// Nothing, or why no key is given.
///
/// `root` is `/` but in tests.
///
/// # Errors
/// The sentence for sshd's log.
pub fn by_sshd(root: &Path) -> Result<(), String> {
    let stack = below(root, jump_proto::paths::PAM_SERVICE);
    let text = fs::read(&stack).map_err(|e| format!("{}: {e}", stack.display()))?;
    let text = String::from_utf8_lossy(&text);
    for phase in PHASES {
        if !text.lines().any(|line| asks(line, phase)) {
            return Err(format!(
                "{} has no {phase} line of {MODULE}, so no key is given: run jumpctl setup",
                stack.display()
            ));
        }
    }
    match uses_pam(root, &below(root, "/etc/ssh/sshd_config"), DEPTH) {
        Found::Yes | Found::Unreadable => Ok(()),
        Found::No | Found::Nothing => {
            Err("sshd does not use PAM, so no key is given: set UsePAM yes".to_owned())
        }
    }
}

/// Whether a line of the stack is one of ours for a phase.
fn asks(line: &str, phase: &str) -> bool {
    let mut words = line.split_whitespace();
    words
        .next()
        .is_some_and(|first| first.trim_start_matches('-') == phase)
        && words.any(|word| word == MODULE || word.ends_with("/pam_jump.so"))
}

/// What a configuration says about PAM.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Yes,
    No,
    /// Not a word.
    Nothing,
    /// A file of it is not for us to read.
    Unreadable,
}

/// The first `UsePAM`, as sshd reads it: the first one wins, included files stand where they are named.
fn uses_pam(root: &Path, file: &Path, depth: u8) -> Found {
    let Ok(text) = fs::read(file) else {
        return Found::Unreadable;
    };
    for line in String::from_utf8_lossy(&text).lines() {
        let mut words = line
            .split(|c: char| c.is_whitespace() || c == '=')
            .filter(|word| !word.is_empty());
        let Some(keyword) = words.next() else {
            continue;
        };
        if keyword.eq_ignore_ascii_case("usepam") {
            let yes = words
                .next()
                .is_some_and(|value| value.trim_matches('"').eq_ignore_ascii_case("yes"));
            return if yes { Found::Yes } else { Found::No };
        }
        if keyword.eq_ignore_ascii_case("include") && depth > 0 {
            for included in words.flat_map(|pattern| files(root, pattern.trim_matches('"'))) {
                match uses_pam(root, &included, depth - 1) {
                    Found::Nothing => {}
                    found => return found,
                }
            }
        }
    }
    Found::Nothing
}

/// The files that an `Include` names: one, or `DIRECTORY/*SUFFIX`, in sshd's order.
fn files(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let path = if pattern.starts_with('/') {
        below(root, pattern)
    } else {
        below(root, "/etc/ssh").join(pattern)
    };
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let (Some(directory), Some(suffix)) = (
        path.parent(),
        name.as_deref().and_then(|name| name.strip_prefix('*')),
    ) else {
        return vec![path];
    };
    let mut found: Vec<PathBuf> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            !name.starts_with('.') && name.ends_with(suffix)
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: &str = "auth [success=done ignore=ignore default=die] pam_jump.so\n\
                         account [success=ok ignore=ignore default=die] pam_jump.so\n\
                         session [success=ok ignore=ignore default=die] pam_jump.so\n";
    const CONFIG: &str = "# Debian\nInclude /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n";

    /// A host with this stack, this sshd_config and these drop-ins.
    fn host(stack: &str, config: &str, drop_ins: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for directory in ["etc/pam.d", "etc/ssh/sshd_config.d"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        fs::write(root.path().join("etc/pam.d/sshd"), stack).unwrap();
        fs::write(root.path().join("etc/ssh/sshd_config"), config).unwrap();
        for (name, text) in drop_ins {
            fs::write(root.path().join("etc/ssh/sshd_config.d").join(name), text).unwrap();
        }
        root
    }

    #[test]
    fn a_host_as_set_up_gets_keys() {
        let root = host(
            STACK,
            CONFIG,
            &[("10-jump.conf", "Match Group jump-users\n")],
        );
        assert_eq!(by_sshd(root.path()), Ok(()));
    }

    #[test]
    fn a_stack_without_one_of_our_lines_gets_none() {
        for phase in PHASES {
            let without: String = STACK
                .lines()
                .filter(|line| !line.starts_with(phase))
                .map(|line| format!("{line}\n"))
                .collect();
            let root = host(&format!("# {phase} pam_jump.so\n{without}"), CONFIG, &[]);
            let why = by_sshd(root.path()).unwrap_err();
            assert!(why.contains(&format!("no {phase} line")), "{why}");
        }
    }

    #[test]
    fn the_first_word_about_pam_counts() {
        let no = [("00-x.conf", "UsePAM no\n")];
        let later = [("99-x.conf", "usepam=no\n")];
        assert!(by_sshd(host(STACK, CONFIG, &no).path()).is_err());
        // The drop-ins of Debian stand first.
        assert!(by_sshd(host(STACK, CONFIG, &later).path()).is_err());
        let last = "UsePAM \"yes\"\nInclude sshd_config.d/*.conf\n";
        assert_eq!(by_sshd(host(STACK, last, &later).path()), Ok(()));
        assert!(by_sshd(host(STACK, "Port 22\n", &[]).path()).is_err());
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        let root = host(STACK, CONFIG, &[]);
        fs::remove_file(root.path().join("etc/ssh/sshd_config")).unwrap();
        assert_eq!(by_sshd(root.path()), Ok(()));
    }
}
