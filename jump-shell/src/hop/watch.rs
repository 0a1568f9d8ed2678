//! One poll(2) over the few files of a hop, without memory of its own.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// The most files that are watched at once.
const MOST: usize = 10;

/// What a file is in a hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Where the user types.
    Typed,
    /// What ssh reads, where that is a file of its own.
    Input,
    /// What ssh says, and by standard error.
    Said,
    SaidErrors,
    Runner,
    Signals,
    Recorder,
    Desk,
    /// Where the user reads, and where standard error goes.
    User,
    Errors,
}

/// Files that are watched for something.
#[derive(Debug)]
pub(super) struct Watch<'f> {
    fds: [PollFd<'f>; MOST],
    places: [Place; MOST],
    count: usize,
}

/// Where something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ready {
    places: u16,
    broken: u16,
}

impl Ready {
    pub(super) fn at(self, place: Place) -> bool {
        self.places & 1 << place as u16 != 0
    }

    /// Whether the other end is gone.
    pub(super) fn is_broken(self, place: Place) -> bool {
        self.broken & 1 << place as u16 != 0
    }
}

impl<'f> Watch<'f> {
    /// For the end at which the user reads.
    pub(super) fn new(user: BorrowedFd<'f>, events: PollFlags) -> Self {
        let unused = |_| PollFd::from_borrowed_fd(user, PollFlags::empty());
        let mut watch = Self {
            fds: std::array::from_fn(unused),
            places: [Place::User; MOST],
            count: 0,
        };
        watch.add(Place::User, user, events);
        watch
    }

    pub(super) fn add(&mut self, place: Place, file: BorrowedFd<'f>, events: PollFlags) {
        if let Some(fd) = self.fds.get_mut(self.count) {
            *fd = PollFd::from_borrowed_fd(file, events);
            self.places[self.count] = place;
            self.count += 1;
        }
    }

    /// Waits until something happens, or until `due`.
    pub(super) fn wait(mut self, now: Instant, due: Option<Instant>) -> Ready {
        let pause = due.map(|due| timespec(due.saturating_duration_since(now)));
        let fds = &mut self.fds[..self.count];
        let mut ready = Ready::default();
        if poll(fds, pause.as_ref()).is_err() {
            return ready;
        }
        for (fd, place) in fds.iter().zip(self.places) {
            let happened = fd.revents();
            let bit = 1 << place as u16;
            if !happened.is_empty() {
                ready.places |= bit;
            }
            if happened.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
                ready.broken |= bit;
            }
        }
        ready
    }
}

fn timespec(pause: Duration) -> Timespec {
    Timespec {
        tv_sec: pause.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: pause.subsec_nanos().into(),
    }
}
