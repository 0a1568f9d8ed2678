//! Which ids and names may stand in the index. The writer refuses the
//! others, and so does `libnss_jump` at each lookup: a file that was
//! tampered with still cannot make anybody root.

/// Longest user or group name, in bytes (what `utmp` holds).
pub const NAME_MAX: usize = 32;

/// Ids that belong to the system and are never given to a policy user or
/// group: root and system accounts (below 1000), those that systemd hands out
/// (homes, containers, dynamic users, foreign systems), `nobody`, and those
/// that some programs read as negative or as -1.
///
/// The policy refuses the same ones, with the reason for each; here they are
/// refused to whoever wrote the file.
pub const fn is_reserved_id(id: u32) -> bool {
    matches!(
        id,
        0..=999
            | 60_001..=60_705
            | 61_184..=65_519
            | 65_534
            | 65_535
            | 2_147_352_576..=2_147_418_111
            | 2_147_483_648..=u32::MAX
    )
}

/// Whether `name` may name a user or group of the policy: 1 to
/// [`NAME_MAX`] ASCII letters, digits, `_`, `-`, `.`; neither starting with
/// `-` or `.` (options, paths) nor all digits (tools take it for an id).
pub fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() <= NAME_MAX
        && !matches!(bytes.first(), None | Some(b'-' | b'.'))
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && !bytes.iter().all(u8::is_ascii_digit)
}

/// Whether `text` can be a field of a passwd entry: no `:`, no control
/// character (a newline would forge a second entry).
pub fn is_field(text: &str) -> bool {
    text.len() <= 1024 && !text.chars().any(|c| c == ':' || c.is_control())
}

/// Whether `name` can be a group of another source (SSSD, LDAP, Samba) in
/// the scope list: these know spaces, backslashes and `@`.
pub fn is_scope_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && is_field(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_every_reserved_range() {
        for id in [
            0,
            1,
            999,
            60_001,
            60_705,
            61_184,
            65_519,
            65_534,
            65_535,
            2_147_352_576,
            2_147_418_111,
            1 << 31,
            u32::MAX - 1,
            u32::MAX,
        ] {
            assert!(is_reserved_id(id), "{id}");
        }
        for id in [
            1000,
            60_000,
            60_706,
            61_183,
            65_520,
            65_533,
            65_536,
            66_000,
            70_001,
            2_147_352_575,
            2_147_418_112,
            i32::MAX as u32,
        ] {
            assert!(!is_reserved_id(id), "{id}");
        }
    }

    #[test]
    fn names_that_tools_would_misread_are_refused() {
        for bad in [
            "",
            "-oProxyCommand",
            ".",
            "..",
            "../x",
            "a/b",
            "a b",
            "a:b",
            "a\nb",
            "a\0b",
            "123",
            "аlice", // Cyrillic а
            "a23456789012345678901234567890123",
            "root$",
        ] {
            assert!(!is_name(bad), "{bad:?}");
        }
        for good in [
            "alice",
            "_x",
            "a.b-c_D",
            "1a",
            "a2345678901234567890123456789012",
        ] {
            assert!(is_name(good), "{good:?}");
        }
    }
}
