//! What the journal says of one login, in a form in which logins can be compared.

use anyhow::{Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::journal::Entry;
use jump_lab::lab::Lab;
use jump_lab::process::Output;
use jump_lab::story::PATIENCE;

/// What two clients that do the same must have alike. Not among them: times, ports, ids and byte counts.
const FIELDS: &[&str] = &[
    "JUMP_EVENT",
    "JUMP_OUTCOME",
    "JUMP_REASON",
    "JUMP_MFA",
    "JUMP_AUTH_METHOD",
    "JUMP_SRC_IP",
    "JUMP_DST_NAME",
    "JUMP_DST_IP",
    "JUMP_DST_PORT",
    "JUMP_RULE",
    "PRIORITY",
];

/// One line per event, sorted: a session and its forward end in either order.
pub(super) type Trail = Vec<String>;

/// Runs `act` and waits for the event `last`; the trail until then. Names that hold the admin's are made alike.
pub(super) fn of(
    lab: &Lab,
    admin: &Admin<'_>,
    last: &str,
    act: impl FnOnce() -> Result<Output>,
) -> Result<(Output, Trail)> {
    let mark = lab.journal.mark();
    let output = act()?;
    // The enrolment was before; its event may come after the mark.
    let mine = |entry: &Entry| entry.get("JUMP_USER") == admin.name() && !entry.is("mfa.enrolled");
    let ended = lab
        .journal
        .wait(mark, 1, PATIENCE, |entry| mine(entry) && entry.is(last));
    ensure!(
        !ended.is_empty(),
        "no {last} for {}: {output}",
        admin.name()
    );
    let mut trail: Trail = lab
        .journal
        .since(mark, mine)
        .iter()
        .map(|entry| line(entry, admin.name()))
        .collect();
    trail.sort();
    Ok((output, trail))
}

fn line(entry: &Entry, name: &str) -> String {
    let told = FIELDS
        .iter()
        .map(|field| (field, entry.get(field)))
        .filter(|(_, value)| !value.is_empty());
    told.map(|(field, value)| format!("{field}={}", value.replace(name, "NAME")))
        .collect::<Vec<_>>()
        .join(" ")
}
