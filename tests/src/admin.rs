//! An admin: hired into the policy of a bastion, then at a seat of the client
//! machine with a key and an authenticator.

use crate::authenticator::Authenticator;
use crate::bastion::Bastion;
use crate::journal::{Entry, Mark};
use crate::lab::Lab;
use crate::machine::Machine;
use crate::process::{Invocation, Output, Running};
use crate::seat::Seat;
use crate::story::PATIENCE;
use anyhow::{Context, Result, ensure};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An admin about to be put into the policy.
#[derive(Debug)]
#[must_use]
pub struct Hire<'l> {
    lab: &'l Lab,
    bastion: &'l Bastion,
    client: &'l Arc<Machine>,
    name: &'l str,
    user: &'l str,
    tables: String,
    enrolled: bool,
}

impl<'l> Hire<'l> {
    pub(crate) fn new(lab: &'l Lab, name: &'l str) -> Self {
        Self {
            lab,
            bastion: &lab.bastion,
            client: &lab.client,
            name,
            user: "",
            tables: String::new(),
            enrolled: true,
        }
    }

    /// At another bastion than the lab's own.
    pub fn at(mut self, bastion: &'l Bastion) -> Self {
        self.bastion = bastion;
        self
    }

    /// At another machine than the lab's client.
    pub fn sitting_at(mut self, client: &'l Arc<Machine>) -> Self {
        self.client = client;
        self
    }

    /// Further lines of the admin's `[users]` table.
    pub fn user(mut self, lines: &'l str) -> Self {
        self.user = lines;
        self
    }

    /// Further tables of the policy: rules, targets, windows.
    pub fn policy(mut self, tables: impl Into<String>) -> Self {
        self.tables = tables.into();
        self
    }

    /// An allow rule, named after the admin, to the lab's databases.
    pub fn may_reach_databases(self) -> Self {
        let name = self.name;
        self.policy(format!(
            "[[rules]]\nname = \"{name}-databases\"\neffect = \"allow\"\nusers = [\"{name}\"]\ntargets = [\"databases\"]\n"
        ))
    }

    /// Leaves the admin without a second factor.
    pub fn unenrolled(mut self) -> Self {
        self.enrolled = false;
        self
    }

    /// Gives the admin a seat, a place in the policy and an authenticator.
    ///
    /// # Errors
    /// When the policy is refused or the enrolment fails.
    pub fn arrive(self) -> Result<Admin<'l>> {
        static NEXT: AtomicU32 = AtomicU32::new(70_001);
        let Self {
            lab,
            bastion,
            client,
            name,
            user,
            tables,
            enrolled,
        } = self;
        let uid = NEXT.fetch_add(1, Ordering::Relaxed);
        let mark = bastion.journal.mark();
        ensure!(
            !bastion.has_admin(name),
            "another story has a {name} already"
        );
        let seat = Seat::take(client, &lab.servers(), name)?;
        bastion.edit_policy(|policy| policy.add(name, uid, seat.key(), user, &tables))?;
        let authenticator = if enrolled {
            let enrolment = bastion.enrol(name)?;
            Some(Authenticator::from_enrolment(&enrolment)?)
        } else {
            None
        };
        Ok(Admin {
            bastion,
            master: Mutex::default(),
            seat,
            uid,
            authenticator: authenticator.map(Mutex::new),
            mark,
        })
    }
}

/// An admin of the policy, at their seat.
#[derive(Debug)]
pub struct Admin<'l> {
    bastion: &'l Bastion,
    /// The connection that [`Self::in_session`] opens and shares.
    master: Mutex<Option<Running>>,
    /// Where they type.
    pub seat: Seat,
    /// Their uid on the bastion.
    pub uid: u32,
    authenticator: Option<Mutex<Authenticator>>,
    mark: Mark,
}

impl Admin<'_> {
    /// What is left of them when their bastion is gone: the seat, and the authenticator.
    #[must_use]
    pub fn go_home(self) -> (Seat, Option<Authenticator>) {
        let authenticator = self.authenticator.map(Mutex::into_inner);
        let authenticator =
            authenticator.map(|inner| inner.unwrap_or_else(PoisonError::into_inner));
        (self.seat, authenticator)
    }

    /// Their name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.seat.name()
    }

    /// The bastion whose policy they are in.
    #[must_use]
    pub fn bastion(&self) -> &Bastion {
        self.bastion
    }

    /// Their authenticator.
    ///
    /// # Errors
    /// When they have none.
    pub fn authenticator(&self) -> Result<MutexGuard<'_, Authenticator>> {
        let authenticator = self.authenticator.as_ref().context("not enrolled")?;
        Ok(authenticator.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Types a command and gives a code that is accepted when asked for one.
    ///
    /// # Errors
    /// When it cannot be run; not when it fails.
    pub fn types(&self, program: &str, args: &[&str]) -> Result<Output> {
        let code = self.authenticator()?.any_code()?;
        self.seat
            .answering(&[code])?
            .command(program)
            .args(args.iter().copied())
            .run()
    }

    /// Types an ssh command and gives a code that is accepted when asked for one.
    ///
    /// # Errors
    /// When it cannot be run; not when it fails.
    pub fn ssh(&self, args: &[&str]) -> Result<Output> {
        self.types("ssh", args)
    }

    /// Opens a connection to the bastion that later commands of this seat share: `ssh -S master`.
    ///
    /// # Errors
    /// When the login fails.
    pub fn open_master(&self, more: &[&str]) -> Result<Running> {
        let code = self.authenticator()?.any_code()?;
        let mut args = vec!["-M", "-S", "master", "-N", "-v"];
        args.extend(more);
        args.push(self.bastion.place().name);
        let mut master = self
            .seat
            .answering(&[code])?
            .ssh(args.into_iter().map(str::to_owned))
            .start()?;
        master.wait_for("Entering interactive session", PATIENCE)?;
        self.event("session.opened")?;
        Ok(master)
    }

    /// A line of shell run inside a guarded session of this admin, all lines in the same one. Only
    /// on the open bastion ([`Lab::open_bastion`]) does it run anything but the restricted shell.
    ///
    /// # Errors
    /// When the login fails.
    pub fn in_session(&self, line: &str) -> Result<Invocation> {
        let mut master = self.master.lock().unwrap_or_else(PoisonError::into_inner);
        if master.is_none() {
            *master = Some(self.open_master(&[])?);
        }
        let host = self.bastion.place().name;
        Ok(self.seat.command("ssh").args(["-S", "master", host, line]))
    }

    /// Waits for an event about this admin.
    ///
    /// # Errors
    /// When it does not come, with the events that did.
    pub fn event(&self, kind: &str) -> Result<Entry> {
        self.event_where(kind, |_| true)
    }

    /// Waits for an event about this admin that fits.
    ///
    /// # Errors
    /// When it does not come, with the events that did.
    pub fn event_where(&self, kind: &str, fits: impl Fn(&Entry) -> bool) -> Result<Entry> {
        let mine =
            |entry: &Entry| entry.is(kind) && entry.get("JUMP_USER") == self.name() && fits(entry);
        let found = self.bastion.journal.wait(self.mark, 1, PATIENCE, mine);
        found.into_iter().next().with_context(|| {
            let seen = self
                .bastion
                .journal
                .since(self.mark, |entry| entry.get("JUMP_USER") == self.name());
            let seen: Vec<_> = seen.iter().map(ToString::to_string).collect();
            format!(
                "no fitting {kind} for {}; there were:\n{}",
                self.name(),
                seen.join("\n")
            )
        })
    }

    /// The events about this admin so far, of one kind.
    #[must_use]
    pub fn events(&self, kind: &str) -> Vec<Entry> {
        self.bastion.journal.since(self.mark, |entry| {
            entry.is(kind) && entry.get("JUMP_USER") == self.name()
        })
    }

    /// Waits for `count` events of one kind; returns what has come.
    #[must_use]
    pub fn wait_events(&self, kind: &str, count: usize) -> Vec<Entry> {
        let mine = |entry: &Entry| entry.is(kind) && entry.get("JUMP_USER") == self.name();
        self.bastion.journal.wait(self.mark, count, PATIENCE, mine)
    }
}
