//! A32: clocks that are put forward and back, hours that come twice or never, other people's time zones.

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use jump_lab::lab::Lab;
use jump_lab::network::ECHO;
use jump_lab::story::{PATIENCE, until, wait_for};
use std::fs;
use std::time::Duration;

/// How far jumpd's and the guards' clock is from the machine's, as libfaketime reads it.
const OFFSET: &str = "/etc/jump-lab-offset";
const LIBRARY: &str = "/usr/local/lib/libfaketimeMT.so.1";
/// Whatever is cut is gone after this.
const LIMIT: Duration = Duration::from_secs(3);

/// Gives jumpd and the guards a clock that this test sets; nothing else on the machine has it.
fn with_clock(lab: &Lab, tell: impl FnOnce() -> Result<()>) -> Result<()> {
    let found = lab
        .stock()?
        .sh("ls /usr/lib/*/faketime/libfaketimeMT.so.1")?
        .text();
    fs::copy(lab.stock()?.path(&found), lab.bastion.path(LIBRARY))?;
    lab.bastion.write(OFFSET, "+0s\n")?;
    let drop_in = format!(
        "[Service]\nEnvironment=LD_PRELOAD={LIBRARY} FAKETIME_TIMESTAMP_FILE={OFFSET} FAKETIME_NO_CACHE=1 \
         FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1 FAKETIME_DISABLE_SHM=1\n"
    );
    let units = ["jumpd.service", "jump-guard.service"];
    for unit in units {
        let directory = format!("/etc/systemd/system/{unit}.d");
        fs::create_dir_all(lab.bastion.path(&directory))?;
        lab.bastion
            .write(&format!("{directory}/clock.conf"), &drop_in)?;
    }
    let renew = "systemctl daemon-reload && systemctl restart jumpd.service jump-guard.service";
    lab.bastion.shell(renew).run()?.success()?;
    let outcome = follows(lab).and_then(|()| tell());
    for unit in units {
        fs::remove_dir_all(lab.bastion.path(&format!("/etc/systemd/system/{unit}.d")))?;
    }
    lab.bastion.shell(renew).run()?.success()?;
    outcome
}

/// Whether jumpd has the clock that is set here: a test on another clock would prove nothing.
fn follows(lab: &Lab) -> Result<()> {
    let pid = "$(systemctl show --property=MainPID --value jumpd.service)";
    let line = format!("grep -q faketime /proc/{pid}/maps");
    lab.bastion
        .shell(&line)
        .run()?
        .success()
        .context("jumpd has no clock of its own")?;
    Ok(())
}

/// Puts that clock to a moment.
fn set_clock(lab: &Lab, to: &str) -> Result<()> {
    let to: Timestamp = to.parse()?;
    let seconds = to.as_second() - Timestamp::now().as_second();
    // In place: the library looks at the file it has read before.
    fs::write(lab.bastion.path(OFFSET), format!("{seconds:+}s\n"))?;
    Ok(())
}

/// Given pam_time, then a session outlives its window; given ours, then hours that are skipped or come twice mean what the
/// window's zone says, a clock put forward ends what it closes, and one put back brings no code back.
pub(crate) fn a32_the_host_clock_and_zone_count(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let tables = "[windows.axis-night]\ndays = [\"mon-sun\"]\nhours = [\"02:30-02:45\"]\ntimezone = \"Europe/Paris\"\n\
                  [windows.axis-late]\ndays = [\"mon-sun\"]\nhours = [\"22:00-02:00\"]\ntimezone = \"Europe/Paris\"\n\
                  [[rules]]\nname = \"arne-rule\"\neffect = \"allow\"\nusers = [\"arne\"]\ntargets = [\"databases\"]\n\
                  windows = [\"axis-night\", \"axis-late\"]\n";
    let arne = lab.admin("arne").policy(tables).arrive()?;
    stock.account(&arne.seat)?;
    stock.write("/etc/security/time.conf", "sshd;*;arne;Al0000-2400\n")?;
    stock.pam("arne", "account", &["required pam_time.so"])?;
    let mut outlives = arne.seat.command("ssh").args(["-N", "stock"]).start()?;
    wait_for("the stock host's session", || {
        Ok(!stock
            .shell("pgrep -u arne || true")
            .run()?
            .text()
            .is_empty())
    })?;
    stock.write("/etc/security/time.conf", "sshd;*;arne;!Al0000-2400\n")?;
    let refused = arne.seat.command("ssh").args(["stock", "true"]).run()?;
    ensure!(
        refused.code() != 0,
        "pam_time's window did not close: {refused}"
    );
    std::thread::sleep(LIMIT);
    ensure!(!outlives.ended()?, "pam_time ended a session");
    outlives.kill();

    with_clock(lab, || {
        let mut sheet = vec![];
        for _ in 0..9 {
            sheet.push(arne.authenticator()?.recovery_code()?);
        }
        let mut enters = |at: &str| -> Result<bool> {
            set_clock(lab, at)?;
            let code = sheet.pop().context("no code left")?;
            let output = arne
                .seat
                .answering(&[code])?
                .command("ssh")
                // The user's own zone is nobody's business.
                .env("TZ", "Pacific/Kiritimati")
                .args(["-o", "SendEnv=TZ", "bastion", "whoami"])
                .run()?;
            let explained = lab.jumpctl(&format!(
                "explain arne db1:{ECHO} --from 10.77.1.20 --at {at}"
            ))?;
            ensure!(
                (output.code() == 0) == (explained.code() == 0),
                "{at}: the login and explain differ: {output}\n{explained}"
            );
            Ok(output.code() == 0)
        };
        // Paris skips from 02:00 to 03:00 on 2026-03-29, and has 02:00 to 03:00 twice on 2026-10-25.
        for (at, inside) in [
            ("2026-03-28T01:35:00Z", true),
            ("2026-03-29T01:00:10Z", false),
            ("2026-10-25T00:35:00Z", true),
            ("2026-10-25T01:35:00Z", true),
            ("2026-10-25T01:45:00Z", false),
            ("2026-03-28T22:30:00Z", true),
            // 22:00 to 02:00 of the night in which 02:00 does not come.
            ("2026-03-29T00:59:50Z", true),
        ] {
            ensure!(enters(at)? == inside, "at {at}");
        }
        // A clock that is put forward past the end of the window.
        set_clock(lab, "2026-03-28T22:30:00Z")?;
        let code = sheet.pop().context("no code left")?;
        let answering = arne.seat.answering(&[code])?;
        let mut master = answering
            .ssh(["-M", "-S", "master", "-N", "-v", "bastion"])
            .start()?;
        master.wait_for("Entering interactive session", PATIENCE)?;
        let mut open = arne
            .seat
            .command("ssh")
            .args(["-S", "master", "-W", &format!("db1:{ECHO}"), "bastion"])
            .open_input()
            .start()?;
        open.say("hello\n")?;
        open.wait_for("hello", PATIENCE)?;
        set_clock(lab, "2026-03-29T02:30:00Z")?;
        let cut = until(LIMIT, || Ok(master.ended()?.then_some(())))?;
        ensure!(cut.is_some(), "the session outlived its window");
        arne.event_where("session.closed", |e| {
            e.get("JUMP_REASON") == "window_closed"
        })?;
        Ok(())
    })?;
    let denied = arne.wait_events("access.denied", 2);
    ensure!(
        denied.len() == 2
            && denied
                .iter()
                .all(|e| e.get("JUMP_REASON") == "outside_window"),
        "{denied:?}"
    );
    Ok(())
}

/// Given a clock that is put back by a step, then a code that was used is not good again.
pub(crate) fn a32_a_clock_put_back_brings_no_code_back(lab: &Lab) -> Result<()> {
    let asta = lab.admin("asta").may_reach_databases().arrive()?;
    with_clock(lab, || {
        let code = asta.authenticator()?.code()?;
        let login = || {
            asta.seat
                .answering(&[&code])?
                .ssh(["bastion", "whoami"])
                .run()
        };
        login()?.success()?;
        for back in [30, 60, 3600] {
            fs::write(lab.bastion.path(OFFSET), format!("-{back}s\n"))?;
            ensure!(login()?.code() != 0, "{back} s back: the code let in again");
        }
        fs::write(lab.bastion.path(OFFSET), "+0s\n")?;
        ensure!(
            login()?.code() != 0,
            "the clock set right again: the code let in again"
        );
        Ok(())
    })?;
    ensure!(asta.events("mfa.ok").len() == 1, "accepted more than once");
    ensure!(!asta.events("mfa.replayed").is_empty(), "no replay is told");
    Ok(())
}
