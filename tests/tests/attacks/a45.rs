//! A45: a command that looks like a file transfer, and goes on.

use anyhow::{Result, ensure};
use jump_lab::hops;
use jump_lab::lab::Lab;

/// What a recorder that looks at the first word takes for a transfer (open-bastion, issue 287), and lets pass unrecorded.
const WRAPPER: &str = r#"#!/bin/bash
case "$SSH_ORIGINAL_COMMAND" in
scp\ * | rsync\ --server* | sftp-server* | /usr/lib/openssh/sftp-server*) exec /bin/bash -c "$SSH_ORIGINAL_COMMAND" ;;
*) exec script --quiet --flush --command "$SSH_ORIGINAL_COMMAND" /var/tmp/recorded ;;
esac
"#;

/// Given a wrapper that knows a transfer by its first word, then a shell runs unrecorded behind it; given ours, then no text reaches a shell,
/// and what a target makes of it in a recorded hop is recorded, whatever its first word.
pub(crate) fn a45_a_transfer_that_goes_on_is_no_way_to_a_shell(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    hops::prepare(lab, lab)?;
    let vera = lab
        .admin("vera")
        .policy(hops::rule("vera", "record = true"))
        .arrive()?;
    stock.account(&vera.seat)?;
    stock.write("/usr/local/bin/recorded", WRAPPER)?;
    stock.sh("chmod 755 /usr/local/bin/recorded; install -m 666 /dev/null /var/tmp/recorded")?;
    let sshd =
        jump_lab::peculiar::OwnSshd::start(stock, 4501, "ForceCommand /usr/local/bin/recorded")?;
    let attacks = [
        "scp -t /nonexistent/x; echo ran $((6*7))",
        "rsync --server x; echo ran $((6*7))",
        "sftp-server; echo ran $((6*7))",
        "/usr/lib/openssh/sftp-server -h; echo ran $((6*7))",
        "scp -t `echo ran $((6*7)) >&2`",
        "scp -t x\necho ran $((6*7))",
        "scp -t $(echo ran $((6*7)) >&2)",
        "sftp-server | echo ran $((6*7))",
    ];
    let types = |options: &[String], host: &str, command: &str| {
        vera.seat
            .command("ssh")
            .args(options.to_vec())
            .args(["-tt", host, command])
            // What reads the terminal is told that there is no more.
            .input("\u{4}\u{4}\u{4}\u{4}")
            .run()
    };
    for attack in attacks {
        let output = types(&sshd.options(), "stock", attack)?;
        let said = format!("{}{}", output.text(), output.stderr);
        ensure!(
            said.contains("ran 42"),
            "the stock host: {attack:?}: {output}"
        );
    }
    ensure!(
        !stock.read("/var/tmp/recorded")?.contains("ran 42"),
        "the wrapper recorded it"
    );

    let _master = vera.open_master(&[])?;
    let shared = ["-S".to_owned(), "master".to_owned()];
    for attack in attacks {
        let output = types(&shared, "bastion", attack)?;
        let said = format!("{}{}", output.text(), output.stderr);
        ensure!(output.code() == 126, "{attack:?}: {output}");
        ensure!(!said.contains("ran 42"), "{attack:?}: {output}");
    }
    let refused = vera.wait_events("shell.refused", attacks.len());
    ensure!(
        refused.len() == attacks.len()
            && refused
                .iter()
                .all(|e| e.get("JUMP_REASON") == "not_a_command"),
        "{refused:?}"
    );
    // Nothing of it ran: no process of hers but sshd's and the shell's came into being.
    let left = lab
        .bastion
        .shell("ps -o comm= -u vera | sort -u")
        .run()?
        .text();
    ensure!(
        left.lines()
            .all(|name| name.starts_with("sshd") || name == "jump-shell"),
        "{left}"
    );

    let hop = vera
        .seat
        .command("ssh")
        .args(["-S", "master", "-tt", "bastion", "ssh", "db1", attacks[0]])
        // It answers scp there, which reads a line.
        .input("no\n")
        .run()?;
    ensure!(hop.text().contains("ran 42"), "{hop}");
    vera.event("recording.sealed")?;
    let found = lab
        .jumpctl("recordings grep --user vera ran.42")?
        .success()?;
    ensure!(found.text().contains("ran 42"), "{found}");
    Ok(())
}
