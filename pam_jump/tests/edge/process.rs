//! The process around the module, which is sshd's and stays as it was.

use crate::application::{IGNORE, Phase, SUCCESS};
use crate::host::{self, ALICE};
use crate::jumpd::{Manner, RIGHT, start_apart};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use std::ffi::CStr;
use std::fs;

pub(crate) const TRIALS: &[(&str, fn())] = &[
    (
        "h22_h23_h24_every_hook_leaves_the_process_as_it_was",
        unchanged,
    ),
    (
        "h24_what_stays_open_is_for_no_program_of_the_user",
        inherited,
    ),
    ("h31_where_no_session_was_opened_the_users_child_ends", ends),
];

/// Runs `body` in a child; its failure is ours.
pub(crate) fn in_child(body: impl FnOnce()) {
    // SAFETY: the child runs code of this test only, and exits.
    match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
        }
        ForkResult::Child => {
            nix::unistd::alarm::set(60);
            let fine = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_ok();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(!fine)) };
        }
    }
}

/// What a program can see of itself.
#[derive(Debug, PartialEq, Eq)]
struct State {
    umask: Mode,
    locale: String,
    directory: std::path::PathBuf,
    variables: Vec<(std::ffi::OsString, std::ffi::OsString)>,
    descriptors: Vec<(String, String)>,
    threads: usize,
    /// Signals blocked, ignored, caught; ids; capabilities; filters: `proc_pid_status(5)`.
    status: Vec<String>,
    limits: String,
    priority: i32,
    timers: String,
}

impl State {
    fn now() -> Self {
        let mask = umask(Mode::empty());
        umask(mask);
        // SAFETY: asks, and changes nothing.
        let locale = unsafe { libc::setlocale(libc::LC_ALL, std::ptr::null()) };
        // SAFETY: setlocale(3) answers a NUL-terminated text.
        let locale = unsafe { CStr::from_ptr(locale) };
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let kept = [
            "SigPnd",
            "SigBlk",
            "SigIgn",
            "SigCgt",
            "Shd",
            "Uid",
            "Gid",
            "Groups",
            "Cap",
            "NoNewPrivs",
            "Seccomp",
            "Umask",
            "Threads",
        ];
        let status = status
            .lines()
            .filter(|line| kept.iter().any(|word| line.starts_with(word)));
        Self {
            umask: mask,
            locale: locale.to_string_lossy().into_owned(),
            directory: std::env::current_dir().unwrap(),
            variables: std::env::vars_os().collect(),
            descriptors: descriptors(),
            threads: fs::read_dir("/proc/self/task").unwrap().count(),
            status: status.map(str::to_owned).collect(),
            limits: fs::read_to_string("/proc/self/limits").unwrap(),
            // SAFETY: takes numbers only.
            priority: unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) },
            timers: fs::read_to_string("/proc/self/timers").unwrap_or_default(),
        }
    }
}

/// What differs, line by line.
fn changed(before: &State, after: &State) -> Vec<String> {
    let lines = |state| {
        format!("{state:#?}")
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (before, after) = (lines(before), lines(after));
    let gone = before.iter().filter(|line| !after.contains(line));
    let new = after.iter().filter(|line| !before.contains(line));
    gone.map(|line| format!("- {line}"))
        .chain(new.map(|line| format!("+ {line}")))
        .collect()
}

/// Open descriptors and what they are, without the one that looks.
fn descriptors() -> Vec<(String, String)> {
    let entries: Vec<_> = fs::read_dir("/proc/self/fd").unwrap().collect();
    let mut found = Vec::new();
    for entry in entries.into_iter().flatten() {
        if let Ok(target) = fs::read_link(entry.path()) {
            let name = entry.file_name().to_string_lossy().into_owned();
            found.push((name, target.to_string_lossy().into_owned()));
        }
    }
    found.sort();
    found
}

/// Every hook, with a jumpd of every manner, and with none.
fn unchanged() {
    let manners = [
        Some(Manner::Fair),
        Some(Manner::Strict),
        Some(Manner::HangsUp),
        Some(Manner::Says("{")),
        None,
    ];
    for manner in manners {
        in_child(|| {
            for socket in ["/run/jump/jumpd.sock", "/run/jump/guard.sock"] {
                let _not_there = fs::remove_file(socket);
            }
            if let Some(manner) = manner {
                start_apart(manner);
            }
            let (mut login, _) = host::login(ALICE, Some(RIGHT));
            // sshd has looked the user up before; what glibc then keeps is not the module's.
            assert!(nix::unistd::User::from_name(ALICE).unwrap().is_some());
            let mut before = State::now();
            // Where a session is opened, the process is no longer what it was: see the next trial.
            let hooks = Phase::ALL
                .into_iter()
                .filter(|phase| *phase != Phase::Open || manner != Some(Manner::Fair));
            for phase in hooks {
                login.call(phase);
                let after = State::now();
                assert!(
                    after == before,
                    "{manner:?}, after {phase:?}: {:#?}",
                    changed(&before, &after)
                );
                before = after;
            }
        });
    }
}

/// Of an opened session one descriptor stays, the guard's, and no program that the user runs gets it.
fn inherited() {
    start_apart(Manner::Fair);
    let (mut login, _) = host::login(ALICE, Some(RIGHT));
    assert_eq!(login.call(Phase::Authenticate), SUCCESS);
    assert_eq!(login.call(Phase::Account), SUCCESS);
    assert_eq!(login.call(Phase::Establish), SUCCESS);
    let before = State::now();
    assert_eq!(login.call(Phase::Open), SUCCESS);
    let after = State::now();
    let new: Vec<_> = after
        .descriptors
        .iter()
        .filter(|fd| !before.descriptors.contains(fd))
        .collect();
    assert_eq!(new.len(), 1, "{new:?}");
    let (number, target) = new[0];
    assert!(target.starts_with("socket:"), "{new:?}");
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
    let flags = info
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .unwrap();
    let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
    assert_ne!(flags & libc::O_CLOEXEC, 0, "{info}");
    assert_eq!(
        (
            after.umask,
            &after.locale,
            &after.directory,
            after.threads,
            &after.limits
        ),
        (
            before.umask,
            &before.locale,
            &before.directory,
            before.threads,
            &before.limits
        )
    );
    assert_eq!(after.variables, before.variables);
}

/// sshd goes on where open_session fails; the child that would serve the user then ends by itself.
fn ends() {
    for manner in [Manner::Unguarded, Manner::Strict, Manner::HangsUp] {
        in_child(|| {
            for socket in ["/run/jump/jumpd.sock", "/run/jump/guard.sock"] {
                let _not_there = fs::remove_file(socket);
            }
            start_apart(manner);
            let (mut login, _) = host::login(ALICE, Some(RIGHT));
            login.putenv("JUMP_SESSION=07070707070707070707070707070707");
            login.call(Phase::Establish);
            let opened = login.call(Phase::Open);
            assert!(![SUCCESS, IGNORE].contains(&opened), "{manner:?}: {opened}");
            // SAFETY: the child calls one hook, which is to end it.
            match unsafe { fork() }.unwrap() {
                ForkResult::Parent { child } => {
                    assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 255)));
                }
                ForkResult::Child => {
                    login.call(Phase::Establish);
                    // SAFETY: ends the child at once.
                    unsafe { libc::_exit(0) };
                }
            }
        });
    }
}
