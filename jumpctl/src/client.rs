//! One question to jumpd, one answer.

use crate::error::Error;
use jump_proto::{Channel, Egress, Reply, Request, Secret, SessionId, SessionInfo, paths};
use std::path::PathBuf;
use std::time::Duration;

/// A question that only needs memory.
const QUICK: Duration = jump_proto::TIMEOUT;
/// A policy is parsed, tested, written and synced to disk; names are resolved.
const SLOW: Duration = Duration::from_secs(10);
/// Every record is written anew and flushed, one after the other.
const VERY_SLOW: Duration = Duration::from_secs(600);

/// Where jumpd listens.
#[derive(Debug, Clone)]
pub struct Jumpd {
    socket: PathBuf,
}

/// What a backup has of second factors.
#[derive(Debug, Default)]
pub(crate) struct Exported {
    /// The identity of the host's records.
    pub(crate) host: String,
    /// The records, unsealed.
    pub(crate) records: Vec<Secret>,
    /// Why those that are refused are not among them.
    pub(crate) refused: Vec<String>,
}

impl Default for Jumpd {
    fn default() -> Self {
        Self {
            socket: PathBuf::from(paths::JUMPD_SOCKET),
        }
    }
}

impl Jumpd {
    /// A jumpd that listens elsewhere.
    #[must_use]
    pub fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Asks, and turns a refusal into [`Error::Refused`].
    ///
    /// # Errors
    /// [`Error::NoAnswer`], [`Error::Refused`].
    pub fn ask(&self, request: &Request) -> Result<Reply, Error> {
        let patience = match request {
            Request::Apply
            | Request::ApplyIfNew
            | Request::Explain(_)
            | Request::MfaEnroll { .. } => SLOW,
            Request::MfaRekey { .. } => VERY_SLOW,
            _ => QUICK,
        };
        let reply = Channel::connect(&self.socket, patience)?.call(request)?;
        refused(reply)
    }

    /// Asks for something that is done or refused.
    ///
    /// # Errors
    /// As [`Jumpd::ask`].
    pub fn tell(&self, request: &Request) -> Result<(), Error> {
        match self.ask(request)? {
            Reply::Done => Ok(()),
            _ => Err(Error::WrongAnswer),
        }
    }

    /// Every live session.
    ///
    /// # Errors
    /// As [`Jumpd::ask`].
    pub fn sessions(&self) -> Result<Vec<SessionInfo>, Error> {
        let channel = Channel::connect(&self.socket, QUICK)?;
        channel.send(&Request::Sessions)?;
        let mut all = Vec::new();
        loop {
            let reply = channel.recv()?.ok_or(jump_proto::ChannelError::Closed)?;
            match refused(reply)? {
                Reply::Sessions { sessions, more } => {
                    all.extend(sessions);
                    if !more {
                        return Ok(all);
                    }
                }
                _ => return Err(Error::WrongAnswer),
            }
        }
    }

    /// Every second factor, for a backup.
    ///
    /// # Errors
    /// As [`Jumpd::ask`].
    pub(crate) fn export(&self) -> Result<Exported, Error> {
        let channel = Channel::connect(&self.socket, SLOW)?;
        channel.send(&Request::MfaExport)?;
        let mut all = Exported::default();
        loop {
            let reply = channel.recv()?.ok_or(jump_proto::ChannelError::Closed)?;
            let Reply::MfaRecords {
                host,
                records,
                refused,
                more,
            } = refused(reply)?
            else {
                return Err(Error::WrongAnswer);
            };
            all.host = host;
            all.records.extend(records);
            all.refused.extend(refused);
            if !more {
                return Ok(all);
            }
        }
    }

    /// One live session with its connections, if it still lives.
    ///
    /// # Errors
    /// As [`Jumpd::ask`].
    pub fn session(&self, id: &SessionId) -> Result<Option<SessionInfo>, Error> {
        let question = Request::Session {
            session: id.clone(),
        };
        match self.ask(&question)? {
            Reply::Sessions { mut sessions, .. } => Ok(sessions.pop()),
            _ => Err(Error::WrongAnswer),
        }
    }

    /// What the policy in force bounds all sessions to; names are looked up.
    ///
    /// # Errors
    /// As [`Jumpd::ask`].
    pub fn egress(&self) -> Result<Egress, Error> {
        let channel = Channel::connect(&self.socket, SLOW)?;
        channel.send(&Request::Egress)?;
        let mut whole = Egress::default();
        loop {
            let reply = channel.recv()?.ok_or(jump_proto::ChannelError::Closed)?;
            match refused(reply)? {
                Reply::Egress { egress, more } => {
                    whole.extend(egress);
                    if !more {
                        return Ok(whole);
                    }
                }
                _ => return Err(Error::WrongAnswer),
            }
        }
    }

    /// jumpd's state.
    ///
    /// # Errors
    /// As [`Jumpd::ask`].
    pub fn status(&self) -> Result<jump_proto::Status, Error> {
        match self.ask(&Request::Status)? {
            Reply::Status(status) => Ok(status),
            _ => Err(Error::WrongAnswer),
        }
    }
}

fn refused(reply: Reply) -> Result<Reply, Error> {
    match reply {
        Reply::Refused { reason, message } => Err(Error::Refused { reason, message }),
        other => Ok(other),
    }
}
