//! A6: remote forwards: a way in that the client opens from outside.

use super::way;
use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::machine::Machine;

/// Every form of `-R` (ssh(1)), and how to see on the host that it stands. `DIR` is replaced by a directory that everybody may write.
const FORMS: [(&str, &str); 6] = [
    ("16500:127.0.0.1:22", "nc -N 127.0.0.1 16500 </dev/null"),
    (
        "localhost:16501:127.0.0.1:22",
        "nc -N 127.0.0.1 16501 </dev/null",
    ),
    ("*:16502:127.0.0.1:22", "nc -N 127.0.0.1 16502 </dev/null"),
    (
        "16503",
        "nc -N -X 5 -x 127.0.0.1:16503 127.0.0.1 22 </dev/null",
    ),
    (
        "/tmp/a06.sock:127.0.0.1:22",
        "nc -N -U /tmp/a06.sock </dev/null",
    ),
    ("0:127.0.0.1:22", ""),
];

fn heard(machine: &Machine, look: &str) -> Result<bool> {
    let output = machine.shell(look).run()?;
    Ok(output.text().starts_with("SSH-2.0-"))
}

/// Given every form of `-R`, then on the stock host it opens a way into the client's network, and on the bastion none.
pub(crate) fn a06_no_remote_forward_is_opened(lab: &Lab) -> Result<()> {
    let hank = lab.admin("hank").may_reach_databases().arrive()?;
    let stock = lab.stock()?;
    stock.account(&hank.seat)?;
    let _masters = (way::stock_master(&hank.seat)?, hank.open_master(&[])?);
    for (form, look) in FORMS {
        let ask = |host| way::ssh(&hank.seat, host, &["-O", "forward", "-R", form], &[]).run();
        let opened = ask("stock")?.success()?;
        if look.is_empty() {
            let port: u16 = opened.text().parse()?;
            let look = format!("nc -N 127.0.0.1 {port} </dev/null");
            ensure!(heard(stock, &look)?, "stock: {form}");
        } else {
            ensure!(heard(stock, look)?, "stock: {form}");
            ensure!(!heard(&lab.bastion, look)?, "{form} was there before");
        }
        ask("bastion")?.failure()?;
        ensure!(look.is_empty() || !heard(&lab.bastion, look)?, "{form}");
    }
    let listening = way::listeners(&lab.bastion, hank.uid)?;
    ensure!(listening.is_empty(), "{listening}");
    // sshd tells the client of a forward that it does not permit, and not its own log.
    hank.event("session.opened")?;
    ensure!(
        hank.events("forward.allowed").is_empty(),
        "something connected"
    );
    Ok(())
}

/// Given settings by hand that allow every remote forward, then the session's filter lets nothing listen.
pub(crate) fn a06_nothing_listens_even_with_changed_settings(lab: &Lab) -> Result<()> {
    let hilda = lab.admin("hilda").may_reach_databases().arrive()?;
    let by_hand = "Match User hilda\n    AllowTcpForwarding yes\n    PermitListen any\n    GatewayPorts clientspecified\n    \
                   AllowStreamLocalForwarding yes\n";
    lab.with_sshd_config("00-by-hand.conf", by_hand, || {
        let _master = hilda.open_master(&[])?;
        let mark = lab.journal.mark();
        for (form, look) in FORMS {
            way::ssh(&hilda.seat, "bastion", &["-O", "forward", "-R", form], &[])
                .run()?
                .failure()?;
            ensure!(look.is_empty() || !heard(&lab.bastion, look)?, "{form}");
        }
        let listening = way::listeners(&lab.bastion, hilda.uid)?;
        ensure!(listening.is_empty(), "{listening}");
        let denied = |e: &jump_lab::journal::Entry| {
            e.message().contains("remote forward") && e.message().contains("denied")
        };
        ensure!(
            lab.journal.since(mark, denied).is_empty(),
            "the settings are not in force"
        );
        Ok(())
    })
}

/// Given a program inside a session, then it listens nowhere, as any program outside may.
pub(crate) fn a06_no_program_listens(lab: &Lab) -> Result<()> {
    let open = lab.open_bastion()?;
    let hugo = lab.admin("hugo").at(open).may_reach_databases().arrive()?;
    for ear in ["-l 16510", "-6 -l 16511", "-lU /tmp/a06.sock"] {
        // Ends by itself after a second, when nobody stopped it.
        let line = format!("timeout 1 nc {ear}; echo $?");
        let outside = open.shell(&line).user(hugo.uid, "/").run()?;
        ensure!(outside.text() == "124", "{ear}: {outside}");
        open.shell("rm -f /tmp/a06.sock").run()?;
        let inside = hugo.in_session(&line)?.run()?;
        ensure!(inside.text() == "1", "{ear}: {inside}");
    }
    Ok(())
}
