//! One call with its arguments: what the filter sees of it, and the call for real.
//!
//! Both come from one description, so that the line that was run in the
//! interpreter is the call that was made in a session.

use super::foreign::{Abi, numbers};
use crate::process::{Fork, PidFd, exit_now, fork};
use crate::seccomp::Action;
use libc::c_long;
use std::fmt;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::AtomicU64;

/// What is passed as an argument.
#[derive(Debug, Clone, Copy)]
pub enum Arg {
    /// A number.
    Int(u64),
    /// A pointer to these bytes, which are writable and followed by zeros.
    Bytes(&'static [u8]),
    /// A pointer to the address of somebody who listens on TCP.
    Tcp,
    /// A pointer to the address of somebody who receives UDP.
    Udp,
    /// A pointer to a `struct mmsghdr` (and so a `struct msghdr`) with five bytes for the TCP address.
    TcpMessage,
    /// The same for the UDP address.
    UdpMessage,
    /// A descriptor.
    Fd(File),
    /// This process.
    Itself,
    /// A process that this one has started.
    Child,
    /// A pointer to one `struct iovec`: eight bytes here, at an address that the child has too.
    Iovec,
}

/// What a descriptor is open on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// A TCP socket.
    Tcp,
    /// A TCP socket over IPv6.
    Tcp6,
    /// A TCP socket in repair mode, where that is allowed.
    Repaired,
    /// A UDP socket.
    Udp,
    /// A stream socket of this host.
    Unix,
    /// A namespace of this process.
    Namespace,
    /// The child's pidfd.
    Child,
    /// A terminal.
    Terminal,
}

/// One line: a call, and what must become of it.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// The system call.
    pub call: &'static str,
    /// Its number here.
    pub number: c_long,
    /// What distinguishes it from other lines of the call, as one would write it in C; empty if it is the only one.
    pub with: &'static str,
    /// Its arguments.
    pub args: [Arg; 6],
    /// What must become of it.
    pub then: Action,
}

/// Whom a probe talks to.
#[derive(Debug, Clone, Copy)]
pub struct Targets {
    /// Listens on TCP.
    pub tcp: SocketAddrV4,
    /// Receives UDP.
    pub udp: SocketAddrV4,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It ran.
    Ran,
    /// It failed with this errno.
    Failed(i32),
    /// The process that made it was ended by this signal.
    Ended(i32),
    /// It was not made: something that it needs was missing.
    NotMade,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ran => f.write_str("ran"),
            Self::Failed(errno) => write!(f, "errno {errno}"),
            Self::Ended(signal) => write!(f, "signal {signal}"),
            Self::NotMade => f.write_str("not made"),
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.call, self.with)
    }
}

/// `struct sockaddr_in`.
fn bytes(to: SocketAddrV4) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
    bytes[2..4].copy_from_slice(&to.port().to_be_bytes());
    bytes[4..8].copy_from_slice(&to.ip().octets());
    bytes
}

impl Probe {
    /// The arguments as the filter sees them: what is only known when the call is made is something likely.
    #[must_use]
    pub fn seen(&self) -> [u64; 6] {
        self.args.map(|arg| match arg {
            Arg::Int(value) => value,
            Arg::Fd(_) => 3,
            Arg::Itself | Arg::Child => 4242,
            Arg::Bytes(_)
            | Arg::Tcp
            | Arg::Udp
            | Arg::TcpMessage
            | Arg::UdpMessage
            | Arg::Iovec => 0x7fff_1234_5000,
        })
    }

    /// Its number in another architecture's table.
    #[must_use]
    pub fn foreign_number(&self, abi: Abi) -> Option<u32> {
        numbers(self.call).map(|numbers| numbers.by(abi))
    }

    /// Makes the call in a process of its own, which nothing of it outlives.
    ///
    /// # Errors
    /// When there cannot be one; the calling process must have one thread.
    pub fn run(&self, targets: Targets) -> io::Result<Outcome> {
        self.run_after(targets, || Ok(()))
    }

    /// The same, once `confine` was done in that process.
    ///
    /// # Errors
    /// When there cannot be one; the calling process must have one thread. Where `confine` fails, the call is not made.
    pub fn run_after(
        &self,
        targets: Targets,
        confine: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<Outcome> {
        in_a_process(|| self.make(targets, confine))
    }

    fn make(&self, targets: Targets, confine: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut things = Things::new(self, targets)?;
        let args = self.args.map(|arg| things.value(arg));
        confine().map_err(unprepared)?;
        // SAFETY: every pointer is to memory of `things`, which lives across the call and is large enough for
        // what the call reads or writes there.
        let result = unsafe {
            libc::syscall(
                self.number,
                args[0],
                args[1],
                args[2],
                args[3],
                args[4],
                args[5],
            )
        };
        let error = io::Error::last_os_error();
        let forks = matches!(self.call, "clone" | "clone3");
        if forks && result == 0 {
            // A process that should not exist.
            exit_now(0);
        }
        drop(things);
        if result == -1 { Err(error) } else { Ok(()) }
    }
}

/// Ran, failed with errno: as a status. Beyond every errno that there is.
const NOT_MADE: i32 = 255;

/// An error that is not the call's own: it has no errno.
fn unprepared<E>(_: E) -> io::Error {
    io::Error::other("the call was not made")
}

/// Does something in a process of its own and says how that went.
pub(super) fn in_a_process(act: impl FnOnce() -> io::Result<()>) -> io::Result<Outcome> {
    let pid = match fork()? {
        Fork::Child => exit_now(match act() {
            Ok(()) => 0,
            Err(e) => e.raw_os_error().unwrap_or(NOT_MADE),
        }),
        Fork::Parent(pid) => pid,
    };
    let mut status = 0;
    loop {
        // SAFETY: writes one int that lives across the call.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
        if waited == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(if libc::WIFSIGNALED(status) {
        Outcome::Ended(libc::WTERMSIG(status))
    } else {
        match libc::WEXITSTATUS(status) {
            0 => Outcome::Ran,
            NOT_MADE => Outcome::NotMade,
            errno => Outcome::Failed(errno),
        }
    })
}

/// What the arguments point to.
struct Things {
    files: Vec<(File, OwnedFd)>,
    child: Option<i32>,
    buffers: Vec<Vec<u64>>,
    targets: Targets,
}

impl Things {
    /// Opens what the probe needs.
    fn new(probe: &Probe, targets: Targets) -> io::Result<Self> {
        let mut things = Self {
            files: Vec::new(),
            child: None,
            buffers: Vec::new(),
            targets,
        };
        let wants = |what: fn(&Arg) -> bool| probe.args.iter().any(what);
        if wants(|arg| matches!(arg, Arg::Child | Arg::Fd(File::Child))) {
            things.child = Some(sleeper()?);
        }
        for arg in probe.args {
            if let Arg::Fd(file) = arg {
                let fd = things.open(file).map_err(unprepared)?;
                things.files.push((file, fd));
            }
        }
        Ok(things)
    }

    fn open(&self, file: File) -> io::Result<OwnedFd> {
        let stream = |domain| super::socket(domain, libc::SOCK_STREAM, 0);
        match file {
            File::Tcp => stream(libc::AF_INET),
            File::Tcp6 => stream(libc::AF_INET6),
            File::Unix => stream(libc::AF_UNIX),
            File::Udp => super::socket(libc::AF_INET, libc::SOCK_DGRAM, 0),
            File::Repaired => {
                let fd = stream(libc::AF_INET)?;
                // Root's, and not in a session: then the socket is an ordinary one.
                let _refused =
                    super::set_option(fd.as_fd(), libc::IPPROTO_TCP, libc::TCP_REPAIR, 1);
                Ok(fd)
            }
            File::Namespace => std::fs::File::open("/proc/self/ns/uts").map(OwnedFd::from),
            File::Child => PidFd::open_process(self.child.unwrap_or(0))
                .and_then(|child| child.as_fd().try_clone_to_owned()),
            File::Terminal => terminal(),
        }
    }

    /// A place in memory that holds these bytes and then zeros.
    fn place(&mut self, bytes: &[u8]) -> u64 {
        let mut words = vec![0u64; 64];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks(8)) {
            let mut whole = [0; 8];
            whole[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_ne_bytes(whole);
        }
        let at = words.as_mut_ptr() as u64;
        self.buffers.push(words);
        at
    }

    fn message(&mut self, to: SocketAddrV4) -> u64 {
        let name = self.place(&bytes(to));
        let text = self.place(b"hello");
        let iovec = self.words(&[text, 5]);
        // struct msghdr of 64-bit Linux: name, its length, iovec, how many, control, its length, flags.
        self.words(&[name, 16, iovec, 1, 0, 0, 0])
    }

    fn words(&mut self, words: &[u64]) -> u64 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.place(&bytes)
    }

    fn value(&mut self, arg: Arg) -> u64 {
        match arg {
            Arg::Int(value) => value,
            Arg::Bytes(bytes) => self.place(bytes),
            Arg::Tcp => self.place(&bytes(self.targets.tcp)),
            Arg::Udp => self.place(&bytes(self.targets.udp)),
            Arg::TcpMessage => self.message(self.targets.tcp),
            Arg::UdpMessage => self.message(self.targets.udp),
            Arg::Fd(file) => self
                .files
                .iter()
                .find(|(open, _)| *open == file)
                .map_or(u64::MAX, |(_, fd)| fd.as_raw_fd() as u64),
            Arg::Itself => u64::from(std::process::id()),
            Arg::Child => self.child.map_or(0, |pid| pid as u64),
            Arg::Iovec => {
                // What belongs to the program is where it is in every fork of it.
                static HERE: AtomicU64 = AtomicU64::new(7);
                self.words(&[HERE.as_ptr() as u64, 8])
            }
        }
    }
}

impl Drop for Things {
    fn drop(&mut self) {
        if let Some(pid) = self.child {
            // SAFETY: takes numbers; the child is not waited for yet, so the number is its own.
            let _gone = unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    }
}

/// A process that waits to be attacked, and does not outlive this one by much.
fn sleeper() -> io::Result<i32> {
    match fork().map_err(unprepared)? {
        Fork::Child => {
            // SAFETY: takes a number.
            unsafe { libc::alarm(5) };
            loop {
                // SAFETY: takes nothing; SIGALRM ends the process.
                unsafe { libc::pause() };
            }
        }
        Fork::Parent(pid) => Ok(pid),
    }
}

/// A pseudo-terminal's user side; its other side stays open.
fn terminal() -> io::Result<OwnedFd> {
    use std::fs::OpenOptions;
    use std::os::unix::fs::OpenOptionsExt;
    let open = |path: &str| {
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open(path)
    };
    let main = open("/dev/ptmx")?;
    let unlock = 0i32;
    // SAFETY: reads one int that lives across the call.
    crate::check_int(unsafe {
        libc::ioctl(main.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlock)
    })?;
    let mut number = 0i32;
    // SAFETY: writes one int that lives across the call.
    crate::check_int(unsafe { libc::ioctl(main.as_raw_fd(), libc::TIOCGPTN, &raw mut number) })?;
    let user = open(&format!("/dev/pts/{number}"))?;
    std::mem::forget(main);
    Ok(user.into())
}
