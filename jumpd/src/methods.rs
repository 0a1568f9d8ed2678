//! Which second factors the policy takes from whom, as a login brings them.

use crate::connection::VerifiedKey;
use crate::state::complain;
use jump_policy::{Method, Policy};

/// Whether the key that sshd has verified is itself a second factor of this user.
pub(crate) fn is_second_factor(policy: &Policy, user: &str, key: &VerifiedKey) -> bool {
    key.is_security_key() && policy.mfa_methods(user).contains(&Method::SecurityKey)
}

/// Why a text that was typed at the prompt is not looked at: for the admin.
///
/// Its form alone says what it would be. It counts as no failure, since nothing is told of what it is.
pub(crate) fn not_taken(policy: &Policy, user: &str, text: &str) -> Option<String> {
    let methods = policy.mfa_methods(user);
    let typed = if jump_mfa::is_recovery_code(text) {
        Method::Recovery
    } else {
        Method::Totp
    };
    if methods.contains(&typed) {
        return None;
    }
    // What is typed decides what it costs, whoever types it.
    if let Err(e) = jump_mfa::as_if(text) {
        complain(&format!("a recovery code cannot be hashed: {e}"));
    }
    let taken: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    Some(format!(
        "{typed} is not taken from this user, but {}",
        taken.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMO4du/BYXHpkbWwykRTk7oAPt7qBSbuwJ/k/BXY2jbX";

    fn policy(mfa: &str) -> Policy {
        let text = format!("version = 1\n[users.alice]\nuid = 70001\nkeys = [\"{KEY}\"]\n{mfa}\n");
        Policy::parse(&text, "policy.toml", "UTC").unwrap()
    }

    fn key(kind: &str) -> VerifiedKey {
        VerifiedKey {
            kind: kind.to_owned(),
            fingerprint: "SHA256:x".to_owned(),
        }
    }

    #[test]
    fn a_token_is_a_second_factor_where_the_policy_takes_it() {
        let token = key("sk-ssh-ed25519@openssh.com");
        assert!(is_second_factor(&policy(""), "alice", &token));
        assert!(is_second_factor(&policy(""), "somebody", &token));
        assert!(!is_second_factor(&policy(""), "alice", &key("ssh-ed25519")));
        let codes = policy("mfa = [\"totp\"]");
        assert!(!is_second_factor(&codes, "alice", &token));
    }

    #[test]
    fn what_is_typed_is_looked_at_only_where_its_kind_is_taken() {
        const RECOVERY: &str = "abcd-efgh-2345-jkmn";
        let all = policy("");
        assert_eq!(not_taken(&all, "alice", "123456"), None);
        assert_eq!(not_taken(&all, "alice", RECOVERY), None);
        let codes = policy("mfa = [\"totp\"]");
        assert_eq!(not_taken(&codes, "alice", "123456"), None);
        assert_eq!(
            not_taken(&codes, "alice", &format!("{RECOVERY}\r\n")).unwrap(),
            "recovery is not taken from this user, but totp"
        );
        let keys = policy("mfa = [\"security-key\"]");
        for typed in ["123456", RECOVERY, "", "nonsense"] {
            assert!(not_taken(&keys, "alice", typed).is_some(), "{typed:?}");
        }
    }
}
