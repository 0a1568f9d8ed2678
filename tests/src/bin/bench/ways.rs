//! The ways to a target: through the jump server, and beside it.

use anyhow::{Context, Result};
use jump_lab::admin::Admin;
use jump_lab::hops;
use jump_lab::lab::Lab;
use jump_lab::process::{Invocation, Running};
use jump_lab::seat::append;

/// Two admins, one of whose hops are recorded, and root, who has no jump server in the way.
pub(crate) struct Ways<'l> {
    pub(crate) lab: &'l Lab,
    pub(crate) plain: Admin<'l>,
    pub(crate) recorded: Admin<'l>,
    /// Root's connection to the bastion, which further commands share.
    _root: Running,
}

impl<'l> Ways<'l> {
    pub(crate) fn open(lab: &'l Lab) -> Result<Self> {
        hops::prepare(lab, lab)?;
        let plain = lab
            .admin("plain")
            .policy(format!(
                "{}\n{}",
                hops::rule("plain", ""),
                "[[rules]]\nname = \"plain-connects\"\neffect = \"allow\"\nusers = [\"plain\"]\ntargets = [\"databases\"]"
            ))
            .arrive()?;
        let recorded = lab
            .admin("taped")
            .policy(hops::rule("taped", "record = true"))
            .arrive()?;
        // The key that root on the bastion goes on with.
        lab.shell("ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519")
            .run()?
            .success()?;
        append(
            &lab.db1,
            "/home/ops/.ssh/authorized_keys",
            &lab.read("/root/.ssh/id_ed25519.pub")?,
        )?;
        lab.write("/root/.ssh/known_hosts", lab.read(hops::KNOWN_HOSTS)?)?;
        append(lab, "/root/.ssh/authorized_keys", plain.seat.key())?;
        let mut root = plain
            .seat
            .command("ssh")
            .args(["-M", "-S", "root", "-N", "-v", "root@bastion"])
            .open_input()
            .start()?;
        root.wait_for("ControlSocket", jump_lab::story::PATIENCE)
            .or_else(|_| root.wait_for("Entering interactive session", jump_lab::story::PATIENCE))
            .context("root's connection")?;
        Ok(Self {
            lab,
            plain,
            recorded,
            _root: root,
        })
    }

    /// A command in the restricted shell of an admin, at a terminal of ssh's making.
    pub(crate) fn in_shell(&self, admin: &Admin<'_>, line: &str) -> Result<Invocation> {
        // Opens the shared connection.
        let _there = admin.in_session("whoami")?.run()?.success()?;
        Ok(admin
            .seat
            .command("ssh")
            .args(["-tt", "-S", "master", "bastion", line]))
    }

    /// The same without a terminal.
    pub(crate) fn piped(&self, admin: &Admin<'_>, line: &str) -> Result<Invocation> {
        admin.in_session(line)
    }

    /// A command of root's on the bastion.
    pub(crate) fn as_root(&self, options: &[&str], line: &str) -> Invocation {
        self.plain
            .seat
            .command("ssh")
            .args(options.iter().copied())
            .args(["-S", "root", "root@bastion", line])
    }
}
