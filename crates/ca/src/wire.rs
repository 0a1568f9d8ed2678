//! How SSH writes data down (RFC 4251, section 5).

use crate::certificate::TermsError;

/// Reads values one after the other; nothing beyond the end, nothing that is not whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        let mut after = *self;
        let length = usize::try_from(after.u32()?).ok()?;
        let (string, rest) = after.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }

    /// Whether everything was read.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

/// Writes values one after the other.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    pub(crate) fn u32(mut self, number: u32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(crate) fn u64(mut self, number: u64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    /// # Errors
    /// When it is longer than a length can say.
    pub(crate) fn string(mut self, string: &[u8]) -> Result<Self, TermsError> {
        let length = u32::try_from(string.len()).map_err(|_| TermsError::TooLong)?;
        self.0.extend(length.to_be_bytes());
        self.0.extend_from_slice(string);
        Ok(self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}
