//! What a policy says, once it has been checked: plain data with names that point at each other.
//!
//! Every value here has passed the schema, so the decision need not ask again
//! whether a name exists or a range is the right way round. `span` fields are
//! byte ranges in the policy's text, for warnings that point at it.

use crate::keys::PublicKey;
use crate::window::Window;
use ipnet::IpNet;
use jiff::Timestamp;
use jump_proto::{Method, TotpParams, Via};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

/// A byte range in the policy's text.
pub(crate) type Span = Range<usize>;

/// `[mfa]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MfaSettings {
    /// Second factors of which any one suffices; never empty.
    pub methods: BTreeSet<Method>,
    /// Wrong codes before the user is locked.
    pub attempts: u32,
    /// How long a lock lasts.
    pub lockout: Duration,
    /// How long the prompt is skipped for the same user, key and source prefix; zero: never.
    pub remember: Duration,
    /// What new authenticators are made with.
    pub totp: TotpParams,
    /// Whether a security key must have verified its user, by PIN or fingerprint, and not only been touched.
    pub verify_required: bool,
}

impl Default for MfaSettings {
    fn default() -> Self {
        Self {
            methods: BTreeSet::from(Method::ALL),
            attempts: 5,
            lockout: Duration::from_secs(15 * 60),
            remember: Duration::ZERO,
            totp: TotpParams::default(),
            verify_required: false,
        }
    }
}

/// `[session]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSettings {
    /// The longest a session lasts.
    pub max: Duration,
    /// The longest a session lasts without a forwarded or typed byte.
    pub idle: Duration,
    /// Sessions one user may have at once.
    pub concurrent: u32,
    /// How long before the end the user is told; zero: not at all.
    pub warn: Duration,
    /// Connections that one session may have open at once.
    pub forwards: u32,
    /// Connections that one session may open per second.
    pub forward_rate: u32,
    /// Connections of one session whose handshake is not over.
    pub connecting: u32,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            max: Duration::from_secs(8 * 3600),
            idle: Duration::from_secs(30 * 60),
            concurrent: 8,
            warn: Duration::from_secs(5 * 60),
            forwards: 256,
            forward_rate: 100,
            connecting: 64,
        }
    }
}

/// How long recordings are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// For ever, and that is meant.
    Forever,
    /// So long after they ended.
    For(Duration),
}

/// `[recording]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingSettings {
    /// age recipients (X25519) that recordings are encrypted to; none: they are not encrypted.
    pub recipients: Vec<String>,
    /// Bytes of the disk that recordings leave free.
    pub reserve: u64,
    /// How long a recorded hop goes on after the reserve was reached.
    pub grace: Duration,
    /// Groups whose hops go on unrecorded where recording fails: of the policy, and of other NSS sources.
    pub break_glass: BTreeSet<String>,
    /// How long recordings are kept; absent: nothing is said, and they are kept.
    pub keep: Option<Keep>,
    /// Bytes that all recordings may take together, the oldest are deleted first; absent: no limit.
    pub keep_size: Option<u64>,
}

impl Default for RecordingSettings {
    fn default() -> Self {
        Self {
            recipients: Vec::new(),
            reserve: 512 << 20,
            grace: Duration::from_secs(60),
            break_glass: BTreeSet::new(),
            keep: None,
            keep_size: None,
        }
    }
}

/// `[ca]`: the user CA that hops authenticate with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaSettings {
    /// From where its certificates are taken by targets; absent: from the bastion's own addresses.
    pub source_addresses: Option<Vec<IpNet>>,
}

/// What `mfa` in a user's table asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserMfa {
    /// `mfa = "none"`: an automation account, bound to source addresses instead.
    Automation,
    /// A list: no other second factors than these.
    OneOf(BTreeSet<Method>),
}

/// `[users.NAME]`.
#[derive(Debug, Clone)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The uid.
    pub uid: u32,
    /// The person's name (`name` in the file), or nothing.
    pub full_name: Option<String>,
    /// Groups of the policy, in the order written.
    pub groups: Vec<String>,
    /// Login keys; never empty.
    pub keys: Vec<PublicKey>,
    /// The first instant at which the user may log in.
    pub valid_from: Option<Timestamp>,
    /// The first instant at which the user may no longer log in.
    pub valid_until: Option<Timestamp>,
    /// Set for users with fewer second factors than `[mfa]` takes.
    pub mfa: Option<UserMfa>,
    pub(crate) span: Span,
}

impl User {
    /// Whether this user has `mfa = "none"`.
    #[must_use]
    pub fn is_automation(&self) -> bool {
        self.mfa == Some(UserMfa::Automation)
    }
}

/// `[groups.NAME]`.
#[derive(Debug, Clone)]
pub struct Group {
    /// The name.
    pub name: String,
    /// The gid.
    pub gid: u32,
    /// No other second factors than these are taken from its members; absent: all of `[mfa]`.
    pub mfa: Option<BTreeSet<Method>>,
    pub(crate) span: Span,
}

/// One entry of `hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// A host name, lower case, without a trailing dot; it stands for the addresses it resolves to.
    Name(String),
    /// One address, listed literally.
    Address(IpAddr),
    /// A network.
    Net(IpNet),
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
            Self::Net(net) => net.fmt(f),
        }
    }
}

/// One entry of `ports`: a port or an inclusive range.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ports(pub RangeInclusive<u16>);

impl std::fmt::Display for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.start() == self.0.end() {
            write!(f, "{}", self.0.start())
        } else {
            write!(f, "{}-{}", self.0.start(), self.0.end())
        }
    }
}

/// `[targets.NAME]`.
#[derive(Debug, Clone)]
pub struct Target {
    /// The name.
    pub name: String,
    /// Its hosts; never empty.
    pub hosts: Vec<HostPattern>,
    /// Its ports; never empty.
    pub ports: Vec<Ports>,
    /// The SSH host keys of its hosts; with none here and in `host_ca`, the jump server's own list counts.
    pub host_keys: Vec<PublicKey>,
    /// The keys that sign the SSH host keys of its hosts.
    pub host_ca: Vec<PublicKey>,
    pub(crate) span: Span,
}

impl Target {
    /// Whether the policy gives host keys for it.
    #[must_use]
    pub fn knows_hosts(&self) -> bool {
        !self.host_keys.is_empty() || !self.host_ca.is_empty()
    }

    /// Its one host, if it is a single name or address.
    #[must_use]
    pub fn only_host(&self) -> Option<String> {
        match self.hosts.as_slice() {
            [HostPattern::Name(name)] => Some(name.clone()),
            [HostPattern::Address(address)] => Some(address.to_string()),
            _ => None,
        }
    }

    /// Its one port, if it has but one.
    #[must_use]
    pub fn only_port(&self) -> Option<u16> {
        match self.ports.as_slice() {
            [Ports(ports)] if ports.start() == ports.end() => Some(*ports.start()),
            _ => None,
        }
    }

    /// Whether `port` is one of the target's.
    #[must_use]
    pub fn has_port(&self, port: u16) -> bool {
        self.ports.iter().any(|ports| ports.0.contains(&port))
    }

    /// Whether `hosts` lists exactly this address, not a network or a name that has it.
    #[must_use]
    pub fn lists(&self, address: IpAddr) -> bool {
        self.hosts.contains(&HostPattern::Address(address))
    }
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It grants.
    Allow,
    /// It refuses, whatever else grants.
    Deny,
}

/// Who vouches for the user at the target of a hop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HopAgent {
    /// The jump server's user CA, with a key for this hop alone.
    #[default]
    Ca,
    /// The user's own agent, forwarded with `ssh -A`.
    Forwarded,
}

/// One of `[[rules]]`.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its unique name.
    pub name: String,
    /// What it does.
    pub effect: Effect,
    /// Users of the policy it speaks of.
    pub users: BTreeSet<String>,
    /// Groups of the policy it speaks of.
    pub groups: BTreeSet<String>,
    /// Groups of other NSS sources it speaks of.
    pub system_groups: BTreeSet<String>,
    /// Source networks; absent: any.
    pub from: Option<Vec<IpNet>>,
    /// Targets, in the order written; absent (deny rules only): every address.
    pub targets: Option<Vec<String>>,
    /// Windows, of which any one suffices; absent: always.
    pub windows: Option<Vec<String>>,
    /// Ways out, in the order written; absent in the file: both.
    pub via: Vec<Via>,
    /// Whether only recorded hops are granted.
    pub record: bool,
    /// The longest a session may use this rule.
    pub max_session: Option<Duration>,
    /// Only sessions with one of these second factors are served; absent: any.
    pub mfa: Option<BTreeSet<Method>>,
    /// Login names at the target that hops by this rule may use, in the order written; absent: the user's own.
    pub principals: Option<Vec<String>>,
    /// Who vouches for the user in hops by this rule.
    pub agent: HopAgent,
    pub(crate) span: Span,
}

impl Rule {
    /// Whether hops by this rule log in with the user's own agent.
    #[must_use]
    pub fn wants_own_agent(&self) -> bool {
        self.effect == Effect::Allow && self.agent == HopAgent::Forwarded
    }

    /// Login names at the target that this rule gives `user`; never empty.
    #[must_use]
    pub fn logins<'a>(&'a self, user: &'a str) -> Vec<&'a str> {
        match &self.principals {
            Some(principals) => principals.iter().map(String::as_str).collect(),
            None => vec![user],
        }
    }

    /// The login name of a hop for which `user` asked for none: their own if the rule gives it, else the first.
    #[must_use]
    pub fn login<'a>(&'a self, user: &'a str) -> &'a str {
        let logins = self.logins(user);
        match logins.first() {
            Some(first) if !logins.contains(&user) => first,
            _ => user,
        }
    }

    /// The ways this rule really opens: with `record = true`, a forward is never one.
    pub fn ways(&self) -> impl Iterator<Item = Via> + '_ {
        let record = self.record;
        self.via
            .iter()
            .copied()
            .filter(move |via| !record || *via == Via::Shell)
    }

    /// Whether this rule serves a session with this second factor, or with none.
    #[must_use]
    pub fn takes(&self, given: Option<Method>) -> bool {
        match &self.mfa {
            None => true,
            Some(methods) => given.is_some_and(|method| methods.contains(&method)),
        }
    }

    /// Whether `source`, already canonical, is one of this rule's.
    #[must_use]
    pub fn from_matches(&self, source: IpAddr) -> bool {
        match &self.from {
            None => true,
            Some(nets) => nets.iter().any(|net| net.contains(&source)),
        }
    }
}

/// One of `[[tests]]`.
#[derive(Debug, Clone)]
pub struct PolicyTest {
    /// Who.
    pub user: String,
    /// Groups of other NSS sources the user is in for this test.
    pub system_groups: Vec<String>,
    /// From where.
    pub from: IpAddr,
    /// Where to.
    pub target: crate::Destination,
    /// Which way.
    pub via: Via,
    /// When.
    pub at: Timestamp,
    /// What the answer must be.
    pub expect: Effect,
    /// With which second factor; absent: whichever of the user's brings furthest.
    pub mfa: Option<Method>,
    /// As whom at the target; only then the test is of a hop.
    pub login: Option<String>,
    /// The rule that must decide, if the test says.
    pub rule: Option<String>,
    pub(crate) span: Span,
}

/// Everything a policy says, keyed by name where names are unique.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) timezone: jiff::tz::TimeZone,
    pub(crate) host_group: String,
    pub(crate) host_gid: u32,
    pub(crate) mfa: MfaSettings,
    pub(crate) session: SessionSettings,
    pub(crate) recording: RecordingSettings,
    pub(crate) ca: CaSettings,
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) targets: BTreeMap<String, Target>,
    pub(crate) windows: BTreeMap<String, Window>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) tests: Vec<PolicyTest>,
}

impl Model {
    /// Second factors taken from a user: those of `[mfa]`, narrowed by the user's own table and each of
    /// the user's groups. Empty for automation. Somebody whom only a group of another source knows has all of `[mfa]`.
    pub(crate) fn methods_of(&self, user: Option<&User>) -> BTreeSet<Method> {
        let mut methods = self.mfa.methods.clone();
        let Some(user) = user else {
            return methods;
        };
        match &user.mfa {
            None => {}
            Some(UserMfa::Automation) => methods.clear(),
            Some(UserMfa::OneOf(own)) => methods.retain(|method| own.contains(method)),
        }
        let groups = user.groups.iter().filter_map(|name| self.groups.get(name));
        for narrowed in groups.filter_map(|group| group.mfa.as_ref()) {
            methods.retain(|method| narrowed.contains(method));
        }
        methods
    }

    /// Whether a session with this second factor, or with none, may be this user's at all.
    pub(crate) fn takes_from(&self, user: Option<&User>, given: Option<Method>) -> bool {
        if user.is_some_and(User::is_automation) {
            // Nothing is asked for, so nothing that was given is wrong.
            return true;
        }
        given.is_some_and(|method| self.methods_of(user).contains(&method))
    }

    /// Every second factor with which this user's sessions can begin; `None` is none.
    pub(crate) fn factors_of(&self, user: Option<&User>) -> Vec<Option<Method>> {
        if user.is_some_and(User::is_automation) {
            return vec![None];
        }
        self.methods_of(user).into_iter().map(Some).collect()
    }
}
