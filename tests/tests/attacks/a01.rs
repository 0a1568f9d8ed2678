//! A1: what is not listed.

use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::network::{ECHO, METADATA, UNLISTED};
use jump_lab::process::Output;
use jump_lab::seat::Seat;

/// Somewhere that answers whoever connects: the first line of an sshd, or what was said.
fn answers(output: &Output) -> bool {
    output.text().starts_with("SSH-2.0-") || output.text() == "hello"
}

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

/// `ssh -W DESTINATION HOST`, over the shared connection.
fn through(seat: &Seat, host: &str, destination: &str) -> Result<Output> {
    seat.command("ssh")
        .args(["-S", "master", "-W", destination, host])
        .input("hello\n")
        .run()
}

/// Given a stock host, then `-W` leads to every host, port and service of its own; given a rule for db1, then to db1 only.
pub(crate) fn a01_a_forward_reaches_what_is_listed_and_nothing_else(lab: &Lab) -> Result<()> {
    let axel = lab.admin("axel").may_reach_databases().arrive()?;
    lab.stock()?.account(&axel.seat)?;
    for destination in unlisted() {
        let reached = through(&axel.seat, "stock", &destination)?;
        ensure!(
            answers(&reached),
            "the stock host: {destination}: {reached}"
        );
    }
    let _master = axel.open_master(&[])?;
    let allowed = through(&axel.seat, "bastion", &format!("db1:{ECHO}"))?;
    ensure!(answers(&allowed), "{allowed}");
    for destination in unlisted() {
        let refused = through(&axel.seat, "bastion", &destination)?;
        ensure!(
            refused.code() != 0 && refused.stdout.is_empty(),
            "{destination} answered: {refused}"
        );
    }
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
        ensure!(answers(&reached), "outside: {destination}: {reached}");
        let refused = beau.in_session(&connect(&destination))?.run()?;
        ensure!(refused.stdout.is_empty(), "{destination}: {refused}");
    }
    let listed = beau.in_session(&connect(&format!("db1:{ECHO}")))?.run()?;
    ensure!(answers(&listed), "{listed}");
    let denied = beau.wait_events("forward.denied", unlisted().len());
    ensure!(denied.len() >= unlisted().len(), "{denied:?}");
    Ok(())
}
