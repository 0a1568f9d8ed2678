//! The runner of hops: prepared before the shell's confinement, and confined itself.
//!
//! In the same order as the shell, with lists of its own. What the host does not
//! give (a terminal, a process) costs the hops and nothing else.

use super::filter::{self, FilterError, Rule};
use super::hop_calls::{HOP, PROBED, RUNNER};
use super::landlock::{Open, close_file_system};
use super::{SandboxError, files, privileges};
use crate::hop::{Hops, Order, Report, Runner, ShellEnds, SshEnds};
use crate::places::Places;
use crate::terminal::Terminal;
use jump_proto::{Channel, paths};
use jump_sys::process::{Fork, Forker, exit_now, fork, set_parent_death_signal};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pipe::PipeFlags;
use rustix::pty::OpenptFlags;
use seccompiler::BpfProgram;
use std::path::{Path, PathBuf};

/// What ssh reads besides the files of the suite: libraries, the user's name, how
/// libraries are set up. Where one is a link, the file it leads to is meant.
const READ: &[&str] = &[
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/locale",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/gai.conf",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls",
    "/etc/crypto-policies",
    "/etc/selinux/config",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/usr/share/crypto-policies",
    // The name service's own caches (sssd).
    "/var/lib/sss/mc",
    "/proc/filesystems",
    "/proc/sys/crypto/fips_enabled",
    "/dev/urandom",
];

/// What the kernel runs before ssh itself, to load its libraries.
const LOADERS: &[&str] = &["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];

/// Devices that ssh writes to.
const DEVICES: &[&str] = &["/dev/null", "/dev/tty"];

/// The lists of system calls for the runner and for ssh.
#[derive(Debug)]
pub(crate) struct RunnerLists {
    runner: BpfProgram,
    /// In addition, before the runner's child becomes ssh.
    pub(crate) ssh: BpfProgram,
    absent: BpfProgram,
}

impl RunnerLists {
    fn compile() -> Result<Self, FilterError> {
        let together = |lists: &[&[Rule]]| filter::compile(&lists.concat());
        Ok(Self {
            runner: together(&[HOP, PROBED, RUNNER])?,
            ssh: together(&[HOP, PROBED])?,
            absent: filter::compile_absent(PROBED)?,
        })
    }
}

/// Starts the runner; what the shell has of it. To be called before the shell is confined.
pub(super) fn start(
    places: &Places,
    terminal: Option<&Terminal>,
    term: Option<&str>,
) -> Result<Hops, SandboxError> {
    let (shell_ends, ssh_ends) = match terminal {
        Some(terminal) => terminal_ends(terminal),
        None => pipe_ends(),
    }
    .map_err(SandboxError::call("the ends of a hop"))?;
    let (near, far) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(SandboxError::call("socketpair"))?;
    let runner = Runner {
        shell: Channel::from(far),
        ends: ssh_ends,
        agent: places.agent.clone(),
        own_agent: places.own_agent.clone(),
        term: term.map(str::to_owned),
        lists: RunnerLists::compile()?,
    };
    let shell = rustix::process::getpid();
    let forked = fork().map_err(|source| SandboxError::Call {
        what: "the runner of hops",
        source,
    })?;
    if forked == Fork::Child {
        // Not a byte of the user's was read yet; whatever fails ends here.
        let readable = places.known_hosts.clone();
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            live(runner, shell, &readable);
        }));
        exit_now(i32::from(died.is_err()));
    }
    Hops::new(Channel::from(near), shell_ends).map_err(SandboxError::call("the user's files"))
}

/// The runner's whole life.
fn live(mut runner: Runner, shell: rustix::process::Pid, known_hosts: &[PathBuf]) {
    match confine(&runner, shell, known_hosts) {
        Ok(forker) => runner.serve(&forker),
        Err(error) => {
            let why = format!("it cannot be confined on this host: {error}");
            // Every hop is answered with it.
            while let Ok(Some(Order::Start(_))) = runner.shell.recv::<Order>() {
                let _gone = runner.shell.send(&Report::NotStarted(why.clone()));
            }
        }
    }
}

fn confine(
    runner: &Runner,
    shell: rustix::process::Pid,
    known_hosts: &[PathBuf],
) -> Result<Forker, SandboxError> {
    let failed = |what| move |source| SandboxError::Call { what, source };
    let call = SandboxError::call;
    rustix::thread::set_name(c"jump-runner").map_err(call("name"))?;
    rustix::process::setsid().map_err(call("setsid"))?;
    if let Some(terminal) = runner.terminal() {
        rustix::process::ioctl_tiocsctty(terminal).map_err(call("controlling terminal"))?;
    }
    let nothing = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(call("/dev/null"))?;
    rustix::stdio::dup2_stdin(&nothing).map_err(call("standard input"))?;
    rustix::stdio::dup2_stdout(&nothing).map_err(call("standard output"))?;
    rustix::stdio::dup2_stderr(&nothing).map_err(call("standard error"))?;
    drop(nothing);
    files::close_but(&runner.files())?;
    let forker = Forker::new().map_err(failed("/proc/self/task"))?;
    privileges::limit_runner()?;
    privileges::drop_all()?;
    set_parent_death_signal(libc::SIGKILL).map_err(failed("death signal"))?;
    if rustix::process::getppid() != Some(shell) {
        exit_now(0);
    }
    close_files(runner, known_hosts);
    filter::install(&runner.lists.absent)?;
    filter::install(&runner.lists.runner)?;
    Ok(forker)
}

fn close_files(runner: &Runner, known_hosts: &[PathBuf]) {
    let state = Path::new(paths::STATE);
    let mut open: Vec<Open<'_>> = vec![Open::to_run(Path::new(paths::SSH)), Open::to_read(state)];
    open.extend(LOADERS.iter().map(|path| Open::to_run(Path::new(path))));
    open.extend(READ.iter().map(|path| Open::to_read(Path::new(path))));
    open.extend(DEVICES.iter().map(|path| Open::device(Path::new(path))));
    open.extend(known_hosts.iter().map(|path| Open::to_read(path)));
    let agents = [&runner.agent, &runner.own_agent];
    open.extend(
        agents
            .into_iter()
            .filter_map(|agent| agent.parent())
            .map(Open::sockets),
    );
    close_file_system(&open);
}

fn terminal_ends(user: &Terminal) -> rustix::io::Result<(ShellEnds, SshEnds)> {
    let master =
        rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::pty::grantpt(&master)?;
    rustix::pty::unlockpt(&master)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    let modes = user.came().clone();
    rustix::fs::fcntl_setfl(&master, OFlags::NONBLOCK)?;
    let (errors_out, errors_in) = pipe_to_shell()?;
    let shell = ShellEnds::Terminal {
        master,
        errors: errors_out,
    };
    let ssh = SshEnds::Terminal {
        terminal,
        modes: Box::new(modes),
        errors: errors_in,
    };
    Ok((shell, ssh))
}

fn pipe_ends() -> rustix::io::Result<(ShellEnds, SshEnds)> {
    let (input_out, input_in) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&input_in, OFlags::NONBLOCK)?;
    let (output_out, output_in) = pipe_to_shell()?;
    let (errors_out, errors_in) = pipe_to_shell()?;
    let shell = ShellEnds::Pipes {
        input: Some(input_in),
        output: output_out,
        errors: errors_out,
    };
    Ok((
        shell,
        SshEnds::Pipes(Some([input_out, output_in, errors_in])),
    ))
}

/// A pipe whose reading end does not block.
fn pipe_to_shell() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(read.as_fd(), OFlags::NONBLOCK)?;
    Ok((read, write))
}
