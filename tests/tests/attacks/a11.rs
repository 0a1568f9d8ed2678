//! A11: variables that the client sends.

use super::way;
use anyhow::{Result, ensure};
use jump_lab::lab::Lab;

/// What steers a loader, a shell, a C library, or a log that believes it.
const SENT: &[(&str, &str)] = &[
    ("LD_PRELOAD", "libm.so.6"),
    ("LD_LIBRARY_PATH", "/tmp"),
    ("LD_AUDIT", "libm.so.6"),
    ("GLIBC_TUNABLES", "glibc.malloc.check=3"),
    ("BASH_ENV", "/tmp/a11"),
    ("ENV", "/tmp/a11"),
    ("LC_A11", "$(id)"),
    ("LOCPATH", "/tmp"),
    ("TZ", ":/../../tmp/a11"),
    ("XDG_DATA_DIRS", "/tmp"),
    ("XDG_CONFIG_HOME", "/tmp"),
    ("HOSTALIASES", "/tmp/a11"),
    ("RES_OPTIONS", "use-vc"),
    ("RUST_BACKTRACE", "full"),
];

/// All of them as a client's option; the client itself is not steered by them (ssh_config(5), `SetEnv`).
fn set() -> String {
    let words = SENT.iter().map(|(name, value)| format!("{name}={value}"));
    format!("SetEnv={}", words.collect::<Vec<_>>().join(" "))
}

/// Given a client that sends `LC_` variables, which Debian accepts, then a stock login has them and the restricted shell has not.
pub(crate) fn a11_what_debian_accepts_is_ignored(lab: &Lab) -> Result<()> {
    let milo = lab.admin("milo").may_reach_databases().arrive()?;
    lab.stock()?.account(&milo.seat)?;
    let options = ["-o", "SendEnv=LC_A11"];
    let there = way::ssh(&milo.seat, "stock", &options, &["env"])
        .env("LC_A11", "$(id)")
        .run()?;
    ensure!(there.text().contains("LC_A11=$(id)"), "{there}");
    let mut here = way::shell(&milo, &options, &[("LC_A11", "$(id)")])?;
    let environment = way::of_the_shell(&lab.bastion, milo.uid, "environ")?;
    ensure!(
        environment.lines().all(|line| line.starts_with("TERM=")),
        "{environment}"
    );
    here.say("exit\r")
}

/// Given `TERM` as a path or a payload, then a stock login has it and the restricted shell has not.
pub(crate) fn a11_a_terminal_type_is_a_plain_name_or_nothing(lab: &Lab) -> Result<()> {
    let mara = lab.admin("mara").may_reach_databases().arrive()?;
    lab.stock()?.account(&mara.seat)?;
    for term in ["../../../tmp/a11", "xterm;id", "\u{1b}[2J"] {
        let there = way::ssh(&mara.seat, "stock", &["-tt"], &["echo \"<$TERM>\""])
            .env("TERM", term)
            .run()?;
        ensure!(there.text().contains(&format!("<{term}>")), "{there}");
        let mut here = way::shell(&mara, &[], &[("TERM", term)])?;
        let environment = way::of_the_shell(&lab.bastion, mara.uid, "environ")?;
        ensure!(environment.is_empty(), "{term:?}: {environment}");
        here.say("exit\r")?;
        here.wait(jump_lab::story::PATIENCE)?;
    }
    Ok(())
}

/// Given `AcceptEnv *` by hand, then a stock login is steered by what the client sends, and the restricted shell starts over without it.
pub(crate) fn a11_nothing_sent_steers_the_shell(lab: &Lab) -> Result<()> {
    const SETTING: &str = "AcceptEnv *\n";
    let moss = lab.admin("moss").may_reach_databases().arrive()?;
    let stock = lab.stock()?;
    stock.account(&moss.seat)?;
    let set = set();
    stock.with_sshd_config("00-by-hand.conf", SETTING, || {
        let there = way::ssh(
            &moss.seat,
            "stock",
            &["-o", &set],
            &["env; cat /proc/self/maps"],
        );
        let there = there.run()?.text();
        for (name, value) in SENT {
            ensure!(
                there.contains(&format!("{name}={value}")),
                "{name}: {there}"
            );
        }
        ensure!(
            there.contains("/libm.so.6"),
            "no library was loaded: {there}"
        );
        Ok(())
    })?;
    lab.with_sshd_config("00-by-hand.conf", SETTING, || {
        let mut here = way::shell(&moss, &["-o", &set], &[])?;
        let environment = way::of_the_shell(&lab.bastion, moss.uid, "environ")?;
        ensure!(
            environment.lines().all(|line| line.starts_with("TERM=")),
            "{environment}"
        );
        let maps = way::of_the_shell(&lab.bastion, moss.uid, "maps")?;
        ensure!(!maps.contains("libm"), "{maps}");
        here.say("exit\r")
    })
}
