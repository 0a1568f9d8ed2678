//! `[recording]`: what it says, what it takes, and what `check` remarks.

mod common;

use common::{ACCOUNTS, policy, refused};
use jump_policy::{Keep, Policy, Subject};
use std::time::Duration;

/// The recipient of age's own documentation.
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// A rule that records.
const RECORDED: &str = r#"
[targets.any]
hosts = ["10.20.0.0/24"]
ports = [22]
[[rules]]
name = "recorded"
effect = "allow"
users = ["alice", "bob"]
system_groups = ["ad-admins"]
targets = ["any"]
via = ["shell"]
record = true
"#;

/// What is wrong with `[recording]` and these lines; without the places.
fn faults(lines: &str) -> Vec<String> {
    refused(&format!("{ACCOUNTS}{RECORDED}[recording]\n{lines}\n"))
        .into_iter()
        .map(|fault| fault.split_once(' ').unwrap_or_default().1.to_owned())
        .collect()
}

fn remarks(policy: &Policy) -> Vec<&str> {
    let warnings = policy.warnings().iter();
    warnings.map(|w| w.details().message.as_str()).collect()
}

#[test]
fn what_is_not_said_is_a_reserve_of_512_mib_a_minute_of_grace_and_no_encryption() {
    let settings = policy("").recording().clone();
    assert_eq!(settings.reserve, 512 * 1024 * 1024);
    assert_eq!(settings.grace, Duration::from_secs(60));
    assert!(settings.recipients.is_empty() && settings.break_glass.is_empty());
    assert_eq!((settings.keep, settings.keep_size), (None, None));
}

#[test]
fn what_is_said_is_taken() {
    let policy = policy(&format!(
        "{RECORDED}[recording]\nrecipients = [\"{RECIPIENT}\"]\nreserve = \"2GiB\"\ngrace = \"30s\"\nbreak_glass = [\"dba\", \"ad-admins\"]\nkeep = \"3650d\"\nkeep_size = \"50GiB\"\n"
    ));
    let settings = policy.recording();
    assert_eq!(settings.recipients, [RECIPIENT]);
    assert_eq!(settings.reserve, 2 << 30);
    assert_eq!(settings.grace, Duration::from_secs(30));
    assert_eq!(
        settings.keep,
        Some(Keep::For(Duration::from_secs(3650 * 86_400)))
    );
    assert_eq!(settings.keep_size, Some(50 << 30));
    assert!(remarks(&policy).is_empty());
    // By a group of the policy, by one of another source, and nobody else.
    assert!(policy.breaks_glass(&Subject::user("alice")));
    assert!(!policy.breaks_glass(&Subject::user("bob")));
    let mut carol = Subject::user("carol");
    assert!(!policy.breaks_glass(&carol));
    carol.groups.push("ad-admins".to_owned());
    assert!(policy.breaks_glass(&carol));
}

#[test]
fn only_age_recipients_are_recipients() {
    let told = |recipient: &str| faults(&format!("recipients = [\"{recipient}\"]"));
    // One letter differs: the checksum of the text tells.
    let misspelt = RECIPIENT.replace("hjy5", "hjx5");
    // The text is cut short where it is told.
    let fault = told(&misspelt).concat();
    assert!(
        fault.ends_with("is no age recipient of the kind X25519"),
        "{fault}"
    );
    assert_eq!(
        told(&RECIPIENT[..RECIPIENT.len() - 1]).len(),
        1,
        "a letter is missing"
    );
    assert_eq!(
        told("ssh-ed25519 AAAA"),
        ["`ssh-ed25519 AAAA` is an SSH key, and no age recipient"]
    );
    assert_eq!(told("alice"), ["`alice` is no age recipient"]);
    assert_eq!(faults("recipients = []"), ["`recipients` is an empty list"]);
    let twice = faults(&format!("recipients = [\"{RECIPIENT}\", \"{RECIPIENT}\"]")).concat();
    assert!(twice.ends_with("is listed twice"), "{twice}");
}

#[test]
fn a_secret_key_among_the_recipients_is_refused_and_not_repeated() {
    let secret = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    for written in [
        secret.to_owned(),
        secret.to_lowercase(),
        format!("# {secret}"),
    ] {
        let text = format!("{ACCOUNTS}[recording]\nrecipients = [\"{written}\"]\n");
        let told = Policy::parse(&text, "p.toml", "UTC")
            .unwrap_err()
            .to_string();
        assert!(told.contains("is a secret key"), "{told}");
        assert!(!told.to_uppercase().contains("GFPYYS"), "{told}");
    }
}

#[test]
fn sizes_and_lengths_have_a_form_and_bounds() {
    for (line, told) in [
        ("reserve = \"512\"", "`512` is no size"),
        ("reserve = 512", "expected a string, found an integer"),
        (
            "reserve = \"1MiB\"",
            "`1MiB` is too small; at least 16MiB is needed",
        ),
        ("keep_size = \"50GB\"", "`50GB` is no size"),
        (
            "keep = \"12h\"",
            "`12h` is too short; at least 86400s is needed",
        ),
        ("keep = \"365\"", "`365` is not a duration"),
        ("keep = \"40000d\"", "`40000d` is longer than 36600 days"),
        ("grace = \"2h\"", "`2h` is longer than 1 h"),
        ("break_glass = [\"dbas\"]", "there is no group `dbas`"),
        ("keep_days = 3", "unknown key `keep_days` in [recording]"),
    ] {
        assert_eq!(faults(line), [told], "{line}");
    }
}

#[test]
fn a_rule_that_records_without_a_word_of_how_long_is_remarked_upon() {
    let remarked = |lines: &str| {
        let policy = policy(&format!("{RECORDED}[recording]\n{lines}\n"));
        remarks(&policy)
            .iter()
            .any(|remark| remark.contains("how long recordings are kept"))
    };
    assert!(remarked(""));
    assert!(remarked("reserve = \"1GiB\""));
    assert!(!remarked("keep = \"1d\""));
    assert!(!remarked("keep = \"forever\""));
    assert!(!remarked("keep_size = \"1GiB\""));
    // Nothing is recorded, so nothing is to be kept.
    assert!(
        remarks(&policy("[recording]\nreserve = \"1GiB\"\n"))
            .iter()
            .all(|remark| !remark.contains("kept"))
    );
}
