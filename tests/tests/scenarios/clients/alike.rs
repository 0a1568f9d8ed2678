//! The same four things done with each client: a command of the restricted
//! shell, a way to a target, a way to what is no target, and a wrong code. What
//! the client prints is its own; what the journal says must be alike.

use super::trail::{self, Trail};
use anyhow::{Context, Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::lab::Lab;
use jump_lab::machine::Machine;
use jump_lab::process::Invocation;
use jump_lab::seat::TARGET_ACCOUNT;
use jump_lab::story::{PATIENCE, until};
use std::fs;
use std::time::Duration;

/// A program and the way it is told what to do.
struct Client {
    name: &'static str,
    /// Makes the admin's key one that this client reads.
    prepare: fn(&Admin<'_>) -> Result<()>,
    /// A command on the bastion or, through it, on a target.
    run: fn(&Desk<'_>, &Ask<'_>) -> Result<Invocation>,
}

/// What is asked of a client.
struct Ask<'a> {
    code: &'a str,
    command: &'a str,
    target: Option<&'a str>,
}

/// An admin, and what plink must be told of the hosts.
struct Desk<'a> {
    lab: &'a Lab,
    admin: &'a Admin<'a>,
}

const CLIENTS: &[Client] = &[
    Client {
        name: "openssh",
        prepare: |_| Ok(()),
        run: openssh,
    },
    Client {
        name: "asyncssh",
        prepare: |admin| script(admin, include_str!("with_asyncssh.py")),
        run: scripted,
    },
    Client {
        name: "paramiko",
        prepare: |admin| script(admin, include_str!("with_paramiko.py")),
        run: scripted,
    },
    Client {
        name: "libssh",
        prepare: |admin| script(admin, include_str!("with_libssh.py")),
        run: scripted,
    },
    Client {
        name: "plink",
        prepare: |admin| convert(admin, "puttygen", &[".ssh/id_ed25519", "-o", "key"]),
        run: plink,
    },
    Client {
        name: "dbclient",
        prepare: |admin| {
            let words = ["openssh", "dropbear", ".ssh/id_ed25519", "key"];
            convert(admin, "dropbearconvert", &words)
        },
        run: dbclient,
    },
];

/// Given asyncssh, paramiko, libssh, plink and dropbear's dbclient, when an admin logs in, goes to a target, asks for
/// what is none and mistypes the code, then each gets what `ssh` gets, and the journal says the same.
pub(crate) fn other_clients_log_in_forward_and_are_refused_alike(lab: &Lab) -> Result<()> {
    let mut reference: Option<[Trail; 4]> = None;
    for client in CLIENTS {
        let trails = tell(lab, client).with_context(|| client.name)?;
        let Some(reference) = &reference else {
            reference = Some(trails);
            continue;
        };
        for (ours, theirs) in reference.iter().zip(&trails) {
            ensure!(
                ours == theirs,
                "{}: the journal says\n{}\nand of ssh\n{}",
                client.name,
                theirs.join("\n"),
                ours.join("\n")
            );
        }
    }
    Ok(())
}

fn tell(lab: &Lab, client: &Client) -> Result<[Trail; 4]> {
    let name = format!("with-{}", client.name);
    let admin = lab
        .admin(&name)
        .sitting_at(lab.workbench()?)
        .may_reach_databases()
        .arrive()?;
    plain_known_hosts(&admin)?;
    (client.prepare)(&admin)?;
    let desk = Desk { lab, admin: &admin };
    let run = |code: &str, command: &str, target: Option<&str>| {
        let ask = Ask {
            code,
            command,
            target,
        };
        // sshd refuses while it is reloaded, which another story's policy may ask for.
        let come = || {
            let output = (client.run)(&desk, &ask)?
                .patience(Duration::from_secs(30))
                .run()?;
            let refused = output.stderr.contains("onnection refused");
            Ok((!refused).then_some(output))
        };
        until(PATIENCE, come)?.context("sshd does not listen")
    };
    let fresh = admin.authenticator()?.code()?;
    let (output, shell) = trail::of(lab, &admin, "session.closed", || {
        run(&fresh, "whoami", None)
    })?;
    let output = output.success()?;
    ensure!(output.text().contains(&name), "whoami: {output}");
    ensure!(says(&shell, "shell.started"), "{shell:?}");

    let fresh = admin.authenticator()?.recovery_code()?;
    let (output, allowed) = trail::of(lab, &admin, "session.closed", || {
        run(&fresh, "hostname", Some("db1"))
    })?;
    let output = output.success()?;
    ensure!(output.text() == "db1", "through to db1: {output}");
    ensure!(says(&allowed, "forward.allowed"), "{allowed:?}");

    let fresh = admin.authenticator()?.recovery_code()?;
    let (output, denied) = trail::of(lab, &admin, "session.closed", || {
        run(&fresh, "hostname", Some("db2"))
    })?;
    let output = output.failure()?;
    ensure!(output.stdout.is_empty(), "db2 answered: {output}");
    ensure!(
        says(&denied, "forward.denied") && !says(&denied, "forward.allowed"),
        "{denied:?}"
    );

    let wrong = admin.authenticator()?.wrong_code();
    let (output, mut mistyped) =
        trail::of(lab, &admin, "mfa.failed", || run(&wrong, "whoami", None))?;
    // Not by the exit status: dbclient's is 0 when sshd sends it away.
    ensure!(output.stdout.is_empty(), "a wrong code got in: {output}");
    // Some clients give the same answer again until sshd or the lock ends it, and some hang up when they are asked again.
    mistyped.retain(|line| {
        let and_then = ["JUMP_REASON=locked_out", "JUMP_REASON=no_answer"];
        !says_line(line, "mfa.locked") && !and_then.iter().any(|reason| line.contains(reason))
    });
    mistyped.dedup();
    Ok([shell, allowed, denied, mistyped])
}

fn says(trail: &Trail, kind: &str) -> bool {
    trail.iter().any(|line| says_line(line, kind))
}

fn says_line(line: &str, kind: &str) -> bool {
    line.split(' ')
        .any(|word| word.strip_prefix("JUMP_EVENT=") == Some(kind))
}

/// `known_hosts` with one name a line and no comments: dbclient reads no other form.
fn plain_known_hosts(admin: &Admin<'_>) -> Result<()> {
    let known = fs::read_to_string(admin.seat.path(".ssh/known_hosts"))?;
    let mut plain = String::new();
    for line in known.lines() {
        let mut words = line.split(' ');
        let [names, kind, key] =
            [words.next(), words.next(), words.next()].map(Option::unwrap_or_default);
        for name in names.split(',') {
            plain.push_str(&format!("{name} {kind} {key}\n"));
        }
    }
    admin.seat.write(".ssh/known_hosts", plain)
}

fn script(admin: &Admin<'_>, text: &str) -> Result<()> {
    admin.seat.write("client.py", text)
}

fn convert(admin: &Admin<'_>, program: &str, words: &[&str]) -> Result<()> {
    let words = words.iter().copied();
    admin.seat.command(program).args(words).run()?.success()?;
    Ok(())
}

fn openssh(desk: &Desk<'_>, ask: &Ask<'_>) -> Result<Invocation> {
    let ssh = desk.admin.seat.answering(&[ask.code])?.command("ssh");
    Ok(match ask.target {
        None => ssh.args(["bastion", ask.command]),
        Some(target) => ssh.args(["-J", "bastion", target, ask.command]),
    })
}

fn scripted(desk: &Desk<'_>, ask: &Ask<'_>) -> Result<Invocation> {
    let python = desk.admin.seat.command("python3");
    let words = ["client.py", ask.code, desk.admin.name(), ask.command];
    Ok(python.args(words).args(ask.target))
}

/// The code comes from a file; away from any terminal, where plink would rather ask.
fn plink(desk: &Desk<'_>, ask: &Ask<'_>) -> Result<Invocation> {
    let seat = &desk.admin.seat;
    seat.write("code", format!("{}\n", ask.code))?;
    let name = desk.admin.name();
    let key = fingerprint(&desk.lab.bastion)?;
    let way_in = format!("-ssh -batch -i key -pwfile code -hostkey {key}");
    let plink = seat.command("setsid").args(["--wait", "plink"]);
    Ok(match ask.target {
        None => plink
            .args(way_in.split(' '))
            .args([format!("{name}@bastion"), ask.command.to_owned()]),
        Some(target) => {
            let server = if target == "db1" {
                &desk.lab.db1
            } else {
                &desk.lab.db2
            };
            plink
                .args(["-ssh", "-batch", "-i", "key", "-hostkey"])
                .args([fingerprint(server)?, "-proxycmd".to_owned()])
                .args([format!("plink {way_in} -nc %host:%port {name}@bastion")])
                .args([format!("{TARGET_ACCOUNT}@{target}"), ask.command.to_owned()])
        }
    })
}

/// dbclient has a notation of its own for a jump, and takes the code from its environment.
fn dbclient(desk: &Desk<'_>, ask: &Ask<'_>) -> Result<Invocation> {
    let mut way = format!("{}@bastion", desk.admin.name());
    if let Some(target) = ask.target {
        way.push_str(&format!(",{TARGET_ACCOUNT}@{target}"));
    }
    let dbclient = desk
        .admin
        .seat
        .command("setsid")
        .args(["--wait", "/usr/bin/dbclient"]);
    Ok(dbclient
        .args(["-i", "key", &way, ask.command])
        .env("DROPBEAR_PASSWORD", ask.code))
}

/// The fingerprint of the host key that plink asks for first.
fn fingerprint(server: &Machine) -> Result<String> {
    let output = server
        .command("ssh-keygen")
        .args(["-l", "-f", "/etc/ssh/ssh_host_ed25519_key.pub"])
        .run()?
        .success()?;
    let text = output.text();
    let word = text.split(' ').nth(1).context("no fingerprint")?;
    Ok(word.to_owned())
}
