//! `ssh HOST`: the system's own ssh to a real sshd, as the shell runs it.

use crate::Tests;
use crate::fake::{Fake, friendly};
use crate::recorder::Recorder;
use crate::shell::{Said, asked, run, wait_until};
use crate::target::{Target, answered, reached};
use crate::terminal::Terminal;
use jump_proto::Request;
use jump_sys::process::children;
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

pub(crate) fn tests() -> Tests {
    crate::tests![
        the_status_and_both_outputs_are_the_commands,
        bytes_are_exact_in_every_direction,
        the_end_of_input_is_the_end_there,
        ssh_is_started_with_the_text_as_one_argument,
        ssh_and_its_runner_are_confined,
        both_die_with_the_shell,
        a_reader_that_left_ends_ssh,
        without_a_terminal_it_is_the_last_command,
        an_unknown_host_key_is_one_sentence,
        a_changed_host_key_is_one_sentence,
        a_login_that_is_refused_is_one_sentence,
        the_users_own_agent_logs_in_where_jumpd_says_so,
        a_closed_port_is_one_sentence,
        a_login_for_which_jumpd_has_no_answer_is_given_up,
        a_target_that_spoke_needs_no_answer_of_jumpds,
        what_jumpd_gives_is_no_option,
        a_person_gets_a_terminal_there,
        an_interrupt_is_the_targets,
        an_interrupt_ends_the_waiting_for_a_target,
        a_new_size_is_the_targets_too,
        a_command_at_a_terminal_has_its_lines_in_order,
        an_earlier_hop_leaves_nothing_behind,
    ]
}

pub(crate) fn plain() -> (Target, Fake) {
    reached(false, Recorder::default(), |_, _| {})
}

fn the_users_own_agent_logs_in_where_jumpd_says_so() {
    let elsewhere = |folder: &Path| {
        fs::rename(folder.join("agent.sock"), folder.join("own-agent.sock")).unwrap();
    };
    let (_target, jumpd) = reached(false, Recorder::default(), |hop, folder| {
        hop.forwarded_agent = true;
        elsewhere(folder);
    });
    let said = run(&jumpd.socket(), "ssh db1 echo there");
    assert_eq!(
        (said.status, said.out.as_str()),
        (Some(0), "there\n"),
        "{said:?}"
    );
    // No other hop gets to it.
    let (_target, jumpd) = reached(false, Recorder::default(), |_, folder| elsewhere(folder));
    assert_eq!(run(&jumpd.socket(), "ssh db1 true").status, Some(255));
}

fn the_status_and_both_outputs_are_the_commands() {
    let (_target, jumpd) = plain();
    let said = run(
        &jumpd.socket(),
        "ssh db1 echo out; echo No such thing >&2; exit 7",
    );
    assert_eq!(
        (said.status, said.out.as_str(), said.err.as_str()),
        (Some(7), "out\n", "No such thing\n")
    );
    let asked = jumpd.asked();
    let begun = "HopOpen(HopRequest { host: \"db1\", port: None, login: None })";
    assert_eq!(asked[1], begun, "{asked:?}");
    assert!(
        asked[2].starts_with("HopEnded { hop: HopId(\"0909")
            && asked[2].ends_with("status: Some(7), reason: None }"),
        "{asked:?}"
    );
}

pub(crate) fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fs::File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut bytes)
        .unwrap();
    bytes
}

fn bytes_are_exact_in_every_direction() {
    let (_target, jumpd) = plain();
    let bytes = random(3 << 20);
    let mut child = asked(&jumpd.socket(), "ssh db1 tee /dev/stderr")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let sent = bytes.clone();
    let writer = std::thread::spawn(move || input.write_all(&sent).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout == bytes, "{} bytes", output.stdout.len());
    assert!(output.stderr == bytes, "{} bytes", output.stderr.len());
}

fn the_end_of_input_is_the_end_there() {
    let (_target, jumpd) = plain();
    let mut child = asked(&jumpd.socket(), "ssh db1 wc -c; echo after")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"four").unwrap();
    let said = Said::from(child.wait_with_output().unwrap());
    assert_eq!((said.status, said.out.as_str()), (Some(0), "4\nafter\n"));
}

/// A hop that lasts.
struct Lasting {
    child: Child,
    runner: i32,
    ssh: i32,
}

impl Lasting {
    fn new(jumpd: &Fake, command: &str) -> Self {
        let child = asked(&jumpd.socket(), &format!("ssh db1 {command}"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let only_child = |of: i32| {
            let mut found = None;
            wait_until("a process", || {
                found = children(of).unwrap().first().copied();
                found.is_some()
            });
            found.unwrap()
        };
        let runner = only_child(child.id().try_into().unwrap());
        let ssh = only_child(runner);
        wait_until("ssh", || {
            fs::read_link(format!("/proc/{ssh}/exe")).is_ok_and(|exe| exe.ends_with("usr/bin/ssh"))
        });
        Self { child, runner, ssh }
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Attacks A12 and A13: whatever the text is, no shell of the jump server sees it.
fn ssh_is_started_with_the_text_as_one_argument() {
    let (_target, jumpd) = plain();
    let text = "sleep 60; echo 'a  b' \"$(id)\" | cat & -oProxyCommand=x";
    let hop = Lasting::new(&jumpd, text);
    let line = fs::read(format!("/proc/{}/cmdline", hop.ssh)).unwrap();
    let arguments: Vec<&[u8]> = line.split(|b| *b == 0).collect();
    // It ends in a NUL.
    assert_eq!(
        &arguments[arguments.len() - 4..],
        [&b"--"[..], b"127.0.0.1", text.as_bytes(), b""]
    );
    let environment = fs::read(format!("/proc/{}/environ", hop.ssh)).unwrap();
    assert_eq!(environment, b"");
    let shell = hop.child.id().try_into().unwrap();
    assert_eq!(children(shell).unwrap(), [hop.runner]);
    assert_eq!(children(hop.runner).unwrap(), [hop.ssh]);
    assert_eq!(children(hop.ssh).unwrap(), [0; 0]);
}

fn ssh_and_its_runner_are_confined() {
    let (_target, jumpd) = plain();
    let hop = Lasting::new(&jumpd, "sleep 60");
    for pid in [hop.runner, hop.ssh] {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        for line in [
            "CapInh:\t0000000000000000",
            "CapPrm:\t0000000000000000",
            "CapEff:\t0000000000000000",
            "CapAmb:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
            "Threads:\t1",
        ] {
            assert!(status.contains(line), "{line} in {status}");
        }
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let mut none = vec!["Max core file size", "Max file size", "Max locked memory"];
        if pid == hop.ssh {
            none.push("Max processes");
        }
        for name in none {
            let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
            let values: Vec<&str> = line[name.len()..]
                .split_ascii_whitespace()
                .take(2)
                .collect();
            assert_eq!(values, ["0", "0"], "{line}");
        }
        // Nothing of the login is open in either.
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
            let file = fs::read_link(entry.unwrap().path()).unwrap();
            let file = file.to_str().unwrap();
            let expected = [
                "pipe:",
                "socket:",
                "/dev/null",
                "anon_inode:[pidfd]",
                "/proc/",
                // ssh may still be loading what it is made of.
                "/usr/lib/",
                "/etc/ld.so.cache",
            ];
            assert!(
                expected.iter().any(|e| file.starts_with(e)),
                "{pid}: {file}"
            );
        }
    }
}

pub(crate) fn is_gone(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

fn both_die_with_the_shell() {
    let (_target, jumpd) = plain();
    let mut hop = Lasting::new(&jumpd, "sleep 60");
    hop.child.kill().unwrap();
    wait_until("the end of both", || {
        is_gone(hop.runner) && is_gone(hop.ssh)
    });
    // And ssh with its runner alone; the shell says so.
    let mut hop = Lasting::new(&jumpd, "sleep 60");
    kill_process(Pid::from_raw(hop.runner).unwrap(), Signal::KILL).unwrap();
    wait_until("the end of ssh", || is_gone(hop.ssh));
    assert_eq!(hop.child.wait().unwrap().code(), Some(255));
    let mut err = String::new();
    hop.child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert!(err.contains("fault of this jump server's"), "{err}");
}

fn a_reader_that_left_ends_ssh() {
    let (_target, jumpd) = plain();
    let mut hop = Lasting::new(&jumpd, "sleep 60");
    drop(hop.child.stdout.take());
    wait_until("the end of ssh", || is_gone(hop.ssh));
    assert_eq!(hop.child.wait().unwrap().code(), Some(255));
}

fn without_a_terminal_it_is_the_last_command() {
    let (_target, jumpd) = plain();
    let said = crate::shell::run_typed(
        &jumpd.socket(),
        b"targets\nssh db1 cat; exit 4\nexit\nthe rest",
    );
    assert_eq!(said.status, Some(4), "{}", said.err);
    assert!(said.out.ends_with("exit\nthe rest"), "{}", said.out);
}

/// The one sentence of a hop that does not come about, and the word that jumpd hears.
fn refused(jumpd: &Fake, word: &str) -> String {
    let said = run(&jumpd.socket(), "ssh db1 true");
    assert_eq!((said.status, said.out.as_str()), (Some(255), ""));
    assert!(said.err.starts_with("jump-shell: db1: "), "{}", said.err);
    assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    let asked = jumpd.asked();
    let ended = asked.last().unwrap();
    assert!(ended.contains(&format!("reason: Some({word})")), "{ended}");
    said.err
}

fn an_unknown_host_key_is_one_sentence() {
    let (_target, jumpd) = reached(false, Recorder::default(), |_, folder| {
        fs::write(folder.join("known_hosts"), "").unwrap();
    });
    let sentence = refused(&jumpd, "HostKeyUnknown");
    assert!(
        sentence.contains("tell the administrators") && sentence.contains("known_hosts, as db1)"),
        "{sentence}"
    );
}

fn a_changed_host_key_is_one_sentence() {
    let (_target, jumpd) = reached(false, Recorder::default(), |_, folder| {
        let other = fs::read_to_string(folder.join("user.pub")).unwrap();
        fs::write(folder.join("known_hosts"), format!("db1 {other}")).unwrap();
    });
    let sentence = refused(&jumpd, "HostKeyUnknown");
    assert!(sentence.contains("ANOTHER host key"), "{sentence}");
}

fn a_login_that_is_refused_is_one_sentence() {
    let (_target, jumpd) = reached(false, Recorder::default(), |_, folder| {
        fs::write(folder.join("user.pub"), "").unwrap();
    });
    let sentence = refused(&jumpd, "LoginRefused");
    assert!(sentence.contains("does not let"), "{sentence}");
}

fn a_closed_port_is_one_sentence() {
    let (target, jumpd) = plain();
    drop(target);
    let sentence = refused(&jumpd, "ConnectFailed");
    assert!(sentence.contains("Connection refused"), "{sentence}");
}

/// A jumpd that stands still once a hop is open, as far as it is asked for signs of life.
fn silent() -> (Target, Fake) {
    answered(false, Recorder::default(), |question| {
        if let Request::Ends = question {
            std::thread::sleep(Duration::from_secs(20));
        }
        friendly(question)
    })
}

fn a_login_for_which_jumpd_has_no_answer_is_given_up() {
    let (_target, jumpd) = silent();
    let agent = jumpd.socket().with_file_name("agent.sock");
    fs::remove_file(&agent).unwrap();
    // ssh asks there, and waits.
    let _stopped = UnixListener::bind(&agent).unwrap();
    let begun = Instant::now();
    let said = run(&jumpd.socket(), "ssh db1 true");
    assert_eq!(said.status, Some(255));
    assert!(said.err.contains("does not answer"), "{}", said.err);
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    let asked = jumpd.asked();
    assert!(
        !asked.iter().any(|line| line.starts_with("HopEnded")),
        "nobody waits for it once more: {asked:?}"
    );
}

fn a_target_that_spoke_needs_no_answer_of_jumpds() {
    let (_target, jumpd) = silent();
    let said = run(&jumpd.socket(), "ssh db1 echo here; sleep 5; echo still");
    assert_eq!(
        (said.status, said.out.as_str(), said.err.as_str()),
        (Some(0), "here\nstill\n", "")
    );
}

fn what_jumpd_gives_is_no_option() {
    let (_target, jumpd) = reached(false, Recorder::default(), |hop, _| {
        hop.host_key_alias = "x -oProxyCommand=id".into();
    });
    let sentence = refused(&jumpd, "Internal");
    assert!(sentence.contains("cannot be used"), "{sentence}");
}

/// A person at a terminal, at the prompt.
pub(crate) fn person(jumpd: Fake) -> Terminal {
    let variables = [("TERM", "vt100"), ("NO_COLOR", "1")];
    Terminal::with(jumpd, &variables, &[])
}

fn a_person_gets_a_terminal_there() {
    let (_target, jumpd) = plain();
    let mut terminal = person(jumpd);
    terminal.press("ssh db1\n");
    terminal.press("PS1='there'\"> \"; echo $TERM; stty size; tty\n");
    terminal.wait_for("there> ", 1);
    let screen = terminal.screen();
    assert!(screen.contains("vt100\r\n24 80\r\n/dev/pts/"), "{screen}");
    terminal.press("exit 3\n");
    terminal.wait_for("jump> ", 3);
    terminal.press("whoami\n");
    terminal.wait_for("second factor  totp", 1);
    terminal.press("exit\n");
    assert_eq!(terminal.status(), Some(0));
}

fn an_interrupt_is_the_targets() {
    let (_target, jumpd) = plain();
    let mut terminal = person(jumpd);
    terminal.press("ssh db1\n");
    terminal.press("PS1='there'\"> \"\n");
    terminal.wait_for("there> ", 1);
    terminal.press("sleep 60; echo slept=$?\n");
    terminal.wait_for("sleep 60", 1);
    std::thread::sleep(Duration::from_millis(500));
    terminal.press("\x03");
    terminal.wait_for("there> ", 2);
    terminal.press("exit\n");
    terminal.wait_for("jump> ", 3);
    terminal.press("\x04");
    assert!(!terminal.screen().contains("slept=0"));
    terminal.status();
}

fn an_interrupt_ends_the_waiting_for_a_target() {
    // One that takes the connection and never says a word.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = silent.local_addr().unwrap();
    let (_target, jumpd) = reached(false, Recorder::default(), |hop, _| hop.address = address);
    let mut terminal = person(jumpd);
    terminal.press("ssh db1\n");
    let _connection = silent.accept().unwrap();
    terminal.press("\x03");
    terminal.wait_for("jump> ", 3);
    terminal.press("exit\n");
    assert_eq!(terminal.status(), Some(0));
}

fn a_new_size_is_the_targets_too() {
    let (_target, jumpd) = plain();
    let mut terminal = person(jumpd);
    terminal.press("ssh db1\n");
    terminal.press("PS1='there'\"> \"\n");
    terminal.wait_for("there> ", 1);
    let size = Winsize {
        ws_row: 33,
        ws_col: 101,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal.keyboard.as_ref().unwrap(), size).unwrap();
    // It takes its way, and a shell there looks at it between two commands.
    for _ in 0..20 {
        terminal.press("stty size\n");
        std::thread::sleep(Duration::from_millis(100));
        if terminal.screen().contains("33 101\r\n") {
            return;
        }
    }
    panic!("{}", terminal.screen());
}

fn a_command_at_a_terminal_has_its_lines_in_order() {
    let (_target, jumpd) = plain();
    let variables = [("TERM", "vt100"), ("NO_COLOR", "1")];
    let wish = "ssh db1 echo out; sleep 0.5; echo err >&2; sleep 0.5; tty";
    let terminal = Terminal::with(jumpd, &variables, &["-c", wish]);
    terminal.wait_for("not a tty", 1);
    assert_eq!(terminal.screen(), "out\r\nerr\r\nnot a tty\r\n");
    assert_eq!(terminal.status(), Some(1));
}

fn an_earlier_hop_leaves_nothing_behind() {
    let (_target, jumpd) = plain();
    let mut terminal = person(jumpd);
    for times in 1..=3 {
        terminal.press("ssh db1 stty -echo; read x; echo got $x\n");
        terminal.wait_for("stty: ", times);
        terminal.press("word\n");
        terminal.wait_for("got word\r\n", times);
        terminal.wait_for("jump> ", 2 * times + 1);
    }
    terminal.press("exit\n");
    assert_eq!(terminal.status(), Some(0));
}
