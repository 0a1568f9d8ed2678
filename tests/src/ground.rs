//! The ground a lab stands on: namespaces and a cgroup of its own.
//!
//! The program runs twice. The first process, the keeper, makes a mount
//! namespace, a cgroup and a pid namespace and starts the program again as the
//! first process of that pid namespace. When that one ends, for whatever
//! reason, the kernel kills everything the lab started; when the keeper is
//! killed, the kernel kills the second one (`PR_SET_PDEATHSIG`). So nothing
//! outlives a run, not even one that got `kill -9`. What a killed run leaves,
//! an empty directory and an empty cgroup, is swept by the next.
//!
//! The mount namespace also carries the step without which systemd does not
//! boot on hosts with hybrid cgroups: cgroup2 mounted over `/sys/fs/cgroup`.

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::unistd::{Pid, getuid};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

/// Where runs keep their directories, machine-wide, so that a run started from
/// any checkout sweeps what a killed one left.
const RUNS: &str = "/run/jump-lab";
/// Tells the second process which run it belongs to.
const RUN_VARIABLE: &str = "JUMP_LAB_RUN";
/// Where the cgroup2 hierarchy is mounted inside a lab.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The ground of this run, as the second process sees it.
#[derive(Debug, Clone)]
pub struct Ground {
    run: String,
    directory: PathBuf,
}

impl Ground {
    /// The run's directory: a tmpfs that nobody else sees.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A new cgroup below the run's own.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn cgroup(&self, name: &str) -> Result<PathBuf> {
        let path = Path::new(CGROUPS).join(cgroup_name(&self.run)).join(name);
        fs::create_dir_all(&path)
            .with_context(|| format!("cannot make the cgroup {}", path.display()))?;
        Ok(path)
    }
}

/// Runs `program` on fresh ground and returns its exit code: in the second
/// process. The first one runs `before`, while the host's network is still
/// there, and then only keeps the ground.
pub fn stand_on(
    before: impl FnOnce() -> Result<()>,
    program: impl FnOnce(&Ground) -> Result<ExitCode>,
) -> ExitCode {
    let outcome = match std::env::var(RUN_VARIABLE) {
        Ok(run) => occupy(run).and_then(|ground| program(&ground)),
        Err(_) => keep(before),
    };
    outcome.unwrap_or_else(|trouble| {
        complain(&format!("lab: {trouble:#}"));
        ExitCode::FAILURE
    })
}

#[expect(clippy::print_stderr, reason = "a program's last words")]
fn complain(text: &str) {
    eprintln!("{text}");
}

/// The first process: make the ground, start the second, clear up after it.
fn keep(before: impl FnOnce() -> Result<()>) -> Result<ExitCode> {
    if !getuid().is_root() {
        bail!(
            "the lab boots real hosts with systemd-nspawn and needs root; run it as root, or run `cargo xtask test --fast`"
        );
    }
    before()?;
    sweep()?;
    let run = std::process::id().to_string();
    let directory = Path::new(RUNS).join(&run);
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let lock = lock(&run)?.context("another run has this number")?;

    // Signals are taken from a descriptor from here on; the child gets a clean mask from std.
    let mut signals = SigSet::empty();
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGCHLD,
    ] {
        signals.add(signal);
    }
    signals.thread_block()?;
    let signals = SignalFd::new(&signals)?;

    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
    private_mounts()?;
    mount(
        Some("cgroup2"),
        CGROUPS,
        Some("cgroup2"),
        MsFlags::empty(),
        None::<&str>,
    )
    .context("cannot mount cgroup2")?;
    mount(
        Some("jump-lab"),
        &directory,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=0755,size=75%"),
    )
    .context("cannot mount the run's tmpfs")?;
    fs::create_dir_all(Path::new(CGROUPS).join(cgroup_name(&run)))
        .context("cannot make the run's cgroup")?;
    unshare(CloneFlags::CLONE_NEWPID).context("cannot make a pid namespace")?;
    let child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(RUN_VARIABLE, &run)
        .stdin(Stdio::null())
        .spawn()
        .context("cannot start the lab's first process")?;
    let outcome = attend(child, &signals);
    clear(&run);
    drop(lock);
    remove_lock(&run);
    outcome
}

/// Waits for the second process; a signal to end takes everything down.
fn attend(mut child: Child, signals: &SignalFd) -> Result<ExitCode> {
    loop {
        if let Some(status) = child.try_wait()? {
            let code = match (status.code(), status.signal()) {
                (Some(code), _) => code,
                (None, Some(signal)) => 128 + signal,
                (None, None) => 1,
            };
            return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)));
        }
        let Some(signal) = signals.read_signal()? else {
            continue;
        };
        if signal.ssi_signo != Signal::SIGCHLD as u32 {
            complain("lab: interrupted; every machine is being ended");
            child.kill()?;
        }
    }
}

/// The second process: the namespaces it can only make itself.
fn occupy(run: String) -> Result<Ground> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if std::process::id() != 1 {
        bail!("{RUN_VARIABLE} is set from outside; unset it");
    }
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)
        .context("cannot make the lab's network namespace")?;
    private_mounts()?;
    mount(
        Some("proc"),
        "/proc",
        Some("proc"),
        MsFlags::empty(),
        None::<&str>,
    )
    .context("cannot mount /proc")?;
    let directory = Path::new(RUNS).join(&run);
    Ok(Ground { run, directory })
}

fn private_mounts() -> Result<()> {
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .context("cannot make the mounts private")
}

fn cgroup_name(run: &str) -> String {
    format!("jump-lab-{run}")
}

fn lock_path(run: &str) -> PathBuf {
    Path::new(RUNS).join(format!("{run}.lock"))
}

/// The run's lock, held by its keeper and by nobody else (close-on-exec); `None` while another process has it.
fn lock(run: &str) -> Result<Option<Flock<File>>> {
    let file = File::create(lock_path(run))?;
    Ok(Flock::lock(file, FlockArg::LockExclusiveNonblock).ok())
}

fn remove_lock(run: &str) {
    let _gone = fs::remove_file(lock_path(run));
}

/// Clears what runs have left whose keeper is dead.
fn sweep() -> Result<()> {
    fs::create_dir_all(RUNS)?;
    for entry in fs::read_dir(RUNS)? {
        let name = entry?.file_name();
        let Some(run) = name.to_str().and_then(|name| name.strip_suffix(".lock")) else {
            continue;
        };
        if let Some(lock) = lock(run)? {
            clear(run);
            drop(lock);
            remove_lock(run);
        }
    }
    Ok(())
}

/// Ends what lives in the run's cgroup, and removes cgroup and directory.
/// Nothing here is worth failing for: the next run tries again.
fn clear(run: &str) {
    // Where cgroup2 is mounted depends on the host, and on whether this is the keeper or a later run that sweeps.
    for root in [CGROUPS, "/sys/fs/cgroup/unified"] {
        let cgroup = Path::new(root).join(cgroup_name(run));
        if cgroup.is_dir() {
            let _killed = fs::write(cgroup.join("cgroup.kill"), "1");
            remove_cgroup(&cgroup);
        }
    }
    let directory = Path::new(RUNS).join(run);
    let _unmounted = nix::mount::umount2(&directory, nix::mount::MntFlags::MNT_DETACH);
    let _removed = fs::remove_dir(&directory);
}

/// Cgroups go leaf first, and only once the kernel has reaped the last process in them.
fn remove_cgroup(cgroup: &Path) {
    let children = fs::read_dir(cgroup).into_iter().flatten().flatten();
    for child in children.filter(|entry| entry.path().is_dir()) {
        remove_cgroup(&child.path());
    }
    for _ in 0..100 {
        match fs::remove_dir(cgroup) {
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EBUSY as i32) => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            _ => return,
        }
    }
}

/// Ends a program that `nsenter` runs in a machine, and what it started, by
/// killing everything below `nsenter`. Not nsenter itself: it must reap its
/// child, or the child stays a zombie of ours in the machine's pid namespace,
/// and that namespace never ends.
pub(crate) fn kill_below(nsenter: &mut Child) {
    let mut below = Vec::new();
    collect_descendants(nsenter.id(), &mut below);
    for pid in &below {
        if let Ok(pid) = i32::try_from(*pid) {
            let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    if below.is_empty() {
        let _gone = nsenter.kill();
    }
    let _reaped = nsenter.wait();
}

fn collect_descendants(pid: u32, into: &mut Vec<u32>) {
    let children =
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
    {
        collect_descendants(child, into);
        into.push(child);
    }
}
