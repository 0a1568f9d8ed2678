//! What sshd says of a login, read strictly: source address and verified methods.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};
use std::net::{IpAddr, SocketAddr};

/// The client's address from `SSH_CONNECTION` (ssh(1)): "rip rport lip lport". IPv4-mapped addresses count as IPv4.
pub(crate) fn source(connection: &str) -> Option<SocketAddr> {
    let words: Vec<&str> = connection.split(' ').collect();
    let [address, port, _, _] = words.as_slice() else {
        return None;
    };
    // A scope id says which of the bastion's links a link-local client is on; no rule speaks of it.
    let address = address.split_once('%').map_or(*address, |(a, _)| a);
    let address: IpAddr = address.parse().ok()?;
    Some(SocketAddr::new(address.to_canonical(), port.parse().ok()?))
}

/// Key types whose private half lives in a token (OpenSSH PROTOCOL.u2f).
const SECURITY_KEYS: [&str; 2] = [
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// A key that sshd verified in this login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VerifiedKey {
    /// Key type as in sshd(8), e.g. `sk-ssh-ed25519@openssh.com`.
    pub(crate) kind: String,
    /// `SHA256:` and 43 characters, as ssh-keygen(1) prints it.
    pub(crate) fingerprint: String,
}

impl VerifiedKey {
    /// Whether the key lives in a security key, so that its use is a second factor.
    ///
    /// A certificate is none: what its signature took (a touch, or nothing) is for whoever signed the
    /// certificate to say (`no-touch-required`, PROTOCOL.certkeys), and nobody here knows them.
    pub(crate) fn is_security_key(&self) -> bool {
        SECURITY_KEYS.contains(&self.kind.as_str())
    }
}

/// What `SSH_AUTH_INFO_0` tells (`ExposeAuthInfo`, sshd_config(5)).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct AuthInfo {
    /// The first verified public key.
    pub(crate) key: Option<VerifiedKey>,
    /// Names of the methods, joined by commas.
    pub(crate) methods: String,
}

/// Reads one line per method: "publickey TYPE BASE64", "keyboard-interactive/pam", ...
pub(crate) fn auth_info(text: &str) -> AuthInfo {
    let mut info = AuthInfo::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let Some(method) = words.first().filter(|m| !m.is_empty()) else {
            continue;
        };
        if !info.methods.is_empty() {
            info.methods.push(',');
        }
        info.methods.push_str(method);
        if let ["publickey", kind, blob, ..] = words.as_slice()
            && info.key.is_none()
            && let Ok(blob) = STANDARD.decode(blob)
        {
            info.key = Some(VerifiedKey {
                kind: (*kind).to_owned(),
                fingerprint: format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob))),
            });
        }
    }
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_an_address_or_nothing() {
        assert_eq!(
            source("192.0.2.1 5022 192.0.2.2 22"),
            Some("192.0.2.1:5022".parse().unwrap())
        );
        assert_eq!(
            source("::ffff:192.0.2.1 5022 ::1 22"),
            Some("192.0.2.1:5022".parse().unwrap())
        );
        assert_eq!(
            source("fe80::1%eth0 5022 fe80::2 22"),
            Some("[fe80::1]:5022".parse().unwrap())
        );
        for bad in [
            "",
            "UNKNOWN 65535 UNKNOWN 65535",
            "host.example 1 2 3",
            "192.0.2.1 70000 x 22",
            "192.0.2.1 22",
        ] {
            assert_eq!(source(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_key_is_the_one_that_sshd_verified() {
        let blob = "AAAAC3NzaC1lZDI1NTE5AAAAIIgxwUDIDe8+Xsxh1dlGI2HYTGK4EZ/k3mXwLEh0UOtQ";
        let info = auth_info(&format!(
            "publickey ssh-ed25519 {blob}\nkeyboard-interactive/pam\n"
        ));
        assert_eq!(info.methods, "publickey,keyboard-interactive/pam");
        let key = info.key.unwrap();
        assert_eq!(key.kind, "ssh-ed25519");
        assert!(key.fingerprint.starts_with("SHA256:") && key.fingerprint.len() == 50);
        assert!(!key.is_security_key());
        assert!(
            auth_info("publickey sk-ssh-ed25519@openssh.com AAAA\n")
                .key
                .unwrap()
                .is_security_key()
        );
    }

    #[test]
    fn a_certificate_of_a_security_key_is_no_second_factor() {
        for kind in [
            "sk-ssh-ed25519-cert-v01@openssh.com",
            "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
            "ssh-ed25519-cert-v01@openssh.com",
            "sk-",
        ] {
            let key = auth_info(&format!("publickey {kind} AAAA\n")).key.unwrap();
            assert!(!key.is_security_key(), "{kind}");
        }
    }

    #[test]
    fn no_key_is_read_where_none_was_verified() {
        for text in [
            "",
            "password\n",
            "publickey\n",
            "publickey ssh-ed25519 !!!\n",
            "keyboard-interactive/pam publickey\n",
        ] {
            assert_eq!(auth_info(text).key, None, "{text}");
        }
    }
}
