//! Which second factor opens what, and what is said where none can.

mod common;

use common::{KEY, MONDAY, at, ip, parse, policy, refused, short, to};
use jump_policy::{Method, NoNames, Policy, Subject};
use jump_proto::Via;

const SK: &str = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIJ6gB2N1PoAzUSXCSjpdBkojqIhXPMlFIR2ZreJzzFxNAAAABHNzaDo= carol@token";

const RULES: &str = r#"
[targets.databases]
hosts = ["10.20.0.0/24"]
ports = [22]
[targets.vault]
hosts = ["10.20.1.5"]
ports = [22]
[[rules]]
name = "daily"
effect = "allow"
users = ["alice", "bob"]
targets = ["databases"]
[[rules]]
name = "vault"
effect = "allow"
users = ["alice", "bob"]
targets = ["vault"]
mfa = ["security-key"]
"#;

const GIVEN: [Option<Method>; 4] = [
    Some(Method::Totp),
    Some(Method::Recovery),
    Some(Method::SecurityKey),
    None,
];

fn judged(p: &Policy, user: &str, given: Option<Method>, target: &str) -> String {
    let who = Subject::user(user).with(given);
    let now = at(MONDAY);
    short(&p.judge(
        &who,
        ip("10.1.2.3"),
        &to(target),
        Via::Forward,
        now,
        &NoNames,
    ))
}

fn admitted(p: &Policy, user: &str, given: Option<Method>) -> String {
    let who = Subject::user(user).with(given);
    short(&p.admit(&who, ip("10.1.2.3"), at(MONDAY)))
}

fn words(p: &Policy, user: &str) -> Vec<&'static str> {
    let methods = p.mfa_methods(user);
    methods.into_iter().map(Method::as_str).collect()
}

fn warnings(p: &Policy) -> Vec<String> {
    p.warnings()
        .iter()
        .map(|warning| warning.details().message.clone())
        .collect()
}

/// The messages about a faulty text, without their places.
fn faults(rest: &str) -> Vec<String> {
    refused(&format!("{}{rest}", common::ACCOUNTS))
        .into_iter()
        .map(|fault| fault.split_once(' ').unwrap_or_default().1.to_owned())
        .collect()
}

#[test]
fn a_rule_for_security_keys_serves_no_other_session() {
    let p = policy(RULES);
    let vault = |given| judged(&p, "alice", given, "10.20.1.5:22");
    assert_eq!(vault(Some(Method::SecurityKey)), "allow vault");
    assert_eq!(vault(Some(Method::Totp)), "deny mfa_method vault");
    assert_eq!(vault(Some(Method::Recovery)), "deny mfa_method vault");
    for given in [Method::Totp, Method::Recovery, Method::SecurityKey] {
        let daily = judged(&p, "alice", Some(given), "10.20.0.5:22");
        assert_eq!(daily, "allow daily");
        assert_eq!(admitted(&p, "alice", Some(given)), "allow daily");
    }
}

#[test]
fn no_second_factor_opens_nothing_to_a_person() {
    let p = policy(RULES);
    assert_eq!(admitted(&p, "alice", None), "deny mfa_method");
    assert_eq!(judged(&p, "alice", None, "10.20.0.5:22"), "deny mfa_method");
    let who = Subject::user("alice").with(None);
    assert!(p.reach(&who, ip("10.1.2.3"), at(MONDAY)).is_empty());
    assert_eq!(admitted(&p, "mallory", None), "deny unknown_user");
}

#[test]
fn recovery_codes_come_with_authenticators_unless_a_narrower_list_leaves_them_out() {
    let all = ["totp", "recovery", "security-key"];
    assert_eq!(words(&policy(""), "alice"), all);
    let with = |methods: &str| policy(&format!("[mfa]\nmethods = {methods}\n"));
    assert_eq!(words(&with(r#"["totp", "security-key"]"#), "alice"), all);
    assert_eq!(words(&with(r#"["totp"]"#), "alice"), all[..2]);
    assert_eq!(words(&with(r#"["totp", "recovery"]"#), "alice"), all[..2]);
    assert_eq!(words(&with(r#"["security-key"]"#), "alice"), all[2..]);
    let narrowed = |mfa: &str| {
        let user = format!("[users.carol]\nuid = 70003\nkeys = [\"{KEY}\"]\nmfa = {mfa}\n");
        words(&policy(&user), "carol")
    };
    assert_eq!(narrowed(r#"["totp"]"#), ["totp"]);
    assert_eq!(narrowed(r#"["recovery", "totp"]"#), ["totp", "recovery"]);
    assert_eq!(
        faults("[mfa]\nmethods = [\"recovery\", \"security-key\"]\n"),
        ["recovery codes are given with an authenticator"]
    );
}

#[test]
fn users_and_each_of_their_groups_narrow() {
    let p = policy(&format!(
        r#"
[groups.keys]
gid = 70101
mfa = ["security-key", "totp"]
[groups.codes]
gid = 70102
mfa = ["totp", "recovery"]
[users.carol]
uid = 70003
groups = ["keys"]
keys = ["{KEY}"]
[users.dan]
uid = 70004
groups = ["keys", "codes"]
keys = ["{KEY}"]
[users.eve]
uid = 70005
groups = ["keys"]
mfa = ["security-key"]
keys = ["{SK}"]
[users.robot]
uid = 70006
mfa = "none"
keys = ["{KEY}"]
"#
    ));
    assert_eq!(words(&p, "carol"), ["totp", "security-key"]);
    assert_eq!(words(&p, "dan"), ["totp"]);
    assert_eq!(words(&p, "eve"), ["security-key"]);
    assert_eq!(p.factors("eve"), [Some(Method::SecurityKey)]);
    assert!(words(&p, "robot").is_empty());
    assert_eq!(p.factors("robot"), [None]);
    // Known by a group of another source only: all of [mfa], as far as the rules take it.
    assert_eq!(words(&p, "ada").len(), 3);
}

#[test]
fn what_a_user_was_narrowed_to_holds_for_sessions_that_are_open() {
    let narrowed = policy(RULES).users().count() == 2;
    assert!(narrowed);
    let text = format!("{}{RULES}", common::ACCOUNTS).replace(
        "uid = 70001",
        "uid = 70001\nmfa = [\"security-key\", \"recovery\"]",
    );
    let p = parse(&text);
    for (given, answer) in [
        (Some(Method::Totp), "deny mfa_method"),
        (Some(Method::Recovery), "allow daily"),
        (Some(Method::SecurityKey), "allow daily"),
        (None, "deny mfa_method"),
    ] {
        assert_eq!(admitted(&p, "alice", given), answer);
        assert_eq!(judged(&p, "alice", given, "10.20.0.5:22"), answer);
    }
    let end = |given| {
        let who = Subject::user("alice").with(given);
        p.session_end(&who, ip("10.1.2.3"), at(MONDAY), at(MONDAY))
            .unwrap()
    };
    assert_eq!(end(Some(Method::Totp)).0, at(MONDAY));
    assert!(end(Some(Method::SecurityKey)).0 > at(MONDAY));
}

#[test]
fn automation_is_served_by_rules_that_ask_for_nothing_only() {
    let p = policy(&format!(
        r#"
[users.robot]
uid = 70006
mfa = "none"
keys = ["{KEY}"]
[targets.one]
hosts = ["10.20.0.0/24"]
ports = [22]
[targets.two]
hosts = ["10.21.0.0/24"]
ports = [22]
[[rules]]
name = "robots"
effect = "allow"
users = ["robot"]
from = ["10.1.0.0/16"]
targets = ["one"]
[[rules]]
name = "people"
effect = "allow"
users = ["robot", "alice"]
from = ["10.1.0.0/16"]
targets = ["two"]
mfa = ["totp"]
"#
    ));
    assert_eq!(judged(&p, "robot", None, "10.20.0.5:22"), "allow robots");
    assert_eq!(
        judged(&p, "robot", None, "10.21.0.5:22"),
        "deny mfa_method people"
    );
    assert!(
        warnings(&p).contains(
            &"rule `people` never serves robot: it asks for totp, which is not taken from them"
                .to_owned()
        ),
        "{:?}",
        warnings(&p)
    );
}

#[test]
fn with_nothing_left_the_text_is_refused() {
    for (text, fault) in [
        (
            "[mfa]\nmethods = [\"totp\"]\n[groups.keys]\ngid = 70101\nmfa = [\"security-key\"]\n"
                .to_owned(),
            "no second factor is left for members of `keys`: [mfa] takes totp and recovery",
        ),
        (
            format!(
                "[mfa]\nmethods = [\"security-key\"]\n{}",
                RULES.replace("mfa = [\"security-key\"]", "mfa = [\"totp\"]")
            ),
            "rule `vault` can serve nobody: its second factors are none of [mfa], which takes security-key",
        ),
        (
            format!(
                "[groups.keys]\ngid = 70101\nmfa = [\"security-key\"]\n[users.carol]\nuid = 70003\ngroups = [\"keys\"]\nkeys = [\"{KEY}\"]\nmfa = [\"totp\"]\n"
            ),
            "no second factor is left for `carol`: [mfa], the user's `mfa` and that of their groups have none in common",
        ),
        (
            format!(
                "[groups.keys]\ngid = 70101\nmfa = [\"security-key\"]\n[users.carol]\nuid = 70003\ngroups = [\"keys\"]\nkeys = [\"{KEY}\"]\nmfa = \"none\"\n"
            ),
            "`carol` has mfa = \"none\", and is in group `keys`, which asks for a second factor",
        ),
    ] {
        assert_eq!(faults(&text), [fault]);
    }
}

#[test]
fn each_wrong_value_is_told_once() {
    let user = |mfa: &str| {
        faults(&format!(
            "[users.carol]\nuid = 70003\nkeys = [\"{KEY}\"]\nmfa = {mfa}\n"
        ))
    };
    assert_eq!(user("[\"sms\"]"), ["`sms` is not a second factor"]);
    assert_eq!(user("[]"), ["`mfa` is an empty list"]);
    assert_eq!(user("\"totp\""), ["`totp` stands without brackets"]);
    assert_eq!(user("\"off\""), ["`off` is not a value of `mfa`"]);
    assert_eq!(
        faults("[groups.x]\ngid = 70101\nmfa = \"none\"\n"),
        ["expected a list, found a string"]
    );
    assert_eq!(
        faults("[[rules]]\nname = \"r\"\neffect = \"deny\"\nusers = [\"bob\"]\nmfa = [\"totp\"]\n"),
        ["`mfa` has no meaning in a deny rule"]
    );
    assert_eq!(
        faults("[mfa]\nmethods = [\"sms\"]\n"),
        ["`sms` is not a second factor"]
    );
}

#[test]
fn a_user_of_security_keys_without_one_is_remarked_upon() {
    let with = |key: &str| {
        let user =
            format!("[users.carol]\nuid = 70003\nkeys = [\"{key}\"]\nmfa = [\"security-key\"]\n");
        warnings(&policy(&format!("{RULES}{user}")))
    };
    let remark =
        "`carol` cannot log in: the second factor is security-key, and none of the keys is one";
    assert!(with(KEY).iter().any(|warning| warning == remark));
    assert!(!with(SK).iter().any(|warning| warning == remark));
}

#[test]
fn a_test_speaks_of_the_second_factor_that_brings_furthest_unless_it_names_one() {
    let test = |rest: &str| {
        let text = format!(
            "{RULES}[[tests]]\nuser = \"alice\"\nfrom = \"10.1.2.3\"\ntarget = \"10.20.1.5:22\"\nat = 2026-11-23T10:00:00Z\n{rest}\n"
        );
        policy(&text).run_tests()
    };
    assert_eq!(test("expect = \"allow\"\nrule = \"vault\""), Ok(()));
    assert_eq!(test("expect = \"allow\"\nmfa = \"security-key\""), Ok(()));
    assert_eq!(test("expect = \"deny\"\nmfa = \"totp\""), Ok(()));
    let red = test("expect = \"allow\"\nmfa = \"totp\"").unwrap_err();
    assert!(red[0].question.ends_with(" with totp"), "{}", red[0]);
    assert_eq!(red[0].answer, "deny (mfa_method, rule vault)");
    assert!(test("expect = \"deny\"").is_err());
}

#[test]
fn admit_reach_and_judge_agree_on_every_second_factor() {
    let p = policy(RULES);
    for given in GIVEN {
        let who = Subject::user("bob").with(given);
        let reach = p.reach(&who, ip("10.1.2.3"), at(MONDAY));
        assert_eq!(
            p.admit(&who, ip("10.1.2.3"), at(MONDAY)).is_allow(),
            !reach.is_empty()
        );
        let vault = judged(&p, "bob", given, "10.20.1.5:22").starts_with("allow");
        assert_eq!(vault, reach.iter().any(|r| r.rule == "vault"));
    }
}
