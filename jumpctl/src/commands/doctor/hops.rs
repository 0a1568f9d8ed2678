//! Whether hops from the restricted shell can log in at targets.

use super::Findings;
use crate::client::Jumpd;
use crate::error::Error;
use crate::setup::host::Host;
use jump_policy::{Effect, Policy, Rule};
use jump_proto::{CaKeys, Reply, Request, Via, paths};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const CHECK: &str = "hops";

pub(super) fn look(
    host: &dyn Host,
    jumpd: &Jumpd,
    policy: Option<&Policy>,
    findings: &mut Findings,
) {
    places(|path| host.path(path), policy, findings);
    match jumpd.ask(&Request::CaShow) {
        Ok(Reply::Ca(keys)) => judge(&keys, policy, findings),
        Ok(Reply::Refused { message, .. }) => findings.red(CHECK, message),
        Ok(_) => findings.red(CHECK, Error::WrongAnswer.to_string()),
        // Told above, as jumpd's silence.
        Err(_) => {}
    }
}

fn judge(keys: &CaKeys, policy: Option<&Policy>, findings: &mut Findings) {
    if keys.next.is_some() {
        findings.warn(
            CHECK,
            "a new key of the user CA waits: once every target trusts it, `jumpctl ca rotate --finish`",
        );
    }
    if keys.current.is_some() {
        findings.ok(CHECK, "there is a user CA");
        return;
    }
    let Some(rules) = rules_of_hops(policy, |rule| !rule.wants_own_agent()) else {
        return;
    };
    findings.warn(
        CHECK,
        format!(
            "{rules} lets users hop from the restricted shell, and there is no user CA to log in with: `jumpctl ca init`, or set via = [\"forward\"]"
        ),
    );
}

/// The rules of a kind that open hops, in words; nothing where there are none.
fn rules_of_hops(policy: Option<&Policy>, of_kind: impl Fn(&Rule) -> bool) -> Option<String> {
    let opens_hops =
        |rule: &Rule| rule.effect == Effect::Allow && rule.ways().any(|via| via == Via::Shell);
    let mut rules = policy
        .into_iter()
        .flat_map(Policy::rules)
        .filter(|rule| opens_hops(rule) && of_kind(rule));
    let first = &rules.next()?.name;
    Some(match rules.count() {
        0 => format!("rule \"{first}\""),
        more => format!("rule \"{first}\" and {more} more"),
    })
}

/// What the ssh of a hop, which runs as its user, must reach on this host.
fn places(path: impl Fn(&str) -> PathBuf, policy: Option<&Policy>, findings: &mut Findings) {
    let Some(rules) = rules_of_hops(policy, |_| true) else {
        return;
    };
    if !path(paths::AGENT_SOCKET).exists() {
        findings.red(
            CHECK,
            format!(
                "{rules} lets users hop from the restricted shell, and {} is missing, where their ssh asks for its certificate: `systemctl unmask jumpd-agent.socket`, then `systemctl enable --now jumpd-agent.socket` and `systemctl restart jumpd`",
                paths::AGENT_SOCKET
            ),
        );
    }
    // One that is not there is of no use to anybody, and no obstacle.
    let is_closed = |path: PathBuf, bit: u32| {
        fs::metadata(path).is_ok_and(|there| there.permissions().mode() & bit == 0)
    };
    let file = path(paths::KNOWN_HOSTS);
    if let Some(directory) = Path::new(paths::KNOWN_HOSTS).parent()
        && file
            .parent()
            .is_some_and(|there| is_closed(there.to_owned(), 0o001))
    {
        findings.red(
            CHECK,
            format!(
                "users cannot pass {directory}, so their hops find no host keys there: `chmod 0751 {directory}`",
                directory = directory.display()
            ),
        );
    }
    if is_closed(file, 0o004) {
        findings.red(
            CHECK,
            format!(
                "users cannot read {file}, so their hops find no host keys in it: `chmod 0644 {file}`",
                file = paths::KNOWN_HOSTS
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Verdict;

    const RULE: &str = r#"
version = 1
[users.alice]
uid = 70001
keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGk5l2vhO5uRLq0rCVVbnWmaWKqv7oUqWlE7rGK3Nd7v"]
[targets.db]
hosts = ["10.20.0.5"]
ports = [22]
[[rules]]
name = "r"
effect = "allow"
users = ["alice"]
targets = ["db"]
via = ["shell"]
"#;

    fn found(keys: &CaKeys, rule: &str) -> Vec<(Verdict, String)> {
        let policy = Policy::parse(rule, "test", "UTC").unwrap_or_else(|e| panic!("{e}"));
        let mut findings = Findings::default();
        judge(keys, Some(&policy), &mut findings);
        findings
            .0
            .into_iter()
            .map(|f| (f.verdict, f.detail))
            .collect()
    }

    #[test]
    fn hops_without_a_ca_are_told_with_their_rule() {
        let told = found(&CaKeys::default(), RULE);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].0, Verdict::Warning);
        assert!(told[0].1.contains("rule \"r\"") && told[0].1.contains("ca init"));
        let forward = RULE.replace("shell", "forward");
        assert_eq!(found(&CaKeys::default(), &forward), []);
        let own = format!("{RULE}\nagent = \"forwarded\"\n");
        assert_eq!(found(&CaKeys::default(), &own), []);
        let keys = CaKeys {
            current: Some("ssh-ed25519 A".into()),
            ..CaKeys::default()
        };
        assert_eq!(found(&keys, RULE)[0].0, Verdict::Ok);
    }

    #[test]
    fn what_the_ssh_of_a_hop_cannot_reach_is_told_with_its_cure() {
        let root = tempfile::tempdir().unwrap();
        let path = |absolute: &str| root.path().join(absolute.trim_start_matches('/'));
        let told = |rule: &str| {
            let policy = Policy::parse(rule, "test", "UTC").unwrap_or_else(|e| panic!("{e}"));
            let mut findings = Findings::default();
            places(path, Some(&policy), &mut findings);
            assert!(findings.0.iter().all(|f| f.verdict == Verdict::Red));
            let details = findings.0.into_iter().map(|f| f.detail);
            details.collect::<Vec<String>>()
        };
        let set = |file: &str, mode| {
            fs::set_permissions(path(file), fs::Permissions::from_mode(mode)).unwrap();
        };
        let forward = RULE.replace("shell", "forward");
        for directory in ["/run/jump", "/etc/jump"] {
            fs::create_dir_all(path(directory)).unwrap();
            set(directory, 0o751);
        }
        let missing = told(RULE);
        assert_eq!(missing.len(), 1, "{missing:?}");
        assert!(missing[0].contains("agent.sock is missing") && missing[0].contains("unmask"));
        assert!(missing[0].starts_with("rule \"r\" lets"), "{missing:?}");
        assert_eq!(told(&forward), [""; 0], "nobody needs it");

        fs::write(path(paths::AGENT_SOCKET), "").unwrap();
        assert_eq!(told(RULE), [""; 0], "host keys may all be in the policy");
        fs::write(path(paths::KNOWN_HOSTS), "").unwrap();
        set(paths::KNOWN_HOSTS, 0o644);
        assert_eq!(told(RULE), [""; 0]);
        set("/etc/jump", 0o750);
        let closed = told(RULE);
        assert_eq!(closed.len(), 1, "{closed:?}");
        assert!(closed[0].ends_with("`chmod 0751 /etc/jump`"), "{closed:?}");
        set("/etc/jump", 0o751);
        set(paths::KNOWN_HOSTS, 0o640);
        let closed = told(RULE);
        assert_eq!(closed.len(), 1, "{closed:?}");
        assert!(closed[0].contains("`chmod 0644 /etc/jump/known_hosts`"));
        assert_eq!(told(&forward), [""; 0]);
    }
}
