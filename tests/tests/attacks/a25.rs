//! A25: sshd and PAM edited by hand, so that less is asked for.

use crate::scenarios::root_logs_in;
use anyhow::{Context, Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::lab::Lab;
use jump_lab::peculiar::OwnSshd;
use serde_json::Value;

/// Sorts before `10-jump.conf`: the first setting wins.
const BY_HAND: &str = "00-by-hand.conf";
const STACK: &str = "/etc/pam.d/sshd";
/// Nothing but this for `auth`: whatever is asked, the answer is yes.
const PERMIT: &str = "auth sufficient pam_permit.so\n";
/// Key and code, as it must be.
const BOTH: &str = "publickey and keyboard-interactive";
/// Of what the three commands say when they run; modules before ours may have said a greeting.
const WENT_THROUGH: [&str; 3] = ["(uid ", "db1", "hello"];
const WRONG: &str = "000000";
const GUESSABLE: &str = "Summer2026";

/// What `jumpctl doctor` finds red, all of it; empty when it is green.
fn red(lab: &Lab) -> Result<String> {
    let output = lab.jumpctl("doctor --json")?;
    let found: Value = serde_json::from_str(&output.text()).with_context(|| format!("{output}"))?;
    let findings = found.get("findings").and_then(Value::as_array);
    let red: Vec<_> = findings
        .context("no findings")?
        .iter()
        .filter(|finding| finding.get("verdict").and_then(Value::as_str) == Some("red"))
        .map(ToString::to_string)
        .collect();
    ensure!(red.is_empty() == (output.code() == 0), "{output}");
    Ok(red.join("\n"))
}

/// `ssh HOST id -u` with options, answering every prompt with `answer`; whether it ran.
fn enters(admin: &Admin<'_>, options: &[&str], host: &str, answer: &str) -> Result<bool> {
    let answers = vec![answer; 4];
    let output = admin
        .seat
        .answering(&answers)?
        .ssh(options.iter().copied().chain([host, "id -u"]))
        .run()?;
    Ok(output.code() == 0 || output.code() == 126)
}

/// The ways in that are open to somebody with `answer` for every prompt: key alone, answer alone, nothing; key and answer.
fn ways_in(admin: &Admin<'_>, answer: &str) -> Result<Vec<&'static str>> {
    let ways: [(&str, &[&str]); 5] = [
        ("publickey", &["-o", "PreferredAuthentications=publickey"]),
        (
            "keyboard-interactive",
            &[
                "-o",
                "PubkeyAuthentication=no",
                "-o",
                "PreferredAuthentications=keyboard-interactive",
            ],
        ),
        (
            "password",
            &[
                "-o",
                "PubkeyAuthentication=no",
                "-o",
                "PreferredAuthentications=password",
            ],
        ),
        ("none", &["-o", "PreferredAuthentications=none"]),
        (BOTH, &[]),
    ];
    // With a good answer the last way is the right one, which is not to be used up here.
    let tried = ways
        .iter()
        .filter(|(name, _)| answer == WRONG || *name != BOTH);
    let mut open = Vec::new();
    for (name, options) in tried {
        if enters(admin, options, "bastion", answer)? {
            open.push(*name);
        }
    }
    Ok(open)
}

/// Given a stock host, then passwords that an image's file switched on, and a lone `pam_permit`, let in whoever comes.
pub(crate) fn a25_edits_open_a_stock_host(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let beabert = lab.admin("beabert").may_reach_databases().arrive()?;
    stock.account(&beabert.seat)?;
    stock.sh(&format!("echo beabert:{GUESSABLE} | chpasswd"))?;
    // What cloud images ship as 50-cloud-init.conf, against an admin's `PasswordAuthentication no` further down.
    let sshd = OwnSshd::start(stock, 2501, "PasswordAuthentication yes")?;
    let options = sshd.options();
    let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
    options.extend(["-o", "PubkeyAuthentication=no"]);
    ensure!(
        enters(&beabert, &options, "stock", GUESSABLE)?,
        "the password was refused"
    );
    drop(sshd);

    stock.pam("beabert", "auth", &["sufficient pam_permit.so"])?;
    let sshd = OwnSshd::start(
        stock,
        2502,
        "KbdInteractiveAuthentication yes\nPasswordAuthentication no",
    )?;
    let options = sshd.options();
    let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
    options.extend(["-o", "PubkeyAuthentication=no"]);
    ensure!(
        enters(&beabert, &options, "stock", "anything")?,
        "pam_permit refused"
    );
    Ok(())
}

/// Given the same and worse edits on the bastion, then no way in opens that lacks key or code, and doctor names what is wrong.
pub(crate) fn a25_no_edit_of_sshd_config_lets_in_without_key_and_code(lab: &Lab) -> Result<()> {
    let nell = lab.admin("nell").may_reach_databases().arrive()?;
    ensure!(
        red(lab)?.is_empty(),
        "doctor is red before any edit: {}",
        red(lab)?
    );
    // A code that is good, so that what is refused is refused for the way it came.
    let code = nell.authenticator()?.recovery_code()?;
    let edits: [(&str, &str, &[&str]); 6] = [
        (
            "Match User nell\n    AuthenticationMethods publickey\n",
            "authenticationmethods",
            &["mfa_missing"],
        ),
        (
            "Match User nell\n    AuthenticationMethods keyboard-interactive:pam\n",
            "authenticationmethods",
            &["key_missing"],
        ),
        (
            "Match User nell\n    AuthenticationMethods password\n    PasswordAuthentication yes\n",
            "authenticationmethods",
            &["key_missing"],
        ),
        (
            "Match User nell\n    AuthenticationMethods any\n    PasswordAuthentication yes\n    PermitEmptyPasswords yes\n",
            "authenticationmethods",
            &["mfa_missing", "key_missing"],
        ),
        // The order turned round: the code is asked for before there is a key.
        (
            "Match User nell\n    AuthenticationMethods keyboard-interactive:pam,publickey\n",
            "authenticationmethods",
            &["key_missing"],
        ),
        ("UsePAM no\n", "does not use PAM", &[]),
    ];
    for (edit, named, reasons) in edits {
        lab.with_sshd_config(BY_HAND, edit, || {
            for answer in [WRONG, &code] {
                let open = ways_in(&nell, answer)?;
                ensure!(open.is_empty(), "open to the answer {answer}: {open:?}");
            }
            for reason in reasons {
                let said = |e: &jump_lab::journal::Entry| e.get("JUMP_REASON") == *reason;
                let kind = if *reason == "key_missing" {
                    "mfa.failed"
                } else {
                    "access.denied"
                };
                nell.event_where(kind, said).context(edit)?;
            }
            let red = red(lab)?;
            ensure!(
                red.contains(named),
                "{edit}: doctor does not name {named}: {red}"
            );
            root_logs_in(lab, &nell.seat)
        })
        .with_context(|| edit.to_owned())?;
        lab.jumpctl("mfa unlock nell")?.success()?;
    }
    // What an image brings sorts after ours and is overruled: nothing opens, so nothing is red.
    let image =
        "PasswordAuthentication yes\nKbdInteractiveAuthentication yes\nPermitEmptyPasswords yes\n";
    lab.with_sshd_config("50-cloud-init.conf", image, || {
        let open = ways_in(&nell, WRONG)?;
        ensure!(open.is_empty(), "{image}: open: {open:?}");
        ensure!(red(lab)?.is_empty(), "{image}: {}", red(lab)?);
        Ok(())
    })?;
    lab.jumpctl("mfa unlock nell")?.success()?;
    ensure!(
        nell.events("session.opened").is_empty(),
        "a session was opened"
    );
    let login = nell
        .seat
        .answering(&[code])?
        .ssh(["bastion", "whoami"])
        .run()?;
    login.success().context("the code was used up on the way")?;
    Ok(())
}

/// Given edits of the PAM stack, then no way in opens that lacks the code, and doctor names the stack.
pub(crate) fn a25_no_edit_of_the_pam_stack_lets_in_without_a_code(lab: &Lab) -> Result<()> {
    let olga = lab.admin("olga").may_reach_databases().arrive()?;
    let stack = lab.bastion.read(STACK)?;
    // Led past our line of one phase, which is still there to be seen.
    let jumped = |text: &str, phase: &str| -> String {
        let over = format!("{phase} [success=1 default=1] pam_permit.so\n");
        let ours = |line: &str| line.starts_with(phase) && line.contains("pam_jump.so");
        text.split_inclusive('\n')
            .map(|line| {
                if ours(line) {
                    format!("{over}{line}")
                } else {
                    line.to_owned()
                }
            })
            .collect()
    };
    let permit_instead = jumped(&stack, "auth").replacen("account", &format!("{PERMIT}account"), 1);
    let edits = [
        ("pam_permit before ours", format!("{PERMIT}{stack}")),
        ("pam_permit in the place of ours", permit_instead.clone()),
        (
            "pam_permit, and nobody asks account",
            jumped(&permit_instead, "account"),
        ),
        (
            "account may be skipped",
            format!("{PERMIT}account sufficient pam_permit.so\n{stack}"),
        ),
    ];
    let reason = "mfa_missing";
    let attempt = || -> Result<()> {
        for (name, edit) in &edits {
            lab.bastion.write(STACK, edit)?;
            let before = olga.events("access.denied").len() + olga.events("session.refused").len();
            for args in [
                vec!["bastion", "whoami"],
                vec!["-W", "db1:5432", "bastion"],
                vec!["-J", "bastion", "db1", "hostname"],
            ] {
                let output = olga
                    .seat
                    .answering(&[WRONG])?
                    .ssh(args.clone())
                    .input("hello\n")
                    .run()?;
                ensure!(
                    output.code() != 0
                        && !WENT_THROUGH.iter().any(|word| output.text().contains(word)),
                    "{name}: {args:?}: {output}"
                );
            }
            let told = |e: &jump_lab::journal::Entry| {
                (e.is("access.denied") || e.is("session.refused"))
                    && e.get("JUMP_USER") == "olga"
                    && e.get("JUMP_REASON") == reason
            };
            let mark = jump_lab::journal::Mark::default();
            let found = lab
                .journal
                .wait(mark, before + 3, jump_lab::story::PATIENCE, told);
            ensure!(
                found.len() >= before + 3,
                "{name}: {} refusals are told",
                found.len()
            );
            let red = red(lab)?;
            ensure!(
                red.contains("/etc/pam.d/sshd"),
                "{name}: doctor does not name the stack: {red}"
            );
            root_logs_in(lab, &olga.seat)?;
        }
        Ok(())
    };
    let outcome = attempt();
    lab.bastion.write(STACK, &stack)?;
    outcome?;
    ensure!(
        olga.events("session.opened").is_empty(),
        "a session was opened"
    );
    olga.ssh(&["bastion", "whoami"])?.success()?;
    Ok(())
}

/// Given an sshd that no longer asks pam_jump at all, by two edits together or a stack without our lines, then it gets no key of a policy user.
pub(crate) fn a25_an_sshd_that_asks_nobody_gets_no_key(lab: &Lab) -> Result<()> {
    let petra = lab.admin("petra").may_reach_databases().arrive()?;
    let stays_out = |what: &str| -> Result<()> {
        for args in [vec!["bastion", "whoami"], vec!["-W", "db1:5432", "bastion"]] {
            let output = petra
                .seat
                .answering(&[WRONG])?
                .ssh(args.clone())
                .input("hello\n")
                .run()?;
            let through = WENT_THROUGH.iter().any(|word| output.text().contains(word));
            ensure!(output.code() != 0 && !through, "{what}: {args:?}: {output}");
        }
        ensure!(!red(lab)?.is_empty(), "{what}: doctor is green");
        root_logs_in(lab, &petra.seat)
    };
    let edit = "UsePAM no\nMatch User petra\n    AuthenticationMethods publickey\n";
    lab.with_sshd_config(BY_HAND, edit, || stays_out(edit))?;

    let stack = lab.bastion.read(STACK)?;
    let without: String = stack
        .lines()
        .filter(|line| !line.contains("pam_jump.so"))
        .map(|line| format!("{line}\n"))
        .collect();
    lab.bastion.write(STACK, format!("{PERMIT}{without}"))?;
    let outcome = stays_out("a stack without pam_jump");
    lab.bastion.write(STACK, &stack)?;
    outcome?;
    let told = lab.journal.wait(
        jump_lab::journal::Mark::default(),
        1,
        jump_lab::story::PATIENCE,
        |e| e.message().contains("jump-keys petra failed, status 1"),
    );
    ensure!(
        !told.is_empty(),
        "sshd's log does not say that it got no key"
    );
    ensure!(
        petra.events("session.opened").is_empty(),
        "a session was opened"
    );
    petra.ssh(&["bastion", "whoami"])?.success()?;
    Ok(())
}
