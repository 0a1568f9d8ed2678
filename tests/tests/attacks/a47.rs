//! A47: sshd's penalties for refused logins, which a whole office pays.

use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::policy::window_closed_now;
use jump_lab::story::{PATIENCE, until};

/// More refusals than sshd takes from one address in a row.
const REFUSALS: usize = 12;
const DROP_IN: &str = "00-penalties.conf";

/// Given refusals that are the policy's, then sshd of 9.8 and later shuts out their whole address; given the documented drop-in, then nobody else.
pub(crate) fn a47_refusals_do_not_shut_out_an_office(lab: &Lab) -> Result<()> {
    let (window, _) = window_closed_now("hbot-hours");
    let ida = lab.admin("ida").may_reach_databases().arrive()?;
    // Automation that calls too early, again and again: the account phase refuses it.
    let robot = lab
        .admin("hbot")
        .user("mfa = \"none\"")
        .policy(format!(
            "{window}[[rules]]\nname = \"hbot-rule\"\neffect = \"allow\"\nusers = [\"hbot\"]\n\
             targets = [\"databases\"]\nwindows = [\"hbot-hours\"]\nfrom = [\"10.77.1.0/24\"]\n"
        ))
        .unenrolled()
        .arrive()?;
    let call = || -> Result<()> {
        for _ in 0..REFUSALS {
            robot
                .seat
                .command("ssh")
                .args(["-J", "bastion", "db1", "true"])
                .run()?
                .failure()?;
        }
        Ok(())
    };
    let ida_enters = || -> Result<bool> { Ok(ida.ssh(&["bastion", "whoami"])?.code() == 0) };

    let penalises = lab
        .bastion
        .shell("sshd -T | grep -q ^persourcepenalties")
        .run()?
        .code()
        == 0;
    if !penalises {
        // OpenSSH before 9.8 has no penalties: there is no attack, and the office works on.
        call()?;
        ensure!(
            ida_enters()?,
            "an sshd without penalties shut out the office"
        );
        let doctor = lab.jumpctl("doctor")?;
        ensure!(!doctor.text().contains("PerSourcePenalt"), "{doctor}");
        return told(&robot.wait_events("access.denied", REFUSALS));
    }
    let stock = "PerSourcePenalties yes\nPerSourcePenalties authfail:5 min:15 max:600\n";
    let mark = lab.journal.mark();
    lab.with_sshd_config(DROP_IN, stock, || {
        call()?;
        let dropped = lab.journal.wait(mark, 1, PATIENCE, |e| {
            e.message().contains("penalty: failed authentication")
        });
        ensure!(!dropped.is_empty(), "sshd penalised nobody");
        ensure!(
            !ida_enters()?,
            "the office was not shut out: there is nothing to defend against"
        );
        let doctor = lab.jumpctl("doctor")?;
        ensure!(
            doctor.text().contains("PerSourcePenaltyExemptList"),
            "doctor does not warn: {doctor}"
        );
        Ok(())
    })?;
    let documented = format!("{stock}PerSourcePenaltyExemptList 10.77.1.0/24\n");
    lab.with_sshd_config(DROP_IN, &documented, || {
        call()?;
        let enters = until(PATIENCE, || Ok(ida_enters()?.then_some(())))?;
        ensure!(
            enters.is_some(),
            "shut out in spite of the documented drop-in"
        );
        let doctor = lab.jumpctl("doctor")?;
        ensure!(!doctor.text().contains("PerSourcePenalt"), "{doctor}");
        Ok(())
    })?;
    told(&robot.wait_events("access.denied", REFUSALS))
}

/// The refusals are the policy's, and in the journal.
fn told(denied: &[jump_lab::journal::Entry]) -> Result<()> {
    ensure!(
        denied.len() >= REFUSALS
            && denied
                .iter()
                .all(|e| e.get("JUMP_REASON") == "outside_window"),
        "{denied:?}"
    );
    Ok(())
}
