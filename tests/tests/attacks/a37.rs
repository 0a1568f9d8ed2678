//! A37: another host in the bastion's place, weak algorithms, Terrapin.

use anyhow::{Context, Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::network::{BASTION, STOCK};
use jump_lab::peculiar::OwnSshd;
use jump_lab::process::Output;
use jump_lab::seat::Seat;

/// What must not be agreed on, as options of ssh, and the same as a setting of an sshd that still has it.
const WEAK: [(&str, &str); 6] = [
    ("Ciphers", "aes128-cbc"),
    ("Ciphers", "3des-cbc"),
    ("KexAlgorithms", "diffie-hellman-group14-sha1"),
    ("KexAlgorithms", "diffie-hellman-group-exchange-sha1"),
    ("HostKeyAlgorithms", "ssh-rsa"),
    ("MACs", "hmac-md5"),
];

/// How far a handshake with one algorithm comes.
fn handshake(
    seat: &Seat,
    options: &[String],
    keyword: &str,
    algorithm: &str,
    host: &str,
) -> Result<Output> {
    // A MAC is agreed on only where the cipher has none of its own.
    let cipher = if keyword == "MACs" {
        "Ciphers=aes128-ctr"
    } else {
        "LogLevel=DEBUG1"
    };
    seat.command("ssh")
        .args(options.to_vec())
        .args([
            "-v",
            "-o",
            "BatchMode=yes",
            "-o",
            cipher,
            "-o",
            &format!("{keyword}={algorithm}"),
            host,
            "true",
        ])
        .run()
}

/// Given an sshd that still has them, then weak algorithms are agreed on; given the bastion as installed, then none is, and strict key exchange is there.
pub(crate) fn a37_weak_algorithms_are_not_agreed_on(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let sonja = lab.admin("sonja").may_reach_databases().arrive()?;
    stock.account(&sonja.seat)?;
    stock.sh("test -e /etc/ssh/ssh_host_rsa_key || ssh-keygen -q -t rsa -b 2048 -N '' -f /etc/ssh/ssh_host_rsa_key")?;
    let old: Vec<String> = WEAK
        .iter()
        .map(|(keyword, algorithm)| (*keyword, *algorithm))
        .fold(
            Vec::<(String, String)>::new(),
            |mut settings, (keyword, algorithm)| {
                match settings.iter_mut().find(|(known, _)| known == keyword) {
                    Some((_, list)) => list.push_str(&format!(",{algorithm}")),
                    None => settings.push((keyword.to_owned(), format!("+{algorithm}"))),
                }
                settings
            },
        )
        .into_iter()
        .map(|(keyword, list)| format!("{keyword} {list}"))
        .collect();
    let sshd = OwnSshd::start(stock, 3701, &old.join("\n"))?;
    let mut agreed = 0;
    for (keyword, algorithm) in WEAK {
        let mut options = sshd.options().to_vec();
        // The old host's other key is not in known_hosts; what counts here is whether it is agreed on.
        options.extend(["-o".to_owned(), "StrictHostKeyChecking=no".to_owned()]);
        options.extend(["-o".to_owned(), "UserKnownHostsFile=/dev/null".to_owned()]);
        options.extend(["-o".to_owned(), "GlobalKnownHostsFile=/dev/null".to_owned()]);
        let output = handshake(&sonja.seat, &options, keyword, algorithm, "stock")?;
        ensure!(
            output.stderr.contains("Authenticating to stock") || output.code() == 0,
            "{algorithm}: {output}"
        );
        agreed += usize::from(output.stderr.contains("SSH2_MSG_NEWKEYS received"));
    }
    ensure!(
        agreed == WEAK.len(),
        "an sshd with them agreed on {agreed} of {}",
        WEAK.len()
    );

    for (keyword, algorithm) in WEAK {
        let output = handshake(&sonja.seat, &[], keyword, algorithm, "bastion")?.failure()?;
        ensure!(
            output.stderr.contains("no matching")
                && !output.stderr.contains("SSH2_MSG_NEWKEYS received"),
            "{algorithm}: {output}"
        );
    }
    let told = lab.journal.wait(
        Default::default(),
        WEAK.len(),
        jump_lab::story::PATIENCE,
        |e| {
            e.message().starts_with("Unable to negotiate with")
                && e.message().contains("no matching")
        },
    );
    ensure!(told.len() >= WEAK.len(), "sshd tells of {}", told.len());
    // Terrapin (CVE-2023-48795) is closed by strict key exchange, which both ends must announce.
    let verbose = sonja
        .seat
        .command("ssh")
        .args(["-vvv", "-o", "BatchMode=yes", "bastion", "true"])
        .run()?;
    let server = verbose
        .stderr
        .split("peer server KEXINIT proposal")
        .nth(1)
        .context("no proposal")?;
    ensure!(server.contains("kex-strict-s-v00@openssh.com"), "{server}");
    Ok(())
}

/// Given another host in the bastion's place, then a client that asks nothing goes there; a client that knows the key goes nowhere, and gives no code away.
pub(crate) fn a37_another_host_key_ends_the_login(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let thea = lab.admin("thea").may_reach_databases().arrive()?;
    stock.account(&thea.seat)?;
    let in_its_place = [
        "-o".to_owned(),
        format!("HostName={}", STOCK.address()),
        "-o".to_owned(),
        format!("HostKeyAlias={}", BASTION.name),
    ];
    let careless = thea
        .seat
        .command("ssh")
        .args(in_its_place.clone())
        .args([
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "GlobalKnownHostsFile=/dev/null",
        ])
        .args(["bastion", "hostname"])
        .run()?;
    ensure!(careless.text() == "stock", "{careless}");
    let code = thea.authenticator()?.recovery_code()?;
    let answering = thea.seat.answering(&[&code])?;
    let careful = answering
        .command("ssh")
        .args(in_its_place)
        .args(["bastion", "hostname"])
        .run()?
        .failure()?;
    ensure!(
        careful.stderr.contains("Host key verification failed") && answering.prompts().is_empty(),
        "{careful}"
    );
    // The very key is what the bastion shows, and the code that was not given away is still good.
    let own = thea
        .seat
        .answering(&[code])?
        .ssh(["bastion", "whoami"])
        .run()?;
    own.success()?;
    Ok(())
}
