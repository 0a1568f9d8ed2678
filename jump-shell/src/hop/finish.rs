//! How a hop ended, and what is said of it.

use super::own_words::Failure;
use super::recorder::Lost;
use crate::text::shown;
use jump_proto::Reason;

/// How a hop ended.
#[derive(Debug)]
pub(super) enum Finish {
    /// ssh ended.
    Ended {
        /// Its exit status; none where a signal ended it.
        status: Option<u8>,
        /// Why there was no login, where ssh said so.
        failure: Option<Failure>,
    },
    /// There was no ssh; why, as the end of a sentence.
    NotStarted(String),
    /// The recorder is gone or said no, so ssh was ended.
    Lost(Lost),
    /// jumpd did not answer while the hop logged in, so ssh was ended.
    Unanswered,
    /// Nobody reads or types any more, so ssh was ended.
    UserGone,
    /// The runner is gone, and ssh with it.
    RunnerGone,
}

impl Finish {
    /// The word for jumpd and the sentence for the user.
    pub(super) fn told(self, host: &str) -> (Option<Reason>, Option<String>) {
        match self {
            Self::Ended { .. } => (None, Some(format!("{host}: ssh was ended by a signal."))),
            Self::Unanswered => (
                Some(Reason::Unavailable),
                Some(format!(
                    "{host}: the jump server does not answer now, so the login there was given up; please try again in a moment."
                )),
            ),
            Self::UserGone => (None, None),
            Self::Lost(Lost::Told(text)) => (Some(Reason::RecorderLost), Some(shown(&text))),
            Self::Lost(Lost::Silent) => (
                Some(Reason::RecorderLost),
                Some(format!(
                    "{host}: the recorder does not answer any more, so the connection was ended."
                )),
            ),
            Self::NotStarted(why) => (
                Some(Reason::Internal),
                Some(format!(
                    "{host}: ssh cannot be started ({}); please tell the administrators.",
                    shown(&why)
                )),
            ),
            Self::RunnerGone => (
                Some(Reason::Internal),
                Some(format!(
                    "{host}: ssh was ended by a fault of this jump server's; please tell the administrators."
                )),
            ),
        }
    }
}
