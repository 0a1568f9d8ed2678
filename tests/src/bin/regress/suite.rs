//! One test after the other, as Debian's own `run-tests` runs them.

use crate::cases::Case;
use crate::host::{Host, SSHD_ON_A_SOCKET, TESTS};
use anyhow::Result;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// The longest of them takes a minute or two on an idle machine.
const LONGEST: Duration = Duration::from_secs(600);
/// How much of a test's output is shown when it is red.
const SHOWN: usize = 6000;

/// What came of a test.
#[derive(Debug)]
pub(crate) enum Verdict {
    Passed,
    /// It failed where it should, and nowhere else.
    Refused,
    /// This release does not have it.
    Absent,
    Red(String),
}

/// What came of a test, and what the journal says of it.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) who: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) sessions: usize,
    pub(crate) allowed: usize,
    pub(crate) denied: usize,
    took: Duration,
}

impl Told {
    pub(crate) fn is_red(&self) -> bool {
        matches!(self.verdict, Verdict::Red(_))
    }

    pub(crate) fn word(&self) -> String {
        let word = match self.verdict {
            Verdict::Passed => "passed",
            Verdict::Refused => "refused as it should",
            Verdict::Absent => return "absent".into(),
            Verdict::Red(_) => "RED",
        };
        format!("{word}, {} s", self.took.as_secs())
    }
}

/// Runs the tests on a host.
pub(crate) fn run_all(host: &Host, suite: &str, cases: &[&Case]) -> Result<Vec<Told>> {
    cases
        .iter()
        .map(|case| {
            let told = run(host, suite, case)?;
            eprintln!("regress: {} {}: {}", host.seat.user, case.name, told.word());
            Ok(told)
        })
        .collect()
}

fn run(host: &Host, suite: &str, case: &Case) -> Result<Told> {
    let begin = Instant::now();
    let mark = host.bastion.journal.mark();
    let count = |kind: &str| {
        let mine =
            |entry: &jump_lab::journal::Entry| entry.is(kind) && entry.get("JUMP_USER") == host.seat.user;
        host.bastion.journal.since(mark, mine).len()
    };
    let verdict = if host.file(&format!("{}.sh", case.name)).is_empty() {
        Verdict::Absent
    } else {
        host.forget("failed-regress.log");
        let output = make(host, case.name).run();
        judge(host, suite, case, output, count("session.opened"))
    };
    Ok(Told {
        who: host.seat.user,
        verdict,
        sessions: count("session.opened"),
        allowed: count("forward.allowed"),
        denied: count("forward.denied"),
        took: begin.elapsed(),
    })
}

/// The same words as in Debian's `run-tests`.
fn make(host: &Host, test: &str) -> jump_lab::process::Invocation {
    let mut words = vec![
        "-C".to_owned(),
        TESTS.to_owned(),
        "t-exec".to_owned(),
        format!("LTESTS={test}"),
        "TEST_SHELL=/bin/sh".to_owned(),
        "SUDO=sudo".to_owned(),
        "TEST_SSH_SSH=/usr/bin/ssh".to_owned(),
        "TEST_SSH_SFTPSERVER=/usr/lib/openssh/sftp-server".to_owned(),
        "TEST_SSH_SSHD_SESSION=/usr/lib/openssh/sshd-session".to_owned(),
        "TEST_SSH_SSHD_AUTH=/usr/lib/openssh/sshd-auth".to_owned(),
        "TEST_SSH_SSHD_CONFOPTS=UsePAM yes".to_owned(),
        "TEST_SSH_UNSAFE_PERMISSIONS=1".to_owned(),
        "TEST_SSH_IPV6=yes".to_owned(),
        "TEST_SSH_ECC=yes".to_owned(),
    ];
    words.extend(
        [".OBJDIR", ".CURDIR", "BUILDDIR", "OBJ"].map(|name| format!("{name}={TESTS}")),
    );
    if host.seat.guarded {
        words.push(format!("TEST_SSH_SSHD={SSHD_ON_A_SOCKET}"));
    }
    host.command("make").args(words).patience(LONGEST)
}

fn judge(
    host: &Host,
    suite: &str,
    case: &Case,
    output: Result<jump_lab::process::Output>,
    sessions: usize,
) -> Verdict {
    let output = match output {
        Ok(output) => output,
        Err(trouble) => return Verdict::Red(format!("{trouble:#}")),
    };
    let said = output.text();
    let failures = failures(&host.file("failed-regress.log"));
    let expected = if host.seat.guarded {
        case.failures(suite)
    } else {
        &[]
    };
    let mut trouble = String::new();
    if said.contains("SKIPPED") {
        trouble.push_str("it skipped something\n");
    }
    if (output.code() == 0) != expected.is_empty() || failures != expected {
        let _infallible = writeln!(
            trouble,
            "exit code {}; expected {expected:#?}, and it failed by {failures:#?}",
            output.code()
        );
    }
    if host.seat.guarded != (sessions > 0) {
        let _infallible = writeln!(trouble, "{sessions} sessions were opened");
    }
    if !trouble.is_empty() {
        let all = format!("{said}\n{}", output.stderr);
        let from = all.len().saturating_sub(SHOWN);
        let shown: String = all.chars().skip(from).collect();
        return Verdict::Red(format!("{trouble}{shown}"));
    }
    if expected.is_empty() {
        Verdict::Passed
    } else {
        Verdict::Refused
    }
}

/// What the test says has failed, each line once, in its order.
fn failures(log: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in log.lines() {
        let Some(what) = line.strip_prefix("FAIL: ") else {
            continue;
        };
        let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
        if !found.contains(&what) {
            found.push(what);
        }
    }
    found
}
