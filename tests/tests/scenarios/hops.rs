//! `ssh TARGET` in the restricted shell.

use anyhow::{Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::bastion::Bastion;
use jump_lab::hops;
use jump_lab::lab::Lab;
use jump_lab::process::Invocation;
use jump_lab::seat::AGENT;
use jump_lab::story::{PATIENCE, wait_for};
use std::thread;
use std::time::Duration;

/// What a person takes to look up.
const TYPED: Duration = Duration::from_millis(700);

/// Given a rule, then a hop runs a command at the target as if it had been typed there: every byte, its input, its exit status.
pub(crate) fn a_hop_carries_every_byte_and_the_exit_status(lab: &Lab) -> Result<()> {
    hops::prepare(lab, lab)?;
    let njord = lab
        .admin("njord")
        .policy(hops::rule("njord", ""))
        .arrive()?;
    let hop = |command: &str| njord.in_session(&format!("ssh db1 {command}"));
    let who = hop("id -un; hostname")?.run()?.success()?;
    ensure!(who.text() == "ops\ndb1", "{who}");
    hop("exit 7")?.run()?.expect_code(7)?;
    let bytes: Vec<u8> = (0..=255u8).cycle().take(300_000).collect();
    let back = hop("cat")?.input(bytes.clone()).run()?.success()?;
    ensure!(
        back.stdout == bytes,
        "{} bytes came back",
        back.stdout.len()
    );
    let apart = hop("echo out; echo err >&2")?.run()?.success()?;
    ensure!(
        apart.text() == "out" && apart.stderr.contains("err"),
        "{apart}"
    );
    let started = njord.event_where("hop.started", |e| e.get("JUMP_DST_PORT") == "22")?;
    ensure!(
        started.get("JUMP_RULE") == "njord-hops"
            && started.get("JUMP_LOGIN") == "ops"
            && started.get("JUMP_RECORDED") == "false",
        "{started}"
    );
    njord.event_where("hop.ended", |e| e.get("JUMP_STATUS") == "7")?;
    njord.event_where("forward.allowed", |e| e.message().contains("via=shell"))?;
    // The target's sshd writes down which certificate it was, and so whose.
    let log = "journalctl --quiet --boot --grep='Accepted publickey for ops.*ED25519-CERT.*njord'";
    let accepted = lab.db1.shell(log).run()?.success()?;
    ensure!(accepted.text().contains("njord"), "{accepted}");
    Ok(())
}

/// Given a terminal, then a hop has one of the same size, Ctrl-C reaches the target, and the shell is there again afterwards.
pub(crate) fn a_hop_at_a_terminal_is_a_terminal_there(lab: &Lab) -> Result<()> {
    hops::prepare(lab, lab)?;
    let oddny = lab
        .admin("oddny")
        .policy(hops::rule("oddny", ""))
        .arrive()?;
    let code = oddny.authenticator()?.any_code()?;
    let answering = oddny.seat.answering(&[code])?;
    let mut shell = answering
        .ssh(["-tt", "bastion"])
        .env("TERM", "xterm")
        .open_input()
        .start()?;
    shell.wait_for("databases", PATIENCE)?;
    shell.say("ssh db1\r")?;
    wait_for("the hop", || Ok(shell.said().contains("ops@db1")))?;
    shell.say("tty; echo \"is $((6*7))\"\r")?;
    shell.wait_for("/dev/pts/", PATIENCE)?;
    shell.wait_for("is 42", PATIENCE)?;
    shell.say("sleep 1000; echo \"interrupted: $?\"\r")?;
    // Once it sleeps, and once the prompt is there again: what is typed before is not the shell's.
    thread::sleep(TYPED);
    shell.say("\u{3}")?;
    thread::sleep(TYPED);
    shell.say("echo \"then $((6*8))\"\r")?;
    shell.wait_for("then 48", PATIENCE)?;
    shell.say("exit 3\r")?;
    oddny.event_where("hop.ended", |e| e.get("JUMP_STATUS") == "3")?;
    shell.say("whoami\r")?;
    shell.wait_for(&format!("oddny (uid {})", oddny.uid), PATIENCE)?;
    shell.say("exit\r")?;
    shell.wait(PATIENCE)?.success()?;

    // At once, without the shell in between.
    let code = oddny.authenticator()?.any_code()?;
    let answering = oddny.seat.answering(&[code])?;
    let mut hop = answering
        .ssh(["-tt", "bastion", "ssh", "db1"])
        .env("TERM", "xterm")
        .open_input()
        .start()?;
    hop.wait_for("ops@db1", PATIENCE)?;
    hop.say("exit 4\r")?;
    hop.wait(PATIENCE)?.expect_code(4)?;
    Ok(())
}

/// Given a rule with login names, then no other name, host, port or option goes, and nothing that is typed is an option of ssh's.
pub(crate) fn a_hop_goes_only_where_and_as_whom_the_rule_says(lab: &Lab) -> Result<()> {
    hops::prepare(lab, lab)?;
    let pelle = lab
        .admin("pelle")
        .policy(hops::rule("pelle", ""))
        .arrive()?;
    for (typed, reason) in [
        ("ssh root@db1 id", "login_name"),
        ("ssh db2 id", "no_target"),
        ("ssh -p 2222 db1 id", "no_target"),
        ("ssh 127.0.0.1 id", "own_address"),
    ] {
        let refused = pelle.in_session(typed)?.run()?.failure()?;
        ensure!(refused.stdout.is_empty(), "{refused}");
        ensure!(!refused.stderr.trim().is_empty(), "{typed}: without a word");
        pelle.event_where("forward.denied", |e| e.get("JUMP_REASON") == reason)?;
    }
    for typed in [
        "ssh -oProxyCommand=id db1",
        "ssh -F /etc/passwd db1",
        "ssh -L 1:db2:22 db1",
        "ssh -A db1",
        "ssh -- -oProxyCommand=id",
        "ssh",
    ] {
        let refused = pelle.in_session(typed)?.run()?.expect_code(126)?;
        ensure!(refused.stdout.is_empty(), "{refused}");
    }
    // Nothing on the bastion interprets the command: the target does, as with any ssh.
    let there = pelle
        .in_session("ssh db1 echo $(hostname) `hostname`; hostname")?
        .run()?
        .success()?;
    ensure!(there.text() == "db1 db1\ndb1", "{there}");
    let forwarded = pelle
        .seat
        .command("ssh")
        .args(["-S", "master", "-O", "forward", "-L"])
        .args(["/tmp/pelle.sock:/run/jump/agent.sock", "bastion"])
        .run()?;
    if forwarded.code() == 0 {
        let asked = pelle
            .seat
            .command("env")
            .args(["SSH_AUTH_SOCK=/tmp/pelle.sock", "ssh-add", "-l"])
            .run()?
            .failure()?;
        ensure!(!asked.text().contains("CERT"), "{asked}");
    }
    Ok(())
}

/// Given a host key that nobody vouches for, then the hop is refused, the user told whom to ask, and a key in the policy cures it.
pub(crate) fn an_unknown_host_key_is_refused(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        hops::prepare(lab, bastion)?;
        let known = bastion.read(hops::KNOWN_HOSTS)?;
        bastion.write(hops::KNOWN_HOSTS, "")?;
        let quirin = lab
            .admin("quirin")
            .at(bastion)
            .policy(hops::rule("quirin", ""))
            .arrive()?;
        let hop = || quirin.in_session("ssh db1 hostname")?.run();
        let refused = hop()?.failure()?;
        ensure!(
            refused.stdout.is_empty() && refused.stderr.contains("administrators"),
            "{refused}"
        );
        quirin.event_where("hop.ended", |e| e.get("JUMP_REASON") == "host_key_unknown")?;
        let key = lab
            .db1
            .host_keys()?
            .into_iter()
            .find(|k| k.starts_with("ssh-ed25519"));
        let key = key.unwrap_or_default();
        let words: Vec<&str> = key.split_whitespace().take(2).collect();
        bastion.edit_policy(|policy| {
            policy.add_tables(
                "quirins-host",
                &format!(
                    "[targets.vouched]\nhosts = [\"db1\"]\nports = [22]\nhost_keys = [\"{}\"]\n",
                    words.join(" ")
                ),
            );
            policy.replace("quirin", "\"databases\"", "\"vouched\"");
        })?;
        let let_in = hop()?.success()?;
        ensure!(let_in.text() == "db1", "{let_in}");
        bastion.edit_policy(|policy| {
            policy.remove("quirin");
            policy.remove("quirins-host");
        })?;
        bastion.write(hops::KNOWN_HOSTS, known)
    })
}

/// Given an open hop, when its rule is taken away or its session ended, then nothing of it is left a second later.
pub(crate) fn a_hop_ends_with_its_right(lab: &Lab) -> Result<()> {
    hops::prepare(lab, lab)?;
    for (name, ends) in [("rasmus", "rule"), ("runar", "user"), ("signe", "kill")] {
        let admin = lab.admin(name).policy(hops::rule(name, "")).arrive()?;
        let code = admin.authenticator()?.any_code()?;
        let answering = admin.seat.answering(&[code])?;
        let mut hop = answering
            .ssh(["-tt", "bastion", "ssh", "db1"])
            .open_input()
            .start()?;
        hop.wait_for("ops@db1", PATIENCE)?;
        let started = admin.event("hop.started")?;
        match ends {
            "rule" => lab.edit_policy(|policy| {
                policy.replace(
                    admin.name(),
                    "principals = [\"ops\"]",
                    "principals = [\"other\"]",
                );
            })?,
            "user" => lab.edit_policy(|policy| policy.remove(admin.name()))?,
            _ => drop(
                lab.jumpctl(&format!("sessions kill {}", started.get("JUMP_SESSION")))?
                    .success()?,
            ),
        }
        hop.wait(PATIENCE)?.failure()?;
        admin.event("hop.ended")?;
        let left = format!("pgrep -u {} -x ssh || true", admin.uid);
        wait_for("ssh to be gone", || {
            Ok(lab.bastion.shell(&left).run()?.text().is_empty())
        })?;
    }
    Ok(())
}

/// Given a CA that is rotated, then hops go on with the old key until the rotation is finished, and with the new one from then on.
pub(crate) fn a_new_ca_key_is_trusted_before_it_signs(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        hops::prepare(lab, bastion)?;
        let torsten = lab
            .admin("torsten")
            .at(bastion)
            .policy(hops::rule("torsten", ""))
            .arrive()?;
        let hop = || torsten.in_session("ssh db1 hostname")?.run();
        hop()?.success()?;
        let next = hops::key(
            &bastion.jumpctl("ca rotate --json")?.success()?.text(),
            "next",
        )?;
        hop()?.success()?;
        bastion.jumpctl("ca rotate --finish --json")?.success()?;
        let refused = hop()?.failure()?;
        ensure!(refused.stdout.is_empty(), "{refused}");
        for target in [&lab.db1, &lab.db2] {
            jump_lab::seat::append(target, "/etc/ssh/jump-ca.pub", &next)?;
        }
        hop()?.success()?;
        bastion
            .shell("systemctl restart jumpd.service")
            .run()?
            .success()?;
        hop()?.success()?;
        bastion
            .shell("systemctl kill --signal=KILL jumpd.service; systemctl restart jumpd.service")
            .run()?
            .success()?;
        let keys = bastion.jumpctl("ca show --json")?.success()?.text();
        ensure!(hops::key(&keys, "current")? == next, "{keys}");
        // A private key is nowhere to be read.
        let found = bastion
            .shell("grep -rlE 'BEGIN [A-Z ]*PRIVATE KEY' /var/lib/jump /run/jump || true")
            .run()?;
        ensure!(found.text().is_empty(), "{found}");
        bastion.edit_policy(|policy| policy.remove("torsten"))
    })
}

/// Has sshd follow the policy, and waits until it is back: whether it may let agents come along.
fn sshd_lets_agents_come(bastion: &Bastion) -> Result<bool> {
    bastion.jumpctl("apply")?.success()?;
    // It begins anew without waiting for anything.
    thread::sleep(TYPED);
    wait_for("sshd", || {
        let up = bastion.shell("timeout 1 bash -c '</dev/tcp/127.0.0.1/22'");
        Ok(up.run()?.code() == 0)
    })?;
    let drop_in = bastion.read("/etc/ssh/sshd_config.d/10-jump.conf")?;
    Ok(drop_in.contains("AllowAgentForwarding yes"))
}

/// `ssh -A` of an admin who has an agent.
fn with_agent(admin: &Admin<'_>, args: &[&str]) -> Result<Invocation> {
    let code = admin.authenticator()?.any_code()?;
    let answering = admin.seat.answering(&[code])?;
    Ok(answering
        .ssh(["-A"])
        .args(args.iter().copied())
        .env("SSH_AUTH_SOCK", &admin.seat.home_path(AGENT)))
}

/// What processes of this uid listen on, and sockets where sshd or the guard would put an agent's.
fn listening(bastion: &Bastion, uid: u32) -> Result<(String, String)> {
    let sockets =
        format!("for p in $(pgrep -u {uid}); do ss -lntxpH | grep \"pid=$p,\"; done; true");
    let names = "find /run/jump-guard /tmp -name 'agent*'";
    Ok((
        bastion.shell(&sockets).run()?.text(),
        bastion.shell(names).run()?.success()?.text(),
    ))
}

/// Given a rule with `agent = "forwarded"`, then `ssh -A` and the admin's own key open the target, nothing on the bastion leads to
/// the agent, a login without it is told what to do, and nobody else brings one.
pub(crate) fn a_hop_logs_in_with_the_admins_own_agent_where_the_rule_says_so(
    lab: &Lab,
) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        hops::prepare(lab, bastion)?;
        let name = bastion.place().name;
        let botvid = lab
            .admin("botvid")
            .at(bastion)
            .policy(hops::rule("botvid", ""))
            .arrive()?;
        ensure!(!sshd_lets_agents_come(bastion)?, "by default none comes");
        let ansgar = lab
            .admin("ansgar")
            .at(bastion)
            .policy(hops::rule("ansgar", "agent = \"forwarded\""))
            .arrive()?;
        ensure!(sshd_lets_agents_come(bastion)?, "the rule has one come");
        let (_agent, _his) = (ansgar.seat.agent()?, botvid.seat.agent()?);

        let without = ansgar.in_session("ssh db1 hostname")?.run()?.failure()?;
        ensure!(
            without.stdout.is_empty() && without.stderr.contains("ssh -A"),
            "{without}"
        );
        ansgar.event_where("forward.denied", |e| e.get("JUMP_REASON") == "no_agent")?;

        let mut shell = with_agent(&ansgar, &["-tt", name])?
            .env("TERM", "xterm")
            .open_input()
            .start()?;
        shell.wait_for("databases", PATIENCE)?;
        let brought = ansgar.event("agent.forwarded")?;
        ensure!(brought.get("JUMP_RULE") == "ansgar-hops", "{brought}");
        shell.say("ssh db1\r")?;
        wait_for("the hop", || Ok(shell.said().contains("ops@db1")))?;
        let started = ansgar.event("hop.started")?;
        ensure!(started.get("JUMP_AGENT") == "forwarded", "{started}");
        let (sockets, names) = listening(bastion, ansgar.uid)?;
        ensure!(sockets.lines().count() == 1, "{sockets}");
        ensure!(names.is_empty(), "{names}");
        shell.say("exit 3\r")?;
        ansgar.event_where("hop.ended", |e| e.get("JUMP_STATUS") == "3")?;
        shell.say("exit\r")?;
        shell.wait(PATIENCE)?.success()?;
        // It was the admin's key, and no certificate.
        let print = ansgar
            .seat
            .command("ssh-keygen")
            .args(["-lf", ".ssh/id_ed25519.pub"]);
        let print = print.run()?.success()?.text();
        let print = print
            .split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        // A fingerprint may have what means something in a pattern.
        let log = "journalctl --quiet --boot --grep='Accepted publickey for ops '";
        let accepted = lab.db1.shell(log).run()?.success()?.text();
        ensure!(accepted.contains(&print), "{accepted}");

        let mut other = with_agent(&botvid, &["-tt", name, "ssh", "db1"])?
            .open_input()
            .start()?;
        other.wait_for("ops@db1", PATIENCE)?;
        let (sockets, names) = listening(bastion, botvid.uid)?;
        ensure!(sockets.is_empty() && names.is_empty(), "{sockets}{names}");
        other.say("exit\r")?;
        other.wait(PATIENCE)?.success()?;
        let started = botvid.event("hop.started")?;
        ensure!(started.get("JUMP_AGENT") == "ca", "{started}");
        ensure!(
            botvid.events("agent.forwarded").is_empty(),
            "he brought one"
        );

        bastion.edit_policy(|policy| {
            policy.remove("ansgar");
            policy.remove("botvid");
        })?;
        ensure!(!sshd_lets_agents_come(bastion)?, "with the rule it goes");
        Ok(())
    })
}
