//! Keys: ed25519 (RFC 8709), public ones as OpenSSH writes them in a line.

use crate::certificate::TermsError;
use crate::wire::{Reader, Writer};
use data_encoding::{BASE64, BASE64_NOPAD};
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Bytes of which a private key is made.
pub const SEED: usize = 32;

/// The name of the key type.
const NAME: &str = "ssh-ed25519";

/// A private key. Wiped when dropped; it does not print itself.
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// The key that is made of these random bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; SEED]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// The signature of `data`, with its type (RFC 8709, section 6).
    ///
    /// # Errors
    /// Never for data that fits into memory.
    pub fn sign(&self, data: &[u8]) -> Result<Vec<u8>, TermsError> {
        let signature = self.0.sign(data);
        Ok(Writer::default()
            .string(NAME.as_bytes())?
            .string(&signature.to_bytes())?
            .into_bytes())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// The text is not a line of an ed25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the line of an ssh-ed25519 public key")]
pub struct NotAKey;

impl PublicKey {
    /// The bytes of the point.
    pub(crate) fn point(&self) -> &[u8; 32] {
        &self.0
    }

    /// Type and point, as the protocol sends them.
    ///
    /// # Errors
    /// Never.
    pub(crate) fn blob(&self) -> Result<Vec<u8>, TermsError> {
        Ok(Writer::default()
            .string(NAME.as_bytes())?
            .string(&self.0)?
            .into_bytes())
    }

    /// `SHA256:` and the unpadded base64 of the digest, as `ssh-keygen -l` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let blob = self.blob().unwrap_or_default();
        format!("SHA256:{}", BASE64_NOPAD.encode(&Sha256::digest(blob)))
    }
}

/// Type and base64, without a comment.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = self.blob().unwrap_or_default();
        write!(f, "{NAME} {}", BASE64.encode(&blob))
    }
}

impl FromStr for PublicKey {
    type Err = NotAKey;
    fn from_str(line: &str) -> Result<Self, NotAKey> {
        let (name, base64) = line.split_once(' ').ok_or(NotAKey)?;
        let blob = BASE64.decode(base64.as_bytes()).map_err(|_| NotAKey)?;
        let mut fields = Reader::new(&blob);
        let named = fields.string().ok_or(NotAKey)?;
        let point = fields.string().ok_or(NotAKey)?;
        if name != NAME || named != NAME.as_bytes() || !fields.is_over() {
            return Err(NotAKey);
        }
        point.try_into().map(Self).map_err(|_| NotAKey)
    }
}
