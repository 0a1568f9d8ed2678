//! The process that starts ssh.
//!
//! The shell can start nothing: it has no execve(2) and may have no other process.
//! So before it confines itself it forks this one, which confines itself in a way
//! of its own ([`crate::sandbox::confine_runner`]) and then waits for orders: values
//! of a type, never a line of text. It is the leader of the hop's terminal; ssh is
//! in a process group of its own in the foreground there, so that a Ctrl-C from the
//! keyboard is ssh's. Neither has any file of the user's login open: what they say
//! passes through the shell, or nobody sees it. Both die with their parent.

use super::arguments;
use crate::sandbox::RunnerLists;
use crate::sandbox::filter;
use jump_proto::{Channel, paths};
use jump_sys::process::{Fork, Forker, exit_now, set_parent_death_signal};
use nix::sys::signal::{SigSet, Signal};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, WaitOptions};
use rustix::termios::{OptionalActions, QueueSelector, Termios};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// What the shell asks of the runner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Start ssh; answered by [`Report::Started`] and [`Report::Ended`], or by [`Report::NotStarted`].
    Start(Start),
    /// End the ssh that runs, at once; answered by nothing of its own.
    Stop,
}

/// What ssh is started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) address: SocketAddr,
    pub(crate) login: String,
    pub(crate) host_key_alias: String,
    pub(crate) known_hosts: String,
    /// Whether the user's own agent authenticates.
    pub(crate) forwarded_agent: bool,
    /// One argument, as it came.
    pub(crate) command: Option<Vec<u8>>,
}

/// What the runner answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// There is an ssh; what is written into its terminal now is for this one.
    Started,
    /// ssh has ended.
    Ended {
        /// Its exit status; none where a signal ended it.
        status: Option<u8>,
    },
    /// There was no ssh; why, as the end of a sentence.
    NotStarted(String),
}

/// ssh's ends of what the shell has the other ends of.
#[derive(Debug)]
pub(crate) enum SshEnds {
    /// One after the other may use them.
    Terminal {
        terminal: OwnedFd,
        modes: Box<Termios>,
        errors: OwnedFd,
    },
    /// The first one takes them.
    Pipes(Option<[OwnedFd; 3]>),
}

/// All that the runner has.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) shell: Channel,
    pub(crate) ends: SshEnds,
    /// jumpd's agent, and the user's own.
    pub(crate) agent: PathBuf,
    pub(crate) own_agent: PathBuf,
    pub(crate) term: Option<String>,
    pub(crate) lists: RunnerLists,
}

/// Why the runner has nothing to do any more.
struct NobodyAsks;

impl Runner {
    /// Everything that stays open in the runner.
    pub(crate) fn files(&self) -> Vec<BorrowedFd<'_>> {
        let mut files = vec![self.shell.as_fd()];
        match &self.ends {
            SshEnds::Terminal {
                terminal, errors, ..
            } => files.extend([terminal.as_fd(), errors.as_fd()]),
            SshEnds::Pipes(pipes) => files.extend(pipes.iter().flatten().map(AsFd::as_fd)),
        }
        files
    }

    /// The terminal that the runner is to lead, where there is one.
    pub(crate) fn terminal(&self) -> Option<BorrowedFd<'_>> {
        match &self.ends {
            SshEnds::Terminal { terminal, .. } => Some(terminal.as_fd()),
            SshEnds::Pipes(_) => None,
        }
    }

    /// Does what the shell asks for until it is gone.
    pub(crate) fn serve(&mut self, forker: &Forker) -> ! {
        // Putting ssh in the foreground from the background stops who does it (tcsetpgrp(3)).
        let _ = SigSet::from(Signal::SIGTTOU).thread_block();
        while let Ok(Some(order)) = self.shell.recv::<Order>() {
            let Order::Start(start) = order else {
                // It came after the end of what it was to end.
                continue;
            };
            let report = match self.run(&start, forker) {
                Ok(Ok(status)) => Report::Ended { status },
                Ok(Err(error)) => Report::NotStarted(error.to_string()),
                Err(NobodyAsks) => break,
            };
            if self.shell.send(&report).is_err() {
                break;
            }
        }
        exit_now(0)
    }

    fn run(
        &mut self,
        start: &Start,
        forker: &Forker,
    ) -> Result<io::Result<Option<u8>>, NobodyAsks> {
        match self.fork_ssh(start, forker) {
            Ok(pid) => self.attend(pid),
            Err(error) => Ok(Err(error)),
        }
    }

    fn fork_ssh(&mut self, start: &Start, forker: &Forker) -> io::Result<Pid> {
        let agent = if start.forwarded_agent {
            &self.own_agent
        } else {
            &self.agent
        };
        let arguments = arguments::of(start, agent, self.terminal().is_some())
            .map_err(|error| io::Error::other(error.to_string()))?;
        if let SshEnds::Terminal {
            terminal, modes, ..
        } = &self.ends
        {
            // What a hop before left in it, or made of it, is not this one's.
            rustix::termios::tcflush(terminal, QueueSelector::IOFlush)?;
            rustix::termios::tcsetattr(terminal, OptionalActions::Now, modes)?;
        }
        let runner = rustix::process::getpid();
        let pid = match forker.fork()? {
            Fork::Child => {
                let error = self.become_ssh(runner, &arguments);
                // Standard error is the hop's where that much was done.
                crate::print::complain(&format!("ssh cannot be started ({error})."));
                exit_now(255)
            }
            Fork::Parent(pid) => pid,
        };
        if let SshEnds::Pipes(pipes) = &mut self.ends {
            // The ends are ssh's alone, so that they close with it.
            *pipes = None;
        }
        Pid::from_raw(pid).ok_or_else(|| io::Error::other("fork"))
    }

    /// In the new process; returns only when it cannot.
    fn become_ssh(&self, runner: Pid, arguments: &[OsString]) -> io::Error {
        if let Err(error) = self.prepare_ssh(runner) {
            return error;
        }
        let mut ssh = Command::new(paths::SSH);
        ssh.args(arguments).env_clear();
        if let Some(term) = &self.term {
            ssh.env("TERM", term);
        }
        ssh.exec()
    }

    fn prepare_ssh(&self, runner: Pid) -> io::Result<()> {
        set_parent_death_signal(libc::SIGKILL)?;
        if rustix::process::getppid() != Some(runner) {
            return Err(io::Error::other("the runner is gone"));
        }
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        rustix::process::setrlimit(Resource::Nproc, none)?;
        let [input, output, errors] = match &self.ends {
            SshEnds::Terminal {
                terminal, errors, ..
            } => {
                rustix::process::setpgid(None, None)?;
                rustix::termios::tcsetpgrp(terminal, rustix::process::getpid())?;
                [terminal, terminal, errors]
            }
            SshEnds::Pipes(Some([input, output, errors])) => [input, output, errors],
            SshEnds::Pipes(None) => {
                return Err(io::Error::other(
                    "without a terminal there is one hop in a session",
                ));
            }
        };
        // The shell reads its keyboard's signals from a file, and had blocked them.
        SigSet::empty().thread_set_mask()?;
        rustix::stdio::dup2_stdin(input)?;
        rustix::stdio::dup2_stdout(output)?;
        rustix::stdio::dup2_stderr(errors)?;
        filter::install(&self.lists.ssh).map_err(io::Error::other)
    }

    /// Waits until ssh has ended, and ends it when the shell says so.
    fn attend(&self, pid: Pid) -> Result<io::Result<Option<u8>>, NobodyAsks> {
        let handle = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(error) => return Ok(Err(error.into())),
        };
        if self.shell.send(&Report::Started).is_err() {
            return Err(NobodyAsks);
        }
        let end = || rustix::process::pidfd_send_signal(&handle, rustix::process::Signal::KILL);
        loop {
            let mut fds = [
                PollFd::new(&handle, PollFlags::IN),
                PollFd::new(&self.shell, PollFlags::IN),
            ];
            let _interrupted = poll(&mut fds, None);
            if !fds[1].revents().is_empty() {
                // Whatever it says; where it says nothing any more, ssh dies with this process.
                let Ok(Some(_)) = self.shell.recv::<Order>() else {
                    return Err(NobodyAsks);
                };
                let _gone = end();
            }
            if !fds[0].revents().is_empty() {
                return Ok(
                    match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
                        Ok(Some((_, status))) => Ok(status
                            .exit_status()
                            .map(|status| u8::try_from(status).unwrap_or(u8::MAX))),
                        Ok(None) => Ok(None),
                        Err(error) => Err(error.into()),
                    },
                );
            }
        }
    }
}
