//! What the bytes of an account index mean, version 1.
//!
//! ```text
//! offset  size
//!      0     7  "JUMPACC"
//!      7     1  version, 1
//!      8     8  checksum of everything after it
//!     16     4  length of the file
//!     20     4  users
//!     24     4  groups
//!     28     4  scope entries
//!     32     4  memberships
//!     36     4  members
//!     40     4  bytes of text
//!     44        users        12 words each, sorted by name:
//!                            uid, gid, name, gecos, home, shell, groups
//!               by uid       1 word each: which user, sorted by uid
//!               groups       5 words each, sorted by name: gid, name, members
//!               by gid       1 word each: which group, sorted by gid
//!               scope        4 words each: name, whether it has a gid, gid
//!               memberships  1 word each: gid; a user's `groups` is a run of them
//!               members      1 word each: which user; a group's `members` is a run
//!               text         UTF-8, without terminators
//! ```
//!
//! Numbers are little-endian 32-bit words. A name, gecos, home or shell is
//! (start, length) in the text; a run is (start, count) in its table. The
//! sections follow each other without gaps, so the counts alone say where
//! each begins: there is no table of offsets to lie about it.
//!
//! Sorted tables rather than hash tables: a search among a thousand users
//! touches ten entries, no hash function becomes part of the format, and no
//! choice of names makes it slow.

use std::fmt;
use std::ops::Range;

/// First bytes of every version.
pub const MAGIC: [u8; 7] = *b"JUMPACC";
/// The version this crate writes and reads.
pub const VERSION: u8 = 1;
/// Bytes before the first section.
pub const HEADER: usize = 44;
/// Where the part covered by the checksum begins.
const SUMMED: usize = 16;
/// No index is longer, in bytes: a reader refuses it before it maps it.
pub const MAX_LEN: u64 = 256 << 20;

/// Words of a user entry.
pub(crate) const USER_WORDS: usize = 12;
/// Words of a group entry.
pub(crate) const GROUP_WORDS: usize = 5;
/// Words of a scope entry.
pub(crate) const SCOPE_WORDS: usize = 4;

/// Little-endian word as it stands in the file.
pub(crate) type Word = [u8; 4];

/// Why bytes are not a usable index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damaged {
    /// It does not begin as an index does.
    NotAnIndex,
    /// It is an index of another version of the format.
    Version(u8),
    /// It is not as long as it says.
    Length,
    /// Its content is not what was written.
    Checksum,
    /// Its sections do not fill it exactly.
    Sections,
    /// An entry points outside its table, is out of order, or has a name or
    /// id that no index may have.
    Entry,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnIndex => f.write_str("not an account index"),
            Self::Version(v) => write!(
                f,
                "account index of format version {v}, this program reads {VERSION}"
            ),
            Self::Length => f.write_str("account index is cut short or has trailing bytes"),
            Self::Checksum => f.write_str("account index does not match its checksum"),
            Self::Sections => f.write_str("account index has inconsistent section sizes"),
            Self::Entry => f.write_str("account index has an impossible entry"),
        }?;
        f.write_str("; run \"jumpctl apply\" to write it anew")
    }
}

impl std::error::Error for Damaged {}

/// Where the sections of a checked index lie. Kept by whoever keeps the
/// bytes, so that the checksum is computed once and not at each lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub(crate) users: Range<usize>,
    pub(crate) by_uid: Range<usize>,
    pub(crate) groups: Range<usize>,
    pub(crate) by_gid: Range<usize>,
    pub(crate) scope: Range<usize>,
    pub(crate) memberships: Range<usize>,
    pub(crate) members: Range<usize>,
    pub(crate) text: Range<usize>,
}

impl Layout {
    /// Checks magic, version, length, checksum and section sizes of `bytes`.
    /// Entries are checked as they are read, or all at once by
    /// [`Index::verify`](crate::Index::verify).
    pub fn of(bytes: &[u8]) -> Result<Self, Damaged> {
        let Some((magic, [version])) = bytes.get(..8).and_then(|b| b.split_first_chunk::<7>())
        else {
            return Err(Damaged::NotAnIndex);
        };
        if *magic != MAGIC {
            return Err(Damaged::NotAnIndex);
        }
        if *version != VERSION {
            return Err(Damaged::Version(*version));
        }
        let mut words = header(bytes).ok_or(Damaged::Length)?;
        let [length, counts @ ..] = &mut words;
        if usize::try_from(*length) != Ok(bytes.len()) {
            return Err(Damaged::Length);
        }
        let stored = bytes.get(8..).and_then(|b| b.first_chunk::<8>());
        let summed = bytes.get(SUMMED..).ok_or(Damaged::Length)?;
        if stored.map(|s| u64::from_le_bytes(*s)) != Some(checksum(summed)) {
            return Err(Damaged::Checksum);
        }
        Self::from_counts(counts, bytes.len()).ok_or(Damaged::Sections)
    }

    fn from_counts(counts: &[u32], length: usize) -> Option<Self> {
        let [users, groups, scope, memberships, members, text] = *counts else {
            return None;
        };
        let mut end = HEADER;
        let mut section = |count: u32, size: usize| -> Option<Range<usize>> {
            let start = end;
            end = usize::try_from(count)
                .ok()?
                .checked_mul(size)?
                .checked_add(start)?;
            Some(start..end)
        };
        let layout = Self {
            users: section(users, USER_WORDS.checked_mul(4)?)?,
            by_uid: section(users, 4)?,
            groups: section(groups, GROUP_WORDS.checked_mul(4)?)?,
            by_gid: section(groups, 4)?,
            scope: section(scope, SCOPE_WORDS.checked_mul(4)?)?,
            memberships: section(memberships, 4)?,
            members: section(members, 4)?,
            text: section(text, 1)?,
        };
        (end == length).then_some(layout)
    }
}

/// The seven words after the checksum.
fn header(bytes: &[u8]) -> Option<[u32; 7]> {
    let (words, _) = bytes.get(SUMMED..HEADER)?.as_chunks::<4>();
    let words: &[Word; 7] = words.try_into().ok()?;
    Some(words.map(u32::from_le_bytes))
}

/// Writes the checksum that fits the bytes: for tests and fuzzers, which
/// want their changes judged by what they change.
pub fn reseal(bytes: &mut [u8]) {
    let Some((head, summed)) = bytes.split_at_mut_checked(SUMMED) else {
        return;
    };
    if let Some(place) = head.last_chunk_mut::<8>() {
        *place = checksum(summed).to_le_bytes();
    }
}

/// Tells accidents (a bad disk, an editor, a truncated copy) from an index;
/// it is no defence against someone who may write the file. Every step is
/// invertible, so a change within any one 8-byte word is always seen.
fn checksum(bytes: &[u8]) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let step = |sum: u64, word: u64| (sum ^ word).wrapping_mul(ODD).rotate_left(29);
    let (words, tail) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(bytes.len() as u64, |sum, w| {
        step(sum, u64::from_le_bytes(*w))
    });
    let last = tail.iter().rev().fold(0, |n, b| (n << 8) | u64::from(*b));
    step(sum, last)
}
