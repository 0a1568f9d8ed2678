//! One frame: what happened, when, and its place in the row.

use crate::wire::take_u64;

/// The most data that one frame carries, in bytes; more is split.
pub const MAX_DATA: usize = 64 * 1024;
/// Time and kind.
pub(crate) const FIXED: usize = 8 + 1;

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
    /// The new size of the terminal as columns and rows, if this frame says one.
    #[must_use]
    pub fn size(&self) -> Option<(u16, u16)> {
        if self.kind != Kind::Resize {
            return None;
        }
        let (cols, rows) = std::str::from_utf8(&self.data).ok()?.split_once('x')?;
        Some((cols.parse().ok()?, rows.parse().ok()?))
    }

    /// What is compressed: time (64 bits, little-endian), kind, data.
    pub(crate) fn put(micros: u64, kind: Kind, data: &[u8], body: &mut Vec<u8>) {
        body.clear();
        body.extend_from_slice(&micros.to_le_bytes());
        body.push(kind.byte());
        body.extend_from_slice(data);
    }

    pub(crate) fn from_body(sequence: u64, body: &[u8]) -> Option<Self> {
        let (micros, rest) = take_u64(body)?;
        let (kind, data) = rest.split_first()?;
        Some(Self {
            sequence,
            micros,
            kind: Kind::from_byte(*kind)?,
            data: data.to_vec(),
        })
    }
}
