//! What the key of a hop signs: one login, and nothing that only looks like it.

use crate::certificate;
use crate::wire::Reader;

/// `SSH_MSG_USERAUTH_REQUEST` (RFC 4252, section 6).
const USERAUTH_REQUEST: u8 = 50;
/// Lengths of a session identifier: SHA-1 to SHA-512 (RFC 4253, section 7.2).
const SESSION_ID: std::ops::RangeInclusive<usize> = 20..=64;

/// A login at a target.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    /// The login name.
    pub name: &'a str,
    /// The certificate by which it is asked for.
    pub certificate: &'a [u8],
}

impl Login<'_> {
    /// Whether `data` is what ssh signs to log in so (RFC 4252, section 7; OpenSSH, PROTOCOL, `publickey-hostbound`).
    #[must_use]
    pub fn is_asked_for(&self, data: &[u8]) -> bool {
        self.read(data).is_some()
    }

    fn read(&self, data: &[u8]) -> Option<()> {
        let must = |holds: bool| holds.then_some(());
        let mut data = Reader::new(data);
        must(SESSION_ID.contains(&data.string()?.len()))?;
        must(data.byte()? == USERAUTH_REQUEST)?;
        must(data.string()? == self.name.as_bytes())?;
        must(data.string()? == b"ssh-connection")?;
        let method = data.string()?;
        // A signature follows.
        must(data.byte()? == 1)?;
        must(data.string()? == certificate::NAME.as_bytes())?;
        must(data.string()? == self.certificate)?;
        match method {
            b"publickey" => {}
            // The target's host key.
            b"publickey-hostbound-v00@openssh.com" => must(!data.string()?.is_empty())?,
            _ => return None,
        }
        must(data.is_over())
    }
}
