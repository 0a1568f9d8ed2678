//! What a second factor can be, and what an authenticator must know besides its key.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// A time-based one-time code (RFC 6238).
    Totp,
    /// A recovery code, given with an authenticator for the day it is lost.
    Recovery,
    /// The login key is itself a touched token (`sk-*`, OpenSSH PROTOCOL.u2f).
    SecurityKey,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Totp, Self::Recovery, Self::SecurityKey];

    /// The word used in policy.toml and in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Recovery => "recovery",
            Self::SecurityKey => "security-key",
        }
    }
}

impl FromStr for Method {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        let known = |method: &Self| method.as_str() == s;
        Self::ALL.into_iter().find(known).ok_or(())
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The hash under the HMAC of a one-time code (RFC 6238 section 1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TotpAlgorithm {
    /// What every authenticator app understands.
    #[serde(rename = "SHA1")]
    Sha1,
    /// Not every app honours it.
    #[serde(rename = "SHA256")]
    Sha256,
    /// Not every app honours it.
    #[serde(rename = "SHA512")]
    Sha512,
}

impl TotpAlgorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sha1, Self::Sha256, Self::Sha512];

    /// The name used in `otpauth://` URIs and in policy.toml.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }
}

impl FromStr for TotpAlgorithm {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        let known = |algorithm: &Self| algorithm.as_str() == s;
        Self::ALL.into_iter().find(known).ok_or(())
    }
}

/// What an authenticator must know besides the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TotpParams {
    /// The hash.
    pub algorithm: TotpAlgorithm,
    /// Digits of a code: 6 or 8.
    pub digits: u8,
    /// Length of a step in seconds: 30 or 60.
    pub period_s: u32,
}

impl Default for TotpParams {
    /// What every authenticator app understands: SHA-1, six digits, 30 seconds.
    fn default() -> Self {
        Self {
            algorithm: TotpAlgorithm::Sha1,
            digits: 6,
            period_s: 30,
        }
    }
}

impl TotpParams {
    /// What is wrong with these parameters, if anything.
    #[must_use]
    pub fn problem(&self) -> Option<&'static str> {
        if !matches!(self.digits, 6 | 8) {
            Some("digits must be 6 or 8")
        } else if !matches!(self.period_s, 30 | 60) {
            Some("period_s must be 30 or 60")
        } else {
            None
        }
    }
}

impl fmt::Display for TotpParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            algorithm,
            digits,
            period_s,
        } = self;
        write!(f, "{digits} digits, {}, {period_s} s", algorithm.as_str())
    }
}

/// Parameters of a new authenticator as far as the operator chose them; the policy has the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotpChoice {
    /// The hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<TotpAlgorithm>,
    /// Digits of a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits: Option<u8>,
    /// Length of a step in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_s: Option<u32>,
}

impl TotpChoice {
    /// The choice where there is one, else what `otherwise` says.
    #[must_use]
    pub fn or(self, otherwise: TotpParams) -> TotpParams {
        TotpParams {
            algorithm: self.algorithm.unwrap_or(otherwise.algorithm),
            digits: self.digits.unwrap_or(otherwise.digits),
            period_s: self.period_s.unwrap_or(otherwise.period_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_has_one_word_everywhere() {
        for method in Method::ALL {
            let word = method.as_str();
            assert_eq!(word.parse(), Ok(method));
            assert_eq!(serde_json::to_value(method).unwrap(), word);
        }
        assert_eq!("none".parse::<Method>(), Err(()));
    }

    #[test]
    fn only_what_authenticators_know_is_a_parameter() {
        let some = |digits, period_s| TotpParams {
            digits,
            period_s,
            ..TotpParams::default()
        };
        for (digits, period_s) in [(6, 30), (6, 60), (8, 30), (8, 60)] {
            assert_eq!(some(digits, period_s).problem(), None);
        }
        for (digits, period_s) in [(0, 30), (7, 30), (9, 30), (6, 0), (6, 29), (6, 90)] {
            assert!(some(digits, period_s).problem().is_some());
        }
        assert_eq!(TotpParams::default().to_string(), "6 digits, SHA1, 30 s");
    }

    #[test]
    fn a_choice_leaves_the_rest_as_it_is() {
        let chosen = TotpChoice {
            digits: Some(8),
            ..TotpChoice::default()
        };
        let base = TotpParams {
            algorithm: TotpAlgorithm::Sha256,
            digits: 6,
            period_s: 60,
        };
        assert_eq!(chosen.or(base), TotpParams { digits: 8, ..base });
        assert_eq!("SHA512".parse(), Ok(TotpAlgorithm::Sha512));
        assert_eq!("sha512".parse::<TotpAlgorithm>(), Err(()));
    }
}
