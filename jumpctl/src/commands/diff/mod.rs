//! `jumpctl diff`: who gains and who loses what, if a policy file came into force.
//!
//! Both policies are asked the same questions and their answers compared, so
//! a rule that was only renamed, split or moved shows no difference, and one
//! word in a deny rule shows everything it takes away. The questions are
//! exhaustive in addresses and ports ([`space`]); in time they cover a little
//! more than a week from now. Host names are compared as names.

mod space;

use crate::error::{Answer, Error, Outcome};
use crate::output::{Output, printable};
use crate::policy_file;
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use jump_policy::{Decision, Destination, HostPattern, Method, NoNames, Policy, Subject};
use jump_proto::{Via, paths};
use serde::Serialize;
use space::Piece;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::Path;

/// A week with every weekday twice at its edge.
const AHEAD: SignedDuration = SignedDuration::from_hours(8 * 24);
/// More changes of one answer than a week of windows has.
const STEPS: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Gains,
    Loses,
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Difference {
    user: String,
    change: Change,
    host: String,
    ports: String,
    via: String,
    from: String,
    /// Second factors with which it differs; `any`: each that the user can give.
    mfa: String,
    /// Of the eight days to come; all of them: always.
    hours: i64,
}

pub(super) fn run(file: &Path, out: &mut Output) -> Answer {
    let current = format!("{}/policy.toml", paths::CURRENT);
    let old = match policy_file::load(Path::new(&current)) {
        Ok(policy) => policy,
        Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::failed(
                "no policy is in force yet; `jumpctl apply` puts one into force",
            ));
        }
        Err(e) => return Err(e),
    };
    let new = policy_file::load(file)?;
    let differences = compare(&old, &new, Timestamp::now());
    if differences.is_empty() {
        out.line("Nobody gains or loses anything.")?;
    } else {
        let rows: Vec<Vec<String>> = differences.iter().map(row).collect();
        out.table(
            &["USER", "", "HOST", "PORTS", "VIA", "FROM", "WITH", "WHEN"],
            &rows,
        )?;
    }
    out.json(&differences)?;
    Ok(Outcome::from_bool(differences.is_empty()))
}

fn row(difference: &Difference) -> Vec<String> {
    let change = match difference.change {
        Change::Gains => "gains",
        Change::Loses => "loses",
    };
    let when = if difference.hours >= AHEAD.as_hours() {
        "always".to_owned()
    } else {
        format!("{} h of the next 8 days", difference.hours)
    };
    [
        &difference.user,
        change,
        &difference.host,
        &difference.ports,
        &difference.via,
        &difference.from,
        &difference.mfa,
        &when,
    ]
    .map(printable)
    .to_vec()
}

fn compare(old: &Policy, new: &Policy, now: Timestamp) -> Vec<Difference> {
    let mut subjects: BTreeMap<String, Subject> = BTreeMap::new();
    for policy in [old, new] {
        for user in policy.users() {
            subjects.insert(user.name.clone(), Subject::user(&user.name));
        }
        // Members of a system group are not named in the policy: the group stands for them.
        for group in policy.system_groups() {
            let label = format!("(members of {group})");
            let subject = Subject {
                user: label.clone(),
                groups: vec![group.to_owned()],
                mfa: None,
            };
            subjects.insert(label, subject);
        }
    }
    let mut all = Vec::new();
    for (label, subject) in &subjects {
        all.extend(differences_of(label, subject, old, new, now));
    }
    all
}

fn differences_of(
    label: &str,
    subject: &Subject,
    old: &Policy,
    new: &Policy,
    now: Timestamp,
) -> Vec<Difference> {
    let asked = Asked::of(subject, [old, new]);
    let factors = factors(subject, [old, new]);
    // What differs, the second factors with which it does, and the sources from which it does.
    let mut found: BTreeMap<What, BTreeMap<Option<Method>, Vec<Piece>>> = BTreeMap::new();
    for mfa in &factors {
        let subject = &subject.with(*mfa);
        asked.each(subject, |question, source, (host, ports, via)| {
            let (before, after) = (question.open(old, now), question.open(new, now));
            // Where the restricted shell's connections differ, one's own hops do likewise: told once.
            if let Some(plain) = question.told_by()
                && (plain.open(old, now), plain.open(new, now)) == (before.clone(), after.clone())
            {
                return;
            }
            for (change, hours) in [
                (Change::Gains, only_in(&after, &before)),
                (Change::Loses, only_in(&before, &after)),
            ] {
                if hours > 0 {
                    let what = (
                        change,
                        host.to_owned(),
                        show_ports(ports),
                        via.to_string(),
                        hours,
                    );
                    let by_factor = found.entry(what).or_default();
                    by_factor.entry(*mfa).or_default().push(source);
                }
            }
        });
    }
    let mut all = Vec::new();
    for ((change, host, ports, via, hours), by_factor) in found {
        let mut by_sources: BTreeMap<Vec<Piece>, Vec<Option<Method>>> = BTreeMap::new();
        for (mfa, sources) in by_factor {
            by_sources.entry(sources).or_default().push(mfa);
        }
        for (sources, with) in by_sources {
            all.push(Difference {
                user: label.to_owned(),
                change,
                host: host.clone(),
                ports: ports.clone(),
                via: via.clone(),
                from: if sources.len() == asked.sources.len() {
                    "anywhere".to_owned()
                } else {
                    joined(&sources)
                },
                mfa: if with == factors && with != [None] {
                    "any".to_owned()
                } else {
                    let words = with.iter().map(|mfa| mfa.map_or("none", Method::as_str));
                    joined(&words.collect::<Vec<_>>())
                },
                hours,
            });
        }
    }
    all
}

/// Change, host, ports, way, hours.
type What = (Change, String, String, String, i64);

/// Second factors with which the subject's sessions can begin in either policy; `None` is none.
fn factors(subject: &Subject, policies: [&Policy; 2]) -> Vec<Option<Method>> {
    let knows = |policy: &&Policy| policy.user(&subject.user).is_some();
    // Whom neither knows is known by a group.
    let by_group = !policies.iter().any(knows);
    let asked = policies.into_iter().filter(|p| by_group || knows(p));
    let mut factors: Vec<_> = asked.flat_map(|p| p.factors(&subject.user)).collect();
    factors.sort_unstable();
    factors.dedup();
    factors
}

fn joined(parts: &[impl ToString]) -> String {
    let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
    parts.join(", ")
}

/// A way out of the bastion.
#[derive(Clone, PartialEq, Eq)]
enum Way {
    Plain(Via),
    /// A hop from the restricted shell, as whom at the target.
    Hop {
        login: String,
        recorded: bool,
    },
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(via) => f.write_str(via.as_str()),
            Self::Hop { login, recorded } => {
                let recorded = if *recorded { ", recorded" } else { "" };
                write!(f, "hop as {login}{recorded}")
            }
        }
    }
}

/// Every question worth asking about one subject.
struct Asked {
    hosts: BTreeMap<String, Host>,
    ports: Vec<RangeInclusive<u16>>,
    sources: Vec<Piece>,
    ways: Vec<Way>,
}

/// A destination without its port.
enum Host {
    Name(String),
    Address(IpAddr),
}

impl Asked {
    fn of(subject: &Subject, policies: [&Policy; 2]) -> Self {
        let (mut names, mut nets) = (BTreeSet::new(), Vec::new());
        let (mut ports, mut sources) = (Vec::new(), Vec::new());
        let mut logins = BTreeSet::new();
        for policy in policies {
            for rule in policy.rules_for(subject) {
                sources.extend(rule.from.iter().flatten().copied());
                logins.extend(rule.logins(&subject.user).into_iter().map(str::to_owned));
                for target in rule
                    .targets
                    .iter()
                    .flatten()
                    .filter_map(|name| policy.target(name))
                {
                    ports.extend(target.ports.iter().map(|ports| ports.0.clone()));
                    for host in &target.hosts {
                        match host {
                            HostPattern::Name(name) => drop(names.insert(name.clone())),
                            HostPattern::Address(address) => nets.push(IpNet::from(*address)),
                            HostPattern::Net(net) => nets.push(*net),
                        }
                    }
                }
            }
        }
        let mut hosts: BTreeMap<String, Host> = names
            .into_iter()
            .map(|name| (name.clone(), Host::Name(name)))
            .collect();
        for piece in space::inside(&nets) {
            hosts.insert(piece.to_string(), Host::Address(piece.first));
        }
        Self {
            hosts,
            ports: space::ports(&ports),
            sources: space::everywhere(&sources),
            ways: ways(logins),
        }
    }
}

impl Asked {
    /// Every question, with its source and what it is about.
    fn each<'a>(
        &'a self,
        subject: &'a Subject,
        mut tell: impl FnMut(&Question<'a>, Piece, (&'a str, &'a RangeInclusive<u16>, &'a Way)),
    ) {
        for (host, destination) in &self.hosts {
            for ports in &self.ports {
                for source in &self.sources {
                    for way in &self.ways {
                        let question = Question {
                            subject,
                            from: source.first,
                            destination,
                            port: *ports.start(),
                            way,
                        };
                        tell(&question, *source, (host, ports, way));
                    }
                }
            }
        }
    }
}

struct Question<'a> {
    subject: &'a Subject,
    from: IpAddr,
    destination: &'a Host,
    port: u16,
    way: &'a Way,
}

impl Question<'_> {
    /// When the answer is yes, within the days ahead.
    fn open(&self, policy: &Policy, now: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let destination = match self.destination {
            Host::Name(name) => Destination::Name(name.clone(), self.port),
            Host::Address(address) => Destination::Address(*address, self.port),
        };
        let end = now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX);
        let (mut at, mut open) = (now, Vec::new());
        for _ in 0..STEPS {
            let decision = self.decide(policy, &destination, at);
            let until = decision.until().unwrap_or(end).min(end);
            if self.is_open_by(&decision) {
                open.push((at, until));
            }
            if until >= end || until <= at {
                break;
            }
            at = until;
        }
        open
    }
}

impl Question<'_> {
    fn decide(&self, policy: &Policy, to: &Destination, at: Timestamp) -> Decision {
        let (who, from) = (self.subject, self.from);
        match self.way {
            Way::Plain(via) => policy.judge(who, from, to, *via, at, &NoNames),
            Way::Hop { login, .. } => {
                policy.judge_hop(who, from, to, Some(login), None, at, &NoNames)
            }
        }
    }

    /// A rule that records grants recorded hops and nothing else.
    fn is_open_by(&self, decision: &Decision) -> bool {
        let wanted = matches!(self.way, Way::Hop { recorded: true, .. });
        matches!(decision, Decision::Allow { record, .. } if *record == wanted)
    }

    /// The question whose answer says the same of one's own hops.
    fn told_by(&self) -> Option<Self> {
        let own = Way::Hop {
            login: self.subject.user.clone(),
            recorded: false,
        };
        (*self.way == own).then_some(Self {
            way: &Way::Plain(Via::Shell),
            ..*self
        })
    }
}

/// Every way that the rules tell apart.
fn ways(logins: BTreeSet<String>) -> Vec<Way> {
    let mut ways = vec![Way::Plain(Via::Forward), Way::Plain(Via::Shell)];
    for login in logins {
        for recorded in [false, true] {
            let login = login.clone();
            ways.push(Way::Hop { login, recorded });
        }
    }
    ways
}

/// Hours, rounded up, that are in `these` and in none of `those`.
fn only_in(these: &[(Timestamp, Timestamp)], those: &[(Timestamp, Timestamp)]) -> i64 {
    let overlap = |a: (Timestamp, Timestamp), b: (Timestamp, Timestamp)| {
        (a.1.min(b.1).as_second() - a.0.max(b.0).as_second()).max(0)
    };
    let seconds: i64 = these
        .iter()
        .map(|one| {
            overlap(*one, *one) - those.iter().map(|other| overlap(*one, *other)).sum::<i64>()
        })
        .sum();
    (seconds + 3599) / 3600
}

fn show_ports(ports: &RangeInclusive<u16>) -> String {
    if ports.start() == ports.end() {
        ports.start().to_string()
    } else {
        format!("{}-{}", ports.start(), ports.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = r#"
version = 1
[users.alice]
uid = 70001
groups = ["dba"]
keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGk5l2vhO5uRLq0rCVVbnWmaWKqv7oUqWlE7rGK3Nd7v"]
[groups.dba]
gid = 70100
[targets.db]
hosts = ["10.20.0.0/24", "db1.example.com"]
ports = [22]
[windows.office]
days = ["mon-fri"]
hours = ["08:00-18:00"]
[[rules]]
name = "dba"
effect = "allow"
groups = ["dba"]
from = ["10.0.0.0/8"]
targets = ["db"]
windows = ["office"]
via = ["forward"]
"#;

    fn policy(text: &str) -> Policy {
        Policy::parse(text, "test", "UTC").unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn between(old: &str, new: &str) -> Vec<String> {
        let now = "2026-11-22T00:00:00Z".parse().unwrap();
        compare(&policy(old), &policy(new), now)
            .iter()
            .map(|d| row(d).join(" "))
            .collect()
    }

    #[test]
    fn the_same_policy_makes_no_difference_nor_does_a_new_name() {
        assert_eq!(between(BASE, BASE), Vec::<String>::new());
        assert_eq!(
            between(BASE, &BASE.replace("name = \"dba\"", "name = \"other\"")),
            Vec::<String>::new()
        );
    }

    #[test]
    fn half_a_network_and_a_port_are_told_apart() {
        let new = BASE
            .replace("10.20.0.0/24", "10.20.0.0/25")
            .replace("[22]", "[22, 5432]");
        assert_eq!(
            between(BASE, &new),
            [
                "alice gains 10.20.0.0/25 5432 forward 10.0.0.0/8 any 50 h of the next 8 days",
                "alice gains db1.example.com 5432 forward 10.0.0.0/8 any 50 h of the next 8 days",
                "alice loses 10.20.0.128/25 22 forward 10.0.0.0/8 any 50 h of the next 8 days",
            ]
        );
    }

    #[test]
    fn who_may_hop_as_whom_and_whether_that_is_recorded_is_told() {
        let shell = BASE.replace("[\"forward\"]", "[\"shell\"]");
        let root = shell.replace("via =", "principals = [\"root\"]\nvia =");
        assert_eq!(
            between(&shell, &root),
            [
                "alice gains 10.20.0.0/24 22 hop as root 10.0.0.0/8 any 50 h of the next 8 days",
                "alice gains db1.example.com 22 hop as root 10.0.0.0/8 any 50 h of the next 8 days",
                "alice loses 10.20.0.0/24 22 hop as alice 10.0.0.0/8 any 50 h of the next 8 days",
                "alice loses db1.example.com 22 hop as alice 10.0.0.0/8 any 50 h of the next 8 days",
            ]
        );
        let recorded = root.replace("via =", "record = true\nvia =");
        let found = between(&root, &recorded);
        assert_eq!(
            found[..2],
            [
                "alice gains 10.20.0.0/24 22 hop as root, recorded 10.0.0.0/8 any 50 h of the next 8 days",
                "alice gains db1.example.com 22 hop as root, recorded 10.0.0.0/8 any 50 h of the next 8 days",
            ]
        );
        assert_eq!(
            found[2..4],
            [
                "alice loses 10.20.0.0/24 22 hop as root 10.0.0.0/8 any 50 h of the next 8 days",
                "alice loses 10.20.0.0/24 22 shell 10.0.0.0/8 any 50 h of the next 8 days",
            ]
        );
    }

    #[test]
    fn a_window_that_grows_counts_its_hours_only() {
        let new = BASE.replace("08:00-18:00", "07:00-18:00");
        let found = between(BASE, &new);
        assert_eq!(
            found[0],
            "alice gains 10.20.0.0/24 22 forward 10.0.0.0/8 any 5 h of the next 8 days"
        );
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn without_a_source_anywhere_else_is_gained() {
        let new = BASE
            .replace("from = [\"10.0.0.0/8\"]\n", "")
            .replace("windows = [\"office\"]\n", "");
        let found = between(BASE, &new);
        assert!(
            found.iter().any(|line| line.starts_with(
                "alice gains 10.20.0.0/24 22 forward 0.0.0.0-9.255.255.255, 11.0.0.0"
            ) && line.ends_with("always")),
            "{found:#?}"
        );
    }

    #[test]
    fn members_of_a_system_group_are_one_line() {
        let new = format!(
            "{BASE}{}",
            r#"
[[rules]]
name = "ad"
effect = "allow"
system_groups = ["ad-admins"]
targets = ["db"]
"#
        );
        let found = between(BASE, &new);
        assert_eq!(
            found[0],
            "(members of ad-admins) gains 10.20.0.0/24 22 forward anywhere any always"
        );
    }

    #[test]
    fn a_removed_user_loses_everything() {
        let new = BASE.replace("alice", "carol");
        let found = between(BASE, &new);
        assert!(found.iter().any(|line| line.starts_with("alice loses")));
        assert!(found.iter().any(|line| line.starts_with("carol gains")));
    }

    #[test]
    fn a_narrower_second_factor_loses_what_the_others_opened() {
        let rule = BASE.replace(
            "via = [\"forward\"]",
            "via = [\"forward\"]\nmfa = [\"security-key\"]",
        );
        assert_eq!(
            between(BASE, &rule),
            [
                "alice loses 10.20.0.0/24 22 forward 10.0.0.0/8 totp, recovery 50 h of the next 8 days",
                "alice loses db1.example.com 22 forward 10.0.0.0/8 totp, recovery 50 h of the next 8 days",
            ]
        );
        let user = BASE.replace("uid = 70001", "uid = 70001\nmfa = [\"totp\"]");
        let found = between(BASE, &user);
        assert!(
            found[0].ends_with("10.0.0.0/8 recovery, security-key 50 h of the next 8 days"),
            "{found:#?}"
        );
        let group = BASE.replace("gid = 70100", "gid = 70100\nmfa = [\"totp\", \"recovery\"]");
        let found = between(&group, BASE);
        assert_eq!(
            found[0],
            "alice gains 10.20.0.0/24 22 forward 10.0.0.0/8 security-key 50 h of the next 8 days"
        );
        let robot = BASE.replace("uid = 70001", "uid = 70001\nmfa = \"none\"");
        let found = between(BASE, &robot);
        assert_eq!(
            found[0],
            "alice gains 10.20.0.0/24 22 forward 10.0.0.0/8 none 50 h of the next 8 days"
        );
    }
}
