//! What a session has of the module that let it in, and what a module that panics leaves.

use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::pam::{self, Client, SERVICE, SUCCESS};
use jump_lab::seat::append;
use jump_lab::weak::WORDS;

/// Given a session that runs any program, then of ours nothing is in its environment, nor in that of sshd's child.
pub(crate) fn h20_nothing_of_the_login_is_in_the_environment(lab: &Lab) -> Result<()> {
    let open = lab.open_bastion()?;
    let hulda = lab.admin("hulda").at(open).may_reach_databases().arrive()?;
    let look = "env; for p in $PPID $$; do tr '\\0' '\\n' </proc/$p/environ; done 2>/dev/null";
    let environment = hulda.in_session(look)?.run()?.success()?.text();
    ensure!(environment.contains("SSH_CONNECTION="), "{environment}");
    let ours: Vec<_> = environment
        .lines()
        .filter(|line| line.starts_with("JUMP_") || line.starts_with("SSH_AUTH_INFO"))
        .collect();
    ensure!(ours.is_empty(), "{ours:?}");
    Ok(())
}

/// Given a session that runs any program, then that has three descriptors, and none of the module's.
pub(crate) fn h24_no_descriptor_reaches_the_user(lab: &Lab) -> Result<()> {
    let open = lab.open_bastion()?;
    let ingrid = lab
        .admin("ingrid")
        .at(open)
        .may_reach_databases()
        .arrive()?;
    let listed = ingrid.in_session("ls -l /proc/self/fd")?.run()?.success()?;
    let descriptors: Vec<_> = listed
        .text()
        .lines()
        .filter_map(|line| {
            let (before, target) = line.split_once(" -> ")?;
            let number: u32 = before.rsplit(' ').next()?.parse().ok()?;
            Some((number, target.to_owned()))
        })
        .collect();
    // The fourth is the directory that ls reads.
    ensure!(
        descriptors.len() == 4
            && descriptors
                .iter()
                .all(|(number, target)| *number < 3 || target.starts_with("/proc/")),
        "{descriptors:?}"
    );
    Ok(())
}

/// Given a module that panics in one hook, then no process of sshd's dies of a signal, nobody gets in, and root does.
pub(crate) fn h22_a_panic_is_a_refusal(lab: &Lab) -> Result<()> {
    lab.weak_bastion()?.without(&[], |bastion| {
        let inga = lab
            .admin("inga")
            .at(bastion)
            .may_reach_databases()
            .arrive()?;
        append(bastion, "/root/.ssh/authorized_keys", inga.seat.key())?;
        let mark = bastion.journal.mark();
        for hook in ["authenticate", "account", "establish", "open", "enter"] {
            bastion.write(WORDS, format!("panic-{hook}"))?;
            let output = inga.ssh(&["weak", "echo inside"])?.failure()?;
            ensure!(output.text().is_empty(), "{hook}: {output}");
            // Root's connection comes from the same address, which is not banned.
            let root = ["root@weak", "echo inside"];
            inga.seat.command("ssh").args(root).run()?.success()?;
        }
        bastion.write(WORDS, "")?;
        inga.ssh(&["weak", "echo inside"])?.success()?;
        let died = bastion.journal.since(mark, |entry| {
            ["signal 6", "SIGABRT", "crash", "core dump"]
                .iter()
                .any(|word| entry.message().contains(word))
        });
        ensure!(died.is_empty(), "{died:?}");
        Ok(())
    })
}

/// Given a record store that is away, unreadable, or covered by an empty one, then a right code lets nobody in; given it back, the next one does.
pub(crate) fn h07_without_its_store_jumpd_lets_nobody_in(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        let isolde = lab
            .admin("isolde")
            .at(bastion)
            .may_reach_databases()
            .arrive()?;
        let client = Client::on(bastion)?;
        let settings = pam::settings(&isolde);
        let login = || -> Result<bool> {
            let code = isolde.authenticator()?.any_code()?;
            let mut words: Vec<&str> = settings.iter().map(String::as_str).collect();
            words.extend(["--answer", &code, "authenticate"]);
            let called = client.call(SERVICE, "isolde", &words)?;
            Ok(called.answer("authenticate")? == SUCCESS)
        };
        ensure!(login()?, "a right code is refused");
        let store = "/var/lib/jump/mfa";
        for (breaks, mends) in [
            (
                format!("mv {store} {store}.away"),
                format!("mv {store}.away {store}"),
            ),
            (format!("chmod 000 {store}"), format!("chmod 700 {store}")),
            (
                format!(
                    "mount -t tmpfs -o mode=700,uid=$(id -u jumpd),gid=$(id -g jumpd) tmpfs {store}"
                ),
                format!("umount {store}"),
            ),
            (
                format!("mv {store} {store}.away && touch {store}"),
                format!("rm {store} && mv {store}.away {store}"),
            ),
        ] {
            bastion.shell(&breaks).run()?.success()?;
            let inside = login()?;
            bastion.shell(&mends).run()?.success()?;
            ensure!(!inside, "let in after {breaks}");
            ensure!(login()?, "refused after {mends}");
        }
        Ok(())
    })
}
