//! The example policy is valid, says what its own tests promise, and warns of what it should.

#![allow(clippy::panic, reason = "a test stops at the first surprise")]

use jump_policy::{Method, Policy, Subject};

const EXAMPLE: &str = include_str!("../examples/policy.toml");

fn example() -> Policy {
    Policy::parse(EXAMPLE, "examples/policy.toml", "UTC")
        .unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn the_example_is_valid_and_green() {
    let policy = example();
    if let Err(red) = policy.run_tests() {
        panic!(
            "{}",
            red.iter().map(ToString::to_string).collect::<String>()
        );
    }
    assert_eq!(policy.test_count(), 7);
    assert_eq!(policy.hash().len(), 16);
}

#[test]
fn the_example_warns_of_its_automation_account_only() {
    let policy = example();
    let messages: Vec<_> = policy
        .warnings()
        .iter()
        .map(|w| w.details().message.clone())
        .collect();
    assert_eq!(messages, ["`backup` logs in without a second factor"]);
    assert_eq!(policy.automation(), ["backup"]);
}

#[test]
fn accessors_give_what_the_file_says() {
    let policy = example();
    assert_eq!(policy.host_group(), ("jump-users", 66_000));
    assert_eq!(policy.system_groups(), ["ad-admins"]);
    assert_eq!(policy.timezone().iana_name(), Some("Europe/Paris"));
    assert_eq!(policy.users().count(), 3);
    assert_eq!(policy.session().max.as_secs(), 8 * 3600);
    let names = |user: &str| {
        let who = Subject::user(user);
        policy
            .rules_for(&who)
            .map(|r| r.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("alice"), ["no-billing", "dba-office"]);
    assert_eq!(names("backup"), ["backup-at-night"]);
    assert!(names("mallory").is_empty());
    let sources = |user: &str| policy.login_sources(policy.user(user).unwrap());
    assert_eq!(sources("backup").unwrap().len(), 1);
    assert_eq!(sources("alice").unwrap().len(), 2);
    assert_eq!(sources("bob"), None);
    assert!(policy.mfa_methods("backup").is_empty());
    assert_eq!(policy.mfa_methods("alice"), Method::ALL.into());
    assert_eq!(
        policy.mfa_methods("bob"),
        [Method::Totp, Method::SecurityKey].into()
    );
    assert!(!policy.mfa().verify_required);
}

#[test]
fn a_policy_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Policy>();
}
