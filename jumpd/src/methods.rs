//! Which second factors the policy takes from whom, as a login brings them.

use crate::connection::VerifiedKey;
use jump_mfa::{StoreError, Who};
use jump_policy::{Method, Policy};

/// Whether the key that sshd has verified is itself a second factor of this user.
pub(crate) fn is_second_factor(policy: &Policy, user: &str, key: &VerifiedKey) -> bool {
    key.is_security_key()
        && policy.mfa_methods(user).contains(&Method::SecurityKey)
        && (!policy.mfa().verify_required || is_ours(policy, user, key))
}

/// Whether sshd had this key from the policy, with what the policy demands of it. Keys of other
/// name services come with other options, and sshd does not say what a signature stood for.
fn is_ours(policy: &Policy, user: &str, key: &VerifiedKey) -> bool {
    let mut keys = policy.user(user).into_iter().flat_map(|user| &user.keys);
    keys.any(|known| known.fingerprint() == key.fingerprint)
}

/// Why a text that was typed at the prompt is not looked at: for the admin.
///
/// Its form alone says what it would be. It counts as no failure, since nothing is told of what it is.
///
/// # Errors
/// When looking at it would not have been possible either.
pub(crate) fn not_taken(
    policy: &Policy,
    who: &Who,
    text: &str,
) -> Result<Option<String>, StoreError> {
    let methods = policy.mfa_methods(&who.user);
    let typed = if jump_mfa::is_recovery_code(text) {
        Method::Recovery
    } else {
        Method::Totp
    };
    if methods.contains(&typed) {
        return Ok(None);
    }
    // What is typed decides what it costs, whoever types it.
    jump_mfa::as_if(who, text)?;
    let taken: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    Ok(Some(format!(
        "{typed} is not taken from this user, but {}",
        taken.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::auth_info;

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
    fn where_verification_is_demanded_only_keys_that_sshd_had_from_us_count() {
        const TOKEN: &str = "AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIJ6gB2N1PoAzUSXCSjpdBkojqIhXPMlFIR2ZreJzzFxNAAAABHNzaDo=";
        let kind = "sk-ssh-ed25519@openssh.com";
        let text = format!(
            "version = 1\nmfa.security_key.verify_required = true\n[users.alice]\nuid = 70001\nkeys = [\"{kind} {TOKEN}\"]\n"
        );
        let policy = Policy::parse(&text, "policy.toml", "UTC").unwrap();
        let ours = auth_info(&format!("publickey {kind} {TOKEN}\n"))
            .key
            .unwrap();
        assert!(is_second_factor(&policy, "alice", &ours));
        assert!(!is_second_factor(&policy, "alice", &key(kind)));
        // Known by a group of another name service.
        assert!(!is_second_factor(&policy, "somebody", &ours));
    }

    #[test]
    fn what_is_typed_is_looked_at_only_where_its_kind_is_taken() {
        const RECOVERY: &str = "abcd-efgh-2345-jkmn";
        let alice = Who {
            uid: 70001,
            user: "alice".to_owned(),
        };
        let not_taken = |policy: &Policy, typed: &str| not_taken(policy, &alice, typed).unwrap();
        let all = policy("");
        assert_eq!(not_taken(&all, "123456"), None);
        assert_eq!(not_taken(&all, RECOVERY), None);
        let codes = policy("mfa = [\"totp\"]");
        assert_eq!(not_taken(&codes, "123456"), None);
        assert_eq!(
            not_taken(&codes, &format!("{RECOVERY}\r\n")).unwrap(),
            "recovery is not taken from this user, but totp"
        );
        let keys = policy("mfa = [\"security-key\"]");
        for typed in ["123456", RECOVERY, "", "nonsense"] {
            assert!(not_taken(&keys, typed).is_some(), "{typed:?}");
        }
    }
}
