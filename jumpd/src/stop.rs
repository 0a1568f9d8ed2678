//! An end in good order: SIGTERM, by which systemd stops and restarts jumpd.
//!
//! First nobody is listened to any more: whoever connects from then on waits
//! in the sockets that systemd holds, and is served by the next jumpd. Then
//! the recordings are brought to a place from where that one goes on with them.

use crate::state::Jumpd;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// How long the threads that listen take to notice.
const NOTICED: Duration = Duration::from_millis(20);

/// Keeps signals from ending this process half-way. To be called before any thread is started: they all inherit it.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn expect_signals() -> nix::Result<SigSet> {
    let mut quiet = SigSet::empty();
    quiet.add(Signal::SIGTERM);
    // A limit on the size of files is an error of the write, as a full disk is.
    quiet.add(Signal::SIGXFSZ);
    quiet.thread_block()?;
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTERM);
    Ok(stop)
}

/// Waits for the signal on a thread of its own, and ends the process then. What comes back can be read once it came.
///
/// # Errors
/// When the thread cannot be started.
pub(crate) fn on_signal(signals: SigSet, jumpd: Arc<Jumpd>) -> std::io::Result<OwnedFd> {
    let (reader, writer) = nix::unistd::pipe()?;
    std::thread::Builder::new()
        .name("stop".to_owned())
        .spawn(move || {
            while signals.wait().is_err() {
                std::thread::sleep(NOTICED);
            }
            // Closed, it can be read for ever.
            drop(writer);
            std::thread::sleep(NOTICED);
            jumpd.recorder.hand_over();
            std::process::exit(0);
        })?;
    Ok(reader)
}

/// Waits for a connection; false once no more are to be taken.
pub(crate) fn wait_for(listener: BorrowedFd<'_>, stop: BorrowedFd<'_>) -> bool {
    let mut both = [
        PollFd::new(stop, PollFlags::POLLIN),
        PollFd::new(listener, PollFlags::POLLIN),
    ];
    loop {
        match poll(&mut both, PollTimeout::NONE) {
            // Whatever is wrong with the listener, accept(2) says so.
            Ok(_) => {
                let [stop, _] = both;
                return !stop.any().unwrap_or(true);
            }
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return true,
        }
    }
}
