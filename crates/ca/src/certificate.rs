//! A user certificate (OpenSSH, PROTOCOL.certkeys).

use crate::key::{PrivateKey, PublicKey};
use crate::wire::Writer;
use ipnet::IpNet;

/// The name of the certificate's type.
pub(crate) const NAME: &str = "ssh-ed25519-cert-v01@openssh.com";

/// The type of a certificate for users.
const USER: u32 = 1;

/// What a certificate says of its key.
#[derive(Debug, Clone)]
pub struct Terms<'a> {
    /// Stands in the target's log at every login.
    pub key_id: &'a str,
    /// The one login name.
    pub principal: &'a str,
    /// From when it is taken, seconds since the Unix epoch.
    pub valid_after: u64,
    /// From when it is taken no more, seconds since the Unix epoch.
    pub valid_before: u64,
    /// From where it is taken; never empty.
    pub sources: &'a [IpNet],
    /// Random bytes: no two certificates are the same.
    pub nonce: [u8; 32],
}

/// Why no certificate is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// No login name: sshd would take it for every one.
    #[error("the certificate would be for everybody")]
    NoPrincipal,
    /// No address: it would be taken from everywhere.
    #[error("the certificate would be taken from everywhere")]
    NoSource,
    /// It would never be valid.
    #[error("the certificate would never be valid")]
    NeverValid,
    /// Longer than the protocol can say.
    #[error("too long for the protocol")]
    TooLong,
}

impl Terms<'_> {
    /// A certificate for `subject`, signed by `ca`, as the protocol sends it.
    ///
    /// # Errors
    /// When it would say more than is meant.
    pub fn certify(&self, ca: &PrivateKey, subject: &PublicKey) -> Result<Vec<u8>, TermsError> {
        if self.principal.is_empty() {
            return Err(TermsError::NoPrincipal);
        }
        if self.sources.is_empty() {
            return Err(TermsError::NoSource);
        }
        if self.valid_after >= self.valid_before {
            return Err(TermsError::NeverValid);
        }
        let sources: Vec<String> = self.sources.iter().map(ToString::to_string).collect();
        let sources = Writer::default().string(sources.join(",").as_bytes())?;
        let critical = Writer::default()
            .string(b"source-address")?
            .string(sources.as_bytes())?;
        let extensions = Writer::default().string(b"permit-pty")?.string(b"")?;
        let principals = Writer::default().string(self.principal.as_bytes())?;
        let signed = Writer::default()
            .string(NAME.as_bytes())?
            .string(&self.nonce)?
            .string(subject.point())?
            .u64(0)
            .u32(USER)
            .string(self.key_id.as_bytes())?
            .string(principals.as_bytes())?
            .u64(self.valid_after)
            .u64(self.valid_before)
            .string(critical.as_bytes())?
            .string(extensions.as_bytes())?
            .string(b"")?
            .string(&ca.public().blob()?)?;
        let signature = ca.sign(signed.as_bytes())?;
        Ok(signed.string(&signature)?.into_bytes())
    }
}
