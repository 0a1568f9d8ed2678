//! The catalogue: every kind of event there is, with everything that is fixed about it.
//!
//! One table, from which come the journal's catalogue text, `docs/events.md`,
//! the message ids and the priorities. A message id is for ever: SIEM rules and
//! `journalctl MESSAGE_ID=` lean on it. A new kind is a new entry with a new id
//! (`systemd-id128 new`), never a changed one.

use crate::event::Outcome;
use crate::event::Outcome::{Failure, Success};

/// How much an event matters: the syslog severity behind `PRIORITY` (RFC 5424 section 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Somebody must look at once (1, alert).
    Alert,
    /// Something is not working (2, critical).
    Broken,
    /// Something was refused (4, warning).
    Denied,
    /// Something is worth a look (5, notice).
    Notable,
    /// Something was allowed, as it should be (6, informational).
    Allowed,
}

use Severity::{Alert, Allowed, Broken, Denied, Notable};

impl Severity {
    /// The number in `PRIORITY`.
    #[must_use]
    pub fn priority(self) -> u8 {
        match self {
            Alert => 1,
            Broken => 2,
            Denied => 4,
            Notable => 5,
            Allowed => 6,
        }
    }
}

/// What is fixed about one kind.
struct Entry {
    word: &'static str,
    id: &'static str,
    severity: Severity,
    outcome: Outcome,
    subject: &'static str,
    text: &'static str,
    fields: &'static str,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident { $($key:ident: $value:expr,)* })*) => {
        /// A kind of event; the word of each is in [`Kind::as_str`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $variant,)*
        }

        impl Kind {
            /// Every kind, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            fn entry(self) -> Entry {
                match self {
                    $(Self::$variant => Entry { $($key: $value,)* },)*
                }
            }
        }
    };
}

kinds! {
    /// Second factor accepted.
    MfaOk {
        word: "mfa.ok",
        id: "bd152ab7c2924e2fb203e32f645f1eb3",
        severity: Allowed,
        outcome: Success,
        subject: "Second factor accepted",
        text: "A second factor was accepted before the login went on. `mfa` says which: `totp`, `recovery`, or `security-key` (the login key itself). A recovery code is spent by its use; it has the reason `recovery_code` and makes this event notable (priority 5): its owner may have lost the phone.",
        fields: "reason user uid session src auth_method key_fp mfa policy detail",
    }
    /// Second factor refused.
    MfaFailed {
        word: "mfa.failed",
        id: "5b72369d64b04cf3a981c574c1313a98",
        severity: Denied,
        outcome: Failure,
        subject: "Second factor refused",
        text: "What was typed is not a code of this user now, or the user has none, or is locked; with `no_answer` nothing was typed, and nothing is counted. `reason` says which. Someone who gets here holds the user's login key.",
        fields: "reason user uid session src auth_method key_fp mfa sandbox policy detail",
    }
    /// Used code refused.
    MfaReplayed {
        word: "mfa.replayed",
        id: "00f4cd11eedb43a28f51c9892dfe721d",
        severity: Denied,
        outcome: Failure,
        subject: "Used code refused",
        text: "A right code was typed that had been used before. Either the user was quicker than the authenticator, or someone saw the code and tried it: ask the user. With `restored_record` or `foreign_record` nothing was compared: the user's record is an old copy, or of another host, with which used codes would be good again. Ask who restored it; `jumpctl mfa reset` and `jumpctl mfa enroll` give the user a new one.",
        fields: "reason user uid session src auth_method key_fp mfa sandbox policy detail",
    }
    /// User locked after wrong codes.
    MfaLocked {
        word: "mfa.locked",
        id: "1d5373e41c0e48b8a05c044921bb1bd1",
        severity: Denied,
        outcome: Failure,
        subject: "User locked after wrong codes",
        text: "Too many wrong codes in a row; for `[mfa] lockout` of the policy, and longer if it happens again, no code that comes with this key from this address is looked at, and its sessions are ended. `jumpctl mfa status` shows what is locked out, `jumpctl mfa unlock` ends it early. Someone who gets here holds the user's login key.",
        fields: "reason user uid session src auth_method key_fp mfa sandbox policy detail",
    }
    /// Second factor not asked for.
    MfaSkipped {
        word: "mfa.skipped",
        id: "48485bf69bda4381bfd79e436b10825a",
        severity: Notable,
        outcome: Success,
        subject: "Second factor not asked for",
        text: "The login went on without asking for a second factor; `reason` says why: `mfa_not_required` for an automation account, `remembered` where a code had been given not long before with this key from this address (`[mfa] remember`; `detail` says when).",
        fields: "reason user uid session src auth_method key_fp mfa policy detail",
    }
    /// Second factor enrolled.
    MfaEnrolled {
        word: "mfa.enrolled",
        id: "6038edbe733c4b7aabac848b71cefaa6",
        severity: Notable,
        outcome: Success,
        subject: "Second factor enrolled",
        text: "A new authenticator secret or new recovery codes were made for a user by an operator, or a waiting secret was confirmed. `user`: the user had new recovery codes made in the restricted shell, with a code of the authenticator. `invitation_made`: an operator made an invitation, and nobody is enrolled yet; `invitation_used`: the user enrolled with it at a login.",
        fields: "reason user uid session src auth_method key_fp mfa sandbox policy detail",
    }
    /// Second factor reset.
    MfaReset {
        word: "mfa.reset",
        id: "3f28b095337f4d48b13f9bf59a724dc2",
        severity: Notable,
        outcome: Success,
        subject: "Second factor reset",
        text: "An operator had secret and recovery codes of a user forgotten, or ended a lock-out.",
        fields: "user uid policy detail",
    }
    /// Login allowed.
    AccessAllowed {
        word: "access.allowed",
        id: "3e1314ac890543768488f6d7189d7fa3",
        severity: Allowed,
        outcome: Success,
        subject: "Login allowed",
        text: "The policy lets this user in from this address now, and the second factor was given.",
        fields: "reason user uid session src rule auth_method key_fp mfa policy detail",
    }
    /// Login denied.
    AccessDenied {
        word: "access.denied",
        id: "f214fd81262a4a6ab4cd65af312e5863",
        severity: Denied,
        outcome: Failure,
        subject: "Login denied",
        text: "The login was refused. `reason` says why; `jumpctl explain` shows what would change the answer.",
        fields: "reason user uid session src rule auth_method key_fp mfa policy detail",
    }
    /// Session opened.
    SessionOpened {
        word: "session.opened",
        id: "c72ffc9c2dd24fc6b045f58fd737644b",
        severity: Allowed,
        outcome: Success,
        subject: "Session opened",
        text: "A connection is open and its guard is at its post. `sandbox` names the layers in force; `session` stands in every later event of this connection.",
        fields: "user uid session src rule auth_method key_fp mfa sandbox policy",
    }
    /// Session refused.
    SessionRefused {
        word: "session.refused",
        id: "34b2f162014840ee9ceb14cec1b476f6",
        severity: Denied,
        outcome: Failure,
        subject: "Session refused",
        text: "The login was right but no session came of it: too many are open, or the guard could not be set up. The connection is being ended.",
        fields: "reason user uid session src key_fp mfa sandbox policy detail",
    }
    /// Session closed.
    SessionClosed {
        word: "session.closed",
        id: "c46446bd83f24a7a9c90bfa6ec8c6f85",
        severity: Allowed,
        outcome: Success,
        subject: "Session closed",
        text: "The last process of a connection is gone. `bytes_sent`, `bytes_received` and `duration_ms` are those of the whole session.",
        fields: "reason user uid session src key_fp mfa bytes_sent bytes_received duration_ms sandbox policy",
    }
    /// Session ended by the policy.
    SessionExpired {
        word: "session.expired",
        id: "2be6d21fa5f14fbfa35620be14fae904",
        severity: Notable,
        outcome: Success,
        subject: "Session ended by the policy",
        text: "A session reached its longest duration, its window closed, it was idle for too long, or the policy no longer allows it. Every process and connection of it was ended.",
        fields: "reason user uid session src key_fp mfa sandbox policy detail",
    }
    /// Session ended by an operator or by its user.
    SessionKilled {
        word: "session.killed",
        id: "e613b0653ec643678558f15e57e1e51b",
        severity: Notable,
        outcome: Success,
        subject: "Session ended by hand",
        text: "A session was ended with every process and connection of it: by `jumpctl sessions kill` (`operator`), or by its user with `sessions end` in the restricted shell (`user`; `detail` says in which session).",
        fields: "reason user uid session src key_fp mfa sandbox policy detail",
    }
    /// Session told of its end.
    SessionWarned {
        word: "session.warned",
        id: "633b32fb347c4450bd08f5adcf4319a6",
        severity: Allowed,
        outcome: Success,
        subject: "Session told of its end",
        text: "A session will end soon, and the user was told where that is possible.",
        fields: "reason user uid session src key_fp mfa sandbox policy detail",
    }
    /// Connection allowed.
    ForwardAllowed {
        word: "forward.allowed",
        id: "b25247f5d03145dd9e944fde6755c412",
        severity: Allowed,
        outcome: Success,
        subject: "Connection allowed",
        text: "A connection from a session to this address is allowed by `rule` and is about to be made.",
        fields: "reason user uid session src dst_name dst rule via mfa key_fp sandbox policy detail",
    }
    /// Connection denied.
    ForwardDenied {
        word: "forward.denied",
        id: "f3b2307d75224224b2902be4008be42a",
        severity: Denied,
        outcome: Failure,
        subject: "Connection denied",
        text: "A session tried to reach an address that it may not reach now; nothing was sent there. `reason` says why. Many of these from one session are a scan. With `forbidden_call` it made a system call that no honest program of a session makes; `detail` says which and why it is refused. What a session does many times is written down in sum.",
        fields: "reason user uid session src dst_name dst rule via mfa key_fp sandbox policy detail",
    }
    /// Connection closed.
    ForwardClosed {
        word: "forward.closed",
        id: "c4bdbd5c70b3441b8c48d0c66f83285f",
        severity: Allowed,
        outcome: Success,
        subject: "Connection closed",
        text: "An allowed connection is over. `bytes_sent` and `bytes_received` are counted by the kernel, seen from the jump server; a failure means that it never came about.",
        fields: "reason user uid session src dst_name dst rule via mfa key_fp bytes_sent bytes_received duration_ms sandbox policy detail",
    }
    /// Restricted shell started.
    ShellStarted {
        word: "shell.started",
        id: "9c34ffdb0c2c4d7eb8b60381fb95fd0d",
        severity: Allowed,
        outcome: Success,
        subject: "Restricted shell started",
        text: "The restricted shell of a session runs. `command` names the program that was asked for, if one was; never its arguments.",
        fields: "reason user uid session src command mfa key_fp sandbox policy",
    }
    /// Command refused.
    ShellRefused {
        word: "shell.refused",
        id: "f7fde5fd81a442489d4f1e0a07225464",
        severity: Denied,
        outcome: Failure,
        subject: "Command refused",
        text: "A command was asked for that is not the restricted shell's own. It was not run.",
        fields: "reason user uid session src command mfa key_fp sandbox policy",
    }
    /// Agent forwarded.
    AgentForwarded {
        word: "agent.forwarded",
        id: "ba44d99edc184406a306c3c40f57d16d",
        severity: Allowed,
        outcome: Success,
        subject: "Agent forwarded",
        text: "The user's own SSH agent came along (`ssh -A`), for the hops whose rule says `agent = \"forwarded\"`. Nothing else in the session reaches it.",
        fields: "user uid session src rule mfa key_fp sandbox policy",
    }
    /// Hop started.
    HopStarted {
        word: "hop.started",
        id: "e2f884fc65374d29843de0f60a097490",
        severity: Allowed,
        outcome: Success,
        subject: "Hop started",
        text: "The restricted shell connects on to a target for the user.",
        fields: "user uid session src dst_name dst rule mfa key_fp sandbox policy hop login recorded agent",
    }
    /// Hop ended.
    HopEnded {
        word: "hop.ended",
        id: "e0b755d969d843ecb9437493cc9b9e90",
        severity: Allowed,
        outcome: Success,
        subject: "Hop ended",
        text: "A hop through the restricted shell is over.",
        fields: "reason user uid session src dst_name dst rule mfa key_fp duration_ms sandbox policy hop login status",
    }
    /// Recording started.
    RecordingStarted {
        word: "recording.started",
        id: "9242fe12c97242cfa3edee461d835f88",
        severity: Allowed,
        outcome: Success,
        subject: "Recording started",
        text: "What the user sees in this hop is being recorded.",
        fields: "user uid session src dst_name dst rule mfa key_fp sandbox policy recording detail",
    }
    /// Recording sealed.
    RecordingSealed {
        word: "recording.sealed",
        id: "79dded84cf734a2baf91ace1007ba41d",
        severity: Allowed,
        outcome: Success,
        subject: "Recording sealed",
        text: "A recording has its end; `jumpctl recordings verify` tells of any later change. Without `closed_by_peer` it ended before the hop did, or without being told; `reason` and `detail` say why.",
        fields: "reason user uid session src dst_name dst rule mfa key_fp sandbox policy recording sequence head size detail",
    }
    /// Recording checkpoint.
    RecordingCheckpoint {
        word: "recording.checkpoint",
        id: "3055d4aef62841a087d6427e41a6b216",
        severity: Allowed,
        outcome: Success,
        subject: "Recording checkpoint",
        text: "So far the recording has come: `sequence` frames, the last one with this `head`. `jumpctl recordings verify` compares them with the file.",
        fields: "user uid session src dst_name dst rule mfa key_fp sandbox policy recording sequence head size",
    }
    /// Recording deleted.
    RecordingDeleted {
        word: "recording.deleted",
        id: "74f850c8509940c4b5426966a7f06d8c",
        severity: Notable,
        outcome: Success,
        subject: "Recording deleted",
        text: "A recording was deleted, as `keep` and `keep_size` in `[recording]` of the policy say; `detail` says which of them, and when it ended.",
        fields: "reason user uid session src dst_name rule policy recording size detail",
    }
    /// User CA changed.
    CaChanged {
        word: "ca.changed",
        id: "ac2bc28bb4e44c299a08f1bf41c6445c",
        severity: Notable,
        outcome: Success,
        subject: "User CA changed",
        text: "The key that hops authenticate with was made or changed; `detail` has its fingerprint. Targets must trust it (`jumpctl ca show`).",
        fields: "reason detail policy",
    }
    /// Recording failed.
    RecordingFailed {
        word: "recording.failed",
        id: "604de6f8663b4beab98d191200693b72",
        severity: Broken,
        outcome: Failure,
        subject: "Recording failed",
        text: "A recording could not be begun or kept, so the hop was refused or ended; or one was found without an end, and `detail` says up to where it is good: `sequence` and `head`, to compare with the last checkpoint. Look at the free space under /var/lib/jump.",
        fields: "reason user uid session src dst_name dst rule mfa key_fp sandbox policy recording sequence head detail",
    }
    /// Policy in force.
    PolicyApplied {
        word: "policy.applied",
        id: "51c000601c354d34a16fe12ee37ff5e4",
        severity: Notable,
        outcome: Success,
        subject: "Policy in force",
        text: "A new generation of /etc/jump/policy.toml is in force; `policy` is its hash. What it no longer allows was ended.",
        fields: "reason policy detail",
    }
    /// Policy refused.
    PolicyRejected {
        word: "policy.rejected",
        id: "3f660b6bddfc4126846652695bad847c",
        severity: Denied,
        outcome: Failure,
        subject: "Policy refused",
        text: "/etc/jump/policy.toml was not taken into force; the generation before it stays. `jumpctl check` shows every error with its line.",
        fields: "reason policy detail",
    }
    /// Guard failed.
    GuardFailed {
        word: "guard.failed",
        id: "188c589403db4be0be7f6454bda6174a",
        severity: Broken,
        outcome: Failure,
        subject: "Guard failed",
        text: "The guard of a session could not be set up or was lost; the session is ended. Nothing was allowed by it. `systemctl status jump-guard` and `jumpctl doctor` show more.",
        fields: "reason user uid session src sandbox policy detail",
    }
    /// Events were lost or could not be chained.
    AuditFailed {
        word: "audit.failed",
        id: "7c88e7715dd64e1680aeea394469f24d",
        severity: Broken,
        outcome: Failure,
        subject: "Events were lost or could not be chained",
        text: "Events could not be written to the journal or to syslog; what they would have allowed was refused. The sequence number shows how many are missing. Look at the free space of the journal and at systemd-journald.service.",
        fields: "reason policy detail",
    }
    /// Protection of this host changed.
    PostureChanged {
        word: "posture.changed",
        id: "8ddca69943f044e2834df1543c420cab",
        severity: Notable,
        outcome: Success,
        subject: "Protection of this host changed",
        text: "Something that the jump server relies on changed on this host. `jumpctl doctor` shows what and what to do.",
        fields: "reason policy detail",
    }
    /// Alert raised.
    AlertRaised {
        word: "alert.raised",
        id: "fe68f1dda4dc422791c03676f2a031d9",
        severity: Alert,
        outcome: Success,
        subject: "Alert raised",
        text: "Somebody should look at this at once; `detail` says what it is. `break_glass`: recording failed, and the hop of a user in `[recording] break_glass` goes on without it. Its recording has a gap there, or there is none.",
        fields: "reason user uid session src dst_name dst rule mfa key_fp sandbox policy recording detail",
    }
}

impl Kind {
    /// The word in `JUMP_EVENT`, and the first of every `MESSAGE`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.entry().word
    }

    /// `MESSAGE_ID`: 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn message_id(self) -> &'static str {
        self.entry().id
    }

    /// How much an event of this kind matters, unless its content makes it matter more.
    #[must_use]
    pub fn severity(self) -> Severity {
        self.entry().severity
    }

    /// The outcome of an event that names none.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        self.entry().outcome
    }

    /// The headline of its catalogue text.
    #[must_use]
    pub fn subject(self) -> &'static str {
        self.entry().subject
    }

    /// Its catalogue text: what it means and what to do; names of fields and commands in back quotes.
    #[must_use]
    pub fn text(self) -> &'static str {
        self.entry().text
    }

    /// The words of `MESSAGE` that it carries where they apply, besides `outcome`, `seq` and `prev`.
    pub fn fields(self) -> impl Iterator<Item = &'static str> {
        self.entry().fields.split_ascii_whitespace()
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Kind {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        Self::ALL
            .iter()
            .copied()
            .find(|k| k.as_str() == s)
            .ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_kinds_are_the_ones_of_the_contract() {
        // What hops, a recording and the user CA need beside them.
        let ours = [
            "agent.forwarded",
            "recording.checkpoint",
            "recording.deleted",
            "ca.changed",
        ];
        let (more, words): (Vec<&str>, Vec<&str>) = Kind::ALL
            .iter()
            .map(|k| k.as_str())
            .partition(|word| ours.contains(word));
        assert_eq!(more, ours);
        assert_eq!(
            words.join(" "),
            "mfa.ok mfa.failed mfa.replayed mfa.locked mfa.skipped mfa.enrolled mfa.reset \
             access.allowed access.denied session.opened session.refused session.closed \
             session.expired session.killed session.warned forward.allowed forward.denied \
             forward.closed shell.started shell.refused hop.started hop.ended recording.started \
             recording.sealed recording.failed policy.applied policy.rejected guard.failed \
             audit.failed posture.changed alert.raised"
        );
    }

    #[test]
    fn message_ids_are_distinct_random_uuids() {
        let mut seen = HashSet::new();
        for kind in Kind::ALL {
            let id = kind.message_id();
            assert!(seen.insert(id), "{kind}: {id} twice");
            assert_eq!(id.len(), 32, "{kind}");
            assert!(
                id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
                "{kind}"
            );
            // RFC 9562 section 5.4: version 4, variant 10.
            assert_eq!(id.as_bytes()[12], b'4', "{kind}");
            assert!(
                matches!(id.as_bytes()[16], b'8' | b'9' | b'a' | b'b'),
                "{kind}"
            );
        }
    }

    #[test]
    fn what_is_denied_is_never_a_success() {
        for kind in Kind::ALL {
            let failed = kind.outcome() == Failure;
            let expected = matches!(kind.severity(), Denied | Broken);
            assert_eq!(failed, expected, "{kind}");
            // An alert is for the few kinds that get somebody out of bed.
            assert_eq!(
                kind.severity() == Alert,
                *kind == Kind::AlertRaised,
                "{kind}"
            );
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
    }
}
