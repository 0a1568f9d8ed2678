//! What a hop's ssh logs in with: a key of its own and a certificate of the user CA, by the agent protocol.
//!
//! The guard makes the connection, and gives it the name of the ssh process
//! that asks; the hop is the one whose connection to its target that very
//! process made, and a process carries one hop in its life. So no ssh gets
//! another hop's certificate, and none gets one that has no hop, or whose hop
//! is to be recorded and is not.
//!
//! The key lives as long as the connection, and signs the hop's login and nothing else.

#[cfg(test)]
mod tests;

use crate::carriers::{Process, asking_process};
use crate::hops::{Hop, HopFacts};
use crate::sessions::Session;
use crate::state::{Jumpd, boot_ms, complain, elapsed_ms};
use ipnet::IpNet;
use jump_ca::agent::{Answer, MAX_MESSAGE, Request};
use jump_ca::{Login, PrivateKey, SEED, Terms};
use jump_proto::{HopId, SessionId};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use zeroize::Zeroizing;

/// A hop is given a certificate for so long after its beginning, in milliseconds: a login takes less.
const YOUNG_MS: u64 = 60_000;
/// How long one connection waits for ssh's next question.
const PATIENCE: Duration = Duration::from_secs(60);
/// Questions of one connection; a login asks about four.
const MOST_QUESTIONS: usize = 64;
/// A certificate is valid from so long ago, in seconds, for targets whose clocks are behind.
const BEFORE_S: i64 = 60;

/// The key of one hop.
struct Identity {
    hop: HopId,
    login: String,
    key: PrivateKey,
    certificate: Vec<u8>,
}

/// Serves one connection until ssh hangs up.
///
/// # Errors
/// When it cannot be read or written, or is not what a guard connects.
pub(crate) fn serve(jumpd: &Jumpd, connection: OwnedFd, session: &SessionId) -> io::Result<()> {
    let Some(process) = asking_process(connection.as_fd()).map_err(io::Error::from)? else {
        return Err(io::Error::other("the connection does not name its process"));
    };
    let mut ssh = UnixStream::from(connection);
    ssh.set_read_timeout(Some(PATIENCE))?;
    ssh.set_write_timeout(Some(PATIENCE))?;
    let mut identity = None;
    for _ in 0..MOST_QUESTIONS {
        let Some(message) = read(&mut ssh)? else {
            return Ok(());
        };
        let answer = jumpd.agent_answer(session, process, &message, &mut identity);
        ssh.write_all(&answer)?;
    }
    Ok(())
}

/// One message without its length; `None` at the end.
fn read(ssh: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match ssh.read_exact(&mut length) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(e),
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_MESSAGE {
        return Err(io::Error::other("a message is too long"));
    }
    let mut message = vec![0; length];
    ssh.read_exact(&mut message)?;
    Ok(Some(message))
}

/// The hop whose connection this process made, while it may log in: by the CA, or with the user's own agent.
pub(crate) fn hop_that_may_log_in(
    session: &Session,
    process: i32,
    own_agent: bool,
) -> Option<&Hop> {
    let carried = session.carried_by(&Process::of(process))?;
    let hop = session.hops.get(carried)?;
    let mut flows = session.flows.values();
    let is_connected = flows.any(|flow| {
        flow.pid == process && flow.hop.as_ref() == Some(carried) && flow.revoked.is_none()
    });
    let may = is_connected
        && hop.forwarded_agent == own_agent
        && hop.may_connect()
        && elapsed_ms(hop.started_boot_ms) < YOUNG_MS;
    may.then_some(hop)
}

impl Jumpd {
    fn agent_answer(
        &self,
        session: &SessionId,
        process: i32,
        message: &[u8],
        identity: &mut Option<Identity>,
    ) -> Vec<u8> {
        let failure = || Answer::Failure.to_message().unwrap_or_default();
        let Some((facts, ends_ms)) = self.hop_that_logs_in(session, process) else {
            complain(&format!(
                "ssh of session {session} asked for a key and has no hop that may log in"
            ));
            return failure();
        };
        let hop = &facts.hop.id;
        let answer = match Request::read(message) {
            Request::Other => Ok(failure()),
            Request::Identities => {
                if identity.as_ref().is_none_or(|known| known.hop != *hop) {
                    *identity = self
                        .new_identity(&facts, ends_ms)
                        .inspect_err(|why| complain(&format!("no key for hop {hop}: {why}")))
                        .ok();
                }
                let known = identity.as_ref();
                Answer::Identities(known.map(|id| (id.certificate.as_slice(), hop.as_str())))
                    .to_message()
            }
            Request::Sign { key, data } => {
                let login = |id: &Identity| {
                    let login = Login {
                        name: &id.login,
                        certificate: &id.certificate,
                    };
                    id.hop == *hop && key == id.certificate && login.is_asked_for(data)
                };
                match identity.as_ref().filter(|id| login(id)) {
                    Some(id) => id
                        .key
                        .sign(data)
                        .and_then(|signature| Answer::Signature(&signature).to_message()),
                    None => {
                        complain(&format!("hop {hop}: what is to be signed is not its login"));
                        Ok(failure())
                    }
                }
            }
        };
        answer.unwrap_or_else(|_| failure())
    }

    /// The hop of this process, and when its session ends, milliseconds since the Unix epoch.
    fn hop_that_logs_in(&self, id: &SessionId, process: i32) -> Option<(HopFacts, Option<i64>)> {
        let sessions = self.sessions();
        let session = sessions
            .get(id)
            .filter(|s| s.ending.is_none() && s.gone_since.is_none())?;
        let facts = HopFacts {
            asker: session.asker(),
            hop: hop_that_may_log_in(session, process, false)?.clone(),
        };
        Some((facts, session.ends.map(|(at, _)| at)))
    }

    /// A new key for a hop, and its certificate: valid to the session's end.
    fn new_identity(&self, facts: &HopFacts, ends_ms: Option<i64>) -> Result<Identity, String> {
        let policy = self.policy().ok_or("no policy is in force")?;
        let sources = match &policy.ca().source_addresses {
            Some(sources) => sources.clone(),
            None => self.own_sources()?,
        };
        let now = self.now().as_second();
        let longest = i64::try_from(policy.session().max.as_secs()).unwrap_or(i64::MAX);
        let opened = now.saturating_sub((boot_ms() - facts.opened_boot_ms()) / 1000);
        let ends = ends_ms.map_or(opened.saturating_add(longest), |ms| {
            ms.saturating_add(999) / 1000
        });
        let mut random = Zeroizing::new([0; SEED + 32]);
        getrandom::fill(random.as_mut()).map_err(|e| e.to_string())?;
        let (seed, nonce) = random.split_at(SEED);
        let seed = Zeroizing::new(<[u8; SEED]>::try_from(seed).map_err(|e| e.to_string())?);
        let key = PrivateKey::from_seed(&seed);
        let hop = &facts.hop;
        let key_id = format!(
            "jump user={} session={} hop={}",
            facts.asker.person().user,
            facts.asker.id(),
            hop.id
        );
        let terms = Terms {
            key_id: &key_id,
            principal: &hop.login,
            valid_after: u64::try_from(now.saturating_sub(BEFORE_S)).unwrap_or(0),
            valid_before: u64::try_from(ends).unwrap_or(0),
            sources: &sources,
            nonce: nonce.try_into().map_err(|_| "no nonce".to_owned())?,
        };
        let certificate = self
            .ca
            .certify(&key.public(), &terms)
            .map_err(|e| e.to_string())?;
        Ok(Identity {
            hop: hop.id.clone(),
            login: hop.login.clone(),
            key,
            certificate,
        })
    }

    /// The addresses by which targets see this host.
    fn own_sources(&self) -> Result<Vec<IpNet>, String> {
        let own = self
            .names
            .own()
            .ok_or("the host's addresses are not known")?;
        let mut sources: Vec<IpNet> = own
            .into_iter()
            .filter(|address| !address.is_loopback() && !is_link_local(*address))
            .map(IpNet::from)
            .collect();
        sources.sort_unstable();
        sources.dedup();
        Ok(sources)
    }
}

fn is_link_local(address: std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(v4) => v4.is_link_local() || v4.is_unspecified(),
        std::net::IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}
