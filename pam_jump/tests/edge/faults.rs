//! H6: whatever fails inside the module, nobody is let in whom jumpd did not let in.

use crate::application::{IGNORE, Phase, SUCCESS};
use crate::host::{self, ALICE};
use crate::jumpd::{Jumpd, Manner, RIGHT};
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};

pub(crate) const TRIALS: &[(&str, fn())] = &[
    ("h06_no_failing_call_of_authenticate_lets_in", authenticate),
    ("h06_no_failing_call_of_account_lets_in", account),
    ("h06_no_failing_call_of_open_session_lets_in", open),
    ("h06_no_failing_call_leaves_a_session_unguarded", unguarded),
    ("h06_no_answer_but_yes_is_yes", answers),
    (
        "h06_without_jumpd_or_index_nobody_is_ignored_but_root",
        gone,
    ),
];

/// Which hook this process is to call, once it is continued.
pub(crate) const HOOK: &str = "PAM_HOOK";
/// `PAM_MAXTRIES`, at which OpenSSH's client asks for passwords that nobody has (H27).
const MAXTRIES: i32 = 11;
/// What a hook's process ends with when something else is wrong.
const UNGUARDED: i32 = 101;

/// Calls one hook and ends with its answer: the process whose calls fail.
pub(crate) fn call(hook: &str) -> ExitCode {
    let Some(phase) = Phase::named(hook) else {
        return ExitCode::FAILURE;
    };
    let (mut login, _) = host::login(ALICE, Some(RIGHT));
    login.putenv("JUMP_SESSION=07070707070707070707070707070707");
    // strace takes hold of it here.
    if raise(Signal::SIGSTOP).is_err() {
        return ExitCode::FAILURE;
    }
    let answer = login.call(phase);
    let answer = if phase == Phase::Open && answer == SUCCESS && !is_filtered() {
        UNGUARDED
    } else {
        answer
    };
    // Not a line more than needed: the calls of an orderly exit are none of the module's.
    // SAFETY: ends the process.
    unsafe { libc::_exit(answer) }
}

/// Whether this process has a seccomp filter.
fn is_filtered() -> bool {
    let read = || fs::read_to_string("/proc/self/status");
    // The failing call may have been this one.
    let status = read().or_else(|_| read()).unwrap_or_default();
    status.lines().any(|line| line == "Seccomp:\t2")
}

/// A process that is about to call a hook, with strace at it.
struct Traced {
    caller: Child,
    strace: Child,
}

impl Traced {
    fn start(phase: Phase, inject: Option<&str>, log: &str) -> Self {
        let caller = Command::new(std::env::current_exe().unwrap())
            .env(HOOK, phase.word())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(i32::try_from(caller.id()).unwrap());
        let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert!(matches!(stopped, WaitStatus::Stopped(..)), "{stopped:?}");
        let mut strace = Command::new("strace");
        strace.args(["-o", log, "-p", &pid.to_string()]);
        if let Some(inject) = inject {
            strace.args(["-e", inject]);
        }
        let mut strace = strace.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(strace.stderr.take().unwrap());
        lines.read_line(&mut said).unwrap();
        assert!(said.contains("attached"), "{said}");
        kill(pid, Signal::SIGCONT).unwrap();
        Self { caller, strace }
    }

    /// What the hook answered; `None` when the process did not live to tell.
    fn end(mut self) -> Option<i32> {
        let status = self.caller.wait().unwrap();
        self.strace.wait().unwrap();
        status.code()
    }
}

/// The calls that a hook makes, each with how many of its name came before it.
fn calls(log: &str) -> Vec<(String, usize)> {
    let text = fs::read_to_string(log).unwrap();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let names = text.lines().filter_map(|line| line.split_once('('));
    names
        .map(|(name, _)| name.to_owned())
        .filter(|name| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
        .filter(|name| !name.starts_with("exit"))
        .map(|name| {
            let nth = seen.entry(name.clone()).or_default();
            *nth += 1;
            (name, *nth)
        })
        .collect()
}

/// How a call of this name may fail.
fn errors(name: &str) -> &'static [&'static str] {
    match name {
        // The first is what is taken for "not there".
        "openat" => &["ENOENT", "EMFILE"],
        "newfstatat" | "fstat" | "statx" => &["ENOENT", "EIO"],
        "mmap" | "brk" | "mprotect" | "munmap" => &["ENOMEM"],
        "socket" => &["EMFILE"],
        "getrandom" => &["ENOSYS"],
        _ => &["EIO"],
    }
}

/// Has every call of a hook fail, one at a time; what it answered to each.
fn each_failing(phase: Phase) -> Vec<(String, Option<i32>)> {
    let log = "/run/trace";
    let unhurt = Traced::start(phase, None, log).end();
    let calls = calls(log);
    assert!(calls.len() > 20, "too few calls to be a hook: {calls:?}");
    let mut outcomes = vec![("nothing".to_owned(), unhurt)];
    for (name, nth) in calls {
        for error in errors(&name) {
            let inject = format!("inject={name}:error={error}:when={nth}");
            let outcome = Traced::start(phase, Some(&inject), log).end();
            let injected = fs::read_to_string(log).unwrap_or_default();
            assert!(injected.contains("(INJECTED)"), "{inject} did not happen");
            outcomes.push((inject, outcome));
        }
    }
    outcomes
}

/// With a jumpd that says no, no failure makes a yes of it.
fn never(phase: Phase) {
    let jumpd = Jumpd::start(Manner::Strict);
    let outcomes = each_failing(phase);
    assert!(!jumpd.asked().is_empty());
    let wrong: Vec<_> = outcomes
        .iter()
        .filter(|(_, answer)| {
            answer.is_some_and(|code| [SUCCESS, IGNORE, MAXTRIES, UNGUARDED].contains(&code))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let died: Vec<_> = outcomes
        .iter()
        .filter(|(_, answer)| answer.is_none())
        .collect();
    eprintln!(
        "{phase:?}: {} failures, {} of them deadly: {died:?}",
        outcomes.len() - 1,
        died.len()
    );
}

fn authenticate() {
    never(Phase::Authenticate);
}

fn account() {
    never(Phase::Account);
}

fn open() {
    never(Phase::Open);
}

/// With a jumpd and a guard that say yes, a session is opened behind the filter or not at all.
fn unguarded() {
    let jumpd = Jumpd::start(Manner::Fair);
    let outcomes = each_failing(Phase::Open);
    assert_eq!(outcomes[0].1, Some(SUCCESS), "nothing failed");
    let opened = outcomes
        .iter()
        .filter(|(_, answer)| *answer == Some(SUCCESS))
        .count();
    assert!(
        opened <= jumpd.guarded(),
        "{opened} opened, {} guarded",
        jumpd.guarded()
    );
    let wrong: Vec<_> = outcomes
        .iter()
        .filter(|(_, answer)| answer.is_some_and(|code| [IGNORE, UNGUARDED].contains(&code)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is not an answer of jumpd's protocol, or one to another question, is no.
fn answers() {
    const MARK: &str = "07070707070707070707070707070707";
    let hang_up = Manner::HangsUp;
    let odd = [
        "",
        "{",
        "null",
        "[]",
        "\u{0}",
        "{\"reply\":\"done\"}",
        "{\"reply\":\"auth\",\"step\":\"accepted\"}",
        "{\"reply\":\"auth\",\"step\":\"accepted\",\"mark\":\"../../x\"}",
        "{\"reply\":\"auth\",\"step\":\"welcome\"}",
        "{\"reply\":\"account\",\"allowed\":1,\"message\":null}",
        "{\"reply\":\"account\",\"message\":null}",
        "{\"reply\":\"account\",\"allowed\":\"true\",\"message\":null}",
        "{\"reply\":\"opened\",\"session\":\"x\",\"ends_ms\":null}",
        "{\"reply\":\"refused\"}",
    ];
    let to_others = [
        format!("{{\"reply\":\"opened\",\"session\":\"{MARK}\",\"ends_ms\":null}}"),
        "{\"reply\":\"lifetime\",\"seconds\":5}".to_owned(),
        "{\"reply\":\"status\"}".to_owned(),
    ];
    // One jumpd per process: its socket is there once.
    for manner in odd.iter().copied().map(Manner::Says).chain([hang_up]) {
        in_child(|| {
            let _jumpd = Jumpd::start(manner);
            for phase in [Phase::Authenticate, Phase::Account, Phase::Open] {
                let (mut login, _) = host::login(ALICE, Some(RIGHT));
                let answer = login.call(phase);
                assert!(
                    ![SUCCESS, IGNORE].contains(&answer),
                    "{manner:?} to {phase:?}: {answer}"
                );
            }
        });
    }
    for text in to_others {
        let text: &'static str = text.leak();
        in_child(|| {
            let _jumpd = Jumpd::start(Manner::Says(text));
            for phase in [Phase::Authenticate, Phase::Account] {
                let (mut login, _) = host::login(ALICE, Some(RIGHT));
                let answer = login.call(phase);
                assert!(
                    ![SUCCESS, IGNORE].contains(&answer),
                    "{text} to {phase:?}: {answer}"
                );
            }
        });
    }
}

/// Runs a part in a child, with sockets of its own.
fn in_child(body: impl FnOnce()) {
    for socket in ["/run/jump/jumpd.sock", "/run/jump/guard.sock"] {
        let _not_there = fs::remove_file(socket);
    }
    crate::process::in_child(body);
}

/// With jumpd gone and the index gone or spoilt, the answer is no, and root is none of ours.
fn gone() {
    let index = crate::support::INDEX;
    let whole = fs::read(index).unwrap();
    for what in [
        "whole",
        "truncated",
        "empty",
        "absent",
        "a directory",
        "a fifo",
    ] {
        match what {
            "whole" => {}
            "truncated" => fs::write(index, &whole[..whole.len() / 2]).unwrap(),
            "empty" => fs::write(index, b"").unwrap(),
            "absent" => fs::remove_file(index).unwrap(),
            "a directory" => fs::create_dir(index).unwrap(),
            _ => {
                fs::remove_dir(index).unwrap();
                nix::unistd::mkfifo(index, nix::sys::stat::Mode::S_IRUSR).unwrap();
            }
        }
        let begun = std::time::Instant::now();
        for phase in [Phase::Authenticate, Phase::Account, Phase::Open] {
            let (mut login, _) = host::login(ALICE, Some(RIGHT));
            let answer = login.call(phase);
            assert!(
                ![SUCCESS, IGNORE].contains(&answer),
                "{what}, {phase:?}: {answer}"
            );
            // The stack behind lets in whom the module ignores.
            let (mut login, _) = host::login("root", None);
            assert_eq!(login.call(phase), SUCCESS, "{what}, {phase:?} of root");
        }
        assert!(
            begun.elapsed().as_secs() < 2,
            "{what}: {:?}",
            begun.elapsed()
        );
    }
}
