//! A28: names that mean something elsewhere, and names and ids that somebody else has.

use anyhow::{Context, Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::seat::append;
use jump_lab::story::PATIENCE;
use std::fs;

/// As they would stand between quotes in the policy.
const NAMES: &[&str] = &[
    "abcdefghijklmnopqrstuvwxyzabcdefg",
    "-oproxycommand=id",
    "../../root",
    "a\\u0000b",
    "a\\nroot",
    "\u{430}lice",
    "alice\\u202e",
    "1000",
    "4294967296",
    "Alice",
    "a b",
    "a:b",
    "a$(id)",
    "*",
    "",
];
/// Root's, the system's, nobody's, and the one that means "unchanged" to the kernel.
const UIDS: &[&str] = &["0", "1", "999", "65534", "65535", "4294967295", "-1"];

/// Given a name service that gives out what its file says, then it gives out anybody's uid; given ours, then every such name and id is refused, line and column.
pub(crate) fn a28_no_name_and_no_id_means_somebody_else(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let uwe = lab.admin("uwe").may_reach_databases().arrive()?;
    stock.account(&uwe.seat)?;
    fs::create_dir_all(stock.path("/var/lib/extrausers"))?;
    stock.write(
        "/var/lib/extrausers/passwd",
        format!(
            "twin28:x:{}:5028::/:/bin/bash\n-oproxycommand=id:x:5028:5028::/:/bin/sh\n",
            uwe.seat.uid()
        ),
    )?;
    stock.sh("sed -i 's/^passwd:.*/passwd: files extrausers/' /etc/nsswitch.conf")?;
    // Somebody else's uid, under another name; and a name that is an option.
    let twin = stock.sh("id -u twin28")?.text();
    ensure!(
        twin == uwe.seat.uid().to_string(),
        "extrausers gives nobody else's uid: {twin}"
    );
    stock
        .sh("getent passwd 5028 | grep -q ^-oproxycommand")
        .context("extrausers")?;

    let policy = lab.policy_text();
    let start = policy
        .find("[users.uwe]")
        .context("uwe is not in the policy")?;
    let line = policy[..start].lines().count() + 1;
    let check = |text: &str, what: &str| -> Result<()> {
        lab.bastion.write("/root/a28.toml", text)?;
        let checked = lab.jumpctl("check /root/a28.toml")?;
        let said = format!("{}{}", checked.text(), checked.stderr);
        ensure!(checked.code() == 1, "{what:?} is not refused: {checked}");
        let near = (line..line + 3).any(|line| said.contains(&format!("/root/a28.toml:{line}:")));
        ensure!(near, "{what:?}: not at line {line}: {said}");
        ensure!(
            said.bytes()
                .all(|b| b == b'\n' || (0x20..0x7f).contains(&b))
                || !said.contains('\u{202e}'),
            "{what:?}: the report acts on a terminal: {said:?}"
        );
        Ok(())
    };
    for name in NAMES {
        check(
            &policy.replace("[users.uwe]", &format!("[users.\"{name}\"]")),
            name,
        )?;
    }
    for uid in UIDS {
        check(
            &policy.replace(&format!("uid = {}", uwe.uid), &format!("uid = {uid}")),
            uid,
        )?;
    }
    // At the door: nobody of ours has such a name, whatever a client says.
    for name in [
        "-oproxycommand=id",
        "../../root",
        "uwe\nroot",
        "UWE",
        "uwe ",
        "\u{443}we",
        "uwe@bastion",
    ] {
        let output = uwe
            .seat
            .raw_client_as(name, "bastion", ["key", "code:123456", "tcp:db1:5432"])
            .run()?;
        let got = output.text();
        ensure!(
            got.starts_with("key -> nothing") && !got.contains("-> in") && !got.contains("open,"),
            "{name:?}: {output}"
        );
    }
    ensure!(
        uwe.events("mfa.failed").is_empty() && uwe.events("session.opened").is_empty(),
        "a name that is like hers was taken for hers"
    );
    let strangers = lab.journal.wait(Default::default(), 1, PATIENCE, |e| {
        e.message().starts_with("Invalid user ") && e.message().contains("UWE")
    });
    ensure!(!strangers.is_empty(), "sshd tells of no invalid user");
    Ok(())
}

/// Given a local account that gets a policy user's name, or uid, then the local one is who it is, and has none of the user's rights.
pub(crate) fn a28_a_later_local_account_wins(lab: &Lab) -> Result<()> {
    let vigo = lab.admin("vigo").may_reach_databases().arrive()?;
    let wera = lab.admin("wera").may_reach_databases().arrive()?;
    let (passwd, shadow) = (
        lab.bastion.read("/etc/passwd")?,
        lab.bastion.read("/etc/shadow")?,
    );
    append(
        &lab.bastion,
        "/etc/passwd",
        "vigo:x:4028:4028::/nonexistent:/bin/bash",
    )?;
    append(
        &lab.bastion,
        "/etc/passwd",
        &format!("impostor:x:{}:4029::/nonexistent:/bin/bash", wera.uid),
    )?;
    append(
        &lab.bastion,
        "/etc/shadow",
        "vigo:*:19000:0:99999:7:::\nimpostor:*:19000:0:99999:7:::",
    )?;
    let attempt = || -> Result<()> {
        let id = |name: &str| -> Result<String> {
            Ok(lab
                .bastion
                .command("getent")
                .args(["passwd", name])
                .run()?
                .text())
        };
        ensure!(id("vigo")?.starts_with("vigo:x:4028:"), "{}", id("vigo")?);
        ensure!(
            id(&wera.uid.to_string())?.starts_with("impostor:"),
            "{}",
            id(&wera.uid.to_string())?
        );
        for admin in [&vigo, &wera] {
            let output = admin.ssh(&["-W", "db1:22", "bastion"])?;
            ensure!(
                output.code() != 0 && output.stdout.is_empty(),
                "{}: {output}",
                admin.name()
            );
            ensure!(
                admin.events("session.opened").is_empty(),
                "{} has a session",
                admin.name()
            );
        }
        Ok(())
    };
    let outcome = attempt();
    lab.bastion.write("/etc/passwd", passwd)?;
    lab.bastion.write("/etc/shadow", shadow)?;
    outcome?;
    for admin in [&vigo, &wera] {
        admin.ssh(&["bastion", "whoami"])?.success()?;
    }
    Ok(())
}
