//! The fake jumpd's recorder: it keeps what it is told to keep.

use jump_proto::hop::{FromRecorder, FromShell};
use rustix::net::{RecvFlags, SendFlags};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A packet that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    Output(Vec<u8>),
    Size(u16, u16),
    Marker(String),
    Alive,
    Over(u8),
}

/// What the recorder does with a packet.
pub(crate) enum Act {
    /// Keeps it and says so.
    Keep,
    /// Reads it, and whatever follows, and says nothing.
    Ignore,
    /// Stands still, and reads nothing any more.
    Stop,
    /// Goes without a word.
    Die,
    /// Keeps it, and says this.
    Say(FromRecorder),
    /// Asks to come again, and goes.
    Leave,
}

/// What becomes of the packet of this number, from 0, on the connection of this number.
type Habit = dyn Fn(usize, usize, &Kept) -> Act + Send + Sync;

/// A recorder.
#[derive(Clone)]
pub(crate) struct Recorder {
    habit: Arc<Habit>,
    kept: Arc<Mutex<Vec<Kept>>>,
    connections: Arc<AtomicUsize>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new(|_, _, _| Act::Keep)
    }
}

impl Recorder {
    pub(crate) fn new(habit: impl Fn(usize, usize, &Kept) -> Act + Send + Sync + 'static) -> Self {
        Self {
            habit: Arc::new(habit),
            kept: Arc::default(),
            connections: Arc::default(),
        }
    }

    /// Everything that was kept, in order.
    pub(crate) fn kept(&self) -> Vec<Kept> {
        self.kept.lock().unwrap().clone()
    }

    /// The output that was kept.
    pub(crate) fn output(&self) -> Vec<u8> {
        let output = |kept: Kept| match kept {
            Kept::Output(bytes) => bytes,
            _ => Vec::new(),
        };
        self.kept().into_iter().flat_map(output).collect()
    }

    pub(crate) fn record(&self, connection: &OwnedFd) {
        let number = self.connections.fetch_add(1, Ordering::SeqCst);
        let mut packet = vec![0; 128 * 1024];
        let (mut count, mut ignores) = (0, false);
        while let Ok((length @ 1.., _)) =
            rustix::net::recv(connection, &mut packet[..], RecvFlags::empty())
        {
            let kept = match FromShell::get(&packet[..length]).unwrap() {
                FromShell::Output(bytes) => Kept::Output(bytes.to_vec()),
                FromShell::Size { cols, rows } => Kept::Size(cols, rows),
                FromShell::Marker(label) => Kept::Marker(label.to_owned()),
                FromShell::Alive => Kept::Alive,
                FromShell::Over { status } => Kept::Over(status),
            };
            let words = match (self.habit)(number, count, &kept) {
                _ if ignores => continue,
                Act::Keep => None,
                Act::Ignore => {
                    ignores = true;
                    continue;
                }
                Act::Stop => return std::thread::sleep(Duration::from_secs(30)),
                Act::Die => return,
                Act::Say(words) => Some(words),
                Act::Leave => return say(connection, &FromRecorder::ComeAgain),
            };
            self.kept.lock().unwrap().push(kept);
            count += 1;
            say(connection, &FromRecorder::Kept(count as u64));
            if let Some(words) = words {
                say(connection, &words);
            }
        }
    }
}

fn say(connection: &OwnedFd, words: &FromRecorder) {
    let mut packet = Vec::new();
    words.put(&mut packet);
    // A shell that went hears nothing.
    let _ = rustix::net::send(connection, &packet, SendFlags::NOSIGNAL);
}
