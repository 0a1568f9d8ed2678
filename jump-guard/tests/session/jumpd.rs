//! A jumpd that answers as told and remembers what it was asked.

use jump_proto::{Channel, JudgeRequest, Push, Reason, Reply, Request};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Whether a connect is allowed.
pub type Judge = dyn Fn(&JudgeRequest) -> bool + Send + Sync;

pub struct Jumpd {
    /// Every request, in order, but Judge.
    told: Mutex<Vec<Request>>,
    judged: Mutex<Vec<JudgeRequest>>,
    guard: Mutex<Option<Arc<Channel>>>,
    news: Condvar,
    judge: Box<Judge>,
    pub manners: Manners,
}

/// What this jumpd does besides judging.
#[derive(Default)]
pub struct Manners {
    /// `Attached` says this.
    pub ends_ms: Option<i64>,
    /// Attaches beyond this many are refused.
    pub attaches: Option<usize>,
    /// How long it thinks over what became of a connect.
    pub slow_connected: Duration,
    /// How long it thinks over a judgement.
    pub slow_judge: Duration,
    /// Whether the user's agent may come along.
    pub brings_agent: bool,
    /// Whether ssh may use it.
    pub uses_agent: bool,
}

impl Jumpd {
    pub fn new(
        manners: Manners,
        judge: impl Fn(&JudgeRequest) -> bool + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            told: Mutex::default(),
            judged: Mutex::default(),
            guard: Mutex::default(),
            news: Condvar::new(),
            judge: Box::new(judge),
            manners,
        })
    }

    /// Serves `path` until the returned socket is dropped.
    pub fn serve(self: &Arc<Self>, path: &Path) -> Door {
        let socket = seqpacket_listener(path);
        let listener = UnixListener::from(socket.try_clone().unwrap());
        let jumpd = Arc::clone(self);
        thread::spawn(move || {
            while let Ok((connection, _)) = listener.accept() {
                let channel = Channel::from(OwnedFd::from(connection));
                let jumpd = Arc::clone(&jumpd);
                thread::spawn(move || jumpd.connection(channel));
            }
        });
        Door {
            socket,
            path: path.to_owned(),
        }
    }

    fn connection(&self, channel: Channel) {
        let Ok(Some(request)) = channel.recv::<Request>() else {
            return;
        };
        match request {
            Request::Attach { .. } => {
                let attached = self.tell(request, |r| matches!(r, Request::Attach { .. }));
                if self.manners.attaches.is_some_and(|limit| attached > limit) {
                    let _ = channel.send(&Reply::Refused {
                        reason: Reason::NoSession,
                        message: "no".into(),
                    });
                    return;
                }
                // Known before it answers: a story may hang up at once.
                let channel = Arc::new(channel);
                *self.guard.lock().unwrap() = Some(Arc::clone(&channel));
                channel
                    .send(&Reply::Attached {
                        ends_ms: self.manners.ends_ms,
                    })
                    .unwrap();
                let _ = channel.recv::<Request>();
            }
            Request::Judge(judge) => {
                let allowed = (self.judge)(&judge);
                self.judged.lock().unwrap().push(judge);
                thread::sleep(self.manners.slow_judge);
                let reason = if allowed {
                    Reason::RuleAllow
                } else {
                    Reason::NoTarget
                };
                let _ = channel.send(&Reply::Judged { allowed, reason });
            }
            Request::BringAgent { .. } | Request::UseAgent { .. } => {
                let allowed = match request {
                    Request::BringAgent { .. } => self.manners.brings_agent,
                    _ => self.manners.uses_agent,
                };
                self.tell(request, |_| false);
                let reason = Reason::RuleAllow;
                let _ = channel.send(&Reply::Judged { allowed, reason });
            }
            other => {
                let slow = matches!(other, Request::Connected { .. });
                self.tell(other, |_| false);
                if slow {
                    thread::sleep(self.manners.slow_connected);
                }
                let _ = channel.send(&Reply::Done);
            }
        }
    }

    fn tell(&self, request: Request, like: fn(&Request) -> bool) -> usize {
        let mut told = self.told.lock().unwrap();
        told.push(request);
        self.news.notify_all();
        told.iter().filter(|r| like(r)).count()
    }

    /// Every refusal that was told: its reason, and in words what was refused.
    pub fn refusals(&self) -> Vec<(Reason, String)> {
        let told = self.told.lock().unwrap();
        told.iter()
            .filter_map(|request| match request {
                Request::RefusedLocally { reason, detail, .. } => {
                    Some((*reason, detail.clone().unwrap_or_default()))
                }
                _ => None,
            })
            .collect()
    }

    /// Looks at every request but Judge, in order.
    pub fn each(&self, look: impl FnMut(&Request)) {
        self.told.lock().unwrap().iter().for_each(look);
    }

    pub fn judged(&self) -> Vec<JudgeRequest> {
        self.judged.lock().unwrap().clone()
    }

    /// Waits until something was told that `pick` takes.
    pub fn hears<T>(&self, pick: impl Fn(&Request) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(8);
        let mut told = self.told.lock().unwrap();
        loop {
            if let Some(found) = told.iter().find_map(&pick) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "jumpd was told only {told:?}");
            told = self.news.wait_timeout(told, left).unwrap().0;
        }
    }

    pub fn push(&self, push: &Push) {
        self.guard
            .lock()
            .unwrap()
            .as_ref()
            .unwrap()
            .send(push)
            .unwrap();
    }

    /// Breaks the connection to the guard, as a restart does.
    pub fn hang_up(&self) {
        if let Some(channel) = self.guard.lock().unwrap().take() {
            nix::sys::socket::shutdown(
                channel.as_fd().as_raw_fd(),
                nix::sys::socket::Shutdown::Both,
            )
            .unwrap();
        }
    }
}

/// A listening socket; gone from the path when dropped.
pub struct Door {
    socket: OwnedFd,
    path: std::path::PathBuf,
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        let _ =
            nix::sys::socket::shutdown(self.socket.as_raw_fd(), nix::sys::socket::Shutdown::Both);
    }
}

/// A listening SOCK_SEQPACKET socket that anyone may connect to.
pub fn seqpacket_listener(path: &Path) -> OwnedFd {
    let _ = std::fs::remove_file(path);
    let fd = socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    bind(fd.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    listen(&fd, Backlog::new(128).unwrap()).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap();
    fd
}
