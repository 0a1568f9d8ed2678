//! Hops that exist only while they are recorded, and what an auditor makes of the recordings.

use super::faults::root_logs_in;
use anyhow::{Context, Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::bastion::Bastion;
use jump_lab::hops;
use jump_lab::journal::Entry;
use jump_lab::lab::Lab;
use jump_lab::process::Running;
use jump_lab::seat::Answering;
use jump_lab::story::{PATIENCE, wait_for};
use std::time::{Duration, Instant};

/// Until a hop is gone after its recorder died or stood still: a second, and what a busy machine adds.
const A_SECOND: Duration = Duration::from_millis(2500);

const RECORDED: &str = "record = true";

/// A recorded hop to db1 at a terminal, standing at the prompt there.
fn hop(answering: &Answering<'_>, bastion: &Bastion) -> Result<Running> {
    let mut hop = answering
        .ssh(["-tt", bastion.place().name, "ssh", "db1"])
        .env("TERM", "xterm")
        .open_input()
        .start()?;
    hop.wait_for("ops@db1", PATIENCE)?;
    Ok(hop)
}

/// Has the other side compute something, so that the answer is no echo.
fn goes_on(hop: &mut Running, number: u32) -> Result<()> {
    hop.say(&format!("echo \"still $(({number}*7))\"\r"))?;
    hop.wait_for(&format!("still {}", number * 7), PATIENCE)
}

fn answering<'a>(admin: &'a Admin<'_>) -> Result<Answering<'a>> {
    let code = admin.authenticator()?.any_code()?;
    admin.seat.answering(&[code])
}

/// The recording of an admin's last hop.
fn recording(admin: &Admin<'_>) -> Result<String> {
    let started = admin.events("recording.started");
    let last = started.last().context("nothing was recorded")?;
    Ok(last.get("JUMP_RECORDING").to_owned())
}

fn sealed(entry: &Entry) -> bool {
    !entry.get("JUMP_HEAD").is_empty() && entry.number("JUMP_SEQUENCE").is_some_and(|n| n > 0)
}

/// Given a rule that records, then only hops go by it, what was shown is found, and what was typed unseen is nowhere.
pub(crate) fn a_recorded_hop_is_found_and_verified(lab: &Lab) -> Result<()> {
    hops::prepare(lab, lab)?;
    let ulvhild = lab
        .admin("ulvhild")
        .policy(hops::rule("ulvhild", RECORDED))
        .arrive()?;
    let targets = ulvhild.ssh(&["bastion", "targets"])?.success()?;
    ensure!(targets.text().contains("recorded"), "{targets}");
    for refused in [
        ["-W", "db1:22", "bastion"].as_slice(),
        &["bastion", "connect", "db1", "22"],
    ] {
        let output = ulvhild.ssh(refused)?.failure()?;
        ensure!(!output.text().contains("SSH-2.0"), "{output}");
    }
    ulvhild.event_where("forward.denied", |e| {
        e.get("JUMP_REASON") == "record_required"
    })?;

    let answers = answering(&ulvhild)?;
    let mut hop = hop(&answers, lab)?;
    goes_on(&mut hop, 6)?;
    hop.say("read -rs word; echo \"read ${#word}\"\r")?;
    std::thread::sleep(Duration::from_millis(500));
    hop.say("unseen-secret\r")?;
    hop.wait_for("read 13", PATIENCE)?;
    hop.say("printf 'bytes \\377\\n'; exit 5\r")?;
    hop.wait(PATIENCE)?.expect_code(5)?;
    let end = ulvhild.event_where("recording.sealed", sealed)?;
    let name = recording(&ulvhild)?;
    ensure!(end.get("JUMP_RECORDING") == name, "{end}");

    let list = lab
        .jumpctl("recordings list --user ulvhild --json")?
        .success()?;
    ensure!(list.text().contains(&name), "{list}");
    lab.jumpctl(&format!("recordings verify {name}"))?
        .success()?;
    let found = lab
        .jumpctl("recordings grep --user ulvhild still.42")?
        .success()?;
    ensure!(found.text().contains("still 42"), "{found}");
    lab.jumpctl("recordings grep --user ulvhild unseen-secret")?
        .expect_code(1)?;
    let text = lab
        .jumpctl(&format!("recordings export {name} --format txt"))?
        .success()?;
    ensure!(text.text().contains("still 42"), "{text}");
    let cast = lab
        .jumpctl(&format!("recordings export {name} --format cast"))?
        .success()?;
    ensure!(
        cast.text().starts_with("{\"version\":3") && cast.text().contains("\"x\""),
        "{cast}"
    );
    let play = lab.jumpctl(&format!("recordings play {name}"))?.success()?;
    ensure!(play.text().contains("still 42"), "{play}");
    let raw = lab
        .shell("grep -rl unseen-secret /var/lib/jump /run/jump || true")
        .run()?;
    ensure!(raw.text().is_empty(), "{raw}");
    // Only jumpd and root get at it.
    let mode = lab
        .shell("find /var/lib/jump/recordings \\( -not -user jumpd -o -perm /077 \\) -print")
        .run()?;
    ensure!(mode.text().is_empty(), "{mode}");
    Ok(())
}

/// Given recordings that are changed, cut, exchanged or taken away, then `verify` says where.
pub(crate) fn what_is_changed_in_a_recording_is_told(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        hops::prepare(lab, bastion)?;
        let vilma = lab
            .admin("vilma")
            .at(bastion)
            .policy(hops::rule("vilma", RECORDED))
            .arrive()?;
        for round in 0..2 {
            let answers = answering(&vilma)?;
            let mut hop = hop(&answers, bastion)?;
            goes_on(&mut hop, 6)?;
            hop.say("exit\r")?;
            hop.wait(PATIENCE)?.success()?;
            ensure!(
                vilma.wait_events("recording.sealed", round + 1).len() == round + 1,
                "not sealed"
            );
        }
        let name = recording(&vilma)?;
        let path = bastion
            .shell(&format!("ls /var/lib/jump/recordings/*/{name}.jrec"))
            .run()?
            .success()?
            .text();
        // Other stories on this host leave recordings that broke off, or whose disk is gone.
        let whole = format!("recordings verify {name}");
        bastion.jumpctl(&whole)?.success()?;
        for change in [
            "printf X | dd of=P bs=1 seek=700 conv=notrunc status=none",
            "truncate --size=-1 P",
            "truncate --size=-120 P",
            "truncate --size=900 P",
            "printf more >>P",
            "cp $(ls -t /var/lib/jump/recordings/*/*.jrec | grep -v P | head -n 1) P",
            "rm P",
        ] {
            let line = format!("cp -a P P.kept && {change}").replace('P', &path);
            bastion.shell(&line).run()?.success()?;
            let told = bastion.jumpctl("recordings verify --all")?.expect_code(1)?;
            let said = format!("{}{}", told.text(), told.stderr);
            ensure!(said.contains(&name), "{change}: {said}");
            bastion
                .shell(&"mv P.kept P".replace('P', &path))
                .run()?
                .success()?;
        }
        bastion.jumpctl(&whole)?.success()?;
        bastion.edit_policy(|policy| policy.remove("vilma"))
    })
}

/// Given recipients, then a recording is read with their key only, and verified without.
pub(crate) fn a_sealed_recording_is_read_with_the_auditors_key_only(lab: &Lab) -> Result<()> {
    use age::secrecy::ExposeSecret as _;
    let auditor = age::x25519::Identity::generate();
    let stranger = age::x25519::Identity::generate();
    lab.on_fragile_bastion(|bastion| {
        hops::prepare(lab, bastion)?;
        bastion.edit_policy(|policy| {
            policy.add_tables(
                "auditors",
                &format!("[recording]\nrecipients = [\"{}\"]\n", auditor.to_public()),
            );
        })?;
        let ylva = lab
            .admin("ylva")
            .at(bastion)
            .policy(hops::rule("ylva", RECORDED))
            .arrive()?;
        let answers = answering(&ylva)?;
        let mut hop = hop(&answers, bastion)?;
        goes_on(&mut hop, 6)?;
        hop.say("exit\r")?;
        hop.wait(PATIENCE)?.success()?;
        ylva.event_where("recording.sealed", sealed)?;
        let name = recording(&ylva)?;
        bastion
            .jumpctl(&format!("recordings verify {name}"))?
            .success()?;
        for (file, identity) in [("/root/auditor", &auditor), ("/root/stranger", &stranger)] {
            bastion.write(file, identity.to_string().expose_secret())?;
        }
        let export = format!("recordings export {name} --format txt");
        bastion.jumpctl(&export)?.failure()?;
        bastion
            .jumpctl(&format!("{export} --identity /root/stranger"))?
            .failure()?;
        let read = bastion
            .jumpctl(&format!("{export} --identity /root/auditor"))?
            .success()?;
        ensure!(read.text().contains("still 42"), "{read}");
        bastion.edit_policy(|policy| {
            policy.remove("auditors");
            policy.remove("ylva");
        })
    })
}

/// Given a recorder that is killed or stopped, or whose shell is killed, then the hop is gone a second later; given an upgrade, then it goes on, and the recording is whole.
pub(crate) fn fault_a_hop_dies_with_its_recorder_and_outlives_an_upgrade(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        hops::prepare(lab, bastion)?;
        let arvid = lab
            .admin("arvid")
            .at(bastion)
            .policy(hops::rule("arvid", RECORDED))
            .arrive()?;
        let flows = || {
            let line = "ss -Htn state established dst 10.77.2.11 dport = 22 | wc -l";
            Ok::<_, anyhow::Error>(bastion.shell(line).run()?.success()?.text())
        };
        for (breaks, mends) in [
            (
                "systemctl kill --signal=KILL jumpd.service",
                "systemctl start jumpd.service",
            ),
            (
                "systemctl kill --signal=STOP jumpd.service",
                "systemctl kill --signal=CONT jumpd.service",
            ),
        ] {
            let answers = answering(&arvid)?;
            let mut hop = hop(&answers, bastion)?;
            goes_on(&mut hop, 6)?;
            let ssh = format!(
                "{breaks}; while pgrep -u {} -x ssh >/dev/null; do sleep 0.05; done",
                arvid.uid
            );
            let broken = Instant::now();
            bastion.shell(&ssh).run()?.success()?;
            let took = broken.elapsed();
            let ended = hop.wait(PATIENCE)?;
            bastion.shell(mends).run()?.success()?;
            ensure!(ended.code() != 0, "{breaks}: {ended}");
            ensure!(took < A_SECOND, "{breaks}: the hop lived for {took:?}");
            wait_for("the hop's connection to be gone", || Ok(flows()? == "0"))?;
            root_logs_in(bastion, &arvid.seat)?;
        }
        // The shell that feeds it is no way round either.
        let answers = answering(&arvid)?;
        let mut killed = hop(&answers, bastion)?;
        goes_on(&mut killed, 6)?;
        bastion
            .shell(&format!("pkill -KILL -u {} -x jump-shell", arvid.uid))
            .run()?
            .success()?;
        killed.wait(PATIENCE)?.failure()?;
        wait_for("the killed shell's connection to be gone", || {
            Ok(flows()? == "0")
        })?;

        let answers = answering(&arvid)?;
        let mut lasting = hop(&answers, bastion)?;
        for round in 1..4 {
            goes_on(&mut lasting, round)?;
            bastion
                .shell("systemctl restart jumpd.service")
                .run()?
                .success()?;
        }
        goes_on(&mut lasting, 9)?;
        lasting.say("exit 6\r")?;
        lasting.wait(PATIENCE)?.expect_code(6)?;
        let name = recording(&arvid)?;
        arvid.event_where("recording.sealed", |e| e.get("JUMP_RECORDING") == name)?;
        bastion
            .jumpctl(&format!("recordings verify {name}"))?
            .success()?;
        let text = bastion
            .jumpctl(&format!("recordings export {name} --format txt"))?
            .success()?;
        for number in [1, 2, 3, 9] {
            ensure!(
                text.text().contains(&format!("still {}", number * 7)),
                "{text}"
            );
        }
        bastion.edit_policy(|policy| policy.remove("arvid"))
    })
}

/// Given recordings beyond what the policy keeps, then the oldest are deleted, and each deletion is an event.
pub(crate) fn what_is_kept_no_longer_is_deleted_and_said_so(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        hops::prepare(lab, bastion)?;
        let birk = lab
            .admin("birk")
            .at(bastion)
            .policy(hops::rule("birk", RECORDED))
            .arrive()?;
        let answers = answering(&birk)?;
        let mut first = hop(&answers, bastion)?;
        goes_on(&mut first, 6)?;
        first.say("exit\r")?;
        first.wait(PATIENCE)?.success()?;
        birk.event_where("recording.sealed", sealed)?;
        let name = recording(&birk)?;
        bastion.jumpctl("recordings prune")?.success()?;
        ensure!(
            birk.events("recording.deleted").is_empty(),
            "deleted without a limit"
        );
        bastion.edit_policy(|policy| {
            policy.add_tables("keeping", "[recording]\nkeep = \"2d\"\n");
        })?;
        let ages = format!("touch --date='3 days ago' /var/lib/jump/recordings/*/{name}.jrec");
        bastion.shell(&ages).run()?.success()?;
        bastion
            .shell("systemctl start jump-retention.service")
            .run()?
            .success()?;
        birk.event_where("recording.deleted", |e| {
            e.get("JUMP_RECORDING") == name && e.get("JUMP_REASON") == "retention"
        })?;
        let list = bastion.jumpctl("recordings list --json")?.success()?;
        ensure!(!list.text().contains(&name), "{list}");
        // What was deleted in good order is not missing.
        let verified = bastion.jumpctl("recordings verify --all")?;
        ensure!(!verified.text().contains(&name), "{verified}");
        let timer = "systemctl is-active jump-retention.timer";
        bastion.shell(timer).run()?.success()?;
        bastion.edit_policy(|policy| {
            policy.remove("keeping");
            policy.remove("birk");
        })
    })
}
