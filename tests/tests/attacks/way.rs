//! The ways by which an admin's client asks for something, the same at every host.

use anyhow::{Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::machine::Machine;
use jump_lab::process::{Invocation, Output, Running};
use jump_lab::seat::Seat;
use jump_lab::story::{PATIENCE, wait_for};

/// The socket of the connection to a host that commands of a seat share; [`Admin::open_master`] names the bastion's.
pub(super) fn shared(host: &str) -> &'static str {
    if host == "stock" {
        "master-stock"
    } else {
        "master"
    }
}

/// Opens that connection to the stock host, where a key is enough.
pub(super) fn stock_master(seat: &Seat) -> Result<Running> {
    let mut master = seat
        .command("ssh")
        .args(["-M", "-S", shared("stock"), "-N", "-v", "stock"])
        .start()?;
    master.wait_for("Entering interactive session", PATIENCE)?;
    Ok(master)
}

/// `ssh` over the shared connection, with the host's name last but for the command.
pub(super) fn ssh(seat: &Seat, host: &str, options: &[&str], command: &[&str]) -> Invocation {
    let ssh = seat
        .command("ssh")
        .args(["-S", shared(host)])
        .args(options.iter().copied())
        .args([host]);
    if command.is_empty() {
        return ssh;
    }
    // Else a word that begins with a dash is one of the client's own.
    ssh.args(["--"]).args(command.iter().copied())
}

/// `ssh -W DESTINATION HOST`: says hello there.
pub(super) fn to(seat: &Seat, host: &str, destination: &str) -> Result<Output> {
    ssh(seat, host, &["-W", destination], &[])
        .input("hello\n")
        .run()
}

/// Whether somebody answered: an sshd, or a service that sends everything back.
pub(super) fn answered(output: &Output) -> bool {
    output.text().starts_with("SSH-2.0-") || output.text() == "hello"
}

/// What was asked for did not come about, and nothing was heard.
pub(super) fn refused(what: &str, output: &Output) -> Result<()> {
    ensure!(
        output.code() != 0 && output.stdout.is_empty(),
        "{what} answered: {output}"
    );
    Ok(())
}

/// Every destination answers on the stock host, none on the bastion, over `admin`'s shared connection.
pub(super) fn lead_astray_on_stock_only(admin: &Admin<'_>, destinations: &[String]) -> Result<()> {
    let seat = &admin.seat;
    for destination in destinations {
        let reached = to(seat, "stock", destination)?;
        ensure!(answered(&reached), "stock: {destination}: {reached}");
    }
    for destination in destinations {
        refused(destination, &to(seat, "bastion", destination)?)?;
    }
    Ok(())
}

/// Forwards a socket of the client to a Unix socket of the host and says something there; what came back.
pub(super) fn unix(seat: &Seat, host: &str, path: &str, say: &str) -> Result<Output> {
    let here = format!("{host}.socket");
    let forward = format!("{}:{path}", seat.home_path(&here));
    ssh(seat, host, &["-O", "forward", "-L", &forward], &[])
        .run()?
        .success()?;
    let heard = seat
        .command("nc")
        .args(["-N", "-w", "10", "-U", &here])
        .input(say)
        .run()?;
    ssh(seat, host, &["-O", "cancel", "-L", &forward], &[])
        .run()?
        .success()?;
    std::fs::remove_file(seat.path(&here)).or_else(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(e),
    })?;
    Ok(heard)
}

/// TCP ports and Unix sockets on which a process of this uid listens.
pub(super) fn listeners(machine: &Machine, uid: u32) -> Result<String> {
    let line = format!("for p in $(pgrep -u {uid}); do ss -lntxpH | grep \"pid=$p,\"; done; true");
    Ok(machine.shell(&line).run()?.text())
}

/// Waits until the machine's sshd has written a line that holds all of `words`.
pub(super) fn sshd_says(
    journal: &jump_lab::journal::Journal,
    mark: jump_lab::journal::Mark,
    words: &[&str],
) -> Result<()> {
    wait_for(&format!("sshd to say {words:?}"), || {
        let found = journal.since(mark, |entry| {
            entry.get("SYSLOG_IDENTIFIER").starts_with("sshd")
                && words.iter().all(|word| entry.message().contains(word))
        });
        Ok(!found.is_empty())
    })
}

/// An interactive login at the bastion, at its first prompt.
pub(super) fn shell(
    admin: &Admin<'_>,
    options: &[&str],
    variables: &[(&str, &str)],
) -> Result<Running> {
    let code = admin.authenticator()?.any_code()?;
    let mut ssh = admin
        .seat
        .answering(&[code])?
        .ssh(["-tt"])
        .args(options.iter().copied())
        .args(["bastion"]);
    for (name, value) in variables {
        ssh = ssh.env(name, value);
    }
    let mut shell = ssh.open_input().start()?;
    shell.wait_for("databases", PATIENCE)?;
    Ok(shell)
}

/// Goes on from the restricted shell to db1, up to the prompt there.
pub(super) fn hop(shell: &mut Running) -> Result<()> {
    shell.say("ssh db1\r")?;
    shell.wait_for("ops@db1", PATIENCE)
}

/// A file of `/proc` of the restricted shell that this user runs.
pub(super) fn of_the_shell(bastion: &Machine, uid: u32, file: &str) -> Result<String> {
    of(bastion, uid, "jump-shell", file)
}

/// The same of the ssh of this user's hop.
pub(super) fn of_the_hop(bastion: &Machine, uid: u32, file: &str) -> Result<String> {
    of(bastion, uid, "ssh", file)
}

fn of(bastion: &Machine, uid: u32, program: &str, file: &str) -> Result<String> {
    let line = format!("tr '\\0' '\\n' </proc/$(pgrep -u {uid} -x {program})/{file}");
    Ok(bastion.shell(&line).run()?.success()?.text())
}

/// The names of the programs that this user runs.
pub(super) fn programs(bastion: &Machine, uid: u32) -> Result<String> {
    let line = format!("ps -o comm= -u {uid} | sort -u");
    Ok(bastion.shell(&line).run()?.text())
}
