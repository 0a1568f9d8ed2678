//! A line edited at a real terminal, under the real confinement.

use crate::Tests;
use crate::fake::{Answer, CODE, Fake, friendly, other_session};
use crate::shell::wait_until;
use crate::terminal::Terminal;
use jump_proto::{Reason, Reply, Request};
use rustix::termios::{Winsize, tcsetwinsize};
use std::io::Read;

pub(crate) fn tests() -> Tests {
    crate::tests![
        a_line_is_edited,
        an_earlier_line_comes_back,
        an_interrupt_gives_the_line_up,
        ctrl_d_ends_an_empty_line_only,
        other_keyboard_signals_do_nothing,
        a_command_is_completed,
        hosts_and_ports_are_completed_as_jumpd_knows_them,
        sessions_are_completed,
        tab_without_jumpd_is_silent,
        a_new_size_is_drawn,
        a_warning_leaves_the_line_as_it_is,
        nothing_typed_steers_the_terminal,
        a_line_too_long_is_not_run,
        lines_that_come_at_once_are_run_one_by_one,
        a_relay_has_the_terminal_as_it_came,
        colours_are_for_who_wants_them,
        recovery_codes_are_shown_for_a_code,
        a_wrong_code_brings_nothing,
        slow_hashes_are_waited_for,
        codes_that_may_be_void_are_said_to_be,
        a_command_asks_for_the_code_too,
    ]
}

/// Somebody at a terminal with escape sequences and without colours.
fn anybody() -> Terminal {
    Terminal::with(
        Fake::friendly(),
        &[("TERM", "xterm"), ("NO_COLOR", "1")],
        &[],
    )
}

/// The row of the cursor as it stands on the glass, of the escape sequences that are used here.
fn row(terminal: &Terminal) -> String {
    let screen = terminal.screen();
    let mut row: Vec<char> = Vec::new();
    let mut column = 0;
    let mut chars = screen.chars();
    while let Some(c) = chars.next() {
        match c {
            '\n' => row.clear(),
            '\r' => column = 0,
            '\x1b' => {
                let mut sequence = String::new();
                for c in chars.by_ref() {
                    sequence.push(c);
                    if c.is_ascii_alphabetic() {
                        break;
                    }
                }
                match sequence.as_str() {
                    "[K" => row.truncate(column),
                    way if way.ends_with('m') => {}
                    right => {
                        let digits = right.trim_matches(['[', 'C']);
                        column += digits.parse::<usize>().unwrap_or(0);
                    }
                }
            }
            c => {
                row.resize(row.len().max(column + 1), ' ');
                row[column] = c;
                column += 1;
            }
        }
    }
    row.insert(column.min(row.len()), '|');
    row.into_iter().collect()
}

fn wait_for_row(terminal: &Terminal, wanted: &str) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while row(terminal) != wanted {
        assert!(
            std::time::Instant::now() < end,
            "{:?} instead of {wanted:?}\n{:?}",
            row(terminal),
            terminal.screen()
        );
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn leaves(mut terminal: Terminal) {
    terminal.press("exit\r");
    assert_eq!(terminal.status(), Some(0));
}

fn a_line_is_edited() {
    let mut terminal = anybody();
    terminal.press("hoamx\x01w");
    wait_for_row(&terminal, "jump> w|hoamx");
    terminal.press("\x05\x7fi");
    wait_for_row(&terminal, "jump> whoami|");
    terminal.press("\x1b[D\x1b[D\x1b[H\x0b");
    wait_for_row(&terminal, "jump> |");
    terminal.press("\x19\r");
    terminal.wait_for("second factor  totp", 1);
    leaves(terminal);
}

fn an_earlier_line_comes_back() {
    let mut terminal = anybody();
    terminal.press("targets\rwhoami\r");
    terminal.wait_for("second factor  totp", 1);
    terminal.press("new\x1b[A\x1b[A");
    wait_for_row(&terminal, "jump> targets|");
    terminal.press("\x1b[B\x1b[B");
    wait_for_row(&terminal, "jump> new|");
    terminal.press("\x15\x10\r");
    terminal.wait_for("second factor  totp", 2);
    leaves(terminal);
}

fn an_interrupt_gives_the_line_up() {
    let mut terminal = anybody();
    terminal.press("half a li");
    wait_for_row(&terminal, "jump> half a li|");
    terminal.press("\x03");
    wait_for_row(&terminal, "jump> |");
    assert!(terminal.jumpd.refused().is_empty());
    leaves(terminal);
}

fn ctrl_d_ends_an_empty_line_only() {
    let mut terminal = anybody();
    terminal.press("xwhoami\x01\x04");
    wait_for_row(&terminal, "jump> |whoami");
    terminal.press("\x15\x0b\x04");
    assert_eq!(terminal.status(), Some(0));
}

fn other_keyboard_signals_do_nothing() {
    let mut terminal = anybody();
    terminal.press("a\x1a");
    wait_for_row(&terminal, "jump> |");
    terminal.press("b\x1c");
    wait_for_row(&terminal, "jump> |");
    leaves(terminal);
}

fn a_command_is_completed() {
    let mut terminal = anybody();
    terminal.press("who\t");
    wait_for_row(&terminal, "jump> whoami |");
    terminal.press("\x15\t");
    terminal.wait_for(
        "connect  exit  help  mfa  sessions  ssh  targets  whoami",
        1,
    );
    wait_for_row(&terminal, "jump> |");
    // Names of commands are no question to jumpd.
    assert_eq!(terminal.jumpd.asked().len(), 2);
    leaves(terminal);
}

fn hosts_and_ports_are_completed_as_jumpd_knows_them() {
    let jumpd = Fake::new(|question| {
        let mut reply = friendly(question);
        if let Reply::Targets { targets } = &mut reply {
            let mut more = targets[0].clone();
            more.hosts = vec!["db2.example.internal".into(), "\u{1b}[2J".into()];
            more.ports = vec!["5432".into(), "22".into()];
            targets.push(more);
        }
        Answer::Say(reply)
    });
    let mut terminal = Terminal::with(jumpd, &[("TERM", "xterm"), ("NO_COLOR", "1")], &[]);
    terminal.press("con\td\t");
    wait_for_row(&terminal, "jump> connect db|");
    terminal.press("\t");
    terminal.wait_for("db1.example.internal  db2.example.internal\r\n", 1);
    wait_for_row(&terminal, "jump> connect db|");
    terminal.press("2\t");
    wait_for_row(&terminal, "jump> connect db2.example.internal |");
    terminal.press("\t");
    terminal.wait_for("22  5432\r\n", 1);
    terminal.press("5\t");
    wait_for_row(&terminal, "jump> connect db2.example.internal 5432 |");
    terminal.press("\x15");
    leaves(terminal);
}

fn sessions_are_completed() {
    let mut terminal = anybody();
    let id = other_session().session;
    terminal.press("sessions end 08\t");
    wait_for_row(&terminal, &format!("jump> sessions end {id} |"));
    terminal.press("\r");
    terminal.wait_for("is being ended.", 1);
    leaves(terminal);
}

fn tab_without_jumpd_is_silent() {
    let jumpd = Fake::new(|question| match question {
        Request::OwnSessions => Answer::Last(friendly(&Request::Ends)),
        other => Answer::Say(friendly(other)),
    });
    let mut terminal = Terminal::with(jumpd, &[("TERM", "xterm"), ("NO_COLOR", "1")], &[]);
    terminal.press("sessions end \tx");
    wait_for_row(&terminal, "jump> sessions end x|");
    assert!(!terminal.screen().contains("cannot answer"));
    terminal.press("\x15");
    leaves(terminal);
}

fn a_new_size_is_drawn() {
    let mut terminal = anybody();
    terminal.press("0123456789abcdefghij");
    wait_for_row(&terminal, "jump> 0123456789abcdefghij|");
    let narrow = Winsize {
        ws_row: 24,
        ws_col: 20,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal.keyboard.as_ref().unwrap(), narrow).unwrap();
    wait_for_row(&terminal, "jump> 789abcdefghij|");
    terminal.press("\x15");
    leaves(terminal);
}

fn a_warning_leaves_the_line_as_it_is() {
    let jumpd = Fake::new(|question| {
        Answer::Say(match question {
            Request::Ends => Reply::Ends {
                ends_ms: Some(jiff::Timestamp::now().as_millisecond() + 59_500),
                reason: Some(Reason::WindowClosed),
                warn_ms: Some(60_000),
            },
            other => friendly(other),
        })
    });
    let mut terminal = Terminal::with(jumpd, &[("TERM", "xterm"), ("NO_COLOR", "1")], &[]);
    terminal.press("half a li");
    terminal.wait_for("the time window of your access closes.\r\n", 1);
    wait_for_row(&terminal, "jump> half a li|");
    terminal.press("\x15");
    leaves(terminal);
}

fn nothing_typed_steers_the_terminal() {
    let mut terminal = anybody();
    let before = terminal.screen().len();
    terminal.press("a\u{1b}]52;c;eA==\u{7}\u{9b}2J\u{202e}\u{200b}b\u{7}");
    terminal.wait_for("b\u{1b}[K", 1);
    let screen = terminal.screen();
    let drawn = screen[before..].replace("\u{1b}[K", "").replace('\r', "");
    for sequence in drawn.split('\u{1b}').skip(1) {
        let rest = sequence.trim_start_matches(|c: char| c == '[' || c.is_ascii_digit());
        assert!(rest.starts_with('C'), "{sequence:?}");
    }
    assert!(
        drawn.chars().all(|c| c == '\u{1b}' || !c.is_control()),
        "{drawn:?}"
    );
    terminal.press("\x15");
    leaves(terminal);
}

fn a_line_too_long_is_not_run() {
    let mut terminal = anybody();
    terminal.press(&"x".repeat(5000));
    terminal.press("\r");
    terminal.wait_for("more than 4096 bytes", 1);
    assert!(terminal.jumpd.refused().is_empty());
    leaves(terminal);
}

fn lines_that_come_at_once_are_run_one_by_one() {
    let mut terminal = anybody();
    terminal.press("whoami\rtargets\rwhoami\rexit\r");
    let screen = {
        terminal.wait_for("second factor  totp", 2);
        terminal.screen()
    };
    assert_eq!(screen.matches("jump> whoami").count(), 2, "{screen:?}");
    assert_eq!(terminal.status(), Some(0));
}

fn a_relay_has_the_terminal_as_it_came() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut terminal = anybody();
    let port = listener.local_addr().unwrap().port();
    terminal.press(&format!("connect db1 {port}\r"));
    let mut target = listener.accept().unwrap().0;
    wait_until("the terminal's own mode", || {
        let modes = rustix::termios::tcgetattr(terminal.keyboard.as_ref().unwrap()).unwrap();
        modes
            .local_modes
            .contains(rustix::termios::LocalModes::ICANON | rustix::termios::LocalModes::ECHO)
    });
    terminal.press("hellx\x7fo\r");
    let mut hello = [0; 6];
    target.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"hello\n");
    terminal.press("\x03");
    assert_ne!(terminal.status(), Some(0));
}

fn colours_are_for_who_wants_them() {
    let bold = "\u{1b}[1mTARGET\u{1b}[0m";
    for (variables, coloured) in [
        (&[("TERM", "xterm-256color")][..], true),
        (&[("TERM", "xterm-256color"), ("NO_COLOR", "1")], false),
        (&[("TERM", "dumb")], false),
    ] {
        let terminal = Terminal::with(Fake::friendly(), variables, &[]);
        assert_eq!(terminal.screen().contains(bold), coloured, "{variables:?}");
        assert_eq!(
            terminal.screen().contains("\u{1b}[1mjump> \u{1b}[0m"),
            coloured
        );
        leaves(terminal);
    }
}

fn recovery_codes_are_shown_for_a_code() {
    for term in ["xterm", "dumb"] {
        let variables = [("TERM", term), ("NO_COLOR", "1")];
        let mut terminal = Terminal::with(Fake::friendly(), &variables, &[]);
        terminal.press("mfa recovery-codes\r");
        terminal.wait_for("Code of your authenticator now: ", 1);
        terminal.press(&format!("{CODE}\r"));
        terminal.wait_for("abcd-efgh-jkmn-pqrs", 1);
        assert!(!terminal.screen().contains(CODE), "{}", terminal.screen());
        // The code is in no history.
        terminal.press("\x10\x15whoami\r");
        terminal.wait_for("second factor  totp", 1);
        assert!(!terminal.screen().contains(CODE), "{}", terminal.screen());
        leaves(terminal);
    }
}

fn a_wrong_code_brings_nothing() {
    let mut terminal = anybody();
    terminal.press("mfa recovery-codes\r");
    terminal.wait_for("Code of your authenticator now: ", 1);
    terminal.press("000000\r");
    terminal.wait_for("Code not accepted.", 1);
    terminal.press("mfa recovery-codes\r");
    terminal.wait_for("Code of your authenticator now: ", 2);
    terminal.press("\x03");
    terminal.wait_for("No code was typed, so nothing has changed.", 1);
    assert!(
        !terminal.screen().contains("abcd-"),
        "{}",
        terminal.screen()
    );
    leaves(terminal);
}

/// The old codes are void by then, so the new ones must arrive.
fn slow_hashes_are_waited_for() {
    let jumpd = Fake::new(|question| {
        if matches!(question, Request::OwnRecoveryCodes { .. }) {
            std::thread::sleep(jump_proto::TIMEOUT + std::time::Duration::from_millis(500));
        }
        Answer::Say(friendly(question))
    });
    let mut terminal = Terminal::with(jumpd, &[("TERM", "xterm")], &[]);
    terminal.press("mfa recovery-codes\r");
    terminal.wait_for("Code of your authenticator now: ", 1);
    terminal.press(&format!("{CODE}\r"));
    terminal.wait_for("abcd-efgh-jkmn-pqrs", 1);
    leaves(terminal);
}

fn codes_that_may_be_void_are_said_to_be() {
    let jumpd = Fake::new(|question| match question {
        Request::OwnRecoveryCodes { .. } => panic!("a jumpd that is killed"),
        other => Answer::Say(friendly(other)),
    });
    let mut terminal = Terminal::with(jumpd, &[("TERM", "xterm")], &[]);
    terminal.press("mfa recovery-codes\r");
    terminal.wait_for("Code of your authenticator now: ", 1);
    terminal.press(&format!("{CODE}\r"));
    terminal.wait_for("Your recovery codes may be void", 1);
    let asked = terminal.jumpd.asked();
    let times = asked
        .iter()
        .filter(|asked| asked.contains("Recovery"))
        .count();
    assert!(times <= 1, "{asked:?}");
    leaves(terminal);
}

/// `ssh -t BASTION mfa recovery-codes`.
fn a_command_asks_for_the_code_too() {
    let arguments = ["-c", "mfa recovery-codes"];
    let mut terminal = Terminal::with(Fake::friendly(), &[("TERM", "xterm")], &arguments);
    terminal.wait_for("Code of your authenticator now: ", 1);
    terminal.press(&format!("{CODE}\r"));
    terminal.wait_for("abcd-efgh-jkmn-pqrs", 1);
    assert_eq!(terminal.status(), Some(0));
}
