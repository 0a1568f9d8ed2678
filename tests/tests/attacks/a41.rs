//! A41: whose identity a connection carries that the guard makes.

use super::a18::serve;
use anyhow::{Result, ensure};
use jump_lab::attack::{inside, outside};
use jump_lab::lab::Lab;
use jump_lab::story::PATIENCE;

/// Given a service that trusts who connects, then nobody reaches it from a session, and least of all as the guard.
pub(crate) fn a41_no_unix_connection_carries_the_guards_identity(lab: &Lab) -> Result<()> {
    let open = lab.open_bastion()?;
    let jane = lab.admin("jane").at(open).may_reach_databases().arrive()?;
    let socket = "/tmp/trusting";
    let server = serve(open, 0, socket)?;
    let free = outside(open, jane.uid, &["unix", socket])?;
    ensure!(free.get("unix").is_some_and(|how| how == "ran"), "{free:?}");
    let held = inside(&jane, &["unix", socket])?;
    ensure!(
        held.get("unix").is_some_and(|how| how == "errno 13"),
        "{held:?}"
    );
    let peers: Vec<String> = server.said().lines().skip(1).map(str::to_owned).collect();
    ensure!(peers == [format!("peer\t{}", jane.uid)], "{peers:?}");
    jane.event_where("forward.denied", |event| {
        event.get("JUMP_REASON") == "bad_protocol"
    })?;
    Ok(())
}

/// Given a line for the host's log, which the guard connects, then the log names who wrote it.
pub(crate) fn a41_a_line_in_the_log_is_its_writers(lab: &Lab) -> Result<()> {
    let open = lab.open_bastion()?;
    let kate = lab.admin("kate").at(open).may_reach_databases().arrive()?;
    let mark = open.journal.mark();
    let told = inside(&kate, &["syslog", "from-within-a-session"])?;
    ensure!(
        told.get("syslog").is_some_and(|how| how == "ran"),
        "{told:?}"
    );
    let lines = open.journal.wait(mark, 1, PATIENCE, |entry| {
        entry.message().contains("from-within-a-session") && entry.get("_COMM") != "sshd"
    });
    let uids: Vec<&str> = lines.iter().map(|line| line.get("_UID")).collect();
    ensure!(uids == [kate.uid.to_string()], "{uids:?}: {lines:?}");
    Ok(())
}
