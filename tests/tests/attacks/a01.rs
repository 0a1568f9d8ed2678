//! A1: what is not listed.

use super::way;
use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::network::{ECHO, METADATA, UNLISTED};

/// What no rule of the policy names, and what answers there.
fn unlisted() -> Vec<String> {
    [
        "db2:22".to_owned(),
        format!("db2:{ECHO}"),
        format!("db1:{UNLISTED}"),
        format!("{METADATA}:{ECHO}"),
        "127.0.0.1:22".to_owned(),
        "[::1]:22".to_owned(),
        "10.77.1.20:22".to_owned(),
    ]
    .into()
}

/// Given a stock host, then `-W` leads to every host, port and service of its own; given a rule for db1, then to db1 only.
pub(crate) fn a01_a_forward_reaches_what_is_listed_and_nothing_else(lab: &Lab) -> Result<()> {
    let axel = lab.admin("axel").may_reach_databases().arrive()?;
    lab.stock()?.account(&axel.seat)?;
    let _masters = (way::stock_master(&axel.seat)?, axel.open_master(&[])?);
    let allowed = way::to(&axel.seat, "bastion", &format!("db1:{ECHO}"))?;
    ensure!(way::answered(&allowed), "{allowed}");
    way::lead_astray_on_stock_only(&axel, &unlisted())?;
    let denied = axel.wait_events("forward.denied", unlisted().len());
    ensure!(denied.len() == unlisted().len(), "{denied:?}");
    ensure!(
        axel.events("forward.allowed").len() == 1,
        "more was allowed"
    );
    Ok(())
}

/// Given any program inside a session, then it reaches what is listed and nothing else, as a forward does.
pub(crate) fn a01_a_program_reaches_what_is_listed_and_nothing_else(lab: &Lab) -> Result<()> {
    let open = lab.open_bastion()?;
    let beau = lab.admin("beau").at(open).may_reach_databases().arrive()?;
    let connect = |destination: &str| {
        let (host, port) = destination.rsplit_once(':').unwrap_or_default();
        let host = host.trim_matches(['[', ']']);
        format!("echo hello | nc -N -w 5 {host} {port} | head -n 1")
    };
    for destination in unlisted() {
        // Outside of a session the host lets any program connect.
        let reached = open.shell(&connect(&destination)).run()?;
        ensure!(way::answered(&reached), "outside: {destination}: {reached}");
        let refused = beau.in_session(&connect(&destination))?.run()?;
        ensure!(refused.stdout.is_empty(), "{destination}: {refused}");
    }
    let listed = beau.in_session(&connect(&format!("db1:{ECHO}")))?.run()?;
    ensure!(way::answered(&listed), "{listed}");
    let denied = beau.wait_events("forward.denied", unlisted().len());
    ensure!(denied.len() >= unlisted().len(), "{denied:?}");
    Ok(())
}
