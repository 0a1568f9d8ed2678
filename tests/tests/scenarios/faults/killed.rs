//! SIGKILL: of jumpd, of the guard's listener, of a session's guard at every
//! point of its work, of sshd's monitor.

use super::{
    DB1, DB2, LIMIT, Visit, a_second_at_most, gets_through, no_guard_is_left, root_logs_in, within,
};
use anyhow::{Context, Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::network::ECHO;
use jump_lab::process::Running;
use jump_lab::story::{PATIENCE, until};

/// Given a session, when jumpd is killed, then its connection goes on, new ones are refused until jumpd is back, and it is back by itself.
pub(crate) fn fault_a_killed_jumpd_comes_back_and_knows_its_sessions(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        let mut visit = Visit::begin(lab, bastion, "kim")?;
        bastion
            .shell("systemctl kill --signal=KILL jumpd.service")
            .run()?
            .success()?;
        visit.flow_goes_on()?;
        visit.other_hosts_stay_closed()?;
        root_logs_in(bastion, &visit.admin.seat)?;
        // Restarted after half a second; the guard is at its post again a second later.
        until(PATIENCE, || Ok(visit.forwards_as_before().ok()))?
            .context("no forward after jumpd came back")?;
        visit.flow_goes_on()?;
        gets_through(bastion, &visit.admin)?;
        visit.leave()
    })
}

/// Given a session, when the guard's listener is killed, then the session keeps its guard, and new logins get one again.
pub(crate) fn fault_a_killed_listener_leaves_the_guards_at_their_posts(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        let mut visit = Visit::begin(lab, bastion, "beaton")?;
        let guard = visit.guard()?;
        bastion
            .shell("systemctl kill --kill-whom=main --signal=KILL jump-guard.service")
            .run()?
            .success()?;
        visit.flow_goes_on()?;
        visit.forwards_as_before()?;
        ensure!(visit.guard()? == guard, "another guard has the session");
        gets_through(bastion, &visit.admin)?;
        let session = visit.session()?;
        visit.is_gone_within_a_second_of(&format!("jumpctl sessions kill {session}"))?;
        visit.admin.event("session.closed")?;
        no_guard_is_left(bastion)
    })
}

/// Where a session's guard is hit: what it is about to do, by strace's words.
struct Point {
    admin: &'static str,
    /// The system call that it does not live to make.
    call: &'static str,
    /// Which of its thread's calls of that name it is.
    nth: fn(&Habits) -> usize,
    /// How strace shows it.
    shown: &'static str,
}

/// What a guard does for a connection, learnt from one that is made.
struct Habits {
    /// How many ioctl(2) the thread makes that answers the call, the answer being the last.
    ioctls: usize,
}

const POINTS: [Point; 5] = [
    Point {
        admin: "mara-before-recv",
        call: "ioctl",
        nth: |_| 1,
        shown: "SECCOMP_IOCTL_NOTIF_RECV",
    },
    Point {
        admin: "mara-after-recv",
        call: "pidfd_open",
        nth: |_| 1,
        shown: "pidfd_open(",
    },
    Point {
        admin: "mara-before-connect",
        call: "connect",
        nth: |_| 2,
        shown: "sa_family=AF_INET,",
    },
    // It tells jumpd that it has connected.
    Point {
        admin: "mara-after-connect",
        call: "connect",
        nth: |_| 3,
        shown: "sa_family=AF_UNIX,",
    },
    Point {
        admin: "mara-before-send",
        call: "ioctl",
        nth: |habits| habits.ioctls,
        shown: "SECCOMP_IOCTL_NOTIF_SEND",
    },
];

/// Given sessions with an open connection, when their guards are killed at each point of making one more, then it is not made, and a second later nothing of the session is left.
pub(crate) fn fault_a_session_dies_with_its_guard_wherever_it_is_hit(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        let model = Visit::begin(lab, bastion, "mara-unhurt")?;
        let habits = habits(&model)?;
        model.leave()?;
        let mut hit = Vec::new();
        for point in &POINTS {
            let visit = Visit::begin(lab, bastion, point.admin)?;
            die(&visit, point, &habits).with_context(|| point.admin)?;
            hit.push(visit);
        }
        // Told once jumpd has given the guards the time that a restart would take them.
        for visit in hit {
            let failed = visit.admin.event("guard.failed")?;
            ensure!(failed.get("JUMP_REASON") == "guard_lost", "{failed}");
            visit.admin.event("session.closed")?;
        }
        no_guard_is_left(bastion)
    })
}

/// strace on the guard of a visit, following it already.
fn strace(visit: &Visit<'_>, more: &[&str]) -> Result<(i64, Running)> {
    let guard = visit.guard()?;
    let mut strace = visit
        .bastion
        .command("strace")
        .args(["-f", "-e", "trace=ioctl,connect,pidfd_open"])
        .args(more.iter().copied())
        .args(["-p", &guard.to_string()])
        .start()?;
    strace.wait_for(" attached", PATIENCE)?;
    Ok((guard, strace))
}

fn habits(visit: &Visit<'_>) -> Result<Habits> {
    let (_, mut strace) = strace(visit, &[])?;
    visit.forwards_as_before()?;
    strace.wait_for("SECCOMP_IOCTL_NOTIF_SEND", PATIENCE)?;
    let said = strace.complained();
    let answered = said
        .lines()
        .find(|line| line.contains("SECCOMP_IOCTL_NOTIF_SEND"))
        .context("no answer")?;
    let thread = answered.split(']').next().unwrap_or_default();
    let mut lines = said.lines();
    let mut ioctls = 0;
    for line in lines.by_ref() {
        ioctls += usize::from(line.starts_with(thread) && line.contains("ioctl("));
        if line == answered {
            break;
        }
    }
    Ok(Habits { ioctls })
}

fn die(visit: &Visit<'_>, point: &Point, habits: &Habits) -> Result<()> {
    let nth = (point.nth)(habits);
    let inject = format!("inject={}:signal=SIGKILL:when={nth}", point.call);
    let (guard, strace) = strace(visit, &["-e", &inject])?;
    let watch = visit.watch_the_end(&format!(
        "while kill -0 {guard} 2>/dev/null; do sleep 0.01; done"
    ))?;
    let output = within(LIMIT, "the end of the forward", || {
        visit.forward(&format!("{DB1}:{ECHO}"))
    })?;
    ensure!(output.stdout.is_empty(), "{output}");
    a_second_at_most(watch)?;
    let strace = strace.wait(PATIENCE)?;
    // A call that was never made has no result.
    let made = format!("{}(", point.call);
    let last = strace.stderr.lines().rfind(|line| line.contains(&made));
    ensure!(
        last.is_some_and(|line| line.contains(point.shown) && !line.contains(") = 0")),
        "it was hit elsewhere: {strace}"
    );
    Ok(())
}

/// Given a session whose sshd monitor is killed, so that nobody closes its PAM session, then it is guarded for as long as it lives, and three seconds after its client has gone nothing of it is left.
pub(crate) fn fault_a_session_without_sshds_monitor_is_guarded_and_ends(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        let visit = Visit::begin(lab, bastion, "nils")?;
        bastion
            .shell("pkill -KILL -f 'nils \\[priv\\]'")
            .run()?
            .success()?;
        let refused = visit.forward(&format!("{DB2}:{ECHO}"))?;
        ensure!(refused.stdout.is_empty(), "{refused}");
        root_logs_in(bastion, &visit.admin.seat)?;
        let watch = visit.watch_the_end("true")?;
        let Visit {
            admin,
            master,
            flow,
            ..
        } = visit;
        drop((flow, master));
        let output = watch.wait(PATIENCE)?.success()?;
        ensure!(
            output.text().parse::<u128>()? <= LIMIT.as_millis(),
            "{output}"
        );
        within(LIMIT, "session.closed", || admin.event("session.closed"))?;
        no_guard_is_left(bastion)?;
        gets_through(bastion, &admin)
    })
}
