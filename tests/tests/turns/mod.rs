//! When each story is told.
//!
//! Every story is there from the start and waits for its turn. Those that have
//! the bastion alone come one after the other, while others are told on hosts
//! of their own; once they are through, those that share the bastion come. A
//! race of hundreds of processes takes the whole machine, also from the lab of
//! another release that runs beside this one: stories measure seconds.

use anyhow::{Context, Result};
use jump_lab::base;
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How a story bears others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It shares the bastion.
    Beside,
    /// It stops or breaks something on the bastion that others use.
    Alone,
    /// It does not use the bastion, but hosts of its own.
    Elsewhere,
    /// It needs the machine for itself.
    Racing,
    /// It looks back at all others.
    Last,
}

/// A [`How`] from what reads like it.
macro_rules! how {
    (beside) => {
        $crate::turns::How::Beside
    };
    (alone) => {
        $crate::turns::How::Alone
    };
    (elsewhere) => {
        $crate::turns::How::Elsewhere
    };
    (racing) => {
        $crate::turns::How::Racing
    };
    (last) => {
        $crate::turns::How::Last
    };
}
pub(crate) use how;

/// As many hosts of their own are there for stories at a time.
const ELSEWHERE_AT_ONCE: usize = 3;

/// Whose turn it is.
#[derive(Debug)]
pub(crate) struct Turns {
    state: Mutex<State>,
    changed: Condvar,
    /// How many are told at a time.
    at_once: usize,
    /// How many are to be told at all.
    all: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<How>,
    told_now: Vec<How>,
    /// How many are through.
    through: usize,
}

impl State {
    fn is_turn_of(&self, how: How, at_once: usize, all: usize) -> bool {
        let now = |kind: How| self.told_now.iter().filter(|told| **told == kind).count();
        let waits = |kind: How| self.waiting.contains(&kind);
        if self.told_now.len() >= at_once || now(How::Racing) > 0 {
            return false;
        }
        match how {
            How::Racing => self.told_now.is_empty(),
            How::Last => self.through + 1 == all,
            _ if waits(How::Racing) => false,
            How::Alone => now(How::Alone) + now(How::Beside) == 0,
            How::Beside => now(How::Alone) == 0 && !waits(How::Alone),
            How::Elsewhere => now(How::Elsewhere) < ELSEWHERE_AT_ONCE,
        }
    }
}

impl Turns {
    pub(crate) fn new(at_once: usize, all: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            at_once,
            all,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of a story; it ends when what is returned is dropped.
    ///
    /// # Errors
    /// When the machine cannot be shared out with other labs.
    pub(crate) fn wait(&self, how: How) -> Result<Turn<'_>> {
        let mut state = self.state();
        state.waiting.push(how);
        while !state.is_turn_of(how, self.at_once, self.all) {
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(place) = state.waiting.iter().position(|kind| *kind == how) {
            state.waiting.swap_remove(place);
        }
        state.told_now.push(how);
        drop(state);
        let mut turn = Turn {
            turns: self,
            how,
            _machine: None,
        };
        turn._machine = Some(share_machine(how)?);
        Ok(turn)
    }
}

/// A story's turn.
#[derive(Debug)]
pub(crate) struct Turn<'t> {
    turns: &'t Turns,
    how: How,
    _machine: Option<Flock<File>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        if let Some(place) = state.told_now.iter().position(|kind| *kind == self.how) {
            state.told_now.swap_remove(place);
        }
        state.through += 1;
        drop(state);
        self.turns.changed.notify_all();
    }
}

/// The machine's share: all of it for a race, which new stories of other labs let go first.
fn share_machine(how: How) -> Result<Flock<File>> {
    let lock = |name: &str, kind: FlockArg| {
        let path = base::cache().join(name);
        let trouble = || path.display().to_string();
        let file = File::create(&path).with_context(trouble)?;
        Flock::lock(file, kind)
            .map_err(|(_, errno)| errno)
            .with_context(trouble)
    };
    let _queue = lock("queue.lock", FlockArg::LockExclusive)?;
    if how == How::Racing {
        lock("machine.lock", FlockArg::LockExclusive)
    } else {
        lock("machine.lock", FlockArg::LockShared)
    }
}
