//! SIGSTOP: what is stopped is worse than what is dead, because its sockets
//! are still there and everybody waits.

use super::{LIMIT, Visit, a_second_at_most, gets_through, is_refused, no_guard_is_left, within};
use anyhow::{Result, ensure};
use jump_lab::bastion::Bastion;
use jump_lab::lab::Lab;
use jump_lab::story::wait_for;

/// Sends a signal to a unit's main process, and waits until it has acted.
fn signal(bastion: &Bastion, unit: &str, name: &str) -> Result<()> {
    let line =
        format!("kill -{name} $(systemctl show --property=MainPID --value {unit}) && sleep 0.05");
    bastion.shell(&line).run()?.success()?;
    Ok(())
}

/// Does something while a unit's main process is stopped.
fn while_stopped(bastion: &Bastion, unit: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
    signal(bastion, unit, "STOP")?;
    let outcome = act();
    signal(bastion, unit, "CONT")?;
    outcome
}

/// Given a session, when jumpd is stopped, then logins and new connections are refused in time, root logs in, the open connection goes on; when it is continued, all is well.
pub(crate) fn fault_a_stopped_jumpd_refuses_in_time(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        let mut visit = Visit::begin(lab, bastion, "cyddine")?;
        while_stopped(bastion, "jumpd.service", || {
            visit.forward_is_refused(LIMIT)?;
            is_refused(bastion, &visit.admin, LIMIT)?;
            visit.flow_goes_on()
        })?;
        visit.forwards_as_before()?;
        gets_through(bastion, &visit.admin)?;
        let allowed = visit.admin.wait_events("session.opened", 2).len();
        ensure!(allowed == 2, "{allowed} sessions were opened");
        visit.flow_goes_on()?;
        visit.leave()
    })
}

/// Given a session, when the guard's listener is stopped, then logins are refused in time, root logs in, and the session is guarded as before.
pub(crate) fn fault_a_stopped_listener_refuses_logins_in_time(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        let mut visit = Visit::begin(lab, bastion, "dagmar")?;
        while_stopped(bastion, "jump-guard.service", || {
            is_refused(bastion, &visit.admin, LIMIT)?;
            visit.forwards_as_before()?;
            visit.flow_goes_on()
        })?;
        let refused = visit.admin.event("session.refused")?;
        ensure!(refused.get("JUMP_REASON") == "guard_failed", "{refused}");
        ensure!(
            visit.admin.events("session.opened").len() == 1,
            "a session was opened without a guard"
        );
        gets_through(bastion, &visit.admin)?;
        visit.leave()
    })
}

/// Given a session whose guard is stopped, then a connection is decided in time all the same; a guard that is stopped again and again takes its session along.
pub(crate) fn fault_a_stopped_guard_keeps_nobody_waiting(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        let mut visit = Visit::begin(lab, bastion, "dagton")?;
        let guard = visit.guard()?;
        let stop = format!("kill -STOP {guard}");
        bastion.shell(&stop).run()?.success()?;
        within(LIMIT, "a decision past a stopped guard", || {
            visit.other_hosts_stay_closed()
        })?;
        // Whoever stops it again and again wants it out of the way.
        let watch = visit.watch_the_end(&format!(
            "while kill -STOP {guard} 2>/dev/null; do sleep 0.01; done"
        ))?;
        within(LIMIT, "the end of the session", || {
            wait_for("the client to be gone", || visit.master.ended())
        })?;
        a_second_at_most(watch)?;
        visit.admin.event("guard.failed")?;
        visit.admin.event("session.closed")?;
        no_guard_is_left(bastion)?;
        gets_through(bastion, &visit.admin)
    })
}
