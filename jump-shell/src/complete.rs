//! How the word before the cursor may go on.
//!
//! What is offered can be typed as it stands: names and ports that jumpd says may be
//! reached now. Networks and long ranges are no words; whoever needs one of their
//! addresses knows it.

use crate::words;
use ipnet::IpNet;
use jump_proto::{Reach, Via};
use std::net::IpAddr;

/// The commands, in the order of the alphabet.
pub(crate) const COMMANDS: [&str; 8] = [
    "connect", "exit", "help", "mfa", "sessions", "ssh", "targets", "whoami",
];

/// A range of ports that is offered one by one holds at most so many.
const RANGE_MAX: u16 = 16;

/// What jumpd is asked for, where the line needs it.
pub(crate) trait Known {
    /// Where the session may go now; nothing when there is no answer.
    fn reach(&mut self) -> Vec<Reach>;
    /// The names of the user's sessions; nothing when there is no answer.
    fn sessions(&mut self) -> Vec<String>;
}

/// The word that `before` ends in, and all that it may become, in order.
pub(crate) fn candidates<'l>(before: &'l str, known: &mut impl Known) -> (&'l str, Vec<String>) {
    let blank = |c: char| c == ' ' || c == '\t';
    let word = before.rsplit(blank).next().unwrap_or(before);
    let earlier = before.get(..before.len() - word.len()).unwrap_or_default();
    let earlier: Vec<&str> = earlier.split(blank).filter(|w| !w.is_empty()).collect();
    let mut found = match earlier.as_slice() {
        [] => owned(&COMMANDS),
        ["targets" | "whoami"] => owned(&["--json"]),
        ["mfa"] => owned(&["--json", "recovery-codes"]),
        ["sessions"] => owned(&["--json", "end"]),
        ["sessions", "end"] => known.sessions(),
        ["connect"] => hosts(plain(&known.reach())),
        ["connect", host] => ports(&known.reach(), host),
        ["ssh"] | ["ssh", "-p", _] => logins(word, hosts(hops(&known.reach()))),
        _ => Vec::new(),
    };
    found.retain(|candidate| candidate.starts_with(word) && is_word(candidate));
    found.sort_unstable();
    found.dedup();
    (word, found)
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Whether `text` can be typed as one word of a command.
fn is_word(text: &str) -> bool {
    words::split(text.as_bytes()).is_ok_and(|words| words == [text])
}

/// What `connect` can use.
fn plain(reach: &[Reach]) -> impl Iterator<Item = &Reach> {
    reach
        .iter()
        .filter(|reach| reach.via.contains(&Via::Shell) && !reach.record)
}

/// What `ssh` can use: what is recorded as well.
fn hops(reach: &[Reach]) -> impl Iterator<Item = &Reach> {
    reach.iter().filter(|reach| reach.via.contains(&Via::Shell))
}

/// `hosts`, each behind the login name that `word` begins with, if it does.
fn logins(word: &str, hosts: Vec<String>) -> Vec<String> {
    match word.split_once('@') {
        Some((login, _)) => hosts.iter().map(|host| format!("{login}@{host}")).collect(),
        None => hosts,
    }
}

fn hosts<'r>(reach: impl Iterator<Item = &'r Reach>) -> Vec<String> {
    let named = reach.flat_map(|reach| &reach.hosts);
    named.filter(|host| !host.contains('/')).cloned().collect()
}

fn ports(reach: &[Reach], host: &str) -> Vec<String> {
    let address: Option<IpAddr> = host.parse().ok();
    let is_listed = |listed: &String| {
        let network = || listed.parse::<IpNet>().ok();
        listed.eq_ignore_ascii_case(host)
            || address.is_some_and(|address| network().is_some_and(|n| n.contains(&address)))
    };
    plain(reach)
        .filter(|reach| reach.hosts.iter().any(is_listed))
        .flat_map(|reach| reach.ports.iter().flat_map(|port| each(port)))
        .collect()
}

/// The ports of `22` or `9000-9010`.
fn each(ports: &str) -> Vec<String> {
    let bounds = match ports.split_once('-') {
        Some((first, last)) => first.parse::<u16>().ok().zip(last.parse::<u16>().ok()),
        None => return vec![ports.to_owned()],
    };
    bounds
        .filter(|(first, last)| last.saturating_sub(*first) < RANGE_MAX)
        .map(|(first, last)| (first..=last).map(|port| port.to_string()).collect())
        .unwrap_or_default()
}

/// Candidates side by side, in rows of at most `width` columns.
pub(crate) fn rows(candidates: &[String], width: usize) -> String {
    /// More than that nobody reads.
    const MOST: usize = 100;
    let width = if width == 0 { 80 } else { width };
    let mut out = String::new();
    let mut column = 0;
    for candidate in candidates.iter().take(MOST) {
        if column > 0 && column + 2 + candidate.len() > width {
            out.push('\n');
            column = 0;
        }
        if column > 0 {
            out.push_str("  ");
            column += 2;
        }
        out.push_str(candidate);
        column += candidate.len();
    }
    if let Some(more @ 1..) = candidates.len().checked_sub(MOST) {
        out.push_str(&format!("\n… and {more} more"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A jumpd that knows two targets, and counts how often it is asked.
    #[derive(Default)]
    struct Two {
        asked: usize,
    }

    fn target(hosts: &[&str], ports: &[&str]) -> Reach {
        Reach {
            target: "x".to_owned(),
            hosts: owned(hosts),
            ports: owned(ports),
            rule: "r".to_owned(),
            via: vec![Via::Forward, Via::Shell],
            record: false,
            until_ms: None,
        }
    }

    impl Known for Two {
        fn reach(&mut self) -> Vec<Reach> {
            self.asked += 1;
            vec![
                target(
                    &["db1", "db2", "10.20.0.0/24", "a\u{1b}[2Jb"],
                    &["22", "9000-9002", "1-999"],
                ),
                target(&["web1", "db1"], &["443"]),
                Reach {
                    via: vec![Via::Forward],
                    ..target(&["forward-only"], &["1"])
                },
                Reach {
                    record: true,
                    ..target(&["recorded"], &["22"])
                },
            ]
        }

        fn sessions(&mut self) -> Vec<String> {
            self.asked += 1;
            vec!["07070707070707070707070707070707".to_owned()]
        }
    }

    fn offered(before: &str) -> Vec<String> {
        candidates(before, &mut Two::default()).1
    }

    #[test]
    fn the_first_word_is_a_command() {
        assert_eq!(offered(""), COMMANDS);
        assert_eq!(offered("  who"), ["whoami"]);
        assert_eq!(offered("x"), [""; 0]);
        let mut jumpd = Two::default();
        candidates("con", &mut jumpd);
        assert_eq!(jumpd.asked, 0);
    }

    #[test]
    fn hosts_and_their_ports_are_those_that_may_be_reached_from_here() {
        assert_eq!(offered("connect "), ["db1", "db2", "web1"]);
        assert_eq!(offered("connect d"), ["db1", "db2"]);
        assert_eq!(
            offered("connect db1 "),
            ["22", "443", "9000", "9001", "9002"]
        );
        assert_eq!(offered("connect web1 "), ["443"]);
        assert_eq!(offered("connect 10.20.0.7 2"), ["22"]);
        assert_eq!(offered("connect 10.21.0.7 "), [""; 0]);
        assert_eq!(offered("connect forward-only "), [""; 0]);
    }

    #[test]
    fn ssh_reaches_what_is_recorded_too() {
        assert_eq!(offered("ssh "), ["db1", "db2", "recorded", "web1"]);
        assert_eq!(offered("ssh -p 22 r"), ["recorded"]);
        assert_eq!(offered("ssh root@d"), ["root@db1", "root@db2"]);
        assert_eq!(offered("ssh db1 "), [""; 0]);
        assert_eq!(offered("connect r"), [""; 0]);
    }

    #[test]
    fn the_words_of_other_commands_are_offered_too() {
        assert_eq!(offered("mfa r"), ["recovery-codes"]);
        assert_eq!(offered("sessions "), ["--json", "end"]);
        assert_eq!(
            offered("sessions end 07"),
            ["07070707070707070707070707070707"]
        );
        assert_eq!(offered("targets --"), ["--json"]);
        assert_eq!(offered("help "), [""; 0]);
    }

    #[test]
    fn candidates_stand_in_rows() {
        let three = owned(&["one", "two", "three"]);
        assert_eq!(rows(&three, 0), "one  two  three");
        assert_eq!(rows(&three, 10), "one  two\nthree");
        let many: Vec<String> = (0..103).map(|n| n.to_string()).collect();
        assert!(rows(&many, 80).ends_with("\n… and 3 more"));
    }
}
