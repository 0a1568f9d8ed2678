//! A27: certificates.

use anyhow::{Context, Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::peculiar::OwnSshd;
use jump_lab::seat::Seat;
use jump_lab::story::PATIENCE;

const CA: &str = "/etc/ssh/lab-ca.pub";

/// Signs the seat's key with the seat's own certificate authority: the certificate `.ssh/NAME-cert.pub` beside a copy of the key.
fn certify(seat: &Seat, name: &str, options: &[&str]) -> Result<()> {
    let line = format!("cp .ssh/id_ed25519 .ssh/{name}; cp .ssh/id_ed25519.pub .ssh/{name}.pub");
    seat.command("sh").args(["-c", &line]).run()?.success()?;
    let serial = name.len().to_string();
    seat.command("ssh-keygen")
        .args(["-q", "-s", ".ssh/ca", "-I", name, "-z", &serial])
        .args(options.iter().copied())
        .args([format!(".ssh/{name}.pub")])
        .run()?
        .success()?;
    Ok(())
}

/// Whether a login as `user` with that certificate and `code` runs a command.
fn enters(
    seat: &Seat,
    options: &[String],
    name: &str,
    host: &str,
    user: &str,
    code: &str,
) -> Result<bool> {
    let output = seat
        .answering(&[code])?
        .command("ssh")
        .args([
            "-F",
            "none",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "IdentitiesOnly=yes",
        ])
        .args(["-i".to_owned(), format!(".ssh/{name}")])
        .args([
            "-o".to_owned(),
            format!("CertificateFile=.ssh/{name}-cert.pub"),
        ])
        .args(options.to_vec())
        .args(["-l", user, host, "whoami"])
        .run()?;
    Ok(output.code() == 0)
}

/// Given an authority that sshd trusts, then a stock host lets its certificates in, also those that name nobody;
/// given the same trust on the bastion, then a certificate opens nothing, whatever it says.
pub(crate) fn a27_a_certificate_is_no_key_of_the_policy(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let ulla = lab.admin("ulla").may_reach_databases().arrive()?;
    let thief = Seat::take(&lab.client, &lab.servers(), "ulla-thief")?;
    let home = stock.account(&ulla.seat)?;
    thief
        .command("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f", ".ssh/ca"])
        .run()?
        .success()?;
    let ca = std::fs::read_to_string(thief.path(".ssh/ca.pub"))?;
    let certificates: [(&str, &[&str]); 8] = [
        ("named", &["-n", "ulla"]),
        ("empty", &[]),
        ("comma", &["-n", "root,ulla"]),
        ("other", &["-n", "root"]),
        (
            "elsewhere",
            &["-n", "ulla", "-O", "source-address=192.0.2.0/24"],
        ),
        (
            "unknown",
            &["-n", "ulla", "-O", "critical:jump@example.com=1"],
        ),
        ("expired", &["-n", "ulla", "-V", "20200101:20200201"]),
        ("later", &["-n", "ulla", "-V", "20990101:20990201"]),
    ];
    for (name, options) in certificates {
        certify(&thief, name, options)?;
    }

    stock.write(CA, &ca)?;
    let sshd = OwnSshd::start(
        stock,
        2701,
        &format!("TrustedUserCAKeys {CA}\nRevokedKeys none"),
    )?;
    let options = sshd.options();
    ensure!(
        enters(&thief, &options, "named", "stock", "ulla", "")?,
        "the stock host does not trust its authority"
    );
    // A line of a home makes the authority the user's, and then a certificate need not name anybody.
    stock.sh(&format!(
        "echo 'cert-authority {}' >>{home}/.ssh/authorized_keys",
        ca.trim()
    ))?;
    ensure!(
        enters(&thief, &options, "empty", "stock", "ulla", "")?,
        "the stock host refuses a certificate that names nobody"
    );
    // What was revoked lately is not in a list that nobody brought.
    let stale = thief
        .command("ssh-keygen")
        .args(["-q", "-k", "-f", ".ssh/krl"])
        .run()?;
    stale.success()?;
    std::fs::copy(thief.path(".ssh/krl"), stock.path("/etc/ssh/lab-krl"))?;
    drop(sshd);
    let settings = format!("TrustedUserCAKeys {CA}\nRevokedKeys /etc/ssh/lab-krl");
    let sshd = OwnSshd::start(stock, 2702, &settings)?;
    ensure!(
        enters(&thief, &sshd.options(), "named", "stock", "ulla", "")?,
        "the stale list of revoked keys refused"
    );

    let code = ulla.authenticator()?.recovery_code()?;
    lab.bastion.write(CA, &ca)?;
    let trust = format!(
        "TrustedUserCAKeys {CA}\nAuthorizedPrincipalsFile /etc/ssh/principals\nRevokedKeys none\n"
    );
    lab.bastion
        .write("/etc/ssh/principals", "ulla\nroot\n*\n")?;
    let mark = lab.journal.mark();
    lab.with_sshd_config("00-ca.conf", &trust, || {
        for (name, _) in certificates {
            ensure!(
                !enters(&thief, &[], name, "bastion", "ulla", &code)?,
                "the certificate `{name}` let in"
            );
        }
        Ok(())
    })?;
    let told = lab.journal.wait(mark, certificates.len(), PATIENCE, |e| {
        e.get("SYSLOG_IDENTIFIER").starts_with("sshd")
            && e.message().contains("authenticating user ulla")
    });
    ensure!(
        told.len() >= certificates.len(),
        "sshd tells of {} refusals of {}",
        told.len(),
        certificates.len()
    );
    ensure!(
        ulla.events("mfa.failed").is_empty() && ulla.events("session.opened").is_empty(),
        "a certificate came as far as the code"
    );
    // Nor may a certificate or an authority stand in the policy as a key.
    let certificate = std::fs::read_to_string(thief.path(".ssh/named-cert.pub"))?;
    for key in [certificate.trim(), &format!("cert-authority {}", ca.trim())] {
        let edited = lab.policy_text().replace(ulla.seat.key(), key);
        lab.bastion.write("/root/a27.toml", edited)?;
        let checked = lab.jumpctl("check /root/a27.toml")?;
        ensure!(checked.code() == 1, "{key}: {checked}");
    }
    let login = ulla
        .seat
        .answering(&[code])?
        .ssh(["bastion", "whoami"])
        .run()?;
    login.success().context("her own key and the code")?;
    Ok(())
}
