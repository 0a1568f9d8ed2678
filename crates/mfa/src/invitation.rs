//! Invitations: a text that lets one user enrol an authenticator of their own, once.
//!
//! 100 random bits, written `xxxx-xxxx-xxxx-xxxx-xxxx`: one group more than a
//! recovery code, so that the form alone says which of the two is typed. Kept
//! as an Argon2id hash with its end; shown once, to the operator.

use crate::recovery::{HASH, LANES, MEMORY_KIB, PASSES, SALT, fill_grouped, is_grouped};
use crate::slow_hash::slow_hash;
use crate::store::StoreError;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Five groups of four symbols, and the dashes between them.
const LENGTH: usize = 24;

/// What looking at one costs; the text is random, so this only adds to 100 bits.
const COST: (u32, u32, u32) = (MEMORY_KIB, PASSES, LANES);

/// A clock that was set back by no more than this makes no invitation void, in seconds.
const CLOCK_SLACK_S: i64 = 300;

/// An invitation as it stands in the record.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invitation {
    salt: String,
    hash: String,
    made_s: i64,
    until_s: i64,
}

/// What a typed text is to an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invited {
    /// It is the one, and holds.
    Now,
    /// It is the one, and its time is over.
    TooLate,
    /// It is another.
    No,
}

/// A text that has the form of an invitation, in lower case. Wiped when dropped.
pub(crate) struct TypedInvitation(Zeroizing<[u8; LENGTH]>);

impl TypedInvitation {
    /// `None` unless it is five groups of four symbols with dashes; upper case is taken for lower case.
    pub(crate) fn parse(typed: &str) -> Option<Self> {
        let mut text = Zeroizing::new(<[u8; LENGTH]>::try_from(typed.as_bytes()).ok()?);
        text.make_ascii_lowercase();
        is_grouped(text.as_ref()).then_some(Self(text))
    }

    fn random() -> Result<Self, StoreError> {
        let mut text = Zeroizing::new([0; LENGTH]);
        fill_grouped(text.as_mut())?;
        Ok(Self(text))
    }

    pub(crate) fn as_str(&self) -> &str {
        // Only ASCII gets in.
        std::str::from_utf8(self.0.as_ref()).unwrap_or_default()
    }
}

impl Invitation {
    /// A new invitation that holds from `now_s` until `until_s` (seconds since the Unix epoch), and its text.
    pub(crate) fn generate(
        now_s: i64,
        until_s: i64,
    ) -> Result<(Self, TypedInvitation), StoreError> {
        let mut salt = [0u8; SALT];
        getrandom::fill(&mut salt)?;
        let code = TypedInvitation::random()?;
        let invitation = Self {
            salt: BASE64.encode(&salt),
            hash: BASE64.encode(slow_hash(COST, &salt, code.0.as_ref())?.as_ref()),
            made_s: now_s,
            until_s,
        };
        Ok((invitation, code))
    }

    /// What is wrong with what a record says, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let sized = |text: &str, length| {
            BASE64
                .decode(text.as_bytes())
                .is_ok_and(|b| b.len() == length)
        };
        let sound = sized(&self.salt, SALT) && sized(&self.hash, HASH);
        (!sound).then_some("salt or hash of the invitation is not base64 of the right length")
    }

    /// Until when it holds, if it holds now, in seconds since the Unix epoch.
    pub(crate) fn until_s(&self, now_s: i64) -> Option<i64> {
        let begun = self.made_s <= now_s.saturating_add(CLOCK_SLACK_S);
        (begun && now_s < self.until_s).then_some(self.until_s)
    }

    /// Notes for good that its time is over, if it is: a clock that goes back makes it hold no more.
    pub(crate) fn end_if_over(&mut self, now_s: i64) {
        if now_s >= self.until_s {
            self.until_s = i64::MIN;
        }
    }

    /// Compares a typed text.
    pub(crate) fn compare(
        &self,
        typed: &TypedInvitation,
        now_s: i64,
    ) -> Result<Invited, StoreError> {
        let salt = BASE64.decode(self.salt.as_bytes()).unwrap_or_default();
        let stored = BASE64.decode(self.hash.as_bytes()).unwrap_or_default();
        let hash = slow_hash(COST, &salt, typed.0.as_ref())?;
        Ok(match bool::from(stored.as_slice().ct_eq(hash.as_ref())) {
            true if self.until_s(now_s).is_some() => Invited::Now,
            true => Invited::TooLate,
            false => Invited::No,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_is_100_bits_and_has_not_the_form_of_a_recovery_code() {
        let (invitation, code) = Invitation::generate(0, 10).unwrap();
        assert_eq!(code.as_str().len(), 24);
        assert!(!code.as_str()[..19].contains(['0', '1', 'l', 'o']));
        assert!(TypedInvitation::parse(&code.as_str()[..19]).is_none());
        let stored = serde_json::to_string(&invitation).unwrap();
        assert!(!stored.contains(code.as_str()));
        let (_, other) = Invitation::generate(0, 10).unwrap();
        assert_ne!(code.as_str(), other.as_str());
    }

    #[test]
    fn it_holds_from_when_it_was_made_until_its_end() {
        let (invitation, code) = Invitation::generate(1000, 2000).unwrap();
        let at = |now_s| invitation.compare(&code, now_s).unwrap();
        assert_eq!(at(1000), Invited::Now);
        assert_eq!(at(1999), Invited::Now);
        assert_eq!(at(2000), Invited::TooLate);
        assert_eq!(at(701), Invited::Now);
        assert_eq!(at(600), Invited::TooLate);
        let (_, other) = Invitation::generate(0, 10).unwrap();
        assert_eq!(invitation.compare(&other, 1500).unwrap(), Invited::No);
        let loud = TypedInvitation::parse(&code.as_str().to_uppercase()).unwrap();
        assert_eq!(invitation.compare(&loud, 1500).unwrap(), Invited::Now);
    }

    #[test]
    fn one_that_was_seen_to_be_over_stays_over() {
        let (mut invitation, code) = Invitation::generate(1000, 2000).unwrap();
        for (seen_s, then) in [
            (1999, Invited::Now),
            (2000, Invited::TooLate),
            (1999, Invited::TooLate),
        ] {
            invitation.end_if_over(seen_s);
            assert_eq!(invitation.compare(&code, 1500).unwrap(), then, "{seen_s}");
        }
    }
}
