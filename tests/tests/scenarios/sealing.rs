//! Keys of second factors that do not open, and changes of all records that are cut short.

use anyhow::{Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::bastion::Bastion;
use jump_lab::lab::Lab;

const CREDENTIAL: &str = "/etc/credstore.encrypted/jump-mfa";
/// When a command is killed, in hundredths of a second after its start.
const MOMENTS: [u32; 10] = [1, 2, 3, 4, 5, 7, 10, 14, 20, 40];

fn run(bastion: &Bastion, line: &str) -> Result<String> {
    Ok(bastion.shell(line).run()?.success()?.text())
}

fn gets_in(bastion: &Bastion, admin: &Admin<'_>) -> Result<bool> {
    Ok(admin.ssh(&[bastion.place().name, "whoami"])?.code() == 0)
}

/// The record of each can be read and is in force.
fn are_enrolled(bastion: &Bastion, admins: &[&Admin<'_>], when: &str) -> Result<()> {
    for admin in admins {
        let status = bastion.jumpctl(&format!("mfa status {} --json", admin.name()))?;
        let text = status.text();
        ensure!(
            text.contains("\"enrolled\":true") && !text.contains("problem"),
            "{when}: {status}"
        );
    }
    Ok(())
}

/// Runs a line at every moment's end of which the command in it is killed, every other time with jumpd.
fn cut_short(bastion: &Bastion, command: &str, look: impl Fn(&str) -> Result<()>) -> Result<()> {
    for (number, moment) in MOMENTS.into_iter().enumerate() {
        let moment = format!("{}.{:02}", moment / 100, moment % 100);
        let jumpd = if number % 2 == 1 {
            "; systemctl kill --signal=KILL jumpd.service; systemctl restart jumpd.service"
        } else {
            ""
        };
        // 137 where it was killed; the late ones may have come to their end.
        let line = format!("timeout --signal=KILL {moment} {command} >/dev/null 2>&1{jumpd}; true");
        run(bastion, &line)?;
        look(&format!("after {moment} s"))?;
    }
    Ok(())
}

/// Given a new key for all records that is killed at many moments, jumpd with it, then every record stays good, and the next one finishes it.
pub(crate) fn a_rekey_that_is_cut_short_is_finished_by_the_next(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        let arrive = |name| lab.admin(name).at(bastion).may_reach_databases().arrive();
        let (unni, urban) = (arrive("unni")?, arrive("urban")?);
        cut_short(bastion, "jumpctl mfa rekey", |when| {
            are_enrolled(bastion, &[&unni, &urban], when)
        })?;
        bastion.jumpctl("mfa rekey")?.success()?;
        let ring = format!("systemd-creds decrypt --name=jump-mfa {CREDENTIAL} - | wc -l");
        let keys = run(bastion, &ring)?;
        ensure!(keys == "1", "{keys} keys are left");
        run(bastion, "systemctl restart jumpd.service")?;
        ensure!(gets_in(bastion, &unni)? && gets_in(bastion, &urban)?);
        let said = bastion.jumpctl("doctor")?.text();
        ensure!(said.contains("every second factor is sealed"), "{said}");
        Ok(())
    })
}

/// Given a backup whose restore is killed at many moments, jumpd with it, then each user has the old record or that of the backup, and the next restore does all of it.
pub(crate) fn a_restore_that_is_cut_short_is_done_by_the_next(lab: &Lab) -> Result<()> {
    use age::secrecy::ExposeSecret as _;
    lab.on_fragile_bastion(|bastion| {
        let arrive = |name| lab.admin(name).at(bastion).may_reach_databases().arrive();
        let (uggla, ulrik) = (arrive("uggla")?, arrive("ulrik")?);
        let key = age::x25519::Identity::generate();
        bastion.write("/root/cut.key", key.to_string().expose_secret())?;
        let backup = format!("backup /root/cut.age --to {}", key.to_public());
        bastion.jumpctl(&backup)?.success()?;
        let restore =
            "restore /root/cut.age --identity /root/cut.key --replace uggla --replace ulrik";
        cut_short(bastion, &format!("jumpctl {restore}"), |when| {
            are_enrolled(bastion, &[&uggla, &ulrik], when)
        })?;
        bastion.jumpctl(restore)?.success()?;
        are_enrolled(bastion, &[&uggla, &ulrik], "in the end")?;
        // What was good before the restore is used up by it.
        let code = uggla.authenticator()?.code()?;
        let answering = uggla.seat.answering(&[code])?;
        answering
            .ssh([bastion.place().name, "whoami"])
            .run()?
            .failure()?;
        uggla.event_where("mfa.replayed", |e| e.get("JUMP_REASON") == "replayed_code")?;
        Ok(())
    })
}

/// Given a key that does not open on this host, then jumpd does not start with it, nobody gets in but root, and doctor says what to do; with the right one back all is as before.
pub(crate) fn a_key_that_does_not_open_lets_nobody_in(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        let uffa = lab
            .admin("uffa")
            .at(bastion)
            .may_reach_databases()
            .arrive()?;
        super::faults::root_logs_in(bastion, &uffa.seat)?;
        run(
            bastion,
            &format!("cp {CREDENTIAL} /root/aside && head -c 400 /dev/urandom | base64 >{CREDENTIAL}"),
        )?;
        let restart = bastion.shell("systemctl restart jumpd.service").run()?;
        ensure!(restart.code() != 0, "jumpd started: {restart}");
        ensure!(!gets_in(bastion, &uffa)?, "somebody got in");
        super::faults::root_logs_in(bastion, &uffa.seat)?;
        let said = bastion.jumpctl("doctor")?.expect_code(1)?.text();
        ensure!(
            said.contains(CREDENTIAL) && said.contains("jumpctl setup"),
            "{said}"
        );
        run(
            bastion,
            &format!("cat /root/aside >{CREDENTIAL} && systemctl reset-failed jumpd.service && systemctl restart jumpd.service"),
        )?;
        ensure!(gets_in(bastion, &uffa)?, "with the right key");
        Ok(())
    })
}
