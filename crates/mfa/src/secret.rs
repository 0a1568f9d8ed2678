//! A secret of the host's own that lies sealed with the same keys as the records do.

use crate::envelope::Sealed;
use crate::keys::KeyRing;
use crate::record::RecordError;
use crate::store::StoreError;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A secret that is sealed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedSecret(Sealed);

/// What a seal covers besides the secret: it opens nowhere else. The purpose comes last, so no two are the same bytes.
fn label(key: &str, purpose: &str) -> Vec<u8> {
    let mut bytes = b"jump-mfa secret".to_vec();
    bytes.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
    bytes.extend(key.as_bytes());
    bytes.extend(purpose.as_bytes());
    bytes
}

impl KeyRing {
    /// Seals `secret` with the first key; `None` without one. It opens for the same `purpose` only.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn seal_secret(
        &self,
        purpose: &str,
        secret: Zeroizing<Vec<u8>>,
    ) -> Result<Option<SealedSecret>, StoreError> {
        let sealed = self.seal_with(|key| label(key, purpose), secret)?;
        Ok(sealed.map(SealedSecret))
    }

    /// Opens what was sealed for `purpose`.
    ///
    /// # Errors
    /// When its key is not at hand, or it is not what was sealed.
    pub fn open_secret(
        &self,
        purpose: &str,
        sealed: &SealedSecret,
    ) -> Result<Zeroizing<Vec<u8>>, RecordError> {
        self.open_with(|key| label(key, purpose), &sealed.0)
    }

    /// Whether it would be sealed with the same key again.
    #[must_use]
    pub fn seals_like(&self, sealed: &SealedSecret) -> bool {
        self.seals_with(&sealed.0.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(keys: &KeyRing) -> SealedSecret {
        let secret = Zeroizing::new(b"seed".to_vec());
        keys.seal_secret("ca key A", secret).unwrap().unwrap()
    }

    #[test]
    fn a_secret_opens_for_its_purpose_and_with_its_key_only() {
        let keys = KeyRing::generate().unwrap();
        let text = serde_json::to_string(&sealed(&keys)).unwrap();
        assert!(!text.contains("seed"));
        let sealed: SealedSecret = serde_json::from_str(&text).unwrap();
        assert_eq!(*keys.open_secret("ca key A", &sealed).unwrap(), b"seed");
        assert!(keys.open_secret("ca key B", &sealed).is_err());
        assert!(
            KeyRing::generate()
                .unwrap()
                .open_secret("ca key A", &sealed)
                .is_err()
        );
        let none = KeyRing::none().seal_secret("x", Zeroizing::new(vec![1]));
        assert!(none.unwrap().is_none());
    }

    #[test]
    fn with_a_newer_key_it_opens_and_would_be_sealed_otherwise() {
        let keys = KeyRing::generate().unwrap();
        let sealed = sealed(&keys);
        assert!(keys.seals_like(&sealed));
        let newer = KeyRing::generate_before(keys).unwrap();
        assert!(!newer.seals_like(&sealed));
        assert_eq!(*newer.open_secret("ca key A", &sealed).unwrap(), b"seed");
    }
}
