//! A16: channels before the login is finished.

use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::network::ECHO;
use jump_lab::story::wait_for;

/// Given a client that opens channels at once, after the key, and after the code, then they open when a stock host would let them, and at the bastion only after the code.
pub(crate) fn a16_nothing_opens_before_the_second_factor(lab: &Lab) -> Result<()> {
    let tess = lab.admin("tess").may_reach_databases().arrive()?;
    lab.stock()?.account(&tess.seat)?;
    let forward = format!("tcp:db1:{ECHO}");
    let there = tess
        .seat
        .raw_client("stock", ["key", &forward, "session:id"]);
    let there = there.run()?.success()?;
    ensure!(there.text().contains("open, b'hello"), "{there}");
    ensure!(there.text().contains("open, b'uid="), "{there}");

    let early: [&[&str]; 4] = [
        &[&forward],
        &["session:whoami"],
        &["key", &forward],
        &["key", "session:whoami"],
    ];
    for steps in early {
        let here = tess.seat.raw_client("bastion", steps.iter().copied());
        let here = here.run()?;
        ensure!(!here.text().contains("open"), "{steps:?}: {here}");
    }
    ensure!(
        tess.events("forward.allowed").is_empty() && tess.events("session.opened").is_empty(),
        "something was allowed"
    );
    // The whole login with channels in between: those asked for too early stay closed.
    let code = format!("code:{}", tess.authenticator()?.any_code()?);
    let here = tess.seat.raw_client("bastion", ["key", &code, &forward]);
    let here = here.run()?.success()?;
    ensure!(here.text().contains("open, b'hello"), "{here}");
    let opened = tess.event("session.opened")?;
    let allowed = tess.event("forward.allowed")?;
    ensure!(
        opened.number("JUMP_SEQ") < allowed.number("JUMP_SEQ"),
        "{opened}\n{allowed}"
    );
    Ok(())
}

/// Given a wrong code, or none, and a client that asks all the same, then nothing is connected on its behalf.
pub(crate) fn a16_nothing_opens_after_a_wrong_code(lab: &Lab) -> Result<()> {
    let toby = lab.admin("toby").may_reach_databases().arrive()?;
    let forward = format!("tcp:db1:{ECHO}");
    let wrong = format!("code:{}", toby.authenticator()?.wrong_code());
    let mark = lab.journal.mark();
    let here = toby
        .seat
        .raw_client("bastion", ["key", &wrong, &forward, "session:whoami"]);
    let here = here.run()?;
    ensure!(!here.text().contains("open"), "{here}");
    toby.event("mfa.failed")?;
    wait_for("sshd to close the connection", || {
        let closed = lab.journal.since(mark, |e| {
            e.message().contains("toby") && e.message().contains("Connection")
        });
        Ok(!closed.is_empty())
    })?;
    ensure!(
        toby.events("forward.allowed").is_empty() && toby.events("session.opened").is_empty(),
        "something was allowed"
    );
    Ok(())
}
