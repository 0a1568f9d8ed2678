//! The keys file: `authorized_keys` lines of every policy user, for `jump-keys`.
//!
//! One line each: the user's name, a tab, the authorized_keys line with its
//! options (sshd(8), AUTHORIZED_KEYS FILE FORMAT). It is written with each
//! generation, so sshd gets keys with jumpd dead, and a half-written file is
//! never seen.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use jump_policy::{Policy, User};

/// Everything off, then what a jump user needs back on.
const OPTIONS: &str = "restrict,port-forwarding,pty";

/// For whom a rule lets their own agent come along.
const AGENT: &str = ",agent-forwarding";

/// The token must have verified its user by PIN or fingerprint: sshd takes no signature that does not say so.
const VERIFY: &str = ",verify-required";

/// The keys file of a policy. `timezone` is the host's: sshd reads `expiry-time` in it.
#[must_use]
pub fn compile(policy: &Policy, timezone: &TimeZone) -> String {
    let mut text = String::new();
    for user in policy.users() {
        let options = options(policy, user, timezone);
        for key in &user.keys {
            text.push_str(&user.name);
            text.push('\t');
            text.push_str(&options);
            if policy.mfa().verify_required && key.is_security_key() {
                text.push_str(VERIFY);
            }
            text.push(' ');
            text.push_str(key.line());
            text.push('\n');
        }
    }
    text
}

fn options(policy: &Policy, user: &User, timezone: &TimeZone) -> String {
    let mut options = OPTIONS.to_owned();
    if policy.takes_agent_along(user) {
        options.push_str(AGENT);
    }
    if let Some(sources) = policy.login_sources(user) {
        let list: Vec<String> = sources.iter().map(ToString::to_string).collect();
        options.push_str(&format!(",from=\"{}\"", list.join(",")));
    }
    if let Some(until) = user.valid_until {
        options.push_str(&format!(",expiry-time=\"{}\"", expiry(until, timezone)));
    }
    options
}

/// `YYYYMMDDHHMMSS` in the host's time zone: the form that every supported sshd reads (`Z` needs 9.1).
fn expiry(until: Timestamp, timezone: &TimeZone) -> String {
    until
        .to_zoned(timezone.clone())
        .strftime("%Y%m%d%H%M%S")
        .to_string()
}

/// The lines of one user, as sshd wants them. A line without its end is none: the file was cut there.
pub fn lines_of<'a>(file: &'a str, user: &'a str) -> impl Iterator<Item = &'a str> {
    file.split_inclusive('\n').filter_map(move |line| {
        let (name, keys) = line.strip_suffix('\n')?.split_once('\t')?;
        (name == user).then_some(keys)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_gets_its_own_lines_only() {
        let file = "alice\trestrict ssh-ed25519 A\nalicex\trestrict ssh-ed25519 B\nalice\trestrict ssh-ed25519 C\nbroken\n";
        let got: Vec<&str> = lines_of(file, "alice").collect();
        assert_eq!(got, ["restrict ssh-ed25519 A", "restrict ssh-ed25519 C"]);
        assert_eq!(lines_of(file, "").count(), 0);
        assert_eq!(lines_of(file, "broken").count(), 0);
    }

    #[test]
    fn verification_is_demanded_of_security_keys_and_of_no_other() {
        const PLAIN: &str =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMO4du/BYXHpkbWwykRTk7oAPt7qBSbuwJ/k/BXY2jbX";
        const TOKEN: &str = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIJ6gB2N1PoAzUSXCSjpdBkojqIhXPMlFIR2ZreJzzFxNAAAABHNzaDo=";
        let lines = |mfa: &str| {
            let text = format!(
                "version = 1\n{mfa}\n[users.alice]\nuid = 70001\nkeys = [\"{PLAIN}\", \"{TOKEN}\"]\n"
            );
            let policy = Policy::parse(&text, "policy.toml", "UTC").unwrap();
            compile(&policy, &TimeZone::UTC)
        };
        assert_eq!(
            lines("mfa.security_key.verify_required = true"),
            format!("alice\t{OPTIONS} {PLAIN}\nalice\t{OPTIONS},verify-required {TOKEN}\n")
        );
        assert!(!lines("").contains("verify"));
    }

    #[test]
    fn an_agent_may_come_along_only_where_a_rule_says_so() {
        const KEY: &str =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMO4du/BYXHpkbWwykRTk7oAPt7qBSbuwJ/k/BXY2jbX";
        let text = format!(
            "version = 1\n[groups.dba]\ngid = 70100\n\
             [users.alice]\nuid = 70001\ngroups = [\"dba\"]\nkeys = [\"{KEY}\"]\n\
             [users.bob]\nuid = 70002\nkeys = [\"{KEY}\"]\n\
             [targets.db]\nhosts = [\"10.0.0.1\"]\nports = [22]\n\
             [[rules]]\nname = \"own\"\neffect = \"allow\"\ngroups = [\"dba\"]\ntargets = [\"db\"]\nagent = \"forwarded\"\n\
             [[rules]]\nname = \"ca\"\neffect = \"allow\"\nusers = [\"bob\"]\ntargets = [\"db\"]\n"
        );
        let policy = Policy::parse(&text, "policy.toml", "UTC").unwrap();
        assert_eq!(
            compile(&policy, &TimeZone::UTC),
            format!("alice\t{OPTIONS},agent-forwarding {KEY}\nbob\t{OPTIONS} {KEY}\n")
        );
    }

    #[test]
    fn a_file_cut_at_any_length_gives_whole_lines_only() {
        let file = "alice\trestrict ssh-ed25519 AAAA alice@laptop\nalice\tfrom=\"192.0.2.1\" ssh-ed25519 BBBB\n";
        let whole: Vec<&str> = lines_of(file, "alice").collect();
        for length in 0..file.len() {
            let got: Vec<&str> = lines_of(&file[..length], "alice").collect();
            assert!(
                whole.starts_with(&got) && got.len() < whole.len(),
                "{length}"
            );
        }
    }

    #[test]
    fn expiry_is_in_the_hosts_time_zone() {
        let until: Timestamp = "2027-06-30T22:00:00Z".parse().unwrap();
        let paris = TimeZone::get("Europe/Paris").unwrap();
        assert_eq!(expiry(until, &paris), "20270701000000");
    }
}
