//! Logins through PAM without sshd: the program `pam_jump/examples/pam-client.rs`.

use crate::admin::Admin;
use crate::example;
use crate::machine::Machine;
use crate::network::CLIENT;
use crate::process::{Invocation, Output};
use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;
use std::time::Duration;

/// A service that asks pam_jump alone, with the line that `jumpctl setup` writes; who is ignored there is refused.
pub const SERVICE: &str = "lab-jump";
const STACK: &str = "\
auth [success=done ignore=ignore default=die] pam_jump.so
auth required pam_deny.so
account [success=done ignore=ignore default=die] pam_jump.so
account required pam_deny.so
session [success=done ignore=ignore default=die] pam_jump.so
session required pam_deny.so
";
/// What a hook answers (`_pam_types.h`).
pub const SUCCESS: i32 = 0;

/// The client on a host.
pub struct Client<'m> {
    host: &'m Machine,
    program: String,
}

impl<'m> Client<'m> {
    /// Puts it there, and the service [`SERVICE`] beside it.
    ///
    /// # Errors
    /// When it is not built or a file cannot be written.
    pub fn on(host: &'m Machine) -> Result<Self> {
        host.write(&format!("/etc/pam.d/{SERVICE}"), STACK)?;
        let program = example::put(host, "pam_jump", "pam-client")?;
        Ok(Self { host, program })
    }

    /// A race, round after round: `logins` at once by each of the users through `service`.
    pub fn race<S: AsRef<str>>(&self, logins: usize, service: &str, users: &[S]) -> Race {
        let client = self.host.command(&self.program);
        let names: Vec<&str> = users.iter().map(AsRef::as_ref).collect();
        Race {
            client: client.args(["race", &logins.to_string(), service, &names.join(",")]),
            rounds: String::new(),
        }
    }

    /// One login of `user` through `service`: the words are settings `NAME=VALUE`, options and hooks.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn call(&self, service: &str, user: &str, words: &[&str]) -> Result<Called> {
        self.call_with(service, user, words, |client| client)
    }

    /// The same by a client that is changed first.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn call_with(
        &self,
        service: &str,
        user: &str,
        words: &[&str],
        change: impl FnOnce(Invocation) -> Invocation,
    ) -> Result<Called> {
        let client = self.host.command(&self.program);
        let client = client.args(["call", service, user]).args(words.to_vec());
        Ok(Called(change(client).run()?.success()?))
    }
}

/// What sshd would put into the PAM environment for a login by `admin` with their key.
#[must_use]
pub fn settings(admin: &Admin<'_>) -> [String; 2] {
    let connection = format!(
        "SSH_CONNECTION={} 40000 {} 22",
        CLIENT.address(),
        admin.bastion().place().address()
    );
    let key: Vec<_> = admin.seat.key().split(' ').take(2).collect();
    [
        connection,
        format!("SSH_AUTH_INFO_0=publickey {}", key.join(" ")),
    ]
}

/// Where all wait for each other.
#[derive(Debug, Clone, Copy)]
pub enum Wait {
    /// Before the login begins.
    Start,
    /// At the prompt.
    Prompt,
}

/// Rounds of many logins at once.
#[must_use]
pub struct Race {
    client: Invocation,
    rounds: String,
}

impl Race {
    /// Settings of the PAM environment, and options of the client.
    pub fn with<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.client = self.client.args(words);
        self
    }

    /// One more round, in which everybody waits `at`, and then types the code of their user's place; for whom the
    /// option `--clock` is given, at so many seconds after 1970.
    pub fn round<S: AsRef<str>>(mut self, at: Wait, seconds: u64, codes: &[S]) -> Self {
        let codes: Vec<&str> = codes.iter().map(AsRef::as_ref).collect();
        let at = match at {
            Wait::Start => "start",
            Wait::Prompt => "prompt",
        };
        let _infallible = writeln!(self.rounds, "{at} {seconds} {}", codes.join(" "));
        self
    }

    /// Runs them: how many of each user were let in, in each.
    ///
    /// # Errors
    /// When a round does not come to its end.
    pub fn run(self) -> Result<Vec<Vec<usize>>> {
        const PATIENCE: Duration = Duration::from_secs(900);
        let rounds = self.rounds.lines().count();
        let client = self.client.input(self.rounds).patience(PATIENCE);
        let output = client.run()?.success()?;
        let counts = |line: &str| line.split(' ').map(|count| Ok(count.parse()?)).collect();
        let let_in: Vec<Vec<usize>> = output.text().lines().map(counts).collect::<Result<_>>()?;
        ensure!(let_in.len() == rounds, "{output}");
        Ok(let_in)
    }
}

/// What came of one login.
pub struct Called(Output);

impl Called {
    /// What a hook answered.
    ///
    /// # Errors
    /// When it was not called.
    pub fn answer(&self, hook: &str) -> Result<i32> {
        let text = self.0.text();
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let found = lines.find(|(name, _)| *name == hook);
        let (_, code) = found.with_context(|| self.0.to_string())?;
        Ok(code.parse()?)
    }

    /// What the user saw, in order: `Hidden "Verification code: "`.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        let text = self.0.text();
        let lines = text.lines().filter_map(|line| line.strip_prefix("  "));
        lines.map(str::to_owned).collect()
    }
}
