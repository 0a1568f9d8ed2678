//! A46: sshd's placeholder for a password, counted against a real account.

use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::peculiar::OwnSshd;
use jump_lab::seat::Seat;
use serde_json::Value;

/// More than lock anybody out.
const ATTEMPTS: usize = 8;

/// Tries to get in with a typed word, as somebody whom sshd will not let in whatever is typed.
fn try_in(seat: &Seat, options: &[String], user: &str, host: &str) -> Result<()> {
    for _ in 0..ATTEMPTS {
        seat.answering(&["123456"])?
            .command("ssh")
            .args(options.to_vec())
            .args([
                "-o",
                "PubkeyAuthentication=no",
                "-o",
                "NumberOfPasswordPrompts=1",
            ])
            .args(["-l", user, host, "true"])
            .run()?
            .failure()?;
    }
    Ok(())
}

/// Wrong codes counted against a user.
fn failures(lab: &Lab, user: &str) -> Result<u64> {
    let status = lab
        .jumpctl(&format!("mfa status {user} --json"))?
        .success()?;
    let status: Value = serde_json::from_str(&status.text())?;
    let first = |value: &Value| value.as_array().and_then(|users| users.first().cloned());
    let user = first(&status)
        .or_else(|| status.get("users").and_then(first))
        .unwrap_or(status);
    user.get("failures")
        .and_then(Value::as_u64)
        .ok_or_else(|| anyhow::anyhow!("no failures in {user}"))
}

/// Given `DenyUsers`, then pam_faillock on a stock host counts what sshd itself typed; given ours, then nothing is counted, for unknown users neither.
pub(crate) fn a46_a_user_whom_sshd_denies_is_not_counted(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let gwen = lab.admin("gwen").may_reach_databases().arrive()?;
    stock.account(&gwen.seat)?;
    stock.sh("echo gwen:right | chpasswd")?;
    stock.pam(
        "gwen",
        "auth",
        &[
            "requisite pam_faillock.so preauth silent deny=5",
            "[success=2 default=ignore] pam_unix.so nodelay",
            "[default=die] pam_faillock.so authfail deny=5",
            "requisite pam_deny.so",
            "required pam_permit.so",
        ],
    )?;
    let settings = "DenyUsers gwen\nKbdInteractiveAuthentication yes\nMaxAuthTries 20";
    let sshd = OwnSshd::start(stock, 4601, settings)?;
    try_in(&gwen.seat, &sshd.options(), "gwen", "stock")?;
    let counted = stock.sh("faillock --user gwen | grep -c '^2'")?.text();
    ensure!(
        counted.parse::<usize>().is_ok_and(|counted| counted >= 5),
        "pam_faillock counted {counted}"
    );

    // The code alone is asked for, so that somebody without a key gets as far as a prompt at all.
    let edit = "DenyUsers gwen\nMatch User gwen,nosuchuser\n    AuthenticationMethods keyboard-interactive:pam\n";
    lab.with_sshd_config("00-deny.conf", edit, || {
        try_in(&gwen.seat, &[], "gwen", "bastion")?;
        try_in(&gwen.seat, &[], "nosuchuser", "bastion")
    })?;
    // The same behind a key, as it should be: sshd denies before it asks.
    lab.with_sshd_config("00-deny.conf", "DenyUsers gwen\n", || {
        try_in(&gwen.seat, &[], "gwen", "bastion")?;
        let right = gwen.authenticator()?.any_code()?;
        let denied = gwen
            .seat
            .answering(&[right])?
            .ssh(["bastion", "whoami"])
            .run()?;
        denied.failure()?;
        Ok(())
    })?;
    ensure!(
        failures(lab, "gwen")? == 0,
        "{} wrong codes are counted",
        failures(lab, "gwen")?
    );
    ensure!(gwen.events("mfa.locked").is_empty(), "locked out");
    let told = lab.journal.since(Default::default(), |e| {
        e.get("SYSLOG_IDENTIFIER").starts_with("sshd")
            && e.message().starts_with("User gwen from")
            && e.message().contains("DenyUsers")
    });
    ensure!(
        told.len() > ATTEMPTS,
        "sshd tells of {} denials",
        told.len()
    );
    let strange = gwen.events("mfa.failed");
    ensure!(
        strange
            .iter()
            .all(|e| ["unknown_user", "key_missing"].contains(&e.get("JUMP_REASON"))),
        "{strange:?}"
    );
    gwen.ssh(&["bastion", "whoami"])?.success()?;
    Ok(())
}
