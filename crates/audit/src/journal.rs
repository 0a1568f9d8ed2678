//! Writing an event: its place in the chain, the sinks in turn, and what happens when none takes it.
//!
//! An event that no sink takes is an error, and its number is used up: the gap
//! shows in the chain. The next event that is written is preceded by an
//! `audit.failed` that says how many were lost.

use crate::chain::{self, End};
use crate::event::{Event, Rendered};
use crate::kind::Kind;
use crate::sink::{Journald, Sink, Syslog};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest that writing one event takes when no sink takes it.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// After a failure, for this long, a sink has one try and no patience: a
/// journald that is stuck costs one login the wait, not every login in turn.
const IMPATIENT_FOR: Duration = Duration::from_secs(1);

/// The event is written nowhere; what it would have allowed must be refused.
#[derive(Debug, thiserror::Error)]
#[error("the event {kind} could not be written: {tried}")]
pub struct AuditError {
    /// What kind of event is lost.
    pub kind: Kind,
    /// Each sink with its error.
    pub tried: String,
}

/// Writes events, from any thread, one at a time.
pub struct Journal {
    inner: Mutex<Inner>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

struct Inner {
    sinks: Vec<Box<dyn Sink>>,
    memory: chain::Memory,
    end: End,
    /// Events lost since the last one written.
    lost: u64,
    /// What is to be said about the chain before the next event.
    trouble: Option<String>,
    /// Whether the last attempt to remember the chain's end failed.
    forgetful: bool,
    impatient_since: Option<Instant>,
}

impl Journal {
    /// Writes to journald, else to syslog; goes on with the chain whose end is
    /// remembered in `state`. A chain that cannot be gone on with begins anew
    /// and says so with an `audit.failed`.
    #[must_use]
    pub fn open(state: &Path) -> Self {
        Self::with_sinks(
            state,
            vec![Box::new(Journald::default()), Box::new(Syslog::default())],
        )
    }

    /// Writes to the first of `sinks` that takes the event.
    #[must_use]
    pub fn with_sinks(state: &Path, sinks: Vec<Box<dyn Sink>>) -> Self {
        let memory = chain::Memory::at(state);
        let (end, trouble) = memory.recall();
        Self {
            inner: Mutex::new(Inner {
                sinks,
                memory,
                end,
                lost: 0,
                trouble: trouble.map(|t| format!("the chain of events begins anew: {t}")),
                forgetful: false,
                impatient_since: None,
            }),
        }
    }

    /// Writes one event; when this returns `Ok`, journald or syslog has it.
    ///
    /// # Errors
    /// When neither took it. Whatever the event would have allowed must then be refused.
    pub fn write(&self, event: &Event) -> Result<(), AuditError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.own_up();
        let written = inner.append(event);
        if written.is_err() {
            inner.lost = inner.lost.saturating_add(1);
        }
        written
    }
}

impl Inner {
    /// Says what went wrong with the chain since the last event, if anything did.
    fn own_up(&mut self) {
        if self.lost > 0 {
            let text = format!(
                "{} event(s) could not be written; what they would have allowed was refused",
                self.lost
            );
            let event = Event::new(Kind::AuditFailed)
                .text("lost", self.lost)
                .detail(&text);
            // One that fails too uses no number: it stands for those that were lost before.
            if self.try_append(&event).is_err() {
                return;
            }
            self.lost = 0;
        }
        if let Some(trouble) = self.trouble.take()
            && self
                .try_append(&Event::new(Kind::AuditFailed).detail(&trouble))
                .is_err()
        {
            self.trouble = Some(trouble);
        }
    }

    /// Appends an event; its number is used up whether or not that works.
    fn append(&mut self, event: &Event) -> Result<(), AuditError> {
        let result = self.try_append(event);
        if result.is_err() {
            self.end.seq = self.end.seq.saturating_add(1);
            self.remember();
        }
        result
    }

    fn try_append(&mut self, event: &Event) -> Result<(), AuditError> {
        let seq = self.end.seq.saturating_add(1);
        let rendered = event.render(seq, &self.end.prev);
        self.send(&rendered)?;
        self.end.seq = seq;
        self.end.prev = chain::hash(&rendered.message);
        self.remember();
        Ok(())
    }

    fn remember(&mut self) {
        let result = self.memory.remember(&self.end);
        if let Err(e) = &result
            && !self.forgetful
        {
            self.trouble = Some(format!(
                "the end of the chain of events cannot be kept, so a restart of jumpd would show as a gap: {e}"
            ));
        }
        self.forgetful = result.is_err();
    }

    fn send(&mut self, event: &Rendered) -> Result<(), AuditError> {
        let hurried = self
            .impatient_since
            .is_some_and(|since| since.elapsed() < IMPATIENT_FOR);
        let began = Instant::now();
        let count = self.sinks.len();
        let mut tried = Vec::new();
        for (at, sink) in self.sinks.iter_mut().enumerate() {
            // Half of what is left for each but the last, so that the last has its turn too.
            let left = PATIENCE.saturating_sub(began.elapsed());
            let patience = match (hurried, at + 1 == count) {
                (true, _) => Duration::ZERO,
                (false, true) => left,
                (false, false) => left / 2,
            };
            match sink.send(event, patience) {
                Ok(()) => {
                    if tried.is_empty() {
                        self.impatient_since = None;
                    }
                    return Ok(());
                }
                Err(e) => {
                    tried.push(format!("{}: {e}", sink.name()));
                    if !hurried {
                        self.impatient_since = Some(Instant::now());
                    }
                }
            }
        }
        Err(AuditError {
            kind: event.kind,
            tried: tried.join("; "),
        })
    }
}

#[cfg(test)]
mod tests;
