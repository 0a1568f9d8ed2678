//! An admin's authenticator app and sheet of recovery codes.
//!
//! RFC 6238 written down a second time, on purpose: were it the product's own
//! library, both could be wrong together.

use crate::story::until;
use anyhow::{Context, Result};
use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha1::Sha1;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Length of a time step in seconds (RFC 6238 section 4.1, the default).
pub const STEP: u64 = 30;
/// A code this close to the end of its acceptance is not handed out: the login takes a moment.
const MARGIN: u64 = 8;

/// An enrolled authenticator, which knows what it has used up.
#[derive(Debug)]
pub struct Authenticator {
    secret: Vec<u8>,
    last_step: u64,
    recovery: Vec<String>,
}

impl Authenticator {
    /// From what `jumpctl mfa enroll USER --no-confirm --json` prints.
    ///
    /// # Errors
    /// When a field is missing or the secret is no base32.
    pub fn from_enrolment(json: &str) -> Result<Self> {
        let enrolment: Value = serde_json::from_str(json).context("the enrolment is no JSON")?;
        let secret = enrolment
            .get("secret")
            .and_then(Value::as_str)
            .context("no `secret`")?;
        let codes = enrolment
            .get("recovery_codes")
            .and_then(Value::as_array)
            .context("no `recovery_codes`")?;
        Ok(Self {
            secret: BASE32_NOPAD
                .decode(secret.as_bytes())
                .context("the secret is no base32")?,
            last_step: 0,
            recovery: codes
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        })
    }

    /// The secret as apps take it, base32.
    #[must_use]
    pub fn base32(&self) -> String {
        BASE32_NOPAD.encode(&self.secret)
    }

    /// A code that has not been used and is accepted now. A server accepts the
    /// step before and after the present one, each once and in rising order: so
    /// three come at once, the next when a step begins.
    ///
    /// # Errors
    /// Never in practice: waiting is bounded by one step.
    pub fn code(&mut self) -> Result<String> {
        let step = until(Duration::from_secs(2 * STEP), || Ok(self.unused_step()))?
            .context("the clock stands still")?;
        self.last_step = step;
        Ok(self.code_of(step))
    }

    /// A code that is accepted now, at once: by time if one is left, else from the sheet.
    ///
    /// # Errors
    /// See [`Self::code`].
    pub fn any_code(&mut self) -> Result<String> {
        if self.unused_step().is_some() || self.recovery.is_empty() {
            return self.code();
        }
        self.recovery_code()
    }

    /// The next recovery code of the sheet.
    ///
    /// # Errors
    /// When the sheet is used up.
    pub fn recovery_code(&mut self) -> Result<String> {
        self.recovery.pop().context("no recovery code left")
    }

    /// A code that no step near now has.
    #[must_use]
    pub fn wrong_code(&self) -> String {
        let now = now();
        let near: Vec<_> = (now.saturating_sub(4)..now + 4)
            .map(|step| self.code_of(step))
            .collect();
        (0..)
            .map(|number| format!("{number:06}"))
            .find(|code| !near.contains(code))
            .unwrap_or_default()
    }

    /// What it shows at a moment, in seconds after 1970, whether used or not.
    #[must_use]
    pub fn code_at(&self, seconds: u64) -> String {
        self.code_of(seconds / STEP)
    }

    fn unused_step(&self) -> Option<u64> {
        let seconds = seconds();
        let now = seconds / STEP;
        // The step before this one is accepted until this one ends.
        let first = if STEP - seconds % STEP < MARGIN {
            now
        } else {
            now - 1
        };
        let step = first.max(self.last_step + 1);
        (step <= now + 1).then_some(step)
    }

    fn code_of(&self, step: u64) -> String {
        hotp(&self.secret, step)
    }
}

/// RFC 4226 section 5.3, six digits.
fn hotp(secret: &[u8], counter: u64) -> String {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret) else {
        return String::new();
    };
    mac.update(&counter.to_be_bytes());
    let digest: [u8; 20] = mac.finalize().into_bytes().into();
    let offset = usize::from(digest[19] & 0x0f);
    let word = digest
        .iter()
        .skip(offset)
        .take(4)
        .fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

/// Seconds after 1970.
#[must_use]
pub fn seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

fn now() -> u64 {
    seconds() / STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_rfc_4226_appendix_d() {
        let expected = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583",
            "399871", "520489",
        ];
        for (counter, code) in (0..).zip(expected) {
            assert_eq!(hotp(b"12345678901234567890", counter), code);
        }
    }

    #[test]
    fn no_code_is_handed_out_twice() {
        let json = r#"{"secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "recovery_codes": ["one"]}"#;
        let mut authenticator = Authenticator::from_enrolment(json).unwrap();
        let first = authenticator.code().unwrap();
        let second = authenticator.code().unwrap();
        assert_ne!(first, second);
        assert!(![first, second].contains(&authenticator.wrong_code()));
        assert_eq!(authenticator.recovery_code().unwrap(), "one");
        assert!(authenticator.recovery_code().is_err());
    }
}
