//! A faulty policy is refused as a whole, and every fault is told at its place with what to do.

mod common;

use common::{ACCOUNTS, KEY, parse, refused};
use jump_policy::{HostFacts, Policy};
use jump_proto::TotpParams;

/// Refuses `ACCOUNTS` and `rest`; each message without its place.
fn faults(rest: &str) -> Vec<String> {
    let lines = ACCOUNTS.lines().count();
    refused(&format!("{ACCOUNTS}{rest}"))
        .into_iter()
        .map(|fault| {
            let (place, message) = fault.split_once(' ').unwrap_or_default();
            let (line, column) = place.split_once(':').unwrap_or_default();
            let line: usize = line.parse().unwrap_or_default();
            format!("{}:{column} {message}", line.saturating_sub(lines))
        })
        .collect()
}

/// A rule for alice that is valid with a target.
const RULE: &str = r#"
[targets.any]
hosts = ["10.20.0.0/24"]
ports = [22]
[[rules]]
name = "r"
effect = "allow"
users = ["alice"]
targets = ["any"]
"#;

#[test]
fn an_empty_policy_is_valid_and_lets_nobody_in() {
    let policy = parse("version = 1");
    assert_eq!(policy.users().count(), 0);
    assert!(policy.warnings().is_empty());
    assert_eq!(policy.host_group(), ("jump-users", 66_000));
    assert_eq!(policy.session().idle.as_secs(), 1800);
    assert_eq!(policy.mfa().attempts, 5);
    assert!(policy.run_tests().is_ok());
}

#[test]
fn what_new_authenticators_are_made_with_is_what_every_app_knows_unless_said() {
    assert_eq!(parse("version = 1").mfa().totp, TotpParams::default());
    let policy =
        parse("version = 1\n[mfa.totp]\ndigits = 8\nalgorithm = \"SHA256\"\nperiod = \"1m\"\n");
    assert_eq!(policy.mfa().totp.to_string(), "8 digits, SHA256, 60 s");
}

#[test]
fn the_version_must_be_one() {
    assert_eq!(refused(""), ["1:1 the policy does not say its version"]);
    assert_eq!(
        refused("version = 2"),
        ["1:11 version 2 of the format is not known"]
    );
    assert_eq!(
        refused("version = \"1\""),
        ["1:11 expected an integer, found a string"]
    );
    assert_eq!(
        refused("version = -1"),
        ["1:11 expected a number from 0 to 4294967295, found `-1`"]
    );
}

#[test]
fn unknown_keys_are_refused_with_the_one_that_was_meant() {
    let errors =
        Policy::parse("version = 1\n[host]\ntiemzone = \"UTC\"\n", "p.toml", "UTC").unwrap_err();
    assert_eq!(
        errors.to_string(),
        "error: unknown key `tiemzone` in [host]\n --> p.toml:3:1\n  |\n3 | tiemzone = \"UTC\"\n  | ^^^^^^^^\n  = help: did you mean `timezone`?\n"
    );
    assert_eq!(
        refused("version = 1\n[rule]\n"),
        ["2:2 unknown key `rule` in the policy"]
    );
    for table in [
        "[mfa]",
        "[session]",
        "[ca]",
        "[users.carol]",
        "[groups.x]",
        "[targets.t]",
        "[windows.w]",
        "[[rules]]",
        "[[tests]]",
    ] {
        let text = format!("version = 1\n{table}\nalow = 1\n");
        assert!(
            refused(&text)
                .iter()
                .any(|f| f.starts_with("3:1 unknown key `alow`")),
            "{table}"
        );
    }
}

#[test]
fn everything_wrong_is_told_in_one_run() {
    let faults = faults(
        "[[rules]]\nname = \"r\"\neffect = \"alow\"\nusers = [\"alcie\"]\ntargets = [\"any\"]\ncolour = 1\n",
    );
    assert_eq!(
        faults,
        [
            "3:10 `alow` is not an effect",
            "4:10 there is no user `alcie`",
            "5:12 there is no target `any`",
            "6:1 unknown key `colour` in [[rules]]",
        ]
    );
}

#[test]
fn a_repeated_key_or_table_is_refused_and_the_rest_still_read() {
    assert_eq!(
        refused("version = 1\n[session]\nmax = \"8h\"\nmax = \"1h\"\nidel = \"1m\"\n"),
        [
            "4:1 `max` is set twice",
            "5:1 unknown key `idel` in [session]"
        ]
    );
    assert!(refused(&format!("{ACCOUNTS}[users.alice]\nuid = 1\n"))[0].contains("twice"));
}

#[test]
fn a_syntax_error_is_told_alone() {
    let faults = refused("version = 1\n[host\ntimezone = \"UTC\"\nnonsense = 3\n");
    assert!(faults[0].starts_with("2:"), "{faults:?}");
    assert!(
        faults.iter().all(|f| !f.contains("unknown key")),
        "{faults:?}"
    );
    assert!(!refused("version = \u{0}").is_empty());
}

#[test]
fn empty_lists_are_refused_wherever_they_could_mean_all_or_none() {
    for key in [
        "users",
        "groups",
        "system_groups",
        "from",
        "targets",
        "windows",
        "via",
    ] {
        let found = faults(&format!(
            "[[rules]]\nname = \"r\"\neffect = \"deny\"\n{key} = []\n"
        ));
        assert_eq!(found.len(), 1, "{key}: {found:?}");
        assert!(
            found[0].ends_with(&format!("`{key}` is an empty list")),
            "{found:?}"
        );
    }
    assert!(faults("[targets.t]\nhosts = []\nports = []\n").len() >= 2);
    assert!(faults("[windows.w]\ndays = []\nhours = []\n").len() >= 2);
    assert_eq!(
        refused("version = 1\n[mfa]\nmethods = []\n"),
        ["3:11 `methods` is an empty list"]
    );
    assert!(
        refused("version = 1\n[users.carol]\nuid = 70009\nkeys = []\n")[0]
            .contains("`keys` is an empty list")
    );
}

#[test]
fn wrong_types_are_named() {
    for (text, fault) in [
        ("host = 1", "1:8 expected a table, found an integer"),
        ("users = []", "1:9 `users` is not a table of tables"),
        ("users.alice = 3", "1:7 `users.alice` is not a table"),
        ("rules = {}", "1:9 `rules` is not a list of tables"),
        ("rules = [1]", "1:10 expected a table, found an integer"),
        (
            "session.max = 8",
            "1:15 expected a string, found an integer",
        ),
        (
            "session.max = \"8 hours\"",
            "1:15 `8 hours` is not a duration",
        ),
        (
            "session.max = \"0s\"",
            "1:15 `0s` is too short; at least 1s is needed",
        ),
        (
            "session.concurrent = 0",
            "1:22 expected a number from 1 to 10000, found `0`",
        ),
        (
            "session.concurrent = 1.5",
            "1:22 expected an integer, found a float",
        ),
        (
            "mfa.methods = [\"sms\"]",
            "1:16 `sms` is not a second factor",
        ),
        (
            "mfa.methods = [\"totp\", \"totp\"]",
            "1:24 `totp` is listed twice",
        ),
        (
            "mfa.totp.digits = 7",
            "1:19 codes of 7 digits are not known to authenticator apps",
        ),
        (
            "mfa.totp.digits = 10",
            "1:19 expected a number from 6 to 8, found `10`",
        ),
        (
            "mfa.totp.algorithm = \"MD5\"",
            "1:22 `MD5` is not a hash of one-time codes",
        ),
        (
            "mfa.totp.period = \"45s\"",
            "1:19 codes change every 30 or 60 seconds",
        ),
        (
            "mfa.security_key.verify_required = \"yes\"",
            "1:36 expected true or false, found a string",
        ),
        (
            "mfa.security_key.verify = true",
            "1:18 unknown key `verify` in [mfa.security_key]",
        ),
        (
            "mfa.totp.step = 30",
            "1:10 unknown key `step` in [mfa.totp]",
        ),
        (
            "host.timezone = \"Europe/Pariss\"",
            "1:17 there is no time zone `Europe/Pariss`",
        ),
        (
            "host.timezone = \"../../etc/passwd\"",
            "1:17 there is no time zone `../../etc/passwd`",
        ),
    ] {
        assert_eq!(
            refused(&format!("{text}\nversion = 1\n")),
            [fault],
            "{text}"
        );
    }
}

#[test]
fn an_unknown_zone_of_the_host_is_told_with_a_remedy() {
    let errors = Policy::parse("version = 1", "p.toml", "Mars/Olympus").unwrap_err();
    assert!(errors.to_string().contains("add `timezone"));
    assert!(
        Policy::parse(
            "version = 1\nhost.timezone = \"UTC\"",
            "p.toml",
            "Mars/Olympus"
        )
        .is_ok()
    );
}

#[test]
fn names_of_users_and_groups_are_plain() {
    for name in [
        "Alice",
        "1alice",
        "-alice",
        "\"a b\"",
        "\"a/b\"",
        "\"../x\"",
        "\"a\\nb\"",
        "\"ünal\"",
        "\"\"",
        "root",
        "jumpd",
        "a123456789012345678901234567890123",
    ] {
        let text = format!("version = 1\n[users.{name}]\nuid = 70009\nkeys = [\"{KEY}\"]\n");
        let found = refused(&text);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert!(found[0].starts_with("2:8 "), "{found:?}");
    }
    parse(&format!(
        "version = 1\n[users._a-b_9]\nuid = 70009\nkeys = [\"{KEY}\"]\n"
    ));
}

#[test]
fn ids_are_explicit_free_and_unique() {
    let with_uid = |uid: &str| format!("version = 1\n[users.carol]\n{uid}\nkeys = [\"{KEY}\"]\n");
    assert_eq!(refused(&with_uid("")), ["2:8 [users.carol] needs `uid`"]);
    for uid in [
        "0",
        "999",
        "65534",
        "65535",
        "61184",
        "4294967295",
        "2147483648",
        "4294967296",
        "-1",
    ] {
        assert!(
            refused(&with_uid(&format!("uid = {uid}")))[0].starts_with("3:7 "),
            "{uid}"
        );
    }
    assert_eq!(
        faults(&format!("[users.carol]\nuid = 70001\nkeys = [\"{KEY}\"]\n")),
        ["2:7 uid 70001 is already that of `alice`"]
    );
    assert_eq!(
        faults("[groups.x]\ngid = 70100\n"),
        ["2:7 gid 70100 is already that of `dba`"]
    );
    assert_eq!(
        faults("[groups.x]\ngid = 66000\n"),
        ["2:7 gid 66000 is already that of `jump-users`"]
    );
    assert!(
        faults("[groups.jump-users]\ngid = 70200\n")[0].contains("primary group of every user")
    );
}

#[test]
fn keys_are_lines_without_options() {
    let with_key = |key: &str| {
        refused(&format!(
            "version = 1\n[users.carol]\nuid = 70009\nkeys = ['''{key}''']\n"
        ))
    };
    assert!(with_key(&format!("command=\"sh\" {KEY}"))[0].contains("key options"));
    assert!(with_key(&format!("{KEY}\n{KEY}"))[0].contains("one line"));
    assert!(
        with_key("ssh-rsa AAAA")[0].contains("not a whole ssh-rsa key")
            || with_key("ssh-rsa AAAA")[0].contains("ssh-rsa")
    );
    let twice = refused(&format!(
        "version = 1\n[users.carol]\nuid = 70009\nkeys = ['{KEY}', '{KEY}']\n"
    ));
    assert!(twice[0].contains("listed twice"));
}

#[test]
fn references_must_lead_somewhere() {
    for (line, fault) in [
        ("groups = [\"dbaa\"]", "there is no group `dbaa`"),
        ("windows = [\"office\"]", "there is no window `office`"),
    ] {
        let found = faults(&format!("{RULE}{line}\n"));
        assert!(found[0].ends_with(fault), "{found:?}");
    }
    assert!(
        faults("[users.carol]\nuid = 70009\ngroups = [\"ops\"]\n")
            .iter()
            .any(|f| f.ends_with("there is no group `ops`"))
    );
    let test = "[[tests]]\nuser = \"carol\"\nfrom = \"10.1.2.3\"\ntarget = \"10.20.0.5:22\"\nat = 2026-11-23T10:00:00Z\nexpect = \"deny\"\nrule = \"q\"\n";
    let found = faults(&format!("{RULE}{test}"));
    assert!(found[0].ends_with("there is no user `carol`"), "{found:?}");
    assert!(found[1].ends_with("there is no rule `q`"), "{found:?}");
}

#[test]
fn rules_are_named_once_and_say_what_they_grant() {
    let found = faults(&format!(
        "{RULE}[[rules]]\nname = \"r\"\neffect = \"deny\"\nusers = [\"bob\"]\n"
    ));
    assert!(
        found[0].ends_with("there are two rules named `r`"),
        "{found:?}"
    );
    let found = faults("[[rules]]\nname = \"r\"\neffect = \"allow\"\nusers = [\"bob\"]\n");
    assert_eq!(found, ["2:8 an allow rule needs `targets`"]);
    let found = faults(&format!("{RULE}record = true\nvia = [\"forward\"]\n"));
    assert!(found[0].contains("a forward cannot be recorded"));
    let found =
        faults("[[rules]]\nname = \"r\"\neffect = \"deny\"\nrecord = true\nmax_session = \"1h\"\n");
    assert_eq!(found.len(), 2);
    assert!(faults("[[rules]]\n").len() >= 2);
}

#[test]
fn system_groups_are_neither_ours_nor_dangerous() {
    for (name, fault) in [
        ("dba", "is a group of this policy"),
        ("jump-users", "is the group of every user of this policy"),
        ("root", "stays outside"),
        ("a b", "cannot be used"),
        ("a,b", "cannot be used"),
        ("*", "cannot be used"),
        ("!x", "cannot be used"),
        ("a\\\"b", "cannot be used"),
    ] {
        let found = faults(&format!("{RULE}system_groups = [\"{name}\"]\n"));
        assert!(found[0].contains(fault), "{name}: {found:?}");
    }
}

#[test]
fn automation_without_sources_is_refused() {
    let robot = format!(
        "[users.robot]\nuid = 70009\ngroups = [\"dba\"]\nkeys = [\"{KEY}\"]\nmfa = \"none\"\n"
    );
    for rule in [
        RULE.replace("alice", "robot"),
        RULE.replace("users = [\"alice\"]", "groups = [\"dba\"]"),
        RULE.replace(
            "users = [\"alice\"]",
            "groups = [\"dba\"]\nfrom = [\"0.0.0.0/0\"]",
        ),
    ] {
        let found = faults(&format!("{robot}{rule}"));
        assert!(found[0].contains("it serves `robot`"), "{found:?}");
    }
    assert!(
        faults("[users.robot]\nmfa = \"off\"\n")
            .iter()
            .any(|f| f.contains("not a value of `mfa`"))
    );
    let bound = RULE.replace("alice", "robot") + "from = [\"10.9.0.10\"]\n";
    let policy = parse(&format!("{ACCOUNTS}{robot}{bound}"));
    assert!(
        policy
            .warnings()
            .iter()
            .any(|w| w.to_string().contains("without a second factor"))
    );
}

#[test]
fn dates_and_validity_are_checked() {
    let user = |lines: &str| {
        faults(&format!(
            "[users.carol]\nuid = 70009\nkeys = [\"{KEY}\"]\n{lines}\n"
        ))
    };
    assert!(user("valid_until = \"2027-06-30\"")[0].contains("expected a date, found a string"));
    assert!(user("valid_until = 12:00:00")[0].contains("a time without a date"));
    assert!(user("valid_from = 2027-01-02\nvalid_until = 2027-01-01")[0].contains("not after"));
    assert!(!user("valid_until = 2027-02-30").is_empty());
    assert!(user("valid_until = 9999-12-31")[0].contains("out of range"));
    assert!(!user("valid_until = 2027-06-30T23:59:60Z").is_empty());
    let window = |except: &str| {
        faults(&format!(
            "[windows.w]\ndays = [\"mon\"]\nhours = [\"08:00-09:00\"]\nexcept = [{except}]\n"
        ))
    };
    assert!(window("\"2026-12-25\"")[0].contains("expected a date"));
    assert!(window("2026-12-25T00:00:00Z")[0].contains("expected a date"));
}

#[test]
fn tests_of_the_policy_that_are_red_are_told_with_line_and_answer() {
    let policy = parse(&format!(
        "{ACCOUNTS}{RULE}[[tests]]\nuser = \"alice\"\nfrom = \"10.1.2.3\"\ntarget = \"10.20.0.5:23\"\nat = 2026-11-23T10:00:00+01:00\nexpect = \"allow\"\n"
    ));
    let red = policy.run_tests().unwrap_err();
    assert_eq!(red.len(), 1);
    assert_eq!(
        red[0].line,
        (ACCOUNTS.to_owned() + RULE).lines().count() + 1
    );
    assert_eq!(red[0].answer, "deny (no_target)");
    assert!(red[0].to_string().contains("policy.toml:"));
    // The right effect by another rule is red too.
    let policy = parse(&format!(
        "{ACCOUNTS}{RULE}{}[[tests]]\nuser = \"alice\"\nfrom = \"10.1.2.3\"\ntarget = \"10.20.0.5:22\"\nat = 2026-11-23T10:00:00\nexpect = \"allow\"\nrule = \"s\"\n",
        "[[rules]]\nname = \"s\"\neffect = \"allow\"\nusers = [\"alice\"]\ntargets = [\"any\"]\n"
    ));
    assert_eq!(policy.run_tests().unwrap_err()[0].answer, "allow by rule r");
}

#[test]
fn names_and_ids_of_local_files_are_conflicts() {
    let policy = parse(ACCOUNTS);
    let passwd = "root:x:0:0:root:/root:/bin/sh\nalice:x:1001:1001::/home/alice:/bin/sh\nold:x:70002:70002::/:/bin/sh\nbroken line\n";
    let group = "root:x:0:\njump-users:x:990:\nother:x:70100:bob\n";
    let conflicts: Vec<String> = policy
        .conflicts(&HostFacts::from_files(passwd, group))
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(conflicts.len(), 4, "{conflicts:?}");
    assert!(conflicts[0].contains("user `alice` of the policy is already in /etc/passwd"));
    assert!(conflicts[1].contains("id 70002, which /etc/passwd gives to `old`"));
    assert!(
        policy
            .conflicts(&HostFacts::from_files("root:x:0:0::/:/bin/sh", ""))
            .is_empty()
    );
}

#[test]
fn warnings_point_at_what_is_probably_not_meant() {
    let policy = parse(&format!(
        "{ACCOUNTS}[targets.unused]\nhosts = [\"0.0.0.0/0\"]\nports = [22]\n[windows.unused]\ndays = [\"mon\"]\nhours = [\"08:00-09:00\"]\n"
    ));
    let messages: Vec<String> = policy
        .warnings()
        .iter()
        .map(|w| w.details().message.clone())
        .collect();
    assert_eq!(
        messages,
        [
            "no rule grants `alice` anything",
            "no rule grants `bob` anything",
            "no rule speaks of target `unused`",
            "target `unused` is every address there is",
            "no rule uses window `unused`",
        ]
    );
}
