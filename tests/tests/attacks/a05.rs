//! A5: Unix sockets of the host.

use super::way;
use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::machine::Machine;

const BUS: &str = "/run/dbus/system_bus_socket";
const JOURNAL: &str = "/run/systemd/journal/stdout";
/// As careless as many: a socket of a powerful service that everybody may connect to.
const DOCKER: &str = "/run/docker.sock";
/// What says something to each of them, and gets something back, but for journald.
const BUS_HELLO: &str = "\0AUTH EXTERNAL\r\n";
const HELLO: &str = "hello\n";
/// Our own.
const OURS: [&str; 3] = [
    "/run/jump/jumpd.sock",
    "/run/jump/guard.sock",
    "/run/jump/shell.sock",
];

/// Entries of journald's stream protocol: a header of seven lines, then text.
fn forged(word: &str) -> String {
    format!("attacker\n\n6\n0\n0\n0\n0\n{word}\n")
}

fn offer_docker(machine: &Machine) -> Result<()> {
    const UNITS: &str = "/etc/systemd/system/lab-docker";
    let socket = format!("[Socket]\nListenStream={DOCKER}\nSocketMode=0666\nAccept=yes\n");
    let service = "[Unit]\nCollectMode=inactive-or-failed\n[Service]\nStandardInput=socket\nStandardError=journal\nExecStart=-/bin/cat\n";
    machine.write(&format!("{UNITS}.socket"), socket)?;
    machine.write(&format!("{UNITS}@.service"), service)?;
    machine
        .shell("systemctl daemon-reload && systemctl start lab-docker.socket")
        .run()?
        .success()?;
    Ok(())
}

/// Given services that listen on Unix sockets, then through the stock host a client reaches them, and through the bastion none.
pub(crate) fn a05_no_unix_socket_is_reached_by_a_forward(lab: &Lab) -> Result<()> {
    let fred = lab.admin("fred").may_reach_databases().arrive()?;
    let stock = lab.stock()?;
    stock.account(&fred.seat)?;
    offer_docker(stock)?;
    offer_docker(&lab.bastion)?;
    let _masters = (way::stock_master(&fred.seat)?, fred.open_master(&[])?);
    let (there, here) = (stock.journal.mark(), lab.journal.mark());
    for (path, say) in [(BUS, BUS_HELLO), (DOCKER, HELLO)] {
        let heard = way::unix(&fred.seat, "stock", path, say)?;
        ensure!(!heard.stdout.is_empty(), "stock: {path}: {heard}");
    }
    way::unix(&fred.seat, "stock", JOURNAL, &forged("forged-there"))?;
    let forgery = |e: &jump_lab::journal::Entry| e.get("SYSLOG_IDENTIFIER") == "attacker";
    let written = stock
        .journal
        .wait(there, 1, jump_lab::story::PATIENCE, forgery);
    ensure!(!written.is_empty(), "journald did not take it");

    for (path, say) in [(BUS, BUS_HELLO), (DOCKER, HELLO)]
        .into_iter()
        .chain(OURS.map(|path| (path, HELLO)))
    {
        let heard = way::unix(&fred.seat, "bastion", path, say)?;
        ensure!(heard.stdout.is_empty(), "{path}: {heard}");
    }
    way::unix(&fred.seat, "bastion", JOURNAL, &forged("forged-here"))?;
    way::sshd_says(
        &lab.journal,
        here,
        &["refused streamlocal port forward", BUS],
    )?;
    way::sshd_says(
        &lab.journal,
        here,
        &["refused streamlocal port forward", OURS[0]],
    )?;
    ensure!(
        lab.journal.since(here, forgery).is_empty(),
        "journald took it"
    );
    Ok(())
}

/// Given a setting by hand that lets sshd forward to Unix sockets, then the guard connects none.
pub(crate) fn a05_the_guard_stops_what_a_changed_setting_lets_through(lab: &Lab) -> Result<()> {
    let faye = lab.admin("faye").may_reach_databases().arrive()?;
    offer_docker(&lab.bastion)?;
    let by_hand = "Match User faye\n    AllowStreamLocalForwarding yes\n";
    lab.with_sshd_config("00-by-hand.conf", by_hand, || {
        let _master = faye.open_master(&[])?;
        for (path, say) in [(BUS, BUS_HELLO), (DOCKER, HELLO), (OURS[0], HELLO)] {
            let mark = lab.journal.mark();
            let heard = way::unix(&faye.seat, "bastion", path, say)?;
            ensure!(heard.stdout.is_empty(), "{path}: {heard}");
            // This time sshd tried.
            let denied = lab.journal.since(mark, |e| {
                e.message().contains("refused streamlocal port forward")
            });
            ensure!(denied.is_empty(), "the setting is not in force");
        }
        Ok(())
    })
}

/// Given any program, then outside of a session it reaches these sockets and inside it does not.
pub(crate) fn a05_no_unix_socket_is_reached_by_a_program(lab: &Lab) -> Result<()> {
    let open = lab.open_bastion()?;
    let greta = lab.admin("greta").at(open).may_reach_databases().arrive()?;
    offer_docker(open)?;
    for (path, say) in [(BUS, "\\0AUTH EXTERNAL\\r\\n"), (DOCKER, "hello\\n")] {
        let line = format!("printf '{say}' | nc -N -w 10 -U {path}");
        let outside = open.shell(&line).user(greta.uid, "/").run()?;
        ensure!(!outside.stdout.is_empty(), "{path}: {outside}");
        let inside = greta.in_session(&line)?.run()?;
        ensure!(
            inside.stdout.is_empty() && inside.code() != 0,
            "{path}: {inside}"
        );
    }
    for path in OURS {
        let line = format!(
            "python3 -c 'import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(\"{path}\"); print(1)'"
        );
        let as_root = open.shell(&line).run()?;
        ensure!(as_root.text() == "1", "{path}: {as_root}");
        let inside = greta.in_session(&line)?.run()?;
        ensure!(
            inside.stdout.is_empty() && inside.stderr.contains("PermissionError"),
            "{path}: {inside}"
        );
    }
    Ok(())
}
