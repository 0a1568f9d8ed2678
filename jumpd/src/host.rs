//! What jumpd reads of the host it runs on.

use crate::state::complain;
use jump_policy::HostFacts;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType,
};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

/// Names and ids that local files have already.
pub(crate) fn facts() -> HostFacts {
    let read = |path| {
        std::fs::read(path)
            .map(|b| String::from_utf8_lossy(&b).into_owned())
            .unwrap_or_default()
    };
    HostFacts::from_files(&read("/etc/passwd"), &read("/etc/group"))
}

/// The host's IANA time zone; UTC where it has none.
pub(crate) fn timezone() -> String {
    jiff::tz::TimeZone::system()
        .iana_name()
        .unwrap_or("UTC")
        .to_owned()
}

/// Tells systemd that requests are served from now on (sd_notify(3)); nothing where it did not ask.
pub(crate) fn notify_ready() {
    notify(b"READY=1", &[]);
}

/// Gives systemd a copy of `fd` to keep while this process is replaced
/// (`FDSTORE=1`, sd_notify(3)). `FDPOLL=0`: an error that waits in a netlink
/// socket is no reason to let go of it.
pub(crate) fn keep(name: &str, fd: BorrowedFd<'_>) {
    notify(
        format!("FDSTORE=1\nFDPOLL=0\nFDNAME={name}").as_bytes(),
        &[fd],
    );
}

fn notify(text: &[u8], fds: &[BorrowedFd<'_>]) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let tell = || -> Result<(), Errno> {
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let address = SocketAddrUnix::new(path)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        rustix::net::sendmsg_addr(
            &socket,
            &address,
            &[IoSlice::new(text)],
            &mut control,
            SendFlags::NOSIGNAL,
        )?;
        Ok(())
    };
    if let Err(e) = tell() {
        complain(&format!("cannot tell systemd: {e}"));
    }
}
