//! One test after the other, as Debian's own `run-tests` runs them.

use crate::cases::Case;
use crate::host::{Host, SSHD_ON_A_SOCKET, TESTS};
use anyhow::{Result, ensure};
use jump_lab::journal::{Entry, Mark};
use jump_lab::process::{Invocation, Output};
use jump_lab::story::PATIENCE;
use std::collections::BTreeMap;
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
    /// Whatever was refused: the event, its reason and where it was to go.
    pub(crate) refusals: BTreeMap<String, usize>,
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
pub(crate) fn run_all(host: &Host, cases: &[&Case]) -> Result<Vec<Told>> {
    cases
        .iter()
        .map(|case| {
            let told = run(host, case)?;
            eprintln!("regress: {} {}: {}", host.seat.user, case.name, told.word());
            Ok(told)
        })
        .collect()
}

fn run(host: &Host, case: &Case) -> Result<Told> {
    let begin = Instant::now();
    if host.file(&format!("{}.sh", case.name)).is_empty() {
        return Ok(Told {
            who: host.seat.user,
            verdict: Verdict::Absent,
            sessions: 0,
            allowed: 0,
            refusals: BTreeMap::new(),
            took: begin.elapsed(),
        });
    }
    let mark = host.bastion.journal.mark();
    host.forget("failed-regress.log");
    let output = make(host, case).run();
    let took = begin.elapsed();
    catch_up(host, mark, case.name)?;
    let about = |entry: &Entry| entry.get("JUMP_USER") == host.seat.user;
    let events = host.bastion.journal.since(mark, about);
    let count = |kind: &str| events.iter().filter(|entry| entry.is(kind)).count();
    let mut refusals = BTreeMap::new();
    for event in &events {
        if event.get("JUMP_OUTCOME") == "failure" {
            *refusals.entry(refusal_in_words(event)).or_default() += 1;
        }
    }
    let mut told = Told {
        who: host.seat.user,
        verdict: Verdict::Passed,
        sessions: count("session.opened"),
        allowed: count("forward.allowed"),
        refusals,
        took,
    };
    told.verdict = judge(host, case, output, &told);
    Ok(told)
}

/// Event, reason and what was refused: an address and port, or a system call.
fn refusal_in_words(event: &Entry) -> String {
    let fields = ["JUMP_EVENT", "JUMP_REASON", "JUMP_DST_IP", "JUMP_DST_PORT"];
    let mut words = fields.map(|field| event.get(field)).to_vec();
    if event.get("JUMP_REASON") == "forbidden_call" {
        let detail = event.get("JUMP_DETAIL");
        words.extend(detail.split([' ', ':']).next());
    }
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

/// Waits until everything that was written down before now has arrived here.
fn catch_up(host: &Host, mark: Mark, test: &str) -> Result<()> {
    let said = format!("the end of {test}");
    host.bastion
        .command("logger")
        .args(["-t", "regress", &said])
        .run()?
        .success()?;
    let end = |entry: &Entry| entry.message() == said;
    let seen = host.bastion.journal.wait(mark, 1, PATIENCE, end);
    ensure!(!seen.is_empty(), "the journal does not go on");
    Ok(())
}

/// The same words as in Debian's `run-tests`.
fn make(host: &Host, case: &Case) -> Invocation {
    let mut words = vec![
        "-C".to_owned(),
        TESTS.to_owned(),
        "t-exec".to_owned(),
        format!("LTESTS={}", case.name),
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
    words.extend([".OBJDIR", ".CURDIR", "BUILDDIR", "OBJ"].map(|name| format!("{name}={TESTS}")));
    if host.seat.guarded
        && case
            .refusal
            .as_ref()
            .is_none_or(|refusal| !refusal.on_a_pipe)
    {
        words.push(format!("TEST_SSH_SSHD={SSHD_ON_A_SOCKET}"));
    }
    host.command("make").args(words).patience(LONGEST)
}

fn judge(host: &Host, case: &Case, output: Result<Output>, told: &Told) -> Verdict {
    let output = match output {
        Ok(output) => output,
        Err(trouble) => return Verdict::Red(format!("{trouble:#}")),
    };
    let said = output.text();
    let failures = said_failures(&host.file("failed-regress.log"));
    let refusal = case.refusal.as_ref().filter(|_| host.seat.guarded);
    let expected = refusal.map_or(&[][..], |refusal| refusal.failures);
    let known = refusal.map_or(&[][..], |refusal| refusal.events);
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
    // The proof that the tests went through us, or past us: the sessions in the journal.
    let opened = host.seat.guarded && refusal.is_none_or(|refusal| !refusal.on_a_pipe);
    if opened != (told.sessions > 0) {
        let _infallible = writeln!(trouble, "{} sessions were opened", told.sessions);
    }
    if !told.refusals.keys().eq(known) {
        let _infallible = writeln!(
            trouble,
            "expected the refusals {known:#?}, there were {:#?}",
            told.refusals
        );
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
fn said_failures(log: &str) -> Vec<String> {
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
