//! The keys that seal records at rest.
//!
//! They come from outside, as text: one line per key, `id:key`, both
//! hexadecimal, the first of them the one that new records are sealed with.
//! There is more than one only while `mfa rekey` is under way, so that at every
//! moment each record can be opened with a key that is at hand.

use crate::envelope::{Label, Sealed};
use crate::record::RecordError;
use crate::store::StoreError;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use data_encoding::{BASE64, HEXLOWER};
use jump_proto::Secret;
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a key (XChaCha20-Poly1305, draft-irtf-cfrg-xchacha).
const KEY: usize = 32;
/// Bytes of a nonce: long enough to be drawn at random for as long as a key lives.
const NONCE: usize = 24;
/// Bytes of a key's name.
const ID: usize = 8;

/// Why some text is no key ring. Never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not a list of sealing keys (line {line}); make new ones with `jumpctl setup`, or restore /etc/credstore.encrypted/jump-mfa"
)]
pub struct KeyRingError {
    /// The first line that is none.
    line: usize,
}

/// One key and its name. Wiped when dropped.
struct Key {
    id: [u8; ID],
    key: Zeroizing<[u8; KEY]>,
}

/// The keys at hand, none of them on a host that was never set up.
#[derive(Default)]
pub struct KeyRing(Vec<Key>);

impl KeyRing {
    /// No key: nothing is sealed, and what is sealed cannot be opened.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One new key.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut key = Key {
            id: [0; ID],
            key: Zeroizing::new([0; KEY]),
        };
        getrandom::fill(&mut key.id)?;
        getrandom::fill(key.key.as_mut())?;
        Ok(Self(vec![key]))
    }

    /// A new key to seal with, and all keys of `older` to open with.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn generate_before(older: Self) -> Result<Self, getrandom::Error> {
        let mut new = Self::generate()?;
        new.0.extend(older.0);
        Ok(new)
    }

    /// Reads keys as [`Self::to_text`] writes them.
    ///
    /// # Errors
    /// When a line is none, or there is no line.
    pub fn parse(text: &str) -> Result<Self, KeyRingError> {
        let mut keys = Vec::new();
        for (at, line) in text.lines().enumerate() {
            keys.push(Key::parse(line).ok_or(KeyRingError { line: at + 1 })?);
        }
        if keys.is_empty() {
            return Err(KeyRingError { line: 1 });
        }
        Ok(Self(keys))
    }

    /// The keys as text, to be sealed by systemd-creds(1) and nowhere else kept.
    #[must_use]
    pub fn to_text(&self) -> Secret {
        // Sized beforehand: a text that grows leaves copies of the keys behind.
        let mut text = String::with_capacity(self.0.len() * (2 * ID + 2 * KEY + 2));
        for key in &self.0 {
            let hex = Zeroizing::new(HEXLOWER.encode(key.key.as_ref()));
            text.push_str(&key.name());
            text.push(':');
            text.push_str(&hex);
            text.push('\n');
        }
        Secret::new(text)
    }

    /// Forgets all keys but the first.
    pub fn keep_newest(&mut self) {
        self.0.truncate(1);
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys' names, which are no secret: each record says which key it is sealed with.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(Key::name).collect()
    }

    /// Whether keys of all these names are here.
    #[must_use]
    pub fn has(&self, names: &[String]) -> bool {
        let own = self.names();
        names.iter().all(|name| own.contains(name))
    }

    /// Whether every key of `other` is here, too.
    #[must_use]
    pub fn holds_all_of(&self, other: &Self) -> bool {
        other
            .0
            .iter()
            .all(|key| self.0.iter().any(|k| k.id == key.id && k.key == key.key))
    }

    /// Whether what a key of this name sealed would be sealed with it again.
    pub(crate) fn seals_with(&self, id: &str) -> bool {
        self.0.first().is_some_and(|key| key.name() == id)
    }

    /// Seals `plain` with the first key; `None` without one.
    pub(crate) fn seal(
        &self,
        label: &Label<'_>,
        plain: Zeroizing<Vec<u8>>,
    ) -> Result<Option<Sealed>, StoreError> {
        self.seal_with(|key| label.to_bytes(key), plain)
    }

    /// Seals `plain` and covers what `label` says, given the key's name.
    pub(crate) fn seal_with(
        &self,
        label: impl FnOnce(&str) -> Vec<u8>,
        mut plain: Zeroizing<Vec<u8>>,
    ) -> Result<Option<Sealed>, StoreError> {
        let Some(key) = self.0.first() else {
            return Ok(None);
        };
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce)?;
        let name = key.name();
        let tag = key.cipher().encrypt_inout_detached(
            &XNonce::from(nonce),
            &label(&name),
            plain.as_mut_slice().into(),
        );
        // Fails only beyond 256 GiB.
        let tag = tag.map_err(|_| StoreError::Seal)?;
        Ok(Some(Sealed {
            key: name,
            nonce: BASE64.encode(&nonce),
            tag: BASE64.encode(&tag),
            text: BASE64.encode(&plain),
        }))
    }

    /// Opens what was sealed under this label.
    pub(crate) fn open(
        &self,
        label: &Label<'_>,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, RecordError> {
        self.open_with(|key| label.to_bytes(key), sealed)
    }

    /// Opens what [`Self::seal_with`] sealed.
    pub(crate) fn open_with(
        &self,
        label: impl FnOnce(&str) -> Vec<u8>,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, RecordError> {
        let no_key = || RecordError::NoKey(sealed.key.clone());
        let key = self.0.iter().find(|key| key.name() == sealed.key);
        let key = key.ok_or_else(no_key)?;
        let bytes = |text: &str| BASE64.decode(text.as_bytes()).ok();
        let nonce: Option<[u8; NONCE]> = bytes(&sealed.nonce).and_then(|b| b.try_into().ok());
        let tag: Option<[u8; 16]> = bytes(&sealed.tag).and_then(|b| b.try_into().ok());
        let (Some(nonce), Some(tag), Some(text)) = (nonce, tag, bytes(&sealed.text)) else {
            return Err(RecordError::Damaged("what is sealed is not base64"));
        };
        let mut text = Zeroizing::new(text);
        key.cipher()
            .decrypt_inout_detached(
                &XNonce::from(nonce),
                &label(&sealed.key),
                text.as_mut_slice().into(),
                &tag.into(),
            )
            .map_err(|_| {
                RecordError::Damaged("it does not open: it is not what was sealed for this user")
            })?;
        Ok(text)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({} keys)", self.0.len())
    }
}

impl Key {
    fn parse(line: &str) -> Option<Self> {
        let (id, hex) = line.split_once(':')?;
        let id = HEXLOWER.decode(id.as_bytes()).ok()?.try_into().ok()?;
        if hex.len() != 2 * KEY {
            return None;
        }
        let mut key = Zeroizing::new([0; KEY]);
        HEXLOWER.decode_mut(hex.as_bytes(), key.as_mut()).ok()?;
        Some(Self { id, key })
    }

    fn name(&self) -> String {
        HEXLOWER.encode(&self.id)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.key).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_id::HostId;

    fn label(serial: u64) -> Label<'static> {
        Label {
            host: "000102030405060708090a0b0c0d0e0f"
                .parse::<HostId>()
                .unwrap(),
            uid: 70001,
            user: "alice",
            serial,
        }
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        let keys = KeyRing::generate_before(KeyRing::generate().unwrap()).unwrap();
        let again = KeyRing::parse(keys.to_text().expose()).unwrap();
        assert_eq!(again.0.len(), 2);
        assert!(again.holds_all_of(&keys) && keys.holds_all_of(&again));
        let mut newest = KeyRing::parse(keys.to_text().expose()).unwrap();
        newest.keep_newest();
        assert!(!newest.holds_all_of(&again) && again.holds_all_of(&newest));
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        let good = KeyRing::generate().unwrap().to_text();
        let good = good.expose();
        for bad in [
            "",
            "\n",
            "x",
            ":",
            &good[1..],
            &good[..80],
            &format!("{good}x"),
        ] {
            let error = KeyRing::parse(bad).unwrap_err().to_string();
            assert!(bad.len() < 20 || !error.contains(&good[20..60]), "{error}");
        }
        assert!(!format!("{:?}", KeyRing::parse(good).unwrap()).contains(&good[20..60]));
    }

    #[test]
    fn what_is_sealed_opens_under_its_own_label_with_its_own_key_alone() {
        let keys = KeyRing::generate().unwrap();
        let plain = || Zeroizing::new(b"a secret".to_vec());
        let sealed = keys.seal(&label(7), plain()).unwrap().unwrap();
        assert_eq!(*keys.open(&label(7), &sealed).unwrap(), *plain());
        let others = [
            label(8),
            Label {
                uid: 70002,
                ..label(7)
            },
            Label {
                user: "bob",
                ..label(7)
            },
            Label {
                host: HostId::random().unwrap(),
                ..label(7)
            },
        ];
        for other in &others {
            assert!(matches!(
                keys.open(other, &sealed),
                Err(RecordError::Damaged(_))
            ));
        }
        let stranger = KeyRing::generate().unwrap();
        assert!(matches!(
            stranger.open(&label(7), &sealed),
            Err(RecordError::NoKey(_))
        ));
        assert!(KeyRing::none().seal(&label(7), plain()).unwrap().is_none());
        let both = KeyRing::generate_before(keys).unwrap();
        assert_eq!(*both.open(&label(7), &sealed).unwrap(), *plain());
        assert!(!both.seals_with(&sealed.key));
    }

    #[test]
    fn no_two_seals_are_alike() {
        let keys = KeyRing::generate().unwrap();
        let seal = || {
            keys.seal(&label(1), Zeroizing::new(vec![0; 64]))
                .unwrap()
                .unwrap()
        };
        let (one, two) = (seal(), seal());
        assert!(one.nonce != two.nonce && one.text != two.text);
    }
}
