//! What a stock host is given for one attack alone: an sshd with settings of
//! its own on a port of its own, and PAM lines that concern one user, so that
//! attacks that need opposite settings run side by side.

use crate::machine::Machine;
use crate::process::Output;
use crate::stock::Stock;
use crate::story::wait_for;
use anyhow::{Result, ensure};
use std::fs;
use std::sync::{Mutex, PoisonError};

const PAM_STACK: &str = "/etc/pam.d/sshd";

/// A further sshd of a machine; it ends with the value.
#[derive(Debug)]
pub struct OwnSshd<'m> {
    machine: &'m Machine,
    port: u16,
}

impl<'m> OwnSshd<'m> {
    /// Starts one on `port`; `settings` come before the machine's own configuration, so they win.
    ///
    /// # Errors
    /// When sshd does not take the settings.
    pub fn start(machine: &'m Machine, port: u16, settings: &str) -> Result<Self> {
        let config = format!("/etc/ssh/own-{port}.conf");
        let text = format!("Port {port}\n{settings}\nInclude /etc/ssh/sshd_config\n");
        fs::write(machine.path(&config), text)?;
        let line = format!(
            "/usr/sbin/sshd -t -f {config} && \
             systemd-run --quiet --collect --unit=own-sshd-{port} --property=KillMode=process /usr/sbin/sshd -D -f {config}"
        );
        machine.shell(&line).run()?.success()?;
        let own = Self { machine, port };
        wait_for("an sshd of its own", || {
            let listens = machine.shell(&format!("ss -Hltn sport = :{port}")).run()?;
            Ok(!listens.text().is_empty())
        })?;
        Ok(own)
    }

    /// Arguments by which ssh reaches it; the host is named afterwards.
    #[must_use]
    pub fn options(&self) -> [String; 4] {
        [
            "-p".to_owned(),
            self.port.to_string(),
            "-o".to_owned(),
            format!("HostKeyAlias={}", self.machine.place().name),
        ]
    }
}

impl Drop for OwnSshd<'_> {
    fn drop(&mut self) {
        let line = format!("systemctl stop own-sshd-{}.service", self.port);
        let _ends_with_the_machine = self.machine.shell(&line).run();
    }
}

impl Stock {
    /// Puts PAM lines (`required pam_deny.so`) of one phase (`auth`, `account`, `session`) before
    /// all others of sshd's stack, for one user.
    ///
    /// # Errors
    /// When the stack cannot be written.
    pub fn pam(&self, user: &str, phase: &str, lines: &[&str]) -> Result<()> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _held = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = format!(
            "{phase} [success=ignore default={}] pam_succeed_if.so quiet user = {user}\n",
            lines.len()
        );
        for line in lines {
            text.push_str(&format!("{phase} {line}\n"));
        }
        text.push_str(&self.read(PAM_STACK)?);
        self.write(PAM_STACK, text)
    }

    /// A line of shell run as root, which must end well.
    ///
    /// # Errors
    /// When it does not, with what it said.
    pub fn sh(&self, line: &str) -> Result<Output> {
        let output = self.shell(line).run()?;
        ensure!(output.status.success(), "{output}");
        Ok(output)
    }
}
