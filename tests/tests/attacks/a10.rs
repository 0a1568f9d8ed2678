//! A10: files that sshd or a shell runs at a login.

use super::way;
use anyhow::{Result, ensure};
use jump_lab::hops;
use jump_lab::lab::Lab;
use jump_lab::machine::Machine;
use jump_lab::network::ECHO;
use std::fs;

/// Home of every user of a policy.
const HOME: &str = "/usr/lib/jump/home";

/// A file that leaves a trace when this user's login runs it.
fn trap(user: &str, trace: &str) -> String {
    format!("#!/bin/sh\n[ \"$USER\" = {user} ] && id >/var/tmp/{trace}\n")
}

/// `~/.ssh/config` that leaves a trace, goes another way and as somebody else.
const CONFIG: &str = "\
Host *
  ProxyCommand /bin/sh -c 'id >/var/tmp/a10-config'
  PermitLocalCommand yes
  LocalCommand /bin/sh -c 'id >/var/tmp/a10-config'
  User nobody
  IdentityFile /etc/passwd
  CertificateFile /etc/passwd
  UserKnownHostsFile /dev/null
  StrictHostKeyChecking no
";
/// With this word ssh reads no further, wherever else its options come from.
const NO_OPTION: &str = "  Nonsense yes\n";

fn caught(machine: &Machine, trace: &str) -> bool {
    machine.path(&format!("/var/tmp/{trace}")).exists()
}

/// Given `~/.ssh/rc` and `~/.ssh/config`, then a stock host runs the one at each login and what the other names with each ssh;
/// on the bastion nobody can write one, and those that root left there by mistake are not looked at, by a hop's ssh neither.
pub(crate) fn a10_no_rc_file_is_run(lab: &Lab) -> Result<()> {
    hops::prepare(lab, lab)?;
    let lena = lab.admin("lena").policy(hops::rule("lena", "")).arrive()?;
    let stock = lab.stock()?;
    let home = stock.account(&lena.seat)?;
    stock.write(&format!("{home}/.ssh/rc"), trap("lena", "a10-rc"))?;
    stock.write(&format!("{home}/.ssh/config"), CONFIG)?;
    way::ssh(&lena.seat, "stock", &[], &["ssh db1 true; true"])
        .run()?
        .success()?;
    ensure!(caught(stock, "a10-rc"), "the stock host ran no rc");
    ensure!(
        caught(stock, "a10-config"),
        "the stock host's ssh ran nothing"
    );

    let rc = format!("{HOME}/.ssh/rc");
    fs::create_dir_all(lab.bastion.path(&format!("{HOME}/.ssh")))?;
    lab.bastion.write(&rc, trap("lena", "a10-rc"))?;
    let config = format!("{HOME}/.ssh/config");
    lab.bastion.write(&config, format!("{CONFIG}{NO_OPTION}"))?;
    // No key of the target's is good, if this is believed.
    let keys = lab.db1.host_keys()?;
    let revoked: String = keys
        .iter()
        .map(|key| format!("@revoked * {}\n", key.trim()))
        .collect();
    lab.bastion
        .write(&format!("{HOME}/.ssh/known_hosts"), revoked)?;
    let hop = lena.ssh(&["bastion", "ssh db1 id -un; hostname"]);
    let login = lena.ssh(&["-tt", "bastion", "whoami"]);
    fs::remove_dir_all(lab.bastion.path(&format!("{HOME}/.ssh")))?;
    login?.success()?;
    let hop = hop?.success()?;
    ensure!(hop.text() == "ops\ndb1", "{hop}");
    for trace in ["a10-rc", "a10-config"] {
        ensure!(!caught(&lab.bastion, trace), "{trace} was run");
    }
    Ok(())
}

/// Given `/etc/ssh/sshrc`, which root alone can write, then sshd runs it for everybody; on a stock host it reaches what it likes, at the bastion nothing beyond the policy, and doctor warns of it.
pub(crate) fn a10_the_hosts_own_rc_runs_inside_the_guard(lab: &Lab) -> Result<()> {
    const SSHRC: &str = "/etc/ssh/sshrc";
    let ludo = lab.admin("ludo").may_reach_databases().arrive()?;
    let stock = lab.stock()?;
    stock.account(&ludo.seat)?;
    let knock = format!(
        "[ \"$USER\" = ludo ] || exit 0\nfor to in 127.0.0.1/22 10.77.2.12/{ECHO}; do\n\
         bash -c \"exec 3<>/dev/tcp/$to\" 2>/dev/null && echo \"reached $to\" || echo \"kept from $to\"\n\
         done >&2\n"
    );
    ensure!(
        !lab.jumpctl("doctor")?.text().contains(SSHRC),
        "doctor speaks of a file that is not there"
    );
    for machine in [&**stock, &*lab.bastion] {
        machine.write(SSHRC, &knock)?;
    }
    let there = way::ssh(&ludo.seat, "stock", &[], &["true"]).run();
    let here = ludo.ssh(&["bastion", "whoami"]);
    let doctor = lab.jumpctl("doctor");
    for machine in [&**stock, &*lab.bastion] {
        fs::remove_file(machine.path(SSHRC))?;
    }
    let (there, here, doctor) = (there?, here?.success()?, doctor?);
    for to in ["127.0.0.1/22", &format!("10.77.2.12/{ECHO}")] {
        ensure!(
            there.stderr.contains(&format!("reached {to}")),
            "the stock host: {there}"
        );
        ensure!(here.stderr.contains(&format!("kept from {to}")), "{here}");
    }
    ensure!(!here.stderr.contains("reached"), "{here}");
    for address in ["127.0.0.1", "10.77.2.12"] {
        ludo.event_where("forward.denied", |e| e.get("JUMP_DST_IP") == address)?;
    }
    ensure!(doctor.text().contains(SSHRC), "doctor is silent: {doctor}");
    Ok(())
}

/// Given a session of any program, then it writes no file that a later login would run.
pub(crate) fn a10_nobody_can_write_one(lab: &Lab) -> Result<()> {
    let open = lab.open_bastion()?;
    let lutz = lab.admin("lutz").at(open).may_reach_databases().arrive()?;
    let stock = lab.stock()?;
    stock.account(&lutz.seat)?;
    for file in [
        ".ssh/rc",
        ".ssh/environment",
        ".ssh/authorized_keys",
        ".bashrc",
        ".profile",
    ] {
        let line = format!("cd; mkdir -p .ssh; echo true >>{file} && echo written");
        let there = way::ssh(&lutz.seat, "stock", &[], &[&line]).run()?;
        ensure!(there.text() == "written", "stock: {file}: {there}");
        let here = lutz.in_session(&line)?.run()?;
        ensure!(here.stdout.is_empty(), "{file}: {here}");
    }
    Ok(())
}

/// Given `PermitUserEnvironment yes`, then files and key options put words into the environment of a stock login, and none into the restricted shell's.
pub(crate) fn a10_no_file_puts_words_into_the_environment(lab: &Lab) -> Result<()> {
    const SETTING: &str = "PermitUserEnvironment yes\n";
    let levi = lab.admin("levi").may_reach_databases().arrive()?;
    let stock = lab.stock()?;
    let home = stock.account_with(&levi.seat, "environment=\"A10_KEY=payload\"")?;
    stock.write(&format!("{home}/.ssh/environment"), "A10_FILE=payload\n")?;
    stock.with_sshd_config("00-by-hand.conf", SETTING, || {
        let there = way::ssh(&levi.seat, "stock", &[], &["env"]).run()?;
        for word in ["A10_KEY=payload", "A10_FILE=payload"] {
            ensure!(there.text().contains(word), "{there}");
        }
        Ok(())
    })?;
    lab.with_sshd_config("00-by-hand.conf", SETTING, || {
        fs::create_dir_all(lab.bastion.path(&format!("{HOME}/.ssh")))?;
        lab.bastion.write(
            &format!("{HOME}/.ssh/environment"),
            "A10_FILE=payload\nLD_PRELOAD=libm.so.6\n",
        )?;
        let login = way::shell(&levi, &[], &[]);
        fs::remove_dir_all(lab.bastion.path(&format!("{HOME}/.ssh")))?;
        let mut here = login?;
        let environment = way::of_the_shell(&lab.bastion, levi.uid, "environ")?;
        ensure!(
            !environment.contains("A10") && !environment.contains("LD_"),
            "{environment}"
        );
        let maps = way::of_the_shell(&lab.bastion, levi.uid, "maps")?;
        ensure!(!maps.contains("libm"), "{maps}");
        here.say("exit\r")
    })
}
