//! A confined shell as a child process.

use jump_shell::Places;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

/// First argument of a child that plays the shell; the socket and the shell's own arguments follow.
pub(crate) const ROLE: &str = "--as-shell";

/// The child's whole life.
pub(crate) fn child(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let socket = PathBuf::from(arguments.next().unwrap());
    jump_shell::run(
        std::iter::once("jump-shell".into()).chain(arguments),
        &places(&socket),
    )
}

/// All that the shell needs is beside jumpd's socket.
fn places(socket: &Path) -> Places {
    let folder = socket.parent().unwrap();
    Places {
        socket: socket.to_owned(),
        agent: folder.join("agent.sock"),
        own_agent: folder.join("own-agent.sock"),
        known_hosts: vec![folder.to_owned()],
    }
}

/// This program.
pub(crate) fn myself() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    // A shell with an environment starts itself over, without its role.
    command.env_clear();
    command
}

/// A shell that was asked for `wish`, not yet started.
pub(crate) fn asked(socket: &Path, wish: &str) -> Command {
    let mut command = shell(socket);
    command.args(["-c", wish]);
    command
}

/// A shell without arguments, not yet started.
pub(crate) fn shell(socket: &Path) -> Command {
    let mut command = myself();
    command
        .arg(ROLE)
        .arg(socket)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a shell said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs the one command `wish`.
pub(crate) fn run(socket: &Path, wish: &str) -> Said {
    asked(socket, wish).output().unwrap().into()
}

/// Runs a shell that reads `typed`.
pub(crate) fn run_typed(socket: &Path, typed: &[u8]) -> Said {
    let mut child = shell(socket).stdin(Stdio::piped()).spawn().unwrap();
    // A shell that has left does not read the rest.
    let _ = child.stdin.take().unwrap().write_all(typed);
    child.wait_with_output().unwrap().into()
}

/// Waits until `true_now` or panics after ten seconds.
pub(crate) fn wait_until(what: &str, mut true_now: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !true_now() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether `child` is confined by now: its filters are all in force (proc_pid_status(5)).
pub(crate) fn confined(child: &Child) -> bool {
    std::fs::read_to_string(format!("/proc/{}/status", child.id()))
        .is_ok_and(|status| status.contains("Seccomp:\t2"))
}

/// Processor time of a child, in clock ticks (proc_pid_stat(5)).
pub(crate) fn worked(child: &Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_ascii_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
