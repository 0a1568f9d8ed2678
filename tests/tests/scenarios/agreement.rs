//! Explain equals enforcement, with everything real: `jumpctl explain`, a login through PAM, and `ssh -W` through the guard.
//!
//! jumpd's own property test asks hundreds of such questions of one process;
//! here a few go the whole way. The cases are put together at random from a
//! seed that a failure names; `JUMP_SEED` tells another.

use anyhow::{Context, Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::journal::Entry;
use jump_lab::lab::Lab;
use jump_lab::network::{BASTION, CLIENT, DB1, DB2, ECHO, QUARTER, UNLISTED};
use jump_lab::policy::window_closed_now;
use jump_lab::process::Running;
use jump_lab::story::PATIENCE;
use serde_json::Value;
use std::fmt::Write as _;

/// Each gives one code per login, of the ten recovery codes of an enrolment.
const ADMINS: [&str; 3] = ["wilma", "xaver", "yvonne"];
const CASES_EACH: usize = 8;
const PLACES: usize = 3;
const SEED: u64 = 20261123;

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).unwrap_or(0)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        let index = self.roll(from.len());
        from.get(index).copied().unwrap_or_default()
    }
}

/// An answer: yes or no, the reason, the rule.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    allowed: bool,
    reason: String,
    rule: String,
}

impl Answer {
    fn of_event(event: &Entry) -> Self {
        Self {
            allowed: event.get("JUMP_OUTCOME") == "success",
            reason: event.get("JUMP_REASON").to_owned(),
            rule: event.get("JUMP_RULE").to_owned(),
        }
    }
}

/// The lines of an admin's table, and rules, targets and windows of their own.
fn policy(dice: &mut Dice, name: &str) -> (String, String) {
    let user = dice.pick(&[
        "",
        "",
        "",
        "",
        "valid_until = 2026-01-01",
        "valid_from = 2099-01-01",
        "valid_until = 2099-01-01",
    ]);
    let (closed, _) = window_closed_now(&format!("{name}-closed"));
    let mut text = format!(
        "[targets.{name}-one]\nhosts = [\"db1\"]\nports = [{ECHO}]\n\
         [targets.{name}-two]\nhosts = [\"10.77.2.0/24\"]\nports = [{ECHO}, \"{QUARTER}-9010\"]\n\
         [targets.{name}-six]\nhosts = [\"fd77:2::/64\"]\nports = [\"1-65535\"]\n\
         [windows.{name}-open]\ndays = [\"mon-sun\"]\nhours = [\"00:00-24:00\"]\n{closed}"
    );
    let rules = 1 + dice.roll(3);
    for number in 0..rules {
        let effect = dice.pick(&["allow", "allow", "deny"]);
        let target = dice.pick(&["one", "two", "six", "two"]);
        let from = dice.pick(&[
            "",
            "",
            "from = [\"10.77.1.0/24\"]",
            "from = [\"10.77.1.99\"]",
            "from = [\"fd77:1::/64\", \"10.77.1.20\"]",
        ]);
        let window = dice.pick(&["", "", "open", "closed"]);
        let window = if window.is_empty() {
            String::new()
        } else {
            format!("windows = [\"{name}-{window}\"]")
        };
        let via = dice.pick(&["", "", "via = [\"forward\"]", "via = [\"shell\"]"]);
        let _infallible = write!(
            text,
            "[[rules]]\nname = \"{name}-{number}\"\neffect = \"{effect}\"\nusers = [\"{name}\"]\n\
             targets = [\"{name}-{target}\"]\n{from}\n{window}\n{via}\n"
        );
    }
    (user.to_owned(), text)
}

fn place(dice: &mut Dice) -> String {
    let host = match dice.roll(5) {
        0 => "db1".to_owned(),
        1 => DB1.address().to_owned(),
        2 => DB2.address().to_owned(),
        3 => format!("[{}]", DB1.address6()),
        _ => format!("[::ffff:{}]", DB1.address()),
    };
    let port = [ECHO, ECHO, QUARTER, UNLISTED][dice.roll(4)];
    format!("{host}:{port}")
}

/// What `jumpctl explain` says.
fn explained(lab: &Lab, name: &str, place: &str, from: &str) -> Result<Answer> {
    let output = lab.jumpctl(&format!("explain {name} {place} --from {from} --json"))?;
    let json: Value = serde_json::from_str(&output.text()).with_context(|| output.to_string())?;
    let text = |key: &str| {
        json.get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let allowed = json
        .get("allowed")
        .and_then(Value::as_bool)
        .unwrap_or_default();
    ensure!(allowed == (output.code() == 0), "{output}");
    Ok(Answer {
        allowed,
        reason: text("reason"),
        rule: text("rule"),
    })
}

/// Logs in; what PAM said, unless sshd refused the key before, and the connection if there is one.
fn log_in(lab: &Lab, admin: &Admin<'_>, from: &str) -> Result<(Option<Answer>, Option<Running>)> {
    let bastion = if from.contains(':') {
        BASTION.address6()
    } else {
        BASTION.address()
    };
    let code = admin.authenticator()?.recovery_code()?;
    let mark = lab.journal.mark();
    let mut master = admin
        .seat
        .answering(&[code])?
        .ssh([
            "-M",
            "-S",
            "master",
            "-N",
            "-v",
            "-b",
            from,
            "-l",
            admin.name(),
            "-o",
            "NumberOfPasswordPrompts=1",
            bastion,
        ])
        .start()?;
    let inside = master
        .wait_for("Entering interactive session", PATIENCE)
        .is_ok();
    let mine = |e: &Entry| e.get("JUMP_USER") == admin.name();
    let answers = |e: &Entry| mine(e) && (e.is("access.allowed") || e.is("access.denied"));
    if inside {
        lab.journal
            .wait(mark, 1, PATIENCE, |e| mine(e) && e.is("session.opened"));
    }
    let said = lab.journal.since(mark, answers);
    ensure!(said.len() <= 1, "PAM was asked {} times", said.len());
    let said = said.first().map(Answer::of_event);
    ensure!(
        inside == said.as_ref().is_some_and(|said| said.allowed),
        "inside: {inside}, PAM said {said:?}"
    );
    Ok((said, inside.then_some(master)))
}

/// What the guard says to a connection over the open session.
fn connected(lab: &Lab, admin: &Admin<'_>, place: &str) -> Result<Answer> {
    let mark = lab.journal.mark();
    let output = admin
        .seat
        .command("ssh")
        .args(["-S", "master", "-W", place, "bastion"])
        .input("")
        .run()?;
    let told = |e: &Entry| {
        e.get("JUMP_USER") == admin.name() && (e.is("forward.allowed") || e.is("forward.denied"))
    };
    let told = lab.journal.wait(mark, 1, PATIENCE, told);
    let answer = Answer::of_event(
        told.first()
            .with_context(|| format!("no event: {output}"))?,
    );
    ensure!(
        answer.allowed == (output.code() == 0),
        "{answer:?}, but {output}"
    );
    Ok(answer)
}

fn case(lab: &Lab, admin: &Admin<'_>, dice: &mut Dice) -> Result<bool> {
    let name = admin.name();
    let (user, tables) = policy(dice, name);
    lab.edit_policy(|policy| policy.add(name, admin.uid, admin.seat.key(), &user, &tables))?;
    let from = dice.pick(&[CLIENT.address(), "10.77.1.99", CLIENT.address6()]);
    let places: Vec<String> = (0..PLACES).map(|_| place(dice)).collect();
    let tell = || format!("{name} from {from} to {places:?}, with\n{user}\n{tables}");

    let mut answers = Vec::new();
    for place in &places {
        answers.push(explained(lab, name, place, from).with_context(tell)?);
    }
    let (said, session) = log_in(lab, admin, from).with_context(tell)?;
    let Some(mut session) = session else {
        // Whom PAM or sshd's key options refuse, explain allows nothing; what is about the user alone has one reason.
        for answer in &answers {
            ensure!(
                !answer.allowed,
                "explain says {answer:?}, PAM {said:?}: {}",
                tell()
            );
            if let Some(said) = said.as_ref().filter(|s| {
                ["expired", "not_yet_valid", "unknown_user"].contains(&s.reason.as_str())
            }) {
                ensure!(
                    answer == said,
                    "explain says {answer:?}, PAM {said:?}: {}",
                    tell()
                );
            }
        }
        return Ok(false);
    };
    for (place, answer) in places.iter().zip(&answers) {
        let judged = connected(lab, admin, place).with_context(tell)?;
        ensure!(
            *answer == judged,
            "{place}: explain says {answer:?}, the guard {judged:?}: {}",
            tell()
        );
    }
    session.kill();
    // A killed ssh leaves its socket, and the next would share nothing.
    std::fs::remove_file(admin.seat.path("master"))?;
    Ok(true)
}

/// Given policies, people, sources and places at random, then explain says what PAM and the guard do.
pub(crate) fn explain_pam_and_the_guard_agree(lab: &Lab) -> Result<()> {
    let seed = match std::env::var("JUMP_SEED") {
        Ok(text) => text.parse().context("JUMP_SEED is no number")?,
        Err(_) => SEED,
    };
    let mut dice = Dice(seed);
    let mut inside = 0;
    for name in ADMINS {
        let admin = lab.admin(name).may_reach_databases().arrive()?;
        for number in 0..CASES_EACH {
            let in_session = case(lab, &admin, &mut dice)
                .with_context(|| format!("JUMP_SEED={seed}, case {number} of {name}"))?;
            inside += usize::from(in_session);
        }
    }
    // A comparison that only ever sees refusals would say little.
    let all = ADMINS.len() * CASES_EACH;
    ensure!(
        inside >= 4 && inside < all,
        "JUMP_SEED={seed}: {inside} of {all} logins got in"
    );
    Ok(())
}
