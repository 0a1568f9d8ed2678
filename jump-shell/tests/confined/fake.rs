//! A jumpd that says what the test wants it to say.

use crate::recorder::Recorder;
use jump_proto::{
    Channel, Method, MfaUser, Reach, Reason, Reply, Request, Secret, SessionId, SessionInfo,
    TotpParams, Via,
};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// 2026-11-23 09:00 UTC.
pub(crate) const MORNING_MS: i64 = 1_795_424_400_000;

/// What the fake does with a question.
pub(crate) enum Answer {
    /// Says this.
    Say(Reply),
    /// Says this and closes the connection, as a jumpd that is restarted.
    Last(Reply),
    /// Says nothing and keeps the connection, as a jumpd that hangs.
    Nothing,
}

type Mind = dyn Fn(&Request) -> Answer + Send + Sync;

/// A listening jumpd, until the test ends.
pub(crate) struct Fake {
    folder: TempDir,
    asked: Arc<Mutex<Vec<Request>>>,
    /// What its recorder kept, and how it behaves.
    pub(crate) recorder: Recorder,
}

impl Fake {
    /// One that answers like a jumpd with one user, one target and no objection.
    pub(crate) fn friendly() -> Self {
        Self::new(|question| Answer::Say(friendly(question)))
    }

    /// One that answers as `mind` says.
    pub(crate) fn new(mind: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::within(tempfile::tempdir().unwrap(), Recorder::default(), mind)
    }

    /// The same, where the folder is needed before, with a recorder.
    pub(crate) fn within(
        folder: TempDir,
        recorder: Recorder,
        mind: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        // Children that play an ordinary user must get here too.
        let public = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), public).unwrap();
        let fake = Self {
            folder,
            asked: Arc::default(),
            recorder,
        };
        let listener = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(fake.socket()).unwrap()).unwrap();
        std::fs::set_permissions(fake.socket(), std::fs::Permissions::from_mode(0o777)).unwrap();
        rustix::net::listen(&listener, 16).unwrap();
        let asked = Arc::clone(&fake.asked);
        let mind: Arc<Mind> = Arc::new(mind);
        let recorder = fake.recorder.clone();
        std::thread::spawn(move || serve(&listener, &asked, &mind, &recorder));
        fake
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("shell.sock")
    }

    /// What it was asked, in `Debug` form, one per line.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .map(|request| format!("{request:?}"))
            .collect()
    }

    /// The commands it was told were refused.
    pub(crate) fn refused(&self) -> Vec<String> {
        let refused = |request: &Request| match request {
            Request::ShellRefused { command } => Some(command.clone()),
            _ => None,
        };
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter_map(refused)
            .collect()
    }
}

fn serve(
    listener: &OwnedFd,
    asked: &Arc<Mutex<Vec<Request>>>,
    mind: &Arc<Mind>,
    recorder: &Recorder,
) {
    while let Ok(connection) = rustix::net::accept_with(listener, SocketFlags::CLOEXEC) {
        let (asked, mind) = (Arc::clone(asked), Arc::clone(mind));
        let recorder = recorder.clone();
        std::thread::spawn(move || {
            let channel = Channel::from(connection);
            while let Ok(Some(question)) = channel.recv::<Request>() {
                let answer = mind(&question);
                // These two come by the clock, whatever the user does.
                if !matches!(question, Request::Ends | Request::Active) {
                    asked.lock().unwrap().push(question);
                }
                match answer {
                    Answer::Say(reply @ Reply::Recording) => {
                        channel.send(&reply).unwrap();
                        return recorder.record(&OwnedFd::from(channel));
                    }
                    // A shell that ends does not wait for every answer.
                    Answer::Say(reply) => drop(channel.send(&reply)),
                    Answer::Last(reply) => return channel.send(&reply).unwrap(),
                    Answer::Nothing => std::thread::sleep(Duration::from_secs(20)),
                }
            }
        });
    }
}

/// What a jumpd without objections says.
pub(crate) fn friendly(question: &Request) -> Reply {
    match question {
        Request::Whoami { .. } => Reply::Whoami(info()),
        Request::Targets => Reply::Targets {
            targets: vec![reach()],
        },
        Request::Resolve { .. } => Reply::Addresses {
            addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        },
        Request::OwnSessions => Reply::OwnSessions {
            this: info().session,
            sessions: vec![info(), other_session()],
            more: false,
        },
        Request::OwnMfa => Reply::MfaStatus {
            users: vec![second_factor()],
        },
        Request::OwnRecoveryCodes { code } if code.expose() == CODE => Reply::RecoveryCodes {
            codes: vec![Secret::new("abcd-efgh-jkmn-pqrs".into())],
        },
        Request::OwnRecoveryCodes { .. } => Reply::Refused {
            reason: Reason::WrongCode,
            message: "Code not accepted.".into(),
        },
        Request::EndOwnSession { session } if *session != other_session().session => {
            Reply::Refused {
                reason: Reason::NoSession,
                message: "You have no session of that name; \"sessions\" lists yours.".into(),
            }
        }
        Request::Record { .. } | Request::RecordAgain { .. } => Reply::Recording,
        Request::EndOwnSession { .. } | Request::ShellRefused { .. } | Request::HopEnded { .. } => {
            Reply::Done
        }
        Request::Ends | Request::Active => Reply::Ends {
            ends_ms: None,
            reason: None,
            warn_ms: None,
        },
        _ => Reply::Refused {
            reason: Reason::Internal,
            message: "not for a shell".into(),
        },
    }
}

/// Alice's session.
pub(crate) fn info() -> SessionInfo {
    SessionInfo {
        session: SessionId::from_bytes([7; 16]),
        user: "alice".into(),
        uid: 70001,
        source: "10.1.2.3:51122".parse().unwrap(),
        opened_ms: MORNING_MS,
        ends_ms: Some(MORNING_MS + 8 * 3_600_000),
        ends_reason: Some(Reason::MaxSession),
        mfa: "totp".into(),
        key_fingerprint: Some("SHA256:abc".into()),
        sandbox: "seccomp+landlock7".into(),
        guard: None,
        flow_count: 0,
        flows: Vec::new(),
        bytes_sent: 0,
        bytes_received: 0,
        idle_ms: None,
        hops: vec![],
    }
}

/// Another session of hers.
pub(crate) fn other_session() -> SessionInfo {
    SessionInfo {
        session: SessionId::from_bytes([8; 16]),
        source: "10.1.2.4:51123".parse().unwrap(),
        flow_count: 3,
        ..info()
    }
}

/// The code that her authenticator shows.
pub(crate) const CODE: &str = "123456";

/// Her second factor.
fn second_factor() -> MfaUser {
    MfaUser {
        uid: 70001,
        user: "alice".into(),
        enrolled: true,
        pending: false,
        recovery_codes_left: 8,
        locked_until_ms: None,
        failures: 0,
        automation: false,
        unlisted: false,
        methods: vec![Method::Totp, Method::Recovery],
        security_key: false,
        totp: Some(TotpParams::default()),
        invited_until_ms: None,
        locks: Vec::new(),
        clock_behind_s: None,
        problem: None,
    }
}

/// Alice's target.
pub(crate) fn reach() -> Reach {
    Reach {
        target: "databases".into(),
        hosts: vec!["db1.example.internal".into()],
        ports: vec!["22".into()],
        rule: "dba-office".into(),
        via: vec![Via::Forward, Via::Shell],
        record: false,
        until_ms: Some(MORNING_MS + 4 * 3_600_000),
    }
}
