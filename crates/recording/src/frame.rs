//! One frame: what happened, when, and its place in the row.
//!
//! On disk: length of the body (32 bits), body, hash (32 bytes); the body is
//! sequence number (64 bits), microseconds since the beginning (64 bits), kind
//! (1 byte), data. All numbers are little-endian.

/// The most data that one frame carries, in bytes; more is split.
pub const MAX_DATA: usize = 64 * 1024;
/// Sequence number, time and kind.
pub(crate) const FIXED: usize = 8 + 8 + 1;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $byte:literal,)*) => {
        /// What a frame is about; the letters are asciicast's where it has one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[$doc])* $name,)* }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub(crate) fn byte(self) -> u8 {
                match self { $(Self::$name => $byte,)* }
            }

            pub(crate) fn from_byte(byte: u8) -> Option<Self> {
                match byte { $($byte => Some(Self::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    /// Bytes that the target sent to the screen.
    Output = b'o',
    /// Bytes that were typed; only where the policy asks for them.
    Input = b'i',
    /// New size of the terminal, as `COLSxROWS`.
    Resize = b'r',
    /// A marker, with its label.
    Marker = b'm',
    /// Exit status of the hop, in decimal.
    Exit = b'x',
    /// Something was not recorded; the data says why.
    Gap = b'g',
    /// Nothing happened; the recorder is alive.
    Keepalive = b'k',
    /// The last frame of a recording that was closed in good order.
    Trailer = b'e',
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its place: 0, 1, 2, ...
    pub sequence: u64,
    /// Microseconds since the recording began.
    pub micros: u64,
    /// What it is about.
    pub kind: Kind,
    /// The bytes, as they came.
    pub data: Vec<u8>,
}

impl Frame {
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(FIXED + self.data.len());
        body.extend_from_slice(&self.sequence.to_le_bytes());
        body.extend_from_slice(&self.micros.to_le_bytes());
        body.push(self.kind.byte());
        body.extend_from_slice(&self.data);
        body
    }

    pub(crate) fn from_body(body: &[u8]) -> Option<Self> {
        let (sequence, rest) = body.split_first_chunk::<8>()?;
        let (micros, rest) = rest.split_first_chunk::<8>()?;
        let (kind, data) = rest.split_first()?;
        Some(Self {
            sequence: u64::from_le_bytes(*sequence),
            micros: u64::from_le_bytes(*micros),
            kind: Kind::from_byte(*kind)?,
            data: data.to_vec(),
        })
    }
}
