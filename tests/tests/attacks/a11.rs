//! A11: variables that the client sends.

use super::way;
use anyhow::{Result, ensure};
use jump_lab::hops;
use jump_lab::lab::Lab;
use jump_lab::story::PATIENCE;

/// The one that the shell keeps, for rules by which an agent that came along logs in.
const AGENT: (&str, &str) = ("SSH_AUTH_SOCK", "/tmp/a11");

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
    // And what steers a hop's ssh.
    AGENT,
    ("SSH_ASKPASS", "/tmp/a11"),
    ("SSH_ASKPASS_REQUIRE", "force"),
    ("SSH_SK_HELPER", "/tmp/a11"),
    ("DISPLAY", "a11:0"),
    ("OPENSSL_CONF", "/tmp/a11"),
    ("KRB5_CONFIG", "/tmp/a11"),
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

/// Given `TERM` as a path or a payload, then a stock login has it, and the restricted shell, a hop and its target have not.
pub(crate) fn a11_a_terminal_type_is_a_plain_name_or_nothing(lab: &Lab) -> Result<()> {
    hops::prepare(lab, lab)?;
    let mara = lab.admin("mara").policy(hops::rule("mara", "")).arrive()?;
    lab.stock()?.account(&mara.seat)?;
    for term in ["../../../tmp/a11", "xterm;id", "\u{1b}[2J"] {
        let there = way::ssh(&mara.seat, "stock", &["-tt"], &["echo \"<$TERM>\""])
            .env("TERM", term)
            .run()?;
        ensure!(there.text().contains(&format!("<{term}>")), "{there}");
        let mut here = way::shell(&mara, &[], &[("TERM", term)])?;
        let environment = way::of_the_shell(&lab.bastion, mara.uid, "environ")?;
        ensure!(environment.is_empty(), "{term:?}: {environment}");
        if term.contains("..") {
            way::hop(&mut here)?;
            let environment = way::of_the_hop(&lab.bastion, mara.uid, "environ")?;
            ensure!(environment.is_empty(), "{term:?}: {environment}");
            here.say("case $TERM in *[./]*) echo bad;; *) echo \"good $((6*7))\";; esac\r")?;
            here.wait_for("good 42", PATIENCE)?;
            here.say("exit\r")?;
            mara.event("hop.ended")?;
        }
        here.say("exit\r")?;
        here.wait(PATIENCE)?;
    }
    Ok(())
}

/// Given `AcceptEnv *` by hand, then a stock login is steered by what the client sends, the restricted shell starts over without it,
/// and a hop's ssh has the terminal's type and nothing else.
pub(crate) fn a11_nothing_sent_steers_the_shell(lab: &Lab) -> Result<()> {
    const SETTING: &str = "AcceptEnv *\n";
    hops::prepare(lab, lab)?;
    let moss = lab.admin("moss").policy(hops::rule("moss", "")).arrive()?;
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
        let (name, value) = AGENT;
        let agent = format!("{name}={value}");
        ensure!(
            environment
                .lines()
                .all(|line| line.starts_with("TERM=") || line == agent),
            "{environment}"
        );
        let maps = way::of_the_shell(&lab.bastion, moss.uid, "maps")?;
        ensure!(!maps.contains("libm"), "{maps}");
        way::hop(&mut here)?;
        let environment = way::of_the_hop(&lab.bastion, moss.uid, "environ")?;
        ensure!(environment == "TERM=dumb", "{environment}");
        let arguments = way::of_the_hop(&lab.bastion, moss.uid, "cmdline")?;
        ensure!(
            arguments
                .lines()
                .any(|line| line == "IdentityAgent=/run/jump/agent.sock")
                && !arguments.contains("a11"),
            "{arguments}"
        );
        let maps = way::of_the_hop(&lab.bastion, moss.uid, "maps")?;
        ensure!(!maps.contains("/libm.so"), "{maps}");
        here.say("exit\r")
    })
}
