//! sshd of a machine: what the lab changes in its configuration.

use crate::journal::{Entry, Journal, Mark};
use crate::machine::Machine;
use crate::story::PATIENCE;
use anyhow::{Result, ensure};
use std::fs;

/// Many logins come from one address at once, many of them refused: sshd by itself drops some of
/// more than ten, and from 9.8 on bans the address for a while.
const PATIENT: &str = "{ echo MaxStartups 300; sshd -T | grep -q ^persourcepenalties && echo PerSourcePenalties no; } \
                       >/etc/ssh/sshd_config.d/90-lab.conf; sshd -t";

/// It, and the journal of its machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sshd<'m> {
    pub(crate) machine: &'m Machine,
    pub(crate) journal: &'m Journal,
}

impl Sshd<'_> {
    /// Lets it serve the many logins of a lab; in force once it is reloaded.
    pub(crate) fn make_patient(self) -> Result<()> {
        self.machine.shell(PATIENT).run()?.success()?;
        Ok(())
    }

    /// A reloaded sshd closes its sockets and executes itself anew: until it says that it listens again, it refuses.
    pub(crate) fn wait_for(self, mark: Mark) -> Result<()> {
        let listens = |entry: &Entry| entry.message() == "Server listening on :: port 22.";
        let listening = self.journal.wait(mark, 1, PATIENCE, listens);
        ensure!(
            !listening.is_empty(),
            "sshd was reloaded and does not listen"
        );
        Ok(())
    }

    pub(crate) fn reload(self) -> Result<()> {
        let mark = self.journal.mark();
        let reload = "sshd -t && systemctl reload ssh.service";
        self.machine.shell(reload).run()?.success()?;
        self.wait_for(mark)
    }

    /// Has a file in `sshd_config.d` while `tell` runs.
    pub(crate) fn with_config(
        self,
        name: &str,
        text: &str,
        tell: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let file = format!("/etc/ssh/sshd_config.d/{name}");
        self.machine.write(&file, text)?;
        let outcome = self.reload().and_then(|()| tell());
        fs::remove_file(self.machine.path(&file))?;
        self.reload()?;
        outcome
    }
}
