//! A34: upgrade, downgrade and removal of the package, while people are logged in.

use anyhow::{Context, Result, ensure};
use jump_lab::bastion::Bastion;
use jump_lab::lab::{Lab, package};
use jump_lab::network::{BASTION, ECHO, Place};
use jump_lab::seat::{Seat, append};
use jump_lab::story::{PATIENCE, until, wait_for};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

const CHANGING: Place = Place {
    name: "changing",
    addresses: &["10.77.1.34/24", "fd77:1::34/64"],
    second: &["10.77.2.34/24", "fd77:2::34/64"],
    ..BASTION
};
/// A package manager may take a while.
const INSTALLING: Duration = Duration::from_secs(120);
/// Makes the package anew with another version, and nothing else changed.
const REPACK: &str = "set -e; cd /root; rm -rf repack; dpkg-deb -R now.deb repack; \
                      sed -i 's/^Version: .*/Version: VERSION/' repack/DEBIAN/control; dpkg-deb -Zgzip -z1 -b --root-owner-group repack other.deb";

fn run(host: &Bastion, line: &str) -> Result<()> {
    let output = host.shell(line).patience(INSTALLING).run()?;
    output.success().with_context(|| line.to_owned())?;
    Ok(())
}

fn root_logs_in(seat: &Seat, host: &Bastion) -> Result<()> {
    let target = format!("root@{}", host.place().name);
    let output = seat
        .command("ssh")
        .args([&target, "id -u"])
        .run()?
        .success()?;
    ensure!(output.text() == "0", "{output}");
    Ok(())
}

/// Given a session with an open connection, when the package is upgraded, downgraded and purged, then neither is dropped, nothing opens, and root logs in throughout.
pub(crate) fn a34_changing_the_package_neither_drops_nor_opens_access(lab: &Lab) -> Result<()> {
    let machine = lab.another(&CHANGING)?;
    lab.introduce(&machine)?;
    let host = Bastion::new(Arc::new(machine))?;
    host.install(&package()?)?;
    let zita = lab.admin("zita").at(&host).may_reach_databases().arrive()?;
    append(&host, "/root/.ssh/authorized_keys", zita.seat.key())?;
    fs::copy(package()?, host.path("/root/now.deb"))?;

    let mut master = zita.open_master(&[])?;
    let through = |destination: String| {
        zita.seat
            .command("ssh")
            .args(["-S", "master", "-W", &destination, "changing"])
            .input("hello\n")
            .run()
    };
    let mut open = zita
        .seat
        .command("ssh")
        .args(["-S", "master", "-W", &format!("db1:{ECHO}"), "changing"])
        .open_input()
        .start()?;
    open.say("installed\n")?;
    open.wait_for("installed", PATIENCE)?;

    for version in ["9.9.9", "0.0.1"] {
        run(&host, &REPACK.replace("VERSION", version))?;
        let mut dpkg = host
            .command("dpkg")
            .args(["--install", "--force-downgrade", "/root/other.deb"])
            .start()?;
        while !dpkg.ended()? {
            root_logs_in(&zita.seat, &host).context("root, meanwhile")?;
            let outside = through("127.0.0.1:22".to_owned())?;
            ensure!(outside.stdout.is_empty(), "meanwhile: {outside}");
        }
        dpkg.wait(INSTALLING)?.success()?;
        let now = host
            .shell("dpkg-query -W -f '${Version}' jump-server")
            .run()?;
        ensure!(now.text() == version, "{now}");
        ensure!(
            !master.ended()?,
            "{version}: the session was dropped: {}",
            master.complained()
        );
        open.say(&format!("{version}\n"))?;
        open.wait_for(version, PATIENCE)?;
        // The guard takes its post with the new jumpd within a second or two.
        let listed = until(PATIENCE, || {
            Ok((through(format!("db1:{ECHO}"))?.text() == "hello").then_some(()))
        })?;
        ensure!(
            listed.is_some(),
            "{version}: no forward in the session that lived on"
        );
        let refused = through(format!("db2:{ECHO}"))?;
        ensure!(
            refused.code() != 0 && refused.stdout.is_empty(),
            "{version}: {refused}"
        );
        zita.ssh(&["changing", "whoami"])?
            .success()
            .context("a new login")?;
        root_logs_in(&zita.seat, &host)?;
    }
    ensure!(
        zita.events("session.closed").len() <= 2,
        "the session was closed in the books"
    );

    // Gone altogether: who is inside keeps what is open, and gets nothing new.
    run(&host, "apt-get purge --yes jump-server")?;
    root_logs_in(&zita.seat, &host)?;
    let refused = through(format!("db1:{ECHO}"))?;
    ensure!(
        refused.code() != 0 && refused.stdout.is_empty(),
        "without jumpd: {refused}"
    );
    let outside = through("127.0.0.1:22".to_owned())?;
    ensure!(
        outside.code() != 0 && outside.stdout.is_empty(),
        "without jumpd: {outside}"
    );
    let stranger = zita.ssh(&["changing", "whoami"])?;
    ensure!(
        stranger.code() != 0,
        "a user of no policy logged in: {stranger}"
    );
    Ok(())
}

/// Given a PAM line whose module is gone, then a stock host locks out whom it concerns; given ours, gone without its line, then root logs in and nobody else of ours does.
pub(crate) fn a34_root_logs_in_with_the_module_gone(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let abby = lab.admin("abby").may_reach_databases().arrive()?;
    let robot = lab
        .admin("abot")
        .user("mfa = \"none\"")
        .policy(
            "[[rules]]\nname = \"abot-rule\"\neffect = \"allow\"\nusers = [\"abot\"]\n\
             targets = [\"databases\"]\nfrom = [\"10.77.1.0/24\"]\n",
        )
        .unenrolled()
        .arrive()?;
    stock.account(&abby.seat)?;
    let login = || abby.seat.command("ssh").args(["stock", "true"]).run();
    login()?.success()?;
    stock.pam(
        "abby",
        "account",
        &["required pam_of_a_package_that_was_removed.so"],
    )?;
    ensure!(
        login()?.code() != 0,
        "the stock host lets in past a module that is gone"
    );

    append(&lab.bastion, "/root/.ssh/authorized_keys", abby.seat.key())?;
    let module = lab
        .bastion
        .shell("ls /usr/lib/*-linux-gnu/security/pam_jump.so")
        .run()?
        .text();
    let away = format!("{module}.away");
    let (module, away) = (lab.bastion.path(&module), lab.bastion.path(&away));
    fs::rename(&module, &away)?;
    let attempt = || -> Result<()> {
        crate::scenarios::root_logs_in(lab, &abby.seat)?;
        for admin in [&abby, &robot] {
            for args in [vec!["bastion", "whoami"], vec!["-W", "db1:5432", "bastion"]] {
                let output = admin
                    .seat
                    .answering(&["000000"])?
                    .ssh(args.clone())
                    .input("hello\n")
                    .run()?;
                ensure!(
                    output.code() != 0
                        && !output.text().contains("hello")
                        && !output.text().contains("(uid"),
                    "{} {args:?}: {output}",
                    admin.name()
                );
            }
        }
        let red = lab.jumpctl("doctor")?;
        ensure!(
            red.code() == 1 && red.text().contains("pam_jump.so is not there"),
            "{red}"
        );
        Ok(())
    };
    let outcome = attempt();
    fs::rename(&away, &module)?;
    outcome?;
    wait_for("sshd's word about the module", || {
        let said = lab.journal.since(Default::default(), |e| {
            e.get("SYSLOG_IDENTIFIER").starts_with("sshd") && e.message().contains("pam_jump.so")
        });
        Ok(!said.is_empty())
    })?;
    abby.ssh(&["bastion", "whoami"])?.success()?;
    Ok(())
}
