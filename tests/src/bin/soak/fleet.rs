//! Automation users with sessions: a key and several client addresses, no code.
//! Each session is one real `ssh`, in the background, whose forwards begin at a
//! Unix socket in the fleet's home.

use crate::echo;
use anyhow::{Context, Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::network::{BASTION, CLIENT};
use jump_lab::seat::Seat;
use std::fmt::Write as _;
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Sessions of one user: below `[session] concurrent`, which is 8.
const EACH: usize = 5;
/// Logins that are made one after the other, beside `SIDE_BY_SIDE` others.
const BATCH: usize = 10;
const SIDE_BY_SIDE: usize = 4;
const FIRST_UID: u32 = 71_000;
/// Where the policy mentions how often it was edited.
const EDIT: &str = "# edit";

/// Users, and the account on the client machine from which they all come.
pub(crate) struct Fleet {
    seat: Seat,
    home: File,
    users: usize,
}

/// The user of a session.
pub(crate) fn user(session: usize) -> String {
    format!("robot{}", session / EACH)
}

impl Fleet {
    /// Makes keys and puts the users into the policy.
    pub(crate) fn hire(lab: &Lab, sessions: usize) -> Result<Self> {
        let seat = Seat::take(&lab.client, &[&lab.bastion], "fleet")?;
        let users = sessions.div_ceil(EACH);
        let keys = format!(
            "mkdir s && for i in $(seq 0 {}); do ssh-keygen -q -t ed25519 -N '' -C robot$i -f .ssh/robot$i || exit 1; done",
            users - 1
        );
        seat.command("sh")
            .args(["-c", &keys])
            .patience(Duration::from_secs(300))
            .run()?
            .success()?;
        let sources = format!(
            "from = [\"{}\", \"10.77.1.99\", \"{}\"]",
            CLIENT.address(),
            CLIENT.address6()
        );
        let rule = format!(
            "[groups.fleet]\ngid = 70900\n[[rules]]\nname = \"fleet\"\neffect = \"allow\"\ngroups = [\"fleet\"]\ntargets = [\"databases\"]\n{sources}\n{EDIT} 0\n"
        );
        let mut trouble = Ok(());
        lab.edit_policy(|policy| {
            for number in 0..users {
                let name = format!("robot{number}");
                let key = std::fs::read_to_string(seat.path(&format!(".ssh/{name}.pub")));
                let uid = FIRST_UID + u32::try_from(number).unwrap_or_default();
                let tables = if number == 0 { rule.as_str() } else { "" };
                match key {
                    Ok(key) => policy.add(
                        &name,
                        uid,
                        key.trim(),
                        "mfa = \"none\"\ngroups = [\"fleet\"]",
                        tables,
                    ),
                    Err(e) => trouble = Err(e),
                }
            }
        })?;
        trouble?;
        let home = File::open(seat.path("s"))?;
        Ok(Self { seat, home, users })
    }

    pub(crate) fn users(&self) -> usize {
        self.users
    }

    /// Saves the policy with another word in a remark, which makes it another generation.
    pub(crate) fn edit(&self, lab: &Lab, number: usize) -> Result<()> {
        let (old, new) = (format!("{EDIT} {}", number - 1), format!("{EDIT} {number}"));
        lab.edit_policy(|policy| policy.replace("robot0", &old, &new))
    }

    /// Opens sessions.
    pub(crate) fn log_in(&self, sessions: Range<usize>) -> Result<()> {
        self.each(sessions, |line, session| {
            // Client addresses in turn, of both families.
            let (from, to) = match session % 3 {
                0 => (CLIENT.address(), BASTION.address()),
                1 => ("10.77.1.99", BASTION.address()),
                _ => (CLIENT.address6(), BASTION.address6()),
            };
            let user = user(session);
            let _infallible = writeln!(
                line,
                "ssh -f -N -M -S c{session} -o ExitOnForwardFailure=yes -o StreamLocalBindUnlink=yes \
                 -i ../.ssh/{user} -l {user} -b {from} -L \"$PWD/s{session}:db1:{}\" {to} >/dev/null 2>e{session} </dev/null \
                 || {{ cat e{session} >&2; exit 1; }}",
                echo::PORT
            );
        })
    }

    /// Closes sessions.
    pub(crate) fn log_out(&self, sessions: Range<usize>) -> Result<()> {
        self.each(sessions, |line, session| {
            let _infallible = writeln!(
                line,
                "ssh -S c{session} -O exit bastion 2>e{session} || {{ cat e{session} >&2; exit 1; }}"
            );
        })
    }

    /// Runs a line of shell for each session, some side by side.
    fn each(&self, sessions: Range<usize>, line: impl Fn(&mut String, usize)) -> Result<()> {
        let all: Vec<usize> = sessions.collect();
        let scripts: Vec<String> = all
            .chunks(BATCH)
            .map(|batch| {
                batch
                    .iter()
                    .fold("cd s || exit 1\n".to_owned(), |mut text, session| {
                        line(&mut text, *session);
                        text
                    })
            })
            .collect();
        let next = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..SIDE_BY_SIDE)
                .map(|_| {
                    scope.spawn(|| -> Result<()> {
                        loop {
                            let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                            let Some(script) = scripts.get(index) else {
                                return Ok(());
                            };
                            self.seat
                                .command("sh")
                                .args(["-c", script])
                                .patience(Duration::from_secs(300))
                                .run()?
                                .success()?;
                        }
                    })
                })
                .collect();
            for worker in workers {
                match worker.join() {
                    Ok(outcome) => outcome?,
                    Err(_) => anyhow::bail!("a worker panicked"),
                }
            }
            Ok(())
        })
    }

    /// Connects to a session's forward.
    pub(crate) fn connect(&self, session: usize) -> Result<UnixStream> {
        // The way through the descriptor is short enough for a socket's address.
        let path = format!("/proc/self/fd/{}/s{session}", self.home.as_raw_fd());
        ensure!(path.len() < 100, "{path} is too long");
        UnixStream::connect(&path).with_context(|| format!("the forward of session {session}"))
    }
}
