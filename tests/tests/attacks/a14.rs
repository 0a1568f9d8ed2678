//! A14: more by a connection that is open already.

use super::way;
use anyhow::{Result, ensure};
use jump_lab::hops;
use jump_lab::lab::Lab;
use jump_lab::network::ECHO;
use jump_lab::story::{PATIENCE, wait_for};

/// Rules by which an admin forwards to the databases, and hops there.
fn both(name: &str) -> String {
    format!(
        "[[rules]]\nname = \"{name}-forwards\"\neffect = \"allow\"\nusers = [\"{name}\"]\ntargets = [\"databases\"]\n\
         via = [\"forward\"]\n{}",
        hops::rule(name, "")
    )
}

/// Given a shared connection, when the admin's key is taken away, then on a stock host it stays good for ever, and at the bastion it is gone;
/// when only the right to hop is taken away, then a running hop is cut, no other channel gets one, and the rest goes on.
pub(crate) fn a14_a_shared_connection_ends_with_the_right(lab: &Lab) -> Result<()> {
    hops::prepare(lab, lab)?;
    let rita = lab.admin("rita").policy(both("rita")).arrive()?;
    let stock = lab.stock()?;
    let home = stock.account(&rita.seat)?;
    let _there = way::stock_master(&rita.seat)?;
    let here = rita.open_master(&[])?;
    let db1 = format!("db1:{ECHO}");
    for host in ["stock", "bastion"] {
        let before = way::to(&rita.seat, host, &db1)?;
        ensure!(way::answered(&before), "{host}: {before}");
    }
    let hop = |command: &str| way::ssh(&rita.seat, "bastion", &[], &[command]).open_input();
    let mut running = hop("ssh db1 hostname; cat").start()?;
    running.wait_for("db1", PATIENCE)?;
    lab.edit_policy(|policy| {
        policy.replace("rita", "principals = [\"ops\"]", "principals = [\"other\"]");
    })?;
    running.wait(PATIENCE)?.failure()?;
    let second = hop("ssh ops@db1 hostname").run()?;
    way::refused("a hop over the shared connection", &second)?;
    let before = way::to(&rita.seat, "bastion", &db1)?;
    ensure!(way::answered(&before), "the rest as well: {before}");

    stock.write(&format!("{home}/.ssh/authorized_keys"), "")?;
    lab.edit_policy(|policy| policy.remove("rita"))?;
    let after = way::to(&rita.seat, "stock", &db1)?;
    ensure!(way::answered(&after), "stock: {after}");
    let ended = here.wait(PATIENCE)?;
    ensure!(ended.code() != 0, "{ended}");
    let again = way::ssh(
        &rita.seat,
        "bastion",
        &["-o", "BatchMode=yes", "-W", &db1],
        &[],
    );
    way::refused("the shared connection", &again.input("hello\n").run()?)?;
    let expired = rita.event("session.expired")?;
    ensure!(expired.get("JUMP_REASON") == "policy_changed", "{expired}");
    rita.event("session.closed")?;
    Ok(())
}

/// Given a client that has promised to open no more sessions, then a stock host still forwards for it anywhere, and the bastion judges each channel.
pub(crate) fn a14_each_channel_is_judged(lab: &Lab) -> Result<()> {
    let rolf = lab.admin("rolf").may_reach_databases().arrive()?;
    lab.stock()?.account(&rolf.seat)?;
    let astray = format!("tcp:db2:{ECHO}");
    let listed = format!("tcp:db1:{ECHO}");
    let later = ["no-more-sessions", &astray, &listed, "session:id", &astray];
    let there = rolf
        .seat
        .raw_client("stock", ["key"].iter().chain(&later).copied());
    let there = there.run()?.success()?;
    let line = |text: &str, number: usize| text.lines().nth(number).unwrap_or_default().to_owned();
    ensure!(
        line(&there.text(), 2).ends_with("open, b'hello\\n'"),
        "{there}"
    );
    let code = format!("code:{}", rolf.authenticator()?.any_code()?);
    let first = ["key", &code];
    let here = rolf
        .seat
        .raw_client("bastion", first.iter().chain(&later).copied());
    let here = here.run()?.success()?;
    let said = here.text();
    ensure!(line(&said, 3).contains("refused"), "{here}");
    ensure!(line(&said, 4).ends_with("open, b'hello\\n'"), "{here}");
    // To ask for a session then is an attack to sshd itself: it ends the connection.
    ensure!(line(&said, 5).contains("nothing"), "{here}");
    ensure!(line(&said, 6).contains("nothing"), "{here}");
    let denied = rolf.event("forward.denied")?;
    ensure!(denied.get("JUMP_DST_IP") == "10.77.2.12", "{denied}");
    rolf.event("session.closed")?;
    Ok(())
}

/// Given the client's own prompt (`~C`), then a forward added there is judged like any other; a hop's ssh has no such prompt,
/// and what would open it, put it aside or end it reaches the target.
pub(crate) fn a14_a_forward_added_in_the_session_is_judged(lab: &Lab) -> Result<()> {
    hops::prepare(lab, lab)?;
    let remy = lab.admin("remy").policy(both("remy")).arrive()?;
    lab.stock()?.account(&remy.seat)?;
    let options = [
        "-tt",
        "-o",
        "EnableEscapeCommandline=yes",
        "-o",
        "EscapeChar=~",
    ];
    let line = |port: u16, to: &str| format!("-L {port}:{to}:{ECHO}");
    let answering = remy.seat.answering(&[line(16540, "db2")])?;
    let mut there = answering
        .ssh(options)
        .args(["stock", "echo ready; cat"])
        .open_input()
        .start()?;
    there.wait_for("ready", PATIENCE)?;
    let listens = |port: &str| {
        let listening = lab.client.shell("ss -ltnH").run()?.text();
        Ok(listening.contains(&format!("127.0.0.1:{port} ")))
    };
    // The client's prompt is answered like any other, without a terminal.
    there.say("\r~C")?;
    let code = remy.authenticator()?.any_code()?;
    let answers = [code, line(16541, "db2"), line(16542, "db1")];
    let answering = remy.seat.answering(&answers)?;
    let mut here = answering
        .ssh(options)
        .args(["bastion"])
        .open_input()
        .start()?;
    here.wait_for("databases", PATIENCE)?;
    here.say("\r~C")?;
    wait_for("the first forward", || listens("16541"))?;
    here.say("\r~C")?;
    let knock = |port: &str| {
        remy.seat
            .command("nc")
            .args(["-N", "-w", "5", "127.0.0.1", port])
            .input("hello\n")
            .run()
    };
    for port in ["16540", "16542"] {
        wait_for("the forwards", || listens(port))?;
    }
    let reached = knock("16540")?;
    ensure!(reached.text() == "hello", "stock: {reached}");
    let refused = knock("16541")?;
    ensure!(refused.stdout.is_empty(), "{refused}");
    let allowed = knock("16542")?;
    ensure!(allowed.text() == "hello", "{allowed}");
    way::hop(&mut here)?;
    here.say("echo \"reads $((6*7))\"; for i in 1 2 3; do read -r it; echo \"line $((i*7)): $it\"; done\r")?;
    here.wait_for("reads 42", PATIENCE)?;
    // The admin's own client makes one of two.
    here.say("~~C\r~~&\r~~.\r")?;
    for line in ["line 7: ~C", "line 14: ~&", "line 21: ~."] {
        here.wait_for(line, PATIENCE)?;
    }
    let denied = remy.event("forward.denied")?;
    ensure!(denied.get("JUMP_DST_IP") == "10.77.2.12", "{denied}");
    Ok(())
}
