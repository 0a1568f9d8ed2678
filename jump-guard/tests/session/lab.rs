//! Puts a session together and watches it.

use crate::jumpd::{Door, Jumpd, Manners};
use jump_proto::JudgeRequest;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The uid of the user; of the guard.
pub const USER: u32 = 65534;
pub const GUARD: u32 = 65533;

pub const SESSION: &str = "0123456789abcdef0123456789abcdef";

pub struct Lab {
    pub dir: tempfile::TempDir,
    pub jumpd: Arc<Jumpd>,
    pub door: Option<Door>,
    pub guard: Child,
}

impl Lab {
    /// A jumpd that allows what `judge` says, and a guard that waits for its session.
    pub fn new(judge: impl Fn(&JudgeRequest) -> bool + Send + Sync + 'static) -> Self {
        Self::with(Manners::default(), judge)
    }

    pub fn with(
        manners: Manners,
        judge: impl Fn(&JudgeRequest) -> bool + Send + Sync + 'static,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let agents = dir.path().join("agents");
        std::fs::create_dir(&agents).unwrap();
        std::fs::set_permissions(&agents, std::fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(&agents, Some(GUARD), Some(GUARD)).unwrap();
        let jumpd = Jumpd::new(manners, judge);
        let door = Some(jumpd.serve(&dir.path().join("jumpd.sock")));
        let guard = guard(dir.path());
        Self {
            dir,
            jumpd,
            door,
            guard,
        }
    }

    /// A session whose user does `probe`.
    pub fn session(&self, probe: &str, args: &[&str]) -> Session {
        self.session_as("monitor", probe, args)
    }

    pub fn session_as(&self, role: &str, probe: &str, args: &[&str]) -> Session {
        let mut monitor = Command::new(std::env::current_exe().unwrap())
            .env("JUMP_TEST_ROLE", role)
            .env("JUMP_TEST_DIR", self.dir.path())
            .env("JUMP_TEST_PROBE", probe)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(monitor.stdout.take().unwrap());
        Session { monitor, out }
    }

    /// The guard's exit, which must come soon.
    pub fn guard_exit(&mut self) -> ExitStatus {
        exit_of(&mut self.guard, Duration::from_secs(5)).expect("the guard is still there")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.guard.kill();
        let _ = self.guard.wait();
    }
}

/// A guard with the rights of its unit: no root, two capabilities, an empty network.
fn guard(dir: &Path) -> Child {
    let ids = GUARD.to_string();
    let mut guard = Command::new("unshare")
        .args([
            "--net",
            "setpriv",
            "--reuid",
            &ids,
            "--regid",
            &ids,
            "--clear-groups",
            "--no-new-privs",
        ])
        .args([
            "--inh-caps=-all,+sys_ptrace,+kill",
            "--ambient-caps=-all,+sys_ptrace,+kill",
        ])
        .args(["--bounding-set=-all,+sys_ptrace,+kill"])
        .arg(std::env::current_exe().unwrap())
        .env("JUMP_TEST_ROLE", "guard")
        .env("JUMP_TEST_DIR", dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(guard.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "listening\n");
    guard
}

pub fn exit_of(child: &mut Child, within: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    None
}

/// A monitor and its user's child.
pub struct Session {
    pub monitor: Child,
    out: BufReader<ChildStdout>,
}

impl Session {
    /// The next thing that the user says, and its value.
    pub fn next(&mut self) -> Option<(String, String)> {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        let (name, value) = line.trim_end().split_once(' ')?;
        Some((name.to_owned(), value.to_owned()))
    }

    pub fn waits_for(&mut self, name: &str) -> String {
        loop {
            let (said, value) = self.next().unwrap_or_else(|| panic!("never said {name}"));
            if said == name {
                return value;
            }
        }
    }

    /// Everything that the user says until all processes that could say something are gone.
    pub fn says(mut self) -> HashMap<String, String> {
        let mut said = HashMap::new();
        while let Some((name, value)) = self.next() {
            said.insert(name, value);
        }
        self.monitor.wait().unwrap();
        said
    }

    /// Whether every process of the session has closed its output: they are all gone.
    pub fn all_gone(mut self, within: Duration) -> Option<Duration> {
        let begun = Instant::now();
        let (done, wait) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let mut rest = Vec::new();
            let _ = self.out.read_to_end(&mut rest);
            let _ = self.monitor.wait();
            let _ = done.send(());
        });
        wait.recv_timeout(within).ok().map(|()| begun.elapsed())
    }
}

/// Somewhere to connect to.
pub struct Target {
    listener: TcpListener,
}

impl Target {
    pub fn new() -> Self {
        Self::at("127.0.0.1:0")
    }

    pub fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// A connection that arrives within a second.
    pub fn accepts(&self) -> TcpStream {
        for _ in 0..200 {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    stream
                        .set_read_timeout(Some(Duration::from_secs(5)))
                        .unwrap();
                    return stream;
                }
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("nobody connected");
    }

    /// Accepts whoever has come so far.
    pub fn drain(&self) {
        while self.listener.accept().is_ok() {}
    }

    pub fn is_untouched(&self) -> bool {
        thread::sleep(Duration::from_millis(50));
        self.listener
            .accept()
            .is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
    }
}

/// A port whose SYNs are never answered: its backlog is full.
pub struct BlackHole {
    address: SocketAddr,
    _listener: std::os::fd::OwnedFd,
    _fillers: Vec<std::os::fd::OwnedFd>,
}

impl BlackHole {
    pub fn new() -> Self {
        use nix::sys::socket::{
            AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, connect, getsockname,
            listen, socket,
        };
        use std::os::fd::AsRawFd;
        // Not inherited by the sessions of other tests, which would end it with theirs.
        let new = |flags| {
            socket(
                AddressFamily::Inet,
                SockType::Stream,
                flags | SockFlag::SOCK_CLOEXEC,
                None,
            )
            .unwrap()
        };
        let listener = new(SockFlag::empty());
        bind(listener.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
        listen(&listener, Backlog::new(0).unwrap()).unwrap();
        let at: SockaddrIn = getsockname(listener.as_raw_fd()).unwrap();
        let fillers = (0..4)
            .map(|_| {
                let filler = new(SockFlag::SOCK_NONBLOCK);
                let _ = connect(filler.as_raw_fd(), &at);
                filler
            })
            .collect();
        thread::sleep(Duration::from_millis(50));
        Self {
            address: SocketAddr::from((at.ip(), at.port())),
            _listener: listener,
            _fillers: fillers,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
