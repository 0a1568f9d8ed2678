//! An event before it is written: a kind and the fields that apply.
//!
//! There is no way to put a code, a secret or key material in: the types that
//! hold those (`jump_proto::Secret`) do not print themselves, no field is for
//! them, and of a command only the name of a known program is kept, because
//! what is typed at a prompt is now and then a password.

use crate::escape::{printable, push_logfmt};
use crate::kind::{Kind, Severity};
use jump_proto::{Reason, SessionId, Via};
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};

/// Whether what the event tells of succeeded (`JUMP_OUTCOME`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did.
    Success,
    /// It did not.
    Failure,
}

impl Outcome {
    /// The word in the event.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

/// Programs whose names an event may carry; a command that is none of them is `other`.
pub const COMMANDS: &[&str] = &[
    "ansible",
    "bash",
    "borg",
    "cat",
    "connect",
    "cp",
    "curl",
    "dash",
    "echo",
    "env",
    "exit",
    "git",
    "git-receive-pack",
    "git-upload-archive",
    "git-upload-pack",
    "help",
    "hostname",
    "id",
    "internal-sftp",
    "ls",
    "mfa",
    "mosh-server",
    "nc",
    "ncat",
    "netcat",
    "perl",
    "python",
    "python3",
    "restic",
    "rsync",
    "scp",
    "sessions",
    "sftp",
    "sftp-server",
    "sh",
    "socat",
    "ssh",
    "su",
    "sudo",
    "svnserve",
    "tar",
    "targets",
    "true",
    "uname",
    "whoami",
    "zsh",
];

/// Most words that [`Event::text`] may add; more are dropped.
const MAX_EXTRAS: usize = 8;

/// An event being put together. A field that is set twice has its last value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    kind: Kind,
    outcome: Outcome,
    reason: Option<Reason>,
    user: Option<String>,
    uid: Option<u32>,
    session: Option<String>,
    source: Option<(IpAddr, Option<u16>)>,
    destination_name: Option<String>,
    destination: Option<SocketAddr>,
    rule: Option<String>,
    policy: Option<String>,
    auth_method: Option<String>,
    key_fingerprint: Option<String>,
    mfa: Option<String>,
    bytes: Option<(u64, u64)>,
    duration_ms: Option<u64>,
    sandbox: Option<String>,
    extras: Vec<(&'static str, String)>,
}

/// Setters of one text field each.
macro_rules! text_fields {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: &str) -> Self {
            self.$name = Some(printable($name));
            self
        })*
    };
}

impl Event {
    /// An event of this kind, with the kind's outcome.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            outcome: kind.outcome(),
            reason: None,
            user: None,
            uid: None,
            session: None,
            source: None,
            destination_name: None,
            destination: None,
            rule: None,
            policy: None,
            auth_method: None,
            key_fingerprint: None,
            mfa: None,
            bytes: None,
            duration_ms: None,
            sandbox: None,
            extras: Vec::new(),
        }
    }

    text_fields! {
        /// Who, by login name (`JUMP_USER`).
        user,
        /// The destination as it was asked for, or the policy's name for it (`JUMP_DST_NAME`).
        destination_name,
        /// The rule that decided (`JUMP_RULE`).
        rule,
        /// Hash of the generation that decided (`JUMP_POLICY`).
        policy,
        /// How sshd authenticated the user before us (`JUMP_AUTH_METHOD`).
        auth_method,
        /// SHA-256 fingerprint of the login key (`JUMP_KEY_FP`).
        key_fingerprint,
        /// How the second factor was given (`JUMP_MFA`).
        mfa,
        /// The layers of the session's confinement in force (`JUMP_SANDBOX`).
        sandbox,
    }

    /// The outcome, where it is not the kind's.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// It succeeded.
    #[must_use]
    pub fn success(self) -> Self {
        self.outcome(Outcome::Success)
    }

    /// It failed.
    #[must_use]
    pub fn failure(self) -> Self {
        self.outcome(Outcome::Failure)
    }

    /// Why (`JUMP_REASON`).
    #[must_use]
    pub fn reason(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Who, by number (`JUMP_UID`).
    #[must_use]
    pub fn uid(mut self, uid: u32) -> Self {
        self.uid = Some(uid);
        self
    }

    /// Which SSH connection (`JUMP_SESSION`).
    #[must_use]
    pub fn session(mut self, session: &SessionId) -> Self {
        self.session = Some(printable(session.as_str()));
        self
    }

    /// From where (`JUMP_SRC_IP`, `JUMP_SRC_PORT`).
    #[must_use]
    pub fn source(mut self, source: SocketAddr) -> Self {
        self.source = Some((source.ip().to_canonical(), Some(source.port())));
        self
    }

    /// From where, when the port is not known.
    #[must_use]
    pub fn source_ip(mut self, source: IpAddr) -> Self {
        self.source = Some((source.to_canonical(), None));
        self
    }

    /// Where to (`JUMP_DST_IP`, `JUMP_DST_PORT`); an IPv4-mapped address is shown as IPv4.
    #[must_use]
    pub fn destination(mut self, destination: SocketAddr) -> Self {
        let canonical = SocketAddr::new(destination.ip().to_canonical(), destination.port());
        self.destination = Some(canonical);
        self
    }

    /// What was carried, as the kernel counted it (`JUMP_BYTES_SENT`, `JUMP_BYTES_RECEIVED`).
    #[must_use]
    pub fn bytes(mut self, sent: u64, received: u64) -> Self {
        self.bytes = Some((sent, received));
        self
    }

    /// For how long, in milliseconds (`JUMP_DURATION_MS`).
    #[must_use]
    pub fn duration_ms(mut self, duration_ms: u64) -> Self {
        self.duration_ms = Some(duration_ms);
        self
    }

    /// Which way out of the bastion (`JUMP_VIA`).
    #[must_use]
    pub fn via(self, via: Via) -> Self {
        self.text("via", via.as_str())
    }

    /// More for the admin, in our own words (`JUMP_DETAIL`); an empty text is left out.
    #[must_use]
    pub fn detail(self, detail: &str) -> Self {
        if detail.is_empty() {
            return self;
        }
        self.text("detail", detail)
    }

    /// Which program was asked for (`JUMP_COMMAND`): its name if it is one of
    /// [`COMMANDS`], otherwise `other`. The rest of the command is not kept.
    #[must_use]
    pub fn command(self, command: &str) -> Self {
        let first = command.split_ascii_whitespace().next().unwrap_or_default();
        let name = first.rsplit('/').next().unwrap_or_default();
        let known = COMMANDS.iter().find(|known| **known == name);
        self.text("command", known.unwrap_or(&"other"))
    }

    /// A field of the event's own, `JUMP_<KEY>`. The key is lower-case letters, digits and `_`, and not one that has its
    /// own method here; a key that is not such is written as `detail`. The value
    /// is ours to word: never what a user typed, never a secret.
    #[must_use]
    pub fn text(mut self, key: &'static str, value: impl Display) -> Self {
        let own = key.len() <= 32
            && key.starts_with(|c: char| c.is_ascii_lowercase())
            && key
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
            && !RESERVED.contains(&key);
        let key = if own { key } else { "detail" };
        let value = printable(&value.to_string());
        let full = self.extras.len() >= MAX_EXTRAS;
        match self.extras.iter_mut().find(|(k, _)| *k == key) {
            Some(extra) => extra.1 = value,
            None if full => {}
            None => self.extras.push((key, value)),
        }
        self
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The syslog severity: the kind's, except that a recovery code is worth a look.
    #[must_use]
    pub fn priority(&self) -> u8 {
        let recovery = self.kind == Kind::MfaOk && self.mfa.as_deref() == Some("recovery");
        if recovery {
            Severity::Notable.priority()
        } else {
            self.kind.severity().priority()
        }
    }

    /// The one line of logfmt that carries everything, and the journal's fields, for the place `seq` in the chain.
    #[must_use]
    pub fn render(&self, seq: u64, prev: &str) -> Rendered {
        let mut out = Rendered {
            kind: self.kind,
            priority: self.priority(),
            message: self.kind.as_str().to_owned(),
            fields: vec![("JUMP_EVENT".to_owned(), self.kind.as_str().to_owned())],
        };
        self.render_what(&mut out);
        self.render_where(&mut out);
        self.render_how(&mut out);
        out.both("seq", &seq.to_string());
        out.both("prev", prev);
        out
    }

    fn render_what(&self, out: &mut Rendered) {
        out.both("outcome", self.outcome.as_str());
        out.maybe("reason", self.reason.map(Reason::as_str));
        out.maybe("user", self.user.as_deref());
        out.maybe("uid", self.uid.map(|u| u.to_string()).as_deref());
        out.maybe("session", self.session.as_deref());
    }

    fn render_where(&self, out: &mut Rendered) {
        if let Some((ip, port)) = self.source {
            match port {
                Some(port) => out.line("src", &SocketAddr::new(ip, port).to_string()),
                None => out.line("src", &ip.to_string()),
            }
            out.field("src_ip", &ip.to_string());
            out.maybe_field("src_port", port.map(|p| p.to_string()).as_deref());
        }
        out.maybe("dst_name", self.destination_name.as_deref());
        if let Some(destination) = self.destination {
            out.line("dst", &destination.to_string());
            out.field("dst_ip", &destination.ip().to_string());
            out.field("dst_port", &destination.port().to_string());
        }
    }

    fn render_how(&self, out: &mut Rendered) {
        out.maybe("rule", self.rule.as_deref());
        out.maybe("policy", self.policy.as_deref());
        out.maybe("auth_method", self.auth_method.as_deref());
        out.maybe("key_fp", self.key_fingerprint.as_deref());
        out.maybe("mfa", self.mfa.as_deref());
        if let Some((sent, received)) = self.bytes {
            out.both("bytes_sent", &sent.to_string());
            out.both("bytes_received", &received.to_string());
        }
        out.maybe(
            "duration_ms",
            self.duration_ms.map(|d| d.to_string()).as_deref(),
        );
        out.maybe("sandbox", self.sandbox.as_deref());
        for (key, value) in &self.extras {
            out.both(key, value);
        }
    }
}

/// Words that have a method, a place or a meaning of their own.
const RESERVED: &[&str] = &[
    "event",
    "outcome",
    "reason",
    "user",
    "uid",
    "session",
    "src",
    "src_ip",
    "src_port",
    "dst_name",
    "dst",
    "dst_ip",
    "dst_port",
    "rule",
    "policy",
    "auth_method",
    "key_fp",
    "mfa",
    "bytes_sent",
    "bytes_received",
    "duration_ms",
    "sandbox",
    "seq",
    "prev",
];

/// An event as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Its kind.
    pub kind: Kind,
    /// The syslog severity.
    pub priority: u8,
    /// `MESSAGE`.
    pub message: String,
    /// The `JUMP_*` fields, each printable ASCII.
    pub fields: Vec<(String, String)>,
}

impl Rendered {
    fn line(&mut self, key: &str, printable: &str) {
        push_logfmt(&mut self.message, key, printable);
    }

    fn field(&mut self, key: &str, printable: &str) {
        let name = format!("JUMP_{}", key.to_ascii_uppercase());
        self.fields.push((name, printable.to_owned()));
    }

    fn both(&mut self, key: &str, printable: &str) {
        self.line(key, printable);
        self.field(key, printable);
    }

    fn maybe(&mut self, key: &str, printable: Option<&str>) {
        if let Some(printable) = printable {
            self.both(key, printable);
        }
    }

    fn maybe_field(&mut self, key: &str, printable: Option<&str>) {
        if let Some(printable) = printable {
            self.field(key, printable);
        }
    }
}

#[cfg(test)]
mod tests;
