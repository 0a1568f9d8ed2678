//! What goes on beside a hop: jumpd hears that the user types, the user hears of the session's end.
//!
//! Nothing here waits: a question is sent, and its answer read when it is there.

use crate::clock::Clock;
use crate::jumpd::Jumpd;
use crate::warning::Warnings;
use jiff::Timestamp;
use jump_proto::{Request, TIMEOUT};
use rustix::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// How often jumpd is told of typing, at the most.
const ACTIVE: Duration = Duration::from_secs(5);

/// The way to jumpd while a hop runs.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    jumpd: &'a mut Jumpd,
    warnings: &'a mut Warnings,
    clock: &'a Clock,
    /// Since when an answer is due.
    asked: Option<Instant>,
    /// Typed, and not yet told.
    is_active: bool,
    /// Until when typing is not told again.
    told: Instant,
}

impl<'a> Desk<'a> {
    pub(super) fn new(jumpd: &'a mut Jumpd, warnings: &'a mut Warnings, clock: &'a Clock) -> Self {
        Self {
            jumpd,
            warnings,
            clock,
            asked: None,
            is_active: false,
            told: Instant::now(),
        }
    }

    /// The user typed.
    pub(super) fn typed(&mut self) {
        self.is_active = true;
    }

    /// Where an answer comes from, if one is due.
    pub(super) fn awaited(&self) -> Option<BorrowedFd<'_>> {
        self.asked.and_then(|_| self.jumpd.awaited())
    }

    /// When there is something to do though nothing happened.
    pub(super) fn deadline(&self) -> Instant {
        match self.asked {
            Some(asked) => asked + TIMEOUT,
            None if self.is_active => self.told.min(self.warnings.ask_at()),
            None => self.warnings.ask_at(),
        }
    }

    /// Asks what is due.
    pub(super) fn ask(&mut self, now: Instant) {
        match self.asked {
            Some(asked) if now.saturating_duration_since(asked) >= TIMEOUT => self.give_up(),
            Some(_) => {}
            None if self.is_active && now >= self.told => {
                self.is_active = false;
                self.told = now + ACTIVE;
                self.begin(&Request::Active, now);
            }
            None if now >= self.warnings.ask_at() => self.begin(&Request::Ends, now),
            None => {}
        }
    }

    fn begin(&mut self, question: &Request, now: Instant) {
        if self.jumpd.begin(question).is_ok() {
            self.asked = Some(now);
        } else {
            self.give_up();
        }
    }

    /// Reads the answer that is there; a sentence for the user, where there is one.
    pub(super) fn hear(&mut self) -> Option<String> {
        let reply = self.jumpd.finish();
        self.asked = None;
        let now = Timestamp::now();
        self.warnings.hear(reply.as_ref(), self.clock, now)
    }

    /// There was no answer; a late one must not be taken for another's.
    fn give_up(&mut self) {
        self.jumpd.hang_up();
        self.asked = None;
        self.warnings.hear(None, self.clock, Timestamp::now());
    }
}

impl Drop for Desk<'_> {
    fn drop(&mut self) {
        if self.asked.is_some() {
            self.jumpd.hang_up();
        }
    }
}
