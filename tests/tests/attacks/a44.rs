//! A44: a second session of the same user.

use super::a21::{REACHES, out_of_reach};
use anyhow::{Result, ensure};
use jump_lab::attack::{ATTACK, arm, read};
use jump_lab::lab::Lab;

/// Given a process in a session, then any process of its user outside of sessions reaches into it, and one in another session does not.
pub(crate) fn a44_a_session_does_not_reach_into_its_neighbour(lab: &Lab) -> Result<()> {
    let open = lab.open_bastion()?;
    let cydton = lab
        .admin("cydton")
        .at(open)
        .may_reach_databases()
        .arrive()?;
    arm(open)?;
    let start = "sleep 3600 >/dev/null 2>&1 </dev/null & echo $!";
    let mut neighbours = Vec::new();
    for _ in 0..2 {
        neighbours.push(cydton.in_session(start)?.run()?.success()?.text());
    }
    let [first, second] = neighbours.as_slice() else {
        unreachable!()
    };
    // Each is attacked once: who has been seized stays so for a moment.
    // The kernel wants the group to be the same as well.
    let uid = format!("--reuid={}", cydton.uid);
    let gid = format!(
        "--regid={}",
        open.shell("id -g cydton").run()?.success()?.text()
    );
    let words = [&uid, &gid, "--clear-groups", ATTACK, "neighbour", first];
    let outside = open.command("setpriv").args(words);
    let free = read(&outside.run()?.success()?)?;
    for name in REACHES {
        ensure!(
            free.get(name).is_some_and(|how| how == "ran"),
            "{name}: {free:?}"
        );
    }
    let attack = format!("{ATTACK} neighbour {second}");
    let held = read(&cydton.ssh(&["open", &attack])?.success()?)?;
    out_of_reach(&cydton, &held)?;
    let opened = cydton.wait_events("session.opened", 2);
    let sessions: Vec<&str> = opened
        .iter()
        .map(|event| event.get("JUMP_SESSION"))
        .collect();
    let [own, other] = sessions.as_slice() else {
        anyhow::bail!("{sessions:?}");
    };
    let refused = cydton.events("forward.denied");
    ensure!(
        own != other
            && refused
                .iter()
                .all(|event| event.get("JUMP_SESSION") == *other),
        "{refused:?}"
    );
    Ok(())
}
