//! A29: the name service library inside other programs, over files that are replaced or broken.

use crate::scenarios::root_logs_in;
use anyhow::{Context, Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::story::PATIENCE;
use std::time::Duration;

/// Looks a user up again and again until a file appears; prints how often nobody was found, and how often it looked.
const LOOKUPS: &str = "missed=0 looked=0; while [ ! -e /run/a29-stop ]; do \
                       getent passwd USER >/dev/null || missed=$((missed+1)); looked=$((looked+1)); done; echo $missed $looked";

fn counts(text: &str) -> Result<(u32, u32)> {
    let (missed, looked) = text.trim().split_once(' ').context("no counts")?;
    Ok((missed.parse()?, looked.parse()?))
}

/// Given a name service that reads its file as it is being written, then users vanish meanwhile; given ours, replaced under load, then never.
pub(crate) fn a29_users_do_not_vanish_while_the_index_is_replaced(lab: &Lab) -> Result<()> {
    const EDITS: usize = 5;
    let stock = lab.stock()?;
    let write = "mkdir -p /var/lib/extrausers && \
                 seq -f '%.0f:x:5029:5029::/:/bin/sh' 100000 120000 | sed 's/^/many/' >/root/extra && echo 'last29:x:5029:5029::/:/bin/sh' >>/root/extra && \
                 sed -i 's/^passwd:.*/passwd: files extrausers/' /etc/nsswitch.conf";
    stock.sh(write)?;
    let looking = stock.shell(&LOOKUPS.replace("USER", "last29")).start()?;
    stock.sh("for i in $(seq 200); do cat /root/extra >/var/lib/extrausers/passwd; done; touch /run/a29-stop")?;
    let (missed, looked) = counts(&looking.wait(PATIENCE)?.text())?;
    ensure!(
        missed > 0,
        "extrausers found the user {looked} times while its file was written"
    );

    let yves = lab.admin("yvo").may_reach_databases().arrive()?;
    lab.bastion.shell("rm -f /run/a29-stop").run()?.success()?;
    let looking = lab.bastion.shell(&LOOKUPS.replace("USER", "yvo")).start()?;
    for edit in 0..EDITS {
        lab.edit_policy(|policy| {
            let (old, new) = (format!("# edit {edit}\n"), format!("# edit {}\n", edit + 1));
            policy.replace("yvo", &old, &new);
            if edit == 0 {
                policy.replace("yvo", "\n[users.yvo]", "\n# edit 1\n[users.yvo]");
            }
        })?;
    }
    lab.bastion.shell("touch /run/a29-stop").run()?.success()?;
    let (missed, looked) = counts(&looking.wait(PATIENCE)?.text())?;
    ensure!(
        missed == 0 && looked > 20,
        "{missed} of {looked} lookups found nobody"
    );
    yves.ssh(&["bastion", "whoami"])?.success()?;
    Ok(())
}

/// Given an index that is cut off, garbage, a pipe, a directory or unreadable, then nobody of the policy is known or gets in, and every program that asks goes on.
pub(crate) fn a29_a_broken_index_breaks_nobody(lab: &Lab) -> Result<()> {
    let zara = lab.admin("zara").may_reach_databases().arrive()?;
    let index = "/var/lib/jump/accounts";
    let run = |line: &str| {
        lab.bastion
            .shell(line)
            .patience(Duration::from_secs(30))
            .run()
    };
    run(&format!("mv {index} {index}.kept"))?.success()?;
    run("systemctl unmask nscd.service; systemctl start nscd.service")?.success()?;
    let kept = format!("{index}.kept");
    let size: usize = run(&format!("stat -L -c %s {kept}"))?.text().parse()?;
    let mut ways: Vec<String> = [0, 1, 7, 16, 64, size / 3, size / 2, size - 1]
        .iter()
        .map(|length| format!("head -c {length} {kept} >{index}"))
        .collect();
    ways.extend([
        format!("head -c 100000 /dev/urandom >{index}"),
        format!("(cat {kept}; cat {kept}) >{index}"),
        format!("tr '\\000' '\\377' <{kept} >{index}"),
        format!("truncate -s 5G {index}"),
        format!("mkfifo -m 644 {index}"),
        format!("mkdir {index}"),
        format!("ln -s {index} {index}"),
        format!("install -m 000 {kept} {index}"),
        "true".to_owned(),
    ]);
    let attempt = || -> Result<()> {
        for way in &ways {
            run(&format!("rm -rf {index}; {way}"))?
                .success()
                .context(way.clone())?;
            // Each asks through a program of its own: nscd's, sudo's, and one as an ordinary user. A pipe keeps nobody waiting.
            for ask in [
                "timeout 3 getent passwd root >/dev/null",
                "timeout 3 getent group root >/dev/null",
                "timeout 5 sudo -u nobody id -un | grep -qx nobody",
                "timeout 3 setpriv --reuid 65534 --clear-groups getent passwd root >/dev/null",
                "timeout 3 nscd -g >/dev/null",
            ] {
                run(ask)?.success().with_context(|| way.clone())?;
            }
            let unknown = run("nscd -i passwd; timeout 3 getent passwd zara")?;
            let readable_by_root = way.starts_with("install") || way.starts_with("(cat");
            ensure!(
                readable_by_root && unknown.text().starts_with("zara:")
                    || [1, 2].contains(&unknown.code()) && unknown.text().is_empty(),
                "{way}: {unknown}"
            );
        }
        let refused = zara.ssh(&["bastion", "whoami"])?;
        ensure!(refused.code() != 0, "{refused}");
        root_logs_in(lab, &zara.seat)
    };
    let outcome = attempt();
    run(&format!("rm -rf {index}; mv {kept} {index}; systemctl stop nscd.service; systemctl mask nscd.service"))?.success()?;
    outcome?;
    ensure!(
        zara.events("session.opened").is_empty(),
        "a session was opened"
    );
    zara.ssh(&["bastion", "whoami"])?.success()?;
    Ok(())
}
