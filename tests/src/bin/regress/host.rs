//! A host with the tests and the product, and the account the tests run as.

use anyhow::Result;
use jump_lab::bastion::Bastion;
use jump_lab::ground::Ground;
use jump_lab::machine::Machine;
use jump_lab::network::{OFFICE, Place};
use jump_lab::process::Invocation;
use jump_lab::seat::{add_account, append};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::sync::Arc;

/// Where the tests run: a copy they may write to.
pub(crate) const TESTS: &str = "/srv/regress";
/// What stands in for sshd on the guarded host.
pub(crate) const SSHD_ON_A_SOCKET: &str = "/usr/local/sbin/sshd-on-a-socket";
/// The user whose prompt is tried.
pub(crate) const PROMPTED: &str = "prompted";

/// Who the tests run as, and where.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) user: &'static str,
    pub(crate) uid: u32,
    pub(crate) guarded: bool,
    place: Place,
}

/// Somebody the policy does not speak of.
pub(crate) const ORDINARY: Seat = Seat {
    user: "ordinary",
    uid: 1000,
    guarded: false,
    place: place("ordinary", &["10.77.1.31/24"]),
};

/// A user of the policy.
pub(crate) const GUARDED: Seat = Seat {
    user: "guarded",
    uid: 70_001,
    guarded: true,
    place: place("guarded", &["10.77.1.32/24"]),
};

const fn place(name: &'static str, addresses: &'static [&'static str]) -> Place {
    Place {
        name,
        network: OFFICE,
        addresses,
        second: &[],
        routes: &[],
        services: false,
        on_disk: &[],
    }
}

/// A booted host, ready to test.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) bastion: Bastion,
    pub(crate) seat: &'static Seat,
    home: String,
}

impl Host {
    pub(crate) fn boot(
        ground: &Ground,
        base: &Path,
        package: &Path,
        seat: &'static Seat,
    ) -> Result<Self> {
        let machine = Machine::boot(ground, base, &seat.place)?;
        append(&machine, "/etc/hosts", &format!("127.0.0.1 {}", seat.user))?;
        let bastion = Bastion::new(Arc::new(machine))?;
        bastion.install(package)?;
        let home = if seat.guarded {
            "/usr/lib/jump/home".to_owned()
        } else {
            add_account(&bastion, seat.user, seat.uid)?
        };
        let host = Self {
            bastion,
            seat,
            home,
        };
        host.prepare()?;
        Ok(host)
    }

    fn prepare(&self) -> Result<()> {
        let sudoers = format!("{} ALL=(ALL) NOPASSWD: ALL\n", self.seat.user);
        fs::write(self.bastion.path("/etc/sudoers.d/regress"), sudoers)?;
        let copy = format!(
            "cp -a /usr/lib/openssh/regress {TESTS} && chown -R {0}:{0} {TESTS}",
            self.seat.uid
        );
        self.bastion.shell(&copy).run()?.success()?;
        if self.seat.guarded {
            // The tests run commands, and jump-shell runs none: only it is replaced, everything around it stays.
            self.bastion
                .shell("cp --remove-destination /bin/bash /usr/bin/jump-shell")
                .run()?
                .success()?;
            install_program(&self.bastion, SSHD_ON_A_SOCKET, &on_a_socket(self.seat))?;
        }
        self.extend_policy()
    }

    /// Two users who may reach the loopback addresses, listed literally, on the ports that the tests use.
    fn extend_policy(&self) -> Result<()> {
        let key = self.key()?;
        let Seat { user, uid, .. } = GUARDED;
        let tables = format!(
            "[session]\nconcurrent = 200\n\n\
             [targets.own]\nhosts = [\"127.0.0.1\", \"::1\"]\nports = [\"3300-3400\", \"4242-4250\"]\n\n\
             [[rules]]\nname = \"regress\"\neffect = \"allow\"\nusers = [\"{user}\", \"{PROMPTED}\"]\n\
             from = [\"127.0.0.1\", \"{}\"]\ntargets = [\"own\"]\n",
            self.bastion.place().address()
        );
        self.bastion.edit_policy(|policy| {
            policy.add(user, uid, &key, "mfa = \"none\"", &tables);
            policy.add(PROMPTED, uid + 1, &key, "", "");
        })
    }

    /// The key that the policy knows; the tests bring keys of their own.
    fn key(&self) -> Result<String> {
        self.bastion
            .command("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "regress"])
            .args(["-f", "/root/key"])
            .run()?
            .success()?;
        Ok(self.bastion.read("/root/key.pub")?.trim().to_owned())
    }

    /// A program run as the account of the tests.
    pub(crate) fn command(&self, program: &str) -> Invocation {
        self.bastion
            .command(program)
            .user(self.seat.uid, &self.home)
            .env("LOGNAME", self.seat.user)
            .env("USER", self.seat.user)
    }

    /// A file of the tests' directory; empty when it is not there.
    pub(crate) fn file(&self, name: &str) -> String {
        let path = self.bastion.path(&format!("{TESTS}/{name}"));
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
    }

    /// Removes a file of the tests' directory.
    pub(crate) fn forget(&self, name: &str) {
        let _gone = fs::remove_file(self.bastion.path(&format!("{TESTS}/{name}")));
    }
}

/// Puts a program onto a machine.
pub(crate) fn install_program(machine: &Machine, inside: &str, text: &str) -> Result<()> {
    machine.write(inside, text)?;
    let path = machine.path(inside);
    chown(&path, Some(0), Some(0))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Most tests talk to `sshd -i` through a pipe, where a login has no source address, and the product
/// refuses a login without one. An inetd and systemd's `ssh@.service` hand `sshd -i` a socket: so does this.
/// It comes from another address than 127.0.0.1, because some tests expect that this is not the source.
fn on_a_socket(seat: &Seat) -> String {
    format!(
        r#"#!/usr/bin/python3
import os, socket, sys, threading
SSHD, ADDRESS = "/usr/sbin/sshd", "{}"
arguments = [SSHD] + sys.argv[1:]
if "-i" not in arguments:
    os.execv(SSHD, arguments)
listener = socket.create_server((ADDRESS, 0))
client = socket.create_connection(listener.getsockname(), source_address=(ADDRESS, 0))
server, _ = listener.accept()
if os.fork() == 0:
    os.dup2(server.fileno(), 0)
    os.dup2(server.fileno(), 1)
    os.execv(SSHD, arguments)
server.close()
listener.close()

def carry(source, sink, end):
    try:
        while data := os.read(source, 65536):
            while data:
                data = data[os.write(sink, data):]
    except OSError:
        pass
    end()

def hang_up():
    try:
        client.shutdown(socket.SHUT_WR)
    except OSError:
        pass

threading.Thread(target=carry, args=(0, client.fileno(), hang_up), daemon=True).start()
carry(client.fileno(), 1, lambda: os._exit(0))
"#,
        seat.place.address()
    )
}
