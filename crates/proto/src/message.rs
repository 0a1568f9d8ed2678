//! What each program may ask of jumpd, and what it may be told.
//!
//! Times are milliseconds since the Unix epoch, UTC. A field that was added
//! after the first release is optional, so that both directions survive an
//! upgrade with sessions open.

use crate::{HopId, Method, Reason, Secret, SessionId, TotpChoice, TotpParams, Via};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// Who is logging in, as sshd and PAM tell it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Login {
    /// `PAM_USER`.
    pub user: String,
    /// The uid that NSS gives this name.
    pub uid: u32,
    /// Those groups of the user that the policy speaks of.
    #[serde(default)]
    pub groups: Vec<String>,
    /// `SSH_CONNECTION` from the PAM environment: source address and port, own address and port.
    pub connection: String,
    /// `SSH_AUTH_INFO_0`: one line per method that succeeded so far (`ExposeAuthInfo`, sshd_config(5)).
    #[serde(default)]
    pub auth_info: String,
    /// Process id of sshd's privileged monitor for this connection.
    pub monitor: i32,
}

/// From any program to jumpd.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// pam_jump, `authenticate`: begin the second factor. Answered by [`Reply::Auth`].
    AuthBegin {
        /// Who.
        login: Login,
    },
    /// pam_jump, `authenticate`, same connection: what the user typed. Answered by [`Reply::Auth`].
    AuthAnswer {
        /// The text typed at the prompt.
        answer: Secret,
    },
    /// pam_jump, `account`: may this login go on? Answered by [`Reply::Account`].
    Account {
        /// Who.
        login: Login,
        /// The mark that `authenticate` left, if any.
        mark: Option<SessionId>,
    },
    /// pam_jump, `setcred` in the monitor: how long may a session that is opened now last at the most?
    /// Answered by [`Reply::Lifetime`].
    Lifetime {
        /// Who.
        login: Login,
    },
    /// pam_jump, `open_session`. Answered by [`Reply::Opened`] or [`Reply::Refused`].
    OpenSession {
        /// Who.
        login: Login,
        /// The mark that `authenticate` left, if any.
        mark: Option<SessionId>,
    },
    /// pam_jump, `open_session`: the filter or the guard could not be set up; the connection is being ended.
    SessionFailed {
        /// Which.
        session: SessionId,
        /// What failed, for the admin.
        detail: String,
    },
    /// pam_jump, `close_session`. Answered by [`Reply::Done`].
    CloseSession {
        /// Which.
        session: SessionId,
    },

    /// A session's guard takes its post; the connection stays open and carries
    /// [`Push`] messages. Answered by [`Reply::Attached`] or [`Reply::Refused`].
    Attach {
        /// Which session.
        session: SessionId,
        /// Layers in force, e.g. `seccomp+landlock7`.
        sandbox: String,
    },
    /// A session's guard: may this task connect there? Answered by [`Reply::Judged`].
    Judge(JudgeRequest),
    /// A session's guard: sshd is about to listen for the user's forwarded agent (`ssh -A`). May the
    /// user take it along? Answered by [`Reply::Judged`].
    BringAgent {
        /// The session.
        session: SessionId,
    },
    /// A session's guard: this process, the OpenSSH client of a hop, asks for the user's forwarded agent.
    /// Answered by [`Reply::Judged`].
    UseAgent {
        /// The session.
        session: SessionId,
        /// The asking process.
        pid: i32,
    },
    /// A session's guard: what became of an allowed connect.
    Connected {
        /// The session.
        session: SessionId,
        /// `SO_COOKIE` of the socket (socket(7)).
        cookie: u64,
        /// 0, `EINPROGRESS`, or the errno of the failure.
        errno: i32,
    },
    /// A session's guard: it is about to reset a connection, which wipes the
    /// byte counts that the kernel would announce. Answered by [`Reply::Done`].
    FlowCut {
        /// The session.
        session: SessionId,
        /// `SO_COOKIE` of the socket (socket(7)).
        cookie: u64,
        /// Payload bytes sent until now.
        bytes_sent: u64,
        /// Payload bytes received until now.
        bytes_received: u64,
    },
    /// As [`Request::FlowCut`], for many connections. Answered by [`Reply::Done`].
    FlowsCut {
        /// The session.
        session: SessionId,
        /// The connections, at most [`FLOWS_IN_A_MESSAGE`].
        flows: Vec<CutFlow>,
    },
    /// A session's guard: a call was refused without asking (forbidden, bad family, bad length, ...).
    RefusedLocally {
        /// The session.
        session: SessionId,
        /// Why.
        reason: Reason,
        /// The address, where there was one.
        destination: Option<SocketAddr>,
        /// What was refused, and why, in words.
        #[serde(default)]
        detail: Option<String>,
    },
    /// A session's guard: the last process of the session is gone. Answered by [`Reply::Done`].
    Ended {
        /// Which.
        session: SessionId,
    },

    /// jumpctl: take `/etc/jump/policy.toml` into force. Answered by [`Reply::Applied`] or [`Reply::Rejected`].
    Apply,
    /// jumpctl: the same, unless jumpd has looked at exactly this content before, whatever it
    /// then thought of it. Answered as [`Request::Apply`], or by [`Reply::Done`].
    ApplyIfNew,
    /// jumpctl: what the policy's users may reach at all. Answered by [`Reply::Egress`], one or more.
    Egress,
    /// jumpctl: what became of the ruleset made of that. Answered by [`Reply::Done`].
    EgressLoaded {
        /// Why it is not in force; absent when it is.
        error: Option<String>,
    },
    /// jumpctl: is jumpd there, and with what policy? Answered by [`Reply::Status`].
    Status,
    /// jumpctl: what would be answered? Answered by [`Reply::Explained`].
    Explain(ExplainRequest),
    /// jumpctl: a new authenticator secret. Answered by [`Reply::Enrolment`] or [`Reply::Refused`].
    MfaEnroll {
        /// For whom.
        user: String,
        /// The uid NSS gives this name (users of system groups are not in the policy).
        uid: Option<u32>,
        /// False: valid at once. True: valid when [`Request::MfaConfirm`] brings a code.
        confirm: bool,
        /// Parameters of the authenticator, where they are to be others than the policy's.
        #[serde(default)]
        totp: TotpChoice,
    },
    /// jumpctl: the code that proves the authenticator has the new secret. Answered by [`Reply::Done`] or [`Reply::Refused`].
    MfaConfirm {
        /// For whom.
        user: String,
        /// The uid NSS gives this name.
        uid: Option<u32>,
        /// The code.
        code: Secret,
    },
    /// jumpctl: a text by which the user can enrol an authenticator at a login, once. Answered by [`Reply::Invitation`] or [`Reply::Refused`].
    MfaInvite {
        /// For whom.
        user: String,
        /// The uid NSS gives this name.
        uid: Option<u32>,
        /// For how long it holds.
        seconds: u64,
    },
    /// jumpctl: second-factor state of one user or of all. Answered by [`Reply::MfaStatus`].
    MfaStatus {
        /// One user, or all.
        user: Option<String>,
    },
    /// jumpctl: forget secret and recovery codes. Answered by [`Reply::Done`].
    MfaReset {
        /// Whose.
        user: String,
        /// The uid NSS gives this name.
        uid: Option<u32>,
        /// The user id of the record, where it is not the one that the user has now.
        #[serde(default)]
        record: Option<u32>,
    },
    /// jumpctl: end a lock-out. Answered by [`Reply::Done`].
    MfaUnlock {
        /// Whose.
        user: String,
        /// The uid NSS gives this name.
        uid: Option<u32>,
    },
    /// jumpctl: ten new recovery codes, the old ones void. Answered by [`Reply::RecoveryCodes`].
    MfaRecoveryCodes {
        /// Whose.
        user: String,
        /// The uid NSS gives this name.
        uid: Option<u32>,
    },
    /// jumpctl: seal every record anew. Answered by [`Reply::Rekeyed`] or [`Reply::Refused`].
    MfaRekey {
        /// The new keys, the ones in use among them; the first one seals.
        keys: Secret,
    },
    /// jumpctl: every enrolled user's second factor for a backup, unsealed. Answered by [`Reply::MfaRecords`], one or more.
    MfaExport,
    /// jumpctl: take the identity of the host whose backup is restored, where no record is yet. Answered by [`Reply::Adopted`].
    MfaAdopt {
        /// 32 lower-case hexadecimal digits.
        host: String,
    },
    /// jumpctl: one of the records that [`Request::MfaExport`] gave. Answered by [`Reply::Imported`] or [`Reply::Refused`].
    MfaImport {
        /// The record.
        record: Secret,
        /// Whether its unused recovery codes are good again.
        recovery_codes: bool,
        /// Login names whose state on this host gives way to the backup's.
        #[serde(default)]
        replace: Vec<String>,
    },
    /// jumpctl: make the user CA that hops authenticate with. Answered by [`Reply::Ca`] or [`Reply::Refused`].
    CaInit,
    /// jumpctl: the user CA's public keys. Answered by [`Reply::Ca`].
    CaShow,
    /// jumpctl: another key for the user CA. Answered by [`Reply::Ca`] or [`Reply::Refused`].
    CaRotate {
        /// False: make the next key, which targets must trust before it is used. True: sign with it from now on.
        finish: bool,
    },
    /// jumpctl: delete what the policy keeps no longer. Answered by [`Reply::Pruned`] or [`Reply::Refused`].
    RecordingsPrune {
        /// Only tell what would be deleted.
        dry_run: bool,
    },
    /// jumpctl: live sessions. Answered by [`Reply::Sessions`], one or more.
    Sessions,
    /// jumpctl: one live session with its connections. Answered by [`Reply::Sessions`] with at most one.
    Session {
        /// Which.
        session: SessionId,
    },
    /// jumpctl: end a session. Answered by [`Reply::Done`] or [`Reply::Refused`].
    Kill {
        /// Which.
        session: SessionId,
    },

    /// jump-shell: who am I, until when? Answered by [`Reply::Whoami`]. Also begins the shell's event trail.
    Whoami {
        /// The command as asked for, absent for an interactive shell.
        command: Option<String>,
    },
    /// jump-shell: the user is typing. Answered by [`Reply::Ends`].
    Active,
    /// jump-shell: when does this session end? Answered by [`Reply::Ends`]; no sign of life of the user's.
    Ends,
    /// jump-shell: where may I go now? Answered by [`Reply::Targets`].
    Targets,
    /// jump-shell: addresses of a name. Answered by [`Reply::Addresses`] or [`Reply::Refused`].
    Resolve {
        /// Name or address literal.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// jump-shell: begin a hop. Answered by [`Reply::Hop`] or [`Reply::Refused`].
    HopOpen(HopRequest),
    /// jump-shell: a hop is over. Answered by [`Reply::Done`].
    HopEnded {
        /// Which.
        hop: HopId,
        /// Exit status of ssh, where it had one.
        status: Option<u8>,
        /// Why, where it was not the user or the target who ended it.
        reason: Option<Reason>,
    },
    /// jump-shell, on a connection of its own: record this hop from now on. Answered by
    /// [`Reply::Recording`] or [`Reply::Refused`]; after that the packets of [`crate::hop`] follow.
    Record {
        /// Which.
        hop: HopId,
        /// Columns of the terminal.
        cols: u16,
        /// Its rows.
        rows: u16,
        /// `TERM`, where it is known.
        term: Option<String>,
    },
    /// jump-shell, on a connection of its own: go on with a recording after
    /// [`crate::hop::FromRecorder::ComeAgain`]. Answered as [`Request::Record`]; packets count from 0 again.
    RecordAgain {
        /// Which.
        hop: HopId,
    },
    /// jump-shell: which sessions does this one's user have? Answered by [`Reply::OwnSessions`].
    OwnSessions,
    /// jump-shell: end a session of this one's user. Answered by [`Reply::Done`] or [`Reply::Refused`].
    EndOwnSession {
        /// Which.
        session: SessionId,
    },
    /// jump-shell: second-factor state of this session's user. Answered by [`Reply::MfaStatus`] with one entry.
    OwnMfa,
    /// jump-shell: ten new recovery codes for this session's user, the old ones void. Answered by
    /// [`Reply::RecoveryCodes`] or [`Reply::Refused`].
    OwnRecoveryCodes {
        /// A present code of the authenticator.
        code: Secret,
    },
    /// jump-shell: a command that is not its own was asked for and refused. Answered by [`Reply::Done`].
    ShellRefused {
        /// The text, as it came.
        command: String,
    },
}

/// Where a hop is to lead.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HopRequest {
    /// Name of a host or address literal, or the name of a target that is one host.
    pub host: String,
    /// TCP port; absent: 22 if the policy lets the user go there, else the target's only port.
    pub port: Option<u16>,
    /// Login name at the target; absent: the rule's.
    pub login: Option<String>,
}

/// A hop that may begin: what ssh is started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopOpened {
    /// Its name, and its recording's.
    pub hop: HopId,
    /// Where to.
    pub address: SocketAddr,
    /// Login name at the target.
    pub login: String,
    /// The name under which the target's host key is known (`HostKeyAlias`, ssh_config(5)).
    pub host_key_alias: String,
    /// The file of host keys that counts (`GlobalKnownHostsFile`, ssh_config(5)).
    pub known_hosts: String,
    /// Whether it exists only while it is recorded.
    pub record: bool,
    /// Whether the user's own forwarded agent authenticates, and not the bastion's CA.
    #[serde(default)]
    pub forwarded_agent: bool,
    /// The rule.
    pub rule: String,
}

/// Whose agents sshd may forward at all (`ssh -A`); of whom in particular, keys and guard know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agents {
    /// Users of the policy.
    pub users: bool,
    /// Members of groups of other NSS sources.
    pub system_groups: bool,
}

/// The user CA's public keys, each one line as in authorized_keys (sshd(8)), without options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaKeys {
    /// The key that signs; absent: there is no CA.
    pub current: Option<String>,
    /// The key that will sign after the rotation.
    pub next: Option<String>,
    /// The key that signed before the last rotation.
    pub previous: Option<String>,
}

/// A connect(2) that waits in the kernel for an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JudgeRequest {
    /// The session.
    pub session: SessionId,
    /// Where to, as read from the task's sockaddr.
    pub destination: SocketAddr,
    /// Whether the socket is TCP; otherwise it is UDP, which only ever reaches a resolver.
    pub tcp: bool,
    /// Which program asks.
    pub via: Via,
    /// `SO_COOKIE` of the socket (socket(7)), by which its end and its bytes are recognised.
    pub cookie: u64,
    /// The asking task.
    pub pid: i32,
    /// Whether the task is the OpenSSH client of one of jump-shell's hops.
    #[serde(default)]
    pub hop: bool,
    /// Of such a client, the processes that it descends from, the nearest first: the jump-shell whose hop it is for is among them.
    #[serde(default)]
    pub ancestors: Vec<i32>,
}

/// The most connections that one [`Request::FlowsCut`] or [`Push::Cut`] names: they fit into a message.
pub const FLOWS_IN_A_MESSAGE: usize = 1024;

/// A connection about to be reset, with what it has carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutFlow {
    /// `SO_COOKIE` of the socket (socket(7)).
    pub cookie: u64,
    /// Payload bytes sent until now.
    pub bytes_sent: u64,
    /// Payload bytes received until now.
    pub bytes_received: u64,
}

/// What would be answered to whom, when, from where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExplainRequest {
    /// Who.
    pub user: String,
    /// Groups of other NSS sources this user is in.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Name or address literal.
    pub host: String,
    /// TCP port; 22 where the operator named none.
    pub port: u16,
    /// Source address; absent: any that a rule names.
    pub from: Option<IpAddr>,
    /// When; absent: now.
    pub at_ms: Option<i64>,
    /// Which way.
    pub via: Via,
    /// With which second factor; absent: whichever of the user's brings furthest.
    #[serde(default)]
    pub mfa: Option<Method>,
    /// As whom at the target: then the question is of a hop from the restricted shell.
    #[serde(default)]
    pub login: Option<String>,
}

/// From jumpd.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// It is done.
    Done,
    /// It is refused.
    Refused {
        /// Why, in one word.
        reason: Reason,
        /// One sentence: for the admin from jumpctl's requests, for the user from pam_jump's and jump-shell's.
        message: String,
    },
    /// The next step of the second factor.
    Auth(AuthStep),
    /// Whether the login may go on.
    Account {
        /// Whether it may.
        allowed: bool,
        /// One sentence for the user, where there is something to say.
        message: Option<String>,
    },
    /// How long a session may last.
    Lifetime {
        /// In seconds; absent: nothing limits it.
        seconds: Option<u64>,
    },
    /// When a session ends.
    Ends {
        /// At the latest, as things stand.
        ends_ms: Option<i64>,
        /// Why then.
        reason: Option<Reason>,
        /// How long before that the user is told; absent: not at all.
        warn_ms: Option<i64>,
    },
    /// The session is open in jumpd's books and waits for its guard.
    Opened {
        /// Its id.
        session: SessionId,
        /// When it must end at the latest.
        ends_ms: Option<i64>,
    },
    /// The guard is at its post.
    Attached {
        /// When the session must end at the latest, even with jumpd dead.
        ends_ms: Option<i64>,
    },
    /// The answer to a connect(2).
    Judged {
        /// Whether the guard may connect the socket.
        allowed: bool,
        /// Why.
        reason: Reason,
    },
    /// A generation is in force.
    Applied(Applied),
    /// The policy on disk was refused; the one in force stays.
    Rejected {
        /// Why, in one word.
        reason: Reason,
        /// The errors, rendered for a terminal, with line, column and the text underlined.
        report: String,
    },
    /// What the policy's users may reach at all.
    Egress {
        /// Some of it.
        egress: crate::Egress,
        /// Whether another message follows.
        more: bool,
    },
    /// jumpd's state.
    Status(Status),
    /// What would be answered.
    Explained(Explanation),
    /// A new authenticator secret.
    Enrolment {
        /// Base32, RFC 4648 without padding.
        secret: Secret,
        /// `otpauth://` URI for the QR code.
        uri: Secret,
        /// Recovery codes, shown once.
        recovery_codes: Vec<Secret>,
    },
    /// An invitation, shown once.
    Invitation {
        /// What the user types in place of a code.
        invitation: Secret,
        /// Until when it holds.
        until_ms: i64,
        /// Whether the user has an authenticator, which the new one replaces.
        #[serde(default)]
        replaces: bool,
    },
    /// New recovery codes, shown once.
    RecoveryCodes {
        /// The codes.
        codes: Vec<Secret>,
    },
    /// Second-factor state.
    MfaStatus {
        /// One entry per user.
        users: Vec<MfaUser>,
    },
    /// Live sessions.
    Sessions {
        /// Some of them.
        sessions: Vec<SessionInfo>,
        /// Whether another message follows.
        more: bool,
    },
    /// Live sessions of the user who asks.
    OwnSessions {
        /// The one that asks.
        this: SessionId,
        /// The sessions, oldest first, without their connections.
        sessions: Vec<SessionInfo>,
        /// Whether there are more than these.
        more: bool,
    },
    /// Every record is sealed with the first key.
    Rekeyed {
        /// Records sealed anew.
        sealed: usize,
        /// Records that are refused at a login, and stay as they are.
        refused: Vec<String>,
        /// Whether one of those could be mended, so that the keys of before are still needed.
        #[serde(default)]
        unfinished: bool,
    },
    /// Some of the second factors for a backup.
    MfaRecords {
        /// The identity of this host's records.
        host: String,
        /// The records.
        records: Vec<Secret>,
        /// Records that are refused at a login, and so not for a backup.
        refused: Vec<String>,
        /// Whether another message follows.
        more: bool,
    },
    /// Whether this host now has the identity that was asked for.
    Adopted {
        /// Whether it has.
        taken: bool,
    },
    /// What became of a record of a backup.
    Imported {
        /// Whose it is.
        user: String,
        /// What became of it.
        outcome: MfaImport,
        /// Why this host's own state stays, where it does.
        why: String,
    },
    /// The session that asks.
    Whoami(SessionInfo),
    /// A hop may begin.
    Hop(HopOpened),
    /// The recording has begun, or goes on.
    Recording,
    /// The user CA.
    Ca(CaKeys),
    /// What was deleted, or would be.
    Pruned {
        /// The recordings.
        recordings: Vec<HopId>,
        /// How many bytes they had.
        bytes: u64,
        /// Whether there were more than this message can tell.
        #[serde(default)]
        more: bool,
    },
    /// Where the session may go now.
    Targets {
        /// One entry per target and rule.
        targets: Vec<Reach>,
    },
    /// Addresses of a name, in the order to try them.
    Addresses {
        /// The addresses.
        addresses: Vec<IpAddr>,
    },
}

/// The next step of a second factor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum AuthStep {
    /// Ask the user, without echo, and send the answer.
    Prompt {
        /// The prompt.
        text: String,
        /// Lines to show before it, which may hold what the user alone may see.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        info: Vec<Secret>,
    },
    /// The second factor is given.
    Accepted {
        /// What `authenticate` leaves for `account`.
        mark: SessionId,
    },
    /// It is not.
    Denied {
        /// One neutral sentence for the user, where there is something to say.
        message: Option<String>,
    },
}

/// From jumpd to a session's guard, unasked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "push", rename_all = "snake_case")]
pub enum Push {
    /// End every process and connection of the session now.
    End {
        /// Why.
        reason: Reason,
    },
    /// The end has moved.
    EndsAt {
        /// When the session must end at the latest.
        ends_ms: Option<i64>,
    },
    /// Reset these connections now; the session goes on.
    Cut {
        /// `SO_COOKIE` of their sockets, at most [`FLOWS_IN_A_MESSAGE`].
        cookies: Vec<u64>,
        /// Why.
        reason: Reason,
    },
}

/// A policy generation in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Applied {
    /// Its number.
    pub generation: u64,
    /// Hash of the policy, as in `JUMP_POLICY`.
    pub policy: String,
    /// False when it had been in force already.
    pub changed: bool,
    /// Groups that pam_jump concerns itself with: the host's group first, then the system groups.
    pub scope: Vec<String>,
    /// Users with `mfa = "none"`.
    pub automation: Vec<String>,
    /// Whom sshd may let take an agent along.
    #[serde(default)]
    pub agents: Agents,
    /// Warnings, rendered for a terminal.
    pub warnings: Vec<String>,
}

/// jumpd's state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Version of the running jumpd.
    pub version: String,
    /// Generation in force, if any.
    pub generation: Option<u64>,
    /// Hash of the policy in force.
    pub policy: Option<String>,
    /// Groups that pam_jump concerns itself with.
    pub scope: Vec<String>,
    /// Users with `mfa = "none"`.
    pub automation: Vec<String>,
    /// Whom sshd may let take an agent along.
    #[serde(default)]
    pub agents: Agents,
    /// Live sessions.
    pub sessions: u64,
    /// What the records of second factors are sealed with.
    #[serde(default)]
    pub sealing: Option<Sealing>,
}

/// What became of a record of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MfaImport {
    /// It is in force.
    Restored,
    /// This host has the same authenticator; what either had used is used.
    Merged,
    /// This host's own state stays.
    Kept,
}

/// What the records of second factors are sealed with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sealing {
    /// Keys that jumpd got from systemd: none before `jumpctl setup`, several until a rekey is finished.
    pub keys: usize,
    /// The names of those keys; they are no secret.
    #[serde(default)]
    pub names: Vec<String>,
    /// Whether every record is sealed, and nothing else is read.
    pub only_sealed: bool,
}

/// A decision, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Whether it would be allowed.
    pub allowed: bool,
    /// Why.
    pub reason: Reason,
    /// The rule that decides, if one does.
    pub rule: Option<String>,
    /// When the answer next changes, if it ever does by itself.
    pub changes_ms: Option<i64>,
    /// Addresses the name has on the bastion; the answer holds for each of them.
    pub addresses: Vec<IpAddr>,
    /// Hash of the policy that answers.
    pub policy: String,
    /// The answer in one sentence.
    pub sentence: String,
    /// Whether it is allowed only while it is recorded.
    #[serde(default)]
    pub record: bool,
    /// Second factors with which it is allowed; empty: with each of the user's, or with none of them.
    #[serde(default)]
    pub mfa: Vec<Method>,
}

/// Second-factor state of one user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MfaUser {
    /// The user.
    pub user: String,
    /// Whether a secret is enrolled and confirmed.
    pub enrolled: bool,
    /// Whether an enrolment waits for its confirmation.
    pub pending: bool,
    /// Recovery codes left.
    pub recovery_codes_left: u32,
    /// Locked until, if locked.
    pub locked_until_ms: Option<i64>,
    /// Wrong codes since the last right one.
    pub failures: u32,
    /// `mfa = "none"`.
    pub automation: bool,
    /// The user id of the record.
    #[serde(default)]
    pub uid: u32,
    /// Whether the policy does not know this name with this user id: one of a system group, or one who left.
    #[serde(default)]
    pub unlisted: bool,
    /// Second factors that the policy takes from this user.
    #[serde(default)]
    pub methods: Vec<Method>,
    /// Whether a login key of the policy is itself one of them.
    #[serde(default)]
    pub security_key: bool,
    /// What the authenticator's codes are made with, if one is enrolled.
    #[serde(default)]
    pub totp: Option<TotpParams>,
    /// Until when an invitation to enrol holds, if one does.
    #[serde(default)]
    pub invited_until_ms: Option<i64>,
    /// Lock-outs in force.
    #[serde(default)]
    pub locks: Vec<MfaLock>,
    /// How many seconds the clock is behind the last accepted code, where that is more than the window bears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_behind_s: Option<u64>,
    /// Why the record is refused, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<MfaProblem>,
}

/// A lock-out after wrong codes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MfaLock {
    /// The login key from which nothing is heard; absent: from every place that never brought a right code.
    pub key_fingerprint: Option<String>,
    /// The address, or the /64 network, from which nothing is heard with that key.
    pub source: Option<String>,
    /// Until when.
    pub until_ms: i64,
}

/// Why a record of a second factor is refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MfaProblem {
    /// In one word.
    pub reason: Reason,
    /// What is wrong, where, and what to do.
    pub text: String,
}

/// A live session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Its id.
    pub session: SessionId,
    /// Who.
    pub user: String,
    /// Their uid.
    pub uid: u32,
    /// From where.
    pub source: SocketAddr,
    /// Since when.
    pub opened_ms: i64,
    /// Until when at the latest.
    pub ends_ms: Option<i64>,
    /// Why it ends then.
    pub ends_reason: Option<Reason>,
    /// How the second factor was given (`totp`, `recovery`, `security-key`, `remembered`, `none`).
    pub mfa: String,
    /// SHA-256 fingerprint of the login key.
    pub key_fingerprint: Option<String>,
    /// Layers in force.
    pub sandbox: String,
    /// Process id of its guard, while it is connected.
    #[serde(default)]
    pub guard: Option<i32>,
    /// How many live connections there are.
    #[serde(default)]
    pub flow_count: usize,
    /// Live connections, the first few of them.
    pub flows: Vec<FlowInfo>,
    /// Payload bytes sent to targets by all connections so far, the closed ones too.
    #[serde(default)]
    pub bytes_sent: u64,
    /// Payload bytes received from targets by all connections so far, the closed ones too.
    #[serde(default)]
    pub bytes_received: u64,
    /// How long no byte was forwarded or typed, in milliseconds, where that has a limit.
    #[serde(default)]
    pub idle_ms: Option<u64>,
    /// Hops of the restricted shell, where one session is told of.
    #[serde(default)]
    pub hops: Vec<HopInfo>,
}

/// A hop of a session's shell.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HopInfo {
    /// Its name, and its recording's.
    pub hop: HopId,
    /// The target as it was asked for.
    pub target: String,
    /// Where to.
    pub destination: SocketAddr,
    /// Login name at the target.
    pub login: String,
    /// The rule that allowed it.
    pub rule: String,
    /// Since when.
    pub since_ms: i64,
    /// Whether it exists only while it is recorded.
    pub record: bool,
    /// Bytes of its recording so far, where it is being recorded.
    #[serde(default)]
    pub recorded: Option<u64>,
}

/// A live connection of a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FlowInfo {
    /// Where to.
    pub destination: SocketAddr,
    /// The policy's name for it, where it has one.
    pub name: Option<String>,
    /// The rule that allowed it.
    pub rule: String,
    /// Since when.
    pub since_ms: i64,
    /// Which way.
    pub via: Via,
    /// Payload bytes sent to the target so far, where the kernel tells.
    #[serde(default)]
    pub bytes_sent: Option<u64>,
    /// Payload bytes received from the target so far, where the kernel tells.
    #[serde(default)]
    pub bytes_received: Option<u64>,
}

/// Somewhere the session may go now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reach {
    /// The target's name in the policy.
    pub target: String,
    /// Its hosts, as written.
    pub hosts: Vec<String>,
    /// Its ports, as written.
    pub ports: Vec<String>,
    /// The rule.
    pub rule: String,
    /// Which ways.
    pub via: Vec<Via>,
    /// Only through recorded hops.
    pub record: bool,
    /// Until when, if it ever ends by itself.
    pub until_ms: Option<i64>,
}
