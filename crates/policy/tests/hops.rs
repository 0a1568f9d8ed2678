//! Who hops where as whom, and which host keys and addresses are believed.

mod common;

use common::{KEY, MONDAY, at, ip, policy, refused, short, to};
use jump_policy::{Decision, NoNames, Policy, Subject, is_login_name};
use jump_proto::Reason;

const RULES: &str = r#"
[targets.databases]
hosts = ["10.20.0.0/24"]
ports = [22, 5432]
[[rules]]
name = "own"
effect = "allow"
users = ["alice"]
targets = ["databases"]
[[rules]]
name = "as-root"
effect = "allow"
users = ["alice", "bob"]
targets = ["databases"]
principals = ["root", "postgres"]
via = ["shell"]
record = true
[[rules]]
name = "as-oneself-or-admin"
effect = "allow"
users = ["bob"]
targets = ["databases"]
principals = ["admin", "bob"]
via = ["forward", "shell"]
"#;

fn hop(policy: &Policy, user: &str, login: Option<&str>) -> Decision {
    policy.judge_hop(
        &Subject::user(user),
        ip("10.1.2.3"),
        &to("10.20.0.5:22"),
        login,
        None,
        at(MONDAY),
        &NoNames,
    )
}

#[test]
fn the_first_rule_that_gives_the_login_name_decides() {
    let p = policy(RULES);
    let answer = |user, login| short(&hop(&p, user, login));
    assert_eq!(answer("alice", Some("alice")), "allow own");
    assert_eq!(answer("alice", Some("root")), "allow as-root");
    assert_eq!(answer("alice", Some("bob")), "deny login_name own");
    assert_eq!(answer("bob", Some("bob")), "allow as-oneself-or-admin");
    assert_eq!(answer("bob", Some("Root")), "deny login_name as-root");
    assert_eq!(answer("bob", None), "allow as-root");
    // Whether it must be recorded is said by the rule that gives it.
    let recorded = |decision| matches!(decision, Decision::Allow { record: true, .. });
    assert!(recorded(hop(&p, "alice", Some("root"))));
    assert!(!recorded(hop(&p, "alice", Some("alice"))));
}

#[test]
fn without_a_login_name_it_is_ones_own_or_the_first() {
    let p = policy(RULES);
    assert_eq!(p.rule("own").unwrap().login("alice"), "alice");
    assert_eq!(p.rule("as-root").unwrap().login("alice"), "root");
    assert_eq!(p.rule("as-oneself-or-admin").unwrap().login("bob"), "bob");
    assert_eq!(
        p.rule("as-root").unwrap().logins("alice"),
        ["root", "postgres"]
    );
    assert_eq!(p.rule("own").unwrap().logins("alice"), ["alice"]);
}

#[test]
fn a_missing_login_name_is_nearer_to_a_grant_than_a_missing_window_and_farther_than_a_denial() {
    let p = policy(&format!(
        "{RULES}[[rules]]\nname = \"no\"\neffect = \"deny\"\nusers = [\"alice\"]\ntargets = [\"databases\"]\nvia = [\"shell\"]\n"
    ));
    assert_eq!(hop(&p, "alice", Some("nobody")).reason(), Reason::RuleDeny);
}

#[test]
fn login_names_are_words_that_mean_nothing_to_ssh() {
    let rule = |names: &str| {
        let rest = RULES.replace("[\"root\", \"postgres\"]", names);
        refused(&format!("{}{rest}", common::ACCOUNTS))
            .into_iter()
            .map(|fault| fault.split_once(' ').unwrap().1.to_owned())
            .collect::<Vec<_>>()
    };
    for bad in [
        "-oProxyCommand=x",
        "a,b",
        "",
        "a b",
        "*",
        "a\\u0000",
        "é",
        "alice@corp",
        "a+b",
    ] {
        let found = rule(&format!("[\"{bad}\"]"));
        assert!(
            found[0].contains("cannot be a login name"),
            "{bad}: {found:?}"
        );
        assert!(!is_login_name(bad), "{bad}");
    }
    for (name, is_said) in [("alice@corp", true), ("a+b", true), ("a b", false)] {
        let rest = RULES.replace("[\"root\", \"postgres\"]", &format!("[\"{name}\"]"));
        let text = format!("{}{rest}", common::ACCOUNTS);
        let said = Policy::parse(&text, "policy.toml", "UTC").unwrap_err();
        let said = said.to_string().contains("`@` and `+` cannot be in it");
        assert_eq!(said, is_said, "{name}");
    }
    assert_eq!(rule("[]"), ["`principals` is an empty list"]);
    assert_eq!(rule("[\"root\", \"root\"]"), ["`root` is listed twice"]);
    assert_eq!(rule("\"root\""), ["expected a list, found a string"]);
    for good in ["root", "_apt", "alice.martin", "a-b_c", &"x".repeat(64)] {
        assert!(is_login_name(good), "{good}");
    }
    assert!(!is_login_name(&"x".repeat(65)));
}

#[test]
fn login_names_are_for_rules_that_open_hops() {
    let forward = RULES.replace("via = [\"shell\"]\nrecord = true", "via = [\"forward\"]");
    let found = refused(&format!("{}{forward}", common::ACCOUNTS));
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("a forward logs nobody in"), "{found:?}");
    let deny = RULES.replacen(
        "effect = \"allow\"\nusers = [\"alice\", \"bob\"]",
        "effect = \"deny\"\nusers = [\"alice\", \"bob\"]",
        1,
    );
    let found = refused(&format!("{}{deny}", common::ACCOUNTS));
    assert!(
        found
            .iter()
            .any(|f| f.contains("`principals` has no meaning in a deny rule")),
        "{found:?}"
    );
}

#[test]
fn an_agent_is_the_cas_or_forwarded_and_of_rules_that_open_hops() {
    let with = |line: &str| RULES.replace("record = true", &format!("record = true\n{line}"));
    for (line, own) in [
        ("", false),
        ("agent = \"ca\"", false),
        ("agent = \"forwarded\"", true),
    ] {
        let p = policy(&with(line));
        assert_eq!(p.rule("as-root").unwrap().wants_own_agent(), own, "{line}");
        assert!(!p.rule("own").unwrap().wants_own_agent());
    }
    let faults = |rules: &str| refused(&format!("{}{rules}", common::ACCOUNTS));
    for (line, message) in [
        ("agent = \"forward\"", "`forward` is not an agent"),
        ("agent = \"\"", "is not an agent"),
        ("agent = true", "expected a string"),
        ("agent = [\"forwarded\"]", "expected a string"),
        ("agents = \"forwarded\"", "unknown key `agents`"),
    ] {
        let found = faults(&with(line));
        assert!(found[0].contains(message), "{line}: {found:?}");
    }
    let forward = with("agent = \"forwarded\"")
        .replace("principals = [\"root\", \"postgres\"]\n", "")
        .replace("via = [\"shell\"]\nrecord = true", "via = [\"forward\"]");
    let found = faults(&forward);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("a forward logs nobody in"), "{found:?}");
    let deny = format!(
        "{RULES}[[rules]]\nname = \"no\"\neffect = \"deny\"\nusers = [\"bob\"]\nagent = \"ca\"\n"
    );
    let found = faults(&deny);
    assert!(
        found[0].contains("`agent` has no meaning in a deny rule"),
        "{found:?}"
    );
}

#[test]
fn an_agent_comes_along_only_with_those_of_whom_such_a_rule_speaks() {
    let p = policy(&format!(
        "{RULES}[[rules]]\nname = \"with-his-own\"\neffect = \"allow\"\nusers = [\"bob\"]\n\
         from = [\"10.1.0.0/16\"]\ntargets = [\"databases\"]\nwindows = [\"sundays\"]\nagent = \"forwarded\"\nmfa = [\"totp\"]\n\
         [windows.sundays]\ndays = [\"sun\"]\nhours = [\"00:00-24:00\"]\n"
    ));
    let by = |who: &Subject, from| p.lets_agent_along(who, ip(from)).map(|r| r.name.as_str());
    let bob = Subject::user("bob");
    assert_eq!(
        by(&bob, "10.1.2.3"),
        Some("with-his-own"),
        "whatever day it is"
    );
    assert_eq!(by(&bob, "::ffff:10.1.2.3"), Some("with-his-own"));
    assert_eq!(by(&bob, "10.2.2.3"), None);
    assert_eq!(
        by(&bob.with(None), "10.1.2.3"),
        None,
        "without that second factor"
    );
    assert_eq!(by(&Subject::user("alice"), "10.1.2.3"), None);
    assert_eq!(by(&Subject::user("nobody"), "10.1.2.3"), None);
    let along = |user| p.takes_agent_along(p.user(user).unwrap());
    assert!(along("bob") && !along("alice"));
    let agents = |p: &Policy| (p.agents().users, p.agents().system_groups);
    assert_eq!(agents(&p), (true, false));
    assert_eq!(agents(&policy(RULES)), (false, false));
    let others = RULES.replace(
        "users = [\"alice\"]",
        "system_groups = [\"ad\"]\nagent = \"forwarded\"",
    );
    assert_eq!(agents(&policy(&others)), (true, true));
}

#[test]
fn host_keys_are_whole_public_keys() {
    let with = |line: &str| RULES.replace("ports = [22, 5432]", &format!("ports = [22]\n{line}"));
    let p = policy(&with(&format!(
        "host_keys = [\"{KEY}\"]\nhost_ca = [\"{KEY}\"]"
    )));
    let target = p.target("databases").unwrap();
    let bare = KEY.rsplit_once(' ').unwrap().0;
    assert_eq!(target.host_keys[0].bare(), bare);
    assert_eq!(target.host_ca[0].bare(), bare);
    for (line, message) in [
        (
            "host_keys = [\"ssh-ed25519 AAAA\"]",
            "whole ssh-ed25519 key",
        ),
        (
            "host_ca = [\"@cert-authority * ssh-ed25519 AAAA\"]",
            "are not taken",
        ),
        ("host_keys = []", "`host_keys` is an empty list"),
        (&format!("host_ca = [\"{KEY}\", \"{KEY}\"]"), "listed twice"),
        ("host_key = []", "unknown key `host_key`"),
    ] {
        let found = refused(&format!("{}{}", common::ACCOUNTS, with(line)));
        assert!(found[0].contains(message), "{line}: {found:?}");
    }
}

#[test]
fn certificates_are_bound_to_addresses_that_are_given() {
    assert_eq!(policy(RULES).ca().source_addresses, None);
    let p = policy(&format!(
        "{RULES}[ca]\nsource_addresses = [\"192.0.2.1\", \"2001:db8::/64\"]\n"
    ));
    let given = p.ca().source_addresses.as_ref().unwrap();
    assert_eq!(given[0].to_string(), "192.0.2.1/32");
    assert_eq!(given[1].to_string(), "2001:db8::/64");
    for (entry, message) in [
        ("0.0.0.0/0", "binds a certificate to nothing"),
        ("bastion.example.com", "is not an address"),
        ("192.0.2.1/24", "bits set after its prefix"),
    ] {
        let text = format!(
            "{}{RULES}[ca]\nsource_addresses = [\"{entry}\"]\n",
            common::ACCOUNTS
        );
        let found = refused(&text);
        assert!(found[0].contains(message), "{entry}: {found:?}");
    }
}

#[test]
fn a_test_can_ask_about_a_login_name() {
    let test = |login: &str, more: &str, expect: &str| {
        format!(
            "{RULES}[[tests]]\nuser = \"alice\"\nfrom = \"10.1.2.3\"\ntarget = \"10.20.0.5:22\"\nat = {MONDAY}\nlogin = \"{login}\"\nexpect = \"{expect}\"\n{more}"
        )
    };
    assert!(
        policy(&test("root", "rule = \"as-root\"", "allow"))
            .run_tests()
            .is_ok()
    );
    assert!(policy(&test("admin", "", "deny")).run_tests().is_ok());
    let red = policy(&test("admin", "via = \"shell\"", "allow"));
    let told = red.run_tests().unwrap_err()[0].to_string();
    assert!(
        told.contains("by shell as admin") && told.contains("deny (login_name"),
        "{told}"
    );
    let found = refused(&format!(
        "{}{}",
        common::ACCOUNTS,
        test("root", "via = \"forward\"", "deny")
    ));
    assert!(found[0].contains("a forward logs nobody in"), "{found:?}");
}

#[test]
fn one_host_and_one_port_are_found() {
    let p = policy(
        "[targets.one]\nhosts = [\"db1.example.internal\"]\nports = [2222]\n[targets.many]\nhosts = [\"10.0.0.1\", \"10.0.0.2\"]\nports = [\"22-23\"]\n[targets.net]\nhosts = [\"10.0.0.0/24\"]\nports = [22, 23]\n",
    );
    let one = p.target("one").unwrap();
    assert_eq!(one.only_host().as_deref(), Some("db1.example.internal"));
    assert_eq!(one.only_port(), Some(2222));
    for several in ["many", "net"] {
        let target = p.target(several).unwrap();
        assert_eq!((target.only_host(), target.only_port()), (None, None));
    }
}

#[test]
fn the_target_of_a_place_is_one_whose_host_keys_are_known() {
    let p = policy(&format!(
        "[targets.all]\nhosts = [\"10.0.0.0/8\"]\nports = [22]\n[targets.db]\nhosts = [\"10.20.0.5\"]\nports = [22]\nhost_keys = [\"{KEY}\"]\n[[rules]]\nname = \"r\"\neffect = \"allow\"\nusers = [\"alice\"]\ntargets = [\"all\", \"db\"]\n"
    ));
    let of = |address, port| {
        let target = p.target_of("r", ip(address), port, &NoNames);
        target.map(|target| target.name.as_str())
    };
    assert_eq!(of("10.20.0.5", 22), Some("db"));
    assert_eq!(of("10.20.0.6", 22), Some("all"));
    assert_eq!(of("10.20.0.5", 23), None);
    assert_eq!(of("::ffff:10.20.0.5", 22), Some("db"));
}
