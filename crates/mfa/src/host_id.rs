//! Which bastion this is: 128 random bits, made once.
//!
//! Every record carries them, so that a record that was copied here from
//! another host is told from one of our own. They are no secret. The machine
//! id of systemd is not used: an image that is cloned carries it along, and a
//! repaired host may get a new one.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A bastion's own name: 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostId([u8; 16]);

/// The text is not 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a host's identity is 32 lower-case hexadecimal digits")]
pub struct HostIdError;

impl HostId {
    /// A new identity.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for HostId {
    type Err = HostIdError;
    fn from_str(text: &str) -> Result<Self, HostIdError> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| HostIdError)?;
        bytes.try_into().map(Self).map_err(|_| HostIdError)
    }
}

impl TryFrom<String> for HostId {
    type Error = HostIdError;
    fn try_from(text: String) -> Result<Self, HostIdError> {
        text.parse()
    }
}

impl From<HostId> for String {
    fn from(id: HostId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_is_written() {
        let id = HostId::random().unwrap();
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "00", "0123456789ABCDEF0123456789ABCDEF"] {
            assert_eq!(bad.parse::<HostId>(), Err(HostIdError), "{bad}");
        }
    }
}
