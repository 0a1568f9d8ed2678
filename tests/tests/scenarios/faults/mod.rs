//! What is killed, hangs, fills up, goes away or lies. Nothing is allowed that
//! would not have been, nothing hangs longer than three seconds, and sessions
//! that may live go on.
//!
//! Each story has a bastion for itself (`Lab::on_fragile_bastion`).

use anyhow::{Context, Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::bastion::Bastion;
use jump_lab::lab::Lab;
use jump_lab::network::ECHO;
use jump_lab::process::{Output, Running};
use jump_lab::seat::{Seat, append};
use jump_lab::story::PATIENCE;
use std::time::{Duration, Instant};

pub(crate) mod clock;
pub(crate) mod journal;
pub(crate) mod killed;
pub(crate) mod names;
pub(crate) mod state;
pub(crate) mod stopped;
pub(crate) mod upgrade;

/// The longest that anything of ours may keep anybody waiting.
const LIMIT: Duration = Duration::from_secs(3);
/// What ssh and sshd themselves take for a login, on a machine that is busy with other stories.
const LOGIN: Duration = Duration::from_millis(1500);

/// A target by its address: no name needs to be resolved.
const DB1: &str = "10.77.2.11";
/// A host that no rule names.
const DB2: &str = "10.77.2.12";

/// Whatever `act` does, it must be done in time.
fn within<T>(limit: Duration, what: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let begun = Instant::now();
    let done = act()?;
    let took = begun.elapsed();
    ensure!(took <= limit, "{what} took {took:?}, more than {limit:?}");
    Ok(done)
}

/// Root logs in with a key, as before there was a jump server.
pub(crate) fn root_logs_in(bastion: &Bastion, seat: &Seat) -> Result<()> {
    append(bastion, "/root/.ssh/authorized_keys", seat.key())?;
    let root = format!("root@{}", bastion.place().name);
    let output = seat
        .command("ssh")
        .args([&root, "id -u"])
        .run()?
        .success()?;
    ensure!(output.text() == "0", "{output}");
    Ok(())
}

/// A login that is refused, in time, with nothing let through; root logs in meanwhile.
fn is_refused(bastion: &Bastion, admin: &Admin<'_>, limit: Duration) -> Result<Output> {
    let jump = ["-J", bastion.place().name, "db1", "hostname"];
    // What root's takes before and after tells how busy the machine is with other stories.
    let roots = || -> Result<Duration> {
        let begun = Instant::now();
        root_logs_in(bastion, &admin.seat)?;
        Ok(begun.elapsed())
    };
    let before = roots()?;
    let begun = Instant::now();
    let output = admin.ssh(&jump)?.failure()?;
    let took = begun.elapsed();
    ensure!(output.text().is_empty(), "{output}");
    let most = limit + LOGIN + 2 * before.max(roots()?);
    ensure!(
        took <= most,
        "the refusal of a login took {took:?}, more than {most:?}"
    );
    Ok(output)
}

/// A login by which the admin reaches db1.
fn gets_through(bastion: &Bastion, admin: &Admin<'_>) -> Result<()> {
    let jump = ["-J", bastion.place().name, "db1", "hostname"];
    let output = admin.ssh(&jump)?.success()?;
    ensure!(output.text() == "db1", "{output}");
    Ok(())
}

/// An admin with a session (`ssh -N`), over which one connection to db1 is open.
struct Visit<'l> {
    bastion: &'l Bastion,
    admin: Admin<'l>,
    master: Running,
    flow: Running,
    said: String,
}

impl<'l> Visit<'l> {
    fn begin(lab: &'l Lab, bastion: &'l Bastion, name: &'l str) -> Result<Self> {
        let admin = lab.admin(name).at(bastion).may_reach_databases().arrive()?;
        Self::of(bastion, admin)
    }

    fn of(bastion: &'l Bastion, admin: Admin<'l>) -> Result<Self> {
        let master = admin.open_master(&[])?;
        let flow = open_flow(bastion, &admin, &format!("{DB1}:{ECHO}"))?;
        let mut visit = Self {
            bastion,
            admin,
            master,
            flow,
            said: String::new(),
        };
        visit.flow_goes_on()?;
        Ok(visit)
    }

    /// The open connection carries every byte, in order.
    fn flow_goes_on(&mut self) -> Result<()> {
        let line = format!("line {} of the flow\n", self.said.lines().count());
        self.said.push_str(&line);
        self.flow.say(&line)?;
        self.flow.wait_for(&line, PATIENCE)?;
        let back = self.flow.said();
        ensure!(back == self.said, "sent {:?}, got back {back:?}", self.said);
        Ok(())
    }

    /// A new connection over the session.
    fn forward(&self, destination: &str) -> Result<Output> {
        self.admin
            .seat
            .command("ssh")
            .args(["-S", "master", "-W", destination])
            .args([self.bastion.place().name])
            .input("hello\n")
            .run()
    }

    /// New connections over the session are made, to the targets and nowhere else.
    fn forwards_as_before(&self) -> Result<()> {
        let through = self.forward(&format!("{DB1}:{ECHO}"))?;
        ensure!(through.text() == "hello", "{through}");
        self.other_hosts_stay_closed()
    }

    fn other_hosts_stay_closed(&self) -> Result<()> {
        let refused = self.forward(&format!("{DB2}:{ECHO}"))?;
        ensure!(
            refused.code() != 0 && refused.stdout.is_empty(),
            "{refused}"
        );
        Ok(())
    }

    /// A connection that would be made without the fault is refused, in time.
    fn forward_is_refused(&self, limit: Duration) -> Result<()> {
        let output = within(limit + LOGIN, "the refusal of a forward", || {
            self.forward(&format!("{DB1}:{ECHO}"))
        })?;
        ensure!(output.code() != 0 && output.stdout.is_empty(), "{output}");
        Ok(())
    }

    fn session(&self) -> Result<String> {
        Ok(self
            .admin
            .event("session.opened")?
            .get("JUMP_SESSION")
            .to_owned())
    }

    /// The process id of the session's guard, on the bastion.
    fn guard(&self) -> Result<i64> {
        let session = self.session()?;
        let shown = self
            .bastion
            .jumpctl(&format!("sessions show {session} --json"))?
            .success()?;
        let shown: serde_json::Value = serde_json::from_str(&shown.text())?;
        let guard = shown.get("guard").and_then(serde_json::Value::as_i64);
        guard.context("no guard in sessions show")
    }

    /// Does something by a line of shell; says after how many milliseconds no process
    /// and no connection to a target was left, measured on the bastion itself.
    fn watch_the_end(&self, line: &str) -> Result<Running> {
        let script = format!(
            "{line}; begun=$(date +%s%N)
             while left=$(pgrep -u {uid}; ss -Htn state established dst 10.77.2.0/24); [ -n \"$left\" ]; do
                 [ $(( ($(date +%s%N) - begun) / 1000000 )) -gt 20000 ] && echo \"$left\" && exit 1
                 sleep 0.01
             done; echo $(( ($(date +%s%N) - begun) / 1000000 ))",
            uid = self.admin.uid
        );
        self.bastion.shell(&script).start()
    }

    /// No process and no connection to a target is left a second after the line of shell was done.
    fn is_gone_within_a_second_of(&self, line: &str) -> Result<()> {
        a_second_at_most(self.watch_the_end(line)?)
    }

    /// Ends the visit in good order; nothing of it is left.
    fn leave(mut self) -> Result<()> {
        ensure!(!self.master.ended()?, "the session did not live on");
        self.flow.hang_up_input();
        let bytes = self.said.len() as u64;
        let closed = self.admin.event_where("forward.closed", |e| {
            e.number("JUMP_BYTES_SENT") == Some(bytes)
        })?;
        ensure!(
            closed.number("JUMP_BYTES_RECEIVED") == Some(bytes),
            "{closed}"
        );
        drop(self.flow);
        drop(self.master);
        self.admin.event("session.closed")?;
        no_guard_is_left(self.bastion)?;
        let left = format!("pgrep -u {} || true", self.admin.uid);
        let left = self.bastion.shell(&left).run()?;
        ensure!(left.text().is_empty(), "left: {left}");
        Ok(())
    }
}

/// What [`Visit::watch_the_end`] has seen.
fn a_second_at_most(watch: Running) -> Result<()> {
    let output = watch.wait(PATIENCE)?.success()?;
    let text = output.text();
    let last = text.lines().next_back().unwrap_or_default();
    let took = Duration::from_millis(last.parse()?);
    ensure!(
        took <= Duration::from_secs(1),
        "something was left for {took:?}"
    );
    Ok(())
}

/// `ssh -W` over the shared connection, with its input open.
fn open_flow(bastion: &Bastion, admin: &Admin<'_>, destination: &str) -> Result<Running> {
    admin
        .seat
        .command("ssh")
        .args(["-S", "master", "-W", destination, bastion.place().name])
        .open_input()
        .start()
}

/// No session's guard is left on the bastion.
fn no_guard_is_left(bastion: &Bastion) -> Result<()> {
    jump_lab::story::wait_for("the last guard to go", || {
        let guards = bastion.shell("pgrep -x guard-session || true").run()?;
        Ok(guards.text().is_empty())
    })
}
