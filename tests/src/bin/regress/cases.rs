//! The tests, and what a guarded session refuses of each.

/// One of OpenSSH's tests.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What fails as a guarded user; nothing: it passes.
    pub(crate) refusal: Option<Refusal>,
}

/// What of a test a guarded session refuses.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) why: &'static str,
    /// What the test says has failed, line by line, all of it.
    pub(crate) failures: &'static [&'static str],
    /// The refusals in the journal, each kind once, in the order of the alphabet.
    pub(crate) events: &'static [&'static str],
    /// Whether `sshd -i` is left on the pipe that the test gives it, over which nobody comes in.
    pub(crate) on_a_pipe: bool,
}

const fn passes(name: &'static str) -> Case {
    Case {
        name,
        refusal: None,
    }
}

/// A test of which some part wants sshd to listen, for `-R` or for a Unix socket.
const fn listens(
    name: &'static str,
    why: &'static str,
    failures: &'static [&'static str],
    events: &'static [&'static str],
) -> Case {
    Case {
        name,
        refusal: Some(Refusal {
            why,
            failures,
            events,
            on_a_pipe: false,
        }),
    }
}

/// What the guard writes down where sshd begins to listen for a client's `-R`.
const BOUND: &str = "forward.denied forbidden_call bind(2)";

/// All of them. A release that does not have one says so in the table.
pub(crate) const CASES: &[Case] = &[
    passes("connect"),
    Case {
        name: "proxy-connect",
        refusal: Some(Refusal {
            why: "a login over a pipe has no source address, and nobody without one is let in",
            failures: &[
                "ssh proxyconnect comp=no failed",
                "bad SSH_CONNECTION comp=no:",
                "ssh proxyconnect comp=yes failed",
                "bad SSH_CONNECTION comp=yes:",
                "ssh proxyconnect failed",
            ],
            events: &["access.denied no_source_address"],
            on_a_pipe: true,
        }),
    },
    passes("exit-status"),
    passes("stderr-data"),
    passes("transfer"),
    passes("envpass"),
    passes("banner"),
    listens(
        "forwarding",
        "it chains -L and -R, and gives up when -R is refused",
        &[
            "failed copy of /bin/ls",
            "corrupted copy of /bin/ls",
            "connection failed, should not",
        ],
        &["forward.closed connect_failed 127.0.0.1 3372", BOUND],
    ),
    listens(
        "forward-control",
        "every -L is allowed and refused as sshd is told; of -R only what sshd is to refuse is as expected",
        &[
            "check_rfwd failed (expecting success): default configuration",
            "check_rfwd failed (expecting success): AllowTcpForwarding=yes",
            "check_rfwd failed (expecting success): AllowTcpForwarding=yes, !PermitOpen",
            "check_rfwd failed (expecting success): AllowTcpForwarding=yes, PermitOpen",
            "check_rfwd failed (expecting success): AllowTcpForwarding=yes, !permitopen",
            "check_rfwd failed (expecting success): AllowTcpForwarding=yes, permitopen",
            "check_rfwd failed (expecting success): AllowTcpForwarding=yes, restrict,port-forwarding",
            "check_rfwd failed (expecting success): AllowTcpForwarding=remote",
            "check_rfwd failed (expecting success): AllowTcpForwarding=remote, !PermitOpen",
            "check_rfwd failed (expecting success): AllowTcpForwarding=remote, PermitOpen",
            "check_rfwd failed (expecting success): AllowTcpForwarding=remote, !permitopen",
            "check_rfwd failed (expecting success): AllowTcpForwarding=remote, permitopen",
            "check_rfwd failed (expecting success): AllowTcpForwarding=remote, restrict,port-forwarding",
            "check_rfwd failed (expecting success): AllowTcpForwarding=yes, PermitListen",
            "check_rfwd failed (expecting success): AllowTcpForwarding=remote, PermitListen",
        ],
        &[BOUND],
    ),
    listens(
        "dynamic-forward",
        "-D passes; then it wants -R as a SOCKS proxy, and gives up",
        &["failed to start dynamic forwarding 255"],
        &[BOUND],
    ),
    listens(
        "multiplex",
        "one master, every channel, transfer and -L pass; -R and forwards over Unix sockets do not",
        &[
            "ssh: corrupted copy of /srv/regress/data",
            "request remote forward failed",
            "connect to remote forwarded port failed",
            "connect to remote forwarded path failed",
        ],
        &[BOUND],
    ),
    passes("channel-timeout"),
    listens(
        "connection-timeout",
        "every timeout passes; then it wants -R to keep a connection, and gives up",
        &["failed to start ssh 255"],
        &[BOUND],
    ),
    passes("forcecommand"),
    passes("key-options"),
    passes("proxyjump"),
    passes("percent"),
    passes("penalty"),
    passes("login-timeout"),
    passes("keys-command"),
    passes("authinfo"),
    passes("reconfigure"),
    passes("ssh-tty"),
];
