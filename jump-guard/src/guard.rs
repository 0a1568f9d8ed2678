//! The main loop of one session's guard.
//!
//! One thread receives; each connect gets a thread of its own, because jumpd
//! may take seconds and a TCP handshake minutes, and everything else of the
//! session must not wait for it. A further thread holds the connection on
//! which jumpd pushes, and makes it anew for as long as jumpd is away; another
//! tells jumpd what was refused without asking it.

use crate::budget::Budget;
use crate::connect::Connects;
use crate::cut::Cuts;
use crate::deadline::Deadline;
use crate::decision;
use crate::end::{End, collect_sockets};
use crate::members::Members;
use crate::own_agent::OwnAgent;
use crate::places::Places;
use crate::post::attach;
use crate::refusals::{Refusal, Refusals};
use crate::report::complain;
use jump_proto::{Channel, Push, Reason, Reply, Request, SessionId, TIMEOUT};
use jump_sys::process::{PidFd, allow_interrupts};
use jump_sys::seccomp::{Answer, Listener, Notification};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Calls of one session that are being worked on at the same time.
const AT_ONCE: usize = 64;
/// Lines in the unit's journal that one session may cause at once; then one for each [`LINE`].
const LINES: u32 = 100;
const LINE: Duration = Duration::from_secs(1);
/// How long the last refusals may take to be told.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How often deadlines and members are looked at.
const TICK: u16 = 1000;
/// How often an interrupted call is looked for while a handshake is under way.
const WATCH: u16 = 100;
/// How often the end of the session is pressed on.
const PRESS: u16 = 25;
/// How long after losing jumpd it is tried again at first.
const SOON: Duration = Duration::from_millis(50);
/// How long a session's last processes may outlive sshd's monitor.
const GOODBYE: Duration = Duration::from_millis(200);
/// How long between two tries to reach jumpd, at the most.
const AGAIN: Duration = Duration::from_secs(1);
/// A thread here needs no more.
const STACK: usize = 256 * 1024;

/// What the handshake established.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) session: SessionId,
    pub(crate) monitor: i32,
    pub(crate) waitkill: bool,
    pub(crate) sandbox: String,
    pub(crate) listener: Listener,
    pub(crate) ends_ms: Option<i64>,
}

/// A session under guard.
pub(crate) struct Guard {
    pub(crate) session: SessionId,
    pub(crate) waitkill: bool,
    pub(crate) places: Places,
    pub(crate) listener: Listener,
    pub(crate) connects: Connects,
    pub(crate) cuts: Cuts,
    /// The agent that the user brought along, if one was let in.
    pub(crate) agent: Mutex<Option<OwnAgent>>,
    /// How often one was asked for.
    pub(crate) agents_brought: AtomicU32,
    /// Device and inode of jump-shell when the session began: still its own after an upgrade.
    pub(crate) shell: Option<(u64, u64)>,
    /// The same of the OpenSSH client.
    pub(crate) ssh: Option<(u64, u64)>,
    sandbox: String,
    ends: Deadline,
    ending: Mutex<Option<&'static str>>,
    busy: AtomicUsize,
    members: Mutex<Members>,
    refusals: Refusals,
    lines: Mutex<(Budget, u64)>,
    wake: UnixStream,
}

/// A lock that a panicked thread left is taken: the process is about to abort anyway.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A guard that has not begun yet.
pub(crate) struct Ready {
    guard: Arc<Guard>,
    woken: UnixStream,
}

impl Guard {
    pub(crate) fn prepare(post: Post, places: Places) -> io::Result<Ready> {
        allow_interrupts()?;
        let (woken, wake) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        wake.set_nonblocking(true)?;
        let guard = Self {
            session: post.session,
            waitkill: post.waitkill,
            shell: decision::identity(&places.shell),
            ssh: decision::identity(&places.ssh),
            places,
            listener: post.listener,
            connects: Connects::default(),
            cuts: Cuts::default(),
            agent: Mutex::new(None),
            agents_brought: AtomicU32::new(0),
            sandbox: post.sandbox,
            ends: Deadline::at(post.ends_ms),
            ending: Mutex::new(None),
            busy: AtomicUsize::new(0),
            members: Mutex::new(Members::of(post.monitor)),
            refusals: Refusals::new(),
            lines: Mutex::new((Budget::new(LINES, LINE, Instant::now()), 0)),
            wake,
        };
        Ok(Ready {
            guard: Arc::new(guard),
            woken,
        })
    }

    /// Why the session is being ended, if it is.
    pub(crate) fn ending(&self) -> Option<&'static str> {
        *lock(&self.ending)
    }

    pub(crate) fn members(&self) -> MutexGuard<'_, Members> {
        lock(&self.members)
    }

    fn end_because(&self, why: &'static str) {
        lock(&self.ending).get_or_insert(why);
        self.wake();
    }

    fn wake(&self) {
        // Full means that the loop is about to look anyway.
        let _awake = (&self.wake).write(&[1]);
    }

    /// Has jumpd told of a refusal that it was not asked about, without waiting for it.
    pub(crate) fn refused_locally(&self, reason: Reason, destination: Option<SocketAddr>) -> bool {
        let refusal = Refusal {
            reason,
            destination,
            detail: None,
        };
        self.refusals.note("connect", refusal, Instant::now())
    }

    /// As [`Guard::refused_locally`], of a call that nobody may make.
    pub(crate) fn refused_call(&self, call: &'static str, detail: String) -> bool {
        let refusal = Refusal {
            reason: Reason::ForbiddenCall,
            destination: None,
            detail: Some(detail),
        };
        self.refusals.note(call, refusal, Instant::now())
    }

    /// A line for the unit's journal. A session cannot make lines without end.
    pub(crate) fn complain(&self, what: std::fmt::Arguments<'_>) {
        let unwritten = {
            let mut lines = lock(&self.lines);
            if !lines.0.take(Instant::now()) {
                lines.1 += 1;
                return;
            }
            std::mem::take(&mut lines.1)
        };
        if unwritten > 0 {
            complain(format_args!(
                "session={} {unwritten} lines were not written",
                self.session
            ));
        }
        complain(format_args!("session={} {what}", self.session));
    }

    /// Answers a call; one that no longer waits needs none.
    pub(crate) fn answer(&self, id: u64, answer: Answer) -> bool {
        self.listener.send(id, answer).unwrap_or_else(|e| {
            self.complain(format_args!("cannot answer a call: {e}"));
            false
        })
    }
}

/// A question to jumpd over a connection of its own: it outlives jumpd's restarts.
pub(crate) fn ask(guard: &Guard, request: &Request) -> Result<Reply, jump_proto::ChannelError> {
    Channel::connect(&guard.places.jumpd, TIMEOUT)?.call(request)
}

impl Ready {
    /// Guards the session until its last process is gone.
    pub(crate) fn stand(self, jumpd: Channel) {
        let Self { guard, woken } = self;
        let threads = [
            spawn({
                let guard = Arc::clone(&guard);
                move || hear(&guard, jumpd)
            }),
            spawn({
                let guard = Arc::clone(&guard);
                move || tell(&guard)
            }),
        ];
        if threads.iter().any(Result::is_err) {
            guard.end_because("the guard cannot start its threads");
        }
        watch(&guard, &woken);
        said_goodbye(&guard);
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .stack_size(STACK)
        .spawn(work)
        .map(drop)
}

/// The loop. Returns when the kernel says that no filtered process is left.
fn watch(guard: &Arc<Guard>, mut woken: &UnixStream) {
    let mut end: Option<End> = None;
    let mut last_tick = Instant::now();
    let mut last_watch = Instant::now();
    let sshd = guard
        .members()
        .monitor()
        .and_then(|monitor| PidFd::open_process(monitor).ok());
    let mut left: Option<Instant> = None;
    loop {
        let pause = match (&end, guard.connects.waiting()) {
            (Some(_), _) => PRESS,
            (None, _) if guard.cuts.pending() || left.is_some() => PRESS,
            (None, true) => WATCH,
            (None, false) => TICK,
        };
        let mut fds = vec![
            PollFd::new(guard.listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(woken.as_fd(), PollFlags::POLLIN),
        ];
        // Ready for ever once it is dead (pidfd_open(2)).
        let alive = sshd.as_ref().filter(|_| left.is_none());
        fds.extend(alive.map(|sshd| PollFd::new(sshd.as_fd(), PollFlags::POLLIN)));
        if poll(&mut fds, PollTimeout::from(pause)).is_err() {
            // EINTR; a tick that comes early does no harm.
            continue;
        }
        let events = fds[0].revents().unwrap_or(PollFlags::empty());
        let news = fds[1].any().unwrap_or(false);
        if fds.get(2).is_some_and(|fd| fd.any().unwrap_or(false)) {
            left = Some(Instant::now());
        }
        if events.contains(PollFlags::POLLIN) {
            receive(guard);
        } else if events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL) {
            if let Some(end) = end.take() {
                end.finish(guard);
            }
            return;
        }
        if news {
            let _drained = woken.read(&mut [0; 64]);
        }
        if last_watch.elapsed() >= Duration::from_millis(WATCH.into()) {
            last_watch = Instant::now();
            guard.connects.interrupt_the_gone(&guard.listener);
        }
        if last_tick.elapsed() >= Duration::from_millis(TICK.into()) {
            last_tick = Instant::now();
            guard.members().look();
            forget_closed(guard);
        }
        if left.is_some_and(|since| since.elapsed() > GOODBYE) {
            guard.end_because("sshd has left it");
        }
        if guard.ends.is_over() {
            guard.end_because("its time is over");
        }
        guard.cuts.press(guard);
        if let Some(why) = guard.ending() {
            end.get_or_insert_with(|| End::begin(guard, why))
                .press(guard);
        }
    }
}

/// A session that opens connections for hours must not fill the memory of its guard.
fn forget_closed(guard: &Guard) {
    let Some(mut known) = guard.connects.crowded() else {
        return;
    };
    for pid in guard.members().all(true) {
        collect_sockets(pid, |cookie, _, _| {
            known.remove(&cookie);
        });
    }
    guard.connects.forget_closed(&known);
}

fn receive(guard: &Arc<Guard>) {
    let notification = match guard.listener.recv() {
        Ok(Some(notification)) => notification,
        Ok(None) => return,
        Err(e) => {
            guard.complain(format_args!("cannot receive a call: {e}"));
            // Not a busy loop on an error that lasts.
            thread::sleep(Duration::from_millis(10));
            return;
        }
    };
    let Some(question) = decision::at_once(guard, &notification) else {
        return;
    };
    if guard.busy.fetch_add(1, Ordering::Relaxed) >= AT_ONCE {
        guard.busy.fetch_sub(1, Ordering::Relaxed);
        overload(guard, &notification);
        return;
    }
    let worker = Arc::clone(guard);
    let spawned = spawn(move || {
        decision::decide(&worker, &notification, question);
        worker.busy.fetch_sub(1, Ordering::Relaxed);
    });
    if spawned.is_err() {
        guard.busy.fetch_sub(1, Ordering::Relaxed);
        overload(guard, &notification);
    }
}

/// More questions at once than any honest use has.
fn overload(guard: &Guard, notification: &Notification) {
    guard.answer(notification.id, Answer::Errno(nix::libc::ECONNREFUSED));
    guard.refused_locally(Reason::Unavailable, None);
}

/// Holds the connection on which jumpd pushes, and makes it anew when it breaks.
fn hear(guard: &Guard, jumpd: Channel) {
    let mut connection = Some(jumpd);
    let mut pause = SOON;
    loop {
        while let Some(channel) = &connection {
            match channel.recv::<Push>() {
                Ok(Some(Push::End { reason })) => {
                    guard.complain(format_args!("jumpd ends this session: {reason}"));
                    guard.end_because("jumpd says so");
                }
                Ok(Some(Push::EndsAt { ends_ms })) => guard.ends.set(ends_ms),
                Ok(Some(Push::Cut { cookies, reason })) => {
                    guard.complain(format_args!(
                        "jumpd cuts {} connections of this session: {reason}",
                        cookies.len()
                    ));
                    guard.cuts.revoke(&cookies);
                    guard.wake();
                }
                Ok(None) | Err(_) => connection = None,
            }
            pause = SOON;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(AGAIN);
        match attach(&guard.places.jumpd, &guard.session, &guard.sandbox) {
            Ok((channel, ends_ms)) => {
                guard.ends.set(ends_ms);
                connection = Some(channel);
            }
            Err(e) if e.refused => {
                guard.complain(format_args!("{}", e.detail));
                guard.end_because("jumpd does not know it any more");
            }
            // Until it is back, connects are refused and the last known end stands.
            Err(_) => {}
        }
    }
}

/// Tells jumpd what was refused without asking it, at jumpd's pace.
fn tell(guard: &Guard) {
    guard.refusals.tell(|refusal| {
        let request = Request::RefusedLocally {
            session: guard.session.clone(),
            reason: refusal.reason,
            destination: refusal.destination,
            detail: refusal.detail.clone(),
        };
        match ask(guard, &request) {
            Ok(Reply::Done) => true,
            Ok(_) => {
                unwritten(guard, refusal);
                true
            }
            Err(_) => false,
        }
    });
}

/// jumpd cannot write it down, and every refusal must stand in a journal.
fn unwritten(guard: &Guard, refusal: &Refusal) {
    guard.complain(format_args!(
        "forward.denied outcome=failure reason={} destination={:?} detail={:?}: jumpd was not told",
        refusal.reason, refusal.destination, refusal.detail
    ));
}

/// The last process is gone; a jumpd that is away finds out by itself.
fn said_goodbye(guard: &Guard) {
    for refusal in guard.refusals.finish(LAST_WORDS) {
        unwritten(guard, &refusal);
    }
    for _ in 0..3 {
        if ask(
            guard,
            &Request::Ended {
                session: guard.session.clone(),
            },
        )
        .is_ok()
        {
            return;
        }
        thread::sleep(AGAIN / 4);
    }
    guard.complain(format_args!("ended; jumpd was not told"));
}
