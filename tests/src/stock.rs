//! A jump host as a distribution ships it: Debian's own sshd with its default
//! configuration, and admins who are ordinary local users. What an attack does
//! there is what it does where nothing of ours stands in its way.

use crate::journal::Journal;
use crate::machine::Machine;
use crate::seat::{Seat, add_account};
use crate::sshd::Sshd;
use anyhow::Result;
use std::fs;
use std::ops::Deref;
use std::os::unix::fs::chown;

/// The host.
#[derive(Debug)]
pub struct Stock {
    /// Its journal; first, because it ends before the machine does.
    pub journal: Journal,
    machine: Machine,
}

impl Deref for Stock {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl Stock {
    /// What Debian installs, and a bound on simultaneous logins that a lab needs.
    pub(crate) fn new(machine: Machine) -> Result<Self> {
        let stock = Self {
            journal: machine.journal()?,
            machine,
        };
        stock.sshd().make_patient()?;
        stock.sshd().reload()?;
        Ok(stock)
    }

    fn sshd(&self) -> Sshd<'_> {
        Sshd {
            machine: &self.machine,
            journal: &self.journal,
        }
    }

    /// Has a file in `sshd_config.d` while `tell` runs: a sysadmin's choice that Debian did not make.
    ///
    /// # Errors
    /// Those of `tell`, and when sshd does not take the file.
    pub fn with_sshd_config(
        &self,
        name: &str,
        text: &str,
        tell: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        self.sshd().with_config(name, text, tell)
    }

    /// An ordinary user with a shell, the seat's name and uid, who logs in with the seat's key; the home.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn account(&self, seat: &Seat) -> Result<String> {
        self.account_with(seat, "")
    }

    /// The same with options before the key, as in `authorized_keys`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn account_with(&self, seat: &Seat, options: &str) -> Result<String> {
        let home = add_account(&self.machine, seat.name(), seat.uid())?;
        let keys = self.path(&format!("{home}/.ssh/authorized_keys"));
        fs::write(&keys, format!("{options} {}\n", seat.key()))?;
        chown(&keys, Some(seat.uid()), Some(seat.uid()))?;
        Ok(home)
    }
}
