//! Recovery codes: ten, 80 random bits each, shown once, kept as Argon2id hashes, spent one by one.
//!
//! Written `xxxx-xxxx-xxxx-xxxx` in an alphabet without `0 1 l o`, so that no
//! recovery code has the form of a one-time code and the form alone decides
//! which check is made: a wrong six-digit code never costs an Argon2.
//!
//! The ten share one salt. A salt keeps one guess from being tried against
//! many users and against tables made beforehand; a salt per user does both,
//! and an attempt then costs one Argon2 rather than ten.

use crate::slow_hash::slow_hash;
use crate::store::{StoreError, Who};
use crate::turns::{self, Turn};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

/// How many codes are made at once.
pub const CODES: usize = 10;

/// 32 symbols, five bits each; `i` is kept because nothing that resembles it is.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const GROUPS: usize = 4;
const GROUP: usize = 4;
const LENGTH: usize = GROUPS * (GROUP + 1) - 1;
pub(crate) const HASH: usize = 32;
pub(crate) const SALT: usize = 16;

/// What a guess costs. The parameters that OWASP asks for are for passwords, which people choose; these
/// codes are random, and the cost only adds to 80 bits. It is what a login must wait for, and what whoever
/// types codes makes the host pay.
pub(crate) const MEMORY_KIB: u32 = 4 * 1024;
pub(crate) const PASSES: u32 = 1;
pub(crate) const LANES: u32 = 1;

/// Whether a text is groups of four symbols with dashes between them.
pub(crate) fn is_grouped(text: &[u8]) -> bool {
    text.iter().enumerate().all(|(at, symbol)| {
        if at % (GROUP + 1) == GROUP {
            *symbol == b'-'
        } else {
            ALPHABET.contains(symbol)
        }
    })
}

/// Fills a text with groups of four random symbols and dashes between them.
pub(crate) fn fill_grouped(text: &mut [u8]) -> Result<(), StoreError> {
    let mut random = Zeroizing::new(vec![0u8; text.len()]);
    getrandom::fill(&mut random)?;
    for (at, (symbol, byte)) in text.iter_mut().zip(random.iter()).enumerate() {
        *symbol = if at % (GROUP + 1) == GROUP {
            b'-'
        } else {
            // 256 is a multiple of 32: every symbol is equally likely.
            ALPHABET[usize::from(byte % 32)]
        };
    }
    Ok(())
}

/// What new codes cost: in this crate's own tests, which make thousands, next to nothing.
const fn memory_kib() -> u32 {
    if cfg!(test) { 64 } else { MEMORY_KIB }
}

/// A text that has the form of a recovery code, in lower case. Wiped when dropped.
pub(crate) struct TypedCode(Zeroizing<[u8; LENGTH]>);

impl TypedCode {
    /// `None` unless it is four groups of four symbols with dashes; upper case is taken for lower case.
    pub(crate) fn parse(typed: &str) -> Option<Self> {
        let mut code = Zeroizing::new(<[u8; LENGTH]>::try_from(typed.as_bytes()).ok()?);
        code.make_ascii_lowercase();
        is_grouped(code.as_ref()).then_some(Self(code))
    }

    fn random() -> Result<Self, StoreError> {
        let mut code = Zeroizing::new([0; LENGTH]);
        fill_grouped(code.as_mut())?;
        Ok(Self(code))
    }

    pub(crate) fn as_str(&self) -> &str {
        // Only ASCII gets in.
        std::str::from_utf8(self.0.as_ref()).unwrap_or_default()
    }
}

/// Does with a typed text what it takes to look at it as a recovery code or an invitation, for a user of
/// whom nothing is looked at: what is typed alone decides the cost, so the cost tells nothing of the user.
///
/// # Errors
/// When memory is short, or no turn came in time.
pub fn as_if(who: &Who, typed: &str) -> Result<(), StoreError> {
    let _turn = Turn::to_look_at(typed, who.uid)?;
    in_turn_as_if(typed)
}

/// [`as_if`], by somebody who has a turn.
pub(crate) fn in_turn_as_if(typed: &str) -> Result<(), StoreError> {
    if turns::is_slow(typed) {
        slow_hash((MEMORY_KIB, PASSES, LANES), &[0; SALT], typed.as_bytes())?;
    }
    Ok(())
}

/// Whether a text that a user typed has the form of a recovery code; if not, it can only be a one-time code.
#[must_use]
pub fn is_recovery_code(typed: &str) -> bool {
    TypedCode::parse(typed.trim_end_matches(['\r', '\n'])).is_some()
}

/// One code's hash, and when the code was spent.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spent_s: Option<i64>,
}

/// What becomes of a typed recovery code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spent {
    /// It was good and is now spent; so many are left.
    Now {
        /// Codes left.
        left: u32,
    },
    /// It had been spent before.
    Before,
    /// It is not one of this user's.
    Unknown,
}

/// A user's recovery codes as they stand in the record.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecoveryCodes {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    codes: Vec<Entry>,
}

impl RecoveryCodes {
    /// Ten new codes and what to remember of them.
    pub(crate) fn generate() -> Result<(Self, Vec<TypedCode>), StoreError> {
        let mut salt = [0u8; SALT];
        getrandom::fill(&mut salt)?;
        let mut stored = Self {
            memory_kib: memory_kib(),
            passes: PASSES,
            lanes: LANES,
            salt: BASE64.encode(&salt),
            codes: Vec::with_capacity(CODES),
        };
        let mut shown = Vec::with_capacity(CODES);
        for _ in 0..CODES {
            let code = TypedCode::random()?;
            stored.codes.push(Entry {
                hash: BASE64.encode(stored.hash(&code)?.as_ref()),
                spent_s: None,
            });
            shown.push(code);
        }
        Ok((stored, shown))
    }

    /// What is wrong with what a record says, if anything. The bounds keep a
    /// damaged record from asking for all the memory there is.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let sized = |text: &str, length| {
            BASE64
                .decode(text.as_bytes())
                .is_ok_and(|b| b.len() == length)
        };
        if !(8..=64 * 1024).contains(&self.memory_kib)
            || !(1..=8).contains(&self.passes)
            || !(1..=4).contains(&self.lanes)
        {
            Some("the Argon2 parameters are out of bounds")
        } else if !sized(&self.salt, SALT) {
            Some("the salt of the recovery codes is not 16 bytes in base64")
        } else if self.codes.len() > CODES {
            Some("there are too many recovery codes")
        } else if !self.codes.iter().all(|entry| sized(&entry.hash, HASH)) {
            Some("the hash of a recovery code is not 32 bytes in base64")
        } else {
            None
        }
    }

    /// Makes every code that is still good a used one.
    pub(crate) fn void(&mut self, now_s: i64) {
        for entry in &mut self.codes {
            entry.spent_s.get_or_insert(now_s);
        }
    }

    /// Marks as used what is used in `other`, where these are the same codes; whether they are.
    pub(crate) fn join(&mut self, other: &Self) -> bool {
        let same = self.salt == other.salt;
        for (ours, theirs) in self.codes.iter_mut().zip(&other.codes).filter(|_| same) {
            ours.spent_s = ours.spent_s.or(theirs.spent_s);
        }
        same
    }

    /// Codes that are still good.
    pub(crate) fn left(&self) -> u32 {
        let left = self.codes.iter().filter(|e| e.spent_s.is_none()).count();
        u32::try_from(left).unwrap_or(u32::MAX)
    }

    /// Spends `typed` if it is good.
    pub(crate) fn spend(&mut self, typed: &TypedCode, now_s: i64) -> Result<Spent, StoreError> {
        let hash = self.hash(typed)?;
        // Every entry is compared, whatever the outcome.
        let mut found = Choice::from(0);
        let mut index = 0u32;
        for (at, entry) in (0u32..).zip(&self.codes) {
            let stored = BASE64.decode(entry.hash.as_bytes()).unwrap_or_default();
            let equal = stored.as_slice().ct_eq(hash.as_ref());
            index.conditional_assign(&at, equal);
            found |= equal;
        }
        if !bool::from(found) {
            return Ok(Spent::Unknown);
        }
        match self.codes.get_mut(index as usize) {
            Some(entry) if entry.spent_s.is_none() => {
                entry.spent_s = Some(now_s);
                Ok(Spent::Now { left: self.left() })
            }
            _ => Ok(Spent::Before),
        }
    }

    fn hash(&self, code: &TypedCode) -> Result<Zeroizing<[u8; HASH]>, StoreError> {
        let salt = BASE64.decode(self.salt.as_bytes()).unwrap_or_default();
        let cost = (self.memory_kib, self.passes, self.lanes);
        slow_hash(cost, &salt, code.0.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_costs_an_argon2_of_4_mib() {
        assert_eq!((MEMORY_KIB, PASSES, LANES), (4_096, 1, 1));
    }

    #[test]
    fn a_code_is_80_bits_in_four_groups() {
        assert_eq!(
            ALPHABET
                .iter()
                .collect::<std::collections::HashSet<_>>()
                .len(),
            32
        );
        let (_, codes) = RecoveryCodes::generate().unwrap();
        assert_eq!(codes.len(), CODES);
        let texts: std::collections::HashSet<&str> = codes.iter().map(TypedCode::as_str).collect();
        assert_eq!(texts.len(), CODES);
        for text in texts {
            assert_eq!(text.len(), 19);
            assert!(TypedCode::parse(text).is_some());
            assert!(TypedCode::parse(&text.to_uppercase()).is_some());
        }
    }

    #[test]
    fn only_the_exact_form_is_parsed() {
        for bad in [
            "",
            "123456",
            "12345678",
            "abcd-efgh-jkmn",
            "abcdefghjkmnpqrs",
            "abcd-efgh-jkmn-pqr",
            "abcd-efgh-jkmn-pqrst",
            "abcd-efgh-jkmn-pqr0",
            "abcd-efgh-jkmn-pqrl",
            "abcd efgh jkmn pqrs",
            "abcd-efgh-jkmn-pqé",
            " bcd-efgh-jkmn-pqrs",
            "abcd-efgh-jkmn-pqr\n",
            "ab-d-efgh-jkmn-pqrs",
        ] {
            assert!(TypedCode::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_code_is_spent_once_and_known_again() {
        let (mut stored, codes) = RecoveryCodes::generate().unwrap();
        assert_eq!(stored.problem(), None);
        assert_eq!(stored.left(), 10);
        assert_eq!(stored.spend(&codes[3], 7).unwrap(), Spent::Now { left: 9 });
        assert_eq!(stored.spend(&codes[3], 8).unwrap(), Spent::Before);
        assert_eq!(stored.spend(&codes[0], 9).unwrap(), Spent::Now { left: 8 });
        let other = TypedCode::parse("abcd-efgh-jkmn-pqrs").unwrap();
        assert_eq!(stored.spend(&other, 9).unwrap(), Spent::Unknown);
        assert_eq!(stored.left(), 8);
    }

    #[test]
    fn a_stored_code_cannot_be_read_back() {
        let (stored, codes) = RecoveryCodes::generate().unwrap();
        let text = serde_json::to_string(&stored).unwrap();
        for code in codes {
            assert!(!text.contains(code.as_str()));
            assert!(!text.contains(&code.as_str().replace('-', "")));
        }
    }
}
