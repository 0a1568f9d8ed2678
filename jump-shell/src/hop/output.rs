//! What a hop said, from the moment it is read to the moment it is shown.
//!
//! It waits in slots of fixed size, in order, and each slot is a packet of a
//! recording already: nothing is copied, nothing is allocated. A slot is filled from
//! ssh, kept by the recorder (at once where nothing is recorded) and then shown. When
//! all are in use nothing more is read, so ssh, and the target, wait.

use jump_proto::hop::FromShell;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SendFlags;

/// Bytes of output in one slot.
pub(super) const SLOT: usize = 16 * 1024;

/// How many slots there are: a quarter of a megabyte may wait for the recorder.
pub(super) const SLOTS: u64 = 16;

/// A terminal gives its bytes in pieces of at most 4 KiB; a large one has more behind it.
const LARGE: usize = 2048;

/// Which of the user's two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Errors,
}

/// One of the user's two ends, written to without waiting.
#[derive(Debug)]
pub(crate) struct Sink {
    file: OwnedFd,
    is_socket: bool,
}

impl Sink {
    /// The same file as `stdio`, as a description of its own: not to wait is ours alone, and other
    /// users of it go on as they were.
    pub(super) fn of(stdio: BorrowedFd<'_>, path: &str) -> rustix::io::Result<Self> {
        let kind = FileType::from_raw_mode(rustix::fs::fstat(stdio)?.st_mode);
        let is_socket = kind == FileType::Socket;
        let file = if is_socket {
            rustix::io::fcntl_dupfd_cloexec(stdio, 3)?
        } else {
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            rustix::fs::open(path, flags, Mode::empty())?
        };
        Ok(Self { file, is_socket })
    }

    /// Writes as much as is taken now.
    pub(super) fn write(&self, bytes: &[u8]) -> rustix::io::Result<usize> {
        if self.is_socket {
            rustix::net::send(&self.file, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
        } else {
            rustix::io::write(&self.file, bytes)
        }
    }
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// What reading brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filled {
    /// A slot was filled; there may be more.
    Slot,
    /// There is nothing now.
    Nothing,
    /// There will be nothing any more.
    End,
}

/// How far showing came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// All that may be shown.
    All,
    /// This end takes nothing now.
    Waits(Stream),
    /// Nobody reads there any more.
    Gone,
}

#[derive(Debug)]
struct Slot {
    /// A packet: its kind, and then the bytes.
    packet: Vec<u8>,
    stream: Stream,
}

/// All slots. The counts never go back: slot `n` is at `n % SLOTS`.
#[derive(Debug)]
pub(super) struct Output {
    slots: Vec<Slot>,
    filled: u64,
    kept: u64,
    shown: u64,
    /// How much of the packet at `shown` is written, its kind included.
    written: usize,
}

impl Output {
    pub(super) fn new() -> Self {
        let slot = |_| {
            let mut packet = Vec::with_capacity(1 + SLOT);
            FromShell::Output(&[]).put(&mut packet);
            Slot {
                packet,
                stream: Stream::Out,
            }
        };
        Self {
            slots: (0..SLOTS).map(slot).collect(),
            filled: 0,
            kept: 0,
            shown: 0,
            written: 1,
        }
    }

    /// Whether something more may be read.
    pub(super) fn has_room(&self) -> bool {
        self.filled - self.shown < SLOTS
    }

    /// How many slots were filled so far.
    pub(super) fn filled(&self) -> u64 {
        self.filled
    }

    /// How many of them are kept.
    pub(super) fn kept(&self) -> u64 {
        self.kept
    }

    /// Whether everything that was read is shown.
    pub(super) fn is_shown(&self) -> bool {
        self.shown == self.filled
    }

    /// Whether the last slot that was begun is shown to its end.
    pub(super) fn is_between(&self) -> bool {
        self.written == 1
    }

    /// The packet of slot `number`.
    pub(super) fn packet(&self, number: u64) -> &[u8] {
        &self.slots[at(number)].packet
    }

    /// `count` more slots may be shown.
    pub(super) fn keep(&mut self, count: u64) {
        self.kept = self.kept.saturating_add(count).min(self.filled);
    }

    /// Fills the next slot from `source`, which does not block. There must be room.
    pub(super) fn fill(&mut self, source: BorrowedFd<'_>) -> Filled {
        let slot = &mut self.slots[at(self.filled)];
        slot.packet.resize(1 + SLOT, 0);
        let mut end = 1;
        let filled = loop {
            match rustix::io::read(source, &mut slot.packet[end..]) {
                Ok(0) => break Filled::End,
                Ok(count) => {
                    end += count;
                    if count < LARGE || end == slot.packet.len() {
                        break Filled::Slot;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break Filled::Nothing,
                // A terminal that nobody has open any more.
                Err(_) => break Filled::End,
            }
        };
        slot.packet.truncate(end);
        if end == 1 {
            return filled;
        }
        slot.stream = Stream::Out;
        self.filled += 1;
        // An end is told again by the next read.
        Filled::Slot
    }

    /// Fills the next slot with `bytes`, at most [`SLOT`]. There must be room.
    pub(super) fn put(&mut self, bytes: &[u8], stream: Stream) {
        if bytes.is_empty() {
            return;
        }
        let slot = &mut self.slots[at(self.filled)];
        slot.packet.truncate(1);
        slot.packet
            .extend_from_slice(&bytes[..bytes.len().min(SLOT)]);
        slot.stream = stream;
        self.filled += 1;
    }

    /// Writes what is kept, as far as the user takes it.
    pub(super) fn show(&mut self, out: &Sink, errors: &Sink) -> Shown {
        while self.shown < self.kept {
            let slot = &self.slots[at(self.shown)];
            let sink = match slot.stream {
                Stream::Out => out,
                Stream::Errors => errors,
            };
            match sink.write(&slot.packet[self.written..]) {
                Ok(count) => self.written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Shown::Waits(slot.stream),
                Err(_) => return Shown::Gone,
            }
            if self.written == slot.packet.len() {
                self.shown += 1;
                self.written = 1;
            }
        }
        Shown::All
    }
}

/// `bytes` for a terminal that passes them on as they are: it needs a return at each line's end.
pub(super) fn with_returns(bytes: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(bytes.len() * 2);
    let mut last = 0;
    for byte in bytes {
        if *byte == b'\n' && last != b'\r' {
            lines.push(b'\r');
        }
        lines.push(*byte);
        last = *byte;
    }
    lines
}

fn at(number: u64) -> usize {
    // Less than SLOTS.
    usize::try_from(number % SLOTS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};

    fn sink() -> (OwnedFd, Sink) {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let sink = Sink {
            file: writer,
            is_socket: false,
        };
        (reader, sink)
    }

    fn read(from: &OwnedFd) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        let count = rustix::io::read(from, &mut bytes).unwrap_or(0);
        bytes.truncate(count);
        bytes
    }

    #[test]
    fn nothing_is_shown_before_it_is_kept() {
        let (out_reader, out) = sink();
        let (errors_reader, errors) = sink();
        let (source, feed) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let mut output = Output::new();
        rustix::io::write(&feed, b"hello").unwrap();
        assert_eq!(output.fill(source.as_fd()), Filled::Slot);
        assert_eq!(output.fill(source.as_fd()), Filled::Nothing);
        output.put(b"oops", Stream::Errors);
        assert_eq!(output.show(&out, &errors), Shown::All);
        assert_eq!(read(&out_reader), b"");
        output.keep(1);
        assert_eq!(output.show(&out, &errors), Shown::All);
        assert_eq!(
            (read(&out_reader), read(&errors_reader)),
            (b"hello".to_vec(), Vec::new())
        );
        assert!(!output.is_shown());
        output.keep(1);
        assert_eq!(output.show(&out, &errors), Shown::All);
        assert_eq!(read(&errors_reader), b"oops");
        assert!(output.is_shown());
        drop(feed);
        assert_eq!(output.fill(source.as_fd()), Filled::End);
    }

    #[test]
    fn a_quarter_of_a_megabyte_may_wait_and_no_more() {
        let (_reader, out) = sink();
        let (_also, errors) = sink();
        let zeros = rustix::fs::open("/dev/zero", OFlags::RDONLY, Mode::empty()).unwrap();
        let mut output = Output::new();
        let mut slots = 0;
        while output.has_room() {
            assert_eq!(output.fill(zeros.as_fd()), Filled::Slot);
            slots += 1;
        }
        assert_eq!(slots * SLOT, 256 * 1024);
        output.keep(SLOTS);
        // The pipe holds 64 KiB.
        assert_eq!(output.show(&out, &errors), Shown::Waits(Stream::Out));
        assert!(output.has_room() && !output.is_shown());
    }

    #[test]
    fn a_reader_that_is_gone_is_noticed() {
        let (reader, out) = sink();
        let (_also, errors) = sink();
        drop(reader);
        let mut output = Output::new();
        output.put(b"x", Stream::Out);
        output.keep(1);
        assert_eq!(output.show(&out, &errors), Shown::Gone);
    }
}
