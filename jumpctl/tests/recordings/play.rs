//! A recording is played, on a terminal and into a pipe.

use crate::shelf::{SESSION, Shelf, header, id, lock, made};
use jump_recording::Kind;
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// An auditor's terminal with something playing on it.
struct Terminal {
    child: Child,
    master: File,
    slave: OwnedFd,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn new(shelf: &Shelf, words: &[&str]) -> Self {
        let size = Winsize {
            ws_row: 26,
            ws_col: 90,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(Some(&size), None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let child = shelf
            .command(&[&["play"], words].concat())
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let master = File::from(pty.master);
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, shown) = (master.try_clone().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                shown.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self {
            child,
            master,
            slave: pty.slave,
            screen,
        }
    }

    fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    /// Waits until this is shown, and forgets what was shown before it.
    fn wait_for(&self, text: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let screen = self.screen();
            if let Some(at) = screen.find(text) {
                let mut bytes = self.screen.lock().unwrap();
                bytes.drain(..at + text.len());
                return;
            }
            assert!(Instant::now() < until, "{text:?} is not in {screen:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its exit code, once the terminal is as it was.
    fn ended(mut self) -> Option<i32> {
        let code = self.child.wait().unwrap().code();
        let modes = tcgetattr(&self.slave).unwrap();
        let cooked = LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG;
        assert!(modes.local_flags.contains(cooked), "{modes:?}");
        self.wait_for("\u{1b}[?25h\u{1b}[?1049l");
        code
    }
}

fn shelf() -> Shelf {
    let shelf = Shelf::new();
    shelf.put(&made(&header(&id("aa")), SESSION, false, true));
    shelf
}

#[test]
fn keys_pause_step_go_and_quit() {
    let shelf = shelf();
    let mut terminal = Terminal::new(&shelf, &["aa", "--step"]);
    terminal.wait_for("0:00:00 / 0:06:41  paused");
    assert!(!terminal.screen().contains("psql"));
    terminal.press(".");
    terminal.wait_for("psql");
    terminal.wait_for("0:00:02 / 0:06:41  paused");
    terminal.press("g1:00\r");
    terminal.wait_for("customers;");
    terminal.wait_for("0:01:00 / 0:06:41");
    terminal.press("\u{1b}[D");
    terminal.wait_for("0:00:50 / 0:06:41");
    terminal.press("l");
    terminal.wait_for("0:01:00 / 0:06:41");
    terminal.press("+");
    terminal.wait_for("paused  2x");
    terminal.press("g9:00:00\r");
    terminal.wait_for("bye");
    terminal.wait_for("the end");
    terminal.press("q");
    assert_eq!(terminal.ended(), Some(0));
}

#[test]
fn it_plays_by_itself_and_skips_what_is_idle() {
    let shelf = shelf();
    let mut terminal = Terminal::new(&shelf, &["aa", "--speed", "50", "--idle", "5"]);
    terminal.wait_for("psql");
    terminal.wait_for("bye");
    terminal.wait_for("the end");
    terminal.press("\u{3}");
    assert_eq!(terminal.ended(), Some(0));
    let mut terminal = Terminal::new(&shelf, &["aa", "--step", "--at", "2026-03-02 14:06:40"]);
    terminal.wait_for("bye");
    terminal.press("q");
    assert_eq!(terminal.ended(), Some(0));
}

#[test]
fn the_terminal_is_put_back_whatever_ends_it() {
    let shelf = shelf();
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ] {
        let terminal = Terminal::new(&shelf, &["aa"]);
        terminal.wait_for("db1$");
        let modes = tcgetattr(&terminal.slave).unwrap();
        assert!(
            !modes.local_flags.contains(LocalFlags::ECHO),
            "keys are not shown"
        );
        let pid = Pid::from_raw(terminal.child.id().cast_signed());
        kill(pid, signal).unwrap();
        assert_eq!(terminal.ended(), Some(0), "{signal}");
    }
}

#[test]
fn a_recording_that_runs_is_followed() {
    let shelf = Shelf::new();
    let first = made(&header(&id("aa")), &SESSION[..2], false, false);
    let second = made(&header(&id("aa")), &SESSION[..3], false, false);
    let path = shelf.put(&first);
    let _recorder = lock(&path);
    let mut terminal = Terminal::new(&shelf, &["aa", "--speed", "100"]);
    terminal.wait_for("nothing more yet");
    let mut file = File::options().append(true).open(&path).unwrap();
    file.write_all(&second.bytes[first.bytes.len()..]).unwrap();
    terminal.wait_for("customers;");
    terminal.press("q");
    assert_eq!(terminal.ended(), Some(0));
}

/// What a terminal would obey.
const HOSTILE: &str =
    "\u{1b}]0;title\u{7}\u{1b}]52;c;cHduZWQ=\u{7}\u{1b}[6n\u{1b}P+q\u{1b}\\\u{9b}5ishown";

fn hostile() -> Shelf {
    let mut header = header(&id("aa"));
    header.facts.user = "al\u{1b}[2Jice".to_owned();
    header.facts.target = "\u{202e}db1".to_owned();
    let shelf = Shelf::new();
    let frames: &[(u64, Kind, &[u8])] = &[(0, Kind::Output, HOSTILE.as_bytes())];
    shelf.put(&made(&header, frames, false, true));
    shelf
}

#[test]
fn nothing_recorded_is_obeyed_unless_that_is_asked_for() {
    let shelf = hostile();
    let mut terminal = Terminal::new(&shelf, &["aa"]);
    terminal.wait_for("\u{1b}[?1049h");
    let before = terminal.screen();
    std::thread::sleep(Duration::from_millis(300));
    let screen = before + &terminal.screen();
    for acts in [
        "title", "cHduZWQ", "[6n", "+q", "\u{9b}", "al\u{1b}", "\u{202e}",
    ] {
        assert!(!screen.contains(acts), "{acts:?} in {screen:?}");
    }
    terminal.wait_for("shown");
    terminal.press("q");
    assert_eq!(terminal.ended(), Some(0));
    let mut terminal = Terminal::new(&shelf, &["aa", "--raw"]);
    terminal.wait_for(HOSTILE);
    terminal.press("q");
    let code = terminal.child.wait().unwrap().code();
    terminal.wait_for("\u{1b}[!p");
    terminal.wait_for("\u{1b}[?2004l");
    assert_eq!(code, Some(0));
}

#[test]
fn a_small_terminal_is_told_that_it_is() {
    let shelf = Shelf::new();
    let mut header = header(&id("aa"));
    header.term.cols = 200;
    shelf.put(&made(&header, SESSION, false, true));
    let mut terminal = Terminal::new(&shelf, &["aa", "--step"]);
    terminal.wait_for("alice on admin@db1, recorded at 200x24");
    terminal.press("q");
    assert_eq!(terminal.ended(), Some(0));
}

#[test]
fn into_a_pipe_all_of_it_goes_at_once() {
    let (code, said) = shelf().said(&["play", "aa"]);
    assert_eq!(code, 0);
    assert!(
        said.starts_with("db1$ psql\r\n\u{1b}[31mDROP TABLE\u{1b}[0m customers;\r\nbye\r\n"),
        "{said:?}"
    );
    let (_, said) = shelf().said(&["play", "aa", "--at", "400"]);
    assert!(said.starts_with("bye\r\n"), "{said:?}");
    let (code, said) = hostile().said(&["play", "aa"]);
    assert!(code == 0 && said.starts_with("shown"), "{said:?}");
    let raw = hostile().run(&["play", "aa", "--raw"]);
    assert_eq!(raw.stdout, HOSTILE.as_bytes());
    for words in [["--speed", "0"], ["--at", "noon"]] {
        assert_eq!(
            shelf().said(&[&["play", "aa"][..], &words].concat()).0,
            2,
            "{words:?}"
        );
    }
}
