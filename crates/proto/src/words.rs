//! The closed vocabularies: reasons, ways out, and the name of a session.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How a connection leaves the bastion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// sshd's own connect for `-J`, `-W`, `-L`, `-D`.
    Forward,
    /// `jump-shell`'s connect and recorded hops.
    Shell,
}

impl Via {
    /// The word used in policy.toml and in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Shell => "shell",
        }
    }
}

impl FromStr for Via {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        match s {
            "forward" => Ok(Self::Forward),
            "shell" => Ok(Self::Shell),
            _ => Err(()),
        }
    }
}

/// Names one SSH connection: 128 random bits, 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(String);

/// The text is not 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session id is 32 lower-case hexadecimal digits")]
pub struct SessionIdError;

impl SessionId {
    /// A session id from 16 random bytes.
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

impl TryFrom<String> for SessionId {
    type Error = SessionIdError;
    fn try_from(s: String) -> Result<Self, SessionIdError> {
        if s.len() == 32 && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(s))
        } else {
            Err(SessionIdError)
        }
    }
}

impl FromStr for SessionId {
    type Err = SessionIdError;
    fn from_str(s: &str) -> Result<Self, SessionIdError> {
        Self::try_from(s.to_owned())
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident => $word:literal,)*) => {
        /// Why something was allowed, refused, ended or broken: the closed set behind `JUMP_REASON`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl Reason {
            /// Every reason, for catalogues and documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The snake_case word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl FromStr for Reason {
            type Err = ();
            fn from_str(s: &str) -> Result<Self, ()> {
                match s {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(()),
                }
            }
        }
    };
}

reasons! {
    /// An allow rule matches.
    RuleAllow => "rule_allow",
    /// A deny rule matches.
    RuleDeny => "rule_deny",
    /// No rule speaks of this user.
    NoRule => "no_rule",
    /// Rules speak of this user, none of this target.
    NoTarget => "no_target",
    /// A rule would allow it, but not from this source address.
    SourceAddress => "source_address",
    /// A rule would allow it, but its window is closed now.
    OutsideWindow => "outside_window",
    /// A rule would allow it, but not this way (`via`).
    WrongVia => "wrong_via",
    /// The rule demands a recorded hop.
    RecordRequired => "record_required",
    /// A rule would allow it, but not with this second factor; or the policy takes this second factor from this user no more.
    MfaMethod => "mfa_method",
    /// The user's `valid_from` is still to come.
    NotYetValid => "not_yet_valid",
    /// The user's `valid_until` is past.
    Expired => "expired",
    /// Not a user of the policy.
    UnknownUser => "unknown_user",
    /// Loopback, link-local, unspecified, or one of the bastion's own addresses.
    OwnAddress => "own_address",
    /// An address that embeds another (NAT64, 6to4, v4-compatible) or has no meaning here.
    BadAddress => "bad_address",
    /// Not TCP, and not a query to the host's resolver.
    BadProtocol => "bad_protocol",
    /// A system call that no process of a session may make; the detail says which and why.
    ForbiddenCall => "forbidden_call",
    /// A query to one of the host's resolvers.
    Resolver => "resolver",
    /// The session is not, or no longer, known.
    NoSession => "no_session",
    /// A wrong code.
    WrongCode => "wrong_code",
    /// Nobody answered the prompt for the second factor.
    NoAnswer => "no_answer",
    /// A code that had been used.
    ReplayedCode => "replayed_code",
    /// The record of the second factor is an old copy: it was written again since.
    RestoredRecord => "restored_record",
    /// The record of the second factor is of another host.
    ForeignRecord => "foreign_record",
    /// The record of the second factor is another user's, who had this user id before.
    OtherUsersRecord => "other_users_record",
    /// An invitation to enrol was made.
    InvitationMade => "invitation_made",
    /// The user enrolled by an invitation.
    InvitationUsed => "invitation_used",
    /// A right invitation that does not hold any more.
    InvitationExpired => "invitation_expired",
    /// The record of the second factor is sealed with a key that jumpd does not have.
    SealingKeyMissing => "sealing_key_missing",
    /// Too much was asked for at once; nothing was looked at.
    Busy => "busy",
    /// No second factor is enrolled.
    NotEnrolled => "not_enrolled",
    /// Too many wrong codes.
    LockedOut => "locked_out",
    /// `account` found no mark of a second factor.
    MfaMissing => "mfa_missing",
    /// A recovery code stood in for the authenticator.
    RecoveryCode => "recovery_code",
    /// A code was given not long ago with this key from this network (`[mfa] remember`).
    Remembered => "remembered",
    /// The second factor was given by the login key itself.
    SecurityKey => "security_key",
    /// The user is an automation account (`mfa = "none"`).
    MfaNotRequired => "mfa_not_required",
    /// No public key was verified before the second factor.
    KeyMissing => "key_missing",
    /// The real source address could not be told.
    NoSourceAddress => "no_source_address",
    /// `[session] concurrent` is reached.
    TooManySessions => "too_many_sessions",
    /// `[session] forwards` is reached.
    TooManyForwards => "too_many_forwards",
    /// `[session] forward_rate` is reached.
    ForwardRate => "forward_rate",
    /// `[session] connecting` is reached.
    TooManyConnecting => "too_many_connecting",
    /// The window closed.
    WindowClosed => "window_closed",
    /// `max` or `max_session` is reached.
    MaxSession => "max_session",
    /// `idle` is reached.
    Idle => "idle",
    /// The policy no longer allows it.
    PolicyChanged => "policy_changed",
    /// An operator asked for it.
    Operator => "operator",
    /// The user asked for it, in the restricted shell.
    User => "user",
    /// The user hung up, or the target did.
    ClosedByPeer => "closed_by_peer",
    /// The guard is gone.
    GuardLost => "guard_lost",
    /// The guard could not be set up.
    GuardFailed => "guard_failed",
    /// jumpd did not answer in time.
    Unavailable => "unavailable",
    /// State could not be written.
    NotPersisted => "not_persisted",
    /// The event could not be written anywhere.
    AuditFailed => "audit_failed",
    /// The policy file has errors.
    PolicyInvalid => "policy_invalid",
    /// A `[[tests]]` entry of the policy is red.
    PolicyTestFailed => "policy_test_failed",
    /// The policy contradicts the host (a name or uid that a local file has).
    HostConflict => "host_conflict",
    /// The policy in force and the one on disk are the same.
    Unchanged => "unchanged",
    /// The TCP connection could not be made.
    ConnectFailed => "connect_failed",
    /// The target's host key is not one that this jump server knows for it.
    HostKeyUnknown => "host_key_unknown",
    /// The rule does not give this login name at the target.
    LoginName => "login_name",
    /// There is no user CA: `jumpctl ca init` makes it.
    NoCa => "no_ca",
    /// The rule has the user's own agent log in, and none came along.
    NoAgent => "no_agent",
    /// The target did not accept the login of a hop.
    LoginRefused => "login_refused",
    /// Less of the disk is free than `[recording] reserve`.
    DiskFull => "disk_full",
    /// The recorder, or the way to it, failed.
    RecorderLost => "recorder_lost",
    /// jump-shell was gone before it said how its hop ended.
    ShellLost => "shell_lost",
    /// A member of `[recording] break_glass` went on unrecorded.
    BreakGlass => "break_glass",
    /// Older, or more, than `[recording]` keeps.
    Retention => "retention",
    /// A command that is not the restricted shell's own.
    NotACommand => "not_a_command",
    /// Anything that should not happen; the text says what.
    Internal => "internal",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_is_32_lower_case_hex_digits() {
        assert!(
            "0123456789abcdef0123456789abcdef"
                .parse::<SessionId>()
                .is_ok()
        );
        for bad in [
            "",
            "0123",
            "0123456789ABCDEF0123456789ABCDEF",
            "0123456789abcdef0123456789abcdeg",
        ] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn reasons_are_distinct_snake_case_words() {
        let mut seen = std::collections::HashSet::new();
        for reason in Reason::ALL {
            let word = reason.as_str();
            assert!(seen.insert(word), "{word} twice");
            assert!(
                word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{word}"
            );
            assert_eq!(word.parse::<Reason>(), Ok(*reason));
            assert_eq!(
                serde_json::to_string(reason).unwrap(),
                format!("\"{word}\"")
            );
        }
    }
}
