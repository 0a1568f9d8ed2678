//! What a running shell has left, read from `/proc`.

use crate::Tests;
use crate::fake::Fake;
use crate::shell::{Said, confined, myself, run, shell, wait_until};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};

/// First argument of a child on a kernel without Landlock; the shell's arguments follow.
pub(crate) const ROLE: &str = "--without-landlock";

/// An ordinary user of every host ("nobody").
const SOMEBODY: u32 = 65534;

pub(crate) fn tests() -> Tests {
    crate::tests![
        root_has_no_capability_left,
        a_user_has_no_capability_left,
        the_bounding_set_is_dropped_where_it_can_be,
        only_three_files_of_the_login_stay_open,
        nothing_can_be_made_or_dumped,
        its_memory_is_closed_to_its_own_user,
        the_environment_is_gone,
        it_is_shown_by_its_name,
        the_file_system_is_closed_where_the_kernel_can,
        a_kernel_without_landlock_gives_one_layer_less,
        it_can_be_stopped_and_continued,
    ]
}

/// A confined shell that waits for commands.
struct Waiting {
    child: Child,
    _jumpd: Fake,
}

impl Waiting {
    fn new(prepare: impl FnOnce(&mut Command)) -> Self {
        let jumpd = Fake::friendly();
        let mut command = shell(&jumpd.socket());
        command.stdin(Stdio::piped());
        prepare(&mut command);
        let child = command.spawn().unwrap();
        wait_until("the first question", || !jumpd.asked().is_empty());
        assert!(confined(&child));
        Self {
            child,
            _jumpd: jumpd,
        }
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }

    fn status(&self, name: &str) -> String {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap().trim().to_owned()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn as_somebody(command: &mut Command) {
    if is_root() {
        command.uid(SOMEBODY).gid(SOMEBODY);
    }
}

fn powerless(shell: &Waiting) {
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(shell.status(set), "0000000000000000", "{set}");
    }
    assert_eq!(shell.status("NoNewPrivs"), "1");
    assert_eq!(shell.status("Seccomp"), "2");
}

fn root_has_no_capability_left() {
    powerless(&Waiting::new(|_| {}));
}

fn a_user_has_no_capability_left() {
    powerless(&Waiting::new(as_somebody));
}

fn the_bounding_set_is_dropped_where_it_can_be() {
    if is_root() {
        assert_eq!(Waiting::new(|_| {}).status("CapBnd"), "0000000000000000");
    }
}

fn only_three_files_of_the_login_stay_open() {
    // Not closed on exec: what a careless parent leaves open.
    let file = fs::File::open("/etc/passwd").unwrap();
    let inherited = rustix::io::dup(&file).unwrap();
    let shell = Waiting::new(|_| {});
    if !is_root() {
        return;
    }
    let mut count = 0;
    for entry in fs::read_dir(shell.proc("fd")).unwrap() {
        let entry = entry.unwrap();
        let number: i32 = entry.file_name().to_str().unwrap().parse().unwrap();
        let file = fs::read_link(entry.path()).unwrap();
        let file = file.to_str().unwrap();
        // Above standard error: the spare pipe end, the channel to jumpd, and for hops the runner,
        // the ends of three pipes, and standard output and error once more.
        assert!(
            number <= 2 || file.starts_with("pipe:") || file.starts_with("socket:"),
            "{number}: {file}"
        );
        count += 1;
    }
    assert!(count <= 11, "{count}");
    drop(inherited);
}

fn nothing_can_be_made_or_dumped() {
    let shell = Waiting::new(as_somebody);
    let limits = fs::read_to_string(shell.proc("limits")).unwrap();
    for (name, limit) in [
        ("Max processes", "0"),
        ("Max core file size", "0"),
        ("Max file size", "0"),
        ("Max locked memory", "0"),
        ("Max open files", "16"),
    ] {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let values: Vec<&str> = line[name.len()..]
            .split_ascii_whitespace()
            .take(2)
            .collect();
        assert_eq!(values, [limit, limit], "{line}");
    }
}

/// Attack A21: ptrace and `/proc/PID/mem` of one's own shell.
fn its_memory_is_closed_to_its_own_user() {
    let shell = Waiting::new(as_somebody);
    // The files of a process that may not be dumped belong to root (proc(5)).
    assert_eq!(fs::metadata(shell.proc("mem")).unwrap().uid(), 0);
    for file in ["mem", "environ", "fd/0"] {
        let mut read = Command::new("/usr/bin/head");
        read.args(["-c", "1"])
            .arg(shell.proc(file))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        as_somebody(&mut read);
        assert!(!read.status().unwrap().success(), "{file}");
    }
}

/// Attack A11.
fn the_environment_is_gone() {
    let program = env!("CARGO_BIN_EXE_jump-shell");
    let mut child = Command::new(program)
        .env_clear()
        .envs([
            ("TZ", ":/etc/shadow"),
            ("LC_ALL", "x"),
            ("SSH_CONNECTION", "1 2 3 4"),
            ("LD_AUDIT", ""),
        ])
        .envs([("TERM", "xterm"), ("NO_COLOR", "yes")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the confinement", || confined(&child));
    if is_root() {
        let left = fs::read(format!("/proc/{}/environ", child.id())).unwrap();
        assert_eq!(String::from_utf8(left).unwrap(), "NO_COLOR=1\0TERM=xterm\0");
    }
    drop(child.stdin.take());
    child.wait().unwrap();
}

fn it_is_shown_by_its_name() {
    assert_eq!(Waiting::new(|_| {}).status("Name"), "jump-shell");
}

fn the_file_system_is_closed_where_the_kernel_can() {
    let said = run(&Fake::friendly().socket(), "whoami");
    let layer = match jump_sys::landlock::abi() {
        0 => "shell: seccomp\n".to_owned(),
        abi => format!("shell: seccomp+landlock{abi}\n"),
    };
    assert!(said.out.contains(&layer), "{layer} in {}", said.out);
}

fn a_kernel_without_landlock_gives_one_layer_less() {
    let jumpd = Fake::friendly();
    let mut command = myself();
    command.arg(ROLE).arg(jumpd.socket()).args(["-c", "whoami"]);
    let said = Said::from(command.output().unwrap());
    assert_eq!((said.status, said.err.as_str()), (Some(0), ""));
    assert!(said.out.contains("shell: seccomp\n"), "{}", said.out);
}

/// The whole life of a child on a kernel without Landlock.
pub(crate) fn child(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let absent = [(libc::SYS_landlock_create_ruleset, Vec::new())].into();
    let filter = SeccompFilter::new(
        absent,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.cast_unsigned()),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
    crate::shell::child(arguments)
}

fn it_can_be_stopped_and_continued() {
    use rustix::process::{Pid, Signal, kill_process};
    use std::io::Write;
    let mut shell = Waiting::new(|_| {});
    let pid = Pid::from_child(&shell.child);
    for signal in [Signal::STOP, Signal::CONT] {
        kill_process(pid, signal).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    shell
        .child
        .stdin
        .take()
        .unwrap()
        .write_all(b"exit\n")
        .unwrap();
    assert_eq!(shell.child.wait().unwrap().code(), Some(0));
}
