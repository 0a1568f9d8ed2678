//! A23: a code that was used, or whose time is over.

use anyhow::{Result, ensure};
use jump_lab::authenticator::Authenticator;
use jump_lab::lab::Lab;
use jump_lab::peculiar::OwnSshd;

/// Given a stock host with pam_oath's defaults, then an older code works after a newer one; given ours, then steps only rise, over restarts too.
pub(crate) fn a23_a_used_or_older_code_is_not_taken_again(lab: &Lab) -> Result<()> {
    const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    let stock = lab.stock()?;
    let yara = lab.admin("yara").may_reach_databases().arrive()?;
    stock.account(&yara.seat)?;
    std::fs::create_dir_all(stock.path("/var/lib/lab"))?;
    // Without DISALLOW_REUSE, which the program asks about and an admin may decline.
    stock.write(
        "/var/lib/lab/yara",
        format!("{SECRET}\n\" WINDOW_SIZE 3\n\" TOTP_AUTH\n"),
    )?;
    stock.sh("chmod 600 /var/lib/lab/yara")?;
    stock.pam(
        "yara",
        "auth",
        &["[success=done default=die] pam_google_authenticator.so user=root secret=/var/lib/lab/${USER}"],
    )?;
    let settings =
        "AuthenticationMethods publickey,keyboard-interactive\nKbdInteractiveAuthentication yes";
    let sshd = OwnSshd::start(stock, 2301, settings)?;
    let login = |options: &[String], host: &str, code: &str| yara.seat.gets_in(options, host, code);
    let mut theirs = Authenticator::from_enrolment(&format!(
        "{{\"secret\": \"{SECRET}\", \"recovery_codes\": []}}"
    ))?;
    let (older, newer) = (theirs.code()?, theirs.code()?);
    for (name, code) in [
        ("newer", &newer),
        ("newer, again", &newer),
        ("older", &older),
    ] {
        ensure!(
            login(&sshd.options(), "stock", code)?,
            "the stock host refused the {name} code"
        );
    }

    let (older, newer) = {
        let mut mine = yara.authenticator()?;
        (mine.code()?, mine.code()?)
    };
    ensure!(login(&[], "bastion", &newer)?, "a good code is refused");
    for (name, code) in [("used", &newer), ("older", &older)] {
        ensure!(!login(&[], "bastion", code)?, "the {name} code let in");
    }
    // What is known of used codes is on disk before anybody is let in.
    lab.bastion
        .shell("systemctl kill --signal=KILL jumpd.service")
        .run()?
        .success()?;
    for (name, code) in [("used", &newer), ("older", &older)] {
        ensure!(
            !login(&[], "bastion", code)?,
            "after a crash the {name} code let in"
        );
    }
    let replayed = yara.wait_events("mfa.replayed", 4);
    ensure!(
        replayed.len() == 4
            && replayed
                .iter()
                .all(|e| e.get("JUMP_REASON") == "replayed_code"),
        "{replayed:?}"
    );
    ensure!(yara.events("mfa.ok").len() == 1, "accepted more than once");
    let later = yara.authenticator()?.any_code()?;
    ensure!(login(&[], "bastion", &later)?, "the next code is refused");
    Ok(())
}
