//! A record as it lies on disk.
//!
//! Outside stands what must be known before anything is opened: the format,
//! the host, whose it is, its serial number. Inside is everything else, sealed
//! where there is a key. The outside is part of what the seal covers, so
//! nothing of it can be changed and no inside be put into another outside.
//!
//! Format 1 had no outside: it is read, and written as format 2 when it next
//! changes. Once everything on a host is sealed, nothing that is not is read.

use crate::host_id::HostId;
use crate::keys::KeyRing;
use crate::record::{Body, Factor, MAX_BYTES, Record, RecordError};
use crate::store::{StoreError, Who};
use crate::throttle::Throttle;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The record format this program writes.
const VERSION: u32 = 2;

/// The outside of a record: what a seal covers besides what it hides.
pub(crate) struct Label<'a> {
    pub(crate) host: HostId,
    pub(crate) uid: u32,
    pub(crate) user: &'a str,
    pub(crate) serial: u64,
}

impl Label<'_> {
    /// The associated data of the AEAD (RFC 5116 section 2.1). The name comes last, so no two labels are the same bytes.
    pub(crate) fn to_bytes(&self, key: &str) -> Vec<u8> {
        let mut bytes = b"jump-mfa record".to_vec();
        bytes.extend(VERSION.to_be_bytes());
        bytes.extend(self.host.as_bytes());
        bytes.extend(self.uid.to_be_bytes());
        bytes.extend(self.serial.to_be_bytes());
        bytes.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
        bytes.extend(key.as_bytes());
        bytes.extend(self.user.as_bytes());
        bytes
    }
}

/// What a key has sealed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sealed {
    /// The name of the key.
    pub(crate) key: String,
    pub(crate) nonce: String,
    pub(crate) tag: String,
    pub(crate) text: String,
}

/// Format 2. Either `body` or `sealed`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct V2 {
    version: u32,
    host: HostId,
    uid: u32,
    user: String,
    serial: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<Sealed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Body>,
}

/// Format 1, as the first release wrote it; never changes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct V1 {
    #[serde(rename = "version")]
    _version: u32,
    uid: u32,
    user: String,
    #[serde(default)]
    active: Option<Factor>,
    #[serde(default)]
    pending: Option<Factor>,
    /// Wrong codes were counted for the user as a whole.
    #[serde(default)]
    failures: u32,
    /// Likewise.
    #[serde(default)]
    locked_until_s: Option<i64>,
}

/// The one field that all formats have.
#[derive(Deserialize)]
struct Format {
    version: u32,
}

/// A record that was read, and what its outside said.
pub(crate) struct Opened {
    pub(crate) record: Record,
    /// 0 for format 1.
    pub(crate) serial: u64,
    /// Whether it would be sealed in the same way, with the same key, again.
    pub(crate) current: bool,
}

/// Reads and writes records for one host, with the keys at hand.
pub(crate) struct Envelope<'a> {
    pub(crate) host: HostId,
    pub(crate) keys: &'a KeyRing,
    /// Whether only what is sealed is read.
    pub(crate) only_sealed: bool,
}

impl Envelope<'_> {
    /// Reads a record of which only the key is known, and checks that it is sound and of this host.
    pub(crate) fn open(&self, bytes: &[u8], uid: u32) -> Result<Opened, RecordError> {
        let Format { version } = serde_json::from_slice(bytes)?;
        let (opened, was_sealed) = match version {
            1 => (v1(bytes, uid)?, false),
            VERSION => self.v2(bytes, uid)?,
            _ => return Err(RecordError::Damaged("it is of another release (version)")),
        };
        if self.only_sealed && !was_sealed {
            return Err(RecordError::NotSealed);
        }
        match opened.record.problem() {
            Some(problem) => Err(RecordError::Damaged(problem)),
            None => Ok(opened),
        }
    }

    fn v2(&self, bytes: &[u8], uid: u32) -> Result<(Opened, bool), RecordError> {
        let v2: V2 = serde_json::from_slice(bytes)?;
        let who = Who {
            uid: v2.uid,
            user: v2.user,
        };
        of_uid(&who, uid)?;
        if v2.host != self.host {
            return Err(RecordError::OtherHosts {
                found: v2.host,
                wanted: self.host,
            });
        }
        let (body, current, was_sealed) = match (v2.body, v2.sealed) {
            (Some(body), None) => (body, self.keys.is_empty(), false),
            (None, Some(sealed)) => {
                let label = Label {
                    host: v2.host,
                    uid,
                    user: &who.user,
                    serial: v2.serial,
                };
                let plain = self.keys.open(&label, &sealed)?;
                let body = serde_json::from_slice(&plain)?;
                (body, self.keys.seals_with(&sealed.key), true)
            }
            _ => return Err(RecordError::Damaged("it has to hold one body")),
        };
        let opened = Opened {
            record: Record::of(who, body),
            serial: v2.serial,
            current,
        };
        Ok((opened, was_sealed))
    }

    /// The bytes to store: sealed where there is a key. Wiped when dropped.
    pub(crate) fn close(
        &self,
        record: &Record,
        serial: u64,
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        if self.only_sealed && self.keys.is_empty() {
            let path = format!("the record of {}", record.who());
            return Err(StoreError::NoKey { path });
        }
        let memory = |e| StoreError::Record {
            path: format!("the record of {}", record.who()),
            source: RecordError::Malformed(e),
        };
        let Who { uid, user } = record.who();
        let label = Label {
            host: self.host,
            uid,
            user: &user,
            serial,
        };
        let plain = record.body_to_bytes().map_err(memory)?;
        let sealed = self.keys.seal(&label, plain)?;
        let mut bytes = buffer();
        // Written by parts, because a body is not copied.
        let outside = V2 {
            version: VERSION,
            host: self.host,
            uid,
            user: user.clone(),
            serial,
            sealed,
            body: None,
        };
        if outside.sealed.is_some() {
            serde_json::to_writer_pretty(&mut *bytes, &outside).map_err(memory)?;
        } else {
            serde_json::to_writer_pretty(&mut *bytes, &Unsealed::of(&outside, record.body()))
                .map_err(memory)?;
        }
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// [`V2`] with a borrowed body.
#[derive(Serialize)]
struct Unsealed<'a> {
    version: u32,
    host: HostId,
    uid: u32,
    user: &'a str,
    serial: u64,
    body: &'a Body,
}

impl<'a> Unsealed<'a> {
    fn of(outside: &'a V2, body: &'a Body) -> Self {
        Self {
            version: outside.version,
            host: outside.host,
            uid: outside.uid,
            user: &outside.user,
            serial: outside.serial,
            body,
        }
    }
}

fn v1(bytes: &[u8], uid: u32) -> Result<Opened, RecordError> {
    let v1: V1 = serde_json::from_slice(bytes)?;
    let who = Who {
        uid: v1.uid,
        user: v1.user,
    };
    of_uid(&who, uid)?;
    let body = Body {
        active: v1.active,
        pending: v1.pending,
        invitation: None,
        throttle: if v1.failures > 0 || v1.locked_until_s.is_some() {
            Throttle::of_the_whole_user(v1.failures, v1.locked_until_s)
        } else {
            Throttle::default()
        },
    };
    Ok(Opened {
        record: Record::of(who, body),
        serial: 0,
        current: false,
    })
}

fn of_uid(found: &Who, uid: u32) -> Result<(), RecordError> {
    if found.uid == uid {
        return Ok(());
    }
    Err(RecordError::SomebodyElses {
        wanted: Who {
            uid,
            user: found.user.clone(),
        },
        found: found.clone(),
    })
}

/// Whose a record says it is, and its serial number, whatever else is wrong with it.
pub(crate) fn outside(bytes: &[u8]) -> Option<(Who, u64)> {
    #[derive(Deserialize)]
    struct Outside {
        uid: u32,
        user: String,
        #[serde(default)]
        serial: u64,
    }
    let outside: Outside = serde_json::from_slice(bytes).ok()?;
    let who = Who {
        uid: outside.uid,
        user: outside.user,
    };
    Some((who, outside.serial))
}

/// Sized beforehand: a buffer that grows leaves copies of the secret behind.
pub(crate) fn buffer() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(MAX_BYTES))
}
