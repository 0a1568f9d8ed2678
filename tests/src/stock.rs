//! A jump host as a distribution ships it: Debian's own sshd with its default
//! configuration, and admins who are ordinary local users. What an attack does
//! there is what it does where nothing of ours stands in its way.

use crate::bastion::make_sshd_patient;
use crate::journal::Journal;
use crate::machine::Machine;
use crate::seat::{Seat, add_account};
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
        make_sshd_patient(&machine)?;
        machine
            .shell("systemctl restart ssh.service")
            .run()?
            .success()?;
        Ok(Self {
            journal: machine.journal()?,
            machine,
        })
    }

    /// An ordinary user with a shell, the seat's name and uid, who logs in with the seat's key; the home.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn account(&self, seat: &Seat) -> Result<String> {
        let home = add_account(&self.machine, seat.name(), seat.uid())?;
        let keys = self.path(&format!("{home}/.ssh/authorized_keys"));
        fs::write(&keys, format!("{}\n", seat.key()))?;
        chown(&keys, Some(seat.uid()), Some(seat.uid()))?;
        Ok(home)
    }
}
