//! `ssh [-p PORT] [LOGIN@]HOST [COMMAND]`, as typed.
//!
//! What stands before the command are words of this shell; the command is
//! everything after them, to the last byte, and nobody here looks into it: it is
//! one argument of ssh, which sends it to the target.

use crate::words::{LINE_MAX, is_host};

/// Longest login name: as useradd(8) has it, and some for domains.
const LOGIN_MAX: usize = 128;

/// The advice for a line that is none, each the end of a sentence.
const WRITTEN: &str = "it is written: ssh [-p PORT] [LOGIN@]HOST [COMMAND]";
const ONLY_PORT: &str =
    "no option but -p has a meaning here; it is written: ssh [-p PORT] [LOGIN@]HOST [COMMAND]";
const NO_PLACE: &str = "a host is a name or an address, a login name is of letters, digits and . _ - $; it is written: ssh [-p PORT] [LOGIN@]HOST [COMMAND]";

/// Where a hop is to lead, and what is to run there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    /// A name of the policy, of a host, or an address literal.
    pub(crate) host: String,
    /// TCP port, where one was given.
    pub(crate) port: Option<u16>,
    /// Login name at the target, where one was given.
    pub(crate) login: Option<String>,
    /// What the target's shell is to run, as it was typed; none: an interactive shell there.
    pub(crate) command: Option<Vec<u8>>,
}

impl Wish {
    /// Reads a line; none where it does not begin with `ssh`.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub(crate) fn read(line: &[u8]) -> Option<Result<Self, &'static str>> {
        let (first, rest) = word(line);
        (first == b"ssh").then(|| Self::of(line, rest))
    }

    fn of(line: &[u8], mut rest: &[u8]) -> Result<Self, &'static str> {
        if line.len() > LINE_MAX {
            return Err("it is longer than any command here");
        }
        let mut port = None;
        let mut place = None;
        loop {
            let (next, after) = word(rest);
            if next == b"-p" && port.is_none() {
                let (number, after) = word(after);
                port = Some(port_of(number).ok_or("a port is a number from 1 to 65535")?);
                rest = after;
            } else if next.starts_with(b"-") {
                return Err(ONLY_PORT);
            } else if let Some((login, host)) = place {
                let command = command_of(rest)?;
                return Ok(Self {
                    host,
                    port,
                    login,
                    command,
                });
            } else if next.is_empty() {
                return Err(WRITTEN);
            } else {
                place = Some(place_of(next).ok_or(NO_PLACE)?);
                rest = after;
            }
        }
    }
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The first word of `line`, and what follows it.
fn word(line: &[u8]) -> (&[u8], &[u8]) {
    let line = trimmed(line);
    line.split_at(line.iter().position(is_blank).unwrap_or(line.len()))
}

fn trimmed(line: &[u8]) -> &[u8] {
    let begin = line.iter().position(|b| !is_blank(b));
    line.get(begin.unwrap_or(line.len())..).unwrap_or_default()
}

fn port_of(word: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(word).ok()?;
    let decimal = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| decimal)
}

fn place_of(word: &[u8]) -> Option<(Option<String>, String)> {
    let text = std::str::from_utf8(word).ok()?;
    let (login, host) = match text.rsplit_once('@') {
        Some((login, host)) => (Some(login), host),
        None => (None, text),
    };
    let plain = is_host(host) && login.is_none_or(is_login);
    plain.then(|| (login.map(str::to_owned), host.to_owned()))
}

/// Whether `text` can be a login name at a target; what jumpd gives is looked at as well.
pub(super) fn is_login(text: &str) -> bool {
    (1..=LOGIN_MAX).contains(&text.len())
        && !text.starts_with('-')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'$'))
}

fn command_of(rest: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let command = trimmed(rest);
    if command.contains(&0) {
        return Err("no command has a NUL byte");
    }
    Ok((!command.is_empty()).then(|| command.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(
        port: Option<u16>,
        login: Option<&str>,
        host: &str,
        command: Option<&str>,
    ) -> Option<Result<Wish, &'static str>> {
        Some(Ok(Wish {
            host: host.to_owned(),
            port,
            login: login.map(str::to_owned),
            command: command.map(|c| c.as_bytes().to_vec()),
        }))
    }

    #[test]
    fn the_host_is_a_word_and_the_command_is_the_rest() {
        for (line, read) in [
            ("ssh db1", wish(None, None, "db1", None)),
            (" ssh  db1 ", wish(None, None, "db1", None)),
            ("ssh -p 2222 db1", wish(Some(2222), None, "db1", None)),
            ("ssh db1 -p 2222", wish(Some(2222), None, "db1", None)),
            (
                "ssh root@2001:db8::1 uptime",
                wish(None, Some("root"), "2001:db8::1", Some("uptime")),
            ),
            (
                "ssh -p 22 a@db1  ls -l '/x' | wc; $(y)\n&  ",
                wish(
                    Some(22),
                    Some("a"),
                    "db1",
                    Some("ls -l '/x' | wc; $(y)\n&  "),
                ),
            ),
            (
                "ssh db1 uptime -p 3",
                wish(None, None, "db1", Some("uptime -p 3")),
            ),
        ] {
            assert_eq!(Wish::read(line.as_bytes()), read, "{line:?}");
        }
        assert_eq!(
            Wish::read(b"ssh db1 \xff\x1b").unwrap().unwrap().command,
            Some(b"\xff\x1b".to_vec())
        );
    }

    #[test]
    fn everything_else_is_refused() {
        let long = format!("ssh db1 {}", "x".repeat(LINE_MAX));
        for line in [
            "ssh",
            "ssh ",
            "ssh -p",
            "ssh -p 22",
            "ssh -p 0 db1",
            "ssh -p 022 db1",
            "ssh -p 65536 db1",
            "ssh -p x db1",
            "ssh -p 22 -p 23 db1",
            "ssh -p2222 db1",
            "ssh -oProxyCommand=sh db1",
            "ssh -t db1",
            "ssh -- db1",
            "ssh db1 -oProxyCommand=sh",
            "ssh db1 -- uptime",
            "ssh -J x db1",
            "ssh a@-oProxyCommand=sh",
            "ssh -a@db1",
            "ssh @db1",
            "ssh 'db1'",
            "ssh $HOST",
            "ssh a'b@db1",
            "ssh a@b@db1",
            "ssh ssh://db1",
            "ssh db1;sh",
            "ssh db1\nsh",
            "ssh db1 x\0y",
            "ssh d\u{e9}",
            &long,
        ] {
            let read = Wish::read(line.as_bytes());
            assert!(matches!(read, Some(Err(_))), "{line:?}: {read:?}");
        }
        for other in ["", "sshd", "/usr/bin/ssh db1", "SSH db1", "connect db1 22"] {
            assert_eq!(Wish::read(other.as_bytes()), None, "{other}");
        }
    }
}
