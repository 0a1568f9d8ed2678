//! A jumpd, and a guard, that do what a trial says and write down what they are asked.

use jump_proto::handshake::{GuardAnswer, GuardHello};
use jump_proto::{AuthStep, Channel, Login, Reason, Reply, Request, SessionId, paths};
use jump_sys::process::PidFd;
use jump_sys::seccomp::{Answer, Listener};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, listen, send,
    socket,
};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

/// The only code that is ever right.
pub(crate) const RIGHT: &str = "123456";
/// A sentence for the user.
pub(crate) const SENTENCE: &str = "One sentence.";

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Says yes to whoever types [`RIGHT`], and to what comes after; with a sentence where there can be one.
    Fair,
    /// Says no to everything.
    Strict,
    /// As `Fair`, with a guard that does not take its post.
    Unguarded,
    /// Closes every connection at once.
    HangsUp,
    /// Sends these bytes instead of every answer.
    Says(&'static str),
}

/// What it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) question: &'static str,
    pub(crate) login: Login,
    pub(crate) marked: bool,
}

/// The two of them, on threads of this process until it ends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Jumpd {
    asked: Arc<Mutex<Vec<Asked>>>,
    guarded: Arc<Mutex<usize>>,
}

fn mark() -> SessionId {
    SessionId::from_bytes([7; 16])
}

impl Jumpd {
    /// Puts them to work.
    pub(crate) fn start(manner: Manner) -> Self {
        let jumpd = Self::default();
        let (asked, guard) = (jumpd.clone(), jumpd.clone());
        serve(paths::JUMPD_SOCKET, move |fd| {
            asked.answer(manner, fd);
        });
        serve(paths::GUARD_SOCKET, move |fd| {
            guard.guard(manner, &Channel::from(fd));
        });
        jumpd
    }

    /// Everything it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many sessions the guard has taken.
    pub(crate) fn guarded(&self) -> usize {
        *self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, question: &'static str, login: Login, marked: bool) {
        let asked = Asked {
            question,
            login,
            marked,
        };
        self.asked.lock().unwrap().push(asked);
    }

    fn answer(&self, manner: Manner, fd: OwnedFd) {
        match manner {
            Manner::HangsUp => return,
            Manner::Says(text) => {
                let channel = Channel::from(fd);
                let _asked = channel.recv::<Request>();
                let fd = OwnedFd::from(channel);
                // The other side may be gone.
                let _sent = send(fd.as_raw_fd(), text.as_bytes(), MsgFlags::MSG_NOSIGNAL);
                return;
            }
            _ => {}
        }
        let yes = manner != Manner::Strict;
        let jumpd = Channel::from(fd);
        while let Ok(Some(request)) = jumpd.recv::<Request>() {
            let reply = match request {
                Request::AuthBegin { login } => {
                    self.note("authenticate", login, false);
                    Reply::Auth(AuthStep::Prompt {
                        text: "Verification code: ".to_owned(),
                        info: Vec::new(),
                    })
                }
                Request::AuthAnswer { answer } => Reply::Auth(if yes && answer.expose() == RIGHT {
                    AuthStep::Accepted { mark: mark() }
                } else {
                    AuthStep::Denied {
                        message: Some(SENTENCE.to_owned()),
                    }
                }),
                Request::Account { login, mark } => {
                    self.note("account", login, mark.is_some());
                    Reply::Account {
                        allowed: yes,
                        message: Some(SENTENCE.to_owned()),
                    }
                }
                Request::Lifetime { login } => {
                    self.note("lifetime", login, false);
                    Reply::Lifetime { seconds: Some(60) }
                }
                Request::OpenSession {
                    login,
                    mark: marked,
                } => {
                    self.note("open", login, marked.is_some());
                    if yes {
                        Reply::Opened {
                            session: mark(),
                            ends_ms: None,
                        }
                    } else {
                        Reply::Refused {
                            reason: Reason::NoRule,
                            message: SENTENCE.to_owned(),
                        }
                    }
                }
                _ => continue,
            };
            if jumpd.send(&reply).is_err() {
                return;
            }
        }
    }

    fn guard(&self, manner: Manner, session: &Channel) {
        let Ok(Some(hello)) = session.recv::<GuardHello>() else {
            return;
        };
        let listener = (manner == Manner::Fair)
            .then(|| listener_of(session, &hello).ok())
            .flatten();
        let answer = match &listener {
            Some(_) => {
                *self.guarded.lock().unwrap() += 1;
                GuardAnswer::Ready
            }
            None => GuardAnswer::Failed {
                detail: "as it was told".to_owned(),
            },
        };
        let _sent = session.send(&answer);
        while let Some(Ok(Some(call))) = listener.as_ref().map(Listener::recv) {
            // As the guard answers the socket by which libpam would tell the kernel's audit of the session.
            let refused = Answer::Errno(libc::EAFNOSUPPORT);
            let _answered = listener.as_ref().map(|to| to.send(call.id, refused));
        }
    }
}

fn listener_of(
    session: &Channel,
    hello: &GuardHello,
) -> Result<Listener, Box<dyn std::error::Error>> {
    let process = PidFd::open_process(session.peer()?.pid)?;
    Ok(Listener::new(process.get_fd(hello.listener)?)?)
}

fn serve(path: &str, answer: impl Fn(OwnedFd) + Send + Sync + 'static) {
    let none = SockFlag::SOCK_CLOEXEC;
    let listener = socket(AddressFamily::Unix, SockType::SeqPacket, none, None).unwrap();
    bind(listener.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    listen(&listener, Backlog::new(16).unwrap()).unwrap();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        while let Ok(fd) = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            // SAFETY: a new descriptor that nobody else owns.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || answer(fd));
        }
    });
}

/// The same in a process of its own, which ends with this one: so this one has one thread.
pub(crate) fn start_apart(manner: Manner) {
    let (ready, says_ready) = nix::unistd::pipe().unwrap();
    let (life, held) = nix::unistd::pipe().unwrap();
    // SAFETY: this process has one thread so far.
    if let nix::unistd::ForkResult::Child = unsafe { nix::unistd::fork() }.unwrap() {
        drop(held);
        let _jumpd = Jumpd::start(manner);
        nix::unistd::write(&says_ready, b"r").unwrap();
        // Not by PR_SET_PDEATHSIG: a process that Landlock holds sends no signal, dying or not.
        let _end = nix::unistd::read(&life, &mut [0]);
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) };
    }
    drop(says_ready);
    nix::unistd::read(&ready, &mut [0]).unwrap();
    // Open for as long as this process lives.
    std::mem::forget(held);
}
