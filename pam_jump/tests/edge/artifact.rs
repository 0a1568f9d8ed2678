//! What the built module can and cannot call.

use crate::host::module;
use std::process::Command;

pub(crate) const TRIALS: &[(&str, fn())] = &[
    ("h23_h28_it_cannot_touch_what_is_sshds", foreign),
    ("it_exports_the_six_hooks_and_nothing_else", exports),
];

/// Names of the dynamic symbols, of those defined or of those needed.
fn symbols(defined: bool) -> Vec<String> {
    let output = Command::new("readelf")
        .args(["--dyn-syms", "--wide"])
        .arg(module())
        .env("LC_ALL", "C")
        .output()
        .expect("binutils is installed, as rustc links with it");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(6);
            let section = words.next()?;
            let name = words.next()?.split('@').next()?;
            (section != "Ndx" && (section != "UND") == defined).then(|| name.to_owned())
        })
        .collect()
}

fn foreign() {
    let needed = symbols(false);
    assert!(
        needed.iter().any(|name| name == "pam_get_user"),
        "{needed:?}"
    );
    for name in [
        "openlog",
        "closelog",
        "setlogmask",
        "setlocale",
        "umask",
        "signal",
        "sigprocmask",
        "pthread_create",
        "fork",
        "system",
        "popen",
        "chdir",
        "setuid",
        "setgid",
        "alarm",
        "exit",
        "pam_set_item",
        "pam_fail_delay",
        "pam_misc_setenv",
        "getaddrinfo",
        "gethostbyname",
    ] {
        assert!(
            !needed.iter().any(|needed| needed == name),
            "it can call {name}"
        );
    }
}

fn exports() {
    let mut exported = symbols(true);
    exported.retain(|name| !name.starts_with("rust_eh"));
    exported.sort();
    assert_eq!(
        exported,
        [
            "pam_sm_acct_mgmt",
            "pam_sm_authenticate",
            "pam_sm_chauthtok",
            "pam_sm_close_session",
            "pam_sm_open_session",
            "pam_sm_setcred",
        ]
    );
}
