//! A18: ways out that are not `connect(2)`, or not this one.

use anyhow::{Context, Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::attack::{ATTACK, Tried, arm, inside, outside};
use jump_lab::journal::{Entry, Mark};
use jump_lab::lab::Lab;
use jump_lab::machine::Machine;
use jump_lab::network::{DB1, ECHO, UNLISTED};
use jump_lab::process::Running;
use jump_lab::story::PATIENCE;
use std::collections::BTreeSet;

/// A service on db1 that answers, and that no rule names.
pub(super) fn unlisted() -> String {
    format!("{}:{UNLISTED}", DB1.address())
}

/// A service on db1 that the databases' rule names.
pub(super) fn listed() -> String {
    format!("{}:{ECHO}", DB1.address())
}

/// How a line of the table went, how it must go in a session, and whether that is an event.
fn line(how: &str) -> Result<(&str, &str, bool)> {
    let mut words = how.split('\t');
    let mut next = || words.next().with_context(|| how.to_owned());
    Ok((next()?, next()?, next()? == "event"))
}

/// The system call of a line.
fn call(name: &str) -> &str {
    name.split('(').next().unwrap_or_default()
}

/// An event about a forbidden call, singly or in a sum, that says `what`.
pub(super) fn forbidden(what: &str) -> impl Fn(&Entry) -> bool {
    move |event| {
        let detail = event.get("JUMP_DETAIL");
        let words = detail.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        event.get("JUMP_REASON") == "forbidden_call" && words.into_iter().any(|word| word == what)
    }
}

/// Compares lines tried in a session with what must become of them, and waits for their events.
pub(super) fn all_refused(admin: &Admin<'_>, held: &Tried) -> Result<()> {
    let mut told = BTreeSet::new();
    for (name, how) in held {
        let (went, must, event) = line(how)?;
        ensure!(went == must, "{name}: {went} instead of {must}");
        if event {
            told.insert(call(name));
        }
    }
    for call in told {
        admin
            .event_where("forward.denied", forbidden(call))
            .with_context(|| format!("{call} is not in the journal"))?;
    }
    Ok(())
}

/// Given the filter's table, then each line of it does outside of a session what it does not inside, and the journal names every call.
pub(crate) fn a18_no_line_of_the_filters_table_leads_out(lab: &Lab) -> Result<()> {
    let open = lab.open_bastion()?;
    let cora = lab.admin("cora").at(open).may_reach_databases().arrive()?;
    let target = unlisted();
    let words = ["lines", target.as_str(), target.as_str()];
    let free = [cora.uid, 0].map(|uid| outside(open, uid, &words));
    let [as_user, as_root] = free;
    let (as_user, as_root) = (as_user?, as_root?);
    let held = inside(&cora, &words)?;
    ensure!(held.len() == as_user.len() && held.len() > 100, "{held:?}");
    let mut works_outside = BTreeSet::new();
    for (name, how) in as_user.iter().chain(&as_root) {
        let (went, must, event) = line(how)?;
        if event && went != must && went != "not made" {
            works_outside.insert(call(name));
        }
    }
    for (name, how) in &held {
        let (_, _, event) = line(how)?;
        ensure!(
            !event || works_outside.contains(call(name)),
            "{name} is refused on this host without us too"
        );
    }
    all_refused(&cora, &held)?;
    let events = cora.events("forward.denied").len();
    ensure!(events < 60, "{events} events");
    ensure!(cora.events("forward.allowed").is_empty());
    Ok(())
}

/// Given a process that calls by the i386 or the x32 table, then it is ended before the number is looked at, and the journal says so.
pub(crate) fn a18_a_call_by_another_table_ends_the_process(lab: &Lab) -> Result<()> {
    let open = lab.open_bastion()?;
    let adabert = lab
        .admin("adabert")
        .at(open)
        .may_reach_databases()
        .arrive()?;
    let free = outside(open, adabert.uid, &["foreign"])?;
    let gate = free.get("i386 getpid").map(String::as_str);
    // A kernel without IA32_EMULATION closes the gate itself, with SIGSEGV; x32 is ENOSYS where it
    // is not built in. The filter sees x32 numbers in any case.
    let i386 = match gate {
        Some("ran") => "signal 9",
        Some("signal 11") => "signal 11",
        other => anyhow::bail!("{other:?}"),
    };
    let x32 = free.get("x32 getpid").map(String::as_str);
    ensure!(matches!(x32, Some("ran" | "errno 38")), "{x32:?}");
    for (name, how) in inside(&adabert, &["foreign"])? {
        let end = if name.starts_with("i386") {
            i386
        } else {
            "signal 9"
        };
        ensure!(how == end, "{name}: {how}");
    }
    let tables: &[&str] = if i386 == "signal 9" {
        &["i386", "foreign"]
    } else {
        &["x32"]
    };
    for table in tables {
        adabert.event_where("forward.denied", forbidden(table))?;
    }
    Ok(())
}

/// Where connects led while their address changed.
#[derive(Debug, Default)]
struct Raced {
    address: usize,
    other: usize,
    refused: usize,
}

/// Runs the race until there was one: on a busy host the other thread may not get its turn.
fn raced(run: impl Fn() -> Result<Tried>, was_one: impl Fn(&Raced) -> bool) -> Result<Raced> {
    let mut sum = Raced::default();
    for _ in 0..10 {
        let tried = run()?;
        let count =
            |what: &str| -> Result<usize> { Ok(tried.get(what).context("no count")?.parse()?) };
        sum.address += count("address")?;
        sum.other += count("other")?;
        sum.refused += count("refused")?;
        if was_one(&sum) {
            break;
        }
    }
    Ok(sum)
}

/// Given an address that another thread rewrites, then a connection leads where it was judged, never to the other.
pub(crate) fn a18_an_address_that_changes_leads_where_it_was_judged(lab: &Lab) -> Result<()> {
    let open = lab.open_bastion()?;
    let edda = lab.admin("edda").at(open).may_reach_databases().arrive()?;
    let (listed, unlisted) = (listed(), unlisted());
    let words = ["race", listed.as_str(), unlisted.as_str(), "60"];
    let free = raced(
        || outside(open, edda.uid, &words),
        |run| run.address > 0 && run.other > 0,
    )?;
    ensure!(free.address > 0 && free.other > 0, "no race: {free:?}");
    let held = raced(
        || inside(&edda, &words),
        |run| run.address > 0 && run.refused > 0,
    )?;
    ensure!(held.address > 0 && held.refused > 0, "no race: {held:?}");
    ensure!(held.other == 0, "{held:?}");
    let connected = held.address;
    let allowed = edda.wait_events("forward.allowed", connected);
    ensure!(
        allowed.len() == connected,
        "{} of {connected}",
        allowed.len()
    );
    ensure!(
        allowed
            .iter()
            .all(|event| event.number("JUMP_DST_PORT") == Some(ECHO.into()))
    );
    Ok(())
}

/// A process of no session that listens at a socket, tells who connects, and would hand over anything.
pub(super) fn serve(host: &Machine, uid: u32, socket: &str) -> Result<Running> {
    arm(host)?;
    let mut server = host
        .command(ATTACK)
        .user(uid, "/")
        .args(["serve", socket])
        .start()?;
    server.wait_for("serving", PATIENCE)?;
    Ok(server)
}

/// Given a process outside that would pass an open connection through a Unix socket, then nobody in a session gets to speak to it.
pub(crate) fn a18_no_process_outside_hands_a_socket_over(lab: &Lab) -> Result<()> {
    let open = lab.open_bastion()?;
    let fina = lab.admin("fina").at(open).may_reach_databases().arrive()?;
    let socket = "/tmp/handing-over";
    let server = serve(open, fina.uid, socket)?;
    let free = outside(open, fina.uid, &["unix", socket])?;
    ensure!(
        free.get("heard").is_some_and(|heard| heard == "hello"),
        "{free:?}"
    );
    let held = inside(&fina, &["unix", socket])?;
    ensure!(
        held.get("unix").is_some_and(|how| how == "errno 13"),
        "{held:?}"
    );
    ensure!(
        server.said().matches("peer").count() == 1,
        "{}",
        server.said()
    );
    fina.event_where("forward.denied", |event| {
        event.get("JUMP_REASON") == "bad_protocol"
    })?;
    Ok(())
}

/// Given sessions as admins have them, with a terminal, a shell, forwards and a goodbye, then none of their calls is a forbidden one.
pub(crate) fn a18_an_honest_session_makes_no_forbidden_call(lab: &Lab) -> Result<()> {
    let daglin = lab.admin("daglin").may_reach_databases().arrive()?;
    let code = daglin.authenticator()?.any_code()?;
    let answering = daglin.seat.answering(&[code])?;
    let mut shell = answering.ssh(["-tt", "bastion"]).open_input().start()?;
    shell.wait_for("databases", PATIENCE)?;
    shell.say("whoami\rexit\r")?;
    shell.wait(PATIENCE)?.success()?;
    let through = daglin.types("ssh", &["-J", "bastion", "db1", "id -un"])?;
    ensure!(through.text() == "ops", "{through}");
    let closed = daglin.wait_events("session.closed", 2);
    ensure!(closed.len() == 2, "{closed:?}");
    let forbidden = lab.journal.since(Mark::default(), |event| {
        event.get("JUMP_REASON") == "forbidden_call" && event.get("JUMP_USER") == daglin.name()
    });
    ensure!(forbidden.is_empty(), "{forbidden:?}");
    Ok(())
}
