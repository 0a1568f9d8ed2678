//! Who stands in `/etc/passwd` or `/etc/group`.
//!
//! Read as glibc's own parser reads them (blanks before an entry, a plus sign
//! or zeros before a number), and more generously where it refuses: a line it
//! would skip can still hide one of ours, which is the safe mistake. One pass
//! through a small buffer, no line too long, nothing allocated.

use std::ffi::CStr;

use jump_accounts::NAME_MAX;
use libc::c_int;

use crate::sys::{File, Stamp};

/// Calls `entry` with name and id of each line of the file at `path`, and
/// answers which state of the file it was; `None` if there is no such file.
pub(crate) fn entries(
    path: &CStr,
    mut entry: impl FnMut(&str, Option<u32>),
) -> Result<Option<Stamp>, c_int> {
    let file = match File::open(path, true) {
        Ok(file) => file,
        Err(libc::ENOENT) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let stamp = file.stamp()?;
    if !stamp.is_regular() {
        return Err(libc::EINVAL);
    }
    let mut line = Line::default();
    let mut buffer = [0; 4096];
    let mut offset = 0u64;
    loop {
        let count = file.read_at(&mut buffer, offset)?;
        offset = offset.saturating_add(count as u64);
        let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else {
            break;
        };
        for byte in chunk {
            if *byte == b'\n' {
                line.finish(&mut entry);
            } else {
                line.push(*byte);
            }
        }
    }
    line.finish(&mut entry);
    Ok(Some(stamp))
}

/// The part of a line read so far.
#[derive(Default)]
struct Line {
    /// Which of the fields between colons; name is 0, the id is 2.
    field: u8,
    name: [u8; NAME_MAX],
    /// Length of the name; more than [`NAME_MAX`] is nobody of ours.
    name_len: usize,
    /// Whether the id has anything but blanks, a plus and digits.
    odd: bool,
    digits: bool,
    id: u64,
}

impl Line {
    fn push(&mut self, byte: u8) {
        match (self.field, byte) {
            (_, b':') => self.field = self.field.saturating_add(1),
            (0, b' ' | b'\t' | b'\r' | 0x0b | 0x0c) if self.name_len == 0 => {}
            (0, _) => {
                if let Some(place) = self.name.get_mut(self.name_len) {
                    *place = byte;
                }
                self.name_len = self.name_len.saturating_add(1);
            }
            (2, b'0'..=b'9') => {
                self.digits = true;
                let digit = u64::from(byte.saturating_sub(b'0'));
                self.id = self.id.saturating_mul(10).saturating_add(digit);
            }
            (2, b' ' | b'\t' | b'+') if !self.digits => {}
            (2, _) => self.odd = true,
            _ => {}
        }
    }

    fn finish(&mut self, entry: &mut impl FnMut(&str, Option<u32>)) {
        let name = self.name.get(..self.name_len).unwrap_or_default();
        let name = std::str::from_utf8(name).unwrap_or_default();
        let id = u32::try_from(self.id)
            .ok()
            .filter(|_| self.digits && !self.odd);
        if self.field > 0 {
            entry(name, id);
        }
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, Option<u32>)> {
        let mut found = Vec::new();
        let mut line = Line::default();
        for byte in text.bytes().chain([b'\n']) {
            if byte == b'\n' {
                line.finish(&mut |name: &str, id| found.push((name.to_owned(), id)));
            } else {
                line.push(byte);
            }
        }
        found
    }

    #[test]
    fn names_and_ids_of_passwd_and_group_lines() {
        assert_eq!(
            parsed("root:x:0:0:root:/root:/bin/sh\n\n# x\nwheel:*:10:a,b"),
            [("root".into(), Some(0)), ("wheel".into(), Some(10))]
        );
    }

    #[test]
    fn a_number_is_read_as_strtoul_reads_it_or_not_at_all() {
        for (field, id) in [
            ("70001", Some(70_001)),
            (" +070001", Some(70_001)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("99999999999999999999999999", None),
            ("-1", None),
            ("7x", None),
            ("", None),
        ] {
            assert_eq!(
                parsed(&format!("a:x:{field}:")),
                [("a".into(), id)],
                "{field}"
            );
        }
    }

    #[test]
    fn a_name_longer_than_ours_is_nobody_but_its_id_counts() {
        let long = "n".repeat(NAME_MAX + 1);
        assert_eq!(
            parsed(&format!("{long}:x:70001:")),
            [(String::new(), Some(70_001))]
        );
        let longest = "n".repeat(NAME_MAX);
        assert_eq!(parsed(&format!("{longest}:x:1:")), [(longest, Some(1))]);
    }
}
