//! Programs run inside a machine: their input, output, end and time limit.
//!
//! Output goes to files of the run's own tmpfs, not to pipes: a program that
//! leaves a child behind (ssh's `ControlPersist`) cannot make the reader wait,
//! and what a long-lived program has said so far can be read at any time.

use crate::ground::kill_below;
use crate::story::until;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long a program may take that was given no limit of its own.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program to be run in a machine.
#[derive(Debug)]
#[must_use]
pub struct Invocation {
    leader: u32,
    outputs: PathBuf,
    account: Option<(u32, String)>,
    environment: Vec<(String, String)>,
    program: Vec<String>,
    input: Input,
    patience: Duration,
}

#[derive(Debug)]
enum Input {
    Nothing,
    Bytes(Vec<u8>),
    Pipe,
}

impl Invocation {
    pub(crate) fn new(leader: u32, outputs: &Path, program: &str) -> Self {
        Self {
            leader,
            outputs: outputs.to_owned(),
            account: None,
            environment: Vec::new(),
            program: vec![program.to_owned()],
            input: Input::Nothing,
            patience: PATIENCE,
        }
    }

    /// Adds arguments.
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.program.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a variable to the otherwise empty environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs it as an ordinary user of the machine, at home.
    pub fn user(mut self, uid: u32, home: &str) -> Self {
        self.account = Some((uid, home.to_owned()));
        self
    }

    /// Gives it bytes to read, then end of file.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Input::Bytes(bytes.into());
        self
    }

    /// Keeps its standard input open; see [`Running::say`].
    pub fn open_input(mut self) -> Self {
        self.input = Input::Pipe;
        self
    }

    /// How long [`Self::run`] waits for it, instead of a minute.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The program and its arguments as one would type them.
    #[must_use]
    pub fn typed(&self) -> String {
        let quoted = self.program.iter().map(|word| {
            if word.is_empty() || word.contains([' ', '"', '\'', ';', '|', '*', '$']) {
                format!("'{word}'")
            } else {
                word.clone()
            }
        });
        quoted.collect::<Vec<_>>().join(" ")
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time. An exit code other
    /// than 0 is no error here; see [`Output::success`].
    pub fn run(self) -> Result<Output> {
        let patience = self.patience;
        self.start()?.wait(patience)
    }

    /// Starts it and returns.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(self) -> Result<Running> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let typed = self.typed();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        fs::create_dir_all(&self.outputs)?;
        let file = |kind: &str| self.outputs.join(format!("{number}.{kind}"));
        let (out, err) = (file("out"), file("err"));
        let stdin = match &self.input {
            Input::Nothing => Stdio::null(),
            Input::Pipe => Stdio::piped(),
            Input::Bytes(bytes) => {
                fs::write(file("in"), bytes)?;
                File::open(file("in"))?.into()
            }
        };
        let mut command = self.command();
        command
            .stdin(stdin)
            .stdout(File::create(&out)?)
            .stderr(File::create(&err)?);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot run {typed}"))?;
        let stdin = child.stdin.take();
        Ok(Running {
            child,
            stdin,
            typed,
            out,
            err,
        })
    }

    /// Starts it with pipes for its input and output, for whoever measures times; what it complains of is shown.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn piped(self) -> Result<Child> {
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
            .spawn()
            .with_context(|| format!("cannot run {}", self.typed()))
    }

    /// nsenter and what follows it: the machine's namespaces, the account, a clean environment, the program.
    fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.leader.to_string()]);
        command.args([
            "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--",
        ]);
        let mut home = "/root";
        if let Some((uid, at)) = &self.account {
            home = at;
            let uid = uid.to_string();
            command.args([
                "setpriv",
                "--reuid",
                &uid,
                "--regid",
                &uid,
                "--clear-groups",
                "--",
            ]);
        }
        command.args(["env", "-i", "--chdir", home, "LC_ALL=C.UTF-8", "TERM=dumb"]);
        command.arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.arg(format!("HOME={home}"));
        command.args(
            self.environment
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        );
        command.args(&self.program);
        command
    }
}

/// A program that is running.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    typed: String,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    /// What it has written to standard output so far.
    #[must_use]
    pub fn said(&self) -> String {
        read(&self.out)
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn complained(&self) -> String {
        read(&self.err)
    }

    /// Types something.
    ///
    /// # Errors
    /// When it was not started with [`Invocation::open_input`], or no longer reads.
    pub fn say(&mut self, text: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("its input is not open")?;
        stdin.write_all(text.as_bytes())?;
        Ok(())
    }

    /// Ends its input.
    pub fn hang_up_input(&mut self) {
        self.stdin = None;
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// When the kernel does not know.
    pub fn ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits until its output (either) contains `text`.
    ///
    /// # Errors
    /// When it has not after `patience`, or has ended without.
    pub fn wait_for(&mut self, text: &str, patience: Duration) -> Result<()> {
        let seen = until(patience, || {
            let ended = self.ended()?;
            let found = self.said().contains(text) || self.complained().contains(text);
            Ok((found || ended).then_some(found))
        })?;
        ensure!(
            seen == Some(true),
            "{} did not say {text:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.typed,
            self.said(),
            self.complained()
        );
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end within `patience`; it is then killed.
    pub fn wait(mut self, patience: Duration) -> Result<Output> {
        self.stdin = None;
        let status = until(patience, || Ok(self.child.try_wait()?))?;
        let Some(status) = status else {
            bail!(
                "{} did not end within {patience:?}\n--- stdout\n{}\n--- stderr\n{}",
                self.typed,
                self.said(),
                self.complained()
            )
        };
        let stdout = fs::read(&self.out)?;
        Ok(Output {
            typed: self.typed.clone(),
            status,
            stdout,
            stderr: self.complained(),
        })
    }

    /// Kills it, and what it started.
    pub fn kill(&mut self) {
        kill_below(&mut self.child);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.kill();
        }
        let _tidy = (fs::remove_file(&self.out), fs::remove_file(&self.err));
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// How a program ended and what it wrote.
#[derive(Debug)]
pub struct Output {
    typed: String,
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard output, byte by byte.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// Standard output as text, without the last line end.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// Its exit code; -1 when a signal ended it.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// The output, if it ended well.
    ///
    /// # Errors
    /// When it did not, with everything it said.
    pub fn success(self) -> Result<Self> {
        self.expect_code(0)
    }

    /// The output, if it ended with `code`.
    ///
    /// # Errors
    /// When it did not, with everything it said.
    pub fn expect_code(self, code: i32) -> Result<Self> {
        ensure!(self.code() == code, "expected exit code {code}: {self}");
        Ok(self)
    }

    /// The output, if it ended badly.
    ///
    /// # Errors
    /// When it ended well.
    pub fn failure(self) -> Result<Self> {
        ensure!(!self.status.success(), "expected it to fail: {self}");
        Ok(self)
    }

    /// The output, if standard error contains `text`.
    ///
    /// # Errors
    /// When it does not.
    pub fn complains(self, text: &str) -> Result<Self> {
        ensure!(
            self.stderr.contains(text),
            "expected {text:?} on standard error: {self}"
        );
        Ok(self)
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.stdout.get(..4000).unwrap_or(&self.stdout);
        write!(
            f,
            "`{}` ended with {}\n--- stdout ({} bytes)\n{}\n--- stderr\n{}",
            self.typed,
            self.status,
            self.stdout.len(),
            String::from_utf8_lossy(shown),
            self.stderr
        )
    }
}
