//! `jumpctl mfa`: second factors, from enrolment to reset.
//!
//! Secrets are shown once, on a terminal, and nowhere else: not in a pipe
//! that ends in a log, unless the operator said so with `--json` or
//! `--no-confirm`. An enrolment counts only once a code has come back from
//! the authenticator; until then the old secret stays.

use super::explain;
use super::rekey;
use crate::cli::Mfa;
use crate::client::Jumpd;
use crate::error::{Answer, Error, Outcome};
use crate::nss;
use crate::output::{Output, printable};
use crate::setup::host::ThisHost;
use crate::time;
use jiff::tz::TimeZone;
use jump_mfa::qr;
use jump_proto::{
    Method, MfaLock, MfaUser, Reason, Reply, Request, Secret, TotpChoice, TotpParams,
};
use std::time::Duration;

/// How often the operator may mistype the code.
const TRIES: usize = 3;

pub(super) fn run(jumpd: &Jumpd, action: Mfa, out: &mut Output) -> Answer {
    match action {
        Mfa::Enroll {
            user,
            no_confirm,
            totp,
        } => enroll(jumpd, &user, no_confirm, totp.into(), out),
        Mfa::Invite { user, lasting } => invite(jumpd, &user, lasting, out),
        Mfa::Confirm { user } => confirm(jumpd, &user, out),
        Mfa::Status { user } => status(jumpd, user, out),
        Mfa::Reset { user, uid: record } => {
            let uid = nss::uid(&user);
            jumpd.tell(&Request::MfaReset {
                user: user.clone(),
                uid,
                record,
            })?;
            let sentence = match record {
                Some(uid) => format!("The record of {user} with the user id {uid} is forgotten."),
                None => format!(
                    "{user} has no second factor any more and cannot log in before `jumpctl mfa enroll {user}`."
                ),
            };
            done(out, &sentence)
        }
        Mfa::Unlock { user } => {
            let uid = nss::uid(&user);
            jumpd.tell(&Request::MfaUnlock {
                user: user.clone(),
                uid,
            })?;
            done(out, &format!("{user} may try again."))
        }
        Mfa::Rekey => rekey::run(&ThisHost, jumpd, out),
        Mfa::RecoveryCodes { user } => recovery_codes(jumpd, &user, out),
    }
}

fn enroll(
    jumpd: &Jumpd,
    user: &str,
    no_confirm: bool,
    totp: TotpChoice,
    out: &mut Output,
) -> Answer {
    if let Some(problem) = totp.or(TotpParams::default()).problem() {
        return Err(Error::Usage(problem.replace("period_s", "--period")));
    }
    if !no_confirm && out.is_json() {
        return Err(Error::Usage(
            "nobody is there to bring a code; add --no-confirm to --json".to_owned(),
        ));
    }
    if !no_confirm {
        need_terminal(out)?;
    }
    let scope = jumpd.status()?.scope;
    if let Some(refusal) = outside(user, nss::groups(user).as_deref(), &scope) {
        return Err(refusal);
    }
    let request = Request::MfaEnroll {
        user: user.to_owned(),
        uid: nss::uid(user),
        confirm: !no_confirm,
        totp,
    };
    let Reply::Enrolment {
        secret,
        uri,
        recovery_codes,
    } = jumpd.ask(&request)?
    else {
        return Err(Error::WrongAnswer);
    };
    // The operator asked for the secret: to show it is the command's purpose.
    out.json(&Enrolment {
        secret: &secret,
        uri: &uri,
        recovery_codes: &recovery_codes,
    })?;
    if !out.is_json() {
        // The picture comes last, so that it and the question fit a small terminal together.
        show_codes(&recovery_codes, out)?;
        if !no_confirm {
            out.line(format_args!(
                "Scan this with {}'s authenticator; it counts once a code has come back.",
                printable(user)
            ))?;
        }
        for row in qr::draw(uri.expose(), out.is_terminal(), qr::ROWS).unwrap_or_default() {
            out.line(row)?;
        }
        out.line(format_args!("Key: {}", grouped(secret.expose())))?;
    }
    if no_confirm {
        return Ok(Outcome::Yes);
    }
    confirm(jumpd, user, out)
}

fn invite(jumpd: &Jumpd, user: &str, lasting: Duration, out: &mut Output) -> Answer {
    need_terminal(out)?;
    let scope = jumpd.status()?.scope;
    if let Some(refusal) = outside(user, nss::groups(user).as_deref(), &scope) {
        return Err(refusal);
    }
    let request = Request::MfaInvite {
        user: user.to_owned(),
        uid: nss::uid(user),
        seconds: lasting.as_secs(),
    };
    let Reply::Invitation {
        invitation,
        until_ms,
        replaces,
    } = jumpd.ask(&request)?
    else {
        return Err(Error::WrongAnswer);
    };
    let until = time::show(until_ms, &TimeZone::system());
    let user = printable(user);
    out.line(format_args!(
        "Invitation for {user}, good once and until {until}; it is not shown again:"
    ))?;
    // The operator asked for it: to show it is the command's purpose.
    out.line(format_args!("    {}", invitation.expose()))?;
    out.line(format_args!(
        "At the next login {user} types it in place of the code, and is shown a QR code there."
    ))?;
    if replaces {
        out.line(format_args!(
            "{user} is enrolled: until then the present authenticator and recovery codes stay good, and then they are replaced."
        ))?;
    }
    out.json(&Invited {
        user: &user,
        invitation: &invitation,
        until_ms,
        replaces,
    })?;
    Ok(Outcome::Yes)
}

#[derive(serde::Serialize)]
struct Invited<'a> {
    user: &'a str,
    invitation: &'a Secret,
    until_ms: i64,
    /// Whether the user is enrolled already.
    replaces: bool,
}

/// A user whom pam_jump would never ask: a slip of the pen, or somebody who logs in as before.
///
/// A name that the host does not know at all is left to jumpd, which knows its
/// policy even before nsswitch is wired.
fn outside(user: &str, groups: Option<&[String]>, scope: &[String]) -> Option<Error> {
    let groups = groups?;
    if groups.iter().any(|group| scope.contains(group)) {
        return None;
    }
    Some(Error::Refused {
        reason: Reason::UnknownUser,
        message: format!(
            "{} is neither a user of the policy nor in one of its system groups, and is never asked for a second factor",
            printable(user)
        ),
    })
}

#[derive(serde::Serialize)]
struct Enrolment<'a> {
    secret: &'a Secret,
    uri: &'a Secret,
    recovery_codes: &'a [Secret],
}

fn confirm(jumpd: &Jumpd, user: &str, out: &mut Output) -> Answer {
    for _ in 0..TRIES {
        let question = if out.is_json() { "" } else { "Code: " };
        let Some(code) = out.ask(question)? else {
            break;
        };
        let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let request = Request::MfaConfirm {
            user: user.to_owned(),
            uid: nss::uid(user),
            code: Secret::new(code),
        };
        match jumpd.tell(&request) {
            Ok(()) => return done(out, &format!("{user} is enrolled.")),
            Err(Error::Refused {
                reason: Reason::WrongCode | Reason::ReplayedCode,
                message,
            }) => {
                out.line(printable(&message))?;
            }
            Err(e) => return Err(e),
        }
    }
    let user = printable(user);
    Err(Error::Refused {
        reason: Reason::WrongCode,
        message: format!(
            "no right code came, nothing has changed for {user}; bring one with `jumpctl mfa confirm {user}`, or begin again with `jumpctl mfa enroll {user}`. If codes stay wrong, compare the clocks."
        ),
    })
}

fn status(jumpd: &Jumpd, user: Option<String>, out: &mut Output) -> Answer {
    let one = user.is_some();
    let Reply::MfaStatus { mut users } = jumpd.ask(&Request::MfaStatus { user })? else {
        return Err(Error::WrongAnswer);
    };
    users.sort_by(|a, b| a.user.cmp(&b.user));
    let zone = TimeZone::system();
    let rows: Vec<Vec<String>> = users
        .iter()
        .map(|user| {
            vec![
                printable(&user.user),
                state(user, &zone),
                explain::listed(&user.methods),
                user.totp.map_or_else(String::new, |totp| totp.to_string()),
                user.recovery_codes_left.to_string(),
                user.failures.to_string(),
            ]
        })
        .collect();
    if rows.is_empty() {
        out.line("The policy has no users.")?;
    } else {
        out.table(
            &[
                "USER",
                "SECOND FACTOR",
                "TAKEN",
                "CODES",
                "RECOVERY CODES",
                "WRONG CODES",
            ],
            &rows,
        )?;
    }
    for user in &users {
        for lock in &user.locks {
            out.line(locked_out(&user.user, lock, &zone))?;
        }
    }
    let scope = jumpd.status().map(|status| status.scope);
    if let Some(left) = left_over(&users, &scope.unwrap_or_default()) {
        out.line(left)?;
    }
    out.json(&users)?;
    let ready = |user: &MfaUser| {
        user.automation
            || user.security_key
            || (user.enrolled && gives_codes(user) && user.locked_until_ms.is_none())
    };
    Ok(Outcome::from_bool(!one || users.iter().all(ready)))
}

/// Who still has a record, and is neither in the policy with that user id nor in one of its system groups.
pub(crate) fn left_over(users: &[MfaUser], scope: &[String]) -> Option<String> {
    let is_in_scope = |user: &MfaUser| {
        let groups = nss::groups(&user.user).unwrap_or_default();
        groups.iter().any(|group| scope.contains(group))
    };
    let left = users
        .iter()
        .filter(|user| user.unlisted && !is_in_scope(user));
    let left: Vec<_> = left
        .map(|user| format!("{} (uid {})", printable(&user.user), user.uid))
        .collect();
    (!left.is_empty()).then(|| {
        format!(
            "Neither in the policy with this user id nor, as far as the host knows, in its system groups: {}; if they left, `jumpctl mfa reset USER --uid UID` forgets the record.",
            left.join(", ")
        )
    })
}

/// Whether codes of an authenticator are taken from this user; an older jumpd does not say.
pub(crate) fn gives_codes(user: &MfaUser) -> bool {
    user.methods.is_empty() || user.methods.iter().any(|m| *m != Method::SecurityKey)
}

fn state(user: &MfaUser, zone: &TimeZone) -> String {
    if user.automation {
        return "none (automation)".to_owned();
    }
    if let Some(problem) = &user.problem {
        return format!("refused ({})", problem.reason);
    }
    if !gives_codes(user) {
        return if user.security_key {
            "security key".to_owned()
        } else {
            "no security key among the login keys".to_owned()
        };
    }
    let mut text = match (user.enrolled, user.pending) {
        (true, false) => "enrolled".to_owned(),
        (true, true) => "enrolled, a new one waits for its code".to_owned(),
        (false, true) => "waits for its code".to_owned(),
        (false, false) => "not enrolled".to_owned(),
    };
    if user.security_key {
        text.push_str(", or a security key");
    }
    if let Some(ms) = user.invited_until_ms {
        text.push_str(&format!(", invited until {}", time::show(ms, zone)));
    }
    if let Some(ms) = user.locked_until_ms {
        text.push_str(&format!(", locked until {}", time::show(ms, zone)));
    }
    text
}

fn locked_out(user: &str, lock: &MfaLock, zone: &TimeZone) -> String {
    let user = printable(user);
    let until = time::show(lock.until_ms, zone);
    match (&lock.key_fingerprint, &lock.source) {
        (Some(key), Some(source)) => format!(
            "Codes of {user} with the key {} from {} are not looked at until {until}.",
            printable(key),
            printable(source)
        ),
        _ => format!(
            "Codes of {user} from where no right one ever came are not looked at until {until}."
        ),
    }
}

fn recovery_codes(jumpd: &Jumpd, user: &str, out: &mut Output) -> Answer {
    need_terminal(out)?;
    let request = Request::MfaRecoveryCodes {
        user: user.to_owned(),
        uid: nss::uid(user),
    };
    let Reply::RecoveryCodes { codes } = jumpd.ask(&request)? else {
        return Err(Error::WrongAnswer);
    };
    show_codes(&codes, out)?;
    out.json(&serde_json::json!({ "recovery_codes": codes }))?;
    Ok(Outcome::Yes)
}

fn show_codes(codes: &[Secret], out: &mut Output) -> Result<(), Error> {
    out.line("Recovery codes, each good once; they are not shown again:")?;
    for pair in codes.chunks(2) {
        // The operator hands them to the user: this is the one place they appear.
        let row: Vec<&str> = pair.iter().map(Secret::expose).collect();
        out.line(format_args!("    {}", row.join("    ")))?;
    }
    Ok(())
}

/// Secrets go to a terminal, or to a program that asked for JSON.
fn need_terminal(out: &Output) -> Result<(), Error> {
    if out.is_json() || out.is_terminal() {
        return Ok(());
    }
    Err(Error::Usage(
        "the output is not a terminal, and a secret would stay wherever it ends; run it at a terminal, or add --json (for enroll also --no-confirm)"
            .to_owned(),
    ))
}

fn done(out: &mut Output, sentence: &str) -> Answer {
    out.line(printable(sentence))?;
    out.json(&serde_json::json!({ "done": true }))?;
    Ok(Outcome::Yes)
}

/// `GEZD GNBV …`: what a person types from a screen.
fn grouped(secret: &str) -> String {
    let chars: Vec<char> = secret.chars().collect();
    chars
        .chunks(4)
        .map(|four| four.iter().collect::<String>())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jump_proto::MfaProblem;

    #[test]
    fn keys_are_typed_in_groups_of_four() {
        assert_eq!(grouped("GEZDGNBVGY"), "GEZD GNBV GY");
    }

    #[test]
    fn only_users_within_the_scope_are_enrolled() {
        let scope = ["jump-users".to_owned(), "ad-admins".to_owned()];
        let groups = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert!(outside("alice", Some(&groups(&["jump-users", "dba"])), &scope).is_none());
        assert!(outside("ada", Some(&groups(&["users", "ad-admins"])), &scope).is_none());
        assert!(outside("new", None, &scope).is_none());
        assert_eq!(
            outside("root", Some(&groups(&["root"])), &scope)
                .unwrap()
                .exit_code(),
            1
        );
    }

    #[test]
    fn every_state_has_its_words() {
        let mut user = MfaUser {
            uid: 70001,
            unlisted: false,
            user: "alice".into(),
            enrolled: false,
            pending: false,
            recovery_codes_left: 0,
            locked_until_ms: None,
            failures: 0,
            automation: false,
            totp: None,
            invited_until_ms: None,
            locks: Vec::new(),
            methods: vec![],
            security_key: false,
            clock_behind_s: None,
            problem: None,
        };
        let utc = TimeZone::UTC;
        assert_eq!(state(&user, &utc), "not enrolled");
        user.invited_until_ms = Some(0);
        assert_eq!(
            state(&user, &utc),
            "not enrolled, invited until Thu 1970-01-01 00:00:00 UTC"
        );
        user.invited_until_ms = None;
        user.pending = true;
        assert_eq!(state(&user, &utc), "waits for its code");
        (user.enrolled, user.pending) = (true, false);
        user.locked_until_ms = Some(0);
        assert_eq!(
            state(&user, &utc),
            "enrolled, locked until Thu 1970-01-01 00:00:00 UTC"
        );
        user.locked_until_ms = None;
        user.methods = Method::ALL.to_vec();
        user.security_key = true;
        assert_eq!(state(&user, &utc), "enrolled, or a security key");
        user.methods = vec![Method::SecurityKey];
        assert_eq!(state(&user, &utc), "security key");
        user.security_key = false;
        assert_eq!(state(&user, &utc), "no security key among the login keys");
        user.problem = Some(MfaProblem {
            reason: Reason::RestoredRecord,
            text: "an old copy".into(),
        });
        assert_eq!(state(&user, &utc), "refused (restored_record)");
        user.automation = true;
        assert_eq!(state(&user, &utc), "none (automation)");
    }
}
