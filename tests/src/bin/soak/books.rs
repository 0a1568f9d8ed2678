//! What the journal must have at the end: every session and every forward
//! once, opened and closed, and of each forward the bytes.

use crate::forwards::Sent;
use anyhow::{Result, ensure};
use jump_lab::journal::{Entry, Mark};
use jump_lab::lab::Lab;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the last end may take to be written down.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until that many sessions have ended.
pub(crate) fn wait_for_ends(lab: &Lab, mark: Mark, sessions: usize) -> Result<()> {
    let ended = lab
        .journal
        .wait(mark, sessions, PATIENCE, |entry| entry.is("session.closed"));
    ensure!(
        ended.len() >= sessions,
        "{} of {sessions} sessions have ended",
        ended.len()
    );
    Ok(())
}

/// Everything that is not as it must be.
pub(crate) fn check(lab: &Lab, mark: Mark, sessions: usize, sent: &Sent) -> Vec<String> {
    let entries = lab
        .journal
        .since(mark, |entry| !entry.get("JUMP_EVENT").is_empty());
    let mut wrong = Vec::new();
    once(
        &entries,
        "session.opened",
        "session.closed",
        sessions,
        &mut wrong,
    );

    // Allowed and closed are paired by session: a user's forwards all go to one place.
    let mut balance: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for entry in &entries {
        let counts = balance.entry(entry.get("JUMP_SESSION")).or_default();
        if entry.is("forward.allowed") {
            counts.0 += 1;
        } else if entry.is("forward.closed") {
            counts.1 += 1;
        }
    }
    for (session, (allowed, closed)) in balance {
        if allowed != closed {
            wrong.push(format!(
                "session {session}: {allowed} forwards allowed, {closed} closed"
            ));
        }
    }

    // Those that carried something, by user and bytes.
    let mut carried = Sent::new();
    for entry in entries.iter().filter(|entry| entry.is("forward.closed")) {
        match (
            entry.number("JUMP_BYTES_SENT"),
            entry.number("JUMP_BYTES_RECEIVED"),
        ) {
            (Some(0), Some(0)) if entry.get("JUMP_OUTCOME") == "failure" => {}
            (Some(out), Some(back)) if out == back => {
                *carried
                    .entry((entry.get("JUMP_USER").to_owned(), out))
                    .or_default() += 1;
            }
            _ => wrong.push(format!("bytes: {entry}")),
        }
    }
    for (key, count) in sent {
        let found = carried.remove(key).unwrap_or(0);
        if found != *count {
            let (user, bytes) = key;
            wrong.push(format!(
                "{count} forwards of {user} carried {bytes} bytes, {found} are in the journal"
            ));
        }
    }
    for ((user, bytes), count) in carried {
        wrong.push(format!(
            "{count} forwards of {user} with {bytes} bytes are in the journal and never were"
        ));
    }

    let refused = [
        "session.expired",
        "session.killed",
        "session.refused",
        "guard.failed",
        "audit.failed",
        "policy.rejected",
    ];
    for entry in entries
        .iter()
        .filter(|entry| refused.iter().any(|kind| entry.is(kind)))
    {
        wrong.push(entry.to_string());
    }
    wrong
}

/// As many beginnings as ends, one of each per session.
fn once(entries: &[Entry], begin: &str, end: &str, count: usize, wrong: &mut Vec<String>) {
    for kind in [begin, end] {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.is(kind)) {
            *seen.entry(entry.get("JUMP_SESSION")).or_default() += 1;
        }
        if seen.len() != count {
            wrong.push(format!("{kind} of {} sessions, not of {count}", seen.len()));
        }
        for (session, times) in seen.into_iter().filter(|(_, times)| *times != 1) {
            wrong.push(format!("{kind} {times} times for session {session}"));
        }
    }
}
