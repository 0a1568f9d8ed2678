//! `policy.toml`: any text is a policy or a list of errors, each at a place of
//! the text; a policy can be compiled, asked and explained.

use jiff::{Timestamp, tz::TimeZone};
use jump_accounts::Index;
use jump_policy::{Destination, HostFacts, NoNames, Policy, Subject};
use jump_proto::Via;
use std::net::{IpAddr, Ipv4Addr};

/// Where the questions come from and go to.
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));
const PLACE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 20, 0, 5));
/// A Monday in November 2026.
const NOW: Timestamp = Timestamp::constant(1_795_431_600, 0);

/// The policy's text.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match Policy::parse(text, "policy.toml", "Europe/Paris") {
        Ok(policy) => compile(&policy),
        Err(errors) => {
            assert!(errors.iter().len() > 0);
            let lines = text.lines().count() + 1;
            for error in errors.iter() {
                assert!((1..=lines).contains(&error.line), "line {}", error.line);
                assert!(error.column >= 1);
                assert!(!error.message.is_empty());
            }
            let shown = errors.to_string();
            assert!(shown.chars().all(|c| c == '\n' || !c.is_control()));
        }
    }
}

fn compile(policy: &Policy) {
    // Too much for an index is an error, not a panic; what was built is sound.
    if let Ok(index) = jumpd::accounts::compile(policy) {
        let index = Index::new(&index);
        assert!(index.is_ok_and(|index| index.users().count() == policy.users().count()));
    }
    let keys = jumpd::keys::compile(policy, &TimeZone::UTC);
    for user in policy.users() {
        assert_eq!(
            jumpd::keys::lines_of(&keys, &user.name).count(),
            user.keys.len()
        );
    }
    let _ = policy.run_tests();
    let _ = policy.conflicts(&HostFacts::from_files("", ""));
    for warning in policy.warnings() {
        assert!(!warning.to_string().is_empty());
    }
    for user in policy.users().take(4) {
        let who = Subject::user(&user.name);
        let admitted = policy.admit(&who, SOURCE, NOW).is_allow();
        let to = Destination::Address(PLACE, 22);
        for via in [Via::Forward, Via::Shell] {
            let decision = policy.judge(&who, SOURCE, &to, via, NOW, &NoNames);
            assert!(admitted || !decision.is_allow());
            assert!(decision.until().is_none_or(|until| until > NOW));
        }
        let _ = policy.session_end(&who, SOURCE, NOW, NOW);
    }
}
