//! Whether second factors are sealed, and who cannot give one.

use super::Findings;
use crate::client::Jumpd;
use crate::commands::mfa::{gives_codes, left_over};
use crate::credential;
use crate::error::Error;
use crate::setup::host::Host;
use jump_proto::{MfaUser, Reply, Request, Status, paths};

/// What lies in `/var/lib/jump/mfa` must be of no use to whoever copies it.
pub(super) fn sealing(host: &dyn Host, status: Option<&Status>, findings: &mut Findings) {
    const CHECK: &str = "sealing";
    if let Some(why) = credential::problem(host) {
        findings.red(
            CHECK,
            format!("{why}; jumpd does not start with it. `jumpctl setup` moves it aside and makes a new key"),
        );
    }
    let Some(sealing) = status.and_then(|status| status.sealing.as_ref()) else {
        return;
    };
    match (sealing.keys, sealing.only_sealed) {
        (0, false) => findings.red(
            CHECK,
            "there is no key to seal second factors with, so nobody can be enrolled; `jumpctl setup` makes it",
        ),
        (0, true) => findings.red(
            CHECK,
            format!(
                "jumpd did not get the key that second factors are sealed with, so every code is refused: put back {} and `systemctl restart jumpd`. If it is lost: move it away, `jumpctl setup`, then restore a backup with --replace, or reset every user and enrol them anew",
                paths::MFA_KEYS
            ),
        ),
        (1, true) => findings.ok(CHECK, "every second factor is sealed"),
        (1, false) => findings.red(
            CHECK,
            "not every second factor could be sealed; `journalctl -u jumpd` says why, then `systemctl restart jumpd`",
        ),
        _ => findings.warn(
            CHECK,
            "a new key is not in use for every record yet; `jumpctl mfa rekey` finishes that",
        ),
    }
}

pub(super) fn look(jumpd: &Jumpd, status: Option<&Status>, findings: &mut Findings) {
    const CHECK: &str = "mfa";
    let users = match jumpd.ask(&Request::MfaStatus { user: None }) {
        Ok(Reply::MfaStatus { users }) => users,
        Ok(_) => return findings.red(CHECK, Error::WrongAnswer.to_string()),
        // Told above, as jumpd's silence.
        Err(_) => return,
    };
    for user in &users {
        if let Some(problem) = &user.problem {
            findings.red(
                CHECK,
                format!(
                    "{} is refused ({}): {}",
                    user.user, problem.reason, problem.text
                ),
            );
        }
        if let Some(seconds) = user.clock_behind_s {
            findings.red(
                CHECK,
                format!(
                    "the clock is {seconds} s behind the last code that {} gave, so every code of theirs is refused; set the clock. If it had been ahead then: `jumpctl mfa enroll {}`",
                    user.user, user.user
                ),
            );
        }
    }
    let named = |fits: &dyn Fn(&MfaUser) -> bool| -> Vec<&str> {
        let fitting = users.iter().filter(|user| fits(user));
        fitting.map(|user| user.user.as_str()).collect()
    };
    let scope = status.map_or(&[][..], |status| &status.scope);
    if let Some(left) = left_over(&users, scope) {
        findings.warn(CHECK, left);
    }
    let automation = named(&|user| user.automation);
    if !automation.is_empty() {
        findings.ok(
            CHECK,
            format!(
                "a key from known addresses is all that these need: {}",
                automation.join(", ")
            ),
        );
    }
    let keyless = named(&|user| !user.automation && !gives_codes(user) && !user.security_key);
    if !keyless.is_empty() {
        findings.warn(
            CHECK,
            format!(
                "refused, because only a security key is taken from them and the policy has none: {}",
                keyless.join(", ")
            ),
        );
    }
    let missing = named(&|user| {
        !user.enrolled
            && !user.automation
            && !user.security_key
            && user.problem.is_none()
            && gives_codes(user)
    });
    if missing.is_empty() {
        findings.ok(
            CHECK,
            "every user of the policy who gives codes is enrolled",
        );
    } else {
        findings.warn(
            CHECK,
            format!(
                "not enrolled and so refused: {}; `jumpctl mfa enroll USER`",
                missing.join(", ")
            ),
        );
    }
    for user in users.iter().filter(|user| user.locked_until_ms.is_some()) {
        findings.warn(
            CHECK,
            format!(
                "{} is locked; `jumpctl mfa unlock {}`",
                user.user, user.user
            ),
        );
    }
}
