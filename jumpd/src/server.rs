//! Sockets, threads, and who may ask what.

use crate::agent;
use crate::ca::Ca;
use crate::carriers::{Process, asking_process};
use crate::endings;
use crate::flows;
use crate::generation::Store;
use crate::host;
use crate::operator;
use crate::recorder;
use crate::remember::Remembered;
use crate::sealing;
use crate::sessions::Sessions;
use crate::state::{Jumpd, complain, never_wait, refused};
use crate::stop;
use jump_audit::Journal;
use jump_proto::{
    Channel, ChannelError, CutFlow, PeerCredentials, Reason, Reply, Request, SessionId, TIMEOUT,
    paths,
};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Names of the sockets in `jumpd.socket`, `jumpd-shell.socket` and `jumpd-agent.socket` (`FileDescriptorName=`, systemd.socket(5)).
const JUMPD: &str = "jumpd";
const SHELL: &str = "shell";
const AGENT: &str = "agent";

/// Connections served at once; beyond, a connection is closed and its asker denies.
const MOST_CONNECTIONS: usize = 8192;
/// How long after the start guards take to be at their posts again.
const GUARDS_COME: Duration = Duration::from_secs(5);
/// A connection's thread needs little: no recursion, no large buffers on the stack.
const STACK: usize = 512 * 1024;

/// Which socket a connection came in on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Jumpd,
    Shell,
    Agent,
}

/// Runs the daemon until it is stopped.
#[must_use]
pub fn run() -> ExitCode {
    match start() {
        Ok(never) => match never {},
        Err(e) => {
            complain(&format!("cannot start: {e}"));
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<std::convert::Infallible, Box<dyn std::error::Error>> {
    never_wait();
    let signals = stop::expect_signals()?;
    jump_sys::process::set_nondumpable()?;
    let mut doors = Vec::new();
    let mut ends = None;
    for (name, fd) in jump_sys::activation::sockets()? {
        match name.as_str() {
            JUMPD => doors.push((Door::Jumpd, fd)),
            SHELL => doors.push((Door::Shell, fd)),
            AGENT => doors.push((Door::Agent, fd)),
            flows::STORED => ends = Some(fd),
            other => complain(&format!(
                "systemd passed a socket named {other:?}, which is not mine"
            )),
        }
    }
    if !doors.iter().any(|(door, _)| *door == Door::Jumpd) {
        return Err("no socket named \"jumpd\": start me through jumpd.socket (systemctl start jumpd.socket)".into());
    }
    let guard_uid = nix::unistd::User::from_name(paths::GUARD_USER)?
        .ok_or_else(|| {
            format!(
                "there is no user {:?}: reinstall the package",
                paths::GUARD_USER
            )
        })?
        .uid
        .as_raw();
    let state = Path::new(paths::RUNTIME_STATE);
    let store = Store::new(Path::new(paths::STATE));
    let generation = match store.load() {
        Ok(Some(generation)) => Some(generation),
        Ok(None) => None,
        Err(e) => {
            // Nobody gets in, but the operator can still apply a good policy.
            complain(&format!(
                "the generation in force cannot be read, so everything is denied: {e}"
            ));
            None
        }
    };
    let jumpd = Arc::new(Jumpd::new(
        generation,
        Sessions::load(state)?,
        Box::new(sealing::open(paths::STATE)?),
        Ca::open(Path::new(paths::CA), sealing::keys()),
        Remembered::load(state)?,
        Journal::open(&state.join("audit.chain")),
    ));
    if let Some(policy) = jumpd.policy() {
        jumpd.warm_names(&policy);
        if let Err(e) = store.publish_known_hosts(&policy) {
            complain(&format!("host keys of targets cannot be published: {e}"));
        }
    }
    jumpd.resume();
    flows::follow(Arc::clone(&jumpd), ends)?;
    endings::watch(Arc::clone(&jumpd))?;
    recorder::watch(Arc::clone(&jumpd))?;
    recorder::look_through(Arc::clone(&jumpd))?;
    let stop = stop::on_signal(signals, Arc::clone(&jumpd))?;
    let server = Arc::new(Server {
        jumpd,
        store,
        guard_uid,
        connections: AtomicUsize::new(0),
        started: Instant::now(),
        stop,
    });
    let mut threads = Vec::new();
    for (door, fd) in doors {
        let server = Arc::clone(&server);
        threads.push(
            std::thread::Builder::new()
                .name(format!("{door:?}"))
                .spawn(move || server.accept(door, &fd))?,
        );
    }
    host::notify_ready();
    for thread in threads {
        thread.join().map_err(|_| "a listening thread died")?;
    }
    // Told to stop: that thread ends the process when the recordings are safe.
    loop {
        std::thread::park();
    }
}

struct Server {
    jumpd: Arc<Jumpd>,
    store: Store,
    guard_uid: u32,
    connections: AtomicUsize,
    started: Instant,
    /// Can be read once no more connections are to be taken.
    stop: OwnedFd,
}

impl Server {
    fn accept(self: &Arc<Self>, door: Door, listener: &OwnedFd) {
        while stop::wait_for(listener.as_fd(), self.stop.as_fd()) {
            match rustix::net::accept_with(listener.as_fd(), rustix::net::SocketFlags::CLOEXEC) {
                Ok(connection) => self.serve_on_thread(door, connection),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => {}
                Err(e) => {
                    complain(&format!("accept: {e}"));
                    // Out of descriptors or memory: give those that are served time to finish.
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }

    fn serve_on_thread(self: &Arc<Self>, door: Door, connection: OwnedFd) {
        if self.connections.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            complain("too many connections; one was closed");
            return;
        }
        let server = Arc::clone(self);
        let spawned = std::thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || {
                let channel = Channel::from(connection);
                // A panic in one connection is a denial for that one: its channel closes.
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    server.serve(door, channel)
                }));
                server.connections.fetch_sub(1, Ordering::Relaxed);
                match outcome {
                    Ok(Ok(()) | Err(ChannelError::Closed)) => {}
                    Ok(Err(e)) => complain(&format!("{door:?}: {e}")),
                    Err(_) => complain("a connection's thread panicked; what it asked was denied"),
                }
            });
        if let Err(e) = spawned {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            complain(&format!("cannot start a thread: {e}"));
        }
    }

    fn serve(&self, door: Door, channel: Channel) -> Result<(), ChannelError> {
        let peer = channel.peer()?;
        match door {
            Door::Jumpd if peer.uid == 0 => self.serve_root(&channel, peer),
            Door::Jumpd if peer.uid == self.guard_uid => self.serve_guard(channel, peer),
            Door::Shell if peer.uid == self.guard_uid => self.serve_shell(&channel, peer),
            Door::Agent if peer.uid == self.guard_uid => self.serve_agent(channel, peer),
            Door::Agent => {
                complain(&format!("a connection of uid {} was refused", peer.uid));
                Ok(())
            }
            _ => {
                complain(&format!("a connection of uid {} was refused", peer.uid));
                channel.send(&refused(Reason::Internal, "not for this user"))
            }
        }
    }

    /// pam_jump and jumpctl.
    fn serve_root(&self, channel: &Channel, peer: PeerCredentials) -> Result<(), ChannelError> {
        channel.set_timeout(Some(TIMEOUT))?;
        let mut waited = false;
        loop {
            let request = match channel.recv::<Request>() {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(()),
                // An operator at a prompt (mfa enroll) keeps the connection; nothing is due.
                Err(ChannelError::TimedOut) if waited => return Ok(()),
                Err(ChannelError::TimedOut) => {
                    waited = true;
                    continue;
                }
                Err(e) => return Err(e),
            };
            if let Request::AuthBegin { login } = request {
                return self.jumpd.authenticate(channel, &login);
            }
            if let Request::Sessions = request {
                self.jumpd.list_sessions(channel)?;
                continue;
            }
            if let Request::MfaExport = request {
                self.jumpd.mfa_export(channel)?;
                continue;
            }
            if let Request::Egress = request {
                self.jumpd.egress(channel)?;
                continue;
            }
            if let Request::SessionFailed { session, detail } = request {
                self.jumpd.session_failed(&session, &detail);
                continue;
            }
            channel.send(&self.answer_root(request, peer))?;
        }
    }

    fn answer_root(&self, request: Request, peer: PeerCredentials) -> Reply {
        let jumpd = &self.jumpd;
        match request {
            Request::Account { login, mark } => jumpd.account(&login, mark.as_ref()),
            Request::OpenSession { login, mark } => {
                jumpd.open_session(&login, mark.as_ref(), peer.pid)
            }
            Request::CloseSession { .. } => Reply::Done,
            Request::Lifetime { login } => jumpd.lifetime(&login),
            Request::Apply => jumpd.apply(&self.store, operator::policy_file()),
            Request::ApplyIfNew => jumpd.apply_if_new(&self.store, operator::policy_file()),
            Request::EgressLoaded { error } => {
                jumpd.egress_loaded(error);
                Reply::Done
            }
            Request::Status => jumpd.status(),
            Request::Explain(ask) => jumpd.explain(&ask),
            Request::MfaEnroll {
                user,
                uid,
                confirm,
                totp,
            } => jumpd.mfa_enroll(&user, uid, confirm, totp),
            Request::MfaConfirm { user, uid, code } => jumpd.mfa_confirm(&user, uid, &code),
            Request::MfaInvite { user, uid, seconds } => jumpd.mfa_invite(&user, uid, seconds),
            Request::MfaStatus { user } => jumpd.mfa_status(user.as_deref()),
            Request::MfaReset { user, uid, record } => jumpd.mfa_reset(&user, uid, record),
            Request::MfaUnlock { user, uid } => jumpd.mfa_unlock(&user, uid),
            Request::MfaRecoveryCodes { user, uid } => jumpd.mfa_recovery_codes(&user, uid),
            Request::MfaAdopt { host } => jumpd.mfa_adopt(&host),
            Request::MfaImport {
                record,
                recovery_codes,
                replace,
            } => jumpd.mfa_import(&record, recovery_codes, &replace),
            Request::MfaRekey { keys } => jumpd.mfa_rekey(&keys),
            Request::RecordingsPrune { dry_run } => jumpd.prune_recordings(dry_run),
            Request::CaInit => jumpd.ca_init(),
            Request::CaShow => jumpd.ca_show(),
            Request::CaRotate { finish } => jumpd.ca_rotate(finish),
            Request::Session { session } => jumpd.show_session(&session),
            Request::Kill { session } => jumpd.kill(&session),
            _ => refused(Reason::Internal, "not a request of root's"),
        }
    }

    /// A session's guard, which asks for its own session only.
    fn serve_guard(&self, channel: Channel, peer: PeerCredentials) -> Result<(), ChannelError> {
        channel.set_timeout(Some(TIMEOUT))?;
        let Some(request) = channel.recv::<Request>()? else {
            return Ok(());
        };
        let jumpd = &self.jumpd;
        match request {
            Request::Attach { session, sandbox } => {
                jumpd.attach(channel, peer.pid, &session, &sandbox)
            }
            Request::Judge(ask) => channel.send(&jumpd.judge(&ask, peer.pid)),
            Request::BringAgent { session } => channel.send(&jumpd.bring_agent(&session, peer.pid)),
            Request::UseAgent { session, pid } => {
                channel.send(&jumpd.use_agent(&session, pid, peer.pid))
            }
            Request::Connected {
                session,
                cookie,
                errno,
            } => {
                jumpd.connected(&session, cookie, errno, peer.pid);
                channel.send(&Reply::Done)
            }
            Request::FlowCut {
                session,
                cookie,
                bytes_sent,
                bytes_received,
            } => {
                let cut = CutFlow {
                    cookie,
                    bytes_sent,
                    bytes_received,
                };
                jumpd.flows_cut(&session, &[cut], peer.pid);
                channel.send(&Reply::Done)
            }
            Request::FlowsCut { session, flows } => {
                jumpd.flows_cut(&session, &flows, peer.pid);
                channel.send(&Reply::Done)
            }
            Request::RefusedLocally {
                session,
                reason,
                destination,
                detail,
            } => {
                let detail = detail.as_deref();
                let known = jumpd.refused_locally(&session, reason, destination, detail, peer.pid);
                channel.send(&if known {
                    Reply::Done
                } else {
                    refused(Reason::NoSession, "no such session of this guard's")
                })
            }
            Request::Ended { session } => {
                jumpd.ended(&session, peer.pid);
                channel.send(&Reply::Done)
            }
            _ => channel.send(&refused(Reason::Internal, "not a request of a guard's")),
        }
    }

    /// The session that a guard attests. After a start the guards take their posts again within a moment,
    /// and a shell that goes on with a recording may be here before its guard.
    fn attested(&self, guard: i32) -> Option<SessionId> {
        loop {
            let session = self.jumpd.attested(guard);
            if session.is_some() || self.started.elapsed() > GUARDS_COME {
                return session;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// jump-shell: one session's requests, for as long as the shell lives.
    fn serve_shell(&self, channel: &Channel, peer: PeerCredentials) -> Result<(), ChannelError> {
        let Some(session) = self.attested(peer.pid) else {
            return channel.send(&refused(Reason::NoSession, "This session is not known."));
        };
        channel.set_timeout(None)?;
        // Guards of earlier releases do not say; then there are no hops.
        let shell = asking_process(channel.as_fd()).ok().flatten();
        let shell = shell.map(Process::of);
        while let Some(request) = channel.recv::<Request>()? {
            if let Request::Record { .. } | Request::RecordAgain { .. } = request {
                return self.jumpd.record(channel, &session, &request);
            }
            channel.send(&self.jumpd.answer_shell(&session, shell, request))?;
        }
        Ok(())
    }

    /// ssh of a hop, until it has logged in.
    fn serve_agent(&self, channel: Channel, peer: PeerCredentials) -> Result<(), ChannelError> {
        let Some(session) = self.jumpd.attested(peer.pid) else {
            complain("ssh of a session that is not known asked for a key");
            return Ok(());
        };
        Ok(agent::serve(&self.jumpd, channel.into(), &session)?)
    }
}
