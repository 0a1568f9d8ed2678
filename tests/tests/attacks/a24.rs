//! A24: guessing codes, finding out who exists, and locking somebody out on purpose.

use anyhow::{Context, Result, ensure};
use jump_lab::authenticator::Authenticator;
use jump_lab::lab::Lab;
use jump_lab::peculiar::OwnSshd;
use jump_lab::seat::Seat;

const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
/// More guesses than the policy's `attempts`.
const GUESSES: usize = 12;

/// Given pam_oath, then guesses over many connections cost nothing; given ours, then they are counted at each source over connections and restarts.
pub(crate) fn a24_guesses_are_counted_over_connections_and_restarts(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let jill = lab.admin("jill").may_reach_databases().arrive()?;
    stock.account(&jill.seat)?;
    let hex: String = b"12345678901234567890"
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    stock.write("/etc/jill.oath", format!("HOTP/T30/6 jill - {hex}\n"))?;
    stock.sh("chmod 600 /etc/jill.oath")?;
    stock.pam(
        "jill",
        "auth",
        &["[success=done default=die] pam_oath.so usersfile=/etc/jill.oath window=5"],
    )?;
    let settings =
        "AuthenticationMethods publickey,keyboard-interactive\nKbdInteractiveAuthentication yes";
    let sshd = OwnSshd::start(stock, 2401, settings)?;
    let mut theirs = Authenticator::from_enrolment(&format!(
        "{{\"secret\": \"{SECRET}\", \"recovery_codes\": []}}"
    ))?;
    let login = |options: &[String], host: &str, code: &str| jill.seat.gets_in(options, host, code);
    let wrong = theirs.wrong_code();
    for _ in 0..GUESSES {
        ensure!(!login(&sshd.options(), "stock", &wrong)?, "a wrong code");
    }
    ensure!(
        login(&sshd.options(), "stock", &theirs.code()?)?,
        "pam_oath stopped the guessing"
    );

    let wrong = jill.authenticator()?.wrong_code();
    let sources = ["10.77.1.20", "10.77.1.99"];
    for (guess, source) in (0..GUESSES).zip(sources.iter().cycle()) {
        let options = ["-o".to_owned(), format!("BindAddress={source}")];
        ensure!(!login(&options, "bastion", &wrong)?, "guess {guess}");
        if guess == 2 {
            lab.bastion
                .shell("systemctl kill --signal=KILL jumpd.service")
                .run()?
                .success()?;
        }
    }
    let right = jill.authenticator()?.recovery_code()?;
    ensure!(!login(&[], "bastion", &right)?, "a locked user got in");
    // Each source bears five, over connections and the restart.
    let locked = jill.wait_events("mfa.locked", sources.len());
    let failed = jill.wait_events("mfa.failed", GUESSES - sources.len());
    let counted = |e: &&jump_lab::journal::Entry| e.get("JUMP_REASON") == "wrong_code";
    let looked_at = failed.iter().filter(counted).count() + locked.len();
    ensure!(
        looked_at == 5 * sources.len(),
        "{looked_at} guesses were looked at; {locked:?}"
    );
    let refused = failed
        .iter()
        .filter(|e| e.get("JUMP_REASON") == "locked_out")
        .count();
    ensure!(
        refused + looked_at >= GUESSES,
        "{refused} refusals while locked"
    );
    lab.jumpctl("mfa unlock jill")?.success()?;
    ensure!(
        login(&[], "bastion", &right)?,
        "the code was used up while locked"
    );
    Ok(())
}

/// What a client with the right key sees of a login with a wrong code: prompts and every word of ssh.
fn seen_with_key(seat: &Seat, user: &str) -> Result<(Vec<String>, String)> {
    let answering = seat.answering(&["123456"])?;
    let output = answering
        .ssh(["-l", user, "bastion", "whoami"])
        .run()?
        .failure()?;
    let plain = |text: &str| text.replace(user, "USER");
    let prompts = answering
        .prompts()
        .iter()
        .map(|prompt| plain(prompt))
        .collect();
    Ok((prompts, plain(&output.stderr)))
}

/// Given google-authenticator with `nullok`, then prompts tell who is enrolled; given ours, then nothing that sshd lets a client see tells one user from another.
pub(crate) fn a24_nobody_learns_who_exists_or_is_enrolled(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let enrolled = lab.admin("kari").may_reach_databases().arrive()?;
    let unenrolled = lab
        .admin("kaja")
        .may_reach_databases()
        .unenrolled()
        .arrive()?;
    let locked = lab.admin("knut").may_reach_databases().arrive()?;
    std::fs::create_dir_all(stock.path("/var/lib/lab"))?;
    for admin in [&enrolled, &unenrolled] {
        stock.account(&admin.seat)?;
        let line = "[success=done default=die] pam_google_authenticator.so nullok user=root secret=/var/lib/lab/${USER}";
        stock.pam(admin.name(), "auth", &[line, "required pam_permit.so"])?;
    }
    stock.write("/var/lib/lab/kari", format!("{SECRET}\n\" TOTP_AUTH\n"))?;
    stock.sh("chmod 600 /var/lib/lab/kari")?;
    let settings =
        "AuthenticationMethods publickey,keyboard-interactive\nKbdInteractiveAuthentication yes";
    let sshd = OwnSshd::start(stock, 2402, settings)?;
    let prompts = |seat: &Seat| -> Result<usize> {
        let answering = seat.answering(&["123456"])?;
        answering
            .command("ssh")
            .args(sshd.options().to_vec())
            .args(["stock", "true"])
            .run()?;
        Ok(answering.prompts().len())
    };
    ensure!(
        prompts(&enrolled.seat)? != prompts(&unenrolled.seat)?,
        "google-authenticator asks everybody alike"
    );

    for _ in 0..5 {
        let wrong = locked.authenticator()?.wrong_code();
        locked
            .seat
            .answering(&[wrong])?
            .ssh(["bastion", "whoami"])
            .run()?
            .failure()?;
    }
    locked.event("mfa.locked")?;
    let known = seen_with_key(&enrolled.seat, "kari")?;
    ensure!(
        known.0 == ["(USER@bastion) Verification code: "]
            || known.0 == ["(USER@bastion) Verification code:"],
        "{known:?}"
    );
    for admin in [&unenrolled, &locked] {
        let seen = seen_with_key(&admin.seat, admin.name())?;
        ensure!(
            seen == known,
            "{} is told apart: {seen:?} and {known:?}",
            admin.name()
        );
    }
    // Without the user's key, everybody who exists is like nobody, where sshd offers no passwords to others either.
    let stranger = Seat::take(&lab.client, &lab.servers(), "kstranger")?;
    lab.with_sshd_config(
        "20-keys-only.conf",
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\n",
        || {
            let nobody = seen_with_key(&stranger, "nosuchuser")?;
            ensure!(nobody.0.is_empty(), "{nobody:?}");
            for name in ["kari", "kaja", "knut"] {
                let seen = seen_with_key(&stranger, name)?;
                ensure!(
                    seen == nobody,
                    "{name} is told from nobody: {seen:?} and {nobody:?}"
                );
            }
            Ok(())
        },
    )?;
    Ok(())
}

/// Given pam_faillock, then whoever knows a name locks its owner out; given ours, then nobody without the owner's key can.
pub(crate) fn a24_nobody_without_the_key_locks_anybody_out(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let lars = lab.admin("lars").may_reach_databases().arrive()?;
    let enemy = Seat::take(&lab.client, &lab.servers(), "lars-enemy")?;
    stock.account(&lars.seat)?;
    stock.sh("echo lars:right | chpasswd")?;
    stock.pam(
        "lars",
        "auth",
        &[
            "requisite pam_faillock.so preauth silent deny=5",
            "[success=2 default=ignore] pam_unix.so",
            "[default=die] pam_faillock.so authfail deny=5",
            "requisite pam_deny.so",
            "required pam_permit.so",
        ],
    )?;
    let sshd = OwnSshd::start(stock, 2403, "PasswordAuthentication yes")?;
    let tries = |seat: &Seat, options: &[String], host: &str, word: &str| -> Result<bool> {
        let output = seat
            .answering(&[word])?
            .command("ssh")
            .args(options.to_vec())
            .args([
                "-o",
                "NumberOfPasswordPrompts=1",
                "-l",
                "lars",
                host,
                "whoami",
            ])
            .run()?;
        Ok(output.code() == 0)
    };
    let mut password = sshd.options().to_vec();
    password.extend(["-o".to_owned(), "PubkeyAuthentication=no".to_owned()]);
    ensure!(
        tries(&lars.seat, &password, "stock", "right")?,
        "the password before the attack"
    );
    for _ in 0..GUESSES / 2 {
        ensure!(
            !tries(&enemy, &password, "stock", "wrong")?,
            "a wrong password"
        );
    }
    ensure!(
        !tries(&lars.seat, &password, "stock", "right")?,
        "pam_faillock locked nobody out"
    );

    for options in [vec![], password[4..].to_vec()] {
        for _ in 0..GUESSES {
            ensure!(
                !tries(&enemy, &options, "bastion", "123456")?,
                "without the key"
            );
        }
    }
    ensure!(
        lars.events("mfa.failed").is_empty() && lars.events("mfa.locked").is_empty(),
        "guesses without a key were counted"
    );
    lars.ssh(&["bastion", "whoami"])?
        .success()
        .context("lars is locked out")?;
    Ok(())
}
