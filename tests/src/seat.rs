//! An admin at the client machine: an ordinary account there, with an ordinary
//! `~/.ssh`, typing ordinary commands.
//!
//! Prompts are answered through `SSH_ASKPASS`, by a script that hands out the
//! given answers one by one and writes down what was asked.

use crate::machine::Machine;
use crate::process::{Invocation, Running};
use crate::story::{until, wait_for};
use anyhow::{Context, Result, ensure};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Where the askpass script is on the client machine.
const ASKPASS: &str = "/usr/local/bin/lab-askpass";
/// Where the client that does what OpenSSH's does not is.
const RAW_CLIENT: &str = "/usr/local/bin/lab-raw-client";
/// The socket of a seat's agent, in its home.
pub const AGENT: &str = "agent.sock";
/// How long many logins may take to stand at their prompts; sshd drops one after two minutes.
const UNTIL_PROMPTED: Duration = Duration::from_secs(100);
/// The account on the targets that admins log in to.
pub const TARGET_ACCOUNT: &str = "ops";

/// Writes the prompt down, waits while the gate is held (see [`Gate`]), then
/// takes the next answer; none left is a cancelled prompt.
const ASKPASS_SCRIPT: &str = r#"#!/bin/sh
cd "$JUMP_LAB_ANSWERS" || exit 1
printf '%s\n' "$1" >>prompts
flock -s gate true
exec 9>lock
flock 9
answer=$(head -n 1 answers)
sed -i 1d answers
exec 9>&-
[ -n "$answer" ] || exit 1
printf '%s\n' "$answer"
"#;

/// Puts onto the client machine what every seat needs.
///
/// # Errors
/// When a file cannot be written.
pub fn prepare_client(client: &Machine) -> Result<()> {
    client.write(RAW_CLIENT, include_str!("raw_client.py"))?;
    client.write(ASKPASS, ASKPASS_SCRIPT)?;
    fs::set_permissions(client.path(ASKPASS), fs::Permissions::from_mode(0o755))?;
    client.write("/etc/ssh/ssh_config.d/lab.conf", QUICK)?;
    Ok(())
}

/// One key exchange is as good as another here, and making a key of Streamlined NTRU Prime costs more than all else
/// that a client does.
const QUICK: &str = "KexAlgorithms curve25519-sha256\n";

/// Adds an ordinary account to a machine; its home.
///
/// # Errors
/// When a file cannot be written.
pub fn add_account(machine: &Machine, name: &str, uid: u32) -> Result<String> {
    let home = format!("/home/{name}");
    append(
        machine,
        "/etc/passwd",
        &format!("{name}:x:{uid}:{uid}::{home}:/bin/bash"),
    )?;
    append(
        machine,
        "/etc/shadow",
        &format!("{name}:*:19000:0:99999:7:::"),
    )?;
    append(machine, "/etc/group", &format!("{name}:x:{uid}:"))?;
    let ssh = machine.path(&format!("{home}/.ssh"));
    fs::create_dir_all(&ssh)?;
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o700))?;
    for path in [machine.path(&home), ssh] {
        chown(&path, Some(uid), Some(uid))?;
    }
    Ok(home)
}

/// Adds a line to a file of a machine.
///
/// # Errors
/// When it cannot be written.
pub fn append(machine: &Machine, inside: &str, line: &str) -> Result<()> {
    let path = machine.path(inside);
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .with_context(|| path.display().to_string())?;
    // In one write: others append beside us.
    file.write_all(format!("{}\n", line.trim_end()).as_bytes())?;
    Ok(())
}

/// An admin's account on the client machine.
#[derive(Debug)]
pub struct Seat {
    client: Arc<Machine>,
    name: String,
    uid: u32,
    home: String,
    key: String,
}

impl Seat {
    /// A new account with a new key, which the targets' account accepts.
    ///
    /// # Errors
    /// When a file cannot be written or ssh-keygen fails.
    pub fn take(client: &Arc<Machine>, servers: &[&Machine], name: &str) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(3000);
        let uid = NEXT.fetch_add(1, Ordering::Relaxed);
        // Stories share the client: its accounts tell them apart, whichever bastion they are about.
        ensure!(
            !client.path(&format!("/home/{name}")).exists(),
            "another story has a {name} at {} already",
            client.place().name
        );
        let home = add_account(client, name, uid)?;
        let client = Arc::clone(client);
        let mut seat = Self {
            client,
            name: name.to_owned(),
            uid,
            home,
            key: String::new(),
        };
        seat.write(".ssh/config", seat.config())?;
        seat.write(".ssh/known_hosts", &known_hosts(servers)?)?;
        seat.command("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C"])
            .args([
                format!("{name}@laptop"),
                "-f".into(),
                ".ssh/id_ed25519".into(),
            ])
            .run()?
            .success()?;
        seat.key = fs::read_to_string(seat.path(".ssh/id_ed25519.pub"))?
            .trim()
            .to_owned();
        for server in servers.iter().filter(|server| server.place().services) {
            append(
                server,
                &format!("/home/{TARGET_ACCOUNT}/.ssh/authorized_keys"),
                &seat.key,
            )?;
        }
        Ok(seat)
    }

    /// One prompt per login: a story says itself when it tries again. But sshd does not listen for a moment when it
    /// is reloaded, as after an edit that brings the first automation user.
    fn config(&self) -> String {
        format!(
            "Host *\n  IdentityFile ~/.ssh/id_ed25519\n  IdentitiesOnly yes\n  StrictHostKeyChecking yes\n\
             Host bastion open stock fragile* weak power\n  User {}\n  NumberOfPasswordPrompts 1\n  ConnectionAttempts 5\n\
             Host db1 db2 10.77.2.* fd77:2::*\n  User {TARGET_ACCOUNT}\n",
            self.name
        )
    }

    /// The account's name, which is the admin's name in the policy too.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The uid of the account on the client machine.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The public key, as for `keys` in the policy.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// A file of the home directory as this process sees it.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        self.client.path(&self.home).join(inside)
    }

    /// A file of the home directory as programs on the client machine name it.
    #[must_use]
    pub fn home_path(&self, inside: &str) -> String {
        format!("{}/{inside}", self.home)
    }

    /// Writes a file of the home directory.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, inside: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.path(inside);
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        chown(&path, Some(self.uid), Some(self.uid))?;
        Ok(())
    }

    /// A program the admin types, which asks nobody anything.
    pub fn command(&self, program: &str) -> Invocation {
        self.client.command(program).user(self.uid, &self.home)
    }

    /// A client that does one step after the other, whether that makes sense or not: `key`,
    /// `code:123456`, `tcp:HOST:PORT`, `session:COMMAND`, `no-more-sessions`.
    pub fn raw_client<S: Into<String>>(
        &self,
        host: &str,
        steps: impl IntoIterator<Item = S>,
    ) -> Invocation {
        self.raw_client_as(&self.name, host, steps)
    }

    /// The same under another name, which may be one that OpenSSH's client does not send.
    pub fn raw_client_as<S: Into<String>>(
        &self,
        name: &str,
        host: &str,
        steps: impl IntoIterator<Item = S>,
    ) -> Invocation {
        self.command("python3")
            .args([RAW_CLIENT, host, name])
            .args(steps)
    }

    /// Whether a login at `host` with one answer to its prompts runs a command.
    ///
    /// # Errors
    /// When ssh cannot be run.
    pub fn gets_in(&self, options: &[String], host: &str, answer: &str) -> Result<bool> {
        let output = self
            .answering(&[answer])?
            .command("ssh")
            .args(options.to_vec())
            .args([host, "whoami"])
            .run()?;
        Ok(output.code() == 0)
    }

    /// What the admin will answer to prompts, in order.
    ///
    /// # Errors
    /// When the answers cannot be put down.
    pub fn answering<S: AsRef<str>>(&self, answers: &[S]) -> Result<Answering<'_>> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(".answers-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = self.path(&name);
        fs::create_dir(&directory)?;
        chown(&directory, Some(self.uid), Some(self.uid))?;
        for file in ["answers", "prompts", "gate"] {
            self.write(&format!("{name}/{file}"), "")?;
        }
        let inside = format!("{}/{name}", self.home);
        let answering = Answering {
            seat: self,
            name,
            inside,
            directory,
        };
        answering.answer(answers)?;
        Ok(answering)
    }
}

impl Seat {
    /// An agent at [`AGENT`] in the home, which has the seat's key.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn agent(&self) -> Result<Running> {
        let path = self.home_path(AGENT);
        let running = self
            .command("ssh-agent")
            .args(["-D", "-a", &path])
            .start()?;
        wait_for("the agent", || Ok(self.path(AGENT).exists()))?;
        self.command("ssh-add")
            .args([".ssh/id_ed25519"])
            .env("SSH_AUTH_SOCK", &path)
            .run()?
            .success()?;
        Ok(running)
    }
}

/// An admin with answers at hand.
#[derive(Debug)]
pub struct Answering<'s> {
    seat: &'s Seat,
    name: String,
    inside: String,
    directory: PathBuf,
}

impl Answering<'_> {
    /// A program the admin types, which may ask.
    pub fn command(&self, program: &str) -> Invocation {
        self.seat
            .command(program)
            .env("SSH_ASKPASS", ASKPASS)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("JUMP_LAB_ANSWERS", &self.inside)
    }

    /// `ssh` with arguments.
    pub fn ssh<S: Into<String>>(&self, args: impl IntoIterator<Item = S>) -> Invocation {
        self.command("ssh").args(args)
    }

    /// Puts down other answers, instead of those that are left.
    ///
    /// # Errors
    /// When they cannot be put down.
    pub fn answer<S: AsRef<str>>(&self, answers: &[S]) -> Result<()> {
        let lines: String = answers
            .iter()
            .map(|answer| format!("{}\n", answer.as_ref()))
            .collect();
        self.seat.write(&format!("{}/answers", self.name), lines)
    }

    /// What has been asked so far.
    #[must_use]
    pub fn prompts(&self) -> Vec<String> {
        let text = fs::read_to_string(self.directory.join("prompts")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// From now on prompts are asked and wait for the gate to open.
    ///
    /// # Errors
    /// When the gate cannot be locked.
    pub fn gate(&self) -> Result<Gate> {
        let file = File::open(self.directory.join("gate"))?;
        let held = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
        Ok(Gate {
            _held: held,
            prompts: self.directory.join("prompts"),
        })
    }
}

/// Holds back every answer until it is dropped: so many logins answer in the same instant.
#[derive(Debug)]
pub struct Gate {
    _held: Flock<File>,
    prompts: PathBuf,
}

impl Gate {
    /// Waits until `count` prompts stand before the gate.
    ///
    /// # Errors
    /// When they do not come.
    pub fn wait_for_prompts(&self, count: usize) -> Result<()> {
        let all = || Ok((lines(&self.prompts) >= count).then_some(()));
        let came = until(UNTIL_PROMPTED, all)?;
        ensure!(
            came.is_some(),
            "{} of {count} prompts came in {UNTIL_PROMPTED:?}",
            lines(&self.prompts)
        );
        Ok(())
    }
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// `known_hosts` for servers, by name and by each address.
pub(crate) fn known_hosts(servers: &[&Machine]) -> Result<String> {
    let mut text = String::new();
    for server in servers {
        let place = server.place();
        let addresses = place
            .addresses
            .iter()
            .chain(place.second)
            .filter_map(|address| address.split('/').next());
        let names: Vec<_> = [place.name].into_iter().chain(addresses).collect();
        for key in server.host_keys()? {
            text.push_str(&format!("{} {}\n", names.join(","), key.trim()));
        }
    }
    Ok(text)
}
