//! `ssh BASTION` alone: a person at a terminal.

use crate::Tests;
use crate::fake::{Answer, Fake, friendly};
use crate::shell::ROLE;
use jump_proto::{Reply, Request};
use nix::pty::openpty;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(crate) fn tests() -> Tests {
    crate::tests![
        she_is_greeted,
        she_is_asked_again_after_an_interrupt,
        other_keyboard_signals_do_nothing,
        arrow_keys_are_no_command,
        the_end_of_input_ends_the_session,
        a_hangup_ends_the_session,
        names_do_not_steer_her_terminal,
        an_interrupt_ends_a_relay,
    ]
}

/// A terminal with a shell on it.
pub(crate) struct Terminal {
    child: Child,
    pub(crate) keyboard: Option<std::fs::File>,
    screen: Arc<Mutex<String>>,
    pub(crate) jumpd: Fake,
}

impl Terminal {
    /// One that leaves editing to the kernel.
    fn new(jumpd: Fake) -> Self {
        Self::with(jumpd, &[], &[])
    }

    /// One with these variables, and a shell with these arguments.
    pub(crate) fn with(jumpd: Fake, variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        let size = nix::pty::Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(Some(&size), None).unwrap();
        let mut reader = std::fs::File::from(pty.master.try_clone().unwrap());
        // setsid(1) makes the terminal the controlling one, so that Ctrl-C is a signal.
        let child = Command::new("/usr/bin/setsid")
            .args(["--ctty", "--wait"])
            .arg(std::env::current_exe().unwrap())
            .args([Path::new(ROLE), &jumpd.socket()])
            .args(arguments)
            .env_clear()
            .envs(variables.iter().copied())
            .stdin(Stdio::from(pty.slave.try_clone().unwrap()))
            .stdout(Stdio::from(pty.slave.try_clone().unwrap()))
            .stderr(Stdio::from(pty.slave))
            .spawn()
            .unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The terminal gives an error once its last user is gone.
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                shown
                    .lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        let terminal = Self {
            child,
            keyboard: Some(pty.master.into()),
            screen,
            jumpd,
        };
        if arguments.is_empty() {
            terminal.wait_for("jump> ", 1);
        }
        terminal
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard
            .as_mut()
            .unwrap()
            .write_all(keys.as_bytes())
            .unwrap();
    }

    pub(crate) fn screen(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    pub(crate) fn wait_for(&self, text: &str, times: usize) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.screen().matches(text).count() < times {
            let screen = self.screen();
            assert!(
                Instant::now() < end,
                "waited in vain for {text:?}: {screen}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn status(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

fn she_is_greeted() {
    let mut terminal = Terminal::new(Fake::friendly());
    let screen = terminal.screen();
    assert!(
        screen.starts_with("alice, your session on this jump server is open until"),
        "{screen}"
    );
    assert!(
        screen.contains("left)") && screen.contains("databases  db1.example.internal"),
        "{screen}"
    );
    assert_eq!(
        terminal.jumpd.asked(),
        vec!["Whoami { command: None }", "Targets"]
    );
    terminal.press("whoami\n");
    terminal.wait_for("second factor  totp", 1);
    terminal.press("exit\n");
    assert_eq!(terminal.status(), Some(0));
}

fn she_is_asked_again_after_an_interrupt() {
    let mut terminal = Terminal::new(Fake::friendly());
    terminal.press("half a li\x03");
    terminal.wait_for("jump> ", 2);
    terminal.press("targets\n");
    terminal.wait_for("databases", 2);
    terminal.press("exit\n");
    assert_eq!(terminal.status(), Some(0));
}

fn other_keyboard_signals_do_nothing() {
    let mut terminal = Terminal::new(Fake::friendly());
    terminal.press("\x1a");
    terminal.wait_for("jump> ", 2);
    terminal.press("\x1c");
    terminal.wait_for("jump> ", 3);
    terminal.press("exit\n");
    assert_eq!(terminal.status(), Some(0));
}

fn arrow_keys_are_no_command() {
    let mut terminal = Terminal::new(Fake::friendly());
    terminal.press("\x1b[A\x1b[1;5Cwho\x07ami\n");
    terminal.wait_for("second factor  totp", 1);
    terminal.press("exit\n");
    assert_eq!(terminal.status(), Some(0));
}

fn the_end_of_input_ends_the_session() {
    let mut terminal = Terminal::new(Fake::friendly());
    terminal.press("sh\n");
    terminal.wait_for("is not a command here", 1);
    terminal.wait_for("jump> ", 2);
    terminal.press("\x04");
    assert_eq!(terminal.status(), Some(126));
}

fn a_hangup_ends_the_session() {
    let Terminal {
        mut child,
        keyboard,
        ..
    } = Terminal::new(Fake::friendly());
    // The reader of the screen has the terminal open as well.
    drop(keyboard);
    let pid = rustix::process::Pid::from_child(&child);
    // setsid(1) forks where it must, and becomes the shell where it need not.
    let is_shell = std::fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero()))
        .is_ok_and(|exe| exe == std::env::current_exe().unwrap());
    let forked = jump_sys::process::children(pid.as_raw_nonzero().get()).unwrap();
    let shell = match (is_shell, forked.first()) {
        (false, Some(shell)) => rustix::process::Pid::from_raw(*shell).unwrap(),
        _ => pid,
    };
    rustix::process::kill_process(shell, rustix::process::Signal::HUP).unwrap();
    assert_ne!(child.wait().unwrap().code(), Some(0));
}

fn names_do_not_steer_her_terminal() {
    let jumpd = Fake::new(|question| {
        let mut reply = friendly(question);
        if let Reply::Targets { targets } = &mut reply {
            targets[0].target = "\u{1b}]0;owned\u{7}\u{9b}2J".into();
        }
        Answer::Say(reply)
    });
    let mut terminal = Terminal::new(jumpd);
    terminal.press("exit\n");
    let screen = Arc::clone(&terminal.screen);
    assert_eq!(terminal.status(), Some(0));
    let screen = screen.lock().unwrap();
    assert!(
        !screen.contains('\u{1b}') && !screen.contains('\u{9b}'),
        "{screen:?}"
    );
}

fn an_interrupt_ends_a_relay() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let jumpd = Fake::new(|question| match question {
        Request::Whoami { .. } | Request::Targets | Request::Resolve { .. } => {
            Answer::Say(friendly(question))
        }
        _ => Answer::Nothing,
    });
    let mut terminal = Terminal::new(jumpd);
    terminal.press(&format!(
        "connect db1 {}\n",
        listener.local_addr().unwrap().port()
    ));
    let mut target = listener.accept().unwrap().0;
    terminal.press("hello\n");
    let mut hello = [0; 6];
    target.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"hello\n");
    target.write_all(b"to you\n").unwrap();
    terminal.wait_for("to you", 1);
    terminal.press("\x03");
    assert_ne!(terminal.status(), Some(0));
}
