//! A12: asking the jump host for anything but a way through it.

use super::way;
use anyhow::{Result, ensure};
use jump_lab::hops;
use jump_lab::lab::Lab;
use jump_lab::seat::Seat;
use jump_lab::story::PATIENCE;

/// Commands that a stock host runs, with a word that says so.
const RUN_THERE: &[(&str, &str)] = &[
    ("id", "uid="),
    ("sh -c id", "uid="),
    ("/bin/sh -c id", "uid="),
    ("exec sh -c id", "uid="),
    ("../../bin/sh -c id", "uid="),
    ("targets; id", "uid="),
    ("targets || id", "uid="),
    ("true && id", "uid="),
    ("true | id", "uid="),
    ("echo $(id)", "uid="),
    ("echo `id`", "uid="),
    ("true\nid", "uid="),
    ("help 2>/dev/null; id", "uid="),
    ("scp -t x 2>/dev/null; id", "uid="),
    ("rsync --server x 2>/dev/null; id", "uid="),
    ("/usr/lib/openssh/sftp-server -h 2>/dev/null; id", "uid="),
    ("scp -f /etc/hostname </dev/null; id", "uid="),
    ("rsync --version", "rsync"),
    ("cat /etc/hostname", "stock"),
    ("ssh -V 2>&1", "OpenSSH"),
    ("bash --norc -c id", "uid="),
    ("env id", "uid="),
    ("exec -a -sh sh -c id", "uid="),
];
/// What else a client asks for that brings its other half along, or hopes to confuse whoever reads it.
const AND_HERE: &[&str] = &[
    "sh",
    "scp -t /tmp",
    "scp -t x; sh",
    "rsync --server . /",
    "rsync --server x; sh",
    "sftp-server; sh",
    "internal-sftp",
    "git-upload-pack x",
    "git-receive-pack x",
    "mosh-server new",
    "-c",
    "-c id; id",
    "--",
    "-i",
    "--help",
    "jump-shell",
    "/usr/bin/jump-shell -c id",
    "\u{1b}[2Jid",
    "targets\tid",
    // Words of ssh's own that name a program, a file or another way.
    "ssh -oProxyCommand=id db1",
    "ssh db1 -oPermitLocalCommand=yes",
    "ssh -- -oProxyCommand=id",
    "ssh -oProxyCommand=id",
    "ssh ops@-oProxyCommand=id",
    "ssh -F /etc/passwd db1",
    "ssh -L 1:db1:22 db1",
    "ssh -J db1 db1",
    "ssh -tt db1 sh",
    "ssh db1;sh",
    "ssh $(id) db1",
    "ssh `id`",
    "ssh db1\nsh",
    "ssh 'db1'",
];

/// Given any command that is not the restricted shell's own, then a stock host runs it, and the bastion refuses it with 126 and one sentence;
/// what follows the name of a hop's target is the target's, and on the bastion ssh is all that it starts.
pub(crate) fn a12_every_other_command_is_refused(lab: &Lab) -> Result<()> {
    hops::prepare(lab, lab)?;
    let quinn = lab
        .admin("quinn")
        .policy(hops::rule("quinn", ""))
        .arrive()?;
    lab.stock()?.account(&quinn.seat)?;
    let _masters = (way::stock_master(&quinn.seat)?, quinn.open_master(&[])?);
    for (command, word) in RUN_THERE {
        let there = way::ssh(&quinn.seat, "stock", &[], &[command]).run()?;
        ensure!(there.text().contains(word), "stock: {command:?}: {there}");
    }
    let commands: Vec<_> = RUN_THERE
        .iter()
        .map(|(command, _)| *command)
        .chain(AND_HERE.iter().copied())
        .collect();
    for command in &commands {
        let here = way::ssh(&quinn.seat, "bastion", &[], &[command]).run()?;
        ensure!(
            here.code() == 126 && here.stdout.is_empty(),
            "{command:?}: {here}"
        );
        let said = here.stderr.trim_end();
        ensure!(said.lines().count() == 1, "{command:?}: {here}");
    }
    let refused = quinn.wait_events("shell.refused", commands.len());
    ensure!(
        refused.len() >= commands.len(),
        "{} refusals in the journal",
        refused.len()
    );
    ensure!(
        refused
            .iter()
            .all(|e| e.message().bytes().all(|b| (0x20..0x7f).contains(&b))),
        "a control byte is in the journal's line"
    );
    ensure!(
        quinn.events("forward.allowed").is_empty(),
        "something connected"
    );
    let wish = "ssh db1 echo $(hostname) `hostname`; sh -c hostname | cat; cat # -oProxyCommand=id";
    let mut hop = way::ssh(&quinn.seat, "bastion", &[], &[wish])
        .open_input()
        .start()?;
    hop.wait_for("db1 db1\ndb1\n", PATIENCE)?;
    let running = way::programs(&lab.bastion, quinn.uid)?;
    ensure!(
        running.lines().any(|name| name == "ssh")
            && running.lines().all(|name| name.starts_with("sshd")
                || ["jump-shell", "jump-runner", "ssh"].contains(&name)),
        "{running}"
    );
    hop.hang_up_input();
    hop.wait(PATIENCE)?.success()?;
    Ok(())
}

/// Given a terminal as well, then a stock host gives a shell by whatever name, and the bastion refuses all the same.
pub(crate) fn a12_a_terminal_changes_nothing(lab: &Lab) -> Result<()> {
    let otis = lab.admin("otis").may_reach_databases().arrive()?;
    lab.stock()?.account(&otis.seat)?;
    let _masters = (way::stock_master(&otis.seat)?, otis.open_master(&[])?);
    let ask = |host: &str, command: &str| {
        way::ssh(&otis.seat, host, &["-tt"], &[command])
            .input("id\nid\nexit\n")
            .run()
    };
    let commands = [
        "sh",
        "bash -i",
        "sh -i",
        "scp -t x; sh",
        "rsync --server x </dev/null; sh",
    ];
    for command in commands {
        let there = ask("stock", command)?;
        ensure!(there.text().contains("uid="), "stock: {command}: {there}");
        let here = ask("bastion", command)?;
        ensure!(
            here.code() == 126 && !here.text().contains("uid="),
            "{command}: {here}"
        );
    }
    let refused = otis.wait_events("shell.refused", commands.len());
    ensure!(refused.len() == commands.len(), "{refused:?}");
    Ok(())
}

/// The client's tools that bring a program to life at the other end.
fn tools(seat: &Seat, host: &str) -> Vec<(&'static str, Vec<String>)> {
    let shared = format!("-oControlPath={}", way::shared(host));
    let remote_shell = format!("ssh -S {}", way::shared(host));
    let to = |name: &str| format!("{host}:/var/tmp/{}-{name}", seat.name());
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    vec![
        ("scp", words(&[&shared, "-O", "file", &to("scp")])),
        ("scp", words(&[&shared, "-s", "file", &to("sftp")])),
        ("rsync", words(&["-e", &remote_shell, "file", &to("rsync")])),
    ]
}

/// Given scp, sftp and rsync, then a stock host takes the file, and on the bastion none is left.
pub(crate) fn a12_no_tool_leaves_a_file(lab: &Lab) -> Result<()> {
    let olaf = lab.admin("olaf").may_reach_databases().arrive()?;
    let stock = lab.stock()?;
    stock.account(&olaf.seat)?;
    olaf.seat.write("file", "content\n")?;
    let _masters = (way::stock_master(&olaf.seat)?, olaf.open_master(&[])?);
    for (host, well) in [("stock", true), ("bastion", false)] {
        for (program, words) in tools(&olaf.seat, host) {
            let output = olaf.seat.command(program).args(words).run()?;
            ensure!((output.code() == 0) == well, "{host}: {output}");
        }
    }
    let left = |machine: &jump_lab::machine::Machine| {
        machine.shell("find / -xdev -name 'olaf-*' | wc -l").run()
    };
    ensure!(
        left(stock)?.text() == "3",
        "the stock host did not take them"
    );
    ensure!(left(&lab.bastion)?.text() == "0", "a file is left");
    let refused = olaf.wait_events("shell.refused", 3);
    ensure!(refused.len() >= 3, "{refused:?}");
    Ok(())
}
