//! What is no longer allowed is cut: by a clock, an edit, an operator, a lock-out, a limit.

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use jump_lab::admin::Admin;
use jump_lab::lab::Lab;
use jump_lab::network::{ECHO, QUARTER};
use jump_lab::process::Running;
use jump_lab::story::{PATIENCE, until, wait_for};
use std::time::{Duration, Instant};

/// Invariant 5: so long after a right ended, nothing of it is left.
const SECOND: Duration = Duration::from_secs(1);

/// A connection through the master that has echoed a line.
fn echoing(admin: &Admin<'_>, destination: &str) -> Result<Running> {
    let mut open = admin
        .seat
        .command("ssh")
        .args(["-S", "master", "-W", destination, "bastion"])
        .open_input()
        .start()?;
    open.say("hello\n")?;
    open.wait_for("hello", PATIENCE)?;
    Ok(open)
}

/// Whether it is gone a second after `at`.
fn gone_a_second_after(
    lab: &Lab,
    what: &str,
    at: Instant,
    mut gone: impl FnMut(&Lab) -> Result<bool>,
) -> Result<()> {
    let left = SECOND.saturating_sub(at.elapsed());
    let found = until(left, || Ok(gone(lab)?.then_some(())))?;
    ensure!(
        found.is_some(),
        "{what}: still there {:?} later",
        at.elapsed()
    );
    Ok(())
}

fn no_process(admin: &Admin<'_>) -> impl FnMut(&Lab) -> Result<bool> {
    let question = format!("pgrep -u {} || true", admin.uid);
    move |lab| Ok(lab.bastion.shell(&question).run()?.text().is_empty())
}

/// The session's flows, as `sessions show` lists them.
fn flows(lab: &Lab, session: &str) -> Result<Vec<serde_json::Value>> {
    let shown = lab
        .jumpctl(&format!("sessions show {session} --json"))?
        .success()?;
    let shown: serde_json::Value = serde_json::from_str(&shown.text())?;
    Ok(shown
        .get("flows")
        .and_then(serde_json::Value::as_array)
        .context("no flows in sessions show")?
        .clone())
}

/// Given connections to two targets, when an edit takes one target away, then
/// only the connection to it is cut, within a second, with its bytes in the
/// journal; the session and its other connection live on.
pub(crate) fn a_target_taken_away_cuts_only_its_connections(lab: &Lab) -> Result<()> {
    let rhea = lab
        .admin("rhea")
        .policy(
            "[targets.rhea-one]\nhosts = [\"db1\"]\nports = [5432]\n\
             [targets.rhea-two]\nhosts = [\"db2\"]\nports = [5432]\n\
             [[rules]]\nname = \"rhea\"\neffect = \"allow\"\nusers = [\"rhea\"]\ntargets = [\"rhea-one\", \"rhea-two\"]\n",
        )
        .arrive()?;
    let mut master = rhea.open_master(&[])?;
    let session = rhea.event("session.opened")?.get("JUMP_SESSION").to_owned();
    let mut first = echoing(&rhea, &format!("db1:{ECHO}"))?;
    let mut second = echoing(&rhea, &format!("db2:{ECHO}"))?;
    let open = flows(lab, &session)?;
    ensure!(open.len() == 2, "{open:?}");
    for flow in &open {
        let bytes = |name: &str| flow.get(name).and_then(serde_json::Value::as_u64);
        ensure!(
            bytes("bytes_sent") == Some(6) && bytes("bytes_received") == Some(6),
            "{flow}"
        );
    }
    lab.edit_policy(|policy| {
        policy.replace(
            "rhea",
            "targets = [\"rhea-one\", \"rhea-two\"]",
            "targets = [\"rhea-two\"]",
        );
    })?;
    let applied = Instant::now();
    gone_a_second_after(lab, "the connection to db1", applied, |_| first.ended())?;
    let closed = rhea.event("forward.closed")?;
    ensure!(
        closed.get("JUMP_REASON") == "policy_changed"
            && closed.get("JUMP_DST_IP") == "10.77.2.11"
            && closed.number("JUMP_BYTES_SENT") == Some(6)
            && closed.number("JUMP_BYTES_RECEIVED") == Some(6),
        "{closed}"
    );
    std::thread::sleep(SECOND);
    second.say("still here\n")?;
    second.wait_for("still here", PATIENCE)?;
    ensure!(!master.ended()?, "the session has ended");
    ensure!(flows(lab, &session)?.len() == 1, "flows are left over");
    ensure!(
        rhea.events("session.expired").is_empty(),
        "the session expired"
    );
    ensure!(rhea.events("forward.closed").len() == 1, "more was cut");
    Ok(())
}

/// The next full minute that is at least so far away.
fn minute_after(seconds: i64) -> Result<Timestamp> {
    let at = (Timestamp::now().as_second() + seconds + 59) / 60 * 60;
    Ok(Timestamp::from_second(at)?)
}

/// Given a window that closes, then one admin who has nothing else is warned
/// and ended with `ssh -N`, and of another only the connection of that window
/// is cut.
pub(crate) fn a_window_that_closes_takes_what_it_gave_and_no_more(lab: &Lab) -> Result<()> {
    let closes = minute_after(25)?;
    let window = |name: &str| {
        format!(
            "[windows.{name}]\ndays = [\"mon-sun\"]\nhours = [\"{}-{}\"]\n",
            (closes - jiff::SignedDuration::from_hours(1)).strftime("%H:%M"),
            closes
                .strftime("%H:%M")
                .to_string()
                .replace("00:00", "24:00")
        )
    };
    let selma = lab
        .admin("selma")
        .policy(format!(
            "{}[[rules]]\nname = \"selma\"\neffect = \"allow\"\nusers = [\"selma\"]\ntargets = [\"databases\"]\nwindows = [\"selma\"]\n",
            window("selma")
        ))
        .arrive()?;
    let elimar = lab
        .admin("elimar")
        .policy(format!(
            "{}[targets.elimar-two]\nhosts = [\"db2\"]\nports = [5432]\n\
             [[rules]]\nname = \"elimar-hours\"\neffect = \"allow\"\nusers = [\"elimar\"]\ntargets = [\"databases\"]\nwindows = [\"elimar\"]\n\
             [[rules]]\nname = \"elimar-always\"\neffect = \"allow\"\nusers = [\"elimar\"]\ntargets = [\"elimar-two\"]\n",
            window("elimar")
        ))
        .arrive()?;
    let selmas = selma.open_master(&[])?;
    let mut elimars = elimar.open_master(&[])?;
    let mut one = echoing(&elimar, &format!("db1:{ECHO}"))?;
    let mut two = echoing(&elimar, &format!("db2:{ECHO}"))?;
    let mut quiet = echoing(&selma, &format!("db1:{ECHO}"))?;
    let warned = selma.event("session.warned")?;
    ensure!(warned.get("JUMP_REASON") == "window_closed", "{warned}");
    ensure!(
        elimar.events("session.warned").is_empty(),
        "elimar's session does not end"
    );
    let pause = closes.as_millisecond() - Timestamp::now().as_millisecond();
    ensure!(pause > 0, "the story took too long to begin");
    std::thread::sleep(Duration::from_millis(pause.try_into()?));
    let closed = Instant::now();
    gone_a_second_after(lab, "selma's session", closed, no_process(&selma))?;
    gone_a_second_after(lab, "elimar's connection", closed, |_| one.ended())?;
    ensure!(selmas.wait(PATIENCE)?.code() != 0, "ended well");
    wait_for("selma's connection to be gone", || quiet.ended())?;
    let expired = selma.event("session.expired")?;
    ensure!(expired.get("JUMP_REASON") == "window_closed", "{expired}");
    let cut = elimar.event("forward.closed")?;
    ensure!(
        cut.get("JUMP_REASON") == "window_closed" && cut.get("JUMP_RULE") == "elimar-hours",
        "{cut}"
    );
    two.say("still here\n")?;
    two.wait_for("still here", PATIENCE)?;
    ensure!(!elimars.ended()?, "elimar's session has ended");
    Ok(())
}

/// Given `valid_until`, and a rule's `max_session`, then the session ends there, warned of before; half-open
/// connections and a stopped sshd of the user's are no exception.
pub(crate) fn an_end_by_the_clock_takes_everything(lab: &Lab) -> Result<()> {
    let valid_for = |seconds: i64| {
        let until = (Timestamp::now().as_second() + seconds) * 1000;
        let at = Timestamp::from_millisecond(until).unwrap_or_default();
        (
            until,
            format!("valid_until = {}", at.strftime("%Y-%m-%dT%H:%M:%SZ")),
        )
    };
    let (_, valid) = valid_for(3600);
    let hole = "[targets.ursa-hole]\nhosts = [\"10.77.2.0/24\"]\nports = [5432]\n";
    let ursa = lab
        .admin("ursa")
        .user(&valid)
        .policy(format!(
            "{hole}[[rules]]\nname = \"ursa\"\neffect = \"allow\"\nusers = [\"ursa\"]\ntargets = [\"databases\", \"ursa-hole\"]\n"
        ))
        .arrive()?;
    let vita = lab
        .admin("vita")
        .policy(
            "[[rules]]\nname = \"vita\"\neffect = \"allow\"\nusers = [\"vita\"]\ntargets = [\"databases\"]\nmax_session = \"8s\"\n",
        )
        .arrive()?;
    let _ursas = ursa.open_master(&[])?;
    let _open = echoing(&ursa, &format!("db1:{ECHO}"))?;
    // Nobody has that address: the handshake waits.
    let _half_open = ursa
        .seat
        .command("ssh")
        .args(["-S", "master", "-W", "10.77.2.77:5432", "bastion"])
        .open_input()
        .start()?;
    ursa.event_where("forward.allowed", |e| e.get("JUMP_DST_IP") == "10.77.2.77")?;
    lab.bastion
        .shell(&format!("pkill -STOP -u {}", ursa.uid))
        .run()?
        .success()?;
    let _vitas = vita.open_master(&[])?;
    let opened = vita.event("session.opened")?;
    let (until, sooner) = valid_for(8);
    lab.edit_policy(|policy| policy.replace("ursa", &valid, &sooner))?;
    let written = opened
        .number("__REALTIME_TIMESTAMP")
        .context("an event without a time")?;
    let vitas_end = i64::try_from(written / 1000)? + 8_000;
    let wait_until = |ms: i64| {
        let left = ms - Timestamp::now().as_millisecond();
        std::thread::sleep(Duration::from_millis(left.max(0).unsigned_abs()));
        Instant::now()
    };
    let mut ends = [(vitas_end, &vita, "max_session"), (until, &ursa, "expired")];
    ends.sort_by_key(|(at, _, _)| *at);
    for (at, admin, reason) in ends {
        // The clock of the session begins a moment before its event.
        let at = wait_until(at);
        gone_a_second_after(lab, admin.name(), at, no_process(admin))?;
        let expired = admin.event("session.expired")?;
        ensure!(expired.get("JUMP_REASON") == reason, "{expired}");
        let warned = admin.event("session.warned")?;
        ensure!(warned.get("JUMP_REASON") == reason, "{warned}");
    }
    let flows = lab
        .bastion
        .shell("ss -Htn dst 10.77.2.77 | grep -v TIME-WAIT || true")
        .run()?
        .text();
    ensure!(flows.is_empty(), "{flows}");
    Ok(())
}

/// Given `[session] idle`, then a session without a byte ends, and one that carries bytes lives on.
pub(crate) fn a_session_that_nobody_uses_ends(lab: &Lab) -> Result<()> {
    let faylin = lab.admin("faylin").may_reach_databases().arrive()?;
    let xanthe = lab.admin("xanthe").may_reach_databases().arrive()?;
    let faylins = faylin.open_master(&[])?;
    let mut xanthes = xanthe.open_master(&[])?;
    let _silent = echoing(&faylin, &format!("db1:{ECHO}"))?;
    let mut busy = echoing(&xanthe, &format!("db1:{ECHO}"))?;
    lab.edit_policy(|policy| policy.add_tables("idle", "[session]\nidle = \"6s\"\n"))?;
    let tell = || -> Result<()> {
        let begun = Instant::now();
        let mut round = 0;
        while begun.elapsed() < Duration::from_secs(9) {
            round += 1;
            busy.say(&format!("round {round}\n"))?;
            busy.wait_for(&format!("round {round}\n"), PATIENCE)?;
            std::thread::sleep(SECOND);
        }
        let expired = faylin.event("session.expired")?;
        ensure!(expired.get("JUMP_REASON") == "idle", "{expired}");
        let warned = faylin.event("session.warned")?;
        ensure!(warned.get("JUMP_REASON") == "idle", "{warned}");
        ensure!(faylins.wait(PATIENCE)?.code() != 0, "ended well");
        ensure!(!xanthes.ended()?, "the session in use has ended");
        ensure!(
            xanthe.events("session.expired").is_empty(),
            "expired in use"
        );
        Ok(())
    };
    let outcome = tell();
    lab.edit_policy(|policy| policy.remove("idle"))?;
    outcome
}

/// Given an open session, when wrong codes lock its user, then it ends within a second.
pub(crate) fn a_lock_out_ends_the_sessions_of_its_user(lab: &Lab) -> Result<()> {
    let faybert = lab.admin("faybert").may_reach_databases().arrive()?;
    let master = faybert.open_master(&[])?;
    let _open = echoing(&faybert, &format!("db1:{ECHO}"))?;
    for _ in 0..5 {
        faybert
            .seat
            .answering(&["000000"])?
            .ssh(["-o", "ControlPath=none", "bastion", "whoami"])
            .run()?
            .failure()?;
    }
    faybert.event("mfa.locked")?;
    gone_a_second_after(
        lab,
        "faybert's session",
        Instant::now(),
        no_process(&faybert),
    )?;
    let expired = faybert.event("session.expired")?;
    ensure!(expired.get("JUMP_REASON") == "locked_out", "{expired}");
    ensure!(master.wait(PATIENCE)?.code() != 0, "ended well");
    Ok(())
}

/// Given limits of connections open, new and in the making, then what is beyond is refused with its reason.
pub(crate) fn a_session_opens_no_more_connections_than_it_may(lab: &Lab) -> Result<()> {
    let zelda = lab
        .admin("zelda")
        .policy(
            "[targets.zelda-hole]\nhosts = [\"10.77.2.0/24\"]\nports = [5432, 9000]\n\
             [[rules]]\nname = \"zelda\"\neffect = \"allow\"\nusers = [\"zelda\"]\ntargets = [\"databases\", \"zelda-hole\"]\n",
        )
        .arrive()?;
    let _master = zelda.open_master(&[])?;
    let go = |destination: &str| {
        zelda
            .seat
            .command("ssh")
            .args(["-S", "master", "-W", destination, "bastion"])
            .open_input()
            .start()
    };
    let denied = |reason: &str| {
        zelda.event_where("forward.denied", |e| {
            e.get("JUMP_REASON") == reason && e.get("JUMP_RULE") == "zelda"
        })
    };
    let tell = || -> Result<()> {
        lab.edit_policy(|p| p.add_tables("limits", "[session]\nforwards = 3\n"))?;
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(echoing(&zelda, &format!("db1:{ECHO}"))?);
        }
        ensure!(
            go(&format!("db1:{ECHO}"))?.wait(PATIENCE)?.code() != 0,
            "a fourth"
        );
        denied("too_many_forwards")?;
        let mut one = open.pop().context("none is open")?;
        one.hang_up_input();
        one.wait(PATIENCE)?;
        wait_for("a connection to end", || {
            Ok(!zelda.events("forward.closed").is_empty())
        })?;
        open.push(echoing(&zelda, &format!("db1:{ECHO}"))?);
        drop(open);

        lab.edit_policy(|p| p.add_tables("limits", "[session]\nconnecting = 2\n"))?;
        let holes = [go("10.77.2.71:5432")?, go("10.77.2.72:5432")?];
        zelda.event_where("forward.allowed", |e| e.get("JUMP_DST_IP") == "10.77.2.71")?;
        zelda.event_where("forward.allowed", |e| e.get("JUMP_DST_IP") == "10.77.2.72")?;
        ensure!(
            go("10.77.2.73:5432")?.wait(PATIENCE)?.code() != 0,
            "a third"
        );
        denied("too_many_connecting")?;
        drop(holes);

        lab.edit_policy(|p| p.add_tables("limits", "[session]\nforward_rate = 2\n"))?;
        let burst: Vec<_> = (0..8)
            .map(|_| go(&format!("db1:{QUARTER}")))
            .collect::<Result<_>>()?;
        denied("forward_rate")?;
        drop(burst);
        std::thread::sleep(SECOND + SECOND / 10);
        echoing(&zelda, &format!("db1:{ECHO}")).map(drop)
    };
    let outcome = tell();
    lab.edit_policy(|policy| policy.remove("limits"))?;
    outcome
}

/// Given a session about to end, then jump-shell says so, at login a sentence
/// stands in the banner, and systemd would end the session's scope if all of
/// the suite were dead.
pub(crate) fn the_user_is_told_before_the_end(lab: &Lab) -> Result<()> {
    let amy = lab
        .admin("amy")
        .policy(
            "[[rules]]\nname = \"amy\"\neffect = \"allow\"\nusers = [\"amy\"]\ntargets = [\"databases\"]\nmax_session = \"2m\"\n",
        )
        .arrive()?;
    let code = amy.authenticator()?.any_code()?;
    let mut shell = amy
        .seat
        .answering(&[code])?
        .command("ssh")
        .args(["-tt", "bastion"])
        .open_input()
        .start()?;
    shell.wait_for("This session ends at ", PATIENCE)?;
    shell.wait_for("jump> ", PATIENCE)?;
    shell.wait_for(
        "because it has then lasted as long as it may.",
        Duration::from_secs(20),
    )?;
    let scope = lab
        .bastion
        .shell(&format!(
            "for s in $(loginctl list-sessions --no-legend | awk '$2 == {} {{print $1}}'); do \
             systemctl show --property=RuntimeMaxUSec --value session-$s.scope; done",
            amy.uid
        ))
        .run()?;
    ensure!(scope.text() == "8h 1min", "{scope}");
    let warned = amy.event("session.warned")?;
    ensure!(warned.get("JUMP_REASON") == "max_session", "{warned}");
    shell.say("exit\n")?;
    shell.wait(PATIENCE)?.success()?;
    Ok(())
}
