//! What the shell answers, and what it refuses.

use crate::Tests;
use crate::fake::{Answer, Fake, friendly, info, other_session, reach};
use crate::shell::{run, run_typed, shell, wait_until, worked};
use jump_proto::{MfaUser, Reach, Reason, Reply, Request, SessionInfo};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

pub(crate) fn tests() -> Tests {
    crate::tests![
        who_am_i,
        where_may_i_go,
        answers_for_a_program_are_json,
        which_sessions_have_i,
        one_of_mine_is_ended,
        what_second_factor_have_i,
        recovery_codes_need_a_terminal,
        help_tells_the_way_through,
        the_wish_is_announced_before_it_is_answered,
        everything_else_is_refused_and_written_down,
        bytes_that_are_no_text_are_refused,
        the_trail_holds_a_kilobyte_of_a_refused_command,
        nothing_of_a_refused_command_steers_the_terminal,
        a_refusal_stands_without_jumpd,
        without_jumpd_nothing_is_answered,
        a_jumpd_that_hangs_is_not_waited_for,
        jumpd_says_no,
        a_program_writes_commands,
        an_input_that_does_not_block_is_waited_for,
        jumpd_is_restarted_between_two_commands,
        an_interactive_shell_outlives_jumpd,
        the_status_is_that_of_the_last_command,
        options_are_refused,
        the_installed_program_is_asked_through_sshd,
    ]
}

fn who_am_i() {
    let jumpd = Fake::friendly();
    let said = run(&jumpd.socket(), "whoami");
    assert_eq!((said.status, said.err.as_str()), (Some(0), ""));
    for line in [
        "user           alice (uid 70001)",
        "session        07070707070707070707070707070707",
        "from           10.1.2.3 port 51122",
        "second factor  totp",
        "key            SHA256:abc",
        "confinement    session: seccomp+landlock7; shell: seccomp",
    ] {
        assert!(said.out.contains(line), "{line} in {}", said.out);
    }
    assert!(
        said.out.contains("no session may last longer"),
        "{}",
        said.out
    );
}

fn where_may_i_go() {
    let jumpd = Fake::friendly();
    let said = run(&jumpd.socket(), "targets");
    assert_eq!((said.status, said.err.as_str()), (Some(0), ""));
    assert!(
        said.out
            .contains("databases  db1.example.internal  22     forward, shell  dba-office  "),
        "{}",
        said.out
    );
}

fn answers_for_a_program_are_json() {
    let jumpd = Fake::new(|question| {
        let mut reply = friendly(question);
        if let Reply::Whoami(info) = &mut reply {
            info.user = "al\u{1b}\u{9b}ice\u{202e}".into();
        }
        Answer::Say(reply)
    });
    let said = run(&jumpd.socket(), "whoami --json");
    assert!(
        said.out
            .trim_end()
            .bytes()
            .all(|b| (0x20..0x7f).contains(&b)),
        "{}",
        said.out
    );
    let parsed: SessionInfo = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (parsed.user.as_str(), parsed.session),
        ("al\u{1b}\u{9b}ice\u{202e}", info().session)
    );
    let said = run(&jumpd.socket(), "targets --json");
    let parsed: Vec<Reach> = serde_json::from_str(&said.out).unwrap();
    assert_eq!(parsed[0].rule, reach().rule);
}

fn which_sessions_have_i() {
    let jumpd = Fake::friendly();
    let said = run(&jumpd.socket(), "sessions");
    assert_eq!((said.status, said.err.as_str()), (Some(0), ""));
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", said.out);
    assert!(lines[0].starts_with("SESSION"), "{}", said.out);
    assert!(
        lines[1].starts_with("07070707070707070707070707070707  10.1.2.3")
            && lines[1].ends_with("  this one"),
        "{}",
        said.out
    );
    assert!(
        lines[2].starts_with("08080808080808080808080808080808") && lines[2].ends_with("  3"),
        "{}",
        said.out
    );
    let said = run(&jumpd.socket(), "sessions --json");
    let parsed: Vec<SessionInfo> = serde_json::from_str(&said.out).unwrap();
    assert_eq!(parsed[1].session, other_session().session);
}

fn one_of_mine_is_ended() {
    let jumpd = Fake::friendly();
    let wish = format!("sessions end {}", other_session().session);
    let said = run(&jumpd.socket(), &wish);
    assert_eq!((said.status, said.err.as_str()), (Some(0), ""));
    assert!(said.out.ends_with("is being ended.\n"), "{}", said.out);
    let said = run(
        &jumpd.socket(),
        "sessions end 09090909090909090909090909090909",
    );
    assert_eq!((said.status, said.out.as_str()), (Some(1), ""));
    assert!(
        said.err.contains("You have no session of that name"),
        "{}",
        said.err
    );
    // The beginning of a name will do, where it is of one only.
    let said = run(&jumpd.socket(), "sessions end 08");
    assert_eq!((said.status, said.err.as_str()), (Some(0), ""));
    for (beginning, answer) in [
        ("0", "More than one session"),
        ("ff", "No session of yours"),
    ] {
        let said = run(&jumpd.socket(), &format!("sessions end {beginning}"));
        assert_eq!((said.status, said.out.as_str()), (Some(1), ""));
        assert!(said.err.contains(answer), "{}", said.err);
    }
    // What is no session's name is no command, and nothing is asked of jumpd but to note it.
    let said = run(&jumpd.socket(), "sessions end x");
    assert_eq!(said.status, Some(126));
    assert!(said.err.contains("sessions end SESSION"), "{}", said.err);
    assert_eq!(jumpd.refused(), ["sessions end x"]);
}

fn what_second_factor_have_i() {
    let jumpd = Fake::friendly();
    let said = run(&jumpd.socket(), "mfa");
    assert_eq!((said.status, said.err.as_str()), (Some(0), ""));
    assert!(said.out.contains("recovery codes 8 left"), "{}", said.out);
    let said = run(&jumpd.socket(), "mfa --json");
    let parsed: MfaUser = serde_json::from_str(&said.out).unwrap();
    assert_eq!(parsed.recovery_codes_left, 8);
}

fn recovery_codes_need_a_terminal() {
    let jumpd = Fake::friendly();
    let said = run(&jumpd.socket(), "mfa recovery-codes");
    assert_eq!((said.status, said.out.as_str()), (Some(2), ""));
    assert!(
        said.err
            .contains("at a terminal only: ssh -t BASTION mfa recovery-codes"),
        "{}",
        said.err
    );
    let said = run_typed(&jumpd.socket(), b"mfa recovery-codes\n123456\n");
    assert_eq!(said.out, "");
    assert!(
        jumpd
            .asked()
            .iter()
            .all(|asked| !asked.contains("Recovery"))
    );
}

fn help_tells_the_way_through() {
    let jumpd = Fake::friendly();
    let said = run(&jumpd.socket(), "help");
    for word in [
        "targets",
        "whoami",
        "connect HOST PORT",
        "sessions end SESSION",
        "mfa recovery-codes",
        "ssh -J",
        "scp -J",
        "rsync",
    ] {
        assert!(said.out.contains(word), "{word}");
    }
}

fn the_wish_is_announced_before_it_is_answered() {
    let jumpd = Fake::friendly();
    run(&jumpd.socket(), "targets --json");
    assert_eq!(
        jumpd.asked(),
        vec!["Whoami { command: Some(\"targets --json\") }", "Targets"]
    );
}

/// Attacks A12, A13 and A45.
const NOT_COMMANDS: &[&str] = &[
    "",
    "  ",
    "sh",
    "/bin/sh -c id",
    "sh -i",
    "bash",
    "help; sh",
    "help\nsh",
    "$(sh)",
    "scp -t /tmp/x",
    "scp -t x; sh",
    "rsync --server -vlogDtpre.iLsfxCIvu . /tmp; sh",
    "internal-sftp",
    "/usr/lib/openssh/sftp-server",
    "sftp-server; sh",
    "git-upload-pack 'x.git'",
    "mosh-server new -s -c 256",
    "connect 127.0.0.1",
    "connect /run/jump/jumpd.sock 1",
    "--",
    "-c help",
];

fn everything_else_is_refused_and_written_down() {
    let jumpd = Fake::friendly();
    for wish in NOT_COMMANDS {
        let said = run(&jumpd.socket(), wish);
        assert_eq!(
            (said.status, said.out.as_str()),
            (Some(126), ""),
            "{wish:?}"
        );
        assert_eq!(said.err.lines().count(), 1, "{wish:?}: {}", said.err);
        assert!(said.err.contains("is not a command here"), "{}", said.err);
    }
    assert_eq!(jumpd.refused(), NOT_COMMANDS);
}

fn bytes_that_are_no_text_are_refused() {
    let jumpd = Fake::friendly();
    let wish = std::ffi::OsStr::from_bytes(b"whoami \xff\xfe");
    let output = shell(&jumpd.socket()).arg("-c").arg(wish).output().unwrap();
    assert_eq!(output.status.code(), Some(126));
    assert_eq!(jumpd.refused(), vec!["whoami \u{fffd}\u{fffd}"]);
}

fn the_trail_holds_a_kilobyte_of_a_refused_command() {
    let jumpd = Fake::friendly();
    let said = run(&jumpd.socket(), &"x".repeat(100_000));
    assert_eq!(said.status, Some(126));
    assert!(said.err.len() < 1000, "{} bytes", said.err.len());
    assert_eq!(jumpd.refused()[0].len(), 1024);
}

fn nothing_of_a_refused_command_steers_the_terminal() {
    let jumpd = Fake::friendly();
    let said = run(&jumpd.socket(), "\u{1b}]52;c;eA==\u{7}\r\u{202e}\u{9b}2J");
    assert_eq!(said.status, Some(126));
    assert!(
        said.err
            .trim_end()
            .chars()
            .all(|c| !c.is_control() && c != '\u{202e}'),
        "{:?}",
        said.err
    );
}

fn a_refusal_stands_without_jumpd() {
    let said = run(Path::new("/nonexistent/shell.sock"), "scp -t x");
    assert_eq!((said.status, said.err.lines().count()), (Some(126), 1));
}

fn without_jumpd_nothing_is_answered() {
    for wish in ["whoami", "targets", "help", "connect db1 22", "exit"] {
        let said = run(Path::new("/nonexistent/shell.sock"), wish);
        assert_eq!((said.status, said.out.as_str()), (Some(1), ""), "{wish}");
        assert!(
            said.err
                .starts_with("jump-shell: The jump server cannot answer now"),
            "{}",
            said.err
        );
    }
}

fn a_jumpd_that_hangs_is_not_waited_for() {
    let jumpd = Fake::new(|_| Answer::Nothing);
    let begun = std::time::Instant::now();
    let said = run(&jumpd.socket(), "whoami");
    assert_eq!(said.status, Some(1));
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
}

fn jumpd_says_no() {
    let jumpd = Fake::new(|question| match question {
        Request::Resolve { .. } => Answer::Say(Reply::Refused {
            reason: Reason::OutsideWindow,
            message: "Outside your access window;\u{1b}[2J it opens Mon 08:00.".into(),
        }),
        other => Answer::Say(friendly(other)),
    });
    let said = run(&jumpd.socket(), "connect db1.example.internal 22");
    assert_eq!((said.status, said.out.as_str()), (Some(1), ""));
    assert_eq!(
        said.err,
        "jump-shell: Outside your access window;\\u{1b}[2J it opens Mon 08:00.\n"
    );
    assert_eq!(
        jumpd.asked(),
        vec![
            "Whoami { command: Some(\"connect db1.example.internal 22\") }",
            "Resolve { host: \"db1.example.internal\", port: 22 }",
        ]
    );
}

fn a_program_writes_commands() {
    let jumpd = Fake::friendly();
    let said = run_typed(&jumpd.socket(), b"whoami\n\nrm -rf /\ntargets --json");
    assert_eq!(said.status, Some(0));
    assert!(said.out.starts_with("user           alice"), "{}", said.out);
    assert!(!said.out.contains("jump>"), "{}", said.out);
    assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    assert_eq!(jumpd.asked()[0], "Whoami { command: None }");
    assert_eq!(jumpd.refused(), vec!["rm -rf /"]);
}

fn an_input_that_does_not_block_is_waited_for() {
    let jumpd = Fake::friendly();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let child = shell(&jumpd.socket())
        .stdin(OwnedFd::from(theirs))
        .spawn()
        .unwrap();
    wait_until("the first question", || !jumpd.asked().is_empty());
    let before = worked(&child);
    std::thread::sleep(std::time::Duration::from_millis(400));
    assert!(worked(&child) - before <= 2);
    ours.write_all(b"whoami\n").unwrap();
    drop(ours);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
}

fn jumpd_is_restarted_between_two_commands() {
    let jumpd = Fake::new(|question| Answer::Last(friendly(question)));
    let said = run_typed(&jumpd.socket(), b"whoami\ntargets\nwhoami\n");
    assert_eq!((said.status, said.err.as_str()), (Some(0), ""));
    assert_eq!(jumpd.asked().len(), 4);
}

fn an_interactive_shell_outlives_jumpd() {
    let said = run_typed(Path::new("/nonexistent/shell.sock"), b"whoami\nhelp\n");
    assert_eq!(said.status, Some(0));
    assert_eq!(
        said.err.matches("cannot answer now").count(),
        2,
        "{}",
        said.err
    );
    assert!(said.out.contains("connect HOST PORT"), "{}", said.out);
}

fn the_status_is_that_of_the_last_command() {
    let jumpd = Fake::friendly();
    for (typed, status) in [
        ("", 0),
        ("sh\n", 126),
        ("sh\nwhoami\n", 0),
        ("sh\nexit\nsh\n", 0),
    ] {
        assert_eq!(
            run_typed(&jumpd.socket(), typed.as_bytes()).status,
            Some(status),
            "{typed:?}"
        );
    }
}

fn options_are_refused() {
    let jumpd = Fake::friendly();
    for options in [
        &["-i"][..],
        &["--", "help"],
        &["-c"],
        &["-c", "help", "x"],
        &["help"],
    ] {
        let output = shell(&jumpd.socket()).args(options).output().unwrap();
        assert_eq!(output.status.code(), Some(126), "{options:?}");
    }
    assert_eq!(jumpd.refused()[1], "-- help");
}

/// The program itself, as sshd starts it under `ForceCommand`: it begins again
/// without its environment, and the command survives that.
fn the_installed_program_is_asked_through_sshd() {
    let program = env!("CARGO_BIN_EXE_jump-shell");
    for (wish, status, said) in [
        (Some("scp -t x"), 126, "\"scp -t x\" is not a command"),
        (Some(""), 126, "\"\" is not a command"),
        (Some("whoami"), 1, "cannot answer now"),
        (None, 1, "cannot answer now"),
    ] {
        let mut command = std::process::Command::new(program);
        command
            .args(["-c", "/usr/bin/jump-shell"])
            .stdin(std::process::Stdio::null());
        command
            .env("LD_BIND_NOW", "1")
            .env("TZ", ":/etc/shadow")
            .env("TERM", "../x");
        if let Some(wish) = wish {
            command.env("SSH_ORIGINAL_COMMAND", wish);
        }
        let output = command.output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{wish:?}: {err}");
        assert!(err.contains(said), "{wish:?}: {err}");
    }
}
