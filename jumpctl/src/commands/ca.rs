//! `jumpctl ca`: the user CA that hops from the restricted shell log in with.
//!
//! The keys are jumpd's; this shows their public halves and what a target does with them.

use crate::cli::Ca;
use crate::client::Jumpd;
use crate::error::{Answer, Error, Outcome};
use crate::output::{Output, printable};
use jump_proto::{CaKeys, Reply, Request};

/// Where the examples put the keys at a target.
const AT_TARGET: &str = "/etc/ssh/jump_ca.pub";

pub(super) fn run(jumpd: &Jumpd, action: &Ca, out: &mut Output) -> Answer {
    let request = match action {
        Ca::Init => Request::CaInit,
        Ca::Show => Request::CaShow,
        Ca::Rotate { finish } => Request::CaRotate { finish: *finish },
    };
    let Reply::Ca(keys) = jumpd.ask(&request)? else {
        return Err(Error::WrongAnswer);
    };
    for line in lines(&keys) {
        out.line(printable(&line))?;
    }
    out.json(&keys)?;
    Ok(Outcome::Yes)
}

/// The keys as a target's file of trusted keys takes them; what is no key is a comment there.
fn lines(keys: &CaKeys) -> Vec<String> {
    let Some(current) = &keys.current else {
        return vec!["There is no user CA; `jumpctl ca init` makes it.".to_owned()];
    };
    let mut lines = vec![
        "# Signs the logins of hops from the jump server.".to_owned(),
        current.clone(),
    ];
    if let Some(next) = &keys.next {
        lines.push("# The next key: signs after `jumpctl ca rotate --finish`, once every target trusts it.".to_owned());
        lines.push(next.clone());
    }
    if let Some(previous) = &keys.previous {
        lines.push(format!(
            "# The key of before signs nothing any more; targets can forget it: {previous}"
        ));
    }
    lines.push(format!(
        "# A target trusts it so: these lines into {AT_TARGET}, and into /etc/ssh/sshd_config: TrustedUserCAKeys {AT_TARGET}"
    ));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_a_file_of_trusted_keys() {
        let mut keys = CaKeys {
            current: Some("ssh-ed25519 AAAA".into()),
            next: Some("ssh-ed25519 BBBB".into()),
            previous: Some("ssh-ed25519 0000".into()),
        };
        let shown = lines(&keys);
        let trusted: Vec<&String> = shown.iter().filter(|l| !l.starts_with('#')).collect();
        assert_eq!(trusted, ["ssh-ed25519 AAAA", "ssh-ed25519 BBBB"]);
        assert!(
            shown
                .iter()
                .any(|l| l.contains("TrustedUserCAKeys /etc/ssh/jump_ca.pub"))
        );
        keys.current = None;
        assert_eq!(lines(&keys).len(), 1);
    }
}
