//! The recorder of a hop, as the shell speaks to it ([`jump_proto::hop`]).
//!
//! Every packet counts as one, and the recorder says how many it has kept; what it
//! keeps may be shown. It is told apart from one that is dead, or stands still, by
//! a bounded patience. Before jumpd is started anew it says so; then nothing more
//! is shown until its successor has what was not kept.

use super::output::Output;
use jump_proto::hop::{FromRecorder, FromShell, RECORDER_PATIENCE, RECORDER_UPGRADE, SIGN_OF_LIFE};
use jump_proto::{Channel, HopId, Reply, Request, TIMEOUT};
use rustix::event::PollFlags;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longer than any packet of the recorder's.
const PACKET: usize = 8 * 1024;

/// Packets that may wait for an answer: all slots of output, and some signs of life and sizes.
const WAITING: usize = 64;

/// How often its successor is looked for.
const AGAIN: Duration = Duration::from_millis(50);

/// How long one look may take.
const LOOK: Duration = Duration::from_secs(1);

/// Why a recording did not begin, or ended before its hop.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The recorder says why; a sentence.
    Told(String),
    /// It is gone, stands still, or speaks another language.
    Silent,
}

/// A packet that was, or is to be, sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packet {
    /// The next slot of output.
    Output,
    /// What ssh was asked for.
    Asked,
    Size(u16, u16),
    Alive,
    Over(u8),
}

/// The way to the recorder.
#[derive(Debug)]
enum Link {
    Open(OwnedFd),
    /// Its successor is looked for.
    Away {
        next: Instant,
    },
    /// Its successor was asked, and has not answered.
    Asked(Channel),
    /// Everything is kept, and the hop over.
    Done,
}

/// One hop's recording.
#[derive(Debug)]
pub(super) struct Recorder {
    socket: PathBuf,
    hop: HopId,
    link: Link,
    /// Packets that are not kept, oldest first.
    waiting: VecDeque<Packet>,
    /// What ssh was asked for.
    asked: String,
    /// How many of them are sent.
    sent: usize,
    /// How many packets were kept on this connection.
    counted: u64,
    /// The first slot of output that is not sent.
    next_slot: u64,
    /// The first slot of output that is not among `waiting`.
    next_output: u64,
    /// The socket takes no more now.
    is_full: bool,
    last_sent: Instant,
    /// Since when an answer is due.
    due: Option<Instant>,
    /// Since when the recorder is away.
    away: Instant,
    /// Memory of packets that are not output.
    scratch: Vec<u8>,
    answer: Vec<u8>,
    /// What the user is to be told, the hop going on.
    notices: Vec<String>,
}

/// The terminal that is recorded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen<'t> {
    pub(super) cols: u16,
    pub(super) rows: u16,
    pub(super) term: Option<&'t str>,
}

impl Recorder {
    /// Asks for the recording of `hop` on a connection of its own. Its first frame is a marker with what ssh was asked
    /// for: a command that prints nothing would leave no trace.
    pub(super) fn begin(
        socket: &Path,
        hop: &HopId,
        screen: Screen<'_>,
        asked: String,
    ) -> Result<Self, Lost> {
        let channel = Channel::connect(socket, TIMEOUT).map_err(|_| Lost::Silent)?;
        let question = Request::Record {
            hop: hop.clone(),
            cols: screen.cols,
            rows: screen.rows,
            term: screen.term.map(str::to_owned),
        };
        match channel.call(&question) {
            Ok(Reply::Recording) => {}
            Ok(Reply::Refused { message, .. }) => return Err(Lost::Told(message)),
            _ => return Err(Lost::Silent),
        }
        let link = channel.into();
        Ok(Self::begun(socket, hop, link, asked, Instant::now()))
    }

    /// One that the recorder at the other end of `link` has taken on.
    fn begun(socket: &Path, hop: &HopId, link: OwnedFd, asked: String, now: Instant) -> Self {
        let mut waiting = VecDeque::with_capacity(WAITING);
        waiting.push_back(Packet::Asked);
        Self {
            socket: socket.to_owned(),
            hop: hop.clone(),
            link: Link::Open(link),
            waiting,
            asked,
            sent: 0,
            counted: 0,
            next_slot: 0,
            next_output: 0,
            is_full: false,
            last_sent: now,
            due: None,
            away: now,
            scratch: Vec::with_capacity(16),
            answer: vec![0; PACKET],
            notices: Vec::new(),
        }
    }

    /// The terminal has another size.
    pub(super) fn resized(&mut self, cols: u16, rows: u16) {
        // Of sizes in a row that are not sent, the last counts.
        if self.waiting.len() > self.sent
            && let Some(Packet::Size(old_cols, old_rows)) = self.waiting.back_mut()
        {
            (*old_cols, *old_rows) = (cols, rows);
            return;
        }
        self.waiting.push_back(Packet::Size(cols, rows));
    }

    /// The hop is over, and all its output is in `output`.
    pub(super) fn over(&mut self, status: u8, output: &Output) {
        self.take_output(output);
        self.waiting.push_back(Packet::Over(status));
    }

    /// Whether somebody records: not while a successor is looked for.
    pub(super) fn is_there(&self) -> bool {
        matches!(self.link, Link::Open(_))
    }

    /// Whether everything is kept, the end as well.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.link, Link::Done)
    }

    /// Sentences for the user.
    pub(super) fn notices(&mut self) -> impl Iterator<Item = String> + '_ {
        self.notices.drain(..)
    }

    /// What to wait for at the recorder.
    pub(super) fn awaited(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match &self.link {
            Link::Open(link) => {
                let mut events = PollFlags::IN;
                events.set(PollFlags::OUT, self.is_full);
                Some((link.as_fd(), events))
            }
            Link::Asked(channel) => Some((channel.as_fd(), PollFlags::IN)),
            Link::Away { .. } | Link::Done => None,
        }
    }

    /// When there is something to do though nothing happened.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.link {
            Link::Open(_) => {
                let sign = self.last_sent + SIGN_OF_LIFE;
                Some(
                    self.due
                        .map_or(sign, |due| sign.min(due + RECORDER_PATIENCE)),
                )
            }
            Link::Away { next } => Some(*next),
            Link::Asked(_) => Some(self.away + RECORDER_UPGRADE),
            Link::Done => None,
        }
    }

    /// Sends what is new in `output`, and what else is due.
    pub(super) fn send(&mut self, output: &Output, now: Instant) -> Result<(), Lost> {
        self.take_output(output);
        let Link::Open(link) = &self.link else {
            return self.go_on(now);
        };
        if self.sent == self.waiting.len()
            && now.saturating_duration_since(self.last_sent) >= SIGN_OF_LIFE
        {
            self.waiting.push_back(Packet::Alive);
        }
        self.is_full = false;
        while let Some(packet) = self.waiting.get(self.sent) {
            let bytes = match packet {
                Packet::Output => output.packet(self.next_slot),
                Packet::Asked => {
                    FromShell::Marker(&self.asked).put(&mut self.scratch);
                    &self.scratch
                }
                other => {
                    other.put(&mut self.scratch);
                    &self.scratch
                }
            };
            match rustix::net::send(link, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(_) => {
                    self.next_slot += u64::from(*packet == Packet::Output);
                    self.sent += 1;
                    self.last_sent = now;
                    self.due.get_or_insert(now);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.is_full = true;
                    self.due.get_or_insert(now);
                    break;
                }
                // What it said before it went is still to be read.
                Err(_) => break,
            }
        }
        match self.due {
            Some(due) if now.saturating_duration_since(due) >= RECORDER_PATIENCE => {
                Err(Lost::Silent)
            }
            _ => Ok(()),
        }
    }

    /// Hears what the recorder says, where [`Recorder::awaited`] is ready.
    pub(super) fn hear(&mut self, output: &mut Output, now: Instant) -> Result<(), Lost> {
        let link = match &self.link {
            Link::Open(link) => link,
            Link::Asked(_) => return self.answered(output, now),
            Link::Away { .. } | Link::Done => return Ok(()),
        };
        let mut receive = || rustix::net::recv(link, &mut self.answer[..], RecvFlags::DONTWAIT);
        let received = match receive() {
            // One that closed with packets unread says so once, before its last words.
            Err(Errno::CONNRESET) => receive(),
            other => other,
        };
        let count = match received {
            Ok((count, _)) => count,
            Err(Errno::INTR | Errno::AGAIN) => return Ok(()),
            Err(_) => 0,
        };
        if count == 0 {
            return Err(Lost::Silent);
        }
        match FromRecorder::get(&self.answer[..count]) {
            Ok(FromRecorder::Kept(count)) => self.kept(count, output, now),
            Ok(FromRecorder::Notice(text)) => {
                self.notices.push(text);
                Ok(())
            }
            Ok(FromRecorder::End(text)) => Err(Lost::Told(text)),
            Ok(FromRecorder::ComeAgain) => {
                // It has said what it kept, and waits for this end to close.
                self.away = now;
                self.link = Link::Away { next: now };
                Ok(())
            }
            Err(_) => Err(Lost::Silent),
        }
    }

    fn kept(&mut self, count: u64, output: &mut Output, now: Instant) -> Result<(), Lost> {
        let more = count
            .checked_sub(self.counted)
            .and_then(|more| usize::try_from(more).ok())
            .filter(|more| *more <= self.sent);
        // More than was sent, or less than before.
        let Some(more) = more else {
            return Err(Lost::Silent);
        };
        let mut slots = 0;
        for packet in self.waiting.drain(..more) {
            slots += u64::from(packet == Packet::Output);
            if let Packet::Over(_) = packet {
                self.link = Link::Done;
            }
        }
        output.keep(slots);
        self.counted = count;
        self.sent -= more;
        if more > 0 {
            self.due = (!self.waiting.is_empty()).then_some(now);
        }
        Ok(())
    }

    /// New slots of output are packets that wait.
    fn take_output(&mut self, output: &Output) {
        while self.next_output < output.filled() {
            self.waiting.push_back(Packet::Output);
            self.next_output += 1;
        }
    }

    /// Looks for the successor of a recorder that went.
    fn go_on(&mut self, now: Instant) -> Result<(), Lost> {
        match &self.link {
            Link::Away { .. } | Link::Asked(_)
                if now.saturating_duration_since(self.away) >= RECORDER_UPGRADE =>
            {
                return Err(Lost::Silent);
            }
            Link::Away { next } if now >= *next => {
                self.link = match self.ask() {
                    Some(channel) => Link::Asked(channel),
                    None => Link::Away { next: now + AGAIN },
                };
            }
            _ => {}
        }
        Ok(())
    }

    fn ask(&self) -> Option<Channel> {
        let channel = Channel::connect(&self.socket, LOOK).ok()?;
        let hop = self.hop.clone();
        channel.send(&Request::RecordAgain { hop }).ok()?;
        Some(channel)
    }

    /// The successor's answer: what was not kept is sent again.
    fn answered(&mut self, output: &Output, now: Instant) -> Result<(), Lost> {
        let away = Link::Away { next: now + AGAIN };
        let Link::Asked(channel) = std::mem::replace(&mut self.link, away) else {
            return Ok(());
        };
        match channel.recv::<Reply>() {
            Ok(Some(Reply::Recording)) => {}
            Ok(Some(Reply::Refused { message, .. })) => return Err(Lost::Told(message)),
            // It may have gone as well, or be the one that goes.
            _ => return Ok(()),
        }
        self.link = Link::Open(channel.into());
        self.sent = 0;
        self.counted = 0;
        self.next_slot = output.kept();
        self.due = None;
        self.last_sent = now;
        self.send(output, now)
    }
}

impl Packet {
    fn put(self, scratch: &mut Vec<u8>) {
        match self {
            // Their bytes are elsewhere.
            Self::Output | Self::Asked => FromShell::Output(&[]),
            Self::Size(cols, rows) => FromShell::Size { cols, rows },
            Self::Alive => FromShell::Alive,
            Self::Over(status) => FromShell::Over { status },
        }
        .put(scratch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

    const PACKETS: (AddressFamily, SocketType) = (AddressFamily::UNIX, SocketType::SEQPACKET);

    /// Somebody who listens and never answers.
    fn silent(path: &Path) -> OwnedFd {
        let (family, kind) = PACKETS;
        let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None).unwrap();
        rustix::net::bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        rustix::net::listen(&socket, 1).unwrap();
        socket
    }

    /// A recording whose recorder has asked to come again; its successor is to be at `socket`.
    fn left_alone(socket: &Path, output: &mut Output, now: Instant) -> Recorder {
        let (family, kind) = PACKETS;
        let (near, far) =
            rustix::net::socketpair(family, kind, SocketFlags::CLOEXEC, None).unwrap();
        let hop = HopId::from_bytes([9; 16]);
        let mut recorder = Recorder::begun(socket, &hop, near, "ssh db1".into(), now);
        recorder.send(output, now).unwrap();
        let mut packet = Vec::new();
        FromRecorder::ComeAgain.put(&mut packet);
        rustix::net::send(&far, &packet, SendFlags::empty()).unwrap();
        recorder.hear(output, now).unwrap();
        recorder
    }

    #[test]
    fn a_successor_is_waited_for_no_longer_than_an_upgrade_takes() {
        let folder = tempfile::tempdir().unwrap();
        for answers in ["nobody", "silent"] {
            let socket = folder.path().join(answers);
            let _silent = (answers == "silent").then(|| silent(&socket));
            let now = Instant::now();
            let mut output = Output::new();
            let mut recorder = left_alone(&socket, &mut output, now);
            let limit = now + RECORDER_UPGRADE;
            for later in [now, now + AGAIN, limit.checked_sub(AGAIN).unwrap()] {
                assert_eq!(recorder.send(&output, later), Ok(()), "{answers}");
                // Nothing is typed meanwhile, and the end is looked for in time.
                assert!(!recorder.is_there(), "{answers}");
                let due = recorder.deadline().unwrap();
                assert!(due <= limit, "{answers}: {:?} late", due - limit);
            }
            assert_eq!(
                recorder.send(&output, limit),
                Err(Lost::Silent),
                "{answers}"
            );
        }
    }
}
