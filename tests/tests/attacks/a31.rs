//! A31: what happens to a recorder.

use anyhow::{Result, ensure};
use jump_lab::bastion::Bastion;
use jump_lab::hops;
use jump_lab::lab::Lab;
use jump_lab::process::Output;
use jump_lab::story::{PATIENCE, wait_for};

/// Puts the recordings onto a small disk, and back.
const ON_SMALL_DISK: &str = "mkdir -p /var/lib/jump/recordings && chown jumpd:jumpd /var/lib/jump/recordings && chmod 700 /var/lib/jump/recordings
     mount -t tmpfs -o size=48m,mode=0700,uid=$(id -u jumpd),gid=$(id -g jumpd) tmpfs /var/lib/jump/recordings && systemctl restart jumpd.service";
const OFF_SMALL_DISK: &str =
    "systemctl stop jumpd.service; umount /var/lib/jump/recordings; systemctl start jumpd.service";

fn run(bastion: &Bastion, line: &str) -> Result<Output> {
    bastion.shell(line).run()?.success()
}

/// Given script(1), the recorder of many, then a full disk leaves the rest of a session unrecorded or unnoticed; given ours, then
/// no new hop begins below the reserve, a running one is told and ended, and who may break the glass goes on with an alert.
pub(crate) fn a31_a_full_disk_leaves_no_hop_unrecorded(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let unrecorded = stock
        .shell(
            "mkdir -p /run/full && mount -t tmpfs -o size=64k tmpfs /run/full
             script --quiet --flush --command 'head -c 300000 /dev/zero | tr \"\\0\" x; sleep 1; echo ran-$((6*7)) >/run/ran' /run/full/typescript >/dev/null 2>&1
             cat /run/ran; grep -c ran-42 /run/full/typescript; umount /run/full; true",
        )
        .run()?;
    let works = unrecorded.text().contains("ran-42") && unrecorded.text().ends_with('0');
    ensure!(
        works,
        "script(1) ends its command on a full disk: {unrecorded}"
    );

    lab.on_fragile_bastion(|bastion| {
        hops::prepare(lab, bastion)?;
        run(bastion, ON_SMALL_DISK)?;
        bastion.edit_policy(|policy| {
            policy.add_tables(
                "small-disk",
                "[recording]\nreserve = \"16MiB\"\ngrace = \"2s\"\nbreak_glass = [\"oncall\"]\n\n[groups.oncall]\ngid = 70900\n",
            );
        })?;
        let disa = lab
            .admin("disa")
            .at(bastion)
            .policy(hops::rule("disa", "record = true"))
            .arrive()?;
        let einar = lab
            .admin("einar")
            .at(bastion)
            .user("groups = [\"oncall\"]")
            .policy(hops::rule("einar", "record = true"))
            .arrive()?;
        let code = disa.authenticator()?.any_code()?;
        let answering = disa.seat.answering(&[code])?;
        let mut running = answering
            .ssh(["-tt", bastion.place().name, "ssh", "db1"])
            .open_input()
            .start()?;
        running.wait_for("ops@db1", PATIENCE)?;
        run(bastion, "head -c 40M /dev/zero >/var/lib/jump/recordings/fill")?;
        // Told, and then ended.
        let ended = running.wait(PATIENCE)?.failure()?;
        let said = format!("{}{}", ended.text(), ended.stderr);
        ensure!(said.to_lowercase().contains("disk"), "without a word: {said}");
        let refused = disa.in_session("ssh db1 hostname")?.run()?.failure()?;
        ensure!(
            refused.stdout.is_empty() && refused.stderr.to_lowercase().contains("disk"),
            "{refused}"
        );
        disa.event_where("recording.failed", |e| e.get("JUMP_REASON") == "disk_full")?;
        // Whoever may break the glass is told, goes on, and it is an alert.
        run(bastion, "dd if=/dev/zero of=/var/lib/jump/recordings/fill2 bs=4k 2>/dev/null; true")?;
        let through = einar.in_session("ssh db1 hostname")?.run()?.success()?;
        ensure!(through.text() == "db1", "{through}");
        let alert = einar.event_where("alert.raised", |e| e.get("JUMP_REASON") == "break_glass")?;
        ensure!(alert.get("PRIORITY") == "1", "{alert}");
        run(bastion, "rm /var/lib/jump/recordings/fill*")?;
        wait_for("hops to be there again", || {
            Ok(disa.in_session("ssh db1 hostname")?.run()?.code() == 0)
        })?;
        bastion.edit_policy(|policy| {
            policy.remove("disa");
            policy.remove("einar");
            policy.remove("small-disk");
        })?;
        run(bastion, OFF_SMALL_DISK)?;
        Ok(())
    })
}
