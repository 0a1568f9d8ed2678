//! The forwards that the sessions hold, and what went through each.

use crate::fleet::{Fleet, user};
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The longest that an answer may take. With jumpd gone for a moment, a new forward waits.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a forward may be refused while jumpd is away before that is wrong.
const AWAY: Duration = Duration::from_secs(10);
/// Forwards through which something is sent in each round.
const TALKING: usize = 20;

/// How many forwards of each user carried how many bytes.
pub(crate) type Sent = BTreeMap<(String, u64), usize>;

struct Forward {
    session: usize,
    stream: UnixStream,
    sent: u64,
}

/// All forwards.
pub(crate) struct Forwards<'f> {
    fleet: &'f Fleet,
    open: Vec<Forward>,
    closed: Sent,
    /// Whose turn it is.
    turn: usize,
    renewed: usize,
    refused: usize,
    trouble: Vec<String>,
}

impl<'f> Forwards<'f> {
    /// Opens `each` forwards of every session.
    pub(crate) fn open(fleet: &'f Fleet, sessions: usize, each: usize) -> Result<Self> {
        let mut forwards = Self {
            fleet,
            open: Vec::new(),
            closed: Sent::new(),
            turn: 0,
            renewed: 0,
            refused: 0,
            trouble: Vec::new(),
        };
        for number in 0..sessions * each {
            forwards.add(number / each, number)?;
        }
        Ok(forwards)
    }

    pub(crate) fn count(&self) -> usize {
        self.open.len()
    }

    /// Opens a forward and sends through it a number of bytes that few others send.
    fn add(&mut self, session: usize, number: usize) -> Result<()> {
        let begin = Instant::now();
        loop {
            let mut forward = Forward {
                session,
                stream: self.fleet.connect(session)?,
                sent: 0,
            };
            forward.stream.set_read_timeout(Some(PATIENCE))?;
            match forward.talk(100 + number % 997) {
                Ok(()) => {
                    self.open.push(forward);
                    return Ok(());
                }
                // jumpd is being restarted: what cannot be judged is refused.
                Err(_) if begin.elapsed() < AWAY => {
                    self.refused += 1;
                    std::thread::sleep(Duration::from_millis(200));
                }
                Err(trouble) => bail!("session {session} gets no forward for {AWAY:?}: {trouble}"),
            }
        }
    }

    /// Something goes through some, one is closed, one is opened.
    pub(crate) fn round(&mut self) -> Result<()> {
        for _ in 0..TALKING.min(self.open.len()) {
            self.turn = (self.turn + 1) % self.open.len();
            if let Some(forward) = self.open.get_mut(self.turn)
                && let Err(trouble) = forward.talk(7)
            {
                let session = forward.session;
                self.trouble
                    .push(format!("a forward of session {session} broke: {trouble}"));
                self.drop_one(self.turn);
            }
        }
        if self.open.is_empty() {
            bail!("no forward is left");
        }
        let session = self.drop_one(self.turn % self.open.len());
        self.renewed += 1;
        self.add(session, self.renewed)
    }

    fn drop_one(&mut self, index: usize) -> usize {
        let forward = self.open.swap_remove(index);
        *self
            .closed
            .entry((user(forward.session), forward.sent))
            .or_default() += 1;
        forward.session
    }

    /// Closes all; what went through each forward there ever was.
    pub(crate) fn close(&mut self) -> Result<Sent> {
        while !self.open.is_empty() {
            self.drop_one(0);
        }
        Ok(self.closed.clone())
    }

    /// What went wrong with forwards that were open.
    pub(crate) fn trouble(&self) -> Vec<String> {
        self.trouble.clone()
    }
}

impl Forward {
    fn talk(&mut self, bytes: usize) -> std::io::Result<()> {
        let text = vec![b'x'; bytes];
        self.stream.write_all(&text)?;
        let mut answer = vec![0; bytes];
        self.stream.read_exact(&mut answer)?;
        self.sent += bytes as u64;
        Ok(())
    }
}

impl fmt::Display for Forwards<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} forwards, {} renewed, {} refused",
            self.open.len(),
            self.renewed,
            self.refused
        )
    }
}
