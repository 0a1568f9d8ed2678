//! A booted host: an overlay of the base, brought up by systemd-nspawn.
//!
//! nspawn runs inside the run's namespaces and in a cgroup of its own. It needs
//! `--system-call-filter`, or it answers EPERM to what the guard and Landlock
//! are made of. It says when the machine is up, and the pid of its init,
//! through the sd_notify protocol: nothing is polled.

use crate::base;
use crate::dns::NAME_SERVER;
use crate::ground::Ground;
use crate::journal::Journal;
use crate::network::{self, Place};
use crate::process::Invocation;
use crate::story::until;
use anyhow::{Context, Result, bail, ensure};
use nix::mount::{MsFlags, mount};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// System calls of the product, and of those who attack it, that nspawn would otherwise refuse:
/// a host that is no container refuses none of them.
const SYSTEM_CALLS: &str = "pidfd_getfd process_vm_readv process_vm_writev process_madvise ptrace kcmp \
    landlock_create_ruleset landlock_add_rule landlock_restrict_self \
    io_uring_setup io_uring_enter io_uring_register bpf perf_event_open userfaultfd request_key";
/// Generous: two cores may be shared with a compiler.
const BOOT_PATIENCE: Duration = Duration::from_secs(60);

/// Where its file tree is mounted, in its directory.
const ROOT: &str = "root";

/// A running host.
#[derive(Debug)]
pub struct Machine {
    place: Place,
    root: PathBuf,
    outputs: PathBuf,
    leader: u32,
    nspawn: Child,
    /// What it has on disk; gone with it.
    disk: PathBuf,
    _addresses: Addresses,
}

/// Addresses that a running host has to itself: two hosts with one lose each other's connections.
#[derive(Debug)]
struct Addresses(Vec<&'static str>);

static TAKEN: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());

impl Addresses {
    fn take(place: &Place) -> Result<Self> {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<_> = place
            .addresses
            .iter()
            .chain(place.second)
            .copied()
            .collect();
        for address in &all {
            let of_names = address.split('/').next() == Some(NAME_SERVER);
            ensure!(
                !of_names && !taken.contains(address),
                "{}: {address} is the address of another host that is up",
                place.name
            );
        }
        taken.extend(&all);
        Ok(Self(all))
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|address| !self.0.contains(address));
    }
}

impl Machine {
    /// Boots one.
    ///
    /// # Errors
    /// When it does not come up, with the end of what its console said.
    pub fn boot(ground: &Ground, base: &Path, place: &Place) -> Result<Self> {
        let root = overlay(&ground.directory().join(place.name), base)?;
        furnish(&root, place).with_context(|| format!("cannot furnish {}", place.name))?;
        Self::start(ground, place, root)
    }

    /// Boots one anew that has ended, with all that was on its disk. It ended as by a power failure.
    ///
    /// # Errors
    /// When it is still up, or does not come up.
    pub fn boot_again(ground: &Ground, place: &Place) -> Result<Self> {
        let home = ground.directory().join(place.name);
        fs::remove_file(home.join("notify"))?;
        Self::start(ground, place, home.join(ROOT))
    }

    fn start(ground: &Ground, place: &Place, root: PathBuf) -> Result<Self> {
        let addresses = Addresses::take(place)?;
        let home = ground.directory().join(place.name);
        let notify = home.join("notify");
        let socket = UnixDatagram::bind(&notify)?;
        socket.set_read_timeout(Some(BOOT_PATIENCE))?;
        let console = home.join("console");
        let disk = base::cache().join(format!("disk-{}-{}", std::process::id(), place.name));
        let nspawn = nspawn(ground, place, &root, &notify, &console, &disk)?;
        let mut machine = Self {
            place: place.clone(),
            root,
            outputs: home.join("outputs"),
            leader: 0,
            nspawn,
            disk,
            _addresses: addresses,
        };
        match await_ready(&socket) {
            Ok(leader) => machine.leader = leader,
            Err(trouble) => {
                let said = fs::read_to_string(&console).unwrap_or_default();
                bail!("{} does not come up: {trouble:#}\n{said}", place.name);
            }
        }
        machine.place.plug_in()?;
        Ok(machine)
    }

    /// Its name and addresses.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Process id of its init as this process sees it: its namespaces are the machine's.
    #[must_use]
    pub fn leader(&self) -> u32 {
        self.leader
    }

    /// A path of the machine as this process sees it.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    /// Reads a file of the machine.
    ///
    /// # Errors
    /// When it cannot be read as text.
    pub fn read(&self, inside: &str) -> Result<String> {
        fs::read_to_string(self.path(inside))
            .with_context(|| format!("{}:{inside}", self.place.name))
    }

    /// Writes a file of the machine as editors do: a new file, renamed over the
    /// old one, with the old one's owner and mode.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, inside: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.path(inside);
        let trouble = || format!("{}:{inside}", self.place.name);
        let new = path.with_extension("lab-new");
        fs::write(&new, content).with_context(trouble)?;
        if let Ok(old) = fs::metadata(&path) {
            use std::os::unix::fs::{MetadataExt, chown};
            chown(&new, Some(old.uid()), Some(old.gid()))?;
            fs::set_permissions(&new, fs::Permissions::from_mode(old.mode() & 0o7777))?;
        }
        fs::rename(&new, &path).with_context(trouble)
    }

    /// A program to run in it as root.
    pub fn command(&self, program: &str) -> Invocation {
        Invocation::new(self.leader, &self.outputs, program)
    }

    /// A line of shell to run in it as root.
    pub fn shell(&self, line: &str) -> Invocation {
        self.command("sh").args(["-c", line])
    }

    /// Follows its journal from the beginning.
    ///
    /// # Errors
    /// When journalctl cannot be started.
    pub fn journal(&self) -> Result<Journal> {
        Journal::follow(self.leader)
    }

    /// The public host keys, as lines of `ssh_host_*_key.pub`.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn host_keys(&self) -> Result<Vec<String>> {
        HOST_KEYS
            .iter()
            .map(|kind| self.read(&format!("/etc/ssh/ssh_host_{kind}_key.pub")))
            .collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Killing init ends everything in its pid namespace; nspawn, left alone with that, ends too.
        if let Ok(leader) = i32::try_from(self.leader)
            && leader > 1
        {
            let _gone = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(leader),
                nix::sys::signal::Signal::SIGKILL,
            );
        } else {
            let _gone = self.nspawn.kill();
        }
        // Not for ever: what is left ends with the run.
        let _reaped = until(Duration::from_secs(5), || Ok(self.nspawn.try_wait()?));
        // Most machines have none.
        let _tidy = fs::remove_dir_all(&self.disk);
    }
}

const HOST_KEYS: [&str; 2] = ["ed25519", "ecdsa"];

/// The machine's file tree: the shared base below, its own changes above.
fn overlay(home: &Path, base: &Path) -> Result<PathBuf> {
    let parts = [ROOT, "upper", "work"].map(|part| home.join(part));
    for part in &parts {
        fs::create_dir_all(part)?;
    }
    let [root, upper, work] = parts;
    let base = base.canonicalize()?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        base.display(),
        upper.display(),
        work.display()
    );
    mount(
        Some("overlay"),
        &root,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .context("cannot mount the overlay")?;
    Ok(root)
}

/// What makes this machine itself: name, identity, addresses, host keys.
fn furnish(root: &Path, place: &Place) -> Result<()> {
    fs::write(root.join("etc/hostname"), format!("{}\n", place.name))?;
    fs::write(root.join("etc/hosts"), network::hosts(place))?;
    fs::write(root.join("etc/resolv.conf"), network::resolv_conf(place))?;
    // An id of its own, there before the first boot: without one systemd takes the boot for a
    // first boot and enables every unit its presets name.
    let id = fs::read_to_string("/proc/sys/kernel/random/uuid")?.replace('-', "");
    fs::write(root.join("etc/machine-id"), id)?;
    let units = root.join("etc/systemd/system");
    let network = ("lab-network.service".to_owned(), place.unit());
    for (name, text) in place.service_units().into_iter().chain([network]) {
        if let Some((_, target)) = text.split_once("WantedBy=") {
            let wants = units.join(format!("{}.wants", target.trim()));
            fs::create_dir_all(&wants)?;
            symlink(format!("../{name}"), wants.join(&name))?;
        }
        fs::write(units.join(name), text)?;
    }
    for kind in HOST_KEYS {
        let file = format!("/etc/ssh/ssh_host_{kind}_key");
        let output = Command::new("chroot")
            .arg(root)
            .args([
                "ssh-keygen",
                "-q",
                "-N",
                "",
                "-C",
                place.name,
                "-t",
                kind,
                "-f",
                &file,
            ])
            .output()?;
        ensure!(
            output.status.success(),
            "ssh-keygen: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let ssh = root.join("root/.ssh");
    fs::create_dir_all(&ssh)?;
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o700))?;
    Ok(())
}

fn nspawn(
    ground: &Ground,
    place: &Place,
    root: &Path,
    notify: &Path,
    console: &Path,
    disk: &Path,
) -> Result<Child> {
    let cgroup = ground.cgroup(place.name)?;
    let log = File::create(console)?;
    // The shell puts itself into the cgroup and becomes nspawn, which with --keep-unit stays there.
    let mut command = Command::new("sh");
    command
        .args(["-c", "echo $$ >\"$0\" && exec \"$@\""])
        .arg(cgroup.join("cgroup.procs"))
        .args([
            "systemd-nspawn",
            "--quiet",
            "--boot",
            "--register=no",
            "--keep-unit",
        ])
        .args(["--console=read-only", "--notify-ready=yes"])
        .arg(format!("--system-call-filter={SYSTEM_CALLS}"))
        .arg(format!("--machine={}", place.name))
        .arg(format!("--directory={}", root.display()))
        .args(place.nspawn_arguments())
        .args(binds(place, disk)?)
        .env("NOTIFY_SOCKET", notify)
        .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0);
    command
        .spawn()
        .context("cannot run systemd-nspawn (package systemd-container)")
}

/// Arguments by which directories of the machine lie on disk.
fn binds(place: &Place, disk: &Path) -> Result<Vec<String>> {
    let numbered = place.on_disk.iter().enumerate();
    let bind = numbered.map(|(number, inside)| {
        let outside = disk.join(number.to_string());
        fs::create_dir_all(&outside)?;
        Ok(format!("--bind={}:{inside}", outside.display()))
    });
    bind.collect()
}

/// Reads nspawn's notifications until the machine is up; the pid of its init.
fn await_ready(socket: &UnixDatagram) -> Result<u32> {
    let mut leader = None;
    let mut buffer = [0; 4096];
    loop {
        let length = socket
            .recv(&mut buffer)
            .context("no word from systemd-nspawn")?;
        let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
        for line in text.lines() {
            if let Some(pid) = line.strip_prefix("X_NSPAWN_LEADER_PID=") {
                leader = Some(pid.parse()?);
            }
            if line == "READY=1" {
                return leader.context("systemd-nspawn did not name the machine's init");
            }
        }
    }
}
