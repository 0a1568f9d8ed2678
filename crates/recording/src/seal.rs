//! Encryption: what the bastion writes, only the auditors read.
//!
//! age (C2SP age-encryption.org/v1) encrypts in chunks of 64 KiB, and a frame
//! must be in the file before the next keystroke. So age carries only a key:
//! each segment has one of its own, drawn at random, wrapped to the recipients
//! in the segment's head, and forgotten when the segment ends. Each frame is
//! sealed with it (XChaCha20-Poly1305, draft-irtf-cfrg-xchacha). No key is
//! used for two segments and no number for two frames, so the frame's number
//! is the nonce. The recording and the segment are authenticated with it: what
//! is moved does not open.

use crate::chain::Hash;
use age::x25519::{Identity, Recipient};
use age::{DecryptError, Decryptor, Encryptor};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use zeroize::Zeroizing;

const KEY: usize = 32;
const NONCE: usize = 24;
const TAG: usize = 16;

/// Some text is no age recipient, or no list of identities. Never repeats an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a recipient.
    #[error("{0:?} is no age recipient: it should begin with age1 (age-keygen -y makes it)")]
    Recipient(String),
    /// Not a recipient's identity.
    #[error("line {0} is no age identity: it should begin with AGE-SECRET-KEY-1")]
    Identity(usize),
    /// Nothing there.
    #[error("there is no age identity")]
    None,
}

type Random = Box<dyn FnMut(&mut [u8]) -> io::Result<()> + Send>;

/// To whom a recording is encrypted.
pub struct Sealing {
    recipients: Vec<Recipient>,
    random: Random,
}

impl Sealing {
    /// `random` fills a buffer with unpredictable bytes: the segments' keys.
    /// age draws its own, ephemeral ones from the kernel.
    ///
    /// # Errors
    /// When there is no recipient, or one is none.
    pub fn to<S: AsRef<str>>(
        recipients: &[S],
        random: impl FnMut(&mut [u8]) -> io::Result<()> + Send + 'static,
    ) -> Result<Self, KeyError> {
        let parse = |text: &S| {
            let text = text.as_ref();
            let recipient = text.parse::<Recipient>();
            recipient.map_err(|_| KeyError::Recipient(text.to_owned()))
        };
        let recipients = recipients
            .iter()
            .map(parse)
            .collect::<Result<Vec<_>, _>>()?;
        if recipients.is_empty() {
            return Err(KeyError::None);
        }
        Ok(Self {
            recipients,
            random: Box::new(random),
        })
    }

    /// The recipients, as text.
    pub(crate) fn names(&self) -> Vec<String> {
        self.recipients.iter().map(ToString::to_string).collect()
    }

    /// A key for one segment, and the same wrapped to the recipients.
    pub(crate) fn segment_key(&mut self) -> io::Result<(SegmentKey, Vec<u8>)> {
        let mut key = Zeroizing::new([0; KEY]);
        (self.random)(key.as_mut())?;
        let encryptor = Encryptor::with_recipients(self.recipients.iter().map(|r| r as _))
            .map_err(|e| io::Error::other(format!("age: {e}")))?;
        let mut wrapped = Vec::new();
        let mut wrapping = encryptor.wrap_output(&mut wrapped)?;
        wrapping.write_all(key.as_ref())?;
        wrapping.finish()?;
        Ok((SegmentKey::new(&key), wrapped))
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealing({:?})", self.names())
    }
}

/// The auditor's age identities.
#[derive(Clone, Default)]
pub struct Keys(Arc<Vec<Identity>>);

impl Keys {
    /// None: only what is not encrypted can be read.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// From the text of an identity file, as `age-keygen` writes it.
    ///
    /// # Errors
    /// When it holds no identity, or something else.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut identities = Vec::new();
        for (line, text) in (1..).zip(text.lines().map(str::trim)) {
            if !text.is_empty() && !text.starts_with('#') {
                identities.push(text.parse().map_err(|_| KeyError::Identity(line))?);
            }
        }
        if identities.is_empty() {
            return Err(KeyError::None);
        }
        Ok(Self(Arc::new(identities)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The segment's key; `Ok(None)` if none of these opens it.
    pub(crate) fn segment_key(&self, wrapped: &[u8]) -> Result<Option<SegmentKey>, DecryptError> {
        let opened = Decryptor::new(wrapped)?.decrypt(self.0.iter().map(|i| i as _));
        let mut opened = match opened {
            Err(DecryptError::NoMatchingKeys) => return Ok(None),
            other => other?,
        };
        let mut key = Zeroizing::new([0; KEY]);
        opened.read_exact(key.as_mut())?;
        Ok(Some(SegmentKey::new(&key)))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

/// The place of a frame: what its seal is good for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    /// The recording, by its preamble.
    pub(crate) recording: Hash,
    pub(crate) segment: u64,
    pub(crate) sequence: u64,
}

impl Slot {
    fn nonce(self) -> XNonce {
        let mut nonce = [0; NONCE];
        let (number, _) = nonce.split_at_mut(8);
        number.copy_from_slice(&self.sequence.to_le_bytes());
        nonce.into()
    }

    fn label(self) -> Vec<u8> {
        let mut label = self.recording.0.to_vec();
        label.extend_from_slice(&self.segment.to_le_bytes());
        label
    }
}

/// The key of one segment; wiped when dropped.
pub(crate) struct SegmentKey(XChaCha20Poly1305);

impl SegmentKey {
    fn new(key: &Zeroizing<[u8; KEY]>) -> Self {
        Self(XChaCha20Poly1305::new((&**key).into()))
    }

    /// Encrypts in place and appends the tag.
    pub(crate) fn seal(&self, slot: Slot, frame: &mut Vec<u8>) -> io::Result<()> {
        let (nonce, label) = (slot.nonce(), slot.label());
        let sealed = self
            .0
            .encrypt_inout_detached(&nonce, &label, frame.as_mut_slice().into());
        // Fails only beyond 256 GiB.
        let tag = sealed.map_err(|_| io::Error::other("a frame is too large to be sealed"))?;
        frame.extend_from_slice(&tag);
        Ok(())
    }

    /// The frame; `None` if it was not sealed with this key for this place.
    pub(crate) fn open(&self, slot: Slot, sealed: &[u8]) -> Option<Vec<u8>> {
        let (text, tag) = sealed.split_last_chunk::<TAG>()?;
        let mut frame = text.to_vec();
        let opened = self.0.decrypt_inout_detached(
            &slot.nonce(),
            &slot.label(),
            frame.as_mut_slice().into(),
            &(*tag).into(),
        );
        opened.ok().map(|()| frame)
    }
}

impl fmt::Debug for SegmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SegmentKey")
    }
}
