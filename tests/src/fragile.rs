//! Bastions to be broken.
//!
//! A story that stops, fills or cuts something would disturb all others on the
//! lab's own bastion. Here it has a host for itself, and hands it on when it
//! has mended what it broke. One that it could not mend is never used again.

use crate::bastion::Bastion;
use crate::lab::{Lab, package};
use crate::network::{FRAGILE, Place};
use anyhow::{Result, anyhow, ensure};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The bastions that are up and idle, and those that may yet be booted.
#[derive(Debug)]
pub(crate) struct Pool {
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Debug)]
struct State {
    idle: Vec<Bastion>,
    unbooted: Vec<&'static Place>,
    lent: usize,
}

impl Default for Pool {
    fn default() -> Self {
        let state = State {
            idle: Vec::new(),
            unbooted: FRAGILE.iter().rev().collect(),
            lent: 0,
        };
        Self {
            state: Mutex::new(state),
            returned: Condvar::new(),
        }
    }
}

/// What a story gets: a bastion that is up, or where to boot one.
enum Found {
    Idle(Bastion),
    Unbooted(&'static Place),
}

/// One bastion less for others, until it is dropped.
struct Lent<'p>(&'p Pool);

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.0.state().lent -= 1;
        self.0.returned.notify_all();
    }
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self) -> Result<(Found, Lent<'_>)> {
        let mut state = self.state();
        loop {
            let idle = state.idle.pop().map(Found::Idle);
            if let Some(found) = idle.or_else(|| state.unbooted.pop().map(Found::Unbooted)) {
                state.lent += 1;
                return Ok((found, Lent(self)));
            }
            ensure!(state.lent > 0, "every fragile bastion is broken");
            let waited = self.returned.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// See [`Lab::on_fragile_bastion`].
    pub(crate) fn lend(&self, lab: &Lab, tell: impl FnOnce(&Bastion) -> Result<()>) -> Result<()> {
        let (found, _lent) = self.find()?;
        let bastion = match found {
            Found::Idle(bastion) => bastion,
            Found::Unbooted(place) => boot(lab, place)?,
        };
        let mark = bastion.journal.mark();
        let outcome = tell(&bastion).map_err(|trouble| {
            let entries = bastion.journal.since(mark, |_| true);
            let told: Vec<_> = entries.iter().map(ToString::to_string).collect();
            anyhow!(
                "{trouble:#}\n--- the journal of {} meanwhile\n{}",
                bastion.place().name,
                told.join("\n")
            )
        });
        if outcome.is_ok() {
            self.state().idle.push(bastion);
        }
        outcome
    }
}

fn boot(lab: &Lab, place: &Place) -> Result<Bastion> {
    let machine = lab.another(place)?;
    lab.introduce(&machine)?;
    let bastion = Bastion::new(Arc::new(machine))?;
    bastion.install(&package()?)?;
    Ok(bastion)
}
