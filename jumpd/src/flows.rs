//! The ends of connections, told by the kernel: exact bytes and the moment.
//!
//! Every TCP socket of the host is announced once, when it is destroyed, with
//! its cookie. Those that jumpd allowed are found by that cookie; the rest is
//! not ours.

use crate::host;
use crate::judge::flow_event;
use crate::state::{Jumpd, complain};
use jump_proto::Reason;
use jump_sys::sockdiag::{DestroyEvents, TcpDestroyed};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};

/// The name under which systemd keeps the socket of the announcements while
/// jumpd is restarted (`FDNAME=`, sd_notify(3)): what ends meanwhile waits in it.
pub(crate) const STORED: &str = "tcp-ends";

/// Follows the kernel's announcements on threads of its own, on the socket of the jumpd before this one if there was one.
///
/// # Errors
/// When the kernel does not announce; then no forward could be accounted for.
pub(crate) fn follow(jumpd: Arc<Jumpd>, stored: Option<OwnedFd>) -> std::io::Result<()> {
    let events = match stored {
        Some(socket) => DestroyEvents::from(socket),
        None => {
            let events = DestroyEvents::open()?;
            host::keep(STORED, events.as_fd());
            events
        }
    };
    // Read at once, written down in its time: the kernel keeps few of them, and
    // hundreds of sessions may end in one moment.
    let (queue, ends) = mpsc::channel();
    let reader = Arc::clone(&jumpd);
    std::thread::Builder::new()
        .name("flow-ends".to_owned())
        .spawn(move || {
            for event in events {
                match event {
                    Ok(end) => {
                        reader.ends_waiting.fetch_add(1, Ordering::SeqCst);
                        if queue.send(end).is_err() {
                            return;
                        }
                    }
                    // ENOBUFS: some ends are lost; their flows are closed when their sockets are missed.
                    Err(e) => complain(&format!("ends of connections may be missed: {e}")),
                }
            }
        })?;
    std::thread::Builder::new()
        .name("flows".to_owned())
        .spawn(move || {
            for end in ends {
                jumpd.flow_ended(&end);
                jumpd.ends_waiting.fetch_sub(1, Ordering::SeqCst);
            }
        })?;
    Ok(())
}

impl Jumpd {
    fn flow_ended(&self, end: &TcpDestroyed) {
        let event = {
            let mut sessions = self.sessions();
            let Some(session) = sessions
                .iter_mut()
                .find(|s| s.flows.contains_key(&end.cookie))
            else {
                return;
            };
            let Some(flow) = session.flows.remove(&end.cookie) else {
                return;
            };
            // A reset wipes the kernel's counters; the guard read them before.
            let (sent, received) = flow.cut.unwrap_or((end.bytes_sent, end.bytes_received));
            session.sent = session.sent.saturating_add(sent);
            session.received = session.received.saturating_add(received);
            let id = session.id.clone();
            // A guard that dies takes the session's processes, and so its connections, along.
            let guard_lost =
                session.was_guarded && session.guard.is_none() && session.gone_since.is_none();
            let why = flow.revoked.map(|(why, _)| why).or(session.ending);
            let why = why.or(guard_lost.then_some(Reason::GuardLost));
            // Its end is a sign of use, but for a cut.
            if why.is_none() {
                session.is_active();
            }
            let event = flow_event(session, &flow).bytes(sent, received);
            let event = if end.established || flow.cut.is_some() {
                event.success().reason(why.unwrap_or(Reason::ClosedByPeer))
            } else if let Some(ending) = why {
                // Cut: a reset wipes the counters.
                event.success().reason(ending).detail("bytes unknown")
            } else {
                event.failure().reason(Reason::ConnectFailed)
            };
            if let Err(e) = sessions.save(&id) {
                complain(&format!("session {id} cannot be written down: {e}"));
            }
            event
        };
        self.note(event);
    }
}
