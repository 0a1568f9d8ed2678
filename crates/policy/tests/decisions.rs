//! Who gets where, and what is said to those who do not.

mod common;

use common::{MONDAY, Table, ask, ask_as, at, ip, policy, short, to};
use jump_policy::{Decision, Destination, Method, NoNames, Subject};
use jump_proto::{Reason, Via};
use std::time::Duration;

const RULES: &str = r#"
[targets.databases]
hosts = ["db1.example.internal", "10.20.0.0/24", "2001:db8:20::/64"]
ports = [22, 5432, "9000-9010"]
[targets.self]
hosts = ["127.0.0.1", "10.20.0.1"]
ports = [8080]
[windows.office]
days = ["mon-fri"]
hours = ["08:00-12:30", "13:30-18:00"]
[[rules]]
name = "office"
effect = "allow"
groups = ["dba"]
system_groups = ["ad-admins"]
from = ["10.0.0.0/8"]
targets = ["databases"]
windows = ["office"]
via = ["forward"]
max_session = "4h"
[[rules]]
name = "bob-recorded"
effect = "allow"
users = ["bob"]
targets = ["databases", "self"]
record = true
"#;

#[test]
fn each_refusal_names_what_is_nearest_to_a_grant() {
    let p = policy(RULES);
    let forward = |user, from, target, when| {
        short(&ask_as(
            &p,
            user,
            from,
            target,
            Via::Forward,
            when,
            &NoNames,
        ))
    };
    let db = "10.20.0.5:22";
    assert_eq!(forward("alice", "10.1.2.3", db, MONDAY), "allow office");
    assert_eq!(
        forward("mallory", "10.1.2.3", db, MONDAY),
        "deny unknown_user"
    );
    assert_eq!(
        forward("alice", "10.1.2.3", "10.21.0.5:22", MONDAY),
        "deny no_target"
    );
    assert_eq!(
        forward("alice", "10.1.2.3", "10.20.0.5:23", MONDAY),
        "deny no_target"
    );
    assert_eq!(
        forward("alice", "192.0.2.1", db, MONDAY),
        "deny source_address office"
    );
    assert_eq!(
        forward("alice", "10.1.2.3", db, "2026-11-23T18:00:00+01:00"),
        "deny outside_window office"
    );
    assert_eq!(
        short(&ask_as(
            &p,
            "alice",
            "10.1.2.3",
            db,
            Via::Shell,
            MONDAY,
            &NoNames
        )),
        "deny wrong_via office"
    );
    assert_eq!(
        forward("bob", "192.0.2.1", db, MONDAY),
        "deny record_required bob-recorded"
    );
    assert_eq!(
        short(&ask_as(
            &p,
            "bob",
            "192.0.2.1",
            db,
            Via::Shell,
            MONDAY,
            &NoNames
        )),
        "allow bob-recorded"
    );
    assert_eq!(short(&ask(&policy(""), "alice", db)), "deny no_rule");
}

#[test]
fn an_allow_says_how_long_under_what_name_and_on_which_terms() {
    let p = policy(RULES);
    assert_eq!(
        ask(&p, "alice", "DB1.example.internal.:5432"),
        Decision::Allow {
            rule: "office".to_owned(),
            until: Some(at("2026-11-23T12:30:00+01:00")),
            record: false,
            max_session: Some(Duration::from_secs(4 * 3600)),
            target: Some("db1.example.internal".to_owned()),
        }
    );
    let Decision::Allow { target, .. } = ask(&p, "alice", "[2001:db8:20::7]:9005") else {
        panic!("refused");
    };
    assert_eq!(target.as_deref(), Some("databases"));
}

#[test]
fn a_closed_window_says_when_it_opens_and_nothing_else_does() {
    let p = policy(RULES);
    let friday = ask_as(
        &p,
        "alice",
        "10.1.2.3",
        "10.20.0.5:22",
        Via::Forward,
        "2026-11-20T18:00:00+01:00",
        &NoNames,
    );
    assert_eq!(
        friday.sentence(p.timezone()),
        "Outside your access window; it opens Mon 2026-11-23 08:00 Europe/Paris."
    );
    let wrong_way = ask_as(
        &p,
        "alice",
        "10.1.2.3",
        "10.20.0.5:22",
        Via::Shell,
        "2026-11-20T18:00:00+01:00",
        &NoNames,
    );
    assert_eq!(
        wrong_way.sentence(p.timezone()),
        "Outside your access window."
    );
    let refusals = [
        ask(&p, "mallory", "10.20.0.5:22"),
        ask(&p, "alice", "10.9.9.9:22"),
        ask(&p, "bob", "10.20.0.5:22"),
    ];
    for refusal in refusals {
        assert_eq!(
            refusal.sentence(p.timezone()),
            "Access is not granted; ask the administrator of this host."
        );
    }
}

#[test]
fn deny_beats_allow_in_any_order_and_only_where_it_applies() {
    let deny = r#"
[targets.billing]
hosts = ["10.20.0.99"]
ports = [22]
[[rules]]
name = "no-billing"
effect = "deny"
users = ["alice"]
targets = ["billing"]
"#;
    for p in [
        policy(&format!("{RULES}{deny}")),
        policy(&format!("{deny}{RULES}")),
    ] {
        assert_eq!(
            short(&ask(&p, "alice", "10.20.0.99:22")),
            "deny rule_deny no-billing"
        );
        assert_eq!(
            short(&ask(&p, "alice", "[::ffff:10.20.0.99]:22")),
            "deny rule_deny no-billing"
        );
        assert_eq!(short(&ask(&p, "alice", "10.20.0.99:5432")), "allow office");
        assert_eq!(short(&ask(&p, "alice", "10.20.0.98:22")), "allow office");
    }
}

#[test]
fn a_denial_of_one_way_one_source_or_one_hour_leaves_the_others() {
    let p = policy(
        r#"
[targets.any]
hosts = ["10.20.0.0/24"]
ports = [22]
[windows.night]
days = ["mon-sun"]
hours = ["22:00-06:00"]
[[rules]]
name = "all"
effect = "allow"
users = ["alice"]
targets = ["any"]
[[rules]]
name = "no"
effect = "deny"
users = ["alice"]
from = ["10.1.0.0/16"]
windows = ["night"]
via = ["forward"]
"#,
    );
    let night = "2026-11-23T23:00:00+01:00";
    let ask = |from, via, when| {
        short(&ask_as(
            &p,
            "alice",
            from,
            "10.20.0.5:22",
            via,
            when,
            &NoNames,
        ))
    };
    assert_eq!(ask("10.1.2.3", Via::Forward, night), "deny rule_deny no");
    assert_eq!(ask("10.1.2.3", Via::Shell, night), "allow all");
    assert_eq!(ask("10.2.2.3", Via::Forward, night), "allow all");
    assert_eq!(ask("10.1.2.3", Via::Forward, MONDAY), "allow all");
    let reach = p.reach(&Subject::user("alice"), ip("10.1.2.3"), at(night));
    assert_eq!(reach[0].via, [Via::Shell]);
    assert_eq!(reach[0].until, Some(at("2026-11-24T06:00:00+01:00")));
}

#[test]
fn a_deny_rule_without_targets_refuses_everything_including_the_login() {
    let p = policy(&format!(
        "{RULES}[[rules]]\nname = \"stop\"\neffect = \"deny\"\nusers = [\"alice\"]\nfrom = [\"10.66.0.0/16\"]\n"
    ));
    let stopped = ask_as(
        &p,
        "alice",
        "10.66.0.1",
        "10.20.0.5:22",
        Via::Forward,
        MONDAY,
        &NoNames,
    );
    assert_eq!(short(&stopped), "deny rule_deny stop");
    assert_eq!(
        short(&p.admit(&Subject::user("alice"), ip("10.66.0.1"), at(MONDAY))),
        "deny rule_deny stop"
    );
    assert_eq!(
        short(&p.admit(&Subject::user("alice"), ip("10.1.0.1"), at(MONDAY))),
        "allow office"
    );
}

#[test]
fn a_deny_rule_of_a_group_that_nobody_named_speaks_of_nobody() {
    let p = policy(&format!(
        "{RULES}[[rules]]\nname = \"odd\"\neffect = \"deny\"\n"
    ));
    assert_eq!(short(&ask(&p, "alice", "10.20.0.5:22")), "allow office");
    assert!(
        p.warnings()
            .iter()
            .any(|w| w.details().message.contains("never matches anybody"))
    );
}

#[test]
fn own_and_special_addresses_need_to_be_listed_literally() {
    let p = policy(
        r#"
[targets.all]
hosts = ["0.0.0.0/0", "::/0", "127.0.0.0/8"]
ports = ["1-65535"]
[targets.literal]
hosts = ["127.0.0.1", "10.0.0.5", "64:ff9b::a00:1"]
ports = [8080]
[[rules]]
name = "all"
effect = "allow"
users = ["alice"]
targets = ["all"]
[[rules]]
name = "literal"
effect = "allow"
users = ["bob"]
targets = ["literal"]
"#,
    );
    let names = Table {
        own: vec!["10.0.0.5", "2001:db8::5"],
        ..Table::default()
    };
    let ask = |user, target| {
        short(&ask_as(
            &p,
            user,
            "10.1.2.3",
            target,
            Via::Forward,
            MONDAY,
            &names,
        ))
    };
    assert_eq!(ask("alice", "10.0.0.6:22"), "allow all");
    for own in [
        "127.0.0.1:22",
        "127.0.0.1:8080",
        "[::1]:22",
        "0.0.0.0:22",
        "[::]:22",
        "169.254.169.254:80",
        "[fe80::1]:22",
        "10.0.0.5:22",
        "[::ffff:10.0.0.5]:8080",
        "[2001:db8::5]:22",
        "[::ffff:127.0.0.1]:22",
    ] {
        assert_eq!(ask("alice", own), "deny own_address", "{own}");
    }
    for bad in [
        "[64:ff9b::7f00:1]:22",
        "[2002:7f00:1::1]:22",
        "[::127.0.0.1]:22",
        "255.255.255.255:22",
        "[ff02::1]:22",
    ] {
        assert_eq!(ask("alice", bad), "deny bad_address", "{bad}");
    }
    assert_eq!(ask("bob", "127.0.0.1:8080"), "allow literal");
    assert_eq!(ask("bob", "[::ffff:127.0.0.1]:8080"), "allow literal");
    assert_eq!(ask("bob", "10.0.0.5:8080"), "allow literal");
    assert_eq!(ask("bob", "[64:ff9b::a00:1]:8080"), "allow literal");
    assert_eq!(ask("bob", "127.0.0.1:22"), "deny own_address");
    assert_eq!(ask("bob", "127.0.0.2:8080"), "deny own_address");
}

#[test]
fn a_name_is_judged_by_its_addresses_not_by_its_spelling() {
    let p = policy(RULES);
    let judge = |target, names: &Table| {
        short(&ask_as(
            &p,
            "alice",
            "10.1.2.3",
            target,
            Via::Forward,
            MONDAY,
            names,
        ))
    };
    let good = Table {
        names: vec![
            ("db1.example.internal", vec!["10.77.0.1"]),
            ("alias", vec!["10.77.0.1"]),
        ],
        own: vec![],
    };
    assert_eq!(judge("db1.example.internal:22", &good), "allow office");
    assert_eq!(judge("10.77.0.1:22", &good), "allow office");
    assert_eq!(judge("[::ffff:10.77.0.1]:22", &good), "allow office");
    assert_eq!(judge("alias:22", &good), "allow office");
    assert_eq!(judge("10.77.0.2:22", &good), "deny no_target");
    // The name now points at the bastion: loopback, its own address, cloud metadata.
    for target in ["127.0.0.1", "::1", "169.254.169.254", "10.0.0.5"] {
        let moved = Table {
            names: vec![("db1.example.internal", vec![target])],
            own: vec!["10.0.0.5"],
        };
        assert_eq!(
            judge("db1.example.internal:22", &moved),
            "deny own_address",
            "{target}"
        );
    }
    // One of several addresses is enough to refuse the name; each is judged alone at connect time.
    let mixed = Table {
        names: vec![("other", vec!["10.20.0.5", "10.99.0.1"])],
        own: vec![],
    };
    assert_eq!(judge("other:22", &mixed), "deny no_target");
    assert_eq!(judge("10.20.0.5:22", &mixed), "allow office");
}

#[test]
fn a_resolver_that_is_down_does_not_open_what_is_denied() {
    let p = policy(&format!(
        "{RULES}[targets.secret]\nhosts = [\"secret.example\"]\nports = [22]\n[[rules]]\nname = \"no\"\neffect = \"deny\"\nusers = [\"alice\"]\ntargets = [\"secret\"]\n"
    ));
    let judge = |target, names: &Table| {
        short(&ask_as(
            &p,
            "alice",
            "10.1.2.3",
            target,
            Via::Forward,
            MONDAY,
            names,
        ))
    };
    let up = Table {
        names: vec![("secret.example", vec!["10.20.0.66"])],
        own: vec![],
    };
    assert_eq!(judge("10.20.0.66:22", &up), "deny rule_deny no");
    assert_eq!(judge("10.20.0.5:22", &up), "allow office");
    let down = Table::default();
    assert_eq!(judge("10.20.0.66:22", &down), "deny rule_deny no");
    assert_eq!(judge("10.20.0.66:5432", &down), "allow office");
}

#[test]
fn members_of_system_groups_need_no_entry() {
    let p = policy(RULES);
    let mut who = Subject {
        user: "carol".to_owned(),
        groups: vec!["ad-admins".to_owned(), "wheel".to_owned()],
        mfa: Some(Method::Totp),
    };
    let judge = |who: &Subject| {
        short(&p.judge(
            who,
            ip("10.1.2.3"),
            &to("10.20.0.5:22"),
            Via::Forward,
            at(MONDAY),
            &NoNames,
        ))
    };
    assert_eq!(judge(&who), "allow office");
    // The policy's own groups are not taken from elsewhere.
    who.groups = vec!["dba".to_owned()];
    assert_eq!(judge(&who), "deny unknown_user");
}

#[test]
fn an_automation_user_is_never_served_by_a_rule_without_sources() {
    let p = policy(&format!(
        r#"
[users.robot]
uid = 70009
keys = ["{}"]
mfa = "none"
[targets.any]
hosts = ["10.20.0.0/24"]
ports = [22]
[[rules]]
name = "robots"
effect = "allow"
users = ["robot"]
from = ["10.9.0.10"]
targets = ["any"]
[[rules]]
name = "directory"
effect = "allow"
system_groups = ["ad-admins"]
targets = ["any"]
"#,
        common::KEY
    ));
    let who = Subject {
        user: "robot".to_owned(),
        groups: vec!["ad-admins".to_owned()],
        mfa: None,
    };
    assert_eq!(
        short(&p.admit(&who, ip("10.9.0.10"), at(MONDAY))),
        "allow robots"
    );
    assert_eq!(
        short(&p.admit(&who, ip("192.0.2.1"), at(MONDAY))),
        "deny source_address robots"
    );
}

#[test]
fn validity_begins_and_ends_at_the_edges_of_local_days() {
    let p = policy(
        r#"
[users.temp]
uid = 70005
keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILmnjoOliYmva/enYpKl5dSJ9pA0Vm7uB2rqMeMPnt8B"]
valid_from = 2026-03-29
valid_until = 2026-10-25
[targets.any]
hosts = ["10.20.0.0/24"]
ports = [22]
[[rules]]
name = "temp"
effect = "allow"
users = ["temp"]
targets = ["any"]
"#,
    );
    let ask = |when| {
        ask_as(
            &p,
            "temp",
            "10.1.2.3",
            "10.20.0.5:22",
            Via::Forward,
            when,
            &NoNames,
        )
    };
    let before = ask("2026-03-28T23:59:59+01:00");
    assert_eq!(
        before,
        Decision::Deny {
            reason: Reason::NotYetValid,
            rule: None,
            until: Some(at("2026-03-29T00:00:00+01:00")),
            opens: Some(at("2026-03-29T00:00:00+01:00")),
        }
    );
    assert_eq!(short(&ask("2026-03-29T00:00:00+01:00")), "allow temp");
    assert_eq!(
        ask("2026-10-25T12:00:00+01:00").until(),
        Some(at("2026-10-26T00:00:00+01:00"))
    );
    assert_eq!(short(&ask("2026-10-25T23:59:59+01:00")), "allow temp");
    let after = ask("2026-10-26T00:00:00+01:00");
    assert_eq!(
        after,
        Decision::Deny {
            reason: Reason::Expired,
            rule: None,
            until: None,
            opens: None
        }
    );
}

#[test]
fn login_is_admitted_when_some_rule_serves_now() {
    let p = policy(RULES);
    let admit = |user: &str, from: &str, when: &str| {
        short(&p.admit(&Subject::user(user), ip(from), at(when)))
    };
    assert_eq!(admit("alice", "10.1.2.3", MONDAY), "allow office");
    assert_eq!(admit("alice", "::ffff:10.1.2.3", MONDAY), "allow office");
    assert_eq!(
        admit("alice", "192.0.2.1", MONDAY),
        "deny source_address office"
    );
    assert_eq!(
        admit("alice", "10.1.2.3", "2026-11-22T10:00:00Z"),
        "deny outside_window office"
    );
    assert_eq!(
        admit("bob", "192.0.2.1", "2026-11-22T10:00:00Z"),
        "allow bob-recorded"
    );
    assert_eq!(admit("mallory", "10.1.2.3", MONDAY), "deny unknown_user");
    assert_eq!(
        short(&policy("").admit(&Subject::user("alice"), ip("10.1.2.3"), at(MONDAY))),
        "deny no_rule"
    );
}

#[test]
fn login_is_refused_when_denials_leave_nothing_to_reach() {
    let p = policy(&format!(
        "{RULES}[[rules]]\nname = \"freeze\"\neffect = \"deny\"\ngroups = [\"dba\"]\ntargets = [\"databases\"]\nvia = [\"forward\"]\n"
    ));
    assert_eq!(
        short(&p.admit(&Subject::user("alice"), ip("10.1.2.3"), at(MONDAY))),
        "deny rule_deny freeze"
    );
    assert!(
        p.reach(&Subject::user("alice"), ip("10.1.2.3"), at(MONDAY))
            .is_empty()
    );
}

#[test]
fn reach_lists_each_rule_and_target_with_its_end() {
    let p = policy(RULES);
    let reach = p.reach(&Subject::user("alice"), ip("10.1.2.3"), at(MONDAY));
    assert_eq!(reach.len(), 1);
    assert_eq!(reach[0].target, "databases");
    assert_eq!(
        reach[0].hosts,
        ["db1.example.internal", "10.20.0.0/24", "2001:db8:20::/64"]
    );
    assert_eq!(reach[0].ports, ["22", "5432", "9000-9010"]);
    assert_eq!(reach[0].via, [Via::Forward]);
    assert_eq!(reach[0].until, Some(at("2026-11-23T12:30:00+01:00")));
    let bob = p.reach(&Subject::user("bob"), ip("192.0.2.1"), at(MONDAY));
    assert_eq!(
        bob.iter().map(|r| r.target.as_str()).collect::<Vec<_>>(),
        ["databases", "self"]
    );
    assert!(
        bob.iter()
            .all(|r| r.record && r.via == [Via::Shell] && r.until.is_none())
    );
    assert!(
        p.reach(&Subject::user("alice"), ip("192.0.2.1"), at(MONDAY))
            .is_empty()
    );
}

#[test]
fn a_session_ends_at_the_first_of_window_validity_and_maximum() {
    let p = policy(RULES);
    let end = |user: &str, opened: &str, now: &str| {
        p.session_end(&Subject::user(user), ip("10.1.2.3"), at(opened), at(now))
            .unwrap()
    };
    // The window closes at half past twelve.
    assert_eq!(
        end("alice", MONDAY, MONDAY),
        (at("2026-11-23T12:30:00+01:00"), Reason::WindowClosed)
    );
    // The only rule's max_session of 4 h comes first.
    assert_eq!(
        end(
            "alice",
            "2026-11-23T08:00:00+01:00",
            "2026-11-23T08:00:00+01:00"
        ),
        (at("2026-11-23T12:00:00+01:00"), Reason::MaxSession)
    );
    // [session] max of 8 h.
    assert_eq!(
        end("bob", MONDAY, MONDAY),
        (at("2026-11-23T18:00:00+01:00"), Reason::MaxSession)
    );
    // Past: now.
    assert_eq!(
        end("bob", "2026-11-22T10:00:00+01:00", MONDAY),
        (at(MONDAY), Reason::MaxSession)
    );
    // The policy changed under the session.
    assert_eq!(
        end("mallory", MONDAY, MONDAY),
        (at(MONDAY), Reason::PolicyChanged)
    );
    let closed = "2026-11-23T19:00:00+01:00";
    assert_eq!(
        end("alice", "2026-11-23T17:00:00+01:00", closed),
        (at(closed), Reason::WindowClosed)
    );
}

#[test]
fn a_denial_that_begins_ends_the_allow_and_the_session() {
    let p = policy(
        r#"
[targets.any]
hosts = ["10.20.0.0/24"]
ports = [22]
[windows.backup]
days = ["mon-sun"]
hours = ["23:00-01:00"]
[[rules]]
name = "always"
effect = "allow"
users = ["alice"]
targets = ["any"]
[[rules]]
name = "not-then"
effect = "deny"
users = ["alice"]
windows = ["backup"]
"#,
    );
    let opened = "2026-11-23T22:00:00+01:00";
    let decision = ask_as(
        &p,
        "alice",
        "10.1.2.3",
        "10.20.0.5:22",
        Via::Forward,
        opened,
        &NoNames,
    );
    assert_eq!(decision.until(), Some(at("2026-11-23T23:00:00+01:00")));
    assert_eq!(
        p.session_end(
            &Subject::user("alice"),
            ip("10.1.2.3"),
            at(opened),
            at(opened)
        ),
        Some((at("2026-11-23T23:00:00+01:00"), Reason::RuleDeny))
    );
    let denied = ask_as(
        &p,
        "alice",
        "10.1.2.3",
        "10.20.0.5:22",
        Via::Forward,
        "2026-11-23T23:30:00+01:00",
        &NoNames,
    );
    assert_eq!(
        denied,
        Decision::Deny {
            reason: Reason::RuleDeny,
            rule: Some("not-then".to_owned()),
            until: Some(at("2026-11-24T01:00:00+01:00")),
            opens: Some(at("2026-11-24T01:00:00+01:00")),
        }
    );
}

#[test]
fn destinations_are_read_in_every_usual_form() {
    let parse = |text| Destination::parse(text, Some(22));
    assert_eq!(
        parse("DB1.example."),
        Ok(Destination::Name("db1.example".to_owned(), 22))
    );
    assert_eq!(
        parse("db1:5432"),
        Ok(Destination::Name("db1".to_owned(), 5432))
    );
    assert_eq!(
        parse("10.0.0.1"),
        Ok(Destination::Address(ip("10.0.0.1"), 22))
    );
    assert_eq!(
        parse("2001:db8::1"),
        Ok(Destination::Address(ip("2001:db8::1"), 22))
    );
    assert_eq!(
        parse("[2001:db8::1]:80"),
        Ok(Destination::Address(ip("2001:db8::1"), 80))
    );
    assert_eq!(
        parse("[::ffff:10.0.0.1]"),
        Ok(Destination::Address(ip("10.0.0.1"), 22))
    );
    for bad in [
        "",
        ":22",
        "db1:",
        "db1:0",
        "db1:65536",
        "db1:+22",
        "db1:ssh",
        "[::1",
        "[::1]22",
        "127.1:22",
        "0x7f.1",
        "2130706433",
        "*.example",
        "a b",
        "a\n:22",
    ] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
    assert!(Destination::parse("db1", None).is_err());
}
