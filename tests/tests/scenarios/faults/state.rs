//! `/var/lib/jump` full, read-only, with errors of its disk, and with files
//! that lost their end.

use super::{LIMIT, Visit, gets_through, is_refused, root_logs_in};
use anyhow::{Context, Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::authenticator::Authenticator;
use jump_lab::bastion::{Bastion, POLICY};
use jump_lab::lab::Lab;
use jump_lab::network::QUARTER;
use jump_lab::process::Running;
use jump_lab::story::PATIENCE;

/// Puts the state onto a file system of its own, and back.
const ON_SMALL_DISK: &str = "systemctl stop jumpd.service && cp -a /var/lib/jump /run/state-copy
     mount -t tmpfs -o size=2m,mode=0755 tmpfs /var/lib/jump && cp -a /run/state-copy/. /var/lib/jump/
     systemctl start jumpd.service";
const OFF_SMALL_DISK: &str = "systemctl stop jumpd.service && rm -rf /run/state-copy
     umount /var/lib/jump && systemctl start jumpd.service";

fn run(bastion: &Bastion, line: &str) -> Result<()> {
    bastion.shell(line).run()?.success()?;
    Ok(())
}

/// A way in which the state cannot be written.
enum Trouble {
    /// By a line of shell, and the line that mends it.
    Disk(&'static str, &'static str),
    /// Every flush fails (EIO).
    Errors,
}

/// Given a session, when the state directory is full, read-only, or on a disk that fails, then nobody logs in with a code that cannot be marked as used, no edit comes into force, sessions go on, and root logs in.
pub(crate) fn fault_a_state_that_cannot_be_written_lets_nobody_in(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        run(bastion, ON_SMALL_DISK)?;
        let mut visit = Visit::begin(lab, bastion, "wanja")?;
        for trouble in [
            Trouble::Disk(
                "cat /dev/zero >/var/lib/jump/fill || true",
                "rm /var/lib/jump/fill",
            ),
            Trouble::Disk(
                "mount -o remount,ro /var/lib/jump",
                "mount -o remount,rw /var/lib/jump",
            ),
            Trouble::Errors,
        ] {
            let mut strace = None;
            match trouble {
                Trouble::Disk(breaks, _) => run(bastion, breaks)?,
                Trouble::Errors => strace = Some(flushes_fail(bastion)?),
            }
            is_refused(bastion, &visit.admin, LIMIT)?;
            no_edit_comes_into_force(bastion)?;
            visit.forwards_as_before()?;
            visit.flow_goes_on()?;
            drop(strace);
            if let Trouble::Disk(_, mends) = trouble {
                run(bastion, mends)?;
            }
            gets_through(bastion, &visit.admin)?;
        }
        let refused = visit.admin.wait_events("mfa.failed", 3);
        ensure!(
            refused.len() == 3
                && refused
                    .iter()
                    .all(|e| e.get("JUMP_REASON") == "not_persisted"),
            "{refused:?}"
        );
        visit.leave()?;
        run(bastion, OFF_SMALL_DISK)
    })
}

/// strace on jumpd, which makes every fsync(2) fail; when it is dropped, they work again.
fn flushes_fail(bastion: &Bastion) -> Result<Running> {
    let mut strace = bastion
        .shell(
            "exec strace -f -e trace=fsync,fdatasync -e inject=fsync,fdatasync:error=EIO \
             -p $(systemctl show --property=MainPID --value jumpd.service)",
        )
        .start()?;
    strace.wait_for(" attached", PATIENCE)?;
    Ok(strace)
}

fn no_edit_comes_into_force(bastion: &Bastion) -> Result<()> {
    let in_force = || -> Result<String> { Ok(bastion.jumpctl("status --json")?.success()?.text()) };
    bastion.with_policy_held(|text| {
        let mark = bastion.journal.mark();
        bastion.write(POLICY, format!("{text}\n# an edit\n"))?;
        let rejected = bastion
            .journal
            .wait(mark, 1, PATIENCE, |e| e.is("policy.rejected"));
        let rejected = rejected.first().context("no policy.rejected")?;
        ensure!(rejected.get("JUMP_REASON") == "not_persisted", "{rejected}");
        let hash = jump_lab::policy::hash(text);
        let status = in_force()?;
        ensure!(status.contains(&hash), "{hash} is not in force: {status}");
        bastion.write(POLICY, text)
    })
}

/// A file of the state, by a line of shell that prints its name.
const FILES: [&str; 5] = [
    "echo $(readlink -f /var/lib/jump/current)/policy.toml",
    "echo $(readlink -f /var/lib/jump/current)/SHA256SUMS",
    "echo /var/lib/jump/accounts",
    "echo /var/lib/jump/keys",
    "ls /var/lib/jump/mfa/*.json | tail -n 1",
];

/// Given a user with a rule that allows and a last one that denies, when a file of the state is cut, then jumpd starts or says why not, what was denied stays denied, root logs in; mended, all is as before.
///
/// Every length of each file is tried by the tests of the code that reads it.
pub(crate) fn fault_state_that_lost_its_end_opens_nothing(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        let zed = lab
            .admin("zz-zed")
            .at(bastion)
            .policy(format!(
                "[[rules]]\nname = \"zed-all\"\neffect = \"allow\"\nusers = [\"zz-zed\"]\ntargets = [\"databases\"]\n\
                 [targets.quarter]\nhosts = [\"db1\"]\nports = [{QUARTER}]\n\
                 [[rules]]\nname = \"zed-not-there\"\neffect = \"deny\"\nusers = [\"zz-zed\"]\ntargets = [\"quarter\"]\n"
            ))
            .arrive()?;
        gets_through(bastion, &zed)?;
        for file in FILES {
            let path = bastion.shell(file).run()?.success()?.text();
            let whole = std::fs::read(bastion.path(&path))?;
            // Without the last rule the policy is one, too.
            let text = String::from_utf8_lossy(&whole);
            let before_last_rule = text.rfind("[[rules]]").unwrap_or(1);
            let is_record = path.contains("/mfa/");
            // A record without its line's end is still one, and good for a code; the whole one would be an
            // old copy after that, which is refused.
            let almost = whole.len() - if is_record { 2 } else { 1 };
            for length in [0, before_last_rule, almost] {
                if !is_record {
                    new_codes(bastion, &zed)?;
                }
                run(bastion, &format!("cp -a {path} {path}.whole && truncate --size={length} {path}"))?;
                let outcome = what_was_denied_stays_denied(bastion, &zed)
                    .with_context(|| format!("{path} cut to {length} of {} bytes", whole.len()));
                run(bastion, &format!("mv {path}.whole {path} && systemctl restart jumpd.service"))?;
                outcome?;
            }
            if !is_record {
                new_codes(bastion, &zed)?;
            }
            gets_through(bastion, &zed)?;
        }
        Ok(())
    })
}

/// A new secret, whose codes have not been used: of one secret there is one every half minute.
fn new_codes(bastion: &Bastion, admin: &Admin<'_>) -> Result<()> {
    let enrolment = bastion
        .jumpctl(&format!("mfa enroll {} --no-confirm --json", admin.name()))?
        .success()?;
    *admin.authenticator()? = Authenticator::from_enrolment(&enrolment.text())?;
    Ok(())
}

fn what_was_denied_stays_denied(bastion: &Bastion, admin: &Admin<'_>) -> Result<()> {
    // It may refuse to start; nobody gets in then.
    let _started = bastion.shell("systemctl restart jumpd.service").run()?;
    let denied = format!("db1:{QUARTER}");
    let output = admin
        .ssh(&["-W", &denied, bastion.place().name])?
        .failure()?;
    ensure!(output.stdout.is_empty(), "{output}");
    root_logs_in(bastion, &admin.seat)
}
