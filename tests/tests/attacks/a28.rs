//! A28: names that mean something elsewhere, and names and ids that somebody else has.

use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::seat::append;

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
