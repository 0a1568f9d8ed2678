//! A40: one code from many logins in the same instant.

use anyhow::{Result, ensure};
use jump_lab::authenticator::Authenticator;
use jump_lab::bastion::Bastion;
use jump_lab::journal::Mark;
use jump_lab::lab::Lab;
use jump_lab::peculiar::OwnSshd;
use jump_lab::seat::Seat;
use jump_lab::story::{PATIENCE, wait_for};
use std::fs;

/// Logins at once through sshd.
const LOGINS: usize = 64;
/// A secret in base32, as google-authenticator keeps it.
const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

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

/// Given google-authenticator as it is unless told otherwise, then 64 logins with one code all get in; given ours, then one, with a recovery code too.
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

    for kind in ["totp", "recovery"] {
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
