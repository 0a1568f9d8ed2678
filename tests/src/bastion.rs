//! A machine with the product installed from its package, as a sysadmin does
//! it, and its policy, which grows with the admins that arrive.

use crate::journal::{Entry, Journal, Mark};
use crate::machine::Machine;
use crate::policy::{self, PolicyText};
use crate::process::Output;
use crate::story::{PATIENCE, wait_for};
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
/// Many logins come from one address at once, many of them refused: sshd by itself drops some of
/// more than ten, and from 9.8 on bans the address for a while.
const PATIENT_SSHD: &str = "{ echo MaxStartups 300; sshd -T | grep -q ^persourcepenalties && echo PerSourcePenalties no; } \
                            >/etc/ssh/sshd_config.d/90-lab.conf; sshd -t";

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
        make_sshd_patient(self)?;
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
        self.wait_for_sshd(mark)
    }

    /// A reloaded sshd closes its sockets and executes itself anew: until it says that it listens again, it refuses.
    fn wait_for_sshd(&self, mark: Mark) -> Result<()> {
        let listens = |entry: &Entry| entry.message() == "Server listening on :: port 22.";
        let listening = self.journal.wait(mark, 1, PATIENCE, listens);
        ensure!(
            !listening.is_empty(),
            "sshd was reloaded and does not listen"
        );
        Ok(())
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
        let file = format!("/etc/ssh/sshd_config.d/{name}");
        let reload = || {
            let mark = self.journal.mark();
            let reload = self.shell("sshd -t && systemctl reload ssh.service");
            reload.run()?.success()?;
            self.wait_for_sshd(mark)
        };
        self.write(&file, text)?;
        let outcome = reload().and_then(|()| tell());
        fs::remove_file(self.path(&file))?;
        reload()?;
        outcome
    }

    fn policy(&self) -> MutexGuard<'_, PolicyText> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
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
        let state = "systemctl show --property=ActiveState --value jump-policy.service jump-policy-again.service";
        wait_for("the end of the applying", || {
            Ok(!self.shell(state).run()?.text().contains("activating"))
        })?;
        if drop_in()? != before {
            self.wait_for_sshd(mark)?;
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

    /// `jumpctl` on this bastion.
    ///
    /// # Errors
    /// When it cannot be run; not when it answers no.
    pub fn jumpctl(&self, words: &str) -> Result<Output> {
        self.command("jumpctl").args(words.split(' ')).run()
    }
}

/// Lets sshd serve the many logins of a lab; in force once sshd is reloaded.
pub(crate) fn make_sshd_patient(machine: &Machine) -> Result<()> {
    machine.shell(PATIENT_SSHD).run()?.success()?;
    Ok(())
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
