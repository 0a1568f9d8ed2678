//! The command line, as data. Its comments are the help text.

pub(crate) mod recordings;

use clap::{Parser, Subcommand};
use jump_proto::{Method, TotpAlgorithm, TotpChoice, Via};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Operates a jump server: wires sshd, checks and applies the policy, explains decisions, enrols second factors.
#[derive(Debug, Parser)]
#[command(name = "jumpctl", version, about, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 yes, 1 no, 2 error.")]
pub struct Cli {
    /// Answer with one JSON value
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make this host a jump server: wire sshd, PAM and nsswitch, show every change first, keep backups
    Setup {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// Only show what would change
        #[arg(long, conflicts_with = "yes")]
        dry_run: bool,
        /// Take it all back
        #[arg(long)]
        undo: bool,
        /// Also bound the users of the policy by a packet filter that follows it
        #[arg(long, conflicts_with = "undo")]
        nftables: bool,
    },
    /// Say what is wrong with a policy file, without applying it
    Check {
        /// The file; /etc/jump/policy.toml unless given
        file: Option<PathBuf>,
    },
    /// Say who gains and who loses what, if a policy file came into force
    Diff {
        /// The file; /etc/jump/policy.toml unless given
        file: Option<PathBuf>,
    },
    /// Put /etc/jump/policy.toml into force, if it is right
    Apply {
        /// Do nothing if jumpd has looked at exactly this text before
        #[arg(long)]
        if_new: bool,
        /// Apply what is saved meanwhile, too
        #[arg(long, conflicts_with = "if_new")]
        until_settled: bool,
    },
    /// Have the packet filter of `setup --nftables` follow the policy in force now
    Egress {
        /// Only show the ruleset
        #[arg(long)]
        dry_run: bool,
    },
    /// Say whether USER may reach HOST, by which rule, and when that changes
    Explain {
        /// Login name
        user: String,
        /// Host name or address, and port (22 unless given); IPv6 with a port in brackets
        #[arg(value_name = "HOST[:PORT]")]
        destination: String,
        /// Source address; any unless given
        #[arg(long, value_name = "IP")]
        from: Option<IpAddr>,
        /// When: `2026-11-23T08:00:00+01:00`, or `2026-11-23 08:00` or `08:00` in the host's time zone; now unless given
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// Which way: forward (-J, -W, -L, -D) or shell
        #[arg(long, default_value = "forward", value_parser = via)]
        via: Via,
        /// As whom at the target: asks about a hop (`ssh NAME@HOST` in the restricted shell)
        #[arg(long, value_name = "NAME", conflicts_with = "via")]
        login: Option<String>,
        /// With which second factor: totp, recovery or security-key; whichever brings furthest unless given
        #[arg(long, value_name = "METHOD", value_parser = method)]
        mfa: Option<Method>,
    },
    /// List who may reach HOST now
    WhoCan {
        /// Host name or address, and port (22 unless given)
        #[arg(value_name = "HOST[:PORT]")]
        destination: String,
        /// Source address; any unless given
        #[arg(long, value_name = "IP")]
        from: Option<IpAddr>,
        /// When; now unless given
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
    /// Second factors
    #[command(subcommand)]
    Mfa(Mfa),
    /// Write policy, second factors and this host's identity into a file encrypted with age
    Backup {
        /// The file; one that is there is not overwritten
        file: PathBuf,
        /// Who can read it: an age recipient, `age1…`, as age-keygen prints it; may be given several times
        #[arg(long, required = true, value_name = "RECIPIENT")]
        to: Vec<String>,
    },
    /// Take a backup back; codes that were used before are refused, and nothing newer is replaced
    Restore {
        /// The file that `backup` wrote
        file: PathBuf,
        /// File with the age key of a recipient, `AGE-SECRET-KEY-1…`
        #[arg(long, value_name = "KEYFILE")]
        identity: PathBuf,
        /// Let recovery codes of the backup be good: only if the old host accepted nothing after it was made
        #[arg(long)]
        recovery_codes: bool,
        /// Write the policy there (it must not exist), and leave the one in force
        #[arg(long, value_name = "FILE")]
        policy_to: Option<PathBuf>,
        /// Put this user's second factor of the backup in place of whatever is here, a reset included; may be given several times
        #[arg(long, value_name = "USER")]
        replace: Vec<String>,
    },
    /// The user CA that hops from the restricted shell log in with
    #[command(subcommand)]
    Ca(Ca),
    /// Live sessions
    Sessions {
        /// What about them; `list` unless given
        #[command(subcommand)]
        action: Option<Sessions>,
    },
    /// Recordings of hops: list, play, search, export and verify them
    Recordings(recordings::Recordings),
    /// Say what jumpd has in force
    Status,
    /// Events of the jump server from the journal
    Audit {
        /// Since when, as journalctl(1) takes it: `today`, `-1h`, `2026-11-23 08:00`
        #[arg(long, default_value = "today", allow_hyphen_values = true)]
        since: String,
        /// Events about this user
        #[arg(long)]
        user: Option<String>,
        /// Events of this kind, such as `forward.denied`
        #[arg(long)]
        event: Option<String>,
        /// Events of this session
        #[arg(long)]
        session: Option<String>,
    },
    /// Say whether everything on this host is as it should be
    Doctor,
}

/// The user CA.
#[derive(Debug, Subcommand)]
pub enum Ca {
    /// Make its key, once
    Init,
    /// Print its public keys and how a target trusts them
    Show,
    /// Make the next key, which targets must trust before it signs
    Rotate {
        /// Sign with the next key from now on
        #[arg(long)]
        finish: bool,
    },
}

/// Second factors.
#[derive(Debug, Subcommand)]
pub enum Mfa {
    /// Make a new authenticator secret: show its QR code and recovery codes, and ask for one code
    Enroll {
        /// Login name
        user: String,
        /// Do not ask for a code; the secret is valid at once
        #[arg(long)]
        no_confirm: bool,
        #[command(flatten)]
        totp: Totp,
    },
    /// Let the user enrol an authenticator at the next login: print a text to be typed there, once
    Invite {
        /// Login name
        user: String,
        /// For how long it holds: `24h`, `3d`, `30m`; at most 30 days
        #[arg(long = "for", value_name = "TIME", default_value = "24h", value_parser = lasting)]
        lasting: Duration,
    },
    /// Bring the code that an enrolment still waits for
    Confirm {
        /// Login name
        user: String,
    },
    /// Say who is enrolled, locked or waiting
    Status {
        /// Login name; everybody unless given
        user: Option<String>,
    },
    /// Forget the secret and the recovery codes
    Reset {
        /// Login name
        user: String,
        /// User id of the record, where it is not the one that the user has now
        #[arg(long)]
        uid: Option<u32>,
    },
    /// Make a new key and seal every record with it
    Rekey,
    /// End a lock-out
    Unlock {
        /// Login name
        user: String,
    },
    /// Make ten new recovery codes; the old ones are void
    RecoveryCodes {
        /// Login name
        user: String,
    },
}

/// What the new authenticator's codes are made with.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Totp {
    /// Digits of a code, 6 or 8; as [mfa.totp] of the policy says unless given
    #[arg(long, value_parser = clap::value_parser!(u8).range(6..=8))]
    digits: Option<u8>,
    /// Hash: SHA1, SHA256 or SHA512; as [mfa.totp] of the policy says unless given
    #[arg(long, value_parser = algorithm)]
    algorithm: Option<TotpAlgorithm>,
    /// Seconds that a code lasts, 30 or 60; as [mfa.totp] of the policy says unless given
    #[arg(long, value_name = "SECONDS")]
    period: Option<u32>,
}

impl From<Totp> for TotpChoice {
    fn from(chosen: Totp) -> Self {
        Self {
            algorithm: chosen.algorithm,
            digits: chosen.digits,
            period_s: chosen.period,
        }
    }
}

/// Live sessions.
#[derive(Debug, Subcommand)]
pub enum Sessions {
    /// List them
    List {
        /// Of this user only
        #[arg(long)]
        user: Option<String>,
    },
    /// Show one with its connections
    Show {
        /// Its id, or the beginning of it
        session: String,
    },
    /// End sessions with every process and connection
    Kill {
        /// Ids, or the beginnings of them
        #[arg(required_unless_present = "user")]
        sessions: Vec<String>,
        /// All of this user
        #[arg(long, conflicts_with = "sessions")]
        user: Option<String>,
    },
}

fn method(text: &str) -> Result<Method, String> {
    text.parse()
        .map_err(|()| "totp, recovery or security-key".to_owned())
}

fn algorithm(text: &str) -> Result<TotpAlgorithm, String> {
    text.to_ascii_uppercase()
        .parse()
        .map_err(|()| "SHA1, SHA256 or SHA512".to_owned())
}

/// A minute to 30 days.
fn lasting(text: &str) -> Result<Duration, String> {
    jump_policy::seconds(text)
        .filter(|seconds| (60..=30 * 86_400).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| "from 1m to 30d, such as 24h, 3d or 1h30m".to_owned())
}

fn via(text: &str) -> Result<Via, String> {
    text.parse()
        .map_err(|()| "either `forward` or `shell`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn json_may_stand_anywhere() {
        for line in [
            ["jumpctl", "--json", "status"],
            ["jumpctl", "status", "--json"],
        ] {
            assert!(Cli::try_parse_from(line).unwrap().json);
        }
    }

    #[test]
    fn sessions_alone_lists_them() {
        let cli = Cli::try_parse_from(["jumpctl", "sessions"]).unwrap();
        assert!(matches!(cli.command, Command::Sessions { action: None }));
    }

    #[test]
    fn recordings_alone_lists_them_and_verify_needs_to_know_which() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        for line in ["recordings", "recordings list --since -2h --dir /copies"] {
            assert!(parse(&format!("jumpctl {line}")).is_ok(), "{line}");
        }
        for line in [
            "verify",
            "verify --all 0a",
            "verify 0a --journal f --no-journal",
        ] {
            assert!(
                parse(&format!("jumpctl recordings {line}")).is_err(),
                "{line}"
            );
        }
    }

    #[test]
    fn kill_needs_to_know_which() {
        assert!(Cli::try_parse_from(["jumpctl", "sessions", "kill"]).is_err());
        assert!(Cli::try_parse_from(["jumpctl", "sessions", "kill", "--user", "alice"]).is_ok());
    }
}
