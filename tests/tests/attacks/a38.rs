//! A38: keys that the policy does not know, and options smuggled in with a key.

use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::seat::Seat;
use jump_lab::story::PATIENCE;
use std::fs;

/// A login with a second key, which the user has put down for later.
fn enters_with(seat: &Seat, key: &str, host: &str, user: &str, code: &str) -> Result<bool> {
    let output = seat
        .answering(&[code])?
        .ssh([
            "-i",
            key,
            "-o",
            "IdentitiesOnly=yes",
            "-l",
            user,
            host,
            "whoami",
        ])
        .run()?;
    Ok(output.code() == 0)
}

/// Given an `authorized_keys` in the home, then a stock host takes the key; the bastion takes none, wherever it is put.
pub(crate) fn a38_keys_come_from_the_policy_alone(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let otto = lab.admin("otto").may_reach_databases().arrive()?;
    // Somebody else, whose own key is not in the policy at all.
    let thief = Seat::take(&lab.client, &lab.servers(), "otto-thief")?;
    let home = stock.account(&otto.seat)?;
    stock.sh(&format!(
        "echo '{}' >>{home}/.ssh/authorized_keys; echo '{}' >/etc/ssh/authorized_keys.otto",
        thief.key(),
        thief.key()
    ))?;
    ensure!(
        enters_with(&thief, ".ssh/id_ed25519", "stock", "otto", "")?,
        "the stock host refused the key in the home"
    );

    let code = otto.authenticator()?.recovery_code()?;
    let places = [
        "/usr/lib/jump/home/.ssh/authorized_keys",
        "/usr/lib/jump/home/.ssh/authorized_keys2",
        "/home/otto/.ssh/authorized_keys",
    ];
    let mark = lab.journal.mark();
    for place in places {
        let directory = place
            .rsplit_once('/')
            .map_or("", |(directory, _)| directory);
        fs::create_dir_all(lab.bastion.path(directory))?;
        fs::write(lab.bastion.path(place), format!("{}\n", thief.key()))?;
    }
    let entered = enters_with(&thief, ".ssh/id_ed25519", "bastion", "otto", &code)?;
    for directory in ["/usr/lib/jump/home/.ssh", "/home/otto"] {
        fs::remove_dir_all(lab.bastion.path(directory))?;
    }
    ensure!(!entered, "a key that is not in the policy let in");
    let told = lab.journal.wait(mark, 1, PATIENCE, |e| {
        e.get("SYSLOG_IDENTIFIER").starts_with("sshd")
            && e.message().contains("authenticating user otto")
    });
    ensure!(!told.is_empty(), "sshd tells of no refusal");
    ensure!(
        otto.events("mfa.failed").is_empty() && otto.events("session.opened").is_empty(),
        "a stranger's key came as far as the code"
    );
    let login = otto
        .seat
        .answering(&[code])?
        .ssh(["bastion", "whoami"])
        .run()?;
    login.success()?;
    Ok(())
}

/// Given key options in the policy, then the policy is refused; and what sshd gets is `restrict` with what a jump user needs.
pub(crate) fn a38_options_cannot_be_smuggled_in_with_a_key(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let ruth = lab.admin("ruth").may_reach_databases().arrive()?;
    // On a stock host an option in front of the key is obeyed: here it runs a command of the key's own.
    let home = stock.account(&ruth.seat)?;
    stock.sh(&format!(
        "echo 'command=\"echo smuggled\" {}' >{home}/.ssh/authorized_keys",
        ruth.seat.key()
    ))?;
    let output = ruth
        .seat
        .command("ssh")
        .args(["stock", "true"])
        .run()?
        .success()?;
    ensure!(output.text() == "smuggled", "the stock host: {output}");

    let key = ruth.seat.key();
    let smuggled = [
        format!("permitopen=\\\"*:*\\\" {key}"),
        format!("command=\\\"/bin/sh\\\" {key}"),
        format!("from=\\\"0.0.0.0/0\\\" {key}"),
        format!("cert-authority {key}"),
        format!("no-touch-required,agent-forwarding {key}"),
        format!("{key}\\npermitopen=\\\"*:*\\\" {key}"),
        format!("{key}\\u0000"),
    ];
    let policy = lab.policy_text();
    for line in smuggled {
        let edited = policy.replace(
            &format!("keys = [\"{key}\"]"),
            &format!("keys = [\"{line}\"]"),
        );
        ensure!(edited != policy, "the policy has no key of ruth");
        lab.bastion.write("/root/a38.toml", &edited)?;
        let checked = lab.jumpctl("check /root/a38.toml")?;
        ensure!(
            checked.code() == 1 && checked.stderr.is_empty() != checked.text().is_empty()
                || checked.code() == 1,
            "{line}: {checked}"
        );
        let told = format!("{}{}", checked.text(), checked.stderr);
        let at = edited
            .lines()
            .position(|text| text.contains(&line))
            .map_or(0, |index| index + 1);
        ensure!(
            told.contains(&format!("/root/a38.toml:{at}:")),
            "{line}: no line {at} in {told}"
        );
    }
    let lines = lab
        .bastion
        .shell("setpriv --reuid jump-keys --regid jump-keys --clear-groups /usr/lib/jump/jump-keys ruth")
        .run()?
        .success()?;
    ensure!(
        lines.text() == format!("restrict,port-forwarding,pty {key}"),
        "{lines}"
    );
    Ok(())
}
