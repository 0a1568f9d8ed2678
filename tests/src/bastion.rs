//! A machine with the product installed from its package, as a sysadmin does
//! it, and its policy, which grows with the admins that arrive.

use crate::journal::{Entry, Journal};
use crate::machine::Machine;
use crate::policy::{self, PolicyText};
use crate::process::Output;
use crate::sshd::Sshd;
use crate::story::{PATIENCE, until, wait_for};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The policy file on a bastion.
pub const POLICY: &str = "/etc/jump/policy.toml";
/// What setup and policy tell sshd.
const SSHD_DROP_IN: &str = "/etc/ssh/sshd_config.d/10-jump.conf";
/// Where `.deb` packages are put on a machine.
const PACKAGE: &str = "/root/jump-server.deb";
/// Applying a policy ends so soon after it is in force, unless the machine is busy.
const SOON: Duration = Duration::from_millis(500);

/// A jump server.
#[derive(Debug)]
pub struct Bastion {
    /// Its journal; first, because it ends before the machine does.
    pub journal: Journal,
    machine: Arc<Machine>,
    policy: Mutex<PolicyText>,
}

impl Deref for Bastion {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl Bastion {
    /// A machine that is to become one; see [`Self::install`].
    ///
    /// # Errors
    /// When its journal cannot be followed.
    pub fn new(machine: Arc<Machine>) -> Result<Self> {
        Ok(Self {
            journal: machine.journal()?,
            machine,
            policy: Mutex::default(),
        })
    }

    /// Installs the package and wires it, as a sysadmin does.
    ///
    /// # Errors
    /// When apt, `jumpctl setup` or the first policy fails.
    pub fn install(&self, package: &Path) -> Result<()> {
        install(self, package)?;
        self.sshd().make_patient()?;
        self.setup("setup --yes")?;
        self.save_policy(&self.policy())
            .context("the first policy is not applied")
    }

    /// A `jumpctl setup` of any kind, and the reload of sshd that comes with it.
    ///
    /// # Errors
    /// When it fails.
    pub fn setup(&self, words: &str) -> Result<()> {
        let mark = self.journal.mark();
        self.jumpctl(words)?.success()?;
        self.sshd().wait_for(mark)
    }

    fn sshd(&self) -> Sshd<'_> {
        Sshd {
            machine: &self.machine,
            journal: &self.journal,
        }
    }

    /// Has a file in `sshd_config.d` while `tell` runs, in force from before to after.
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

    fn policy(&self) -> MutexGuard<'_, PolicyText> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the policy has an admin of this name.
    #[must_use]
    pub fn has_admin(&self, name: &str) -> bool {
        self.policy().has(name)
    }

    /// Edits the policy and waits until it is in force.
    ///
    /// # Errors
    /// When it is refused, with the refusal.
    pub fn edit_policy(&self, edit: impl FnOnce(&mut PolicyText)) -> Result<()> {
        let mut policy = self.policy();
        edit(&mut policy);
        self.save_policy(&policy)
    }

    /// Saves the policy; that is all a sysadmin does. The bastion applies it by itself.
    fn save_policy(&self, policy: &PolicyText) -> Result<()> {
        let text = policy.text();
        let hash = policy::hash(&text);
        let drop_in = || self.read(SSHD_DROP_IN);
        let before = drop_in()?;
        let mark = self.journal.mark();
        self.write(POLICY, &text)?;
        let decided = |entry: &Entry| {
            entry.is("policy.rejected")
                || entry.is("policy.applied") && entry.get("JUMP_POLICY") == hash
        };
        let Some(event) = self.journal.wait(mark, 1, PATIENCE, decided).pop() else {
            bail!("the saved policy ({hash}) is neither applied nor rejected");
        };
        ensure!(event.is("policy.applied"), "{}\n{text}", event.message());
        // Where the policy changes what sshd must know, the applying goes on: sshd is reloaded.
        let ended = |entry: &Entry| {
            entry.get("UNIT") == "jump-policy.service" && !entry.get("JOB_RESULT").is_empty()
        };
        if self.journal.wait(mark, 1, SOON, ended).is_empty() {
            // The unit that looks once more, and writes nothing down, has found it.
            let state = "systemctl show --property=ActiveState --value jump-policy.service jump-policy-again.service";
            wait_for("the end of the applying", || {
                Ok(!self.shell(state).run()?.text().contains("activating"))
            })?;
        }
        if drop_in()? != before {
            self.sshd().wait_for(mark)?;
        }
        Ok(())
    }

    /// Does something while nobody else edits the policy, given its text.
    ///
    /// # Errors
    /// Those of `act`.
    pub fn with_policy_held<T>(&self, act: impl FnOnce(&str) -> Result<T>) -> Result<T> {
        let policy = self.policy();
        act(&policy.text())
    }

    /// The text of the policy in force.
    #[must_use]
    pub fn policy_text(&self) -> String {
        self.policy().text()
    }

    /// Enrols an admin's authenticator; what `jumpctl` prints of it, as JSON.
    ///
    /// # Errors
    /// When jumpd refuses it. That it did not answer in time is none: it may have had no processor.
    pub(crate) fn enrol(&self, name: &str) -> Result<String> {
        let enrolled = until(PATIENCE, || {
            let output = self.jumpctl(&format!("mfa enroll {name} --no-confirm --json"))?;
            if output.code() == 2 && output.text().contains("no answer within") {
                self.jumpctl(&format!("mfa reset {name}"))?;
                return Ok(None);
            }
            Ok(Some(output.success()?.text()))
        })?;
        enrolled.context("jumpd does not answer")
    }

    /// `jumpctl` on this bastion.
    ///
    /// # Errors
    /// When it cannot be run; not when it answers no.
    pub fn jumpctl(&self, words: &str) -> Result<Output> {
        self.command("jumpctl").args(words.split(' ')).run()
    }
}

/// Installs the package with apt.
///
/// # Errors
/// When apt fails, with what it said.
pub fn install(machine: &Machine, package: &Path) -> Result<Output> {
    fs::copy(package, machine.path(PACKAGE)).with_context(|| package.display().to_string())?;
    machine
        .command("apt-get")
        .args(["install", "--yes", PACKAGE])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .patience(Duration::from_secs(180))
        .run()?
        .success()
}
