//! RFC 6238 codes: which step a typed code belongs to, if any.
//!
//! The mathematics is totp-rs's. Parsing, the window and the comparison are
//! here, because they are what replay protection depends on: exactly N ASCII
//! digits, one step of clock skew on either side and never more, and every
//! candidate computed and compared whatever the outcome.

use data_encoding::BASE32_NOPAD;
use jump_proto::Secret;
pub use jump_proto::{TotpAlgorithm as Algorithm, TotpParams as Params};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// Steps accepted before and after the present one (RFC 6238 section 5.2 recommends at most one).
pub(crate) const SKEW: u64 = 1;

/// Length of a new key in bytes: the hash's own (RFC 6238 section 5.1).
pub(crate) fn key_length(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::Sha1 => 20,
        Algorithm::Sha256 => 32,
        Algorithm::Sha512 => 64,
    }
}

/// The same hash, as totp-rs calls it.
fn hash(algorithm: Algorithm) -> totp_rs::Algorithm {
    match algorithm {
        Algorithm::Sha1 => totp_rs::Algorithm::SHA1,
        Algorithm::Sha256 => totp_rs::Algorithm::SHA256,
        Algorithm::Sha512 => totp_rs::Algorithm::SHA512,
    }
}

/// The step that `now_unix_s` lies in.
pub(crate) fn step_at(params: &Params, now_unix_s: u64) -> u64 {
    now_unix_s / u64::from(params.period_s.max(1))
}

/// The shared key. Wiped when dropped.
pub(crate) struct Key(Zeroizing<Vec<u8>>);

impl Key {
    pub(crate) fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// Base32 without padding (RFC 4648), as shown to the user.
    pub(crate) fn to_base32(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE32_NOPAD.encode(&self.0))
    }

    /// `None` unless it is base32 of 16 to 64 bytes (RFC 4226 section 4 demands 128 bits).
    pub(crate) fn from_base32(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(BASE32_NOPAD.decode(text.as_bytes()).ok()?);
        (16..=64).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The code of one step; `None` beyond the end of time.
    fn code(&self, params: &Params, step: u64) -> Option<Zeroizing<String>> {
        let time = step.checked_mul(u64::from(params.period_s))?;
        let totp = totp_rs::Builder::new()
            .with_algorithm(hash(params.algorithm))
            .with_digits(params.digits)
            .with_step_duration(u64::from(params.period_s))
            .with_secret(totp_rs::Secret::new(self.0.as_slice().into()))
            .build()
            .ok()?;
        Some(Zeroizing::new(totp.generate(time).to_string()))
    }
}

/// A text that has the form of a code: N ASCII digits and nothing else.
pub(crate) struct TypedCode<'a>(&'a str);

impl<'a> TypedCode<'a> {
    pub(crate) fn parse(typed: &'a str, params: &Params) -> Option<Self> {
        let shaped =
            typed.len() == usize::from(params.digits) && typed.bytes().all(|b| b.is_ascii_digit());
        shaped.then_some(Self(typed))
    }
}

/// What a typed code is to a key at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    /// The code of this step, which is inside the window and later than the last accepted one.
    Fresh(u64),
    /// A right code whose step is not later than the last accepted one.
    Stale,
    /// Not a code of this key now.
    None,
}

/// Finds the step that `typed` is the code of.
///
/// The step accepted last is a candidate too, however long ago it was, so that
/// a code seen over a shoulder, or a clock stepped back, is told from a guess.
pub(crate) fn find(
    key: &Key,
    params: &Params,
    typed: &TypedCode<'_>,
    now_step: u64,
    last: Option<u64>,
) -> Match {
    let mut fresh = None;
    let mut stale = Choice::from(0);
    let window = now_step.saturating_sub(SKEW)..=now_step.saturating_add(SKEW);
    for step in window.rev().chain(last) {
        let Some(code) = key.code(params, step) else {
            continue;
        };
        let equal = code.as_bytes().ct_eq(typed.0.as_bytes());
        if last.is_some_and(|last| step <= last) {
            stale |= equal;
        } else if bool::from(equal) {
            // The earliest fresh step wins: the later one stays usable.
            fresh = Some(step);
        }
    }
    match fresh {
        Some(step) => Match::Fresh(step),
        None if bool::from(stale) => Match::Stale,
        None => Match::None,
    }
}

/// The code that an authenticator with this key shows at a time: for tests that play the user.
///
/// `None` when the key is not base32 of at least 128 bits, or the parameters are not ours.
#[must_use]
pub fn code_at(secret_base32: &str, params: &Params, now_unix_s: u64) -> Option<Secret> {
    if params.problem().is_some() {
        return None;
    }
    let key = Key::from_base32(secret_base32)?;
    let code = key.code(params, step_at(params, now_unix_s))?;
    Some(Secret::new(code.as_str().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bytes: &[u8]) -> Key {
        Key::from_bytes(Zeroizing::new(bytes.to_vec()))
    }

    /// RFC 6238 appendix B. The keys for the longer hashes are the ones the
    /// appendix's reference code uses: the 20 ASCII digits repeated to the hash's length.
    #[test]
    fn the_vectors_of_rfc_6238_hold() {
        let ascii = b"1234567890".repeat(7);
        let table: [(u64, &str, &str, &str); 6] = [
            (59, "94287082", "46119246", "90693936"),
            (1_111_111_109, "07081804", "68084774", "25091201"),
            (1_111_111_111, "14050471", "67062674", "99943326"),
            (1_234_567_890, "89005924", "91819424", "93441116"),
            (2_000_000_000, "69279037", "90698825", "38618901"),
            (20_000_000_000, "65353130", "77737706", "47863826"),
        ];
        for (time, sha1, sha256, sha512) in table {
            for (algorithm, expected) in [
                (Algorithm::Sha1, sha1),
                (Algorithm::Sha256, sha256),
                (Algorithm::Sha512, sha512),
            ] {
                let eight = Params {
                    algorithm,
                    digits: 8,
                    period_s: 30,
                };
                let six = Params { digits: 6, ..eight };
                let key = key(&ascii[..key_length(algorithm)]);
                assert_eq!(*key.code(&eight, time / 30).unwrap(), expected);
                // Six digits are the last six of eight (RFC 4226 section 5.3).
                assert_eq!(*key.code(&six, time / 30).unwrap(), expected[2..]);
            }
        }
    }

    #[test]
    fn a_step_of_60_seconds_is_the_30_second_code_of_the_same_counter() {
        let key = key(b"12345678901234567890");
        let minute = Params {
            period_s: 60,
            ..Params::default()
        };
        assert_eq!(
            *key.code(&minute, 7).unwrap(),
            *key.code(&Params::default(), 7).unwrap()
        );
        assert_eq!(step_at(&minute, 119), 1);
        assert_eq!(step_at(&minute, 120), 2);
    }

    #[test]
    fn only_exactly_n_ascii_digits_have_the_form_of_a_code() {
        let params = Params::default();
        assert!(TypedCode::parse("123456", &params).is_some());
        for bad in [
            "",
            "12345",
            "1234567",
            "12345678",
            " 12345",
            "12345 ",
            " 123456",
            "123456 ",
            "+12345",
            "-12345",
            "+123456",
            "12 456",
            "12345a",
            "١٢٣٤٥٦",
            "１２３４５６",
            "12345\n",
            "0x1234",
            "1e5000",
            "12345\0",
        ] {
            assert!(TypedCode::parse(bad, &params).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn the_window_is_one_step_on_either_side() {
        let (key, params) = (key(b"12345678901234567890"), Params::default());
        for offset in -1500i64..=1500 {
            let step = 100_000u64.saturating_add_signed(offset);
            let code = key.code(&params, step).unwrap();
            let typed = TypedCode::parse(&code, &params).unwrap();
            let found = find(&key, &params, &typed, 100_000, None);
            if offset.abs() <= 1 {
                assert_eq!(found, Match::Fresh(step));
            } else {
                assert_eq!(found, Match::None, "offset {offset}");
            }
        }
    }

    #[test]
    fn the_last_accepted_code_is_known_again_however_old() {
        let (key, params) = (key(b"12345678901234567890"), Params::default());
        let code = key.code(&params, 500).unwrap();
        let typed = TypedCode::parse(&code, &params).unwrap();
        for now in [0, 1, 400, 499, 500, 501, 900] {
            assert_eq!(find(&key, &params, &typed, now, Some(500)), Match::Stale);
        }
    }

    #[test]
    fn no_time_is_beyond_computing() {
        let (key, params) = (key(b"12345678901234567890"), Params::default());
        let typed = TypedCode::parse("000000", &params).unwrap();
        for now in [0, 1, u64::MAX / 30, u64::MAX - 1, u64::MAX] {
            let _ = find(&key, &params, &typed, now, Some(u64::MAX));
        }
    }

    #[test]
    fn a_key_is_base32_of_at_least_128_bits() {
        assert!(Key::from_base32("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").is_some());
        for bad in [
            "",
            "GEZDGNBV",
            "gezdgnbvgy3tqojqgezdgnbvgy3tqojq",
            "0EZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
        ] {
            assert!(Key::from_base32(bad).is_none(), "{bad}");
        }
    }
}
