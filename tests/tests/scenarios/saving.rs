//! Saving the sysadmin's file: at any moment, and in a state that jumpd cannot read.

use anyhow::{Result, ensure};
use jump_lab::bastion::POLICY;
use jump_lab::lab::Lab;
use jump_lab::policy;
use jump_lab::story::{PATIENCE, wait_for};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::thread;
use std::time::{Duration, Instant};

/// How long a save may take to come into force.
const LIMIT: Duration = Duration::from_secs(3);

/// Given saves at random moments, those included in which nobody watches, then the last of each burst is in force within three seconds.
pub(crate) fn every_save_comes_into_force(lab: &Lab) -> Result<()> {
    const BURSTS: usize = 12;
    const LONGEST: u64 = 5;
    let random = RandomState::new();
    let mut drawn = 0u64;
    let mut draw = |below: u64| {
        drawn += 1;
        random.hash_one(drawn) % below
    };
    lab.with_policy_held(|good| {
        for burst in 0..BURSTS {
            let mark = lab.journal.mark();
            let mut text = String::new();
            for save in 0..=draw(LONGEST) {
                thread::sleep(Duration::from_millis(draw(300)));
                text = format!("{good}\n# burst {burst}, save {save}\n");
                lab.bastion.write(POLICY, &text)?;
            }
            let saved = Instant::now();
            let hash = policy::hash(&text);
            let applied = lab.journal.wait(mark, 1, PATIENCE, |entry| {
                entry.is("policy.applied") && entry.get("JUMP_POLICY") == hash
            });
            ensure!(
                !applied.is_empty(),
                "burst {burst}: {hash} is never applied"
            );
            ensure!(
                saved.elapsed() < LIMIT,
                "burst {burst}: in force after {:?}",
                saved.elapsed()
            );
        }
        // The same text looked at twice is refused once.
        let mark = lab.journal.mark();
        lab.bastion
            .write(POLICY, format!("{good}\nnonsense = 1\n"))?;
        let rejected = |entry: &jump_lab::journal::Entry| entry.is("policy.rejected");
        ensure!(!lab.journal.wait(mark, 1, PATIENCE, rejected).is_empty());
        // Whoever of the two saw it first, and where both did at once: from then on neither says it again.
        wait_for("both to be done", || {
            let state = "systemctl is-active jump-policy.service jump-policy-again.service jump-policy-again.timer || true";
            let state = lab.bastion.shell(state).run()?.text();
            Ok(!state.lines().any(|line| line.starts_with("activ")))
        })?;
        let mark = lab.journal.mark();
        let look = "systemctl start jump-policy-again.service";
        lab.bastion.shell(look).run()?.success()?;
        lab.bastion.shell(look).run()?.success()?;
        let told = lab.journal.since(mark, rejected);
        ensure!(told.is_empty(), "{} more refusals of one text", told.len());
        lab.bastion.write(POLICY, good)?;
        let good = policy::hash(good);
        wait_for("the good policy", || {
            Ok(lab.jumpctl("status --json")?.text().contains(&good))
        })
    })
}

/// Given a save that systemd does not notice, then it comes into force all the same, and looking every so often writes nothing down.
pub(crate) fn a_save_that_nobody_noticed_comes_into_force(lab: &Lab) -> Result<()> {
    // Watches another file, and looks every three seconds rather than every minute.
    const DEAF: &str = "mkdir -p /run/systemd/system/jump-policy.path.d /run/systemd/system/jump-policy-poll.timer.d \
        && printf '[Path]\\nPathChanged=\\nPathChanged=/run/nobody\\n' >/run/systemd/system/jump-policy.path.d/deaf.conf \
        && printf '[Timer]\\nOnActiveSec=\\nOnUnitInactiveSec=\\nOnActiveSec=3s\\nOnUnitInactiveSec=3s\\nAccuracySec=100ms\\n' \
            >/run/systemd/system/jump-policy-poll.timer.d/often.conf \
        && systemctl daemon-reload && systemctl restart jump-policy.path";
    const HEARING: &str = "rm -r /run/systemd/system/jump-policy.path.d /run/systemd/system/jump-policy-poll.timer.d \
        && systemctl daemon-reload && systemctl restart jump-policy.path";
    lab.on_fragile_bastion(|bastion| {
        bastion.with_policy_held(|good| {
            bastion.shell(DEAF).run()?.success()?;
            let text = format!("{good}\n# unnoticed\n");
            let hash = policy::hash(&text);
            bastion.write(POLICY, &text)?;
            let seen = wait_for("the save to be found", || {
                Ok(bastion.jumpctl("status --json")?.text().contains(&hash))
            });
            let lines = bastion
                .shell("journalctl --quiet --boot --unit=jump-policy-again.service --grep='Start|Finish|Deactivated'")
                .run()?
                .text();
            bastion.shell(HEARING).run()?.success()?;
            bastion.write(POLICY, good)?;
            // The host is the next story's.
            let good = policy::hash(good);
            wait_for("the policy of before", || {
                Ok(bastion.jumpctl("status --json")?.text().contains(&good))
            })?;
            seen?;
            ensure!(lines.is_empty(), "it is written down each time:\n{lines}");
            Ok(())
        })
    })
}

/// Given a policy that jumpd cannot read, then `apply`, `check` and `doctor` say why and what to do, at once, and the policy in force stays.
pub(crate) fn a_policy_that_cannot_be_read_names_its_cure(lab: &Lab) -> Result<()> {
    const ASIDE: &str = "/etc/jump/aside.toml";
    lab.on_fragile_bastion(|bastion| {
        bastion.with_policy_held(|good| {
            let in_force = policy::hash(good);
            let cases = [
                ("chown root:root P && chmod 0600 P", "chown root:jumpd"),
                ("chmod 0700 /etc/jump", "chmod 0751 /etc/jump"),
                ("mv P A && ln -s A P", "symbolic link"),
                ("rm P && ln -s /nonexistent P", "symbolic link"),
                ("rm P && mkdir P", "directory"),
                ("rm P && mkfifo P", "named pipe"),
                ("rm P", "no such file"),
            ];
            for (damage, said) in cases {
                let line = damage.replace('P', POLICY).replace('A', ASIDE);
                bastion.shell(&line).run()?.success()?;
                let outcome = ["apply", "check", "doctor"]
                    .into_iter()
                    .try_for_each(|word| {
                        let begun = Instant::now();
                        let output = bastion.jumpctl(word)?;
                        let told = format!("{}{}", output.text(), output.stderr);
                        ensure!(
                            output.code() != 0,
                            "{line}: {word} finds nothing wrong\n{told}"
                        );
                        ensure!(
                            told.contains(said),
                            "{line}: {word} does not say {said:?}\n{told}"
                        );
                        ensure!(
                            begun.elapsed() < Duration::from_secs(10),
                            "{word} took {:?}",
                            begun.elapsed()
                        );
                        Ok(())
                    });
                let status = bastion.jumpctl("status --json")?.text();
                let repair = format!("rm -rf {POLICY} {ASIDE}; chmod 0751 /etc/jump");
                bastion.shell(&repair).run()?.success()?;
                bastion.write(POLICY, good)?;
                let cure = format!("chown root:jumpd {POLICY} && chmod 0640 {POLICY}");
                bastion.shell(&cure).run()?.success()?;
                outcome?;
                ensure!(status.contains(&in_force), "{line}: something changed");
            }
            wait_for("the cure to be noticed", || {
                Ok(bastion.jumpctl("check")?.code() == 0 && bastion.jumpctl("apply")?.code() == 0)
            })
        })
    })
}
