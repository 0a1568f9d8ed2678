//! How people come by a second factor, and what they see of it.

use anyhow::{Context, Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::authenticator::Authenticator;
use jump_lab::lab::Lab;
use jump_lab::story::PATIENCE;
use serde_json::Value;

/// What stands above the picture, below it, and at the prompt under both.
const ABOVE: &str = "Scan this or type in the key";
const BELOW: &str = "Key: ";
const PROMPT: &str = "Code of the new authenticator:";

/// What a program said on a terminal.
struct Screen(Vec<String>);

impl Screen {
    fn of(text: &str) -> Self {
        let lines = text.split('\n');
        Self(
            lines
                .map(|line| line.trim_end_matches('\r').to_owned())
                .collect(),
        )
    }

    fn line_with(&self, text: &str) -> Result<usize> {
        let found = self.0.iter().position(|line| line.contains(text));
        found.with_context(|| format!("no {text:?} on the screen:\n{}", self.0.join("\n")))
    }

    fn key(&self) -> Result<String> {
        let line = &self.0[self.line_with(BELOW)?];
        let (_, key) = line.split_once(BELOW).context("no key")?;
        Ok(key.replace(' ', ""))
    }

    /// Ten groups of groups, each with a chance to get in.
    fn recovery_codes(&self) -> Vec<&str> {
        let words = self.0.iter().flat_map(|line| line.split_whitespace());
        words
            .filter(|word| word.len() == 19 && word.matches('-').count() == 3)
            .collect()
    }

    /// What a phone reads, held before the lines from `first` to `last`; dark terminals show ink light.
    fn scan(&self, first: usize, last: usize, before: &str) -> Result<String> {
        const SCALE: usize = 4;
        let rows: Vec<Vec<char>> = self.0[first..last]
            .iter()
            .map(|line| line.strip_prefix(before).unwrap_or(line).chars().collect())
            .collect();
        let is_light = |x: usize, y: usize| {
            let cell = rows.get(y / 2).and_then(|row| row.get(x));
            match cell.copied().unwrap_or(' ') {
                '█' => true,
                '▀' => y.is_multiple_of(2),
                '▄' => !y.is_multiple_of(2),
                _ => false,
            }
        };
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut picture = rqrr::PreparedImage::prepare_from_greyscale(
            width * SCALE,
            rows.len() * 2 * SCALE,
            |x, y| {
                if is_light(x / SCALE, y / SCALE) {
                    255
                } else {
                    0
                }
            },
        );
        let grids = picture.detect_grids();
        let [grid] = grids.as_slice() else {
            anyhow::bail!(
                "{} QR codes in\n{}",
                grids.len(),
                self.0[first..last].join("\n")
            );
        };
        Ok(grid.decode()?.1)
    }
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| text.to_owned())
}

fn status(lab: &Lab, user: &str) -> Result<Value> {
    // Exit status 1 says that the user cannot log in.
    let output = lab.jumpctl(&format!("mfa status {user} --json"))?;
    Ok(json(&output.text())?[0].clone())
}

fn invite(lab: &Lab, user: &str) -> Result<String> {
    let made = lab.jumpctl(&format!("mfa invite {user} --for 24h --json"))?;
    let made = json(&made.success()?.text())?;
    let text = made["invitation"].as_str().context("no invitation")?;
    Ok(text.to_owned())
}

/// Given an invitation, when the user types it at the prompt for the code, then OpenSSH, with and without UTF-8, and plink show a key, in
/// UTF-8 a picture that a phone reads, and recovery codes that work; and the invitation is spent.
pub(crate) fn an_invited_user_enrols_at_the_prompt(lab: &Lab) -> Result<()> {
    for (user, locale, plink) in [
        ("ina", "C.UTF-8", false),
        ("inb", "C", false),
        ("inc", "C.UTF-8", true),
    ] {
        let admin = lab
            .admin(user)
            .sitting_at(lab.workbench()?)
            .may_reach_databases()
            .unenrolled()
            .arrive()?;
        enrol_with(lab, &admin, locale, plink).with_context(|| format!("{user}, {locale}"))?;
    }
    Ok(())
}

fn enrol_with(lab: &Lab, admin: &Admin<'_>, locale: &str, plink: bool) -> Result<()> {
    let user = admin.name();
    let invitation = invite(lab, user)?;
    ensure!(
        status(lab, user)?["invited_until_ms"].is_i64(),
        "mfa status does not show the invitation"
    );
    admin
        .seat
        .write("terminal.py", include_str!("terminal.py"))?;
    let mut command: Vec<String> = Vec::new();
    if plink {
        let convert = ["puttygen", ".ssh/id_ed25519", "-o", "key"];
        admin
            .seat
            .command(convert[0])
            .args(convert[1..].iter().copied())
            .run()?
            .success()?;
        let print = lab
            .bastion
            .command("ssh-keygen")
            .args(["-l", "-f", "/etc/ssh/ssh_host_ed25519_key.pub"])
            .run()?
            .text();
        let print = print.split(' ').nth(1).context("no fingerprint")?;
        let words =
            format!("plink -ssh -no-antispoof -i key -hostkey {print} {user}@bastion whoami");
        command.extend(words.split(' ').map(str::to_owned));
    } else {
        command.extend(["ssh", "bastion", "whoami"].map(str::to_owned));
    }
    let output = admin
        .seat
        .command("python3")
        .args(["terminal.py".to_owned(), invitation.clone()])
        .args(command)
        .env("LANG", locale)
        .env("TERM", "xterm")
        .env("PATH", "/usr/bin:/bin")
        .patience(PATIENCE)
        .run()?
        .success()?;
    let told = json(&output.text())?;
    let text = told["screen"].as_str().unwrap_or_default();
    ensure!(told["code"] == 0, "not logged in:\n{text}");
    let screen = Screen::of(text);
    ensure!(
        screen
            .line_with(&format!("{user} (uid {})", admin.uid))
            .is_ok(),
        "whoami said nothing:\n{text}"
    );
    if locale.contains("UTF-8") {
        let (above, below) = (screen.line_with(ABOVE)?, screen.line_with(BELOW)?);
        let prompt = screen.line_with(PROMPT)?;
        ensure!(prompt - above < 24, "{} lines:\n{text}", prompt - above + 1);
        let widest = screen.0[above..=prompt]
            .iter()
            .map(|l| l.chars().count())
            .max();
        ensure!(widest.unwrap_or(0) <= 80, "{widest:?} columns:\n{text}");
        let read = screen.scan(above + 1, below, if plink { "| " } else { "" })?;
        let uri = format!("otpauth://totp/bastion:{user}?secret={}", screen.key()?);
        ensure!(read == uri, "a phone reads {read}, not {uri}");
    }
    let codes = screen.recovery_codes();
    ensure!(codes.len() == 10, "{} recovery codes:\n{text}", codes.len());
    let enrolled = admin.event_where("mfa.enrolled", |e| {
        e.get("JUMP_REASON") == "invitation_used"
    })?;
    let accepted = admin.event("mfa.ok")?;
    ensure!(
        enrolled.get("JUMP_SESSION") == accepted.get("JUMP_SESSION")
            && accepted.get("JUMP_MFA") == "totp",
        "{accepted}"
    );
    let log_in = |answer: &str| {
        admin
            .seat
            .answering(&[answer])?
            .ssh(["bastion", "whoami"])
            .run()
    };
    log_in(codes[0])?.success()?;
    let recovery = admin.event_where("mfa.ok", |e| e.get("JUMP_REASON") == "recovery_code")?;
    ensure!(recovery.get("PRIORITY") == "5", "{recovery}");
    log_in(&invitation)?.failure()?;
    ensure!(status(lab, user)?["invited_until_ms"].is_null());
    for secret in [invitation.as_str(), &screen.key()?, codes[1]] {
        let everything = lab.bastion.journal.since(Default::default(), |_| true);
        ensure!(
            !everything.iter().any(|e| e.message().contains(secret)),
            "a secret is in the journal"
        );
    }
    Ok(())
}

/// Given a terminal, when an admin enrols a user, then a picture, the key and ten recovery codes are on it and nowhere else, and the
/// old authenticator is good until a code of the new one has come; without a terminal nothing is shown.
pub(crate) fn an_admin_enrols_a_user_at_a_terminal(lab: &Lab) -> Result<()> {
    let ivo = lab.admin("ivo").may_reach_databases().arrive()?;
    let blind = lab.jumpctl("mfa enroll ivo")?.expect_code(2)?;
    ensure!(blind.text().is_empty(), "{blind}");
    let mut terminal = lab
        .bastion
        .shell("script -qec 'stty cols 80 rows 24 -echo; jumpctl mfa enroll ivo' /dev/null")
        .env("TERM", "xterm")
        .open_input()
        .start()?;
    terminal.wait_for("Code: ", PATIENCE)?;
    let screen = Screen::of(&terminal.said());
    let new =
        serde_json::json!({ "secret": screen.key()?, "recovery_codes": screen.recovery_codes() });
    let mut new = Authenticator::from_enrolment(&new.to_string())?;
    ensure!(screen.recovery_codes().len() == 10);
    // Until a code comes back the old one is in force.
    ivo.ssh(&["bastion", "whoami"])?.success()?;
    terminal.say("000000\n")?;
    terminal.wait_for("try the next code", PATIENCE)?;
    terminal.say(&format!("{}\n", new.code()?))?;
    terminal.wait_for("ivo is enrolled.", PATIENCE)?;
    terminal.wait(PATIENCE)?.success()?;
    let code = new.code()?;
    let log_in = |answer: &str| {
        ivo.seat
            .answering(&[answer])?
            .ssh(["bastion", "whoami"])
            .run()
    };
    log_in(&ivo.authenticator()?.code()?)?.failure()?;
    log_in(&code)?.success()?;
    Ok(())
}

/// Given `remember`, when a code was given, then the next login with that key from that address is not asked, and one from elsewhere is; not after
/// a reset, nor once the policy takes it back.
pub(crate) fn a_code_is_remembered_for_its_key_and_address(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        let remember = |how: &str| {
            bastion.edit_policy(|policy| {
                policy.add_tables("remember", &format!("[mfa]\nremember = \"{how}\""));
            })
        };
        remember("8h")?;
        let ronja = lab
            .admin("ronja")
            .at(bastion)
            .may_reach_databases()
            .arrive()?;
        let host = bastion.place().name;
        let not_asked = |more: &[&str]| -> Result<bool> {
            // Not BatchMode: that turns keyboard-interactive off, and not even a silent one goes on.
            let silent = ronja.seat.answering::<String>(&[])?;
            let words = [more, &[host, "whoami"]].concat();
            let inside = silent.ssh(words).run()?.code() == 0;
            let prompts = silent.prompts();
            ensure!(inside == prompts.is_empty(), "{prompts:?}");
            Ok(inside)
        };
        ensure!(!not_asked(&[])?, "nothing was given yet");
        ronja.ssh(&[host, "whoami"])?.success()?;
        ensure!(not_asked(&[])?, "asked again");
        let skipped = ronja.event("mfa.skipped")?;
        ensure!(
            skipped.get("JUMP_REASON") == "remembered" && skipped.get("JUMP_MFA") == "remembered",
            "{skipped}"
        );
        ronja.event_where("session.opened", |e| e.get("JUMP_MFA") == "remembered")?;
        ensure!(
            !not_asked(&["-o", "BindAddress=10.77.1.99"])?,
            "from elsewhere"
        );
        bastion.shell("systemctl restart jumpd").run()?.success()?;
        ensure!(not_asked(&[])?, "forgotten by a restart");
        remember("0s")?;
        ensure!(!not_asked(&[])?, "the policy took it back");
        remember("8h")?;
        ensure!(not_asked(&[])?, "within its time");
        bastion.jumpctl("mfa unlock ronja")?.success()?;
        ensure!(!not_asked(&[])?, "after an operator's hand");
        bastion.edit_policy(|policy| {
            policy.remove("remember");
            policy.remove("ronja");
        })
    })
}

/// Given somebody with another of the user's keys at another address, and somebody without any, when they guess, then the user gets in, keeps
/// the sessions there are, and the counts are those of whoever guessed.
pub(crate) fn whoever_guesses_elsewhere_keeps_nobody_out(lab: &Lab) -> Result<()> {
    let odile = lab.admin("odile").may_reach_databases().arrive()?;
    let new_key = ["-q", "-t", "ed25519", "-N", "", "-f", ".ssh/stolen"];
    odile
        .seat
        .command("ssh-keygen")
        .args(new_key)
        .run()?
        .success()?;
    let stolen = std::fs::read_to_string(odile.seat.path(".ssh/stolen.pub"))?;
    let (own, both) = (
        format!("\"{}\"", odile.seat.key()),
        format!("\"{}\", \"{}\"", odile.seat.key(), stolen.trim()),
    );
    lab.bastion
        .edit_policy(|policy| policy.replace("odile", &own, &both))?;
    let master = odile.open_master(&[])?;
    // A hundred without a key: nobody is asked, nothing is counted.
    let keyless =
        "for i in $(seq 100); do ssh -o PubkeyAuthentication=no -o BatchMode=no bastion true; done";
    let asked = odile.seat.answering(&["000000"; 100])?;
    asked
        .command("sh")
        .args(["-c", keyless])
        .patience(4 * PATIENCE)
        .run()?;
    ensure!(asked.prompts().is_empty(), "{:?}", asked.prompts());
    ensure!(status(lab, "odile")?["failures"] == 0);
    // The thief.
    let guess = |more: &[&str]| {
        let thief = odile.seat.answering(&["000000"])?;
        let words = [
            "-o",
            "BindAddress=10.77.1.99",
            "-o",
            "ControlPath=none",
            "-i",
            ".ssh/stolen",
        ];
        thief
            .ssh(words.iter().chain(more).copied().map(str::to_owned))
            .args(["-o", "IdentityFile=none", "bastion", "whoami"])
            .run()?
            .failure()
    };
    for _ in 0..6 {
        guess(&[])?;
    }
    odile.event("mfa.locked")?;
    odile.event_where("mfa.failed", |e| e.get("JUMP_REASON") == "locked_out")?;
    let seen = status(lab, "odile")?;
    ensure!(
        seen["locks"][0]["source"] == "10.77.1.99" && seen["failures"] == 5,
        "{seen}"
    );
    ensure!(
        odile.events("session.expired").is_empty(),
        "her session was ended"
    );
    odile
        .ssh(&["-o", "ControlPath=none", "bastion", "whoami"])?
        .success()?;
    drop(master);
    lab.jumpctl("mfa unlock odile")?.success()?;
    ensure!(status(lab, "odile")?["failures"] == 0);
    Ok(())
}
