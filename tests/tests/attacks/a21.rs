//! A21: one's own sshd child, and one's own limits.

use super::a18::{forbidden, unlisted};
use anyhow::{Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::attack::{ATTACK, Tried, inside, outside};
use jump_lab::lab::Lab;
use jump_lab::machine::Machine;
use jump_lab::process::Running;

/// Everything that one process can do to another.
pub(super) const REACHES: [&str; 5] = [
    "process_vm_readv",
    "process_vm_writev",
    "pidfd_getfd",
    "ptrace",
    "mem",
];

/// A process of the uid in no session, and its pid on the host.
fn sleeper(host: &Machine, uid: u32) -> Result<(Running, String)> {
    let seconds = format!("{}", 100_000 + uid);
    let sleeper = host
        .command("sleep")
        .user(uid, "/")
        .args([&seconds])
        .start()?;
    let find = format!("pgrep -u {uid} -f 'sleep {seconds}'");
    jump_lab::story::wait_for("the sleeper", || Ok(host.shell(&find).run()?.code() == 0))?;
    let pid = host.shell(&find).run()?.text();
    Ok((sleeper, pid))
}

/// Whether nothing reached it, and the journal says what was tried.
pub(super) fn out_of_reach(admin: &Admin<'_>, tried: &Tried) -> Result<()> {
    for name in REACHES {
        let how = tried.get(name).map(String::as_str);
        ensure!(
            matches!(how, Some("errno 1" | "errno 13")),
            "{name}: {how:?}"
        );
    }
    // What the filter refuses; /proc/<pid>/mem is refused by the kernel's own rules.
    for call in REACHES.iter().filter(|name| **name != "mem") {
        admin.event_where("forward.denied", forbidden(call))?;
    }
    Ok(())
}

/// Given two processes of one user, then one reaches into the other; given one's own sshd child, then not, and it leaves no core.
pub(crate) fn a21_nobody_reaches_into_ones_own_sshd(lab: &Lab) -> Result<()> {
    let open = lab.open_bastion()?;
    let hope = lab.admin("hope").at(open).may_reach_databases().arrive()?;
    let (_sleeper, pid) = sleeper(open, hope.uid)?;
    let free = outside(open, hope.uid, &["neighbour", &pid])?;
    for name in REACHES {
        ensure!(
            free.get(name).is_some_and(|how| how == "ran"),
            "{name}: {free:?}"
        );
    }
    // A process that may be dumped has files in /proc that are its user's.
    let owner = |pid: &str| format!("stat -c %u /proc/{pid}/environ");
    let plain = open.shell(&owner(&pid)).run()?.text();
    ensure!(plain == hope.uid.to_string(), "{plain}");
    out_of_reach(&hope, &inside(&hope, &["neighbour", "$PPID"])?)?;
    let sshd = hope
        .in_session(&format!("ulimit -c unlimited; {}", owner("$PPID")))?
        .run()?;
    ensure!(sshd.text() == "0", "sshd's child can be dumped: {sshd}");
    Ok(())
}

/// Given a session without files, processes or memory to spare, then it is judged and written down like any other.
pub(crate) fn a21_ones_own_limits_limit_no_guard(lab: &Lab) -> Result<()> {
    let open = lab.open_bastion()?;
    let iris = lab.admin("iris").at(open).may_reach_databases().arrive()?;
    let unlisted = unlisted();
    let free = outside(open, iris.uid, &["connect", &unlisted])?;
    ensure!(
        free.get("connect").is_some_and(|how| how == "ran"),
        "{free:?}"
    );
    // The session is there before it starves itself.
    let _armed = inside(&iris, &["connect", &unlisted])?;
    let starve = "ulimit -f 0; ulimit -n 5; ulimit -u 1; ulimit -v 50000";
    let held = iris
        .in_session(&format!("{starve}; exec {ATTACK} connect {unlisted}"))?
        .run()?;
    ensure!(held.text() == "connect\terrno 13", "{held}");
    ensure!(iris.wait_events("forward.denied", 2).len() == 2);
    Ok(())
}
