//! From a stock Debian to a jump server.

use anyhow::{Context, Result, ensure};
use jump_lab::bastion;
use jump_lab::lab::{self, Lab};
use jump_lab::network::{BASTION, Place};
use jump_lab::seat::{Seat, append};
use jump_lab::story::{until, wait_for};
use std::time::Duration;

/// A host that has just been installed: stock sshd, nothing of ours.
const FRESH: Place = Place {
    name: "fresh",
    addresses: &["10.77.1.2/24", "fd77:1::2/64"],
    second: &["10.77.2.2/24"],
    routes: &[],
    ..BASTION
};

/// Given stock hosts, when an admin jumps through one with stock ssh, then they arrive: the ground works without us.
pub(crate) fn the_lab_itself_is_sound(lab: &Lab) -> Result<()> {
    let fresh = lab.another(&FRESH)?;
    let seat = Seat::take(&lab.client, &[&fresh, &lab.db1], "stock")?;
    append(&fresh, "/root/.ssh/authorized_keys", seat.key())?;
    let state = fresh
        .command("systemctl")
        .args(["is-system-running"])
        .run()?;
    ensure!(state.text() == "running", "{state}");
    let output = seat.command("ssh").args([
        "-J",
        "root@10.77.1.2",
        "db1",
        "hostname; echo $SSH_CONNECTION",
    ]);
    let output = output.run()?.success()?;
    ensure!(output.text().starts_with("db1\n10.77.2.2 "), "{output}");
    Ok(())
}

/// Another host on which a package is installed and removed.
const TRIAL: Place = Place {
    name: "trial",
    addresses: &["10.77.1.3/24", "fd77:1::3/64"],
    second: &["10.77.2.3/24"],
    routes: &[],
    ..BASTION
};

/// Checksums of everything of sshd's, PAM's and the name service's.
const SUMS: &str = "sha256sum /etc/pam.d/* /etc/nsswitch.conf /etc/ssh/sshd_config $(find /etc/ssh/sshd_config.d -type f)";

/// Given a stock host, then the package changes nothing of sshd or PAM, setup does, undo takes it back, and purge leaves no trace.
pub(crate) fn a_package_touches_nothing_before_setup_and_leaves_nothing_after_purge(
    lab: &Lab,
) -> Result<()> {
    let trial = lab.another(&TRIAL)?;
    let seat = Seat::take(&lab.client, &[&trial], "installer")?;
    append(&trial, "/root/.ssh/authorized_keys", seat.key())?;
    let root_logs_in = || -> Result<()> {
        seat.command("ssh")
            .args(["root@10.77.1.3", "true"])
            .run()?
            .success()?;
        Ok(())
    };
    let run = |line: &str| {
        trial
            .shell(line)
            .patience(Duration::from_secs(120))
            .run()?
            .success()
    };
    let stock = run(SUMS)?.text();
    bastion::install(&trial, &lab::package()?)?;
    let sshd_and_pam = |sums: &str| -> Vec<String> {
        sums.lines()
            .filter(|line| !line.contains("nsswitch"))
            .map(str::to_owned)
            .collect()
    };
    ensure!(
        sshd_and_pam(&run(SUMS)?.text()) == sshd_and_pam(&stock),
        "the package changed sshd or PAM"
    );
    ensure!(
        trial
            .read("/etc/nsswitch.conf")?
            .contains("passwd:         files jump"),
        "nsswitch"
    );
    root_logs_in()?;

    let dry = run("jumpctl setup --dry-run")?;
    ensure!(dry.text().contains("pam_jump.so"), "{dry}");
    ensure!(
        sshd_and_pam(&run(SUMS)?.text()) == sshd_and_pam(&stock),
        "a dry run changed something"
    );
    run("jumpctl setup --yes")?;
    run("jumpctl setup --yes")?;
    ensure!(
        trial
            .read("/etc/pam.d/sshd")?
            .matches("pam_jump.so")
            .count()
            == 3,
        "PAM lines"
    );
    root_logs_in()?;
    let nobody = seat
        .command("ssh")
        .args(["-o", "BatchMode=yes", "alice@10.77.1.3", "true"])
        .run()?;
    ensure!(nobody.code() != 0, "a user who is in no policy logged in");

    run("apt-get purge --yes jump-server")?;
    let after = run(SUMS)?.text();
    ensure!(after == stock, "before:\n{stock}\nafter:\n{after}");
    run(
        "test ! -e /var/lib/jump && test ! -e /etc/jump && test ! -e /run/jump && test ! -e /run/jump-guard",
    )?;
    root_logs_in()
}

/// Given the installed units, then systemd finds little left to expose in each.
pub(crate) fn every_service_is_confined(lab: &Lab) -> Result<()> {
    for unit in [
        "jumpd.service",
        "jump-guard.service",
        "jump-policy.service",
        "jump-policy-again.service",
        "jump-egress.service",
        "jump-retention.service",
    ] {
        let output = lab
            .bastion
            .command("systemd-analyze")
            .args(["security", "--no-pager", "--threshold=20", unit])
            .run()?;
        ensure!(
            output.code() == 0,
            "{unit} is more exposed than 2.0\n{output}"
        );
    }
    Ok(())
}

/// A jump server with other long-lived programs that look up names.
const NAMES: Place = Place {
    name: "names",
    addresses: &["10.77.1.8/24", "fd77:1::8/64"],
    second: &["10.77.2.8/24"],
    routes: &[],
    ..BASTION
};

/// Given a user of the policy, then nscd, sudo and cron, with our library inside them, know the user.
pub(crate) fn names_are_known_inside_nscd_sudo_and_cron(lab: &Lab) -> Result<()> {
    let names = lab.another(&NAMES)?;
    let seat = Seat::take(&lab.client, &[&names], "sam")?;
    let run = |line: &str| names.shell(line).run()?.success();
    bastion::install(&names, &lab::package()?)?;
    run("jumpctl setup --yes")?;
    names.write(
        bastion::POLICY,
        format!(
            "version = 1\n[users.sam]\nuid = 71001\nkeys = [\"{}\"]\n",
            seat.key()
        ),
    )?;
    wait_for("the user's name", || {
        Ok(names.shell("getent passwd sam").run()?.code() == 0)
    })?;
    ensure!(run("sudo -u sam id -un")?.text() == "sam", "sudo");

    run("systemctl unmask nscd.service && systemctl start nscd.service")?;
    for line in [
        "getent passwd sam",
        "getent passwd 71001",
        "getent group jump-users",
        "getent initgroups sam",
    ] {
        run(line)?;
    }
    run("grep -q libnss_jump /proc/$(pgrep -x nscd)/maps")
        .context("nscd did not ask our library")?;
    ensure!(run("id sam")?.text().contains("uid=71001(sam)"), "nscd");
    run("pgrep -x nscd")?;

    names.write(
        "/etc/cron.d/lab",
        "* * * * * sam /usr/bin/id > /var/tmp/by-cron\n",
    )?;
    let said = until(Duration::from_secs(100), || {
        let text = names.read("/var/tmp/by-cron").unwrap_or_default();
        Ok((!text.is_empty()).then_some(text))
    })?;
    let log = names.shell("journalctl -u cron -o cat --no-pager").run()?;
    ensure!(
        said.is_some_and(|text| text.contains("uid=71001(sam) gid=66000(jump-users)")),
        "cron: {log}"
    );
    Ok(())
}
