//! What the SIEM reads.

use anyhow::{Context, Result, ensure};
use jump_lab::journal::{Entry, Mark};
use jump_lab::lab::Lab;

/// Given one whole visit, then login, second factor, session, forward and end are in the journal, each with its facts, from one trusted unit.
pub(crate) fn the_whole_trail_of_a_session_is_in_the_journal(lab: &Lab) -> Result<()> {
    let wendy = lab.admin("wendy").may_reach_databases().arrive()?;
    wendy
        .ssh(&["-J", "bastion", "db1", "hostname"])?
        .success()?;
    wendy.event("session.closed")?;
    let mut session = String::new();
    let mut last = 0;
    for kind in [
        "mfa.ok",
        "access.allowed",
        "session.opened",
        "forward.allowed",
        "forward.closed",
        "session.closed",
    ] {
        let event = wendy.event(kind)?;
        if session.is_empty() {
            event.get("JUMP_SESSION").clone_into(&mut session);
        }
        for (field, value) in [
            ("JUMP_SESSION", session.as_str()),
            ("JUMP_USER", "wendy"),
            ("JUMP_OUTCOME", "success"),
            ("JUMP_SRC_IP", "10.77.1.20"),
            ("SYSLOG_IDENTIFIER", "jumpd"),
            ("SYSLOG_FACILITY", "10"),
            ("_SYSTEMD_UNIT", "jumpd.service"),
        ] {
            ensure!(
                event.get(field) == value,
                "{kind}: {field} is {:?}\n{event}",
                event.get(field)
            );
        }
        for field in [
            "JUMP_UID",
            "JUMP_SRC_PORT",
            "JUMP_POLICY",
            "JUMP_KEY_FP",
            "MESSAGE_ID",
        ] {
            ensure!(!event.get(field).is_empty(), "{kind} has no {field}");
            let alone = event.message();
            ensure!(
                field == "MESSAGE_ID"
                    || field == "JUMP_SRC_PORT"
                    || alone.contains(event.get(field)),
                "{kind}: MESSAGE lacks {field}: {alone}"
            );
        }
        let sequence = event.number("JUMP_SEQ").context("no JUMP_SEQ")?;
        ensure!(sequence > last, "{kind} is out of order");
        last = sequence;
    }
    let opened = wendy.event("session.opened")?;
    ensure!(
        opened.get("JUMP_SANDBOX").starts_with("seccomp"),
        "{opened}"
    );
    ensure!(
        opened.get("JUMP_AUTH_METHOD").contains("publickey"),
        "{opened}"
    );
    let closed = wendy.event("forward.closed")?;
    ensure!(
        closed.number("JUMP_BYTES_SENT") > Some(0)
            && closed.number("JUMP_BYTES_RECEIVED") > Some(0),
        "{closed}"
    );
    let explained = lab.bastion.shell("journalctl -x -o cat -u jumpd -n 1 --no-pager MESSAGE_ID=$(journalctl -o json -u jumpd JUMP_EVENT=session.opened -n 1 | sed 's/.*\"MESSAGE_ID\":\"\\([0-9a-f]*\\)\".*/\\1/')").run()?;
    ensure!(explained.code() == 0, "{explained}");
    Ok(())
}

/// Given all events so far, then their sequence has no gap and each names the hash of the one before.
/// Only `audit.failed` may follow a gap: it says that something could not be written, as one story here brings about.
pub(crate) fn the_chain_of_events_has_no_gap(lab: &Lab) -> Result<()> {
    let events = lab.journal.since(Mark::default(), |e| {
        e.get("_SYSTEMD_UNIT") == "jumpd.service" && !e.get("JUMP_EVENT").is_empty()
    });
    ensure!(events.len() > 10, "only {} events", events.len());
    let mut told = events.as_slice();
    while let Some((first, rest)) = told.split_first() {
        let unbroken = rest.iter().take_while(|e| !e.is("audit.failed")).count();
        let (unbroken, after) = rest.split_at(unbroken);
        let chain = std::iter::once(first).chain(unbroken);
        jump_audit::verify_chain(chain.map(Entry::message))?;
        told = after;
    }
    Ok(())
}
