//! A hop of jump-shell's: its name, and the packets of its recording.
//!
//! A recording has a connection of its own to jumpd. It begins with one JSON
//! message ([`crate::Request::Record`] or [`crate::Request::RecordAgain`]) and
//! its answer; from then on every packet is [`FromShell`] one way and
//! [`FromRecorder`] the other: one byte says what it is, the rest is its data.
//!
//! The shell shows nothing that the recorder has not acknowledged. Of what it
//! sent and has no answer for, it keeps a bounded amount; and it sends a sign
//! of life when nothing else is to be sent, so that a recorder that stands
//! still is noticed while nothing happens, too.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Names one hop, and its recording if it has one: 128 random bits, 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HopId(String);

/// The text is not 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hop, or a recording, is named by 32 lower-case hexadecimal digits")]
pub struct HopIdError;

impl HopId {
    /// A name from 16 random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes.iter().map(|b| format!("{b:02x}")).collect())
    }

    /// The 32 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HopId {
    type Error = HopIdError;
    fn try_from(s: String) -> Result<Self, HopIdError> {
        if s.len() == 32 && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(s))
        } else {
            Err(HopIdError)
        }
    }
}

impl FromStr for HopId {
    type Err = HopIdError;
    fn from_str(s: &str) -> Result<Self, HopIdError> {
        Self::try_from(s.to_owned())
    }
}

impl From<HopId> for String {
    fn from(id: HopId) -> Self {
        id.0
    }
}

impl fmt::Display for HopId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What begins the name of a socket that a guard connects to one of jumpd's.
const ASKER_NAME: &str = "jump-agent/";

/// The abstract name (unix(7)) that a guard gives to a socket before it connects it to
/// [`crate::paths::AGENT_SOCKET`] or [`crate::paths::SHELL_SOCKET`]: it says for which process. `cookie` is the socket's.
#[must_use]
pub fn asker_name(pid: i32, cookie: u64) -> String {
    format!("{ASKER_NAME}{pid}/{cookie}")
}

/// The process of which such a name speaks.
#[must_use]
pub fn asking_process(name: &[u8]) -> Option<i32> {
    let name = std::str::from_utf8(name).ok()?.strip_prefix(ASKER_NAME)?;
    let (pid, cookie) = name.split_once('/')?;
    let pid: i32 = pid.parse().ok()?;
    let cookie: u64 = cookie.parse().ok()?;
    // In no other spelling.
    (pid > 0 && name == format!("{pid}/{cookie}")).then_some(pid)
}

/// The most data in one packet of a recording, in bytes.
pub const RECORD_DATA: usize = 64 * 1024;

/// The shell sends a sign of life when it has sent nothing for so long.
pub const SIGN_OF_LIFE: Duration = Duration::from_millis(250);

/// A recorder that acknowledges nothing for so long, with something to acknowledge, ends the hop.
pub const RECORDER_PATIENCE: Duration = Duration::from_millis(700);

/// For so long a shell that was told [`FromRecorder::ComeAgain`] shows nothing and tries to go on.
pub const RECORDER_UPGRADE: Duration = Duration::from_secs(15);

/// From the shell to the recorder. Each counts as one in [`FromRecorder::Kept`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromShell<'a> {
    /// Bytes that are about to be shown, at most [`RECORD_DATA`].
    Output(&'a [u8]),
    /// The terminal's new size.
    Size {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// A marker.
    Marker(&'a str),
    /// Nothing happened.
    Alive,
    /// The hop is over, with this exit status; nothing follows.
    Over {
        /// Of ssh: the remote command's, or 255.
        status: u8,
    },
}

/// From the recorder to the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromRecorder {
    /// So many packets of this connection are kept.
    Kept(u64),
    /// A sentence for the user; the hop goes on.
    Notice(String),
    /// The hop must end now; a sentence for the user.
    End(String),
    /// The recorder is about to be started anew. What is not acknowledged is to be sent again on a new
    /// connection, after [`crate::Request::RecordAgain`].
    ComeAgain,
}

/// The packet is not one of a recording's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a packet of a recording")]
pub struct NotAPacket;

impl<'a> FromShell<'a> {
    /// Writes the packet into `packet`, whose memory is used again.
    pub fn put(self, packet: &mut Vec<u8>) {
        packet.clear();
        match self {
            Self::Output(data) => {
                packet.push(b'o');
                packet.extend_from_slice(data);
            }
            Self::Size { cols, rows } => {
                packet.push(b'r');
                packet.extend_from_slice(&cols.to_le_bytes());
                packet.extend_from_slice(&rows.to_le_bytes());
            }
            Self::Marker(label) => {
                packet.push(b'm');
                packet.extend_from_slice(label.as_bytes());
            }
            Self::Alive => packet.push(b'k'),
            Self::Over { status } => packet.extend_from_slice(&[b'x', status]),
        }
    }

    /// Reads a packet.
    ///
    /// # Errors
    /// When it is none.
    pub fn get(packet: &'a [u8]) -> Result<Self, NotAPacket> {
        let (kind, data) = packet.split_first().ok_or(NotAPacket)?;
        if data.len() > RECORD_DATA {
            return Err(NotAPacket);
        }
        match (kind, data) {
            (b'o', data) => Ok(Self::Output(data)),
            (b'r', &[c0, c1, r0, r1]) => Ok(Self::Size {
                cols: u16::from_le_bytes([c0, c1]),
                rows: u16::from_le_bytes([r0, r1]),
            }),
            (b'm', label) => std::str::from_utf8(label)
                .map(Self::Marker)
                .map_err(|_| NotAPacket),
            (b'k', []) => Ok(Self::Alive),
            (b'x', &[status]) => Ok(Self::Over { status }),
            _ => Err(NotAPacket),
        }
    }
}

impl FromRecorder {
    /// Writes the packet into `packet`, whose memory is used again.
    pub fn put(&self, packet: &mut Vec<u8>) {
        packet.clear();
        match self {
            Self::Kept(count) => {
                packet.push(b'a');
                packet.extend_from_slice(&count.to_le_bytes());
            }
            Self::Notice(text) => {
                packet.push(b'n');
                packet.extend_from_slice(text.as_bytes());
            }
            Self::End(text) => {
                packet.push(b'e');
                packet.extend_from_slice(text.as_bytes());
            }
            Self::ComeAgain => packet.push(b's'),
        }
    }

    /// Reads a packet.
    ///
    /// # Errors
    /// When it is none.
    pub fn get(packet: &[u8]) -> Result<Self, NotAPacket> {
        let (kind, data) = packet.split_first().ok_or(NotAPacket)?;
        let text = |data: &[u8]| String::from_utf8(data.to_vec()).map_err(|_| NotAPacket);
        match kind {
            b'a' => data
                .try_into()
                .map(|count| Self::Kept(u64::from_le_bytes(count)))
                .map_err(|_| NotAPacket),
            b'n' => text(data).map(Self::Notice),
            b'e' => text(data).map(Self::End),
            b's' if data.is_empty() => Ok(Self::ComeAgain),
            _ => Err(NotAPacket),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_into_a_packet_is_got_out_of_it() {
        let mut packet = Vec::new();
        for from in [
            FromShell::Output(b"\x1b[1m\xff"),
            FromShell::Output(b""),
            FromShell::Size { cols: 80, rows: 24 },
            FromShell::Marker("upload"),
            FromShell::Alive,
            FromShell::Over { status: 255 },
        ] {
            from.put(&mut packet);
            assert_eq!(FromShell::get(&packet), Ok(from));
        }
        for from in [
            FromRecorder::Kept(u64::MAX),
            FromRecorder::Notice("The disk is nearly full.".into()),
            FromRecorder::End("The disk is full.".into()),
            FromRecorder::ComeAgain,
        ] {
            from.put(&mut packet);
            assert_eq!(FromRecorder::get(&packet), Ok(from));
        }
    }

    #[test]
    fn a_socket_names_the_process_that_asks() {
        assert_eq!(
            asking_process(asker_name(4711, u64::MAX).as_bytes()),
            Some(4711)
        );
        for other in [
            &b""[..],
            b"jump-agent/4711",
            b"jump-agent/4711/",
            b"jump-agent/-1/7",
            b"jump-agent/0/7",
            b"jump-agent/+1/7",
            b"jump-agent/01/7",
            b"jump-agent/1/7/8",
            b"jump-agent/1/7\xff",
            b"x/jump-agent/1/7",
        ] {
            assert_eq!(asking_process(other), None, "{other:?}");
        }
    }

    #[test]
    fn everything_else_is_no_packet() {
        let long = [&b"o"[..], &vec![0; RECORD_DATA + 1]].concat();
        for packet in [&b""[..], b"?", b"r80x24", b"kk", b"x", b"m\xff", &long] {
            assert_eq!(FromShell::get(packet), Err(NotAPacket));
        }
        for packet in [&b""[..], b"?", b"a1234567", b"n\xff", b"ss"] {
            assert_eq!(FromRecorder::get(packet), Err(NotAPacket));
        }
    }
}
