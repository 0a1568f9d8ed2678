//! Questions and answers: who asks for what, what is decided, and how it is said.

use crate::address::{canonical, host_name};
use crate::diagnostics::quoted;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use jump_proto::{Method, Reason, Via};
use std::net::IpAddr;
use std::time::Duration;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The login name.
    pub user: String,
    /// Memberships in groups of other NSS sources; groups of the policy are looked up in the policy.
    pub groups: Vec<String>,
    /// The second factor given; `None` is none (`mfa = "none"`).
    pub mfa: Option<Method>,
}

impl Subject {
    /// A user of the policy, in no group of another source, with a one-time code.
    #[must_use]
    pub fn user(name: &str) -> Self {
        Self {
            user: name.to_owned(),
            groups: Vec::new(),
            mfa: Some(Method::Totp),
        }
    }

    /// The same with this second factor, or with none.
    #[must_use]
    pub fn with(&self, mfa: Option<Method>) -> Self {
        Self {
            mfa,
            ..self.clone()
        }
    }
}

/// Where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// An address and a TCP port.
    Address(IpAddr, u16),
    /// A host name and a TCP port: it stands for every address the name has.
    Name(String, u16),
}

/// Why a text is not a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationError(String);

impl std::fmt::Display for DestinationError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DestinationError {}

impl Destination {
    /// Reads `host:port`, `address:port`, `[ipv6]:port`; with a `default_port` also without `:port`.
    ///
    /// # Errors
    /// What is wrong with the text, in words for the person who wrote it.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, DestinationError> {
        let error = |message: String| DestinationError(message);
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest
                .split_once(']')
                .ok_or_else(|| error("the bracket is not closed".to_owned()))?;
            match rest {
                "" => (host, None),
                _ => match rest.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None => return Err(error("a colon is missing after the bracket".to_owned())),
                },
            }
        } else if text.matches(':').count() == 1 {
            match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        } else {
            // No colon, or an IPv6 address without brackets and port.
            (text, None)
        };
        let port = match port {
            Some(digits) => digits
                .parse::<u16>()
                .ok()
                .filter(|port| *port > 0 && digits.bytes().all(|b| b.is_ascii_digit()))
                .ok_or_else(|| error(format!("{} is not a port", quoted(digits))))?,
            None => default_port.ok_or_else(|| error("the port is missing".to_owned()))?,
        };
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Self::Address(canonical(address), port));
        }
        match host_name(host) {
            Ok(name) => Ok(Self::Name(name, port)),
            Err(refused) => Err(error(refused.message)),
        }
    }
}

/// What the host knows of names and addresses. The policy itself resolves nothing.
pub trait Names {
    /// The addresses of a host name of the policy, or nothing.
    fn addresses(&self, host: &str) -> Vec<IpAddr>;
    /// Whether the bastion itself has this address.
    fn is_own(&self, address: IpAddr) -> bool;
    /// Whether names are resolved at all. If so, a name of a deny rule without
    /// an address may stand for any: the rule then refuses every address of its ports.
    fn resolves(&self) -> bool {
        true
    }
}

/// A host that resolves nothing and has no address: names match literally only.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNames;

impl Names for NoNames {
    fn addresses(&self, _: &str) -> Vec<IpAddr> {
        Vec::new()
    }
    fn is_own(&self, _: IpAddr) -> bool {
        false
    }
    fn resolves(&self) -> bool {
        false
    }
}

/// The answer.
///
/// `until` is the first instant after `now` at which the same question gets
/// another answer (another effect, reason, rule, target, recording or maximum)
/// as far as time alone changes it; `None`: never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow {
        /// The rule that grants it: the first one in the file that does.
        rule: String,
        /// When the answer next changes.
        until: Option<Timestamp>,
        /// Whether the hop must be recorded.
        record: bool,
        /// The rule's `max_session`.
        max_session: Option<Duration>,
        /// The policy's name for the destination: the host name that matched, else the target's name.
        target: Option<String>,
    },
    /// No.
    Deny {
        /// Why.
        reason: Reason,
        /// The deny rule, or the allow rule that came nearest.
        rule: Option<String>,
        /// When the answer next changes.
        until: Option<Timestamp>,
        /// When it would next be allowed.
        opens: Option<Timestamp>,
    },
}

impl Decision {
    /// Whether it is a yes.
    #[must_use]
    pub fn is_allow(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }

    /// The rule, if one decides or came near.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::Allow { rule, .. } => Some(rule),
            Self::Deny { rule, .. } => rule.as_deref(),
        }
    }

    /// The reason; [`Reason::RuleAllow`] for a yes.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Allow { .. } => Reason::RuleAllow,
            Self::Deny { reason, .. } => *reason,
        }
    }

    /// When the answer next changes by itself.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Allow { until, .. } | Self::Deny { until, .. } => *until,
        }
    }

    /// The answer in one sentence for the person logging in.
    ///
    /// Neutral: only a closed window says more than that it is refused, namely when it opens.
    #[must_use]
    pub fn sentence(&self, tz: &TimeZone) -> String {
        match self {
            Self::Allow { until: None, .. } => "Allowed.".to_owned(),
            Self::Allow {
                until: Some(until), ..
            } => format!("Allowed until {}.", local(*until, tz)),
            Self::Deny {
                reason: Reason::OutsideWindow,
                opens: Some(opens),
                ..
            } => format!(
                "Outside your access window; it opens {}.",
                local(*opens, tz)
            ),
            Self::Deny {
                reason: Reason::OutsideWindow,
                ..
            } => "Outside your access window.".to_owned(),
            Self::Deny { .. } => {
                "Access is not granted; ask the administrator of this host.".to_owned()
            }
        }
    }
}

/// `Mon 2026-11-23 08:00 Europe/Paris`.
fn local(at: Timestamp, tz: &TimeZone) -> String {
    let zoned = at.to_zoned(tz.clone());
    let zone = match tz.iana_name() {
        Some(name) => name.to_owned(),
        None => zoned.strftime("%:z").to_string(),
    };
    format!("{} {zone}", zoned.strftime("%a %Y-%m-%d %H:%M"))
}

/// Somewhere a user may go now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The target's name.
    pub target: String,
    /// Its hosts, as written.
    pub hosts: Vec<String>,
    /// Its ports, as written.
    pub ports: Vec<String>,
    /// The rule that grants it.
    pub rule: String,
    /// Which ways.
    pub via: Vec<Via>,
    /// Whether only recorded hops are granted.
    pub record: bool,
    /// The first instant at which this entry changes by itself, if it ever does.
    pub until: Option<Timestamp>,
}
