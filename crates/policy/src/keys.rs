//! Login keys as the policy lists them: one OpenSSH public key line each, without options.

/// A checked public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    pub(crate) algorithm: &'static str,
    pub(crate) line: String,
    pub(crate) fingerprint: String,
}

impl PublicKey {
    /// The key type, e.g. `ssh-ed25519`.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    /// The whole line: type, base64, comment. No options, no control character.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }

    /// `SHA256:` and the unpadded base64 of the digest, as `ssh-keygen -l` and sshd's log print it.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether signing takes a touch of a token (`sk-*`, OpenSSH PROTOCOL.u2f).
    #[must_use]
    pub fn is_security_key(&self) -> bool {
        self.algorithm.starts_with("sk-")
    }
}
