//! A host for one trial: its users, its PAM service, its directories.

use crate::application::{Answer, Login, Style};
use crate::support;
use nix::mount::{MsFlags, mount};
use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;

/// The service, whose stack lets in whomever the module ignores.
pub(crate) const SERVICE: &str = "jump";
/// A user of the policy, whom only the name service library knows.
pub(crate) const ALICE: &str = "alice";
/// Where alice comes from, in sshd's words.
pub(crate) const CONNECTION: &str = "SSH_CONNECTION=192.0.2.7 40000 192.0.2.1 22";
/// What sshd has verified of her.
pub(crate) const PUBLICKEY: &str = "SSH_AUTH_INFO_0=publickey ssh-ed25519 AAAA";

/// The module, where cargo puts it beside this program.
pub(crate) fn module() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.set_file_name("libpam_jump.so");
    assert!(path.is_file(), "{} is not built", path.display());
    path
}

/// Makes this process's host. Must come before any thread is started.
pub(crate) fn enter() {
    support::enter_private_host();
    mount(
        Some("tmpfs"),
        "/run",
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=755"),
    )
    .unwrap();
    fs::create_dir("/run/jump").unwrap();
    support::publish(&support::example().build().unwrap());
    fs::create_dir("/etc/pam.d").unwrap();
    let module = module();
    let stack: String = ["auth", "account", "session"]
        .iter()
        .map(|phase| {
            format!(
                "{phase} [success=done ignore=ignore default=die] {}\n{phase} required pam_permit.so\n",
                module.display()
            )
        })
        .collect();
    fs::write("/etc/pam.d/jump", stack).unwrap();
    fs::write(
        "/etc/pam.d/other",
        "auth required pam_deny.so\naccount required pam_deny.so\nsession required pam_deny.so\n",
    )
    .unwrap();
}

/// What a user has seen.
pub(crate) type Seen = Rc<RefCell<Vec<(Style, String)>>>;

/// A login with a user who types `answer` when asked; no answer, or a screen that shows nothing, is an
/// error of the conversation.
pub(crate) fn login(user: &str, answer: Option<&'static str>) -> (Login, Seen) {
    let seen = Seen::default();
    let shown = Rc::clone(&seen);
    let talk: Answer = Box::new(move |style, text| {
        shown.borrow_mut().push((style, text.to_owned()));
        answer.map(str::to_owned)
    });
    let mut login = Login::start(SERVICE, user, talk).unwrap();
    login.putenv(CONNECTION);
    login.putenv(PUBLICKEY);
    (login, seen)
}
