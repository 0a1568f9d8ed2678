//! The lab: a bastion, two targets and a client, the product installed on the
//! bastion from its package as a sysadmin would. Two more jump hosts, on which
//! a defence is absent, are booted when the first story asks for them.

use crate::admin::Hire;
use crate::base::{self, Kind};
use crate::bastion::Bastion;
use crate::dns::NameServer;
use crate::fragile::Pool;
use crate::ground::Ground;
use crate::hops;
use crate::machine::Machine;
use crate::network::{self, BASTION, CLIENT, DB1, DB2, OPEN, Place, STOCK, WEAK, WORKBENCH};
use crate::seat::{self, TARGET_ACCOUNT};
use crate::stock::Stock;
use crate::weak::Weak;
use anyhow::{Context, Result, bail, ensure};
use once_cell::sync::OnceCell;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the open bastion has in the place of the restricted shell: it runs what the client asks for.
const OPEN_SHELL: &str =
    "#!/bin/sh\nexec /bin/bash -c \"${SSH_ORIGINAL_COMMAND:-exec /bin/bash}\"\n";
/// The restricted shell.
const JUMP_SHELL: &str = "/usr/bin/jump-shell";

/// Four hosts and what is known about them.
#[derive(Debug)]
pub struct Lab {
    /// The jump server.
    pub bastion: Bastion,
    /// The admins' machine.
    pub client: Arc<Machine>,
    /// A target.
    pub db1: Arc<Machine>,
    /// Another target.
    pub db2: Arc<Machine>,
    /// What names stand for that no file has.
    pub names: NameServer,
    base: PathBuf,
    ground: Ground,
    stock: OnceCell<Stock>,
    open: OnceCell<Bastion>,
    fragile: Pool,
    workbench: OnceCell<Arc<Machine>>,
    weak: OnceCell<Weak>,
}

impl Lab {
    /// Boots the four hosts, in parallel.
    ///
    /// # Errors
    /// When one does not come up.
    pub fn boot(ground: &Ground, base: &Path) -> Result<Self> {
        let base = base.to_owned();
        network::lay()?;
        let names = NameServer::serve()?;
        let mut machines = boot_all(ground, &base, &[&BASTION, &CLIENT, &DB1, &DB2])?.into_iter();
        let mut next = || machines.next().context("a machine is missing");
        let (bastion, client, db1, db2) = (next()?, next()?, next()?, next()?);
        for target in [&db1, &db2] {
            seat::add_account(target, TARGET_ACCOUNT, 1000)?;
            // ssh wants the file the account's; lines are added to it as admins come.
            let keys = target.path(&format!("/home/{TARGET_ACCOUNT}/.ssh/authorized_keys"));
            fs::write(&keys, "")?;
            hops::prepare_target(target)?;
        }
        seat::prepare_client(&client)?;
        Ok(Self {
            bastion: Bastion::new(bastion)?,
            client,
            db1,
            db2,
            names,
            base,
            ground: ground.clone(),
            stock: OnceCell::new(),
            open: OnceCell::new(),
            fragile: Pool::default(),
            workbench: OnceCell::new(),
            weak: OnceCell::new(),
        })
    }

    /// A jump host as Debian ships it, booted when first asked for; the client knows it as `stock`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn stock(&self) -> Result<&Stock> {
        self.stock.get_or_try_init(|| {
            let machine = self.another_of(Kind::Workbench, &STOCK)?;
            self.introduce(&machine)?;
            Stock::new(machine)
        })
    }

    /// The host of [`Self::stock`], if it is up.
    #[must_use]
    pub fn stock_so_far(&self) -> Option<&Stock> {
        self.stock.get()
    }

    /// A second bastion, booted when first asked for; the client knows it as `open`. Everything of
    /// ours is in force there but the restricted shell: any program runs inside a guarded session.
    ///
    /// # Errors
    /// When it does not come up or the package cannot be installed.
    pub fn open_bastion(&self) -> Result<&Bastion> {
        self.open.get_or_try_init(|| self.further_bastion(&OPEN))
    }

    /// A third bastion, as the open one, of which layers can be left out; the client knows it as `weak`.
    ///
    /// # Errors
    /// When it does not come up, or its module is not built.
    pub fn weak_bastion(&self) -> Result<&Weak> {
        self.weak
            .get_or_try_init(|| Weak::new(self.further_bastion(&WEAK)?))
    }

    fn further_bastion(&self, place: &Place) -> Result<Bastion> {
        let machine = self.another(place)?;
        self.introduce(&machine)?;
        let bastion = Bastion::new(Arc::new(machine))?;
        bastion.install(&package()?)?;
        bastion.write(JUMP_SHELL, OPEN_SHELL)?;
        Ok(bastion)
    }

    /// The host of [`Self::open_bastion`], if it is up.
    #[must_use]
    pub fn open_bastion_so_far(&self) -> Option<&Bastion> {
        self.open.get()
    }

    /// Tells a story on a bastion of its own, which the client knows by its name. A good end means
    /// that it is whole again and serves the next story; a bad one tells what it wrote down meanwhile.
    ///
    /// # Errors
    /// Those of `tell`; when it does not come up, or all are broken.
    pub fn on_fragile_bastion(&self, tell: impl FnOnce(&Bastion) -> Result<()>) -> Result<()> {
        self.fragile.lend(self, tell)
    }

    /// An admin's machine with every other SSH client, booted when first asked for.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn workbench(&self) -> Result<&Arc<Machine>> {
        self.workbench.get_or_try_init(|| {
            let machine = self.another_of(Kind::Workbench, &WORKBENCH)?;
            seat::prepare_client(&machine)?;
            Ok(Arc::new(machine))
        })
    }

    /// Makes a machine's name and host keys known at the client, to every admin.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn introduce(&self, machine: &Machine) -> Result<()> {
        let place = machine.place();
        let line = format!("{} {}", place.address(), place.name);
        seat::append(&self.client, "/etc/hosts", &line)?;
        let known = seat::known_hosts(&[machine])?;
        seat::append(&self.client, "/etc/ssh/ssh_known_hosts", &known)
    }

    /// A further host on fresh ground, for stories about installing.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn another(&self, place: &Place) -> Result<Machine> {
        Machine::boot(&self.ground, &self.base, place)
    }

    /// Boots a further host anew that has ended.
    ///
    /// # Errors
    /// When it is still up, or does not come up.
    pub fn once_more(&self, place: &Place) -> Result<Machine> {
        Machine::boot_again(&self.ground, place)
    }

    /// A further host of another kind. The tree must be there: from inside the lab there is no way to a mirror.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn another_of(&self, kind: Kind, place: &Place) -> Result<Machine> {
        let release = self.bastion.read("/etc/os-release")?;
        let suite = release
            .lines()
            .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
            .context("the release has no name")?;
        Machine::boot(&self.ground, &base::tree_of(suite, kind)?, place)
    }

    /// Machines that run sshd.
    #[must_use]
    pub fn servers(&self) -> [&Machine; 3] {
        [&self.bastion, &self.db1, &self.db2]
    }

    /// An admin to be hired.
    pub fn admin<'l>(&'l self, name: &'l str) -> Hire<'l> {
        Hire::new(self, name)
    }
}

/// Where a story names no other bastion, it means the one of its own.
impl Deref for Lab {
    type Target = Bastion;

    fn deref(&self) -> &Bastion {
        &self.bastion
    }
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

/// Whether the long form of stories that have one was asked for: `cargo xtask lab SUITE --full`.
#[must_use]
pub fn full() -> bool {
    std::env::var_os("JUMP_LAB_FULL").is_some()
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
