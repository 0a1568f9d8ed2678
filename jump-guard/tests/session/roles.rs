//! What this program is when it has started itself: a guard, or an sshd.

use crate::lab::{SESSION, USER};
use crate::{agents, jumpd, probes};
use jump_guard::Places;
use jump_proto::Channel;
use jump_proto::handshake::{GuardAnswer, GuardHello};
use jump_sys::process::{Fork, couple_death, exit_now, fork, set_no_new_privs};
use jump_sys::seccomp::{
    SessionFilter, install_session_filter, install_session_filter_without_waitkill,
};
use nix::sys::wait::waitpid;
use nix::unistd::{Gid, Pid, Uid, setgid, setgroups, setuid};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Plays the role asked for, if one is.
pub fn play() -> Option<ExitCode> {
    let role = std::env::var("JUMP_TEST_ROLE").ok()?;
    let dir = PathBuf::from(std::env::var_os("JUMP_TEST_DIR").unwrap());
    let probe = std::env::var("JUMP_TEST_PROBE").unwrap_or_default();
    let args: Vec<String> = std::env::args().skip(1).collect();
    match role.as_str() {
        "guard" => guard(&dir),
        "monitor" => monitor(&dir, &probe, &args, || install_session_filter().unwrap()),
        "monitor-of-an-old-kernel" => {
            monitor(&dir, &probe, &args, || {
                install_session_filter_without_waitkill().unwrap()
            });
        }
        "unguarded" => probes::in_user_child(&probe, &dir, &args),
        "unguarded-user" => {
            setgroups(&[]).unwrap();
            setgid(Gid::from_raw(USER)).unwrap();
            setuid(Uid::from_raw(USER)).unwrap();
            probes::in_user_child(&probe, &dir, &args);
        }
        "not-a-listener" => refused(&dir, 0),
        "no-such-descriptor" => refused(&dir, 999),
        "not-root" => {
            setuid(Uid::from_raw(USER)).unwrap();
            refused(&dir, 0);
        }
        "ssh-with-agent" => agents::ssh(&dir),
        "silent" => {
            let _connection = connect(&dir);
            std::thread::sleep(Duration::from_secs(20));
        }
        other => panic!("no such role: {other}"),
    }
    Some(ExitCode::SUCCESS)
}

pub fn places(dir: &Path) -> Places {
    let shell = dir.join("jump-shell");
    Places {
        jumpd: dir.join("jumpd.sock"),
        shell_socket: dir.join("shell.sock"),
        agent_socket: dir.join("agent.sock"),
        own_agent: dir.join("own-agent.sock"),
        agents: dir.join("agents"),
        // Likewise, of ssh.
        ssh: dir.join("ssh"),
        // A link to this program where the test wants the user's programs to be jump-shell.
        shell,
        log: vec![dir.join("log"), "/dev/log".into()],
    }
}

fn guard(dir: &Path) {
    let listener = UnixListener::from(jumpd::seqpacket_listener(&dir.join("guard.sock")));
    println!("listening");
    let (connection, _) = listener.accept().unwrap();
    drop(listener);
    if let Err(e) = jump_guard::serve(Channel::from(OwnedFd::from(connection)), &places(dir)) {
        eprintln!("{e}");
    }
}

fn connect(dir: &Path) -> Channel {
    Channel::connect(dir.join("guard.sock"), Duration::from_secs(10)).unwrap()
}

fn hello(listener: i32, landlock: u32, waitkill: bool) -> GuardHello {
    GuardHello {
        session: SESSION.parse().unwrap(),
        monitor: i32::try_from(std::process::id()).unwrap(),
        listener,
        landlock,
        waitkill,
    }
}

fn refused(dir: &Path, listener: i32) {
    let connection = connect(dir);
    // The guard may have refused before it listened.
    let _ = connection.send(&hello(listener, 0, true));
    match connection.recv::<GuardAnswer>() {
        Ok(Some(GuardAnswer::Failed { detail })) => println!("refused {detail}"),
        other => println!("answer {other:?}"),
    }
}

/// What sshd's root monitor and `pam_jump` do, in their order.
fn monitor(dir: &Path, probe: &str, args: &[String], install: impl Fn() -> SessionFilter) {
    let connection = connect(dir);
    // pam_loginuid; it can be said once in the life of a process.
    let _ = std::fs::write("/proc/self/loginuid", USER.to_string());
    let landlock = match std::env::var_os("JUMP_TEST_NO_LANDLOCK") {
        Some(_) => 0,
        None => jump_sys::landlock::restrict_session().unwrap(),
    };
    println!("landlock {landlock}");
    let filter = install();
    connection
        .send(&hello(
            filter.listener.as_raw_fd(),
            landlock,
            filter.waitkill,
        ))
        .unwrap();
    let answer = connection.recv::<GuardAnswer>();
    drop(filter);
    match answer {
        Ok(Some(GuardAnswer::Ready)) => {}
        Ok(Some(GuardAnswer::Failed { detail })) => {
            println!("refused {detail}");
            return;
        }
        other => {
            println!("answer {other:?}");
            return;
        }
    }
    probes::in_monitor(probe);
    match fork().unwrap() {
        Fork::Child => {
            couple_death(connection.as_fd()).unwrap();
            set_no_new_privs().unwrap();
            setgroups(&[]).unwrap();
            setgid(Gid::from_raw(USER)).unwrap();
            setuid(Uid::from_raw(USER)).unwrap();
            probes::in_user_child(probe, dir, args);
            exit_now(0);
        }
        Fork::Parent(child) => {
            let status = waitpid(Pid::from_raw(child), None).unwrap();
            println!("child {status:?}");
        }
    }
}
