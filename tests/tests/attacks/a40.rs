//! A40: one code from many logins in the same instant.

use anyhow::{Result, ensure};
use jump_lab::authenticator::Authenticator;
use jump_lab::base::Kind;
use jump_lab::bastion::Bastion;
use jump_lab::journal::Mark;
use jump_lab::lab::{Lab, package};
use jump_lab::machine::Machine;
use jump_lab::network::{BASTION, CLIENT, Place};
use jump_lab::peculiar::OwnSshd;
use jump_lab::seat::Seat;
use jump_lab::story::{PATIENCE, wait_for};
use std::fs;
use std::sync::Arc;

const RACE: &str = include_str!("a40/race.py");
const RACE_PATH: &str = "/root/race.py";
/// Logins at once through sshd.
const LOGINS: usize = 64;
/// Logins at once through PAM alone.
const CONVERSATIONS: &str = "12";
/// A secret in base32, as google-authenticator keeps it.
const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
/// The same as pam_oath keeps it, for a code that counts events, and the first such code (RFC 4226, appendix D).
const OATH: &str = "HOTP willa - 3132333435363738393031323334353637383930\n";
const FIRST: &str = "755224";

/// A jump server on which other modules are installed too, and Python to speak PAM with.
const RACING: Place = Place {
    name: "racing",
    addresses: &["10.77.1.40/24", "fd77:1::40/64"],
    second: &["10.77.2.40/24", "fd77:2::40/64"],
    ..BASTION
};

/// As many logins as wait at the prompt and then answer alike; how many got in.
fn log_in_at_once(seat: &Seat, options: &[String], host: &str, code: &str) -> Result<usize> {
    let answering = seat.answering::<String>(&[])?;
    let gate = answering.gate()?;
    let logins = (0..LOGINS)
        .map(|_| {
            answering
                .command("ssh")
                .args(options.to_vec())
                .args([host, "whoami"])
                .start()
        })
        .collect::<Result<Vec<_>>>()?;
    gate.wait_for_prompts(LOGINS)?;
    answering.answer(&vec![code; LOGINS])?;
    drop(gate);
    let mut inside = 0;
    for login in logins {
        inside += usize::from(login.wait(PATIENCE)?.code() == 0);
    }
    Ok(inside)
}

/// Given google-authenticator as it is unless told otherwise, then 64 logins with one code all get in; given ours, then one, in every round, with a recovery code too.
pub(crate) fn a40_64_logins_with_one_code_let_one_in(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let wanda = lab.admin("wanda").may_reach_databases().arrive()?;
    stock.account(&wanda.seat)?;
    fs::create_dir_all(stock.path("/var/lib/lab"))?;
    stock.write("/var/lib/lab/wanda", format!("{SECRET}\n\" TOTP_AUTH\n"))?;
    stock.sh("chmod 600 /var/lib/lab/wanda")?;
    let google = "[success=done default=die] pam_google_authenticator.so user=root secret=/var/lib/lab/${USER}";
    stock.pam("wanda", "auth", &[google])?;
    let settings =
        "AuthenticationMethods publickey,keyboard-interactive\nKbdInteractiveAuthentication yes";
    let sshd = OwnSshd::start(stock, 4001, settings)?;
    let json = format!("{{\"secret\": \"{SECRET}\", \"recovery_codes\": []}}");
    let code = Authenticator::from_enrolment(&json)?.code()?;
    let inside = log_in_at_once(&wanda.seat, &sshd.options(), "stock", &code)?;
    ensure!(
        inside > 1,
        "google-authenticator let {inside} of {LOGINS} in"
    );

    for kind in ["totp", "totp", "recovery"] {
        let code = match kind {
            "totp" => wanda.authenticator()?.code()?,
            _ => wanda.authenticator()?.recovery_code()?,
        };
        let before = (wanda.events("mfa.ok").len(), refusals(lab, "wanda"));
        let inside = log_in_at_once(&wanda.seat, &[], "bastion", &code)?;
        ensure!(
            inside == 1,
            "{inside} of {LOGINS} got in with one {kind} code"
        );
        ensure!(
            wanda.events("mfa.ok").len() == before.0 + 1,
            "{kind}: accepted otherwise than once"
        );
        wait_for("a refusal for each of the others", || {
            Ok(refusals(lab, "wanda") == before.1 + LOGINS - 1)
        })?;
        lab.jumpctl("mfa unlock wanda")?.success()?;
    }
    Ok(())
}

/// Codes of a user that were refused, as the journal has them.
fn refusals(host: &Bastion, user: &str) -> usize {
    let refused = |e: &jump_lab::journal::Entry| {
        e.get("JUMP_USER") == user
            && ["mfa.failed", "mfa.replayed", "mfa.locked"]
                .iter()
                .any(|kind| e.is(kind))
    };
    host.journal.since(Mark::default(), refused).len()
}

/// Rounds through PAM alone, a code each: how many conversations were told yes in each.
fn race(machine: &Machine, codes: &[String], arguments: &[&str]) -> Result<Vec<usize>> {
    let lines: String = codes.iter().map(|code| format!("{code}\n")).collect();
    let output = machine
        .command("python3")
        .args([RACE_PATH, CONVERSATIONS])
        .args(arguments.iter().copied())
        .input(lines)
        .run()?
        .success()?;
    let rounds: Vec<usize> = output
        .text()
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    ensure!(rounds.len() == codes.len(), "{output}");
    Ok(rounds)
}

/// Given 12 conversations with PAM at once, then pam_oath says yes to several, sooner or later; ours, beside it, says yes once in each round.
pub(crate) fn a40_of_many_conversations_with_pam_one_is_told_yes(lab: &Lab) -> Result<()> {
    const AT_MOST: usize = 40;
    const ENROLMENTS: usize = 4;
    let machine = lab.another_of(Kind::Stock, &RACING)?;
    lab.introduce(&machine)?;
    let host = Bastion::new(Arc::new(machine))?;
    host.install(&package()?)?;
    let willa = lab
        .admin("willa")
        .at(&host)
        .may_reach_databases()
        .arrive()?;
    host.write(RACE_PATH, RACE)?;

    fs::create_dir_all(host.path("/var/lib/lab"))?;
    host.write("/var/lib/lab/kept", OATH)?;
    host.shell("chmod 600 /var/lib/lab/kept").run()?.success()?;
    let oath = "auth [success=done default=die] pam_oath.so usersfile=/var/lib/lab/oath window=5\nauth required pam_deny.so\n";
    host.write("/etc/pam.d/lab-oath", oath)?;
    let codes = vec![FIRST.to_owned(); 10];
    let several = (0..AT_MOST).try_fold(false, |several, _| {
        let rounds = || {
            race(
                &host,
                &codes,
                &[
                    "lab-oath",
                    "willa",
                    "/var/lib/lab/kept",
                    "/var/lib/lab/oath",
                ],
            )
        };
        Ok::<_, anyhow::Error>(several || rounds()?.iter().any(|yes| *yes > 1))
    })?;
    ensure!(
        several,
        "pam_oath said yes once in each of {} rounds",
        AT_MOST * codes.len()
    );

    host.write(
        "/etc/pam.d/lab-jump",
        "auth [success=done ignore=ignore default=die] pam_jump.so\nauth required pam_deny.so\n",
    )?;
    let connection = format!(
        "SSH_CONNECTION={} 40000 {} 22",
        CLIENT.address(),
        RACING.address()
    );
    let key: Vec<_> = willa.seat.key().split(' ').take(2).collect();
    let key = format!("SSH_AUTH_INFO_0=publickey {}", key.join(" "));
    let arguments = ["lab-jump", "willa", connection.as_str(), key.as_str()];
    let mut rounds = 0;
    for _ in 0..ENROLMENTS {
        let enrolment = host
            .jumpctl("mfa enroll willa --no-confirm --json")?
            .success()?;
        let mut authenticator = Authenticator::from_enrolment(&enrolment.text())?;
        let mut codes = vec![authenticator.code()?, authenticator.code()?];
        for _ in 0..7 {
            codes.push(authenticator.recovery_code()?);
        }
        for code in codes {
            let yes = race(&host, &[code], &arguments)?;
            ensure!(
                yes == [1],
                "round {rounds}: {yes:?} of {CONVERSATIONS} were told yes"
            );
            host.jumpctl("mfa unlock willa")?.success()?;
            rounds += 1;
        }
    }
    ensure!(rounds >= 36, "{rounds} rounds");
    let accepted = willa.wait_events("mfa.ok", rounds).len();
    ensure!(
        accepted == rounds,
        "{accepted} codes accepted in {rounds} rounds"
    );
    let all = rounds * CONVERSATIONS.parse::<usize>()?;
    wait_for("a refusal for each of the others", || {
        Ok(refusals(&host, "willa") == all - rounds)
    })
}
