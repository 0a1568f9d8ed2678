//! The tests, and what a guarded session refuses of each.

/// One of OpenSSH's tests.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What fails as a guarded user, by release; empty: nothing.
    refused: &'static [Refusal],
}

/// What of a test a guarded session refuses.
#[derive(Debug)]
struct Refusal {
    suites: &'static [&'static str],
    why: &'static str,
    /// What the test says has failed, line by line, all of it.
    failures: &'static [&'static str],
    /// The refusals in the journal, each kind once: event, reason, address and port.
    events: &'static [&'static str],
    /// Whether the test is run with the pipe that it asks for, over which nobody comes in.
    on_a_pipe: bool,
}

impl Case {
    /// The lines by which it fails as a guarded user of `suite`; none: it passes.
    pub(crate) fn failures(&self, suite: &str) -> &'static [&'static str] {
        self.refusal(suite).map_or(&[], |refusal| refusal.failures)
    }

    /// The refusals that the journal then has.
    pub(crate) fn events(&self, suite: &str) -> &'static [&'static str] {
        self.refusal(suite).map_or(&[], |refusal| refusal.events)
    }

    /// Why it fails as a guarded user.
    pub(crate) fn why(&self, suite: &str) -> Option<&'static str> {
        self.refusal(suite).map(|refusal| refusal.why)
    }

    /// Whether `sshd -i` is given a socket, so that a login has a source address.
    pub(crate) fn on_a_socket(&self, suite: &str) -> bool {
        self.refusal(suite).is_none_or(|refusal| !refusal.on_a_pipe)
    }

    fn refusal(&self, suite: &str) -> Option<&'static Refusal> {
        self.refused
            .iter()
            .find(|refusal| refusal.suites.contains(&suite))
    }
}

const fn passes(name: &'static str) -> Case {
    Case { name, refused: &[] }
}

/// All of them. A release that does not have one says so in the table.
pub(crate) const CASES: &[Case] = &[
    passes("connect"),
    passes("proxy-connect"),
    passes("exit-status"),
    passes("stderr-data"),
    passes("transfer"),
    passes("envpass"),
    passes("banner"),
    passes("forwarding"),
    passes("forward-control"),
    passes("dynamic-forward"),
    passes("multiplex"),
    passes("channel-timeout"),
    passes("connection-timeout"),
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
