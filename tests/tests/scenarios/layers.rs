//! Three layers, each alone: the session filter, Landlock, and the packet filter.
//!
//! On a bastion whose module leaves layers out. What a layer does not stop
//! alone is written down in docs/threat-model.md, and tested as what it is.

use anyhow::{Context, Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::bastion::Bastion;
use jump_lab::lab::Lab;
use jump_lab::network::{DB1, DB2, ECHO};
use jump_lab::story::{PATIENCE, wait_for};
use jump_lab::weak::{self, Layer, Probed};
use std::time::{Duration, Instant};

/// The ways to TCP that end in the kernel's connect, where Landlock looks.
const LANDLOCK_SEES: &[&str] = &["connect", "fastopen_connect", "io_uring"];
/// EACCES.
const FORBIDDEN: &str = "refused 13";

/// A host that answers and that the policy does not name.
fn unlisted() -> String {
    format!("{}:{ECHO}", DB2.address())
}

/// A host that the policy names.
fn listed() -> String {
    format!("{}:{ECHO}", DB1.address())
}

/// Every way, tried inside a session.
fn inside(admin: &Admin<'_>, destination: &str) -> Result<Probed> {
    Probed::read(
        &admin
            .in_session(&Probed::line(destination))?
            .run()?
            .success()?,
    )
}

/// Every way, tried by a process with this uid and the group of the policy's users, outside of any session.
fn outside(bastion: &Bastion, uid: u32, destination: &str) -> Result<Probed> {
    let line = format!(
        "setpriv --reuid {uid} --regid 66000 --clear-groups {}",
        Probed::line(destination)
    );
    Probed::read(&bastion.shell(&line).run()?.success()?)
}

/// `ssh -W` over the shared connection: what sshd's own child connects.
fn forwarded(admin: &Admin<'_>, destination: &str) -> Result<bool> {
    let output = admin
        .seat
        .command("ssh")
        .args(["-S", "master", "-W", destination, "weak"])
        .input("hello\n")
        .run()?;
    Ok(output.text() == "hello")
}

/// Given the package, then its module knows nothing of leaving layers out; the test build does.
pub(crate) fn the_packaged_module_cannot_be_weakened(lab: &Lab) -> Result<()> {
    ensure!(
        !weak::can_be_weakened(&lab.bastion)?,
        "the package's module"
    );
    lab.weak_bastion()?.without(&[], |bastion| {
        ensure!(weak::can_be_weakened(bastion)?, "the test build");
        Ok(())
    })
}

/// Given a session without the filter, then Landlock alone refuses every TCP connect, io_uring's included; fast open, MPTCP and UDP it does not see.
pub(crate) fn landlock_alone_stops_every_tcp_connect(lab: &Lab) -> Result<()> {
    lab.weak_bastion()?.without(&[Layer::Seccomp], |bastion| {
        let cydlin = lab
            .admin("cydlin")
            .at(bastion)
            .may_reach_databases()
            .arrive()?;
        let absent = outside(bastion, cydlin.uid, &unlisted())?;
        for way in LANDLOCK_SEES {
            ensure!(absent.became(way) == "reached", "outside: {absent:?}");
        }
        let probed = inside(&cydlin, &unlisted())?;
        for way in LANDLOCK_SEES {
            ensure!(probed.became(way) == FORBIDDEN, "{way}: {probed:?}");
        }
        let rest: Vec<&str> = absent
            .open()
            .into_iter()
            .filter(|way| !LANDLOCK_SEES.contains(way))
            .collect();
        ensure!(
            probed.open() == rest,
            "Landlock stops other ways than docs/threat-model.md says: {probed:?}"
        );
        // sshd's child connects for itself where no guard does it: refused, for what is listed too.
        for destination in [unlisted(), listed()] {
            ensure!(!forwarded(&cydlin, &destination)?, "-W {destination}");
        }
        Ok(())
    })
}

/// Given a session without Landlock, then the filter alone refuses every way.
pub(crate) fn the_filter_alone_stops_every_way(lab: &Lab) -> Result<()> {
    lab.weak_bastion()?.without(&[Layer::Landlock], |bastion| {
        let finn = lab
            .admin("finn")
            .at(bastion)
            .may_reach_databases()
            .arrive()?;
        let absent = outside(bastion, finn.uid, &unlisted())?;
        ensure!(absent.open().len() > LANDLOCK_SEES.len(), "{absent:?}");
        let probed = inside(&finn, &unlisted())?;
        ensure!(probed.open().is_empty(), "{probed:?}");
        ensure!(!forwarded(&finn, &unlisted())?, "-W");
        let opened = finn.event("session.opened")?;
        let sandbox = opened.get("JUMP_SANDBOX");
        ensure!(!sandbox.contains("landlock"), "{opened}");
        finn.event("forward.denied")?;
        ensure!(forwarded(&finn, &listed())?, "-W to what is listed");
        Ok(())
    })
}

const BOTH: &[Layer] = &[Layer::Seccomp, Layer::Landlock];

/// Given sessions without filter and without Landlock, then the packet filter alone bounds them to the policy, follows it, and goes without a trace.
pub(crate) fn the_packet_filter_alone_bounds_sessions_to_the_policy(lab: &Lab) -> Result<()> {
    lab.weak_bastion()?.without(BOTH, |bastion| {
        let cydbert = lab
            .admin("cydbert")
            .at(bastion)
            .policy(
                "[targets.cydberts]\nhosts = [\"10.77.2.11\"]\nports = [5432]\n\
                 [[rules]]\nname = \"cydberts\"\neffect = \"allow\"\nusers = [\"cydbert\"]\ntargets = [\"cydberts\"]\n",
            )
            .arrive()?;
        let absent = outside(bastion, cydbert.uid, &unlisted())?;
        let probed = inside(&cydbert, &unlisted())?;
        ensure!(probed.open() == absent.open(), "nothing is in the way: {probed:?}");

        let dry = bastion.jumpctl("setup --nftables --dry-run")?.success()?;
        ensure!(dry.text().contains("10.77.2.11"), "{dry}");
        ensure!(!table(bastion)?, "a dry run made a table");
        bastion.setup("setup --nftables --yes")?;
        let outcome = bounded(bastion, &cydbert, &absent);
        bastion.setup("setup --undo --yes")?;
        let left = "systemctl list-unit-files 'jump-egress.*' --state=enabled --no-legend; ls /run/jump-egress 2>/dev/null";
        let left = bastion.shell(left).run()?.text();
        let there = table(bastion)?;
        bastion.setup("setup --yes")?;
        outcome?;
        ensure!(!there && left.is_empty(), "undo leaves something: {left}");
        Ok(())
    })
}

fn table(bastion: &Bastion) -> Result<bool> {
    let tables = bastion.shell("nft list tables").run()?.success()?;
    Ok(tables.text().contains("inet jump_server"))
}

/// What doctor says of the packet filter: whether it is in order, and the sentence.
fn doctor(bastion: &Bastion) -> Result<(bool, String)> {
    let said: serde_json::Value = serde_json::from_str(&bastion.jumpctl("doctor --json")?.text())?;
    let finding = said
        .get("findings")
        .and_then(serde_json::Value::as_array)
        .and_then(|all| {
            all.iter()
                .find(|finding| finding.get("check").is_some_and(|check| check == "egress"))
        })
        .with_context(|| format!("doctor says nothing of the packet filter: {said}"))?;
    Ok((
        finding
            .get("verdict")
            .is_some_and(|verdict| verdict == "ok"),
        finding.to_string(),
    ))
}

fn bounded(bastion: &Bastion, cydbert: &Admin<'_>, absent: &Probed) -> Result<()> {
    // In a session, outside of one, and for a uid that is in no policy but has the group.
    for probed in [
        inside(cydbert, &unlisted())?,
        outside(bastion, cydbert.uid, &unlisted())?,
        outside(bastion, 71_999, &unlisted())?,
    ] {
        ensure!(probed.open().is_empty(), "{probed:?}");
    }
    ensure!(inside(cydbert, &listed())?.became("connect") == "reached");
    ensure!(
        inside(cydbert, "127.0.0.1:22")?.open().is_empty(),
        "the bastion itself"
    );
    for line in ["", "setpriv --reuid 1000 --regid 1000 --clear-groups "] {
        let line = format!("{line}{}", Probed::line(&unlisted()));
        let untouched = Probed::read(&bastion.shell(&line).run()?.success()?)?;
        ensure!(untouched.open() == absent.open(), "{line}: {untouched:?}");
    }
    let green = doctor(bastion)?;
    ensure!(green.0, "{}", green.1);

    // It follows an edit that widens, and one that narrows.
    let target = |old: &str, new: &str| {
        let saved = Instant::now();
        bastion.edit_policy(|policy| policy.replace("cydbert", old, new))?;
        ensure!(
            saved.elapsed() < Duration::from_secs(10),
            "{:?}",
            saved.elapsed()
        );
        Ok(())
    };
    target("[\"10.77.2.11\"]", "[\"10.77.2.0/24\"]")?;
    ensure!(
        inside(cydbert, &unlisted())?.became("connect") == "reached",
        "widened"
    );
    target("[\"10.77.2.0/24\"]", "[\"10.77.2.11\"]")?;
    ensure!(inside(cydbert, &unlisted())?.open().is_empty(), "narrowed");

    // Another hand in it is seen, and taken out.
    bastion
        .shell("nft insert rule inet jump_server session accept")
        .run()?
        .success()?;
    ensure!(!doctor(bastion)?.0, "doctor does not see a foreign rule");
    bastion.jumpctl("egress")?.success()?;
    let green = doctor(bastion)?;
    ensure!(green.0, "{}", green.1);

    // Where nft fails, apply says so, the journal says so, and doctor is red.
    let mark = bastion.journal.mark();
    let changed = |success: bool| {
        let word = if success { "success" } else { "failure" };
        let found = bastion.journal.wait(mark, 1, PATIENCE, |entry| {
            entry.is("posture.changed") && entry.get("JUMP_OUTCOME") == word
        });
        ensure!(!found.is_empty(), "no posture.changed with {word}");
        Ok(())
    };
    bastion
        .shell("mv /usr/sbin/nft /usr/sbin/nft.away && printf '#!/bin/sh\\necho nft is broken >&2\\nexit 1\\n' >/usr/sbin/nft && chmod 755 /usr/sbin/nft")
        .run()?
        .success()?;
    let apply = bastion.jumpctl("apply");
    let red = doctor(bastion);
    let told = changed(false);
    bastion
        .shell("mv /usr/sbin/nft.away /usr/sbin/nft")
        .run()?
        .success()?;
    let apply = apply?.expect_code(2)?;
    ensure!(
        apply.stderr.contains("egress ruleset does not follow"),
        "{apply}"
    );
    ensure!(!red?.0, "doctor is green without nft");
    told?;
    bastion.jumpctl("apply")?.success()?;
    changed(true)?;

    // sshd waits for it at boot.
    let before = bastion
        .shell("systemctl show --property=Before --value jump-egress.service")
        .run()?;
    ensure!(before.text().contains("ssh.service"), "{before}");
    Ok(())
}

/// Given a name in the policy that gets another address, then the packet filter follows within seconds of a connection to it.
pub(crate) fn the_packet_filter_follows_a_name(lab: &Lab) -> Result<()> {
    lab.weak_bastion()?.without(&[], |bastion| {
        let hosts = |address: &str| {
            let line = format!("sed -i '/ moving$/d' /etc/hosts; echo {address} moving >>/etc/hosts");
            bastion.shell(&line).run()?.success()
        };
        hosts(DB1.address())?;
        let cydmar = lab
            .admin("cydmar")
            .at(bastion)
            .policy(
                "[targets.cydmars]\nhosts = [\"moving\"]\nports = [5432]\n\
                 [[rules]]\nname = \"cydmars\"\neffect = \"allow\"\nusers = [\"cydmar\"]\ntargets = [\"cydmars\"]\n",
            )
            .arrive()?;
        let _master = cydmar.open_master(&[])?;
        bastion.jumpctl("setup --nftables --yes")?.success()?;
        let outcome = wait_for("the first address", || forwarded(&cydmar, &listed())).and_then(|()| {
            ensure!(!forwarded(&cydmar, &unlisted())?, "not moved yet");
            hosts(DB2.address())?;
            let moved = Instant::now();
            wait_for("the second address", || forwarded(&cydmar, &unlisted()))?;
            ensure!(moved.elapsed() < Duration::from_secs(10), "{:?}", moved.elapsed());
            ensure!(!forwarded(&cydmar, &listed())?, "the first address is still open");
            Ok(())
        });
        bastion.setup("setup --undo --yes")?;
        bastion.setup("setup --yes")?;
        // The bound is the union of all rules: the next story's must not be in it.
        bastion.edit_policy(|policy| policy.remove("cydmar"))?;
        outcome
    })
}
