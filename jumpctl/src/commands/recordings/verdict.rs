//! What `verify` says of one recording.

use jump_recording::{Place, Report};
use serde::{Serialize, Serializer};
use std::path::Path;

/// In a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    /// Whole and unchanged.
    Whole,
    /// Unchanged so far; it goes on.
    Running,
    /// Unchanged, and its end is missing, which the journal tells too.
    BrokenOff,
    /// Gone, which the journal tells too.
    Deleted,
    /// Gone, and nobody says why.
    Missing,
    /// Changed, cut, or of somebody else.
    Wrong,
}

impl Word {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Running => "running",
            Self::BrokenOff => "broken off",
            Self::Deleted => "deleted",
            Self::Missing => "MISSING",
            Self::Wrong => "WRONG",
        }
    }
}

/// What is said of one recording.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    recording: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    verdict: Word,
    good: bool,
    sentence: String,
    /// Where the first thing is wrong.
    #[serde(flatten, serialize_with = "place")]
    pub(super) place: Option<Place>,
    /// When that was, in milliseconds since the recording began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) at_ms: Option<u64>,
    frames: u64,
    segments: u64,
    /// Whether the frames were looked into, not only their chain.
    opened: bool,
    /// How many checkpoints the journal has.
    pub(super) checkpoints: usize,
    /// How many of them the file agrees with.
    agreed: usize,
    /// The last head up to which all holds, as a checkpoint of the journal says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<jump_recording::Head>,
}

impl Verdict {
    pub(super) fn new(recording: &str, path: Option<&Path>) -> Self {
        Self {
            recording: recording.to_owned(),
            path: path.map(|path| path.display().to_string()),
            verdict: Word::Wrong,
            good: false,
            sentence: String::new(),
            place: None,
            at_ms: None,
            frames: 0,
            segments: 0,
            opened: false,
            checkpoints: 0,
            agreed: 0,
            head: None,
        }
    }

    pub(super) fn take(&mut self, report: &Report) {
        self.frames = report.frames;
        self.segments = report.segments;
        self.opened = report.opened;
        self.agreed = report.checkpoints;
        self.head = report.head;
    }

    pub(super) fn end(mut self, word: Word, sentence: String) -> Self {
        self.verdict = word;
        self.good = !matches!(word, Word::Missing | Word::Wrong);
        self.sentence = sentence;
        self
    }

    pub(super) fn word(&self) -> Word {
        self.verdict
    }

    pub(super) fn good(&self) -> bool {
        self.good
    }

    pub(super) fn recording(&self) -> &str {
        &self.recording
    }

    pub(super) fn sentence(&self) -> &str {
        &self.sentence
    }

    /// Whether it is of a recording whose id begins like this.
    pub(super) fn is_of(&self, which: &str) -> bool {
        self.recording.starts_with(which)
    }
}

#[derive(Serialize)]
struct At {
    byte: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<u64>,
    frame: u64,
}

fn place<S: Serializer>(place: &Option<Place>, serializer: S) -> Result<S::Ok, S::Error> {
    let at = place.map(|place| At {
        byte: place.offset,
        segment: place.segment,
        frame: place.sequence,
    });
    at.serialize(serializer)
}
