//! What ssh itself says when a hop does not come about, told from what the target says.
//!
//! Both come by standard error. The first lines are held back as long as each of them
//! is one that ssh says before a login stands; with anything else all of it passes, and
//! everything after it. Only an ssh that ends with 255 is then believed to have said them.

use jump_proto::Reason;

/// So much is held back at most, in bytes.
const HELD_MAX: usize = 4096;

/// How lines of ssh's begin (OpenSSH's sshconnect.c, sshconnect2.c, packet.c, at LogLevel ERROR).
const BEGINNINGS: [&str; 20] = [
    "ssh: ",
    "No ED25519",
    "No ECDSA",
    "No RSA",
    "Host key verification failed.",
    "Host key for ",
    "Host certificate ",
    "Certificate invalid:",
    "kex_exchange_identification:",
    "ssh_exchange_identification:",
    "banner exchange: ",
    "ssh_dispatch_run_fatal: ",
    "Unable to negotiate with ",
    "Connection closed by ",
    "Connection reset by ",
    "Connection timed out",
    "Received disconnect from ",
    "Disconnected from ",
    "sign_and_send_pubkey: ",
    "Load key ",
];

/// What follows user@address in the line about a login.
const REFUSED: &[u8] = b": Permission denied (";

/// A warning in a box: all that follows is part of it.
const BOX: &str = "@@@@@@@@@@";

/// Why there was no hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// No key of the target is known here.
    UnknownKey,
    /// The target has another key than is known here.
    ChangedKey,
    /// The target does not let the user in.
    Login,
    /// There is no connection; what ssh said of it.
    Connection(String),
}

impl Failure {
    /// The word for it.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::UnknownKey | Self::ChangedKey => Reason::HostKeyUnknown,
            Self::Login => Reason::LoginRefused,
            Self::Connection(_) => Reason::ConnectFailed,
        }
    }

    /// What the lines of ssh's mean; none where they are about something else.
    pub(super) fn of(said: &[u8]) -> Option<Self> {
        let said = String::from_utf8_lossy(said);
        if said.contains("HOST IDENTIFICATION HAS CHANGED") || said.contains("REVOKED HOST KEY") {
            return Some(Self::ChangedKey);
        }
        if said.contains("Host key verification failed") {
            return Some(Self::UnknownKey);
        }
        if said.contains("Permission denied (") || said.contains("Too many authentication failures")
        {
            return Some(Self::Login);
        }
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty())?;
        Some(Self::Connection(last.to_owned()))
    }
}

/// Holds back what may be ssh's own.
#[derive(Debug, Default)]
pub(super) struct Gate {
    held: Vec<u8>,
    open: bool,
}

impl Gate {
    /// What of `bytes`, and of what was held back before, is to be shown now.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.open {
            return None;
        }
        self.held.extend_from_slice(bytes);
        if self.held.len() <= HELD_MAX && may_be_own(&self.held) {
            return Some(Vec::new());
        }
        self.open = true;
        Some(std::mem::take(&mut self.held))
    }

    /// What is still held back; from now on everything passes.
    pub(super) fn open(&mut self) -> Vec<u8> {
        self.open = true;
        std::mem::take(&mut self.held)
    }
}

/// Whether every line of `said` begins as one of ssh's, the last as far as it goes.
fn may_be_own(said: &[u8]) -> bool {
    let mut lines = said.split(|b| *b == b'\n').peekable();
    while let Some(line) = lines.next() {
        let is_last = lines.peek().is_none();
        if line.starts_with(BOX.as_bytes()) {
            return true;
        }
        if !is_own_line(line, is_last) {
            return false;
        }
    }
    true
}

fn is_own_line(line: &[u8], is_unfinished: bool) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let begins = |beginning: &&str| {
        line.starts_with(beginning.as_bytes())
            || (is_unfinished && beginning.as_bytes().starts_with(line))
    };
    line.is_empty()
        || BEGINNINGS.iter().chain([&BOX]).any(begins)
        || line.windows(REFUSED.len()).any(|part| part == REFUSED)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes of these pieces at once, and what is held back in the end.
    fn passed(pieces: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
        let mut gate = Gate::default();
        let mut shown = Vec::new();
        for piece in pieces {
            shown.extend(gate.pass(piece).unwrap_or_else(|| piece.to_vec()));
        }
        (shown, gate.open())
    }

    #[test]
    fn what_the_target_says_passes_at_once_and_whole() {
        for pieces in [
            &[&b"x"[..]][..],
            &[b"bash: line 1: nope: command not found\n"],
            &[b"No", b" such file\n", b"Host key verification failed.\r\n"],
            &[b"ssh: ", b"no\nreally\n"],
            &[b"\xff\x00"],
        ] {
            assert_eq!(passed(pieces), (pieces.concat(), Vec::new()), "{pieces:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_not_held_back() {
        let long = [b"ssh: ".to_vec(), vec![b'x'; HELD_MAX]].concat();
        assert_eq!(passed(&[&long]), (long, Vec::new()));
    }

    #[test]
    fn what_ssh_says_is_held_back_and_understood() {
        let refused = "ssh: connect to host 127.0.0.1 port 1: Connection refused";
        for (said, failure) in [
            (
                "No ED25519 host key is known for db1 and you have requested strict checking.\r\nHost key verification failed.\r\n",
                Failure::UnknownKey,
            ),
            (
                "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\nIT IS POSSIBLE\r\nHost key verification failed.\r\n",
                Failure::ChangedKey,
            ),
            (
                "root@127.0.0.1: Permission denied (publickey).\r\n",
                Failure::Login,
            ),
            (
                "Received disconnect from 127.0.0.1 port 22:2: Too many authentication failures\r\nDisconnected from 127.0.0.1 port 22\r\n",
                Failure::Login,
            ),
            (
                &format!("{refused}\r\n"),
                Failure::Connection(refused.to_owned()),
            ),
        ] {
            // ssh writes each line at once.
            let lines: Vec<&[u8]> = said.as_bytes().split_inclusive(|b| *b == b'\n').collect();
            let (shown, held) = passed(&lines);
            assert_eq!((shown, held.as_slice()), (Vec::new(), said.as_bytes()));
            assert_eq!(Failure::of(&held), Some(failure), "{said}");
        }
        assert_eq!(Failure::of(b""), None);
    }
}
