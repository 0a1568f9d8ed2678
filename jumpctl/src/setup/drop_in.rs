//! The text of `/etc/ssh/sshd_config.d/10-jump.conf`, made from the policy's scope.
//!
//! A keyword inside a matching `Match` block overrides the global section, and
//! of several matching blocks the first that has the keyword wins
//! (sshd_config(5)). So nothing global can weaken these blocks (a cloud image's
//! `PasswordAuthentication yes` does not reach jump users), only a `Match`
//! that sshd reads earlier can; [`super::sshd_config`] looks for those, and
//! the answer of `sshd -T -C` is compared with the same table as is written here.
//! Automation users come first: they differ by one keyword and take the rest
//! from their group's block.

use jump_proto::Agents;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// First line of every text written here; without it the file is somebody else's.
pub const HEADER: &str =
    "# Written by `jumpctl setup` and `jumpctl apply`; edits are overwritten.\n";

/// Whom the blocks are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The policy's own group; its users have no line in `/etc/passwd`.
    pub host_group: String,
    /// Groups of other NSS sources, in the policy's order.
    pub system_groups: Vec<String>,
    /// Users with `mfa = "none"`.
    pub automation: Vec<String>,
}

impl Scope {
    /// From the list that jumpd and the account index keep: the host's group first.
    #[must_use]
    pub fn new(groups: &[String], mut automation: Vec<String>) -> Option<Self> {
        let (host_group, system_groups) = groups.split_first()?;
        automation.sort();
        Some(Self {
            host_group: host_group.clone(),
            system_groups: system_groups.to_vec(),
            automation,
        })
    }
}

/// What the installed sshd was built with, for it logs a line for every keyword it lacks; what its
/// admin demands of everybody, which a block must not take back; and whose agents the policy has come along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// `GSSAPIAuthentication` is known.
    pub gssapi: bool,
    /// `KerberosAuthentication` is known.
    pub kerberos: bool,
    /// `PubkeyAuthOptions verify-required` is set outside the drop-in.
    pub verify_required: bool,
    /// For whom a rule says `agent = "forwarded"`. Of these, the options of keys and the guard let only those bring an agent whom it speaks of.
    pub agents: Agents,
}

impl Features {
    fn agents_of(self, member: Member) -> bool {
        match member {
            Member::Host | Member::Automation => self.agents.users,
            Member::System => self.agents.system_groups,
        }
    }
}

/// As whom sshd would serve a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// A user of the policy.
    Host,
    /// A user of the policy with `mfa = "none"`.
    Automation,
    /// A user of another NSS source.
    System,
}

/// A name that sshd's pattern language cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name {0:?} cannot be written into an sshd Match line (no quotes, commas, wildcards, '!', '#', backslashes or control characters); rename it"
)]
pub struct NameError(String);

const METHODS: &str = "publickey,keyboard-interactive:pam";
const AUTOMATION_METHODS: &str = "publickey";
const PUBKEY_OPTIONS: &str = "PubkeyAuthOptions";
const AGENTS: &str = "AllowAgentForwarding";
const TOUCH_AND_VERIFY: &str = "touch-required verify-required";

/// Which users a line is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    All,
    /// Only users of the policy: the keys of others come from their own source.
    HostOnly,
    Gssapi,
    Kerberos,
}

/// Keyword, value, for whom. In the order in which they are written.
const LINES: &[(&str, &str, For)] = &[
    // A verified key first, then pam_jump; nothing else counts.
    ("AuthenticationMethods", METHODS, For::All),
    ("PubkeyAuthentication", "yes", For::All),
    // A key file's `no-touch-required` would make a security key a file on a disk; `verify-required` of one still holds.
    (PUBKEY_OPTIONS, "touch-required", For::All),
    ("KbdInteractiveAuthentication", "yes", For::All),
    ("PasswordAuthentication", "no", For::All),
    ("PermitEmptyPasswords", "no", For::All),
    ("HostbasedAuthentication", "no", For::All),
    ("GSSAPIAuthentication", "no", For::Gssapi),
    ("KerberosAuthentication", "no", For::Kerberos),
    // Keys come from the policy and from nowhere else.
    (
        "AuthorizedKeysCommand",
        "/usr/lib/jump/jump-keys %u",
        For::HostOnly,
    ),
    (
        "AuthorizedKeysCommandUser",
        jump_proto::paths::KEYS_USER,
        For::HostOnly,
    ),
    ("AuthorizedKeysFile", "none", For::HostOnly),
    ("AuthorizedPrincipalsFile", "none", For::All),
    ("AuthorizedPrincipalsCommand", "none", For::All),
    ("TrustedUserCAKeys", "none", For::All),
    // -J, -W, -L and -D, each connect judged by the guard; nothing that listens or tunnels.
    ("DisableForwarding", "no", For::All),
    ("AllowTcpForwarding", "local", For::All),
    ("PermitOpen", "any", For::All),
    ("PermitListen", "none", For::All),
    ("GatewayPorts", "no", For::All),
    ("AllowStreamLocalForwarding", "no", For::All),
    (AGENTS, "no", For::All),
    ("X11Forwarding", "no", For::All),
    ("PermitTunnel", "no", For::All),
    // Whatever is asked for (shell, command, sftp), the restricted shell answers.
    ("ForceCommand", jump_proto::paths::SHELL, For::All),
    ("PermitTTY", "yes", For::All),
    ("PermitUserRC", "no", For::All),
    ("ExposeAuthInfo", "no", For::All),
    ("ChrootDirectory", "none", For::All),
];

/// Every keyword that the drop-in sets, in lower case.
pub fn keywords() -> impl Iterator<Item = String> {
    LINES
        .iter()
        .map(|(keyword, _, _)| keyword.to_ascii_lowercase())
}

/// The drop-in's text: the same scope and features give the same bytes.
///
/// # Errors
/// [`NameError`] when a user or group cannot be written into a pattern.
pub fn render(scope: &Scope, features: Features) -> Result<String, NameError> {
    let mut text = String::from(HEADER);
    text.push_str(
        "# Of several Match blocks that fit a user, sshd takes each keyword from the first.\n\
         # Undo: jumpctl setup --undo\n",
    );
    if !scope.automation.is_empty() {
        text.push_str("\n# Users with mfa = \"none\": the key alone, and what follows as well.\n");
        let _ = writeln!(text, "Match User {}", pattern(&scope.automation)?);
        let _ = writeln!(text, "    AuthenticationMethods {AUTOMATION_METHODS}");
    }
    text.push_str("\n# Users of the policy.\n");
    let _ = writeln!(
        text,
        "Match Group {}",
        pattern(std::slice::from_ref(&scope.host_group))?
    );
    push_lines(&mut text, Member::Host, features);
    if !scope.system_groups.is_empty() {
        text.push_str("\n# Users of other sources; their keys come from there.\n");
        let _ = writeln!(text, "Match Group {}", pattern(&scope.system_groups)?);
        push_lines(&mut text, Member::System, features);
    }
    text.push_str("\nMatch all\n");
    Ok(text)
}

/// What `sshd -T -C user=…` must answer for such a user: lower-case keyword to value.
#[must_use]
pub fn expected(member: Member, features: Features) -> BTreeMap<String, &'static str> {
    let mut wanted: BTreeMap<_, _> = lines(member, features)
        .map(|(keyword, value)| (keyword.to_ascii_lowercase(), value))
        .collect();
    if member == Member::Automation {
        wanted.insert("authenticationmethods".to_owned(), AUTOMATION_METHODS);
    }
    wanted
}

/// Whether a text was written by [`render`].
#[must_use]
pub fn is_ours(text: &[u8]) -> bool {
    text.starts_with(HEADER.as_bytes())
}

fn lines(member: Member, features: Features) -> impl Iterator<Item = (&'static str, &'static str)> {
    LINES
        .iter()
        .filter(move |(_, _, whom)| match whom {
            For::All => true,
            For::HostOnly => member != Member::System,
            For::Gssapi => features.gssapi,
            For::Kerberos => features.kerberos,
        })
        .map(move |(keyword, value, _)| match *keyword {
            AGENTS if features.agents_of(member) => (*keyword, "yes"),
            PUBKEY_OPTIONS if features.verify_required => (*keyword, TOUCH_AND_VERIFY),
            _ => (*keyword, *value),
        })
}

fn push_lines(text: &mut String, member: Member, features: Features) {
    for (keyword, value) in lines(member, features) {
        let _ = writeln!(text, "    {keyword} {value}");
    }
}

/// A pattern list (ssh_config(5), PATTERNS) that matches exactly these names.
fn pattern(names: &[String]) -> Result<String, NameError> {
    for name in names {
        let bad = |c: char| c.is_control() || "\"',*?!#\\".contains(c);
        if name.is_empty() || name.trim() != name || name.contains(bad) {
            return Err(NameError(name.clone()));
        }
    }
    let list = names.join(",");
    Ok(if list.contains(char::is_whitespace) {
        format!("\"{list}\"")
    } else {
        list
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_AGENTS: Agents = Agents {
        users: false,
        system_groups: false,
    };

    const ALL: Features = Features {
        gssapi: true,
        kerberos: true,
        verify_required: false,
        agents: NO_AGENTS,
    };

    fn scope(system: &[&str], automation: &[&str]) -> Scope {
        let mut groups = vec!["jump-users".to_owned()];
        groups.extend(system.iter().map(|s| (*s).to_owned()));
        Scope::new(
            &groups,
            automation.iter().map(|s| (*s).to_owned()).collect(),
        )
        .unwrap()
    }

    #[test]
    fn the_text_for_every_kind_of_user() {
        let text = render(
            &scope(&["ad-admins", "domain users"], &["robot", "ansible"]),
            ALL,
        )
        .unwrap();
        assert_eq!(text, include_str!("testdata/drop_in_all.conf"));
    }

    #[test]
    fn the_text_for_a_policy_without_automation_and_system_groups() {
        let bare = Features {
            gssapi: false,
            kerberos: false,
            verify_required: false,
            agents: NO_AGENTS,
        };
        assert_eq!(
            render(&scope(&[], &[]), bare).unwrap(),
            include_str!("testdata/drop_in_bare.conf")
        );
    }

    #[test]
    fn automation_differs_by_its_methods_alone() {
        let host = expected(Member::Host, ALL);
        let automation = expected(Member::Automation, ALL);
        let differing: Vec<_> = host.iter().filter(|(k, v)| automation[*k] != **v).collect();
        assert_eq!(differing.len(), 1);
        assert_eq!(automation["authenticationmethods"], "publickey");
    }

    #[test]
    fn what_the_admin_demands_of_security_keys_stays_demanded() {
        let demanded = Features {
            verify_required: true,
            ..ALL
        };
        let line = "    PubkeyAuthOptions touch-required verify-required\n";
        let text = |features| render(&scope(&["ad-admins"], &[]), features).unwrap();
        assert_eq!(text(demanded).matches(line).count(), 2);
        assert_eq!(text(ALL).matches(line).count(), 0);
        for member in [Member::Host, Member::Automation, Member::System] {
            let wanted = expected(member, demanded)["pubkeyauthoptions"];
            assert_eq!(wanted, "touch-required verify-required");
        }
    }

    #[test]
    fn an_agent_comes_along_only_for_those_of_whom_a_rule_says_so() {
        for (users, system_groups) in [(false, false), (true, false), (true, true)] {
            let features = Features {
                agents: Agents {
                    users,
                    system_groups,
                },
                ..ALL
            };
            let word = |allowed| if allowed { "yes" } else { "no" };
            for (member, allowed) in [
                (Member::Host, users),
                (Member::Automation, users),
                (Member::System, system_groups),
            ] {
                let wanted = expected(member, features)["allowagentforwarding"];
                assert_eq!(wanted, word(allowed), "{member:?}");
            }
            let text = render(&scope(&["ad-admins"], &[]), features).unwrap();
            let said: Vec<&str> = text
                .lines()
                .filter_map(|line| line.trim().strip_prefix("AllowAgentForwarding "))
                .collect();
            assert_eq!(said, [word(users), word(system_groups)]);
        }
    }

    #[test]
    fn names_that_would_be_patterns_are_refused() {
        for name in [
            "*",
            "a,b",
            "!x",
            "a?",
            "a\"b",
            "a\nMatch all",
            "",
            " a",
            "DOM\\x",
            "#a",
        ] {
            assert!(render(&scope(&[name], &[]), ALL).is_err(), "{name:?}");
            assert!(render(&scope(&[], &[name]), ALL).is_err(), "{name:?}");
        }
    }

    #[test]
    fn the_order_of_automation_users_does_not_matter() {
        assert_eq!(
            render(&scope(&[], &["a", "b"]), ALL),
            render(&scope(&[], &["b", "a"]), ALL)
        );
    }
}
