//! The clock stepped, under jumpd and the guards alone.

use super::{DB1, Visit, gets_through, no_guard_is_left};
use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use jump_lab::bastion::Bastion;
use jump_lab::clock;
use jump_lab::lab::Lab;
use jump_lab::network::ECHO;
use jump_lab::story::wait_for;
use std::time::Duration;

/// Those that are given a clock of their own.
const SERVICES: [&str; 2] = ["jumpd", "jump-guard"];

fn run(bastion: &Bastion, line: &str) -> Result<()> {
    bastion.shell(line).run()?.success()?;
    Ok(())
}

/// A line of shell that steps the clock.
fn step(seconds: &str) -> String {
    format!("echo {seconds} >{}", clock::OFFSET)
}

/// A `[windows]` table that is open from an hour ago to an hour from now.
fn window_open_now(name: &str) -> String {
    let hour = |hours: i64| {
        let at = Timestamp::now().as_second() + hours * 3600;
        Timestamp::from_second(at)
            .map(|at| at.strftime("%H:%M").to_string())
            .unwrap_or_default()
    };
    format!(
        "[windows.{name}]\ndays = [\"mon-sun\"]\nhours = [\"{}-{}\"]\n",
        hour(-1),
        hour(1)
    )
}

/// Given one session in a window and one without, when the clock is stepped past the window's end, then the first is cut within a second and the second goes on; stepped back, what was cut stays cut, and no code is good a second time.
pub(crate) fn fault_a_stepped_clock_ends_what_is_over_and_brings_nothing_back(
    lab: &Lab,
) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        clock::put(bastion, &SERVICES)?;
        let window = window_open_now("faymar-hours");
        let faymar = lab
            .admin("faymar")
            .at(bastion)
            .policy(format!(
                "{window}[[rules]]\nname = \"faymar-hours\"\neffect = \"allow\"\nusers = [\"faymar\"]\n\
                 targets = [\"databases\"]\nwindows = [\"faymar-hours\"]\n"
            ))
            .arrive()?;
        let mut faymar = Visit::of(bastion, faymar)?;
        faymar.forwards_as_before()?;
        let watch = faymar.watch_the_end(&step("+7200"))?;
        wait_for("the client to be gone", || faymar.master.ended())?;
        super::a_second_at_most(watch)?;
        let expired = faymar.admin.event("session.expired")?;
        ensure!(expired.get("JUMP_REASON") == "window_closed", "{expired}");
        no_guard_is_left(bastion)?;
        // Back again: what was cut stays cut, and the window is open to who comes anew.
        run(bastion, &step("+0"))?;
        ensure!(
            faymar.forward(&format!("{DB1}:{ECHO}"))?.stdout.is_empty(),
            "the session is back"
        );
        gets_through(bastion, &faymar.admin)?;

        let mut fayton = Visit::begin(lab, bastion, "fayton")?;
        for there_and_back in ["+7200", "-7200", "+0"] {
            run(bastion, &step(there_and_back))?;
            // As long as both take to look at the clock.
            std::thread::sleep(Duration::from_millis(1200));
            fayton.flow_goes_on()?;
            fayton.forwards_as_before()?;
        }
        let code = fayton.admin.authenticator()?.code()?;
        let login = || {
            let answering = fayton.admin.seat.answering(&[&code])?;
            answering.ssh([bastion.place().name, "whoami"]).run()
        };
        login()?.success()?;
        // Now its time step is the present one, or the one before.
        run(bastion, &step("-30"))?;
        login()?.failure()?;
        let replayed = fayton.admin.event("mfa.replayed")?;
        ensure!(replayed.get("JUMP_REASON") == "replayed_code", "{replayed}");
        run(bastion, &step("+0"))?;
        fayton.leave()?;
        clock::take_away(bastion, &SERVICES)
    })
}

/// Given a session that may last eight seconds, when the clock is stepped back by hours, then it lasts eight seconds.
pub(crate) fn fault_a_clock_stepped_back_gives_a_session_no_more_time(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        clock::put(bastion, &SERVICES)?;
        let faydine = lab
            .admin("faydine")
            .at(bastion)
            .policy(
                "[[rules]]\nname = \"faydine-databases\"\neffect = \"allow\"\nusers = [\"faydine\"]\n\
                 targets = [\"databases\"]\nmax_session = \"8s\"\n",
            )
            .arrive()?;
        let visit = Visit::of(bastion, faydine)?;
        run(bastion, &step("-7200"))?;
        // By journald's clock, which nobody steps here; in microseconds.
        let when = |kind: &str| -> Result<u64> {
            let event = visit.admin.event(kind)?;
            event.number("__REALTIME_TIMESTAMP").context("no time")
        };
        let lasted = when("session.closed")?.saturating_sub(when("session.opened")?);
        ensure!(
            (7_000_000..=9_000_000).contains(&lasted),
            "it lasted {lasted} us"
        );
        let expired = visit.admin.event("session.expired")?;
        ensure!(expired.get("JUMP_REASON") == "max_session", "{expired}");
        no_guard_is_left(bastion)?;
        clock::take_away(bastion, &SERVICES)
    })
}

/// Given a user who gave a code, when the clock is stepped back by ten minutes, then that code is refused as used, doctor says that the clock is behind, and with the clock set right all is as before.
pub(crate) fn fault_a_clock_behind_the_last_code_is_told(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        clock::put(bastion, &SERVICES)?;
        let fayette = lab
            .admin("fayette")
            .at(bastion)
            .may_reach_databases()
            .arrive()?;
        let code = fayette.authenticator()?.code()?;
        let login = |code: &str| {
            let answering = fayette.seat.answering(&[code])?;
            answering.ssh([bastion.place().name, "whoami"]).run()
        };
        login(&code)?.success()?;
        run(bastion, &step("-600"))?;
        login(&code)?.failure()?;
        let replayed = fayette.event("mfa.replayed")?;
        ensure!(replayed.get("JUMP_REASON") == "replayed_code", "{replayed}");
        let said = bastion.jumpctl("doctor")?.expect_code(1)?.text();
        ensure!(
            said.contains("behind the last code that fayette gave"),
            "{said}"
        );
        run(bastion, &step("+0"))?;
        gets_through(bastion, &fayette)?;
        clock::take_away(bastion, &SERVICES)
    })
}
