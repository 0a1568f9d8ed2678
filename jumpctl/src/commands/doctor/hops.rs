//! Whether hops from the restricted shell can log in at targets.

use super::Findings;
use crate::client::Jumpd;
use crate::error::Error;
use jump_policy::{Effect, Policy};
use jump_proto::{CaKeys, Reply, Request, Via};

const CHECK: &str = "hops";

pub(super) fn look(jumpd: &Jumpd, policy: Option<&Policy>, findings: &mut Findings) {
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
    let rules: Vec<&str> = policy
        .into_iter()
        .flat_map(Policy::rules)
        .filter(|rule| rule.effect == Effect::Allow && rule.ways().any(|via| via == Via::Shell))
        .map(|rule| rule.name.as_str())
        .collect();
    let Some(first) = rules.first() else {
        return;
    };
    let others = match rules.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    findings.warn(
        CHECK,
        format!(
            "rule \"{first}\"{others} lets users hop from the restricted shell, and there is no user CA to log in with: `jumpctl ca init`, or set via = [\"forward\"]"
        ),
    );
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
        let keys = CaKeys {
            current: Some("ssh-ed25519 A".into()),
            ..CaKeys::default()
        };
        assert_eq!(found(&keys, RULE)[0].0, Verdict::Ok);
    }
}
