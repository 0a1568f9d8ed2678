//! The policy: text in, decision out.
//!
//! `Policy::parse` turns `/etc/jump/policy.toml` into a checked [`Policy`] or
//! into every error it has, each with line, column and a suggestion.
//! [`Policy::judge`] answers one question. Both are pure: no clock, no
//! resolver, no file but the time zone database. Time and addresses come in as
//! arguments, so the same question always has the same answer, whether PAM,
//! the guard or `jumpctl explain` asks it.

#![forbid(unsafe_code)]

mod address;
mod decision;
mod diagnostics;
mod document;
mod host;
mod ids;
mod judge;
mod keys;
mod model;
mod names;
mod schedule;
mod schema;
mod selftest;
mod values;
mod window;

pub use decision::{Decision, Destination, DestinationError, Names, NoNames, Reach, Subject};
pub use diagnostics::{PolicyError, PolicyErrors, Warning};
pub use host::{Conflict, HostFacts};
pub use jump_proto::Method;
pub use keys::PublicKey;
pub use model::{
    CaSettings, Effect, Group, HopAgent, HostPattern, Keep, MfaSettings, PolicyTest, Ports,
    RecordingSettings, Rule, SessionSettings, Target, User, UserMfa,
};
pub use names::is_login_name;
pub use selftest::TestFailure;
pub use values::seconds;
pub use window::{Hours, Window};

use diagnostics::Source;
use ipnet::IpNet;
use jiff::Timestamp;
use judge::Way;
use jump_proto::{Agents, Reason, Via};
use model::Model;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Digits of the text's SHA-256 that name a policy.
const HASH_DIGITS: usize = 16;

/// A checked policy. Cheap to share behind an `Arc`.
#[derive(Debug, Clone)]
pub struct Policy {
    model: Model,
    hash: String,
    warnings: Vec<Warning>,
    source: String,
    /// The line of each entry of `[[tests]]`.
    test_lines: Vec<usize>,
}

impl Policy {
    /// Reads and checks `text`.
    ///
    /// `source` names the file in messages; `host_timezone` is the IANA name used where `[host]` has none.
    ///
    /// # Errors
    /// Everything that is wrong with the text.
    pub fn parse(text: &str, source: &str, host_timezone: &str) -> Result<Self, PolicyErrors> {
        let place = Source::new(source, text);
        let (model, warnings) = schema::read(&place, text, host_timezone)?;
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(text));
        Ok(Self {
            test_lines: model
                .tests
                .iter()
                .map(|test| place.line_of(test.span.start))
                .collect(),
            model,
            hash: digest.chars().take(HASH_DIGITS).collect(),
            warnings,
            source: source.to_owned(),
        })
    }

    /// Names this policy in events: the first 16 lower-case hexadecimal digits of the text's SHA-256.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What is valid and probably not meant.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Runs `[[tests]]`.
    ///
    /// # Errors
    /// Every entry whose answer is not the expected one.
    pub fn run_tests(&self) -> Result<(), Vec<TestFailure>> {
        let red: Vec<TestFailure> = self
            .model
            .tests
            .iter()
            .zip(&self.test_lines)
            .filter_map(|(test, line)| selftest::run(&self.model, test, &self.source, *line))
            .collect();
        if red.is_empty() { Ok(()) } else { Err(red) }
    }

    /// How many entries `[[tests]]` has.
    #[must_use]
    pub fn test_count(&self) -> usize {
        self.model.tests.len()
    }

    /// Names and ids that the host has already.
    #[must_use]
    pub fn conflicts(&self, host: &HostFacts) -> Vec<Conflict> {
        host::conflicts(&self.model, host)
    }

    /// Name and gid of every policy user's primary group.
    #[must_use]
    pub fn host_group(&self) -> (&str, u32) {
        (&self.model.host_group, self.model.host_gid)
    }

    /// Every group of another NSS source that a rule names, sorted.
    #[must_use]
    pub fn system_groups(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self
            .model
            .rules
            .iter()
            .flat_map(|rule| rule.system_groups.iter().map(String::as_str))
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// `[host] timezone`, or the host's.
    #[must_use]
    pub fn timezone(&self) -> &jiff::tz::TimeZone {
        &self.model.timezone
    }

    /// `[mfa]`.
    #[must_use]
    pub fn mfa(&self) -> &MfaSettings {
        &self.model.mfa
    }

    /// `[session]`.
    #[must_use]
    pub fn session(&self) -> &SessionSettings {
        &self.model.session
    }

    /// `[recording]`.
    #[must_use]
    pub fn recording(&self) -> &RecordingSettings {
        &self.model.recording
    }

    /// Whether the hops of `who` go on unrecorded where recording fails: a group of theirs is one of `break_glass`.
    #[must_use]
    pub fn breaks_glass(&self, who: &Subject) -> bool {
        let groups = &self.model.recording.break_glass;
        let own = self.user(&who.user).map(|user| user.groups.as_slice());
        let mut all = own.unwrap_or_default().iter().chain(&who.groups);
        all.any(|group| groups.contains(group))
    }

    /// `[ca]`.
    #[must_use]
    pub fn ca(&self) -> &CaSettings {
        &self.model.ca
    }

    /// Every user, by name.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.model.users.values()
    }

    /// One user.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.model.users.get(name)
    }

    /// Every group of the policy, by name.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.model.groups.values()
    }

    /// Every target, by name.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.model.targets.values()
    }

    /// One target.
    #[must_use]
    pub fn target(&self, name: &str) -> Option<&Target> {
        self.model.targets.get(name)
    }

    /// The target of this rule that has the address and port; of several, one whose host keys the policy gives.
    #[must_use]
    pub fn target_of(
        &self,
        rule: &str,
        address: IpAddr,
        port: u16,
        names: &dyn Names,
    ) -> Option<&Target> {
        judge::target_of(&self.model, self.rule(rule)?, address, port, names)
    }

    /// Every window, by name.
    pub fn windows(&self) -> impl Iterator<Item = &Window> {
        self.model.windows.values()
    }

    /// One window.
    #[must_use]
    pub fn window(&self, name: &str) -> Option<&Window> {
        self.model.windows.get(name)
    }

    /// One rule.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.model.rules.iter().find(|rule| rule.name == name)
    }

    /// Every rule, in the order of the file.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.model.rules.iter()
    }

    /// Rules that speak of `who`, allow and deny, in the order of the file.
    pub fn rules_for<'a>(&'a self, who: &'a Subject) -> impl Iterator<Item = &'a Rule> {
        let user = self.user(&who.user);
        self.model
            .rules
            .iter()
            .filter(move |rule| judge::speaks_of(rule, who, user))
    }

    /// Users with `mfa = "none"`.
    #[must_use]
    pub fn automation(&self) -> Vec<&str> {
        self.users()
            .filter(|user| user.is_automation())
            .map(|user| user.name.as_str())
            .collect()
    }

    /// Second factors taken from this user: `[mfa]`, narrowed by the user and their groups; empty for automation.
    #[must_use]
    pub fn mfa_methods(&self, user: &str) -> BTreeSet<Method> {
        self.model.methods_of(self.user(user))
    }

    /// Every second factor with which this user's sessions can begin: [`Policy::mfa_methods`], or only `None` for automation.
    #[must_use]
    pub fn factors(&self, user: &str) -> Vec<Option<Method>> {
        self.model.factors_of(self.user(user))
    }

    /// The sources this user can ever log in from: the union of `from` when
    /// every allow rule that serves the user has one, else `None` (any).
    #[must_use]
    pub fn login_sources(&self, user: &User) -> Option<Vec<IpNet>> {
        let who = Subject::user(&user.name);
        let mut nets = Vec::new();
        for rule in self.rules_for(&who).filter(|r| r.effect == Effect::Allow) {
            nets.extend(rule.from.as_ref()?.iter().copied());
        }
        nets.sort_unstable();
        nets.dedup();
        (!nets.is_empty()).then_some(nets)
    }

    /// The first rule by which `who`, coming from `from`, may take their own agent along (`ssh -A`).
    ///
    /// Windows do not matter: whether the agent may be used is asked for each hop.
    #[must_use]
    pub fn lets_agent_along(&self, who: &Subject, from: IpAddr) -> Option<&Rule> {
        let user = self.user(&who.user);
        let from = address::canonical(from);
        self.model.rules.iter().find(|rule| {
            rule.wants_own_agent()
                && judge::speaks_of(rule, who, user)
                && rule.from_matches(from)
                && rule.takes(who.mfa)
        })
    }

    /// Whether a user of the policy may take their own agent along by a rule that names them or a group of the policy.
    #[must_use]
    pub fn takes_agent_along(&self, user: &User) -> bool {
        self.rules_for(&Subject::user(&user.name))
            .any(Rule::wants_own_agent)
    }

    /// Whom sshd may let take an agent along at all.
    #[must_use]
    pub fn agents(&self) -> Agents {
        let mut wanting = self
            .rules()
            .filter(|rule| rule.wants_own_agent())
            .peekable();
        Agents {
            users: wanting.peek().is_some(),
            system_groups: wanting.any(|rule| !rule.system_groups.is_empty()),
        }
    }

    /// May `who`, coming from `from`, connect to `to` this way now?
    ///
    /// A name is allowed only if every address it has is.
    #[must_use]
    pub fn judge(
        &self,
        who: &Subject,
        from: IpAddr,
        to: &Destination,
        via: Via,
        now: Timestamp,
        names: &dyn Names,
    ) -> Decision {
        judge::judge(
            &self.model,
            who,
            from,
            to,
            Way::Plain(via),
            None,
            now,
            names,
        )
    }

    /// As [`Policy::judge`], for a session opened at `opened`: a rule whose `max_session` it has used up grants it nothing more.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "each is part of the question")]
    pub fn judge_session(
        &self,
        who: &Subject,
        from: IpAddr,
        to: &Destination,
        via: Via,
        opened: Timestamp,
        now: Timestamp,
        names: &dyn Names,
    ) -> Decision {
        judge::judge(
            &self.model,
            who,
            from,
            to,
            Way::Plain(via),
            Some(opened),
            now,
            names,
        )
    }

    /// May `who` hop there from the restricted shell, as `login` there or, with none, as anybody? With
    /// `opened`, for a session as [`Policy::judge_session`] says. A rule that records grants it, and says so.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "each is part of the question")]
    pub fn judge_hop(
        &self,
        who: &Subject,
        from: IpAddr,
        to: &Destination,
        login: Option<&str>,
        opened: Option<Timestamp>,
        now: Timestamp,
        names: &dyn Names,
    ) -> Decision {
        judge::judge(
            &self.model,
            who,
            from,
            to,
            Way::Hop(login),
            opened,
            now,
            names,
        )
    }

    /// May `who` log in from `from` now: does any allow rule serve them, whatever the target and way?
    #[must_use]
    pub fn admit(&self, who: &Subject, from: IpAddr, now: Timestamp) -> Decision {
        judge::admit(&self.model, who, from, now)
    }

    /// What `who` may reach from `from` now, one entry per rule and target.
    #[must_use]
    pub fn reach(&self, who: &Subject, from: IpAddr, now: Timestamp) -> Vec<Reach> {
        judge::reach(&self.model, who, from, now)
    }

    /// When a session opened at `opened` must end at the latest, and why, as things stand at `now`.
    ///
    /// The earliest of `[session] max`, the user's `valid_until`, and the
    /// moment at which no rule admits the user any more: its window closed, a
    /// deny rule began, or its `max_session` is reached. `now` if that is past.
    #[must_use]
    pub fn session_end(
        &self,
        who: &Subject,
        from: IpAddr,
        opened: Timestamp,
        now: Timestamp,
    ) -> Option<(Timestamp, Reason)> {
        judge::session_end(&self.model, who, from, opened, now)
    }
}
