//! What the module tells jumpd, and what it makes of the answers.

use crate::application::{Login, Phase, SUCCESS, Style};
use crate::host::{self, ALICE};
use crate::jumpd::{Jumpd, Manner, RIGHT, SENTENCE};

pub(crate) const TRIALS: &[(&str, fn())] = &[
    ("h19_the_source_is_sshs_own_and_no_host_name", source),
    (
        "h20_the_environment_keeps_a_mark_and_then_nothing",
        environment,
    ),
    ("h21_no_variable_of_the_process_decides", variables),
    ("h28_the_user_stays_who_sshd_says", user),
    ("h29_account_asks_nobody", account),
    (
        "h30_account_tells_what_sshd_tells_and_demands_the_mark",
        told,
    ),
    ("h27_a_wrong_code_is_one_prompt_and_one_sentence", wrong),
];

const ERR: i32 = 7;
const PERM_DENIED: i32 = 6;

fn source() {
    let jumpd = Jumpd::start(Manner::Fair);
    let (mut login, _) = host::login(ALICE, Some(RIGHT));
    login.set_host("trusted.example");
    assert_eq!(login.call(Phase::Authenticate), SUCCESS);
    assert_eq!(login.call(Phase::Account), SUCCESS);
    for asked in jumpd.asked() {
        assert_eq!(
            asked.login.connection, "192.0.2.7 40000 192.0.2.1 22",
            "{asked:?}"
        );
        assert!(
            !format!("{asked:?}").contains("trusted.example"),
            "{asked:?}"
        );
    }
    // Where sshd says nothing, nothing is made up: jumpd refuses what it cannot read.
    login.putenv("SSH_CONNECTION");
    login.call(Phase::Account);
    assert_eq!(jumpd.asked().last().unwrap().login.connection, "");
}

/// What `login`'s PAM environment has of ours.
fn ours(login: &mut Login) -> Vec<String> {
    let mut all = login.environment();
    all.retain(|setting| !setting.starts_with("SSH_"));
    all
}

fn environment() {
    let _jumpd = Jumpd::start(Manner::Fair);
    let (mut login, seen) = host::login(ALICE, Some(RIGHT));
    let before: Vec<_> = std::env::vars_os().collect();
    assert_eq!(login.call(Phase::Authenticate), SUCCESS);
    assert_eq!(
        ours(&mut login),
        ["JUMP_SESSION=07070707070707070707070707070707"]
    );
    assert_eq!(login.call(Phase::Account), SUCCESS);
    assert_eq!(login.call(Phase::Open), SUCCESS, "{seen:?}");
    assert_eq!(ours(&mut login), Vec::<String>::new());
    assert_eq!(std::env::vars_os().collect::<Vec<_>>(), before);
    let (mut login, _) = host::login(ALICE, Some("654321"));
    login.call(Phase::Authenticate);
    assert_eq!(
        ours(&mut login),
        Vec::<String>::new(),
        "a wrong code leaves nothing"
    );
}

fn variables() {
    let jumpd = Jumpd::start(Manner::Strict);
    let ask = || {
        let (mut login, seen) = host::login(ALICE, Some(RIGHT));
        let answers =
            [Phase::Authenticate, Phase::Account, Phase::Open].map(|phase| login.call(phase));
        let seen = seen.borrow().clone();
        (answers, seen)
    };
    let as_it_is = ask();
    let told = format!("{:?}", jumpd.asked());
    for (name, value) in [
        ("TZ", ":/etc/shadow"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("http_proxy", "http://127.0.0.1:1"),
        ("LANG", "xx_XX.UTF-8"),
        ("LC_ALL", "tr_TR.UTF-8"),
        ("LOCPATH", "/nonexistent"),
        ("LOCALDOMAIN", "evil.example"),
        ("RES_OPTIONS", "debug"),
        ("NSS_WRAPPER_PASSWD", "/etc/passwd"),
        ("RUST_BACKTRACE", "full"),
        ("RUST_LOG", "trace"),
        ("TMPDIR", "/nonexistent"),
        ("HOME", "/nonexistent"),
        ("USER", "root"),
        ("SSH_CONNECTION", "198.51.100.1 1 198.51.100.2 22"),
        (
            "SSH_AUTH_INFO_0",
            "publickey sk-ssh-ed25519@openssh.com AAAA",
        ),
        ("JUMP_SESSION", "ffffffffffffffffffffffffffffffff"),
        ("JUMP_POLICY", "/nonexistent"),
    ] {
        // SAFETY: jumpd's threads read no variable.
        unsafe { std::env::set_var(name, value) };
    }
    assert_eq!(ask(), as_it_is);
    let all = jumpd.asked();
    assert_eq!(
        format!("{:?}", &all[all.len() / 2..]),
        told,
        "jumpd was asked something else"
    );
}

fn user() {
    let _jumpd = Jumpd::start(Manner::Fair);
    for name in [ALICE, "Alice", "ALICE", "root", "local", "nobody-there"] {
        let (mut login, _) = host::login(name, Some(RIGHT));
        for phase in [Phase::Authenticate, Phase::Account, Phase::Establish] {
            login.call(phase);
            assert_eq!(login.user().as_deref(), Some(name), "after {phase:?}");
        }
    }
}

fn account() {
    // The conversation of a login by public key alone can show nothing and ask nothing: PAM_CONV_ERR.
    let jumpd = Jumpd::start(Manner::Fair);
    let (mut login, seen) = host::login(ALICE, None);
    assert_eq!(login.call(Phase::Account), SUCCESS);
    assert_eq!(*seen.borrow(), [(Style::Text, SENTENCE.to_owned())]);
    assert_eq!(jumpd.asked().len(), 1);
    // And where it asks, in authenticate, nobody to ask is nobody let in.
    let (mut login, _) = host::login(ALICE, None);
    assert_eq!(login.call(Phase::Authenticate), ERR);
    crate::process::in_child(|| {
        for socket in ["/run/jump/jumpd.sock", "/run/jump/guard.sock"] {
            std::fs::remove_file(socket).unwrap();
        }
        let _strict = Jumpd::start(Manner::Strict);
        let (mut login, seen) = host::login(ALICE, None);
        assert_eq!(login.call(Phase::Account), PERM_DENIED);
        assert!(seen.borrow().iter().all(|(style, _)| !style.asks()));
    });
}

fn told() {
    let jumpd = Jumpd::start(Manner::Fair);
    // In the order of a login by key alone, of one by key and code, and of one whose PAM environment lost the mark.
    let cases = [
        ("", None),
        ("publickey ssh-ed25519 AAAA\n", None),
        (
            "publickey ssh-ed25519 AAAA\nkeyboard-interactive/pam\n",
            Some("07070707070707070707070707070707"),
        ),
        ("publickey ssh-ed25519 AAAA\n", Some("not a mark")),
    ];
    for (info, mark) in cases {
        let (mut login, _) = host::login(ALICE, Some(RIGHT));
        login.putenv(&format!("SSH_AUTH_INFO_0={info}"));
        if let Some(mark) = mark {
            login.putenv(&format!("JUMP_SESSION={mark}"));
        }
        login.call(Phase::Account);
        let asked = jumpd.asked().pop().unwrap();
        assert_eq!(
            (asked.question, asked.login.auth_info.as_str()),
            ("account", info)
        );
        assert_eq!(
            asked.marked,
            mark.is_some_and(|mark| mark.starts_with('0')),
            "{asked:?}"
        );
    }
}

fn wrong() {
    let _jumpd = Jumpd::start(Manner::Fair);
    let (mut login, seen) = host::login(ALICE, Some("654321"));
    assert_eq!(login.call(Phase::Authenticate), ERR);
    assert_eq!(
        *seen.borrow(),
        [
            (Style::Hidden, "Verification code: ".to_owned()),
            (Style::Error, SENTENCE.to_owned()),
        ]
    );
}
