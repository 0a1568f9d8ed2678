//! The agent protocol, as far as a hop needs it (draft-miller-ssh-agent).
//!
//! ssh asks which keys there are and has one sign; every other request is
//! answered with a failure, which ssh bears.

use crate::certificate::TermsError;
use crate::wire::{Reader, Writer};

/// The longest message, in bytes: a certificate and what is signed with it are about one thousand.
pub const MAX_MESSAGE: usize = 16 * 1024;

/// Numbers of messages.
const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// What ssh asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Which keys there are.
    Identities,
    /// A signature.
    Sign {
        /// With the key of this certificate.
        key: &'a [u8],
        /// Of this.
        data: &'a [u8],
    },
    /// Anything else.
    Other,
}

impl<'a> Request<'a> {
    /// Reads a message without its length. What is not whole, or longer than it should be, is none of ours.
    #[must_use]
    pub fn read(message: &'a [u8]) -> Self {
        Self::known(message).unwrap_or(Self::Other)
    }

    fn known(message: &'a [u8]) -> Option<Self> {
        let mut message = Reader::new(message);
        let request = match message.byte()? {
            REQUEST_IDENTITIES => Self::Identities,
            SIGN_REQUEST => {
                let (key, data) = (message.string()?, message.string()?);
                // Flags are for RSA.
                if message.u32()? != 0 {
                    return None;
                }
                Self::Sign { key, data }
            }
            _ => return None,
        };
        message.is_over().then_some(request)
    }
}

/// What ssh is told.
#[derive(Debug, Clone, Copy)]
pub enum Answer<'a> {
    /// No.
    Failure,
    /// The keys there are: none, or a hop's certificate with a comment.
    Identities(Option<(&'a [u8], &'a str)>),
    /// A signature with its type.
    Signature(&'a [u8]),
}

impl Answer<'_> {
    /// The message with its length before it.
    ///
    /// # Errors
    /// When it is longer than the protocol can say.
    pub fn to_message(self) -> Result<Vec<u8>, TermsError> {
        let message = Writer::default();
        let message = match self {
            Self::Failure => message.byte(FAILURE),
            Self::Identities(None) => message.byte(IDENTITIES_ANSWER).u32(0),
            Self::Identities(Some((key, comment))) => message
                .byte(IDENTITIES_ANSWER)
                .u32(1)
                .string(key)?
                .string(comment.as_bytes())?,
            Self::Signature(signature) => message.byte(SIGN_RESPONSE).string(signature)?,
        };
        Ok(Writer::default().string(message.as_bytes())?.into_bytes())
    }
}
