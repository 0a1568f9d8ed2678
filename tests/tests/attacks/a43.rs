//! A43: a restarting signal while the guard connects.

use super::a18::listed;
use anyhow::{Result, ensure};
use jump_lab::attack::{ATTACK, inside, outside, read};
use jump_lab::lab::Lab;
use jump_lab::story::PATIENCE;
use std::time::Duration;

/// Given a connect that is interrupted while jumpd thinks, then it succeeds once, and once only.
///
/// On a kernel that does not let the guard's work be interrupted (5.19 on) the signal waits; what older
/// ones do is tried in jump-guard's own tests, with the flag left away.
pub(crate) fn a43_an_interrupted_connect_is_made_once(lab: &Lab) -> Result<()> {
    let open = lab.open_bastion()?;
    let mina = lab.admin("mina").at(open).may_reach_databases().arrive()?;
    let listed = listed();
    let words = ["alarm", listed.as_str(), "200"];
    let expected = format!("{:?}", outside(open, mina.uid, &words)?);
    ensure!(expected.contains("ran"), "{expected}");
    let undisturbed = inside(&mina, &words)?;
    ensure!(format!("{undisturbed:?}") == expected, "{undisturbed:?}");
    let signal = |name: &str| {
        let kill = format!("systemctl kill --signal={name} jumpd.service");
        open.shell(&kill).run()?.success()
    };
    signal("STOP")?;
    let interrupted = mina
        .in_session(&format!("{ATTACK} {}", words.join(" ")))?
        .start()?;
    std::thread::sleep(Duration::from_millis(900));
    signal("CONT")?;
    let interrupted = read(&interrupted.wait(PATIENCE)?.success()?)?;
    ensure!(format!("{interrupted:?}") == expected, "{interrupted:?}");
    let allowed = mina.wait_events("forward.allowed", 2).len();
    let closed = mina.wait_events("forward.closed", 2).len();
    ensure!(
        (allowed, closed) == (2, 2),
        "{allowed} allowed, {closed} closed"
    );
    Ok(())
}
