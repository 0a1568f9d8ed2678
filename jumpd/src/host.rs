//! What jumpd reads of the host it runs on.

use crate::state::complain;
use jump_policy::HostFacts;
use std::os::unix::net::UnixDatagram;

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
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let told = UnixDatagram::unbound().and_then(|socket| socket.send_to(b"READY=1", path));
    if let Err(e) = told {
        complain(&format!("cannot tell systemd that I am ready: {e}"));
    }
}
