//! A22: what is left behind to run after the session.

use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::machine::Machine;
use jump_lab::story::{PATIENCE, until};
use std::time::Duration;

/// How long after the end of a session nothing of it may be left.
const LIMIT: Duration = Duration::from_secs(1);
/// The same for a session whose client has just gone: sshd has to go first.
const AFTER_LOGOUT: Duration = Duration::from_secs(2);

/// Ways to stay, and what then runs. The words are unlikely in any other process.
const WAYS: [(&str, &str); 4] = [
    (
        "setsid",
        "setsid sleep 22001 </dev/null >/dev/null 2>&1 & echo begun",
    ),
    (
        "nohup",
        "nohup sleep 22002 </dev/null >/dev/null 2>&1 & disown; echo begun",
    ),
    (
        "two forks, stopped in between",
        "(setsid sh -c 'sleep 22003 & kill -STOP $!' </dev/null >/dev/null 2>&1 &); echo begun",
    ),
    (
        "a process that ignores every signal",
        "(trap '' HUP TERM INT QUIT; setsid sh -c 'trap \"\" HUP TERM INT; sleep 22004; sleep 22004' </dev/null >/dev/null 2>&1 &); echo begun",
    ),
];

/// Processes of a user whose command holds `words`.
fn running(machine: &Machine, user: &str, words: &str) -> Result<String> {
    let line = format!("pgrep -u {user} -af '{words}' || true");
    Ok(machine.shell(&line).run()?.text())
}

/// Given a stock host, then what was put behind a session lives on; given a guarded session, then it is still of that session, and gone within a second of its end, also when that is a plain logout.
pub(crate) fn a22_nothing_survives_the_end_of_its_session(lab: &Lab) -> Result<()> {
    let (stock, open) = (lab.stock()?, lab.open_bastion()?);
    let cleo = lab.admin("cleo").at(open).may_reach_databases().arrive()?;
    stock.account(&cleo.seat)?;
    for (name, line) in WAYS {
        let begun = cleo.seat.command("ssh").args(["stock", line]).run()?;
        ensure!(begun.text() == "begun", "{name}: {begun}");
    }
    let left = running(stock, "cleo", "sleep 2200")?;
    for (number, (name, _)) in (1..).zip(WAYS) {
        ensure!(
            left.contains(&format!("sleep 2200{number}")),
            "the stock host ended it: {name}: {left}"
        );
    }
    stock.sh("pkill -KILL -u cleo || true")?;

    for (name, line) in WAYS {
        let begun = cleo.in_session(line)?.run()?;
        ensure!(begun.text() == "begun", "{name}: {begun}");
    }
    let there = running(open, "cleo", "sleep 2200")?;
    ensure!(
        there.lines().count() >= WAYS.len(),
        "it was not begun: {there}"
    );
    open.jumpctl("sessions kill --user cleo")?.success()?;
    cleo.event("session.closed")?;
    let gone = until(LIMIT, || {
        Ok(running(open, "cleo", ".")?.is_empty().then_some(()))
    })?;
    ensure!(gone.is_some(), "left: {}", running(open, "cleo", ".")?);

    // Nobody ends this one: the client leaves, as after any command.
    let all = WAYS.map(|(_, line)| line).join("; ");
    let begun = cleo.ssh(&["open", &all])?.success()?;
    ensure!(
        begun.text().lines().eq(WAYS.map(|_| "begun")),
        "it was not begun: {begun}"
    );
    let gone = until(AFTER_LOGOUT, || {
        Ok(running(open, "cleo", ".")?.is_empty().then_some(()))
    })?;
    ensure!(
        gone.is_some(),
        "left after the logout: {}",
        running(open, "cleo", ".")?
    );
    let closed = cleo.wait_events("session.closed", 2);
    ensure!(closed.len() == 2, "{closed:?}");
    Ok(())
}

/// Given a stock host, then others start things on the user's behalf, out of the session; given a guarded session, then nobody does.
pub(crate) fn a22_nobody_else_runs_it_later(lab: &Lab) -> Result<()> {
    let (stock, open) = (lab.stock()?, lab.open_bastion()?);
    let dora = lab.admin("dora").at(open).may_reach_databases().arrive()?;
    stock.account(&dora.seat)?;
    let ways = [
        (
            "systemd-run",
            "XDG_RUNTIME_DIR=/run/user/$(id -u) systemd-run --user --quiet sleep 22011 && echo begun",
        ),
        (
            "crontab",
            "echo '* * * * * sleep 22012' | crontab - && echo begun",
        ),
    ];
    for (name, line) in ways {
        let begun = dora.seat.command("ssh").args(["stock", line]).run()?;
        ensure!(begun.text() == "begun", "the stock host: {name}: {begun}");
    }
    stock.sh("crontab -u dora -r; loginctl terminate-user dora || true")?;

    let more = [
        ("linger", "loginctl enable-linger && echo begun"),
        ("at", "echo sleep 22013 | at now && echo begun"),
        (
            "the system's bus",
            "busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager GetUnit s ssh.service && echo begun",
        ),
    ];
    for (name, line) in ways.into_iter().chain(more) {
        let refused = dora.in_session(line)?.patience(PATIENCE).run()?;
        ensure!(
            refused.code() != 0 && refused.text().is_empty(),
            "{name}: {refused}"
        );
    }
    let left = open
        .shell("ls /var/lib/systemd/linger /var/spool/cron/crontabs 2>/dev/null | grep dora; pgrep -u dora -af 'sleep 2201|systemd --user' || true")
        .run()?
        .text();
    ensure!(left.is_empty(), "{left}");
    Ok(())
}
