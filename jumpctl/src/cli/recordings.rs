//! `jumpctl recordings`, as data.

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use jump_proto::paths;
use serde::Serialize;
use std::path::PathBuf;

/// Recordings of hops.
#[derive(Debug, Args)]
#[command(after_help = "\
RECORDING is a recording's id, the beginning of one, or a path to a copy.\n\
Exit codes: 0 yes, found, whole; 1 no, nothing found, something is wrong; 2 error.")]
pub struct Recordings {
    /// Where recordings lie, if not on this host: a directory with copies
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath, default_value = paths::RECORDINGS, hide_default_value = true)]
    pub dir: PathBuf,
    /// What about them; `list` unless given
    #[command(subcommand)]
    pub action: Option<Action>,
}

/// What about them.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List them, the oldest first
    List {
        #[command(flatten)]
        which: Which,
        /// Only those on whose screen this text stood, whatever its case
        #[arg(long, value_name = "TEXT")]
        text: Option<String>,
        #[command(flatten)]
        identity: Identity,
    },
    /// Play one: space pauses, . steps, + and - change the speed, arrows go back and forth, g goes to a time, q quits
    Play(Play),
    /// Print each line that fits a pattern, with its recording and its time
    Grep {
        #[command(flatten)]
        pattern: Pattern,
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        identity: Identity,
    },
    /// Write one in another format
    Export {
        /// Id, beginning of an id, or path
        recording: String,
        /// Which
        #[arg(long)]
        format: Format,
        /// Into this file, which must not exist; to standard output unless given
        #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
        #[command(flatten)]
        identity: Identity,
    },
    /// Check that they are whole and unchanged, by their chain and by the journal
    Verify {
        /// Ids, beginnings of ids, or paths
        #[arg(value_name = "RECORDING", required_unless_present = "all")]
        recordings: Vec<String>,
        /// Every recording that lies here or that the journal knows
        #[arg(long, conflicts_with = "recordings")]
        all: bool,
        /// Compare with this file instead of this host's journal: lines as `journalctl -o json` writes them
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "no_journal")]
        journal: Option<PathBuf>,
        /// Compare with no journal: a missing tail is not seen then, and neither is a forgery
        #[arg(long)]
        no_journal: bool,
        #[command(flatten)]
        identity: Identity,
    },
    /// Delete what the policy keeps no longer; jump-retention.timer does it once a day
    Prune {
        /// Only name them
        #[arg(long)]
        dry_run: bool,
    },
}

/// Other people's formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// asciicast v3, for asciinema and its player
    Cast,
    /// What stood on the screen, each line with its time
    Txt,
    /// One page with the facts, a player and the transcript, for any browser
    Html,
}

/// What is played, and how.
#[derive(Debug, Args)]
pub struct Play {
    /// Id, beginning of an id, or path
    pub recording: String,
    /// So many times as fast as it was
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    pub speed: f64,
    /// Wait no longer than this where nothing happened
    #[arg(long, value_name = "SECONDS")]
    pub idle: Option<u64>,
    /// Begin there: `1:02:03` or `90s` from the beginning, or a time such as `2026-03-02 14:05:00`
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Begin paused
    #[arg(long)]
    pub step: bool,
    /// Give the terminal the recorded bytes themselves: it obeys whatever the recorded user chose
    #[arg(long)]
    pub raw: bool,
    #[command(flatten)]
    pub identity: Identity,
}

/// What is looked for.
#[derive(Debug, Args)]
pub struct Pattern {
    /// A regular expression, compared with each line that stood on the screen
    pub pattern: String,
    /// The pattern is no expression, but a text
    #[arg(short = 'F', long = "fixed-strings")]
    pub fixed: bool,
    /// Capital and small letters are the same
    #[arg(short, long)]
    pub ignore_case: bool,
}

/// Which recordings.
#[derive(Debug, Clone, Default, Args)]
pub struct Which {
    /// Of this user
    #[arg(long, value_hint = ValueHint::Username)]
    pub user: Option<String>,
    /// To this target: its name or its address, with or without port; `*` stands for anything
    #[arg(long, value_hint = ValueHint::Hostname)]
    pub target: Option<String>,
    /// Of this session
    #[arg(long)]
    pub session: Option<String>,
    /// What was shown at this time or later: `2026-03-01`, `2026-03-01 08:00`, `today`, `yesterday`, `-2h`, `-7d`
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// What was shown before this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,
}

/// Who reads what is encrypted.
#[derive(Debug, Clone, Default, Args)]
pub struct Identity {
    /// File with the age key of an auditor, `AGE-SECRET-KEY-1…`, for recordings that are encrypted
    #[arg(long, value_name = "KEYFILE", value_hint = ValueHint::FilePath)]
    pub identity: Option<PathBuf>,
}
