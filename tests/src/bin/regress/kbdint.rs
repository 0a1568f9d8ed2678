//! The prompt, asked as OpenSSH's own `kbdint` test asks it: right, wrong,
//! wrong and then right, empty, a hundred characters, and ninety answers.
//!
//! A test of ours, because a one-time code is accepted once: every right
//! answer here is a fresh one. The login goes to the host's own sshd, as
//! `jumpctl setup` has set it up.

use crate::host::{Host, PROMPTED};
use anyhow::{Result, ensure};
use jump_lab::authenticator::Authenticator;
use jump_lab::journal::{Entry, Mark};
use jump_lab::process::Output;
use jump_lab::story::PATIENCE;

/// Answers the n-th prompt with the n-th line, like the askpass of OpenSSH's test.
const ASKPASS: &str =
    "#!/bin/sh\ncd /srv/kbdint\nhead -n 1 answers\nsed -i 1d answers\necho asked >>asked\n";
/// sshd's `MaxAuthTries` counts prompts too.
const MOST_PROMPTS: usize = 6;
/// `[mfa] attempts` where the policy does not say.
const ATTEMPTS: usize = 5;

/// Tries all of them; what each came to.
pub(crate) fn run(host: &Host) -> Result<Vec<String>> {
    let prompt = Prompt::prepare(host)?;
    let mut codes =
        Authenticator::from_enrolment(&prompt.jumpctl("mfa enroll prompted --no-confirm --json")?)?;
    let wrong = codes.wrong_code();
    let mut told = Vec::new();

    let mark = host.bastion.journal.mark();
    prompt.login(&[codes.code()?], 3)?.success()?;
    prompt.came_in(mark)?;
    told.push("right: in".to_owned());

    let mark = host.bastion.journal.mark();
    prompt.login(&[&wrong], 1)?.failure()?;
    prompt.expect(mark, "mfa.failed", 1)?;
    prompt.nobody_came_in(mark)?;
    told.push("wrong: refused".to_owned());

    let mark = host.bastion.journal.mark();
    prompt.login(&[&wrong, &codes.code()?], 3)?.success()?;
    prompt.expect(mark, "mfa.failed", 1)?;
    prompt.came_in(mark)?;
    told.push("wrong, then right: in".to_owned());

    for (name, answer) in [
        ("empty", String::new()),
        ("100 characters", "0123456789".repeat(10)),
    ] {
        let mark = host.bastion.journal.mark();
        prompt.login(&[answer], 1)?.failure()?;
        prompt.expect(mark, "mfa.failed", 1)?;
        prompt.nobody_came_in(mark)?;
        told.push(format!("{name}: refused"));
    }

    prompt.jumpctl("mfa unlock prompted")?;
    let mark = host.bastion.journal.mark();
    let lines: Vec<String> = (0..90).map(|n| (n % 9 + 1).to_string()).collect();
    prompt.login(&lines, 90)?.failure()?;
    prompt.expect(mark, "mfa.locked", 1)?;
    prompt.nobody_came_in(mark)?;
    let asked = prompt.asked();
    ensure!(
        (ATTEMPTS..=MOST_PROMPTS).contains(&asked),
        "asked {asked} times"
    );
    told.push(format!(
        "90 lines: refused and locked after {asked} prompts"
    ));

    // Locked means locked for the right code too, until an operator says otherwise.
    let mark = host.bastion.journal.mark();
    prompt.login(&[codes.code()?], 1)?.failure()?;
    prompt.nobody_came_in(mark)?;
    prompt.jumpctl("mfa unlock prompted")?;
    let mark = host.bastion.journal.mark();
    prompt.login(&[codes.code()?], 1)?.success()?;
    prompt.came_in(mark)?;
    told.push("unlocked, right: in".to_owned());
    Ok(told)
}

struct Prompt<'h> {
    host: &'h Host,
}

impl<'h> Prompt<'h> {
    fn prepare(host: &'h Host) -> Result<Self> {
        let machine = &host.bastion;
        machine.shell("mkdir /srv/kbdint").run()?.success()?;
        crate::host::install_program(machine, "/srv/kbdint/askpass", ASKPASS)?;
        Ok(Self { host })
    }

    fn jumpctl(&self, words: &str) -> Result<String> {
        Ok(self.host.bastion.jumpctl(words)?.success()?.text())
    }

    /// A login with these answers, in order, one a prompt.
    fn login<S: AsRef<str>>(&self, answers: &[S], prompts: usize) -> Result<Output> {
        let machine = &self.host.bastion;
        let lines: String = answers
            .iter()
            .map(|answer| format!("{}\n", answer.as_ref()))
            .collect();
        machine.write("/srv/kbdint/answers", lines)?;
        machine.write("/srv/kbdint/asked", "")?;
        machine
            .command("ssh")
            .args(["-F", "none", "-i", "/root/key", "-o", "IdentitiesOnly=yes"])
            .args(["-o", "StrictHostKeyChecking=no", "-o"])
            .args([format!("NumberOfPasswordPrompts={prompts}")])
            .args([format!("{PROMPTED}@127.0.0.1"), "true".to_owned()])
            .env("SSH_ASKPASS", "/srv/kbdint/askpass")
            .env("SSH_ASKPASS_REQUIRE", "force")
            .run()
    }

    fn asked(&self) -> usize {
        let asked = self.host.bastion.read("/srv/kbdint/asked");
        asked.map_or(0, |text| text.lines().count())
    }

    fn about_the_user(kind: &str) -> impl Fn(&Entry) -> bool + '_ {
        move |entry| entry.is(kind) && entry.get("JUMP_USER") == PROMPTED
    }

    fn expect(&self, mark: Mark, kind: &str, count: usize) -> Result<()> {
        let found =
            self.host
                .bastion
                .journal
                .wait(mark, count, PATIENCE, Self::about_the_user(kind));
        ensure!(
            found.len() == count,
            "expected {count} {kind}, there are {}",
            found.len()
        );
        Ok(())
    }

    /// Once, from the prompt to the end of the session.
    fn came_in(&self, mark: Mark) -> Result<()> {
        for kind in [
            "mfa.ok",
            "access.allowed",
            "session.opened",
            "session.closed",
        ] {
            self.expect(mark, kind, 1)?;
        }
        Ok(())
    }

    fn nobody_came_in(&self, mark: Mark) -> Result<()> {
        for kind in ["mfa.ok", "access.allowed", "session.opened"] {
            let found = self
                .host
                .bastion
                .journal
                .since(mark, Self::about_the_user(kind));
            ensure!(found.is_empty(), "{kind}: {found:?}");
        }
        Ok(())
    }
}
