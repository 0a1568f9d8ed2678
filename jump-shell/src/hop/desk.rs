//! What goes on beside a hop: jumpd hears that the user types, the user hears of the session's end,
//! and a login for which jumpd has no answer is given up.
//!
//! Nothing here waits: a question is sent, and its answer read when it is there.

use super::finish::Finish;
use crate::clock::Clock;
use crate::jumpd::Jumpd;
use crate::warning::Warnings;
use jiff::Timestamp;
use jump_proto::{Request, TIMEOUT};
use rustix::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// How often jumpd is told of typing, at the most.
const ACTIVE: Duration = Duration::from_secs(5);

/// How long a login may take: jumpd gives no key after.
const LOGIN: Duration = Duration::from_secs(60);

/// How often jumpd is asked meanwhile whether it is there.
const LOOK: Duration = Duration::from_secs(1);

/// How soon a jumpd that went is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// The way to jumpd while a hop runs.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    jumpd: &'a mut Jumpd,
    person: Option<Person<'a>>,
    login: Option<Login>,
    /// Since when an answer is due.
    asked: Option<Instant>,
}

/// Somebody at a terminal.
#[derive(Debug)]
struct Person<'a> {
    warnings: &'a mut Warnings,
    clock: &'a Clock,
    /// Typed, and not yet told.
    is_active: bool,
    /// Until when typing is not told again.
    told: Instant,
}

/// A login that goes on: ssh waits for jumpd's agent however long that takes, and nobody else would notice.
#[derive(Debug)]
struct Login {
    until: Instant,
    look_at: Instant,
    /// Since when jumpd was asked in vain.
    unanswered: Option<Instant>,
}

impl<'a> Desk<'a> {
    /// Without anybody at a terminal, and without a login to look after.
    pub(super) fn new(jumpd: &'a mut Jumpd) -> Self {
        Self {
            jumpd,
            person: None,
            login: None,
            asked: None,
        }
    }

    /// For somebody at a terminal.
    pub(super) fn with_person(mut self, warnings: &'a mut Warnings, clock: &'a Clock) -> Self {
        self.person = Some(Person {
            warnings,
            clock,
            is_active: false,
            told: Instant::now(),
        });
        self
    }

    /// For a hop of which nobody else would notice that jumpd stands still while it logs in.
    pub(super) fn with_login(mut self) -> Self {
        let now = Instant::now();
        self.login = Some(Login {
            until: now + LOGIN,
            look_at: now + LOOK,
            unanswered: None,
        });
        self
    }

    /// The user typed.
    pub(super) fn typed(&mut self) {
        if let Some(person) = &mut self.person {
            person.is_active = true;
        }
    }

    /// The target spoke: the login is over.
    pub(super) fn has_spoken(&mut self) {
        self.login = None;
    }

    /// Where an answer comes from, if one is due.
    pub(super) fn awaited(&self) -> Option<BorrowedFd<'_>> {
        self.asked.and_then(|_| self.jumpd.awaited())
    }

    /// When there is something to do though nothing happened.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let login = self.login.as_ref();
        let given_up = login.and_then(|login| login.unanswered);
        let given_up = given_up.map(|since| since + TIMEOUT);
        let next = match self.asked {
            Some(asked) => Some(asked + TIMEOUT),
            None => {
                let person = self.person.as_ref().map(Person::ask_at);
                person
                    .into_iter()
                    .chain(login.map(|login| login.look_at))
                    .min()
            }
        };
        given_up.into_iter().chain(next).min()
    }

    /// Asks what is due.
    ///
    /// # Errors
    /// When the hop logs in, and jumpd has not answered for as long as anybody waits for it.
    pub(super) fn ask(&mut self, now: Instant) -> Result<(), Finish> {
        self.login.take_if(|login| now >= login.until);
        let unanswered = self.login.as_ref().and_then(|login| login.unanswered);
        if unanswered.is_some_and(|since| now.saturating_duration_since(since) >= TIMEOUT) {
            return Err(Finish::Unanswered);
        }
        match self.asked {
            Some(asked) if now.saturating_duration_since(asked) >= TIMEOUT => self.give_up(),
            Some(_) => {}
            None => {
                let active = self.person.as_mut().is_some_and(|person| person.tells(now));
                let person = self.person.as_ref();
                let due = person.is_some_and(|person| now >= person.warnings.ask_at());
                let login = self.login.as_ref();
                if active {
                    self.begin(&Request::Active, now);
                } else if due || login.is_some_and(|login| now >= login.look_at) {
                    self.begin(&Request::Ends, now);
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, question: &Request, now: Instant) {
        if let Some(login) = &mut self.login {
            login.unanswered.get_or_insert(now);
        }
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
        if let Some(login) = &mut self.login {
            let pause = if reply.is_some() {
                login.unanswered = None;
                LOOK
            } else {
                AGAIN
            };
            login.look_at = Instant::now() + pause;
        }
        let person = self.person.as_mut()?;
        let now = Timestamp::now();
        person.warnings.hear(reply.as_ref(), person.clock, now)
    }

    /// There was no answer; a late one must not be taken for another's.
    fn give_up(&mut self) {
        self.jumpd.hang_up();
        self.asked = None;
        if let Some(login) = &mut self.login {
            login.look_at = Instant::now() + AGAIN;
        }
        if let Some(person) = &mut self.person {
            person.warnings.hear(None, person.clock, Timestamp::now());
        }
    }
}

impl Person<'_> {
    fn ask_at(&self) -> Instant {
        let ask_at = self.warnings.ask_at();
        if self.is_active {
            self.told.min(ask_at)
        } else {
            ask_at
        }
    }

    /// Whether typing is to be told now; once.
    fn tells(&mut self, now: Instant) -> bool {
        let tells = self.is_active && now >= self.told;
        if tells {
            self.is_active = false;
            self.told = now + ACTIVE;
        }
        tells
    }
}

impl Drop for Desk<'_> {
    fn drop(&mut self) {
        if self.asked.is_some() {
            self.jumpd.hang_up();
        }
    }
}
