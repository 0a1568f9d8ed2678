//! `authenticate` and `account`: one question to jumpd each.

use crate::pam::{self, Priority};
use crate::scope::Member;
use ::pam::constants::{PAM_PROMPT_ECHO_OFF, PamResultCode};
use ::pam::conv::Conv;
use ::pam::module::PamHandle;
use jump_proto::{
    AuthStep, Channel, ChannelError, Login, Reply, Request, Secret, SessionId, TIMEOUT, paths,
};

/// What the user reads when the decision point does not answer.
const UNAVAILABLE: &str = "The jump server cannot decide now; please tell its administrators.";

/// The login as sshd tells it.
pub(crate) fn login(pamh: &mut PamHandle, member: &Member) -> Login {
    Login {
        user: member.user.clone(),
        uid: member.uid,
        groups: member.groups.clone(),
        // Not PAM_RHOST: that is a host name where UseDNS is on. jumpd refuses what it cannot parse.
        connection: pam::getenv(pamh, "SSH_CONNECTION").unwrap_or_default(),
        auth_info: pam::getenv(pamh, "SSH_AUTH_INFO_0").unwrap_or_default(),
        monitor: i32::try_from(std::process::id()).unwrap_or(0),
    }
}

/// The mark that `authenticate` left, if any.
pub(crate) fn mark(pamh: &mut PamHandle) -> Option<SessionId> {
    pam::getenv(pamh, pam::MARK)?.parse().ok()
}

/// Says in sshd's log why a login was refused with nobody to decide it.
pub(crate) fn unavailable(pamh: &PamHandle, member: &Member, phase: &str, error: &ChannelError) {
    let text = format!(
        "access.denied outcome=failure reason=unavailable user={} uid={} phase={phase} detail=\"jumpd: {error}\"",
        member.user, member.uid
    );
    pam::log(pamh, Priority::Error, &text);
}

/// The second factor: as many prompts as jumpd asks for.
pub(crate) fn authenticate(pamh: &mut PamHandle, member: &Member) -> PamResultCode {
    match converse(pamh, member) {
        Ok(code) => code,
        Err(error) => {
            unavailable(pamh, member, "authenticate", &error);
            pam::tell_error(pamh, UNAVAILABLE);
            PamResultCode::PAM_AUTHINFO_UNAVAIL
        }
    }
}

fn converse(pamh: &mut PamHandle, member: &Member) -> Result<PamResultCode, ChannelError> {
    let jumpd = Channel::connect(paths::JUMPD_SOCKET, TIMEOUT)?;
    let mut reply: Reply = jumpd.call(&Request::AuthBegin {
        login: login(pamh, member),
    })?;
    loop {
        match reply {
            Reply::Auth(AuthStep::Prompt { text, info }) => {
                // One message per line: Linux-PAM bounds a message at 512 bytes.
                for line in &info {
                    pam::tell(pamh, line.expose());
                }
                let Some(answer) = prompt(pamh, &text) else {
                    return Ok(PamResultCode::PAM_AUTH_ERR);
                };
                reply = jumpd.call(&Request::AuthAnswer { answer })?;
            }
            Reply::Auth(AuthStep::Accepted { mark }) => {
                return Ok(if pam::putenv(pamh, pam::MARK, Some(mark.as_str())) {
                    PamResultCode::PAM_SUCCESS
                } else {
                    PamResultCode::PAM_BUF_ERR
                });
            }
            Reply::Auth(AuthStep::Denied { message }) => {
                if let Some(message) = message {
                    pam::tell_error(pamh, &message);
                }
                return Ok(PamResultCode::PAM_AUTH_ERR);
            }
            _ => return Ok(PamResultCode::PAM_AUTH_ERR),
        }
    }
}

fn prompt(pamh: &PamHandle, text: &str) -> Option<Secret> {
    let conv = pamh.get_item::<Conv<'_>>().ok()??;
    let typed = conv.send(PAM_PROMPT_ECHO_OFF, text).ok()??;
    // A code is ASCII; other bytes are a wrong answer, not an error of ours.
    let typed = String::from_utf8_lossy(typed.as_bytes()).into_owned();
    Some(Secret::new(typed))
}

/// Whether a login with this mark may go on.
pub(crate) fn account(pamh: &mut PamHandle, member: &Member) -> PamResultCode {
    let question = Request::Account {
        login: login(pamh, member),
        mark: mark(pamh),
    };
    let answer = Channel::connect(paths::JUMPD_SOCKET, TIMEOUT)
        .and_then(|jumpd| jumpd.call::<_, Reply>(&question));
    match answer {
        Ok(Reply::Account {
            allowed: true,
            message,
        }) => {
            if let Some(message) = message {
                pam::tell(pamh, &message);
            }
            PamResultCode::PAM_SUCCESS
        }
        Ok(Reply::Account {
            allowed: false,
            message,
        }) => {
            if let Some(message) = message {
                pam::tell_error(pamh, &message);
            }
            PamResultCode::PAM_PERM_DENIED
        }
        Ok(_) => PamResultCode::PAM_PERM_DENIED,
        Err(error) => {
            unavailable(pamh, member, "account", &error);
            pam::tell_error(pamh, UNAVAILABLE);
            PamResultCode::PAM_PERM_DENIED
        }
    }
}
