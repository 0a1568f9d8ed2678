//! The lab: a bastion, two targets and a client, the product installed on the
//! bastion from its package as a sysadmin would.

use crate::authenticator::Authenticator;
use crate::ground::Ground;
use crate::journal::{Entry, Journal, Mark};
use crate::machine::Machine;
use crate::network::{self, BASTION, CLIENT, DB1, DB2, Place};
use crate::policy::{self, PolicyText};
use crate::process::Output;
use crate::seat::{self, Seat, TARGET_ACCOUNT};
use crate::story::{PATIENCE, wait_for};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// The policy file on the bastion.
pub const POLICY: &str = "/etc/jump/policy.toml";
/// What setup and policy tell sshd.
const SSHD_DROP_IN: &str = "/etc/ssh/sshd_config.d/10-jump.conf";
/// Where `.deb` packages are put on a machine.
const PACKAGE: &str = "/root/jump-server.deb";

/// Four hosts and what is known about them.
#[derive(Debug)]
pub struct Lab {
    /// The bastion's journal; first, because it ends before the bastion does.
    pub journal: Journal,
    /// The jump server.
    pub bastion: Arc<Machine>,
    /// The admins' machine.
    pub client: Arc<Machine>,
    /// A target.
    pub db1: Arc<Machine>,
    /// Another target.
    pub db2: Arc<Machine>,
    base: PathBuf,
    ground: Ground,
    policy: Mutex<PolicyText>,
    /// Scenarios hold it shared; those that stop or break something hold it alone.
    pub peace: RwLock<()>,
}

impl Lab {
    /// Boots the four hosts, in parallel.
    ///
    /// # Errors
    /// When one does not come up.
    pub fn boot(ground: &Ground, base: &Path) -> Result<Self> {
        let base = base.to_owned();
        network::lay()?;
        let mut machines = boot_all(ground, &base, &[&BASTION, &CLIENT, &DB1, &DB2])?.into_iter();
        let mut next = || machines.next().context("a machine is missing");
        let (bastion, client, db1, db2) = (next()?, next()?, next()?, next()?);
        for target in [&db1, &db2] {
            seat::add_account(target, TARGET_ACCOUNT, 1000)?;
            // ssh wants the file the account's; lines are added to it as admins come.
            let keys = target.path(&format!("/home/{TARGET_ACCOUNT}/.ssh/authorized_keys"));
            fs::write(&keys, "")?;
        }
        seat::prepare_client(&client)?;
        let journal = bastion.journal()?;
        Ok(Self {
            bastion,
            client,
            db1,
            db2,
            journal,
            base,
            ground: ground.clone(),
            policy: Mutex::default(),
            peace: RwLock::default(),
        })
    }

    /// Installs the package on the bastion and wires it, as a sysadmin does.
    ///
    /// # Errors
    /// When apt, `jumpctl setup` or the first policy fails.
    pub fn install(&self, package: &Path) -> Result<()> {
        install(&self.bastion, package)?;
        // Scenarios run side by side, one with 64 logins at once, many refused, all from one address:
        // sshd by itself drops some of more than ten, and from 9.8 on bans the address for a while.
        self.bastion
            .shell(
                "{ echo MaxStartups 300; sshd -T | grep -q ^persourcepenalties && echo PerSourcePenalties no; } \
                 >/etc/ssh/sshd_config.d/90-lab.conf; sshd -t",
            )
            .run()?
            .success()?;
        let mark = self.journal.mark();
        self.jumpctl("setup --yes")?.success()?;
        self.wait_for_sshd(mark)?;
        self.save_policy(&self.policy())
            .context("the first policy is not applied")
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
            let reload = self
                .bastion
                .shell("sshd -t && systemctl reload ssh.service");
            reload.run()?.success()?;
            self.wait_for_sshd(mark)
        };
        self.bastion.write(&file, text)?;
        let outcome = reload().and_then(|()| tell());
        fs::remove_file(self.bastion.path(&file))?;
        reload()?;
        outcome
    }

    /// A further host on fresh ground, for stories about installing.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn another(&self, place: &Place) -> Result<Machine> {
        Machine::boot(&self.ground, &self.base, place)
    }

    /// Machines that run sshd.
    #[must_use]
    pub fn servers(&self) -> [&Machine; 3] {
        [&self.bastion, &self.db1, &self.db2]
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
        let drop_in = || self.bastion.read(SSHD_DROP_IN);
        let before = drop_in()?;
        let mark = self.journal.mark();
        self.bastion.write(POLICY, &text)?;
        let decided = |entry: &Entry| {
            entry.is("policy.rejected")
                || entry.is("policy.applied") && entry.get("JUMP_POLICY") == hash
        };
        let Some(event) = self.journal.wait(mark, 1, PATIENCE, decided).pop() else {
            bail!("the saved policy ({hash}) is neither applied nor rejected");
        };
        ensure!(event.is("policy.applied"), "{}\n{text}", event.message());
        // Where the policy changes what sshd must know, sshd is reloaded after that. And systemd is
        // blind to a save in the instant between the end of the applying and its watching again.
        let state = "systemctl show --property=SubState --value jump-policy.path";
        wait_for("systemd to watch the policy again", || {
            Ok(self.bastion.shell(state).run()?.text() == "waiting")
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

    /// `jumpctl` on the bastion.
    ///
    /// # Errors
    /// When it cannot be run; not when it answers no.
    pub fn jumpctl(&self, words: &str) -> Result<Output> {
        self.bastion.command("jumpctl").args(words.split(' ')).run()
    }

    /// An admin to be hired.
    pub fn admin<'l>(&'l self, name: &'l str) -> Hire<'l> {
        Hire {
            lab: self,
            name,
            user: "",
            tables: String::new(),
            enrolled: true,
        }
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

/// The package that the lab is to try: `JUMP_DEB`, or the newest in `target/packages`.
///
/// # Errors
/// When there is none.
pub fn package() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("JUMP_DEB") {
        let path = PathBuf::from(path);
        ensure!(
            path.is_file(),
            "JUMP_DEB names {}, which is no file",
            path.display()
        );
        return Ok(path);
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/packages");
    let packages = fs::read_dir(&directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let newest = packages
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .max_by_key(|path| {
            fs::metadata(path)
                .and_then(|metadata| metadata.modified())
                .ok()
        });
    newest.context("no .deb in target/packages; run `cargo xtask lab bookworm`, which makes it, or set JUMP_DEB")
}

fn boot_all(ground: &Ground, base: &Path, places: &[&Place]) -> Result<Vec<Arc<Machine>>> {
    std::thread::scope(|scope| {
        let boots: Vec<_> = places
            .iter()
            .map(|place| scope.spawn(move || Machine::boot(ground, base, place)))
            .collect();
        boots
            .into_iter()
            .map(|boot| match boot.join() {
                Ok(machine) => machine.map(Arc::new),
                Err(_) => bail!("booting panicked"),
            })
            .collect()
    })
}

/// An admin about to be put into the policy.
#[derive(Debug)]
#[must_use]
pub struct Hire<'l> {
    lab: &'l Lab,
    name: &'l str,
    user: &'l str,
    tables: String,
    enrolled: bool,
}

impl<'l> Hire<'l> {
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
            name,
            user,
            tables,
            enrolled,
        } = self;
        let uid = NEXT.fetch_add(1, Ordering::Relaxed);
        let mark = lab.journal.mark();
        let seat = Seat::take(&lab.client, &lab.servers(), name)?;
        lab.edit_policy(|policy| policy.add(name, uid, seat.key(), user, &tables))?;
        let authenticator = if enrolled {
            let enrolment = lab
                .jumpctl(&format!("mfa enroll {name} --no-confirm --json"))?
                .success()?;
            Some(Authenticator::from_enrolment(&enrolment.text())?)
        } else {
            None
        };
        Ok(Admin {
            lab,
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
    lab: &'l Lab,
    /// Where they type.
    pub seat: Seat,
    /// Their uid on the bastion.
    pub uid: u32,
    authenticator: Option<Mutex<Authenticator>>,
    mark: Mark,
}

impl Admin<'_> {
    /// Their name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.seat.name()
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
        let found = self.lab.journal.wait(self.mark, 1, PATIENCE, mine);
        found.into_iter().next().with_context(|| {
            let seen = self
                .lab
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
        self.lab.journal.since(self.mark, |entry| {
            entry.is(kind) && entry.get("JUMP_USER") == self.name()
        })
    }

    /// Waits for `count` events of one kind; returns what has come.
    #[must_use]
    pub fn wait_events(&self, kind: &str, count: usize) -> Vec<Entry> {
        let mine = |entry: &Entry| entry.is(kind) && entry.get("JUMP_USER") == self.name();
        self.lab.journal.wait(self.mark, count, PATIENCE, mine)
    }
}
