//! Enrolment at a login, by somebody who typed a right invitation.
//!
//! The authenticator's key is shown as a QR code and as text, in 80 × 24, and
//! is in force once a code of it has come back: that, and nothing before it,
//! spends the invitation. The recovery codes stand before a prompt of their
//! own, because only what stands before a prompt is sure to be seen whatever
//! the client asks for (`-N`, `-W`, `-J`).

use super::{Answer, BROKEN, Denial, Factor, TOTP, Talk};
use crate::mfa;
use crate::state::{Applicant, Jumpd, complain};
use jump_audit::Kind;
use jump_mfa::{Confirmation, Draft, StoreError, qr};
use jump_policy::Policy;
use jump_proto::{AuthStep, Reason, Secret, SessionId};

/// How often a code of the new authenticator may be mistyped.
const TRIES: usize = 3;

/// Rows of the picture: with a line before it, the key and the prompt it fits 24.
const ROWS: usize = 21;
/// As many as leave the first line in sight, whatever the client writes before it.
const ROWS_WITH_WHOLE_QUIET_ZONE: usize = 20;

/// sshd's `LoginGraceTime` is two minutes, of which some have passed. First lines are short: clients write
/// `(user@host)` before them.
const SCAN: &str = "Scan this or type in the key, within 90 seconds:";
const TYPE: &str = "Type this key into the app, within 90 seconds:";
const FIRST_CODE: &str = "Code of the new authenticator: ";
const ANOTHER: &str = "That is not its code now.";
const CLOCK: &str = "Type the one it shows; if it stays wrong, set the phone's clock.";
const NOT_ENROLLED: &str = "Not enrolled. The invitation still holds; log in again to begin anew.";
const ENROLLED: &str = "You are enrolled.";
const CODES: &str = "Recovery codes, each good once; they are not shown again:";
const ENTER: &str = "Write them down, then press Enter: ";
/// For the admin.
const KEY_SHOWN: &str = "after a right invitation: the new key was shown, and no code of it was typed; the invitation still holds";
const CODES_SHOWN: &str =
    "enrolled by invitation: the recovery codes were shown, and nobody said that they were read";
const TAKEN: &str = "This invitation does not hold any more; ask for another.";

impl Jumpd {
    /// Shows a new authenticator, asks for its code, and lets the login on.
    pub(super) fn enrol_invited(
        &self,
        talk: &mut Talk<'_>,
        policy: &Policy,
        who: &Applicant,
        id: &SessionId,
        invitation: &Secret,
    ) -> AuthStep {
        let person = mfa::person_of(who);
        let broken = |e: &StoreError| {
            complain(&format!("second factor of {person}: {e}"));
            self.deny(
                who,
                id,
                &Denial {
                    kind: Kind::MfaFailed,
                    reason: mfa::reason(e),
                    detail: &e.to_string(),
                    message: Some(BROKEN),
                },
            )
        };
        let now = || self.now().as_second();
        let draft = match Draft::new(&person, &issuer(), now(), policy.mfa().totp) {
            Ok(draft) => draft,
            Err(e) => return broken(&e),
        };
        let mut info = picture(&draft);
        for _ in 0..TRIES {
            let typed = match talk.ask_with(std::mem::take(&mut info), FIRST_CODE) {
                Answer::Typed(typed) => typed,
                Answer::None => return self.unanswered(who, id, KEY_SHOWN),
                Answer::Nonsense => return self.nonsense(who, id),
            };
            let code: String = typed.expose().chars().filter(|c| *c != ' ').collect();
            let (store, place) = (&self.second_factors, who.place());
            let invitation = invitation.expose();
            let came =
                jump_mfa::enrol_invited(store, &person, &place, invitation, &draft, &code, now());
            match came {
                Ok(Confirmation::Confirmed) => return self.enrolled(talk, who, id, &draft),
                Ok(Confirmation::WrongCode) => {
                    let key = line(&format!("Key: {}", grouped(&draft)));
                    info = vec![line(ANOTHER), line(CLOCK), key];
                }
                Ok(Confirmation::NothingPending) => {
                    return self.refuse_invited(who, id, Reason::InvitationExpired, TAKEN);
                }
                Err(e) => return broken(&e),
            }
        }
        self.refuse_invited(who, id, Reason::WrongCode, NOT_ENROLLED)
    }

    fn enrolled(
        &self,
        talk: &mut Talk<'_>,
        who: &Applicant,
        id: &SessionId,
        draft: &Draft,
    ) -> AuthStep {
        let event = who
            .event(Kind::MfaEnrolled)
            .success()
            .session(id)
            .reason(Reason::InvitationUsed)
            .mfa(TOTP)
            .detail("by invitation, confirmed by a code");
        if !self.announce(event) {
            return AuthStep::Denied {
                message: Some(BROKEN.to_owned()),
            };
        }
        let mut info = vec![line(ENROLLED), line(CODES)];
        for pair in draft.shown.recovery_codes.chunks(2) {
            // To show them, once, is what they are made for.
            let row: Vec<&str> = pair.iter().map(Secret::expose).collect();
            info.push(line(&format!("    {}", row.join("    "))));
        }
        match talk.ask_with(info, ENTER) {
            Answer::Typed(_) => {
                let how = Factor::by(TOTP).because(Reason::InvitationUsed);
                self.accept(who, id, Kind::MfaOk, &how)
            }
            Answer::None => self.unanswered(who, id, CODES_SHOWN),
            Answer::Nonsense => self.nonsense(who, id),
        }
    }

    fn refuse_invited(
        &self,
        who: &Applicant,
        id: &SessionId,
        reason: Reason,
        message: &str,
    ) -> AuthStep {
        self.deny(
            who,
            id,
            &Denial {
                kind: Kind::MfaFailed,
                reason,
                detail: "after a right invitation",
                message: Some(message),
            },
        )
    }
}

/// What the app shows beside the user's name: the host's own name, short, for the picture's sake.
fn issuer() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    let name = name.to_string_lossy();
    let first = name.split('.').next().unwrap_or_default();
    if first.is_empty() { "jump" } else { first }.to_owned()
}

/// The picture, where it fits, and the key.
fn picture(draft: &Draft) -> Vec<Secret> {
    // The client shows escape sequences as text, so there are no colours.
    let rows = qr::draw(
        draft.shown.short_uri.expose(),
        false,
        ROWS_WITH_WHOLE_QUIET_ZONE,
    );
    let rows = rows.filter(|rows| rows.len() <= ROWS);
    let mut info = vec![line(if rows.is_some() { SCAN } else { TYPE })];
    info.extend(rows.into_iter().flatten().map(Secret::new));
    info.push(line(&format!("Key: {}", grouped(draft))));
    info
}

fn line(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

/// The key as a person types it: in groups of four.
fn grouped(draft: &Draft) -> String {
    let key = draft.shown.secret_base32.expose();
    let mut text = String::with_capacity(key.len() * 5 / 4);
    for (at, symbol) in key.chars().enumerate() {
        if at > 0 && at % 4 == 0 {
            text.push(' ');
        }
        text.push(symbol);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use jump_mfa::{Params, Who};

    fn draft(user: &str, params: Params) -> Draft {
        let who = Who {
            uid: 70001,
            user: user.to_owned(),
        };
        Draft::new(&who, "bastion", 0, params).unwrap()
    }

    #[test]
    fn it_all_fits_a_terminal_of_80_by_24() {
        for user in ["a", "alice", "firstname.lastname@example.com"] {
            let info = picture(&draft(user, Params::default()));
            let shown: Vec<_> = info.iter().map(Secret::expose).collect();
            // A line of its own for the prompt.
            assert!(shown.len() < 24, "{user}: {} lines", shown.len());
            assert_eq!(shown[0], SCAN, "{user}");
            // OpenSSH writes "(user@host) " before the first line.
            assert!(SCAN.len() + "(firstname@bastion) ".len() <= 80);
            for line in &shown {
                assert!(line.chars().count() <= 80, "{line}");
                // PAM_MAX_MSG_SIZE of Linux-PAM.
                assert!(line.len() < 512);
                assert!(!line.contains('\u{1b}'));
            }
        }
    }

    #[test]
    fn a_key_that_fits_no_picture_is_shown_as_text() {
        let params = Params {
            algorithm: jump_mfa::Algorithm::Sha512,
            ..Params::default()
        };
        let info = picture(&draft("firstname.lastname@example.com", params));
        assert_eq!(info.len(), 2);
        assert_eq!(info[0].expose(), TYPE);
        assert!(info[1].expose().starts_with("Key: "));
    }
}
